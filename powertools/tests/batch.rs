//! Batches as a user sees them.
#![cfg(all(feature = "batch", feature = "testing"))]

use std::{
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent};
use powertools::{
    HasContext,
    batch::{
        AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, Bytes, Change,
        DecodeErrorKind, Disposition, DynamoDb, DynamoDbRecord, EventName, FailedRecord,
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

fn refuse(failing: &'static [&'static str]) -> impl Fn(&str) -> Result<(), Error> + Clone + Send {
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

#[tokio::test]
async fn a_message_of_sqs_says_what_its_attributes_are() {
    let service = service_fn(|record: Record<Order>| async move {
        assert_eq!(record.payload.id, "a1");
        assert_eq!(HasContext::context(&record).unwrap().request_id, "52fdfc07");
        let source = record.source;
        assert_eq!(source.message_id, "m1");
        assert_eq!(source.receipt_handle, "handle-m1");
        assert_eq!(
            source.queue_arn,
            "arn:aws:sqs:eu-west-1:123456789012:orders"
        );
        assert_eq!(source.receive_count, 3);
        let sent = UNIX_EPOCH + Duration::from_millis(1_795_209_140_352);
        assert_eq!(source.sent, Some(sent));
        assert_eq!(source.first_received, Some(sent + Duration::from_millis(1)));
        assert_eq!(source.sender_id.as_deref(), Some("AIDAIENQZJOLO23YVJ4VO"));
        assert_eq!(source.group_id.as_deref(), Some("g"));
        assert_eq!(source.deduplication_id.as_deref(), Some("d"));
        assert!(source.sequence_number.is_some());
        let attempt = &source.attributes["attempt"];
        assert_eq!(attempt.data_type, "Number");
        assert_eq!(attempt.string_value.as_deref(), Some("1"));
        let digest = &source.attributes["digest"];
        assert_eq!(digest.binary_value.as_deref(), Some(&[0, 255][..]));
        Ok::<_, Error>(())
    });
    let service = ServiceBuilder::new()
        .layer(BatchLayer::sqs_fifo())
        .service(service);
    let mut message = fifo_message("m1", "g");
    message["body"] = r#"{"id":"a1","total":1}"#.into();
    let response = service.oneshot(event(&records([message]))).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
}

#[tokio::test]
async fn a_record_of_kinesis_says_where_it_comes_from() {
    let service = service_fn(|record: Record<Order, KinesisRecord>| async move {
        assert_eq!(record.payload.total, 1);
        let source = record.source;
        assert_eq!(source.sequence_number, "495");
        assert_eq!(source.partition_key, "k");
        assert_eq!(source.shard_id, "shardId-000000000006");
        assert!(source.stream_arn.ends_with("stream/lambda-stream"));
        assert_eq!(source.sub_sequence_number, None);
        let arrival = UNIX_EPOCH + Duration::from_millis(1_545_084_650_500);
        assert_eq!(source.approximate_arrival, Some(arrival));
        Ok::<_, Error>(())
    });
    let service = BatchLayer::kinesis().layer_on(service);
    let record = kinesis_record("495", "k", r#"{"id":"a1","total":1}"#);
    let response = service.oneshot(event(&records([record]))).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
}

#[tokio::test]
async fn the_images_of_a_dynamodb_record_become_types() {
    #[derive(Deserialize)]
    struct Key {
        id: String,
    }

    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        service_fn(move |record: Record<Change<Order>, DynamoDbRecord>| {
            let Change { old, new, .. } = record.payload;
            let Key { id } = record.source.keys().unwrap();
            let name = record.source.event_name;
            let totals = (old.map(|it| it.total), new.map(|it| it.total));
            seen.add(format!(
                "{name:?} {id} {totals:?} {}",
                record.source.is_expiry
            ));
            std::future::ready(Ok::<_, Error>(()))
        })
    };
    let image = |total: &str| json!({"id": {"S": "a1"}, "total": {"N": total}});
    let mut expired = dynamodb_record("4", "REMOVE", image("2"), Value::Null);
    expired["userIdentity"] = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    let batch = records([
        dynamodb_record("1", "INSERT", Value::Null, image("1")),
        dynamodb_record("2", "MODIFY", image("1"), image("2")),
        dynamodb_record("3", "MODIFY", image("x"), image("2")),
        expired,
    ]);
    let service = BatchLayer::dynamodb().layer_on(handler);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(
        seen.all(),
        [
            "Insert a1 (None, Some(1)) false",
            "Modify a1 (Some(1), Some(2)) false",
            "Remove a1 (Some(2), None) true",
        ]
    );
    assert_eq!(failures(&response), ["3"]);
}

#[tokio::test]
async fn a_record_of_kafka_is_named_by_its_partition_and_offset() {
    let handler = service_fn(|record: Record<Option<u64>, KafkaRecord>| async move {
        assert_eq!(record.source.topic, "orders");
        assert_eq!(record.source.header("trace"), Some(&b"i"[..]));
        assert_eq!(record.source.headers[0].1, [104, 255, 255]);
        assert_eq!(record.source.key.as_deref(), Some(&b"k"[..]));
        assert!(record.source.timestamp.is_some());
        record.payload.map(drop).ok_or("deleted")
    });
    let batch = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "b-2.demo:9092",
        "records": {
            "orders-0": [
                kafka_record(0, 15, Some("k"), Some("1")),
                kafka_record(0, 16, Some("k"), None),
            ],
            "orders-1": [kafka_record(1, 3, Some("k"), Some("one"))],
        },
    });
    let service = BatchLayer::kafka().layer_on(handler);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(
        answered(&response),
        json!({"batchItemFailures": [
            {"itemIdentifier": {"partition": "orders-0", "offset": 16}},
            {"itemIdentifier": {"partition": "orders-1", "offset": 3}},
        ]})
    );
}

