use std::{fmt, time::SystemTime};

use serde::{Deserialize, de::DeserializeOwned};
use serde_dynamo::{AttributeValue, Deserializer, Item};
use serde_json::value::RawValue;
use tracing::{Span, error_span};

use super::{
    AfterFailure, Keys, Order, Parsed, Source, Str, TARGET, first, from_seconds, has_source, hash,
    internal, lenient, members, text_id,
};
use crate::batch::{DecodeError, DecodeErrorKind, ItemIdentifier, event::BatchEvent};

/// A stream of a DynamoDB table: the changes of an item are in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct DynamoDb {
    pub(in crate::batch) after_failure: AfterFailure,
}

/// What a record of a DynamoDB stream says of itself.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html>
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DynamoDbRecord {
    /// The sequence number, which the answer names a failed record by.
    pub sequence_number: String,
    /// What happened to the item.
    pub event_name: EventName,
    /// The record's own id.
    pub event_id: String,
    /// When it happened.
    pub approximate_creation: Option<SystemTime>,
    /// The stream's ARN.
    pub stream_arn: String,
    /// Whether DynamoDB itself has removed the item, because its time to live was over.
    pub is_expiry: bool,
    keys: Option<Item>,
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum EventName {
    /// It is new.
    Insert,
    /// It was changed.
    #[default]
    Modify,
    /// It was removed.
    Remove,
}

/// The item before and after a change, as far as the stream shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change<T> {
    /// The item as it was.
    pub old: Option<T>,
    /// The item as it is.
    pub new: Option<T>,
}

impl<T> Change<T> {
    /// Makes a change, for tests.
    pub const fn new(old: Option<T>, new: Option<T>) -> Self {
        Self { old, new }
    }
}

impl DynamoDbRecord {
    /// Reads the item's keys.
    ///
    /// ```
    /// # use powertools::batch::{Change, DynamoDbRecord, Record};
    /// #[derive(serde::Deserialize)]
    /// struct Key { id: String }
    ///
    /// async fn handle(
    ///     record: Record<Change<serde_json::Value>, DynamoDbRecord>,
    /// ) -> Result<(), lambda_runtime::Error> {
    ///     let Key { id } = record.source.keys()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails where they are not a `K`.
    pub fn keys<K: DeserializeOwned>(&self) -> Result<K, DecodeError> {
        let Some(keys) = self.keys.clone() else {
            return Err(DecodeError::new(FORMAT, DecodeErrorKind::Missing).at(KEYS, 0, 0));
        };
        serde_dynamo::from_item(keys).map_err(|_: serde_dynamo::Error| {
            DecodeError::new(FORMAT, DecodeErrorKind::Schema).at(KEYS, 0, 0)
        })
    }
}

const FORMAT: &str = "DynamoDB item";
const KEYS: &str = "dynamodb.Keys";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(default, deserialize_with = "lenient")]
    event_name: Option<EventName>,
    #[serde(borrow, rename = "eventID")]
    event_id: Option<Str<'a>>,
    #[serde(borrow)]
    dynamodb: Inner<'a>,
    #[serde(borrow, rename = "eventSourceARN")]
    event_source_arn: Option<Str<'a>>,
    #[serde(borrow)]
    user_identity: Option<Identity<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner<'a> {
    #[serde(borrow)]
    sequence_number: Option<Str<'a>>,
    #[serde(borrow)]
    keys: Option<&'a RawValue>,
    #[serde(borrow)]
    old_image: Option<&'a RawValue>,
    #[serde(borrow)]
    new_image: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "lenient")]
    approximate_creation_date_time: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(borrow)]
    principal_id: Option<Str<'a>>,
}

/// The two images of a record as they came.
#[derive(Clone, Copy)]
pub struct RawImages<'a> {
    old: Option<&'a RawValue>,
    new: Option<&'a RawValue>,
}

