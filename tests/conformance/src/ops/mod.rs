use crate::Op;

mod correlation_id;
mod jmespath;
mod logger_line;
mod metrics_emf;

/// The ops that are answered, each in a file of its own.
pub const OPS: &[(&str, Op)] = &[
    ("correlation_id", correlation_id::answer),
    ("jmespath", jmespath::answer),
    ("logger.line", logger_line::answer),
    ("metrics.emf", metrics_emf::answer),
];