#[tokio::test]
async fn headers_of_kafka_may_be_missing_or_without_a_value() {
    let handler = service_fn(|record: Record<String, KafkaRecord>| async move {
        match record.payload.as_str() {
            "none" => assert_eq!(record.source.headers, []),
            _ => assert_eq!(record.source.header("trace"), Some(&b""[..])),
        }
        Ok::<_, Error>(())
    });
    let mut none = kafka_record(0, 1, None, Some("none"));
    none["headers"] = Value::Null;
    let mut empty = kafka_record(0, 2, None, Some("empty"));
    empty["headers"] = json!([{"trace": null}]);
    let batch = json!({"eventSource": "aws:kafka", "records": {"orders-0": [none, empty]}});
    let service = BatchLayer::kafka().format(Text).layer_on(handler);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(response.failures().len(), 0);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_an_error_unless_told_otherwise() {
    let batch = records((0..9).map(|id| message(&format!("m{id}"), "bad")));
    let layer = BatchLayer::sqs().format(Text);
    let seen = Seen::default();

    let service = layer.clone().layer_on(texts(&seen, &["bad"]));
    let error = service.oneshot(event(&batch)).await.unwrap_err();
    let BatchError::AllFailed {
        records: 9,
        ref failures,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    let kept: Vec<_> = failures.iter().map(|it| it.index).collect();
    assert_eq!(kept, [0, 1, 2, 3, 4]);
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "powertools::batch::BatchError");
    assert!(
        diagnostic
            .error_message
            .starts_with("all 9 records of the batch failed, the first (m0): ")
            && diagnostic.error_message.ends_with(": bad refused"),
        "{}",
        diagnostic.error_message
    );

    let service = layer
        .raise_on_entire_batch_failure(false)
        .layer_on(texts(&seen, &["bad"]));
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(response.failures().len(), 9);
}

#[tokio::test]
async fn an_event_of_something_else_is_refused() {
    let of_kinesis = records([kinesis_record("1", "k", "x")]);
    let of_kafka = json!({"eventSource": "aws:kafka", "records": {"t-0": []}});
    for batch in [
        json!({}),
        json!({"Records": null}),
        json!({"Records": 7}),
        json!({"records": "x"}),
        json!([1, {"a": null}]),
        json!("text"),
        json!(-1),
        json!(0.5),
        json!(true),
        Value::Null,
        of_kinesis.clone(),
        of_kafka.clone(),
    ] {
        let service = BatchLayer::sqs()
            .format(Text)
            .layer_on(texts(&Seen::default(), &[]));
        let error = service.oneshot(event(&batch)).await.unwrap_err();
        assert!(
            matches!(
                error,
                BatchError::UnexpectedBatchType {
                    expected: "SQS",
                    ..
                }
            ),
            "{batch}: {error:?}"
        );
    }
    let kinesis = BatchLayer::kinesis()
        .format(Text)
        .layer_on(texts(&Seen::default(), &[]));
    assert!(kinesis.clone().oneshot(event(&of_kinesis)).await.is_ok());
    assert!(kinesis.oneshot(event(&of_kafka)).await.is_err());
    let kafka = BatchLayer::kafka()
        .format(Text)
        .layer_on(texts(&Seen::default(), &[]));
    assert!(kafka.clone().oneshot(event(&of_kafka)).await.is_ok());
    assert!(kafka.oneshot(event(&of_kinesis)).await.is_err());
}

#[tokio::test]
async fn an_empty_batch_is_nothing_to_do_unless_it_is_to_be_refused() {
    let layer = BatchLayer::sqs().format(Text);
    let service = layer.clone().layer_on(texts(&Seen::default(), &[]));
    let response = service.oneshot(event(&records([]))).await.unwrap();
    assert_eq!(answered(&response), json!({"batchItemFailures": []}));

    let service = layer
        .refuse_empty_batch(true)
        .layer_on(texts(&Seen::default(), &[]));
    let error = service.oneshot(event(&records([]))).await.unwrap_err();
    assert!(matches!(error, BatchError::UnexpectedBatchType { .. }));
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_record_alone() {
    for concurrency in [1, 3] {
        let handler = service_fn(|record: Record<String>| {
            // Before there is a future, and in it.
            assert_ne!(record.payload, "call");
            async move {
                tokio::task::yield_now().await;
                assert_ne!(record.payload, "poll");
                Ok::<_, Error>(())
            }
        });
        let batch = records([
            message("m1", "call"),
            message("m2", "fine"),
            message("m3", "poll"),
            message("m4", "fine"),
        ]);
        let service = BatchLayer::sqs()
            .format(Text)
            .concurrency(concurrency)
            .layer_on(handler);
        let response = service.oneshot(event(&batch)).await.unwrap();
        assert_eq!(failures(&response), ["m1", "m3"]);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_decoded_fails_alone_and_says_nothing_of_its_content() {
    let long = format!(r#"{{"id":"a1","total":"{}"}}"#, "secret".repeat(100_000));
    let mut without_body = message("m6", "");
    without_body.as_object_mut().unwrap().remove("body");
    let mut with_other_attributes = message("m7", r#"{"id":"a1","total":1}"#);
    with_other_attributes["attributes"] = json!(["secret"]);
    let mut with_bad_base64 = message("m8", r#"{"id":"a1","total":1}"#);
    with_bad_base64["messageAttributes"]["digest"]["binaryValue"] = "secret=".into();
    let batch = records([
        message("m1", ""),
        message("m2", r#"{"id":"secret"#),
        message("m3", r#"{"id":"a1","total":"secret"}"#),
        message("m4", r#"{"id":"a1","total":1} secret"#),
        message("m5", &long),
        without_body,
        with_other_attributes,
        with_bad_base64,
        message("m9", r#"{"id":"a1","total":1}"#),
    ]);
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let layer = BatchLayer::sqs().classify({
        let kinds = Arc::clone(&kinds);
        move |error: &RecordError<Error>| {
            let RecordError::Decode(error) = error else {
                panic!("{error:?}");
            };
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{text}");
            kinds.lock().unwrap().push(error.kind());
            Disposition::Retry
        }
    });
    let handler = service_fn(|_: Record<Order>| async { Ok::<_, Error>(()) });
    let response = layer
        .layer_on(handler)
        .oneshot(event(&batch))
        .await
        .unwrap();
    assert_eq!(
        failures(&response),
        ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"]
    );
    use DecodeErrorKind::{Base64, Missing, Schema, Syntax};
    assert_eq!(
        *kinds.lock().unwrap(),
        [
            Syntax, Syntax, Schema, Syntax, Schema, Missing, Schema, Base64
        ]
    );
}

#[tokio::test]
async fn records_of_a_stream_that_are_garbage_fail_alone() {
    let with_data = |number: &str, data: Value| {
        let mut record = kinesis_record(number, "k", "");
        record["kinesis"]["data"] = data;
        record
    };
    let batch = records([
        with_data("1", "eyJpZCI6Im".into()),
        with_data("2", "####".into()),
        with_data("3", json!(7)),
        with_data("4", Value::Null),
        kinesis_record("5", "k", b"\xff\xfe"),
        kinesis_record("6", "k", "{}"),
        kinesis_record("7", "k", r#"{"id":"a1","total":1}"#),
    ]);
    let seen = Seen::default();
    let layer = BatchLayer::kinesis().classify({
        let seen = seen.clone();
        move |error: &RecordError<Error>| {
            seen.add(error.to_string());
            Disposition::Retry
        }
    });
    let handler = service_fn(|_: Record<Order, KinesisRecord>| async { Ok(()) });
    let response = layer
        .layer_on(handler)
        .oneshot(event(&batch))
        .await
        .unwrap();
    assert_eq!(failures(&response), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        seen.all(),
        [
            "cannot decode Kinesis at `kinesis.data`: it is not base64",
            "cannot decode Kinesis at `kinesis.data`: it is not base64",
            "cannot decode Kinesis at `.` (line 1, column 348): it does not fit the handler's type",
            "cannot decode Kinesis at `kinesis.data`: nothing is there",
            "cannot decode text: it is not UTF-8",
            "cannot decode JSON at `.` (line 1, column 2): it does not fit the handler's type",
        ]
    );
}

#[tokio::test]
async fn a_failed_record_without_an_identifier_fails_the_batch() {
    let mut nameless = message("", "bad");
    let batch = records([message("m1", "fine"), nameless.clone()]);
    let layer = BatchLayer::sqs().format(Text);
    let service = layer.clone().layer_on(texts(&Seen::default(), &["bad"]));
    let error = service.clone().oneshot(event(&batch)).await.unwrap_err();
    assert!(
        matches!(error, BatchError::Unidentified { index: 1, .. }),
        "{error:?}"
    );

    // As long as it succeeds, nobody asks.
    nameless["body"] = "fine".into();
    let batch = records([message("m1", "fine"), nameless]);
    assert!(service.oneshot(event(&batch)).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_decoded_may_be_looked_after() {
    let seen = Seen::default();
    let layer = BatchLayer::sqs().on_undecodable({
        let seen = seen.clone();
        move |record| {
            seen.add(format!(
                "{} {}",
                record.identifier.unwrap(),
                record.raw.get().len() > 100
            ));
            async move {
                match record.error.path() {
                    Some("total") => Err(record.error),
                    _ => Ok(()),
                }
            }
        }
    });
    let handler = service_fn(|_: Record<Order>| async { Ok::<_, Error>(()) });
    let batch = records([
        message("m1", "["),
        message("m2", r#"{"id":"a2","total":null}"#),
        message("m3", r#"{"id":"a3","total":1}"#),
    ]);
    let response = layer
        .layer_on(handler)
        .oneshot(event(&batch))
        .await
        .unwrap();
    assert_eq!(seen.all(), ["m1 true", "m2 true"]);
    assert_eq!(failures(&response), ["m2"]);
}

#[tokio::test]
async fn a_fifo_queue_stops_at_the_first_failure() {
    let batch = records([
        fifo_message("m1", "a"),
        fifo_message("m2", "b"),
        fifo_message("m3", "a"),
        fifo_message("m4", "c"),
    ]);
    let seen = Seen::default();
    let service = BatchLayer::sqs_fifo()
        .format(Text)
        .layer_on(texts(&seen, &["m2"]));
    // And the next batch is none the worse for it.
    for round in 1..=2 {
        let response = service.clone().oneshot(event(&batch)).await.unwrap();
        assert_eq!(failures(&response), ["m2", "m3", "m4"]);
        assert_eq!(seen.all().len(), 2 * round);
    }
}

#[tokio::test]
async fn a_fifo_queue_may_skip_only_the_group_that_failed() {
    for concurrency in [1, 4] {
        let seen = Seen::default();
        let service = BatchLayer::sqs_fifo()
            .format(Text)
            .skip_group_on_error(true)
            .concurrency(concurrency)
            .layer_on(texts(&seen, &["m2"]));
        let batch = records([
            fifo_message("m1", "a"),
            fifo_message("m2", "b"),
            fifo_message("m3", "b"),
            fifo_message("m4", "a"),
            fifo_message("m5", "b"),
        ]);
        let response = service.oneshot(event(&batch)).await.unwrap();
        assert_eq!(failures(&response), ["m2", "m3", "m5"]);
        assert_eq!(seen.all(), ["m1", "m2", "m4"]);
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_a_failure_skips_its_key_or_stops() {
    for (after, handled, reported) in [
        (
            AfterFailure::Continue,
            &["1", "2", "3", "4"][..],
            &["2"][..],
        ),
        (AfterFailure::SkipKey, &["1", "2", "4"], &["2", "3"]),
        (AfterFailure::Stop, &["1", "2"], &["2", "3", "4"]),
    ] {
        let seen = Seen::default();
        let service = BatchLayer::kinesis()
            .format(Text)
            .after_failure(after)
            .layer_on(texts(&seen, &["2"]));
        let batch = records([
            kinesis_record("1", "a", "1"),
            kinesis_record("2", "b", "2"),
            kinesis_record("3", "b", "3"),
            kinesis_record("4", "a", "4"),
        ]);
        let response = service.oneshot(event(&batch)).await.unwrap();
        assert_eq!(failures(&response), reported, "{after:?}");
        assert_eq!(seen.all(), handled, "{after:?}");
    }
}

#[tokio::test]
async fn a_failure_in_kafka_stops_its_own_partition() {
    let seen = Seen::default();
    let service = BatchLayer::kafka()
        .format(Text)
        .after_failure(AfterFailure::Stop)
        .layer_on(texts(&seen, &["a1"]));
    let batch = json!({
        "eventSource": "aws:kafka",
        "records": {
            "orders-0": [kafka_record(0, 1, None, Some("a1")), kafka_record(0, 2, None, Some("a2"))],
            "orders-1": [kafka_record(1, 1, None, Some("b1")), kafka_record(1, 2, None, Some("b2"))],
        },
    });
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(failures(&response), ["orders-0@1", "orders-0@2"]);
    assert_eq!(seen.all(), ["a1", "b1", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn near_the_deadline_no_record_is_begun_and_the_running_ones_are_reported() {
    for concurrency in [1, 2] {
        let seen = Seen::default();
        let handler = {
            let seen = seen.clone();
            service_fn(move |record: Record<String>| {
                let seen = seen.clone();
                async move {
                    seen.add(record.payload.clone());
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    Ok::<_, Error>(())
                }
            })
        };
        let service = BatchLayer::sqs()
            .format(Text)
            .concurrency(concurrency)
            .margin(Duration::from_millis(500))
            .with_clock(epoch)
            .layer_on(handler);
        let batch = records((0..8).map(|id| message(&format!("m{id}"), &id.to_string())));
        let start = tokio::time::Instant::now();
        let event = event_for(&batch, Duration::from_millis(1500));
        let response = service.oneshot(event).await.unwrap();
        // Two rounds in a second; the third was under way.
        assert_eq!(start.elapsed().as_millis(), 1000);
        assert_eq!(seen.all().len(), 3 * concurrency);
        assert_eq!(response.failures().len(), 8 - 2 * concurrency);
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_that_suddenly_block_do_not_run_past_the_deadline() {
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        service_fn(move |record: Record<String>| {
            seen.add(record.payload.clone());
            if seen.all().len() > 100 {
                // Time passes, and nobody waits.
                let mut blocked = std::pin::pin!(tokio::time::advance(Duration::from_millis(400)));
                let _ = blocked
                    .as_mut()
                    .poll(&mut TaskContext::from_waker(Waker::noop()));
            }
            async { Ok::<_, Error>(()) }
        })
    };
    let service = BatchLayer::sqs()
        .format(Text)
        .margin(Duration::from_millis(500))
        .with_clock(epoch)
        .layer_on(handler);
    let batch = records((0..120).map(|id| message(&format!("m{id}"), &id.to_string())));
    let event = event_for(&batch, Duration::from_millis(1500));
    let response = service.oneshot(event).await.unwrap();
    // The third of those that block was begun after 800 ms, and no other after 1000 ms.
    assert_eq!(seen.all().len(), 103);
    assert_eq!(response.failures().len(), 120 - 103);
}

#[tokio::test(start_paused = true)]
async fn a_margin_is_never_more_than_half_of_the_time() {
    let handler = service_fn(|_: Record<String>| async {
        tokio::time::sleep(Duration::from_millis(90)).await;
        Ok::<_, Error>(())
    });
    let service = BatchLayer::sqs()
        .format(Text)
        .margin(Duration::from_secs(60))
        .with_clock(epoch)
        .layer_on(handler);
    let batch = records([message("m1", "x"), message("m2", "x")]);
    let event = event_for(&batch, Duration::from_millis(200));
    let response = service.oneshot(event).await.unwrap();
    assert_eq!(failures(&response), ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_deadline_takes_as_long_as_it_takes() {
    let handler = service_fn(|_: Record<String>| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok::<_, Error>(())
    });
    let service = BatchLayer::sqs().format(Text).layer_on(handler);
    let batch = records([message("m1", "x"), message("m2", "x")]);
    let mut event = event(&batch);
    event.context = Context::default();
    assert!(service.oneshot(event).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn limits_inside_hold_among_the_records() {
    #[derive(Default)]
    struct Load {
        now: usize,
        most: usize,
    }
    let load = Arc::new(Mutex::new(Load::default()));
    let handler = |load: &Arc<Mutex<Load>>| {
        let load = Arc::clone(load);
        service_fn(move |_: Record<String>| {
            let load = Arc::clone(&load);
            async move {
                {
                    let mut load = load.lock().unwrap();
                    load.now += 1;
                    load.most = load.most.max(load.now);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                load.lock().unwrap().now -= 1;
                Ok::<_, Error>(())
            }
        })
    };
    let batch = records((0..20).map(|id| message(&format!("m{id}"), "x")));
    let limited = ServiceBuilder::new()
        .concurrency_limit(3)
        .service(handler(&load));
    let service = BatchLayer::sqs()
        .format(Text)
        .concurrency(7)
        .layer_on(limited);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(response.failures().len(), 0);
    assert_eq!(load.lock().unwrap().most, 3);

    *load.lock().unwrap() = Load::default();
    let service = BatchLayer::sqs()
        .format(Text)
        .concurrency(7)
        .layer_on(handler(&load));
    service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(load.lock().unwrap().most, 7);

    // What is refused for load fails alone.
    let shedding = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(3)
        .service(handler(&load));
    let service = BatchLayer::sqs()
        .format(Text)
        .concurrency(7)
        .layer_on(shedding);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert!((1..20).contains(&response.failures().len()));
}

/// Takes what it is given, and remembers it.
#[derive(Clone)]
struct Sink {
    seen: Seen,
    settlement: Settlement,
    delay: Duration,
}

impl Sink {
    fn new(settlement: Settlement) -> Self {
        Self {
            seen: Seen::default(),
            settlement,
            delay: Duration::ZERO,
        }
    }
}

impl FailureSink for Sink {
    async fn settle<'a>(&'a self, records: &'a [FailedRecord<'a>]) -> Vec<Settlement> {
        tokio::time::sleep(self.delay).await;
        let mut all = Vec::new();
        for record in records {
            let raw: Value = serde_json::from_str(record.raw()).unwrap();
            all.push(format!("{} {:?}", raw["messageId"], record.disposition()));
        }
        self.seen.add(all.join(", "));
        vec![self.settlement; records.len()]
    }
}

fn by_text(error: &RecordError<Error>) -> Disposition {
    match error.to_string().as_str() {
        "later refused" => Disposition::RetryAfter(Duration::from_secs(60)),
        "never refused" => Disposition::give_up("no such order"),
        _ => Disposition::Retry,
    }
}

#[tokio::test]
async fn what_is_not_simply_to_be_tried_again_goes_to_the_sink_at_once() {
    let batch = records([
        message("m1", "never"),
        message("m2", "later"),
        message("m3", "bad"),
        message("m4", "never"),
        message("m5", "fine"),
    ]);
    let failing = &["never", "later", "bad"];
    for (settlement, reported) in [
        (Settlement::Taken, &["m3"][..]),
        (Settlement::Reported, &["m1", "m2", "m3", "m4"]),
    ] {
        let sink = Sink::new(settlement);
        let service = BatchLayer::sqs()
            .format(Text)
            .classify(by_text)
            .with_failure_sink(sink.clone())
            .layer_on(texts(&Seen::default(), failing));
        let response = service.oneshot(event(&batch)).await.unwrap();
        assert_eq!(failures(&response), reported);
        assert_eq!(
            sink.seen.all(),
            [concat!(
                r#""m1" GiveUp { reason: "no such order" }, "#,
                r#""m2" RetryAfter(60s), "m4" GiveUp { reason: "no such order" }"#
            )]
        );
    }
}

#[tokio::test]
async fn without_a_sink_nothing_is_given_up() {
    let service = BatchLayer::sqs()
        .format(Text)
        .classify(by_text)
        .layer_on(texts(&Seen::default(), &["never"]));
    let batch = records([message("m1", "never"), message("m2", "fine")]);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
}

#[tokio::test]
async fn a_group_goes_on_when_a_message_has_been_given_up() {
    let batch = || {
        let mut batch = records([fifo_message("m1", "a"), fifo_message("m2", "a")]);
        batch["Records"][0]["body"] = "never".into();
        batch
    };
    for (settlement, reported) in [
        (Settlement::Taken, &[][..]),
        (Settlement::Reported, &["m1", "m2"]),
    ] {
        let sink = Sink::new(settlement);
        let service = BatchLayer::sqs_fifo()
            .format(Text)
            .classify(by_text)
            .raise_on_entire_batch_failure(false)
            .with_failure_sink(sink.clone())
            .layer_on(texts(&Seen::default(), &["never"]));
        let response = service.oneshot(event(&batch())).await.unwrap();
        assert_eq!(failures(&response), reported);
        assert_eq!(sink.seen.all().len(), 1);
    }
}

/// A sink that is not up to it.
struct PanickingSink;

impl FailureSink for PanickingSink {
    async fn settle<'a>(&'a self, _: &'a [FailedRecord<'a>]) -> Vec<Settlement> {
        panic!("the sink is broken");
    }
}

#[tokio::test]
async fn who_panics_over_a_failure_does_not_cost_the_answer() {
    let batch = |message: fn(&str, &str) -> Value| {
        let mut batch = records(["m1", "m2", "m3"].map(|id| message(id, "fine")));
        batch["Records"][1]["body"] = "never".into();
        event(&batch)
    };
    let broken_sink = BatchLayer::sqs()
        .format(Text)
        .classify(by_text)
        .with_failure_sink(PanickingSink)
        .layer_on(texts(&Seen::default(), &["never"]));
    let response = broken_sink.oneshot(batch(message)).await.unwrap();
    assert_eq!(failures(&response), ["m2"]);

    // Where order is kept, the sink is asked at once.
    let broken_sink = BatchLayer::sqs_fifo()
        .format(Text)
        .classify(by_text)
        .with_failure_sink(PanickingSink)
        .layer_on(texts(&Seen::default(), &["never"]));
    let response = broken_sink.oneshot(batch(fifo_message)).await.unwrap();
    assert_eq!(failures(&response), ["m2", "m3"]);

    fn undecided(error: &RecordError<Error>) -> Disposition {
        panic!("what is to become of {error}?");
    }
    let broken_classifier = BatchLayer::sqs()
        .format(Text)
        .classify(undecided)
        .layer_on(texts(&Seen::default(), &["never"]));
    let response = broken_classifier.oneshot(batch(message)).await.unwrap();
    assert_eq!(failures(&response), ["m2"]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_does_not_cost_the_answer() {
    let sink = Sink {
        delay: Duration::from_secs(3600),
        ..Sink::new(Settlement::Taken)
    };
    let service = BatchLayer::sqs()
        .format(Text)
        .classify(by_text)
        .with_clock(epoch)
        .with_failure_sink(sink)
        .layer_on(texts(&Seen::default(), &["never"]));
    let batch = records([message("m1", "never"), message("m2", "fine")]);
    let event = event_for(&batch, Duration::from_secs(3));
    let response = service.oneshot(event).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
}

#[tokio::test]
async fn an_event_of_six_megabytes_is_handled_record_by_record() {
    let body = format!(r#"{{"id":"{}","total":1}}"#, "x".repeat(550));
    let batch = records((0..6000).map(|id| message(&id.to_string(), &body)));
    let text = batch.to_string();
    assert!(text.len() > 6_000_000, "{}", text.len());
    let handler = service_fn(|record: Record<Order>| {
        let is_odd = record
            .source
            .message_id
            .ends_with(['1', '3', '5', '7', '9']);
        std::future::ready(if is_odd { Err("odd") } else { Ok(()) })
    });
    let service = BatchLayer::sqs()
        .concurrency(16)
        .log_failures(false)
        .layer_on(handler);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(response.failures().len(), 3000);
}

#[cfg(feature = "decode")]
#[tokio::test]
async fn the_events_text_can_be_kept_beside_it() {
    use powertools::{Invocation, decode::DecodeLayer};
    use serde_json::value::RawValue;

    let handler = service_fn(|_: Record<String>| async {
        let invocation = Invocation::current().ok_or("outside of an invocation")?;
        let text = invocation.raw_event().ok_or("no decode layer")?;
        assert!(text.get().starts_with(r#"{"Records""#));
        Ok::<_, Error>(())
    });
    let service = ServiceBuilder::new()
        .layer(DecodeLayer::new())
        .layer(BatchLayer::sqs().format(Text))
        .service(handler);
    let text = records([message("m1", "x")]).to_string();
    let event = RawValue::from_string(text).unwrap();
    let event = LambdaEvent::new(event, testing::context("52fdfc07"));
    let response = service.oneshot(event).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
}

#[tokio::test]
async fn a_key_that_nearly_all_have_does_not_keep_others_from_being_handled() {
    let batch = records((0..2500).map(|number| {
        let key = if number == 900 || number == 2400 {
            "b"
        } else {
            "a"
        };
        kinesis_record(&number.to_string(), key, number.to_string())
    }));
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        service_fn(move |record: Record<String, KinesisRecord>| {
            let seen = seen.clone();
            async move {
                tokio::task::yield_now().await;
                seen.add(record.payload);
                Ok::<_, Error>(())
            }
        })
    };
    let service = BatchLayer::kinesis()
        .format(Text)
        .concurrency(2)
        .layer_on(handler);
    let response = service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
    let seen: Vec<usize> = seen.all().iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(seen.len(), 2500);
    // The first of the others need not wait for all that came before it.
    let place = seen.iter().position(|number| *number == 900).unwrap();
    assert!(place < 10, "{place}");
    let of_key: Vec<_> = seen
        .iter()
        .filter(|it| ![900, 2400].contains(*it))
        .collect();
    assert!(of_key.is_sorted());
}

#[test]
fn layers_services_and_records_can_be_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    async fn handle(_: Record<Order>) -> Result<(), Error> {
        Ok(())
    }
    let layer = BatchLayer::<Order>::sqs();
    is_shared(&layer);
    is_shared(&layer.layer_on(service_fn(handle)));
    is_shared(&BatchLayer::<Change<Order>, DynamoDb, Images>::dynamodb());
    is_shared(&BatchLayer::<Order, SqsFifo>::sqs_fifo());
    is_shared(&BatchLayer::<Order, Kinesis, Json>::kinesis());
    is_shared(&BatchLayer::<Vec<u8>, Kafka>::kafka().format(Bytes));
    is_shared(&Record::new(7, SqsMessage::default()));
    is_shared(&BatchEvent::default());
    let _: Option<(Sqs, EventName)> = None;
}

/// `layer.layer(service)`, with the layer's trait in scope here alone.
trait LayerOn<S> {
    type Service;
    fn layer_on(self, service: S) -> Self::Service;
}

impl<L: tower::Layer<S>, S> LayerOn<S> for L {
    type Service = L::Service;
    fn layer_on(self, service: S) -> Self::Service {
        self.layer(service)
    }
}
