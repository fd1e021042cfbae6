use std::{fmt, time::Duration};

use lambda_runtime::Diagnostic;

/// Lambda's `errorType` of a handler that was cut off.
const ERROR_TYPE: &str = "powertools::deadline::DeadlineError";

/// Why a handler that may be [cut off](super::DeadlineLayer::cut_off) has no response.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DeadlineError<E> {
    /// The handler had not answered shortly before the deadline, and was dropped.
    #[error("the handler had not answered {} ms before its deadline", remaining.as_millis())]
    #[non_exhaustive]
    Exceeded {
        /// The time that was left then.
        remaining: Duration,
    },
    /// The handler failed; its error passes through untouched.
    #[error("{0}")]
    Handler(E),
}

/// The runtime logs a failure by its `Debug` text: that shows the handler's own error as if it were
/// returned bare.
impl<E: fmt::Debug> fmt::Debug for DeadlineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exceeded { remaining } => f
                .debug_struct("Exceeded")
                .field("remaining", remaining)
                .finish(),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

/// The handler's own diagnostic stays what it is.
impl<E: Into<Diagnostic>> From<DeadlineError<E>> for Diagnostic {
    fn from(error: DeadlineError<E>) -> Self {
        match error {
            DeadlineError::Handler(error) => error.into(),
            DeadlineError::Exceeded { remaining } => Self {
                error_type: ERROR_TYPE.to_owned(),
                error_message: DeadlineError::<std::convert::Infallible>::Exceeded { remaining }
                    .to_string(),
            },
        }
    }
}
