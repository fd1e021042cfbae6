//! The streams of DynamoDB tables as a source.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types;
use aws_sdk_dynamodbstreams::types::{AttributeValue, ShardIteratorType};
use jiff::Timestamp;

use super::event::{self, Attribute, DynamoDbChange, Item, UserIdentity};
use super::source::{Kind, Page, Position, Record, Shard, ShardSource, SourceError};
use super::time::timestamp;

/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html>
const MAXIMUM_PAGE: u32 = 1_000;

/// The stream of a table.
#[derive(Debug)]
pub(super) struct DynamoDbSource {
    pub(super) client: Client,
    pub(super) stream_arn: String,
    pub(super) region: String,
}

impl ShardSource for DynamoDbSource {
    const KIND: Kind = Kind::DynamoDb;
    const PAGE: u32 = MAXIMUM_PAGE;

    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        let mut shards = Vec::new();
        let mut last = None;
        loop {
            let request = self.client.describe_stream().stream_arn(&self.stream_arn);
            let answer = request
                .set_exclusive_start_shard_id(last)
                .send()
                .await
                .map_err(|error| match error.as_service_error() {
                    Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                    _ => SourceError::other("list the stream's shards")(error),
                })?;
            let Some(description) = answer.stream_description else {
                return Ok(shards);
            };
            for shard in description.shards.unwrap_or_default() {
                let id = shard.shard_id.ok_or("a shard lacks its id");
                shards.push(Shard {
                    id: id.map_err(SourceError::other("list the stream's shards"))?,
                    parents: shard.parent_shard_id.into_iter().collect(),
                });
            }
            last = description.last_evaluated_shard_id;
            if last.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn iterator(&self, shard: &str, position: &Position) -> Result<String, SourceError> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.stream_arn)
            .shard_id(shard);
        let request = match position {
            Position::TrimHorizon | Position::Since(_) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::After(sequence_number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(sequence_number),
        };
        let answer = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_trimmed_data_access_exception() => SourceError::Trimmed,
                Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                _ => SourceError::other("get an iterator of a shard")(error),
            })?;
        answer
            .shard_iterator
            .ok_or("the answer lacks it")
            .map_err(SourceError::other("get an iterator of a shard"))
    }

    async fn records(&self, _: &str, iterator: &str, limit: u32) -> Result<Page, SourceError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let request = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(limit);
        let answer = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_expired_iterator_exception() => SourceError::Expired,
                Some(refused) if refused.is_trimmed_data_access_exception() => SourceError::Trimmed,
                Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                _ => SourceError::other("get the records of a shard")(error),
            })?;
        let records = answer
            .records
            .unwrap_or_default()
            .iter()
            .map(|record| self.record(record))
            .collect::<Result<_, _>>()?;
        Ok(Page {
            records,
            next: answer.next_shard_iterator,
            more: false,
        })
    }
}

impl DynamoDbSource {
    fn record(&self, record: &types::Record) -> Result<Record, SourceError> {
        let wrong =
            || SourceError::other("read a record")("it lacks its change or its sequence number");
        let change = record.dynamodb.as_ref().ok_or_else(wrong)?;
        let sequence_number = change.sequence_number.as_deref().ok_or_else(wrong)?;
        let created = change
            .approximate_creation_date_time
            .as_ref()
            .and_then(timestamp);
        let event = serde_json::to_string(&event::DynamoDbRecord {
            event_id: record.event_id.as_deref().unwrap_or(sequence_number),
            event_name: record
                .event_name
                .as_ref()
                .map_or("", types::OperationType::as_str),
            event_version: record.event_version.as_deref().unwrap_or("1.1"),
            event_source: record.event_source.as_deref().unwrap_or("aws:dynamodb"),
            aws_region: record.aws_region.as_deref().unwrap_or(&self.region),
            dynamodb: DynamoDbChange {
                approximate_creation_date_time: created,
                keys: change
                    .keys
                    .as_ref()
                    .map(item)
                    .transpose()?
                    .unwrap_or_default(),
                new_image: change.new_image.as_ref().map(item).transpose()?,
                old_image: change.old_image.as_ref().map(item).transpose()?,
                sequence_number,
                size_bytes: change.size_bytes.unwrap_or_default(),
                stream_view_type: change
                    .stream_view_type
                    .as_ref()
                    .map(types::StreamViewType::as_str),
            },
            user_identity: record.user_identity.as_ref().map(|identity| UserIdentity {
                principal_id: identity.principal_id.as_deref(),
                r#type: identity.r#type.as_deref(),
            }),
            event_source_arn: &self.stream_arn,
        })
        .map_err(SourceError::other("write a record as JSON"))?;
        let arrived = created.unwrap_or_else(Timestamp::now);
        Ok(Record {
            sequence_number: sequence_number.to_owned(),
            arrived,
            event,
        })
    }
}

fn item(attributes: &HashMap<String, AttributeValue>) -> Result<Item<'_>, SourceError> {
    attributes
        .iter()
        .map(|(name, value)| Ok((name.as_str(), attribute(value)?)))
        .collect()
}

