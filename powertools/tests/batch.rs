//! Batches as a user sees them.
#![cfg(all(feature = "batch", feature = "testing"))]

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent};
use powertools::{
    HasContext,
    batch::{
        AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, BatchService, Bytes,
        Change, DecodeErrorKind, Disposition, DynamoDb, DynamoDbRecord, EventName, FailedRecord,
        FailureSink, Images, Json, Kafka, KafkaRecord, Kinesis, KinesisRecord, Record, RecordError,
        Settlement, Sqs, SqsFifo, SqsMessage, Text,
    },
    testing,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Order {
    id: String,
    total: u64,
}

/// What handlers have been given, in their order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn event(json: &Value) -> LambdaEvent<BatchEvent> {
    LambdaEvent::new(
        serde_json::from_str(&json.to_string()).unwrap(),
        testing::context("52fdfc07"),
    )
}

/// An event that has this long to go.
fn event_for(json: &Value, left: Duration) -> LambdaEvent<BatchEvent> {
    let mut event = event(json);
    event.context.deadline = u64::try_from((left).as_millis()).unwrap();
    event
}

fn epoch() -> SystemTime {
    UNIX_EPOCH
}

fn message(id: &str, body: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": format!("handle-{id}"),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1795209140352",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1795209140353",
        },
        "messageAttributes": {
            "attempt": {"stringValue": "1", "dataType": "Number"},
            "digest": {"binaryValue": "AP8=", "dataType": "Binary.sha"},
        },
        "md5OfBody": "0d14d8e8e1249432f0e18930c4486698",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
        "awsRegion": "eu-west-1",
    })
}

fn fifo_message(id: &str, group: &str) -> Value {
    let mut message = message(id, id);
    message["attributes"]["MessageGroupId"] = group.into();
    message["attributes"]["MessageDeduplicationId"] = "d".into();
    message["attributes"]["SequenceNumber"] = "18849496460467696128".into();
    message
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

fn kinesis_record(number: &str, key: &str, data: impl AsRef<[u8]>) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": number,
            "data": base64(data),
            "approximateArrivalTimestamp": 1_545_084_650.5,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000006:{number}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
    })
}

fn dynamodb_record(number: &str, name: &str, old: Value, new: Value) -> Value {
    let mut dynamodb = json!({
        "ApproximateCreationDateTime": 1_545_084_650,
        "Keys": {"id": {"S": "a1"}},
        "SequenceNumber": number,
        "SizeBytes": 26,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    if !old.is_null() {
        dynamodb["OldImage"] = old;
    }
    if !new.is_null() {
        dynamodb["NewImage"] = new;
    }
    json!({
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": dynamodb,
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2024",
    })
}

fn kafka_record(partition: i64, offset: i64, key: Option<&str>, value: Option<&str>) -> Value {
    json!({
        "topic": "orders",
        "partition": partition,
        "offset": offset,
        "timestamp": 1_545_084_650_987_u64,
        "timestampType": "CREATE_TIME",
        "key": key.map(base64),
        "value": value.map(base64),
        "headers": [{"trace": [104, -1, 255]}, {"trace": [105]}],
    })
}

fn records(records: impl IntoIterator<Item = Value>) -> Value {
    json!({"Records": records.into_iter().collect::<Vec<_>>()})
}

fn answered(response: &BatchResponse) -> Value {
    serde_json::to_value(response).unwrap()
}

fn failures(response: &BatchResponse) -> Vec<String> {
    response.failures().map(ToString::to_string).collect()
}

fn refuse(
    failing: &'static [&'static str],
) -> impl Fn(&str) -> Result<(), Error> + Clone + Send {
    move |id| match failing.contains(&id) {
        true => Err(format!("{id} refused").into()),
        false => Ok(()),
    }
}

/// A handler of text that fails for these texts.
fn texts<M: Send + 'static>(
    seen: &Seen,
    failing: &'static [&'static str],
) -> impl Service<Record<String, M>, Response = (), Error = Error, Future: Send> + Clone + Send + 'static
{
    let seen = seen.clone();
    let refuse = refuse(failing);
    service_fn(move |record: Record<String, M>| {
        seen.add(record.payload.clone());
        std::future::ready(refuse(&record.payload))
    })
}

#[tokio::test]
async fn a_record_that_fails_is_the_only_one_that_comes_again() {
    async fn handle(record: Record<Order>) -> Result<(), Error> {
        match record.payload.total {
            0 => Err("nothing to pay".into()),
            _ => Ok(()),
        }
    }
    let service = ServiceBuilder::new()
        .layer(BatchLayer::sqs().concurrency(8))
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service_fn(handle);
    let batch = records([
        message("m1", r#"{"id":"a1","total":1}"#),
        message("m2", r#"{"id":"a2","total":0}"#),
        message("m3", r#"{"id":"a3","total":3}"#),
    ]);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(
        answered(&response),
        json!({"batchItemFailures": [{"itemIdentifier": "m2"}]})
    );
}

#[tokio::test]
async fn the_runtime_infers_the_types_of_a_whole_stack() {
    async fn handle(_: Record<Change<Order>, DynamoDbRecord>) -> Result<(), Error> {
        Ok(())
    }
    fn is_accepted<A, S>(_: S)
    where
        S: Service<LambdaEvent<A>>,
        S::Error: Into<Diagnostic> + std::fmt::Debug,
        S::Response: serde::Serialize,
        A: for<'de> Deserialize<'de>,
    {
    }
    is_accepted(
        ServiceBuilder::new()
            .layer(BatchLayer::dynamodb())
            .service_fn(handle),
    );
}
