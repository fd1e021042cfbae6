//! The metrics of a batch.

use std::time::SystemTime;

#[cfg(feature = "metrics")]
mod names {
    use crate::metrics::{Metric, Unit};

    pub(super) const SIZE: Metric = Metric::new("BatchSize", Unit::Count);
    pub(super) const FAILURES: Metric = Metric::new("BatchRecordFailures", Unit::Count);
    pub(super) const AGE: Metric = Metric::new("IteratorAge", Unit::Milliseconds);
}

/// Records how many records a batch has, and how old its last one is, as Lambda's own metric tells.
pub(super) fn begin(records: usize, last_arrival: Option<SystemTime>, now: SystemTime) {
    #[cfg(feature = "metrics")]
    {
        names::SIZE.record(records);
        if let Some(arrival) = last_arrival {
            names::AGE.record(now.duration_since(arrival).unwrap_or_default());
        }
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (records, last_arrival, now);
}

/// Records how many are reported.
pub(super) fn end(failures: usize) {
    #[cfg(feature = "metrics")]
    names::FAILURES.record(failures);
    #[cfg(not(feature = "metrics"))]
    let _ = failures;
}