fn attribute(value: &AttributeValue) -> Result<Attribute<'_>, SourceError> {
    Ok(match value {
        AttributeValue::B(bytes) => Attribute::B(bytes.as_ref()),
        AttributeValue::Bool(value) => Attribute::Bool(*value),
        AttributeValue::Bs(set) => Attribute::BinarySet(set.iter().map(AsRef::as_ref).collect()),
        AttributeValue::L(list) => {
            Attribute::L(list.iter().map(attribute).collect::<Result<_, _>>()?)
        }
        AttributeValue::M(map) => Attribute::M(item(map)?),
        AttributeValue::N(number) => Attribute::N(number),
        AttributeValue::Ns(set) => Attribute::NumberSet(set),
        AttributeValue::Null(value) => Attribute::Null(*value),
        AttributeValue::S(text) => Attribute::S(text),
        AttributeValue::Ss(set) => Attribute::StringSet(set),
        _ => {
            return Err(SourceError::other("read a record")(
                "an attribute has an unknown type",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::dynamodb::Event;
    use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Config};
    use aws_sdk_dynamodbstreams::primitives::DateTime;
    use aws_sdk_dynamodbstreams::types::{Identity, OperationType, StreamRecord, StreamViewType};

    use super::*;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10T19:26:16.525";

    fn source() -> DynamoDbSource {
        let client = Client::from_conf(
            Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .build(),
        );
        DynamoDbSource {
            client,
            stream_arn: ARN.to_owned(),
            region: "us-east-2".to_owned(),
        }
    }

    #[test]
    fn an_event_has_the_bytes_that_aws_documents() {
        let change = StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_479_499_740))
            .keys("Id", AttributeValue::N("101".to_owned()))
            .new_image(
                "Message",
                AttributeValue::S("This item has changed".to_owned()),
            )
            .new_image("Id", AttributeValue::N("101".to_owned()))
            .old_image("Message", AttributeValue::S("New item!".to_owned()))
            .sequence_number("222")
            .size_bytes(59)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        let record = types::Record::builder()
            .event_id("c81e728d9d4c2f636f067f89cc14862c")
            .event_name(OperationType::Modify)
            .event_version("1.1")
            .event_source("aws:dynamodb")
            .aws_region("us-east-2")
            .dynamodb(change)
            .build();
        let record = source().record(&record).unwrap();
        assert_eq!(record.sequence_number, "222");
        let payload = event::payload(&[record]);
        assert_eq!(
            String::from_utf8(payload.clone()).unwrap(),
            concat!(
                r#"{"Records":[{"eventID":"c81e728d9d4c2f636f067f89cc14862c","eventName":"MODIFY","eventVersion":"1.1","#,
                r#""eventSource":"aws:dynamodb","awsRegion":"us-east-2","dynamodb":{"#,
                r#""ApproximateCreationDateTime":1479499740,"Keys":{"Id":{"N":"101"}},"#,
                r#""NewImage":{"Id":{"N":"101"},"Message":{"S":"This item has changed"}},"#,
                r#""OldImage":{"Message":{"S":"New item!"}},"SequenceNumber":"222","SizeBytes":59,"#,
                r#""StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"#,
                r#""arn:aws:dynamodb:us-east-2:123456789012:table/my-table/stream/2024-06-10T19:26:16.525"}]}"#,
            ),
        );

        let event: Event = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            event.records[0].change.sequence_number.as_deref(),
            Some("222")
        );
        assert_eq!(
            event.records[0]
                .change
                .approximate_creation_date_time
                .timestamp(),
            1_479_499_740
        );
    }

    #[test]
    fn what_a_record_does_not_have_is_left_out() {
        let change = StreamRecord::builder()
            .sequence_number("1")
            .keys("Id", AttributeValue::S("a".to_owned()))
            .build();
        let deleted_by = Identity::builder()
            .principal_id("dynamodb.amazonaws.com")
            .r#type("Service")
            .build();
        let record = types::Record::builder()
            .event_name(OperationType::Remove)
            .dynamodb(change)
            .user_identity(deleted_by)
            .build();
        let record = source().record(&record).unwrap();
        let json: serde_json::Value = serde_json::from_str(&record.event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "eventID": "1",
                "eventName": "REMOVE",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-2",
                "dynamodb": {"Keys": {"Id": {"S": "a"}}, "SequenceNumber": "1", "SizeBytes": 0},
                "userIdentity": {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
                "eventSourceARN": ARN,
            }),
        );
        let event: Event = serde_json::from_slice(&event::payload(&[record])).unwrap();
        assert_eq!(
            event.records[0]
                .user_identity
                .as_ref()
                .unwrap()
                .principal_id,
            "dynamodb.amazonaws.com"
        );
    }

    #[test]
    fn a_record_without_a_sequence_number_is_refused() {
        let record = types::Record::builder()
            .dynamodb(StreamRecord::builder().build())
            .build();
        assert!(matches!(
            source().record(&record),
            Err(SourceError::Other { .. })
        ));
    }
}