impl RawImages<'_> {
    pub(in crate::batch) fn decode<T: DeserializeOwned>(self) -> Result<Change<T>, DecodeError> {
        Ok(Change {
            old: self
                .old
                .map(|image| item(image, "dynamodb.OldImage"))
                .transpose()?,
            new: self
                .new
                .map(|image| item(image, "dynamodb.NewImage"))
                .transpose()?,
        })
    }
}

impl fmt::Debug for RawImages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawImages").finish_non_exhaustive()
    }
}

fn item<T: DeserializeOwned>(image: &RawValue, path: &'static str) -> Result<T, DecodeError> {
    let error = |kind| DecodeError::new(FORMAT, kind);
    let item = serde_json::from_str(image.get())
        .map_err(|it| error(DecodeErrorKind::Syntax).at(path, it.line(), it.column()))?;
    let item = Deserializer::from_attribute_value(AttributeValue::M(item));
    serde_path_to_error::deserialize(item).map_err(
        |it: serde_path_to_error::Error<serde_dynamo::Error>| {
            error(DecodeErrorKind::Schema).at(format!("{path}.{}", it.path()), 0, 0)
        },
    )
}

impl Source for DynamoDb {
    type Record = DynamoDbRecord;
}

impl internal::Source for DynamoDb {
    type Body<'a> = RawImages<'a>;
    type Part = std::convert::Infallible;

    const NAME: &'static str = "DynamoDB";

    fn is_source_of(event: &BatchEvent) -> bool {
        has_source(event, "aws:dynamodb")
    }

    fn order(&self) -> Order {
        Order::Groups(self.after_failure)
    }

    fn parse<'a>(raw: &'a RawValue) -> Result<Parsed<'a, Self>, DecodeError> {
        let envelope: Envelope<'_> = members(Self::NAME, raw)?;
        let inner = envelope.dynamodb;
        let keys = inner.keys.map(|keys| {
            serde_json::from_str(keys.get()).map_err(|error| {
                DecodeError::new(FORMAT, DecodeErrorKind::Syntax).at(
                    KEYS,
                    error.line(),
                    error.column(),
                )
            })
        });
        let record = DynamoDbRecord {
            sequence_number: Str::owned(inner.sequence_number),
            event_name: envelope.event_name.unwrap_or_default(),
            event_id: Str::owned(envelope.event_id),
            approximate_creation: inner.approximate_creation_date_time.and_then(from_seconds),
            stream_arn: Str::owned(envelope.event_source_arn),
            is_expiry: envelope
                .user_identity
                .and_then(|identity| identity.principal_id)
                .is_some_and(|principal| principal == *SERVICE),
            keys: keys.transpose()?,
        };
        Ok(Parsed {
            record,
            body: RawImages {
                old: inner.old_image,
                new: inner.new_image,
            },
        })
    }

    fn identify(raw: &RawValue) -> Option<ItemIdentifier> {
        text_id(raw, &["dynamodb", "SequenceNumber"])
    }

    fn keys(&self, raw: &RawValue) -> Keys {
        Keys {
            group: hash_item(first(raw, &["dynamodb", "Keys"])),
            shard: 0,
        }
    }

    fn parse_part<'a>(part: Self::Part) -> Parsed<'a, Self> {
        match part {}
    }

    fn span(record: &DynamoDbRecord) -> Span {
        error_span!(target: TARGET, "record", sequence_number = record.sequence_number)
    }

    fn arrival(raw: &RawValue) -> Option<SystemTime> {
        first(raw, &["dynamodb", "ApproximateCreationDateTime"]).and_then(from_seconds)
    }
}

/// Who removes items whose time to live is over.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html>
const SERVICE: &str = "dynamodb.amazonaws.com";

/// The members of an item are in no order.
fn hash_item(item: Option<&RawValue>) -> u64 {
    type Members<'a> = std::collections::BTreeMap<std::borrow::Cow<'a, str>, &'a RawValue>;
    let members = item.and_then(|item| serde_json::from_str::<Members<'_>>(item.get()).ok());
    let mut all = 0;
    for (name, value) in members.into_iter().flatten() {
        all = hash((all, name, value.get()));
    }
    all
}
