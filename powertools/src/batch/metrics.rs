//! The metrics of a batch.

use std::time::SystemTime;

use serde_json::value::RawValue;

use super::Source;

#[cfg(feature = "metrics")]
mod names {
    use crate::metrics::{Metric, Unit};

    pub(super) const SIZE: Metric = Metric::new("BatchSize", Unit::Count);
    pub(super) const FAILURES: Metric = Metric::new("BatchRecordFailures", Unit::Count);
    pub(super) const AGE: Metric = Metric::new("IteratorAge", Unit::Milliseconds);
}

pub(super) fn begin<S: Source>(records: &[Box<RawValue>], now: SystemTime) {
    #[cfg(feature = "metrics")]
    {
        names::SIZE.record(records.len());
        // As Lambda's own metric of that name.
        if let Some(arrival) = records.last().and_then(|record| S::arrival(record)) {
            names::AGE.record(now.duration_since(arrival).unwrap_or_default());
        }
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (records, now);
}

pub(super) fn end(failures: usize) {
    #[cfg(feature = "metrics")]
    names::FAILURES.record(failures);
    #[cfg(not(feature = "metrics"))]
    let _ = failures;
}
