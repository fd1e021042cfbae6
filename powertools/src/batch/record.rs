use std::fmt;

use lambda_runtime::Context;

use super::SqsMessage;
use crate::Invocation;

/// One record of a batch, as a handler takes it.
///
/// `T` is what the record carries, decoded; `M` what its source says of it: [`SqsMessage`],
/// [`KinesisRecord`](super::KinesisRecord), [`DynamoDbRecord`](super::DynamoDbRecord) or
/// [`KafkaRecord`](super::KafkaRecord). It knows its invocation's context, so the layers of this
/// crate can also be put around the handler of a record.
///
/// # Examples
///
/// ```
/// use powertools::batch::{KinesisRecord, Record};
///
/// async fn handle(record: Record<u64, KinesisRecord>) -> Result<(), std::io::Error> {
///     println!("{} of {}", record.payload, record.source.partition_key);
///     Ok(())
/// }
///
/// // In a test of the handler:
/// let record = Record::new(7, KinesisRecord::default());
/// # drop(handle(record));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Record<T, M = SqsMessage> {
    /// What the record carries.
    pub payload: T,
    /// What its source says of it.
    pub source: M,
    invocation: Invocation,
}

impl<T, M> Record<T, M> {
    /// Makes a record of the running invocation, for tests; outside of one its context is empty.
    #[must_use]
    pub fn new(payload: T, source: M) -> Self {
        Self::of(payload, source, Invocation::current_or_open(None))
    }

    pub(super) const fn of(payload: T, source: M, invocation: Invocation) -> Self {
        Self {
            payload,
            source,
            invocation,
        }
    }

    /// Returns the context of the invocation that has brought the record.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.invocation.context()
    }

    /// Returns the record with another payload, for layers that change what is inside.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Record<U, M> {
        Record {
            payload: f(self.payload),
            source: self.source,
            invocation: self.invocation,
        }
    }
}

impl<T: fmt::Debug, M: fmt::Debug> fmt::Debug for Record<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("payload", &self.payload)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
