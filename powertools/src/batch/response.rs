use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// What Lambda is told of a batch: the records that are to be delivered again.
///
/// The event source mapping has to be told to look at it: `ReportBatchItemFailures` among its
/// `FunctionResponseTypes`. Otherwise it takes every answer for a success.
///
/// ```json
/// {"batchItemFailures":[{"itemIdentifier":"059f36b4-87a3-44ab-83d2-661975830a7d"}]}
/// ```
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

impl BatchResponse {
    pub(super) fn new(failures: impl IntoIterator<Item = ItemIdentifier>) -> Self {
        Self {
            batch_item_failures: failures.into_iter().map(BatchItemFailure).collect(),
        }
    }

    /// Returns the records that are to be delivered again, in the order of the event.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = &ItemIdentifier> {
        self.batch_item_failures.iter().map(|failure| &failure.0)
    }
}

/// What Lambda is told of a batch in a [tumbling window](super::WindowLayer): also the state that the
/// window's next batch comes with.
///
/// ```json
/// {"state":{"orders":3,"total":2450},"batchItemFailures":[]}
/// ```
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WindowResponse<State> {
    /// The state.
    pub state: State,
    #[serde(flatten)]
    batch: BatchResponse,
}

impl<State> WindowResponse<State> {
    pub(super) fn new(state: State, failures: impl IntoIterator<Item = ItemIdentifier>) -> Self {
        Self {
            state,
            batch: BatchResponse::new(failures),
        }
    }

    /// Returns the records that are to be delivered again, in the order of the event.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = &ItemIdentifier> {
        self.batch.failures()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct BatchItemFailure(ItemIdentifier);

impl Serialize for BatchItemFailure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("BatchItemFailure", 1)?;
        object.serialize_field("itemIdentifier", &self.0)?;
        object.end()
    }
}

/// The identifier of a record, as it stands in the answer to its batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemIdentifier {
    /// A message id of SQS, or a sequence number of Kinesis or DynamoDB.
    Id(String),
    /// A place in a partition of Kafka: `{"partition":"orders-0","offset":15}`.
    #[non_exhaustive]
    Offset {
        /// Topic and partition, as in `orders-0`.
        partition: String,
        /// The offset in it.
        offset: i64,
    },
}

impl Serialize for ItemIdentifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => serializer.serialize_str(id),
            Self::Offset { partition, offset } => {
                let mut object = serializer.serialize_struct("ItemIdentifier", 2)?;
                object.serialize_field("partition", partition)?;
                object.serialize_field("offset", offset)?;
                object.end()
            }
        }
    }
}

impl fmt::Display for ItemIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Offset { partition, offset } => write!(f, "{partition}@{offset}"),
        }
    }
}

impl PartialEq<str> for ItemIdentifier {
    fn eq(&self, other: &str) -> bool {
        matches!(self, Self::Id(id) if id == other)
    }
}
