use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    Metric, Unit,
    batch::{Batch, Configured, Series},
    dimension::Dimension,
    emf,
};
use crate::{Invocation, output::Output};

/// The metric of a cold start and its dimension, as the other toolkits name them.
const COLD_START: Metric = Metric::new("ColdStart", Unit::Count);
const FUNCTION_NAME: &str = "function_name";
pub(super) const SERVICE: &str = "service";

/// What the layer was given.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) namespace: String,
    pub(super) configured: Configured,
    pub(super) cold_start: bool,
    pub(super) function_name: Option<String>,
    pub(super) disabled: bool,
    pub(super) output: Output,
}

impl Config {
    /// Writes what a batch holds as one line, and leaves it without metrics.
    pub(super) fn drain(&self, batch: &mut Batch) -> Option<Vec<u8>> {
        if batch.series.is_empty() {
            return None;
        }
        let line = emf::line(
            timestamp(),
            &self.namespace,
            batch.effective_dimensions(&self.configured),
            &batch.metadata,
            &batch.series,
        );
        batch.series.clear();
        Some(line)
    }

    /// Writes the line that says that an invocation is a cold start.
    ///
    /// It is an object of its own: the other metrics are not to be split by the function's name.
    pub(super) fn cold_start_line(&self, invocation: &Invocation) -> Vec<u8> {
        let name = self
            .function_name
            .as_deref()
            .unwrap_or(&invocation.context().env_config.function_name);
        // Outside of Lambda there may be none.
        let function_name = Dimension::new(FUNCTION_NAME, &name).ok();
        emf::line(
            timestamp(),
            &self.namespace,
            function_name.iter().chain(&self.configured.service),
            &[],
            &[Series::new(COLD_START, 1.0)],
        )
    }
}

fn timestamp() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
