//! The events that functions get, as AWS shapes them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::Serializer;

use super::source::Record;

/// What an event is besides its records and the commas between them.
const FRAME: (&[u8], &[u8]) = (br#"{"Records":["#, b"]}");

/// The event with these records.
pub(super) fn payload(records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(payload_size(records));
    payload.extend_from_slice(FRAME.0);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            payload.push(b',');
        }
        payload.extend_from_slice(record.event.as_bytes());
    }
    payload.extend_from_slice(FRAME.1);
    payload
}

/// The bytes of the event with these records.
pub(super) fn payload_size<'a>(records: impl IntoIterator<Item = &'a Record>) -> usize {
    records.into_iter().fold(0, payload_size_with)
}

/// The bytes of an event that has one record more than the one of this size; zero stands for the event without any.
pub(super) fn payload_size_with(size: usize, record: &Record) -> usize {
    let others = if size == 0 {
        FRAME.0.len() + FRAME.1.len()
    } else {
        size + b",".len()
    };
    others + record.event.len()
}

/// A record of a Kinesis stream.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KinesisRecord<'a> {
    pub(super) kinesis: KinesisData<'a>,
    pub(super) event_source: &'a str,
    pub(super) event_version: &'a str,
    #[serde(rename = "eventID")]
    pub(super) event_id: String,
    pub(super) event_name: &'a str,
    pub(super) invoke_identity_arn: &'a str,
    pub(super) aws_region: &'a str,
    #[serde(rename = "eventSourceARN")]
    pub(super) event_source_arn: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KinesisData<'a> {
    pub(super) kinesis_schema_version: &'a str,
    pub(super) partition_key: &'a str,
    pub(super) sequence_number: &'a str,
    #[serde(serialize_with = "base64")]
    pub(super) data: &'a [u8],
    #[serde(serialize_with = "float_seconds")]
    pub(super) approximate_arrival_timestamp: Timestamp,
}

/// A record of the stream of a DynamoDB table.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DynamoDbRecord<'a> {
    #[serde(rename = "eventID")]
    pub(super) event_id: &'a str,
    pub(super) event_name: &'a str,
    pub(super) event_version: &'a str,
    pub(super) event_source: &'a str,
    pub(super) aws_region: &'a str,
    pub(super) dynamodb: DynamoDbChange<'a>,
    /// Who deleted the item, when its time to live did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_identity: Option<UserIdentity<'a>>,
    #[serde(rename = "eventSourceARN")]
    pub(super) event_source_arn: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DynamoDbChange<'a> {
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "whole_seconds"
    )]
    pub(super) approximate_creation_date_time: Option<Timestamp>,
    pub(super) keys: Item<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new_image: Option<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old_image: Option<Item<'a>>,
    pub(super) sequence_number: &'a str,
    pub(super) size_bytes: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_view_type: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserIdentity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) principal_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'a str>,
}

/// The attributes of an item, in alphabetical order.
pub(super) type Item<'a> = BTreeMap<&'a str, Attribute<'a>>;

/// A value of an attribute, with its type.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_AttributeValue.html>
#[derive(Debug, Serialize)]
pub(super) enum Attribute<'a> {
    #[serde(serialize_with = "base64")]
    B(&'a [u8]),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "BS", serialize_with = "base64_each")]
    BinarySet(Vec<&'a [u8]>),
    L(Vec<Attribute<'a>>),
    M(Item<'a>),
    N(&'a str),
    #[serde(rename = "NS")]
    NumberSet(&'a [String]),
    #[serde(rename = "NULL")]
    Null(bool),
    S(&'a str),
    #[serde(rename = "SS")]
    StringSet(&'a [String]),
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn base64_each<S: Serializer>(set: &[&[u8]], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(set.iter().map(|bytes| BASE64_STANDARD.encode(bytes)))
}

/// Seconds since the epoch with three decimals at most, as Kinesis gives them.
#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds since the epoch need 41 of the 53 bits"
)]
fn float_seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_millisecond() as f64 / 1000.0)
}

/// Whole seconds since the epoch, as DynamoDB gives them.
#[allow(clippy::ref_option, reason = "serde asks for this signature")]
fn whole_seconds<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(Timestamp::as_second).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_an_event_is_known_before_it_is_made() {
        for count in 1..4 {
            let records: Vec<_> = (0..count)
                .map(|number| Record::for_test(&format!("{number:0>3}")))
                .collect();
            assert_eq!(payload(&records).len(), payload_size(&records), "{count}");
        }
    }

    #[test]
    fn an_event_is_an_object_with_its_records() {
        let records = [Record::for_test("1"), Record::for_test("2")];
        assert_eq!(
            String::from_utf8(payload(&records)).unwrap(),
            r#"{"Records":["1","2"]}"#
        );
    }

    #[test]
    fn every_type_of_attribute_is_written_as_dynamodb_does() {
        let strings = ["a".to_owned(), "b".to_owned()];
        let attributes = [
            (Attribute::S("a"), r#"{"S":"a"}"#),
            (Attribute::N("1.50"), r#"{"N":"1.50"}"#),
            (Attribute::B(b"ab"), r#"{"B":"YWI="}"#),
            (Attribute::StringSet(&strings), r#"{"SS":["a","b"]}"#),
            (Attribute::NumberSet(&strings), r#"{"NS":["a","b"]}"#),
            (
                Attribute::BinarySet(vec![b"ab", b""]),
                r#"{"BS":["YWI=",""]}"#,
            ),
            (
                Attribute::L(vec![Attribute::Null(true)]),
                r#"{"L":[{"NULL":true}]}"#,
            ),
            (
                Attribute::M(Item::from([("k", Attribute::Bool(false))])),
                r#"{"M":{"k":{"BOOL":false}}}"#,
            ),
        ];
        for (attribute, json) in attributes {
            assert_eq!(serde_json::to_string(&attribute).unwrap(), json);
        }
    }
}
