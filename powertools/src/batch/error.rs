use std::{convert::Infallible, fmt};

use lambda_runtime::Diagnostic;

use super::{DecodeError, ItemIdentifier};

/// Lambda's `errorType` of a batch without an answer.
const ERROR_TYPE: &str = "powertools::batch::BatchError";

/// Why a batch has no answer: Lambda delivers all of it again.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BatchError<E> {
    /// No record was handled.
    ///
    /// See [`BatchLayer::raise_on_entire_batch_failure`](super::BatchLayer::raise_on_entire_batch_failure).
    #[error("all {records} records of the batch failed")]
    #[non_exhaustive]
    AllFailed {
        /// How many there are.
        records: usize,
        /// The first that failed, at most [`MAX_FAILURES`](super::MAX_FAILURES); those that were not
        /// begun are not among them.
        failures: Vec<RecordFailure<E>>,
    },
    /// The event is no batch of the layer's source.
    #[error("the event is no batch of {expected}")]
    #[non_exhaustive]
    UnexpectedBatchType {
        /// The layer's source, such as `SQS`.
        expected: &'static str,
    },
    /// A record failed that has no identifier, so it cannot be reported alone.
    #[error("record {index} of the batch failed and has no identifier")]
    #[non_exhaustive]
    Unidentified {
        /// Its place in the event, from 0.
        index: usize,
    },
    /// The state of the window is not what the handler takes.
    #[error("the window's state cannot be read (line {line}, column {column})")]
    #[non_exhaustive]
    State {
        /// The line of the state that does not fit, from 1.
        line: usize,
        /// The column of the state that does not fit, from 1.
        column: usize,
    },
    /// The handler failed at the end of a window; its error passes through untouched.
    #[error("{0}")]
    Handler(E),
}

/// A record that failed, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordFailure<E> {
    /// Its place in the event, from 0.
    pub index: usize,
    /// How it is called, if it is called anything.
    pub identifier: Option<ItemIdentifier>,
    /// Why it failed.
    pub error: RecordError<E>,
}

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
    #[error("the handler panicked: {message}")]
    #[non_exhaustive]
    Panicked {
        /// What it said.
        message: String,
    },
    /// The handler had not answered when the time was nearly over, and was dropped: by the batch's
    /// [`margin`](super::BatchLayer::margin). The error of a timeout layer inside is a
    /// [`Handler`](Self::Handler)'s.
    #[error("the handler had not answered shortly before the deadline")]
    CutOff,
}

/// The runtime logs a failure by its `Debug` text: that shows the handler's own error as if it were
/// returned bare.
impl<E: fmt::Debug> fmt::Debug for RecordError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Panicked { message } => f
                .debug_struct("Panicked")
                .field("message", message)
                .finish(),
            Self::CutOff => f.write_str("CutOff"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllFailed { records, failures } => f
                .debug_struct("AllFailed")
                .field("records", records)
                .field("failures", failures)
                .finish(),
            Self::UnexpectedBatchType { expected } => f
                .debug_struct("UnexpectedBatchType")
                .field("expected", expected)
                .finish(),
            Self::Unidentified { index } => f
                .debug_struct("Unidentified")
                .field("index", index)
                .finish(),
            Self::State { line, column } => f
                .debug_struct("State")
                .field("line", line)
                .field("column", column)
                .finish(),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

/// A batch of which all failed says what the first failed of; the handler's diagnostic at the end of
/// a window stays what it is.
impl<E: Into<Diagnostic>> From<BatchError<E>> for Diagnostic {
    fn from(error: BatchError<E>) -> Self {
        let message = match error {
            BatchError::Handler(error) => return error.into(),
            BatchError::AllFailed { records, failures } => {
                all_failed(records, failures.into_iter().next())
            }
            BatchError::UnexpectedBatchType { expected } => {
                BatchError::<Infallible>::UnexpectedBatchType { expected }.to_string()
            }
            BatchError::Unidentified { index } => {
                BatchError::<Infallible>::Unidentified { index }.to_string()
            }
            BatchError::State { line, column } => {
                BatchError::<Infallible>::State { line, column }.to_string()
            }
        };
        Self {
            error_type: ERROR_TYPE.to_owned(),
            error_message: message,
        }
    }
}

fn all_failed<E: Into<Diagnostic>>(records: usize, first: Option<RecordFailure<E>>) -> String {
    let mut message = format!("all {records} records of the batch failed");
    let Some(first) = first else {
        return message;
    };
    message += ", the first";
    if let Some(identifier) = &first.identifier {
        message += &format!(" ({identifier})");
    }
    message += &match first.error {
        RecordError::Handler(error) => {
            let Diagnostic {
                error_type,
                error_message,
            } = error.into();
            format!(": {error_type}: {error_message}")
        }
        RecordError::Decode(error) => format!(": {error}"),
        RecordError::Panicked { message } => {
            format!(": {}", RecordError::<Infallible>::Panicked { message })
        }
        RecordError::CutOff => format!(": {}", RecordError::<Infallible>::CutOff),
    };
    message
}
