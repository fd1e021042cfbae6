use std::{error::Error, sync::Arc};

/// Why metrics have not reached CloudWatch.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudWatchError {
    /// CloudWatch could not be reached, or takes nothing at the moment. What was recorded is kept,
    /// and tried again.
    #[error("CloudWatch does not take metrics at the moment")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// CloudWatch does not take some of the metrics. They are dropped, all others have arrived.
    #[error("CloudWatch has refused {values} recorded values")]
    #[non_exhaustive]
    Refused {
        /// How many recorded values they had.
        values: u64,
        /// What CloudWatch said about the last of them.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Some of the metrics are too old for CloudWatch, or too far ahead, by the time of the system.
    /// They are dropped, all others have arrived.
    #[error("{values} recorded values are too old for CloudWatch, or too far ahead")]
    #[non_exhaustive]
    OutsideWindow {
        /// How many recorded values they had.
        values: u64,
    },
    /// The task that sends does not get on: it lives on a tokio runtime that nobody drives. What was
    /// recorded is kept.
    #[error("the runtime of the task that sends to CloudWatch does not run it")]
    Stalled,
    /// The time for the shutdown was over before CloudWatch had taken everything. The rest is
    /// dropped.
    #[error("CloudWatch has not taken {values} recorded values until the shutdown")]
    #[non_exhaustive]
    Unfinished {
        /// How many recorded values it had not taken.
        values: u64,
    },
    /// The sink has been shut down.
    #[error("the sink for CloudWatch has been shut down")]
    ShutDown,
    /// There is no tokio runtime on which something could be sent.
    #[error("the sink for CloudWatch needs a tokio runtime")]
    NoRuntime,
}
