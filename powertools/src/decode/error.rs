use std::{convert::Infallible, fmt};

use lambda_runtime::Diagnostic;

/// Lambda's `errorType` of an event that cannot be decoded.
const ERROR_TYPE: &str = "powertools::decode::DecodeError";

/// Why a decoded event has no response.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError<E> {
    /// The event is not of the type the handler takes; the handler was not called.
    #[error(
        "cannot decode the event at `{path}` (line {}, column {})",
        source.line(),
        source.column()
    )]
    #[non_exhaustive]
    Decode {
        /// The field that does not fit, such as `items[0].quantity`, or `.` for the whole event.
        path: String,
        /// What does not fit there. It may quote the event, so it is not in this error's message.
        source: serde_json::Error,
    },
    /// The handler failed; its error passes through untouched.
    #[error("{0}")]
    Handler(E),
}

/// The runtime logs a failure by its `Debug` text: that shows no more of the event than the message
/// does, and the handler's own error as if it were returned bare.
impl<E: fmt::Debug> fmt::Debug for DecodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { path, source } => f
                .debug_struct("Decode")
                .field("path", path)
                .field("line", &source.line())
                .field("column", &source.column())
                .finish(),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

impl<E> From<serde_path_to_error::Error<serde_json::Error>> for DecodeError<E> {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self::Decode {
            path: error.path().to_string(),
            source: error.into_inner(),
        }
    }
}

/// The handler's own diagnostic stays what it is.
impl<E: Into<Diagnostic>> From<DecodeError<E>> for Diagnostic {
    fn from(error: DecodeError<E>) -> Self {
        match error {
            DecodeError::Handler(error) => error.into(),
            DecodeError::Decode { path, source } => Self {
                error_type: ERROR_TYPE.to_owned(),
                error_message: DecodeError::<Infallible>::Decode { path, source }.to_string(),
            },
        }
    }
}
