use std::fmt;

use super::DecodeError;

/// Why a record failed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RecordError<E> {
    /// The handler failed; its error is as it was returned.
    #[error("{0}")]
    Handler(E),
    /// The record is not what the handler takes; the handler was not called.
    #[error(transparent)]
    Decode(DecodeError),
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The handler had not answered when the time was nearly over, and was dropped.
    #[error("the handler had not answered shortly before the deadline")]
    CutOff,
}

impl<E: fmt::Debug> fmt::Debug for RecordError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Panicked => f.write_str("Panicked"),
            Self::CutOff => f.write_str("CutOff"),
        }
    }
}
