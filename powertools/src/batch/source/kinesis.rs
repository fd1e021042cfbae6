use std::{borrow::Cow, sync::Arc, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{Span, error_span};

use super::{
    AfterFailure, Keys, Order, Parsed, Source, Str, TARGET, UnpackedParts, first, from_seconds,
    has_source, hash, internal, lenient, members, text_id,
};
use crate::batch::{
    Data, DecodeError, DecodeErrorKind, ItemIdentifier,
    event::BatchEvent,
    format::{UserRecord, deaggregate},
};

/// A data stream of Kinesis: the records of a partition key are in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinesis {
    pub(in crate::batch) after_failure: AfterFailure,
    pub(in crate::batch) deaggregate: bool,
}

/// What a record of Kinesis says of itself.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct KinesisRecord {
    /// The sequence number, which the answer names a failed record by.
    pub sequence_number: String,
    /// What its producer called it after; records of one key are in order.
    pub partition_key: String,
    /// When it came into the stream.
    pub approximate_arrival: Option<SystemTime>,
    /// The shard, such as `shardId-000000000006`.
    pub shard_id: String,
    /// The stream's ARN.
    pub stream_arn: String,
    /// Which it is of the records that the producer library has put into one, from 0; `None` for one
    /// that came alone. They share the sequence number.
    pub sub_sequence_number: Option<u32>,
    /// The hash key that its producer chose itself, of a record out of several in one.
    pub explicit_hash_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    kinesis: Inner<'a>,
    #[serde(borrow, rename = "eventID")]
    event_id: Option<Str<'a>>,
    #[serde(borrow, rename = "eventSourceARN")]
    event_source_arn: Option<Str<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner<'a> {
    #[serde(borrow)]
    sequence_number: Option<Str<'a>>,
    #[serde(borrow)]
    partition_key: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    approximate_arrival_timestamp: Option<f64>,
}

/// What a record carries.
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub enum Body<'a> {
    Base64(Cow<'a, str>),
    Bytes(Vec<u8>),
}

impl<'a> Body<'a> {
    pub(in crate::batch) fn data(self) -> Result<Data<'a>, DecodeError> {
        match self {
            Self::Base64(text) => Ok(Data::bytes(base64(&text)?)),
            Self::Bytes(bytes) => Ok(Data::bytes(bytes)),
        }
    }
}

/// One of the records that the producer library has put into one.
#[expect(missing_debug_implementations, reason = "nobody sees it")]
pub struct Part {
    of: Arc<KinesisRecord>,
    number: u32,
    record: UserRecord,
}

fn base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    BASE64_STANDARD.decode(text).map_err(|_| {
        DecodeError::new(Kinesis::NAME, DecodeErrorKind::Base64).at("kinesis.data", 0, 0)
    })
}

impl Kinesis {
    const NAME: &'static str = <Self as internal::Source>::NAME;
}

impl Source for Kinesis {
    type Record = KinesisRecord;
}

impl internal::Source for Kinesis {
    type Body<'a> = Body<'a>;
    type Part = Part;

    const NAME: &'static str = "Kinesis";

    fn is_source_of(event: &BatchEvent) -> bool {
        has_source(event, "aws:kinesis")
    }

    fn order(&self) -> Order {
        Order::Groups(self.after_failure)
    }

    fn parse<'a>(raw: &'a RawValue) -> Result<Parsed<'a, Self>, DecodeError> {
        let envelope: Envelope<'_> = members(Self::NAME, raw)?;
        let inner = envelope.kinesis;
        let Some(Str(data)) = inner.data else {
            let error = DecodeError::new(Self::NAME, DecodeErrorKind::Missing);
            return Err(error.at("kinesis.data", 0, 0));
        };
        // `shardId-000000000006:49590338271490256608559692538361571095921575989136588898`
        let shard_id = envelope
            .event_id
            .as_ref()
            .and_then(|Str(id)| id.split_once(':'))
            .map_or("", |(shard, _)| shard);
        let record = KinesisRecord {
            sequence_number: Str::owned(inner.sequence_number),
            partition_key: Str::owned(inner.partition_key),
            approximate_arrival: inner.approximate_arrival_timestamp.and_then(from_seconds),
            shard_id: shard_id.to_owned(),
            stream_arn: Str::owned(envelope.event_source_arn),
            sub_sequence_number: None,
            explicit_hash_key: None,
        };
        Ok(Parsed {
            record,
            body: Body::Base64(data),
        })
    }

    fn identify(raw: &RawValue) -> Option<ItemIdentifier> {
        text_id(raw, &["kinesis", "sequenceNumber"])
    }

    fn keys(&self, raw: &RawValue) -> Keys {
        let partition_key: Option<Str<'_>> = first(raw, &["kinesis", "partitionKey"]);
        key(partition_key.as_ref().map_or("", |Str(key)| key))
    }

    fn unpack(&self, raw: &RawValue) -> UnpackedParts<Part> {
        if !self.deaggregate {
            return Ok(None);
        }
        let Parsed { record, body, .. } = Self::parse(raw)?;
        let Body::Base64(text) = body else {
            return Ok(None);
        };
        if !text.starts_with(AGGREGATED) {
            return Ok(None);
        }
        let Some(records) = deaggregate(&base64(&text)?)? else {
            return Ok(None);
        };
        let of = Arc::new(record);
        let parts = records.into_iter().zip(0..).map(|(record, number)| {
            let keys = key(&record.partition_key);
            let of = Arc::clone(&of);
            (Part { of, number, record }, keys)
        });
        Ok(Some(parts.collect()))
    }

    fn parse_part<'a>(part: Part) -> Parsed<'a, Self> {
        let of = &*part.of;
        Parsed {
            record: KinesisRecord {
                partition_key: part.record.partition_key,
                sub_sequence_number: Some(part.number),
                explicit_hash_key: part.record.explicit_hash_key,
                ..of.clone()
            },
            body: Body::Bytes(part.record.data),
        }
    }

    fn span(record: &KinesisRecord) -> Span {
        error_span!(target: TARGET, "record",
            sequence_number = record.sequence_number,
            sub_sequence_number = record.sub_sequence_number,
            partition_key = record.partition_key,
        )
    }

    fn arrival(raw: &RawValue) -> Option<SystemTime> {
        first(raw, &["kinesis", "approximateArrivalTimestamp"]).and_then(from_seconds)
    }
}

/// What the base64 of an aggregated record begins with: the first three of its four magic bytes.
const AGGREGATED: &str = "84ma";

fn key(key: &str) -> Keys {
    Keys {
        group: hash(key),
        shard: 0,
    }
}
