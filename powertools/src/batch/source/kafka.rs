use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{Span, error_span};

use super::{
    AfterFailure, Keys, Order, Parsed, Source, Str, TARGET, first, from_millis, hash, internal,
    members,
};
use crate::batch::{
    Data, DecodeError, DecodeErrorKind, ItemIdentifier, SchemaMetadata, event::BatchEvent,
};

/// What events of Amazon MSK and of self-managed Kafka call their source.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html>
const EVENT_SOURCES: [&str; 2] = ["aws:kafka", "SelfManagedKafka"];

/// Topics of Kafka, Amazon MSK or self-managed: the records of a partition are in order.
///
/// With [`concurrency`](super::super::BatchLayer::concurrency) those of one key are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka {
    pub(in crate::batch) after_failure: AfterFailure,
}

/// What a record of Kafka says of itself.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaRecord {
    /// The topic.
    pub topic: String,
    /// The topic's partition.
    pub partition: i64,
    /// The offset in the partition, which the answer names a failed record by.
    pub offset: i64,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The headers, in their order; a name may come again. One without a value is empty.
    pub headers: Vec<(String, Vec<u8>)>,
    /// When it was made, or appended to its topic; as the topic has it.
    pub timestamp: Option<SystemTime>,
}

impl KafkaRecord {
    /// Returns the last header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().rfind(|(it, _)| it == name);
        found.map(|(_, value)| value.as_slice())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i64,
    offset: i64,
    timestamp: Option<i64>,
    #[serde(borrow)]
    key: Option<Str<'a>>,
    #[serde(borrow)]
    value: Option<Str<'a>>,
    #[serde(borrow)]
    headers: Option<Vec<Headers<'a>>>,
    #[serde(borrow)]
    value_schema_metadata: Option<Schema<'a>>,
}

/// A header may be without a value.
type Headers<'a> = BTreeMap<Cow<'a, str>, Option<Vec<i16>>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema<'a> {
    #[serde(borrow)]
    data_format: Option<Str<'a>>,
    #[serde(borrow)]
    schema_id: Option<Str<'a>>,
}

/// What a record carries.
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub struct Body<'a> {
    value: Option<Cow<'a, str>>,
    schema: Option<SchemaMetadata<'a>>,
}

impl<'a> Body<'a> {
    pub(in crate::batch) fn data(self) -> Result<Data<'a>, DecodeError> {
        let data = match self.value {
            Some(value) => Data::bytes(base64(&value, "value")?),
            None => Data::null(),
        };
        Ok(data.with_schema(self.schema))
    }
}

fn base64(text: &str, member: &str) -> Result<Vec<u8>, DecodeError> {
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| DecodeError::new(Kafka::NAME, DecodeErrorKind::Base64).at(member, 0, 0))
}

/// Java's bytes have a sign.
fn byte(number: i16) -> Result<u8, DecodeError> {
    u8::try_from(number)
        .or_else(|_| i8::try_from(number).map(i8::cast_unsigned))
        .map_err(|_| DecodeError::new(Kafka::NAME, DecodeErrorKind::Schema).at("headers", 0, 0))
}

impl Kafka {
    const NAME: &'static str = <Self as internal::Source>::NAME;
}

impl Source for Kafka {
    type Record = KafkaRecord;
}

impl internal::Source for Kafka {
    type Body<'a> = Body<'a>;
    type Part = std::convert::Infallible;

    const NAME: &'static str = "Kafka";

    fn is_source_of(event: &BatchEvent) -> bool {
        let is_ours = |source: &String| EVENT_SOURCES.contains(&source.as_str());
        event
            .records
            .as_ref()
            .is_some_and(|records| records.by_partition)
            && event.source.as_ref().is_none_or(is_ours)
    }

    fn order(&self) -> Order {
        Order::Groups(self.after_failure)
    }

    fn parse<'a>(raw: &'a RawValue) -> Result<Parsed<'a, Self>, DecodeError> {
        let envelope: Envelope<'_> = members(Self::NAME, raw)?;
        let key = envelope.key.map(|Str(key)| base64(&key, "key"));
        let headers = envelope.headers.into_iter().flatten().flatten();
        let headers = headers.map(|(name, value)| {
            let value = value.into_iter().flatten();
            let value: Result<_, DecodeError> = value.map(byte).collect();
            Ok((name.into_owned(), value?))
        });
        let timestamp = envelope.timestamp.and_then(|it| u64::try_from(it).ok());
        let record = KafkaRecord {
            topic: envelope.topic.into_owned(),
            partition: envelope.partition,
            offset: envelope.offset,
            key: key.transpose()?,
            headers: headers.collect::<Result<_, DecodeError>>()?,
            timestamp: timestamp.and_then(from_millis),
        };
        let schema = envelope.value_schema_metadata.and_then(|schema| {
            let Str(format) = schema.data_format?;
            let metadata = SchemaMetadata::new(format);
            Some(match schema.schema_id {
                Some(Str(id)) => metadata.schema_id(id),
                None => metadata,
            })
        });
        Ok(Parsed {
            record,
            body: Body {
                value: envelope.value.map(|Str(value)| value),
                schema,
            },
        })
    }

    fn identify(raw: &RawValue) -> Option<ItemIdentifier> {
        let Str(topic) = first(raw, &["topic"])?;
        let partition: i64 = first(raw, &["partition"])?;
        Some(ItemIdentifier::Offset {
            partition: format!("{topic}-{partition}"),
            offset: first(raw, &["offset"])?,
        })
    }

    fn keys(&self, raw: &RawValue) -> Keys {
        let topic: Option<Str<'_>> = first(raw, &["topic"]);
        let partition: Option<i64> = first(raw, &["partition"]);
        let key: Option<Str<'_>> = first(raw, &["key"]);
        let shard = (topic.as_ref().map(|Str(topic)| topic), partition);
        Keys {
            group: hash((&shard, key.as_ref().map(|Str(key)| key))),
            shard: hash(shard),
        }
    }

    fn parse_part<'a>(part: Self::Part) -> Parsed<'a, Self> {
        match part {}
    }

    fn span(record: &KafkaRecord) -> Span {
        error_span!(target: TARGET, "record",
            topic = record.topic,
            partition = record.partition,
            offset = record.offset,
        )
    }

    fn arrival(raw: &RawValue) -> Option<SystemTime> {
        first(raw, &["timestamp"]).and_then(from_millis)
    }
}
