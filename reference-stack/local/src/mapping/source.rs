//! What a stream has to offer so that its records can be given to a function.

use std::fmt;

use jiff::Timestamp;

use crate::error::BoxError;

/// A stream, cut into shards, each of which is read by iterators.
pub(super) trait ShardSource: fmt::Debug + Send + Sync + 'static {
    /// What an on-failure record calls the source.
    const KIND: Kind;

    /// The most records that can be asked for at once.
    const PAGE: u32;

    /// All shards that exist, closed ones too.
    fn shards(&self) -> impl Future<Output = Result<Vec<Shard>, SourceError>> + Send;

    /// An iterator that starts at a position of a shard.
    fn iterator(
        &self,
        shard: &str,
        position: &Position,
    ) -> impl Future<Output = Result<String, SourceError>> + Send;

    /// The next records, at most `limit`.
    fn records(
        &self,
        shard: &str,
        iterator: &str,
        limit: u32,
    ) -> impl Future<Output = Result<Page, SourceError>> + Send;
}

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Kinesis stream.
    Kinesis,
    /// The stream of a DynamoDB table.
    DynamoDb,
}

/// A part of a stream whose records are in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shard {
    /// Its id.
    pub(super) id: String,
    /// The shards that were split or merged into this one; they have to be read first.
    pub(super) parents: Vec<String>,
}

/// Where an iterator starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// At the oldest record there is.
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At the first record that came at this time or later. A source that cannot do that starts at its oldest record.
    Since(Timestamp),
    /// Behind the record with this sequence number.
    After(String),
}

/// Some records of a shard.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The records, in order.
    pub(super) records: Vec<Record>,
    /// The iterator that goes on behind them; `None` at the end of a closed shard.
    pub(super) next: Option<String>,
    /// Whether the source says that there are more records already.
    pub(super) more: bool,
}

/// A record as the function gets it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Its place in the shard.
    pub(super) sequence_number: String,
    /// When it came into the stream; when it was read, if the source does not say.
    pub(super) arrived: Timestamp,
    /// One element of the event's `Records`, as JSON.
    pub(super) event: String,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The iterator is too old.
    #[error("the shard iterator has expired")]
    Expired,
    /// The position is older than the oldest record.
    #[error("records were removed from the stream before they were read")]
    Trimmed,
    /// There is no such stream or shard.
    #[error("the stream or its shard does not exist any more")]
    Gone,
    /// Anything else; it may go by.
    #[error("could not {action}")]
    Other {
        /// What was tried.
        action: &'static str,
        /// What came back.
        #[source]
        source: BoxError,
    },
}

impl SourceError {
    pub(super) fn other<E: Into<BoxError>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Other {
            action,
            source: source.into(),
        }
    }
}

#[cfg(test)]
impl Record {
    /// A record whose event is its sequence number.
    pub(super) fn for_test(sequence_number: &str) -> Self {
        let event = serde_json::to_string(sequence_number).unwrap();
        Self {
            sequence_number: sequence_number.to_owned(),
            arrived: Timestamp::UNIX_EPOCH,
            event,
        }
    }
}
