//! Kinesis streams as a source.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;
use aws_sdk_kinesis::types::ShardIteratorType;
use jiff::Timestamp;

use super::event::{self, KinesisData};
use super::source::{Kind, Page, Position, Record, Shard, ShardSource, SourceError};
use super::time::timestamp;

/// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
const MAXIMUM_PAGE: u32 = 10_000;

/// A Kinesis stream.
#[derive(Debug)]
pub(super) struct KinesisSource {
    pub(super) client: Client,
    pub(super) stream_arn: String,
    pub(super) region: String,
    /// The role of the function: the record names it as the one who reads.
    pub(super) role: String,
}

impl ShardSource for KinesisSource {
    const KIND: Kind = Kind::Kinesis;
    const PAGE: u32 = MAXIMUM_PAGE;

    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        let mut shards = Vec::new();
        let mut token = None;
        loop {
            let request = self
                .client
                .list_shards()
                .stream_arn(&self.stream_arn)
                .set_next_token(token);
            let page = request
                .send()
                .await
                .map_err(|error| match error.as_service_error() {
                    Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                    _ => SourceError::other("list the stream's shards")(error),
                })?;
            shards.extend(page.shards.unwrap_or_default().into_iter().map(|shard| {
                Shard {
                    id: shard.shard_id,
                    parents: [shard.parent_shard_id, shard.adjacent_parent_shard_id]
                        .into_iter()
                        .flatten()
                        .collect(),
                }
            }));
            token = page.next_token;
            if token.is_none() {
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
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::Since(time) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Position::After(sequence_number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence_number),
        };
        let answer = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                _ => SourceError::other("get an iterator of a shard")(error),
            })?;
        answer
            .shard_iterator
            .ok_or("the answer lacks it")
            .map_err(SourceError::other("get an iterator of a shard"))
    }

    async fn records(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, SourceError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let request = self
            .client
            .get_records()
            .stream_arn(&self.stream_arn)
            .shard_iterator(iterator)
            .limit(limit);
        let answer = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_expired_iterator_exception() => SourceError::Expired,
                Some(refused) if refused.is_resource_not_found_exception() => SourceError::Gone,
                _ => SourceError::other("get the records of a shard")(error),
            })?;
        let records = answer
            .records
            .iter()
            .map(|record| self.record(shard, record))
            .collect::<Result<_, _>>()?;
        let more = answer.millis_behind_latest.is_some_and(|behind| behind > 0);
        Ok(Page {
            records,
            next: answer.next_shard_iterator,
            more,
        })
    }
}

impl KinesisSource {
    fn record(&self, shard: &str, record: &types::Record) -> Result<Record, SourceError> {
        let arrived = record
            .approximate_arrival_timestamp
            .as_ref()
            .and_then(timestamp)
            .unwrap_or_else(Timestamp::now);
        let event = serde_json::to_string(&event::KinesisRecord {
            kinesis: KinesisData {
                kinesis_schema_version: "1.0",
                partition_key: record.partition_key.as_deref().unwrap_or_default(),
                sequence_number: &record.sequence_number,
                data: record.data.as_ref(),
                approximate_arrival_timestamp: arrived,
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_id: format!("{shard}:{}", record.sequence_number),
            event_name: "aws:kinesis:record",
            invoke_identity_arn: &self.role,
            aws_region: &self.region,
            event_source_arn: &self.stream_arn,
        })
        .map_err(SourceError::other("write a record as JSON"))?;
        Ok(Record {
            sequence_number: record.sequence_number.clone(),
            arrived,
            event,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::kinesis::KinesisEvent;
    use aws_sdk_kinesis::config::{BehaviorVersion, Config};
    use aws_sdk_kinesis::primitives::Blob;

    use super::*;

    const EVENT: &str = concat!(
        r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"order-1","#,
        r#""sequenceNumber":"49590338271490256608559692538361571095921575989136588898","#,
        r#""data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.987},"#,
        r#""eventSource":"aws:kinesis","eventVersion":"1.0","#,
        r#""eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898","#,
        r#""eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","#,
        r#""awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#,
    );

    #[test]
    fn an_event_has_the_bytes_that_aws_documents() {
        let client = Client::from_conf(
            Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .build(),
        );
        let source = KinesisSource {
            client,
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream".to_owned(),
            region: "us-east-2".to_owned(),
            role: "arn:aws:iam::123456789012:role/lambda-role".to_owned(),
        };
        let record = types::Record::builder()
            .partition_key("order-1")
            .sequence_number("49590338271490256608559692538361571095921575989136588898")
            .data(Blob::new("Hello, this is a test."))
            .approximate_arrival_timestamp(DateTime::from_millis(1_545_084_650_987))
            .build()
            .unwrap();
        let record = source.record("shardId-000000000006", &record).unwrap();
        let payload = event::payload(&[record]);
        assert_eq!(String::from_utf8(payload.clone()).unwrap(), EVENT);

        let event: KinesisEvent = serde_json::from_slice(&payload).unwrap();
        assert_eq!(event.records[0].kinesis.data.0, b"Hello, this is a test.");
        assert_eq!(
            event.records[0]
                .kinesis
                .approximate_arrival_timestamp
                .0
                .timestamp_millis(),
            1_545_084_650_987
        );
    }
}
