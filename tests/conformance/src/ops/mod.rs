use crate::Op;

mod batch_response;
mod correlation_id;
mod flags;
mod jmespath;
mod logger_line;
mod metrics_emf;
mod parameters_transform;

/// The ops that are answered, each in a file of its own.
pub const OPS: &[(&str, Op)] = &[
    ("batch.response", batch_response::answer),
    ("correlation_id", correlation_id::answer),
    ("flags.enabled", flags::enabled),
    ("flags.evaluate", flags::evaluate),
    ("jmespath", jmespath::answer),
    ("logger.line", logger_line::answer),
    ("metrics.emf", metrics_emf::answer),
    ("parameters.transform", parameters_transform::answer),
];
