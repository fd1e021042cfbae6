//! What a batch comes from.

use std::{
    borrow::Cow,
    fmt::{self, Debug},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tracing::Span;

use super::{DecodeError, DecodeErrorKind, ItemIdentifier};

mod dynamodb;
mod kafka;
mod kinesis;
mod sqs;

pub use dynamodb::{Change, DynamoDb, DynamoDbRecord, EventName};
pub(super) use kafka::Body as KafkaBody;
pub use kafka::{Kafka, KafkaRecord};
pub(super) use kinesis::Body as KinesisBody;
pub use kinesis::{Kinesis, KinesisRecord};
pub use sqs::{MessageAttribute, Sqs, SqsFifo, SqsMessage};

/// The target of the records' spans: their fields are keys of log lines, which those of spans with the
/// module's own target are not.
pub(super) const TARGET: &str = "powertools";

/// What a batch comes from: [`Sqs`], [`SqsFifo`], [`Kinesis`], [`DynamoDb`] or [`Kafka`].
pub trait Source: internal::Source {
    /// What a record says of itself beside its content: the second parameter of
    /// [`Record`](super::Record).
    type Record: Clone + Debug + Send + Sync + 'static;
}

/// What a source knows of its records, for the service.
pub(super) mod internal {
    use super::{
        DecodeError, ItemIdentifier, Keys, Order, Parsed, RawValue, Span, SystemTime, UnpackedParts,
    };
    use crate::batch::event;

    pub trait Source: Clone + std::fmt::Debug + Send + Sync + Sized + 'static {
        /// What a record carries, before it is decoded.
        type Body<'a>: Send;
        /// One of several records in one.
        type Part: Send + Sync + 'static;

        /// How errors call it.
        const NAME: &'static str;

        /// Returns whether the event names this source as its own.
        fn is_source_of(event: &event::BatchEvent) -> bool;

        /// Says what order the records have to be handled in.
        fn order(&self) -> Order;

        /// Reads a record.
        fn parse<'a>(raw: &'a RawValue) -> Result<Parsed<'a, Self>, DecodeError>
        where
            Self: super::Source;

        /// Finds how a record is called, if that can be found.
        fn identify(raw: &RawValue) -> Option<ItemIdentifier>;

        /// Finds what a record has to be kept in order with.
        fn keys(&self, raw: &RawValue) -> Keys;

        /// Takes a record apart that holds several.
        fn unpack(&self, raw: &RawValue) -> UnpackedParts<Self::Part> {
            let _ = raw;
            Ok(None)
        }

        /// Makes a record of a part.
        fn parse_part<'a>(part: Self::Part) -> Parsed<'a, Self>
        where
            Self: super::Source;

        /// Makes the span that a record is handled in.
        fn span(record: &Self::Record) -> Span
        where
            Self: super::Source;

        /// Returns the trace header that came with a record.
        fn trace_header(record: &Self::Record) -> Option<&str>
        where
            Self: super::Source,
        {
            let _ = record;
            None
        }

        /// Finds when a record came into its stream.
        fn arrival(raw: &RawValue) -> Option<SystemTime> {
            let _ = raw;
            None
        }
    }
}

/// The parts of a record and what each has to be kept in order with, or `None` if it is one.
pub(super) type UnpackedParts<P> = Result<Option<Vec<(P, Keys)>>, DecodeError>;

/// A record that has been read.
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub struct Parsed<'a, S: Source> {
    pub(super) record: S::Record,
    pub(super) body: S::Body<'a>,
}

/// What a record has to be kept in order with, by hashes: two keys with one hash are only kept in
/// order needlessly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Records of one group are handled one after the other.
    pub(super) group: u64,
    /// What stops at a failure, where it does.
    pub(super) shard: u64,
}

/// What order the records have to be handled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None.
    Any,
    /// Those of one group one after the other; and what a failure means for those that follow.
    Groups(AfterFailure),
}

/// What becomes of the records after one that has failed.
///
/// What a stream delivers again begins with the first record that failed: all that follow come
/// again, handled or not. So the answer has to name the first failure, and decides no more than
/// that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailure {
    /// They are handled, also those of the same key; as by the other toolkits.
    ///
    /// All of them come again. Take it where records do not depend on each other, and handling one
    /// twice does no harm.
    #[default]
    Continue,
    /// Those of the same key are not handled, but reported; those of other keys are.
    ///
    /// Within a key, the order holds across deliveries. Records of other keys come again.
    SkipKey,
    /// None of the same shard (of Kafka: of the same partition) is begun, all are reported. What is
    /// being handled at that moment is handled to its end.
    Stop,
}

/// An empty identifier would have Lambda take the whole batch for failed.
fn text_id(raw: &RawValue, path: &[&str]) -> Option<ItemIdentifier> {
    let Str(id) = first(raw, path)?;
    (!id.is_empty()).then(|| ItemIdentifier::Id(id.into_owned()))
}

/// Returns what is at the end of a path of member names, and reads no further: what is looked for
/// stands in front, as a rule.
fn first<'a, T: Deserialize<'a>>(raw: &'a RawValue, path: &[&str]) -> Option<T> {
    let mut found = None;
    let search = First {
        path,
        found: &mut found,
    };
    // It breaks off in the middle, which is an error; of interest is what was found by then.
    let _ = search.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    found
}

struct First<'p, T> {
    path: &'p [&'p str],
    found: &'p mut Option<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for First<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path {
            [] => *self.found = T::deserialize(deserializer).ok(),
            _ => deserializer.deserialize_map(self)?,
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for First<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Some((name, path)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(member) = members.next_key::<Str<'_>>()? {
            if member == **name {
                let found = self.found;
                return members.next_value_seed(First { path, found });
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

fn hash(key: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Text that is only copied where it has escapes.
#[derive(Clone, Debug, Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

impl Str<'_> {
    fn owned(text: Option<Self>) -> String {
        text.map(|Str(text)| text.into_owned()).unwrap_or_default()
    }
}

impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// Returns whether an event's records are of a source, going by the first. Some tests' events do not
/// name it.
fn has_source(event: &super::event::BatchEvent, source: &str) -> bool {
    let Some(records) = &event.records else {
        return false;
    };
    let record = records.list.first();
    let origin: Option<Str<'_>> = record.and_then(|raw| first(raw, &["eventSource"]));
    !records.by_partition && origin.is_none_or(|origin| origin == *source)
}

/// Reads the members of a record.
fn members<'a, T: Deserialize<'a>>(
    source: &'static str,
    raw: &'a RawValue,
) -> Result<T, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|error| {
        DecodeError::new(source, DecodeErrorKind::Schema).at(".", error.line(), error.column())
    })
}

/// A time of an event, in seconds since the epoch.
fn from_seconds(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// A time of an event, in milliseconds since the epoch.
fn from_millis(milliseconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// Reads a member that counts as missing if it is not what it should be.
fn lenient<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(json.get()).ok())
}
