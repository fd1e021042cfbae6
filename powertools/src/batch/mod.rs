//! The records of a batch one by one.

mod disposition;
mod error;
mod format;
#[cfg(feature = "batch-large-messages")]
mod large_messages;
#[cfg(feature = "batch-sqs")]
mod sqs_actions;

pub use disposition::{ClassifyFailure, Disposition, FailedRecord, FailureSink, Settlement};
pub use error::RecordError;
pub use format::{Bytes, Data, DecodeError, DecodeErrorKind, Format, Json, SchemaMetadata, Text};
