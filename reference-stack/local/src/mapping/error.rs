use crate::error::BoxError;

/// Why an event source mapping could not be started, or waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The event source is nothing that can be read here.
    #[error("`{arn}` is neither a Kinesis stream nor the stream of a DynamoDB table")]
    #[non_exhaustive]
    EventSource {
        /// The event source as configured.
        arn: String,
    },
    /// The on-failure destination is nothing that can be written to here.
    #[error("`{arn}` is not a standard SQS queue")]
    #[non_exhaustive]
    Destination {
        /// The destination as configured.
        arn: String,
    },
    /// A setting is out of its range.
    #[error("{setting} has to be {allowed}")]
    #[non_exhaustive]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it may be.
        allowed: String,
    },
    /// The function or the queue could not be found.
    #[error("could not {action}")]
    #[non_exhaustive]
    Aws {
        /// What was tried.
        action: String,
        /// What came back.
        #[source]
        source: BoxError,
    },
    /// The mapping ended while something was waited for.
    #[error("the event source mapping has stopped")]
    Stopped,
}

impl MappingError {
    pub(super) fn aws<E: Into<BoxError>>(action: String) -> impl FnOnce(E) -> Self {
        move |source| Self::Aws {
            action,
            source: source.into(),
        }
    }
}
