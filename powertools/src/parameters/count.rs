//! What the cache does, counted in the running invocation's metrics.

#[cfg(feature = "metrics")]
use crate::metrics::{Metric, Unit, current};

/// What a reader was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// What is cached.
    Hit,
    /// What was fetched for it, or in vain.
    Miss,
    /// What is cached and older than it should be.
    Stale,
    /// An error.
    Error,
}

#[cfg(feature = "metrics")]
const HITS: Metric = Metric::new("ParameterCacheHits", Unit::Count);
#[cfg(feature = "metrics")]
const MISSES: Metric = Metric::new("ParameterCacheMisses", Unit::Count);
#[cfg(feature = "metrics")]
const STALE: Metric = Metric::new("ParameterStale", Unit::Count);
#[cfg(feature = "metrics")]
const ERRORS: Metric = Metric::new("ParameterErrors", Unit::Count);

impl Count {
    #[cfg(feature = "metrics")]
    pub(super) fn record(self) {
        if let Some(metrics) = current() {
            let metric = match self {
                Self::Hit => &HITS,
                Self::Miss => &MISSES,
                Self::Stale => &STALE,
                Self::Error => &ERRORS,
            };
            metrics.record(metric, 1);
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(super) const fn record(self) {}
}
