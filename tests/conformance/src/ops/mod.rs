use crate::Op;

mod correlation_id;
mod jmespath;

/// The ops that are answered, each in a file of its own.
pub const OPS: &[(&str, Op)] = &[
    ("correlation_id", correlation_id::answer),
    ("jmespath", jmespath::answer),
];
