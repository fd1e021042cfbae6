//! Metrics.
#[derive(Default)]
pub(crate) struct State;
