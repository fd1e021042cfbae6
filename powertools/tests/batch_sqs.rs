//! Messages that are tried again later, or given up: the client is the real one, and what is behind it
//! answers from memory.
#![cfg(all(feature = "batch-sqs", feature = "testing"))]

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_sqs::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region,
        http::{HttpRequest, HttpResponse},
        retry::RetryConfig,
    },
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use lambda_runtime::LambdaEvent;
use powertools::{
    batch::{
        BatchEvent, BatchLayer, BatchResponse, Disposition, FailedRecord, FailureSink, Record,
        RecordError, Settlement, SqsActions, Text,
    },
    testing::context,
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tracing_subscriber::prelude::*;

mod subscriber;

const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const DEAD: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dead";
const DEAD_FIFO: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dead.fifo";

/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const SIZE: usize = 1_048_576;

/// SQS, in memory; its clones share what it has.
#[derive(Clone)]
struct Sqs {
    /// Whether an entry is refused, by its place among those of all requests.
    refuses: fn(usize) -> bool,
    /// What it answers to whole requests instead.
    trouble: Option<Trouble>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Unreachable,
    Denies,
}

#[derive(Default)]
struct Seen {
    /// Operations and what they were asked for.
    requests: Vec<(String, Value)>,
    entries: usize,
}

impl Sqs {
    fn new() -> Self {
        Self {
            refuses: |_| false,
            trouble: None,
            seen: Arc::default(),
        }
    }

    fn refusing(refuses: fn(usize) -> bool) -> Self {
        Self {
            refuses,
            ..Self::new()
        }
    }

    fn in_trouble(trouble: Trouble) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::new()
        }
    }

    fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    fn actions(&self) -> SqsActions {
        SqsActions::new(self.client()).dead_letter_queue(DEAD)
    }

    /// What was asked for by an operation.
    fn requests(&self, operation: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let requests = seen.requests.iter();
        let requests = requests.filter(|(name, _)| name == operation);
        requests.map(|(_, request)| request.clone()).collect()
    }

    fn visibilities(&self) -> Vec<Value> {
        self.requests("ChangeMessageVisibilityBatch")
    }

    fn sent(&self) -> Vec<Value> {
        self.requests("SendMessageBatch")
    }

    /// The entries of all messages sent.
    fn entries(&self) -> Vec<Value> {
        let sent = self.sent();
        let entries = sent
            .iter()
            .flat_map(|request| request["Entries"].as_array().unwrap());
        entries.cloned().collect()
    }
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sqs")
    }
}

impl HttpConnector for Sqs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap();
        let operation = operation.strip_prefix("AmazonSQS.").unwrap().to_owned();
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut seen = self.seen.lock().unwrap();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in asked["Entries"].as_array().unwrap() {
            if (self.refuses)(seen.entries) {
                failed.push(json!({"Id": entry["Id"], "SenderFault": true, "Code": "Refused"}));
            } else {
                successful.push(json!({
                    "Id": entry["Id"], "MessageId": "new", "MD5OfMessageBody": "0",
                }));
            }
            seen.entries += 1;
        }
        seen.requests.push((operation, asked));
        let (status, body) = match self.trouble {
            None => (200, json!({"Successful": successful, "Failed": failed})),
            Some(Trouble::Denies) => (
                403,
                json!({"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "private"}),
            ),
            Some(Trouble::Unreachable) => {
                let error = ConnectorError::io("nobody there".into());
                return HttpConnectorFuture::ready(Err(error));
            }
        };
        let response = HttpResponse::new(status.try_into().unwrap(), body.to_string().into());
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn message(id: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": format!("handle-{id}"),
        "body": format!("body-{id}"),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        },
        "messageAttributes": {
            "attempt": {"stringValue": "1", "dataType": "Number"},
            "digest": {"binaryValue": "AP8=", "dataType": "Binary.sha"},
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
    })
}

fn fifo_message(id: &str, group: &str) -> Value {
    let mut message = message(id);
    message["attributes"]["MessageGroupId"] = group.into();
    message["attributes"]["MessageDeduplicationId"] = format!("dedup-{id}").into();
    message["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo".into();
    message
}

async fn settle(sink: &SqsActions, records: &[(Value, Disposition)]) -> Vec<Settlement> {
    let texts: Vec<_> = records
        .iter()
        .map(|(record, _)| record.to_string())
        .collect();
    let records = texts.iter().zip(records);
    let records: Vec<_> = records
        .map(|(text, (_, disposition))| FailedRecord::new(text, disposition))
        .collect();
    sink.settle(&records).await
}

fn later(seconds: u64) -> Disposition {
    Disposition::RetryAfter(Duration::from_secs(seconds))
}

fn give_up() -> Disposition {
    Disposition::give_up("no such customer")
}

fn ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("m{number}"))
}

fn event(messages: &[Value]) -> LambdaEvent<BatchEvent> {
    let event = serde_json::from_value(json!({ "Records": messages })).unwrap();
    LambdaEvent::new(event, context("52fdfc07"))
}

fn failures(response: &BatchResponse) -> Vec<String> {
    response.failures().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_sqs_does_not_take_is_reported() {
    for trouble in [Trouble::Unreachable, Trouble::Denies] {
        let (warnings, guard) = Warnings::listen();
        let sqs = Sqs::in_trouble(trouble);
        let records = [(message("m1"), give_up()), (message("m2"), later(60))];
        let settled = settle(&sqs.actions(), &records).await;
        drop(guard);
        assert_eq!(settled, [Settlement::Reported; 2]);
        let warnings = warnings.take();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        for warning in &warnings {
            assert!(
                !warning.contains("body-") && !warning.contains("private"),
                "{warning}"
            );
        }
    }
}

#[tokio::test]
async fn an_entry_that_is_refused_is_reported_and_the_others_are_not() {
    let (warnings, guard) = Warnings::listen();
    let sqs = Sqs::refusing(|entry| entry % 3 == 1);
    let records: Vec<_> = ids(12).map(|id| (message(&id), give_up())).collect();
    let settled = settle(&sqs.actions(), &records).await;
    drop(guard);
    for (index, settlement) in settled.into_iter().enumerate() {
        let expected = if index % 3 == 1 {
            Settlement::Reported
        } else {
            Settlement::Taken
        };
        assert_eq!(settlement, expected, "{index}");
    }
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 4);
    assert!(warnings[0].contains("Refused"), "{warnings:?}");
}

#[tokio::test]
async fn without_a_dead_letter_queue_nothing_is_taken() {
    let (warnings, guard) = Warnings::listen();
    let sqs = Sqs::new();
    let settled = settle(
        &SqsActions::new(sqs.client()),
        &[(message("m1"), give_up())],
    )
    .await;
    drop(guard);
    assert_eq!(settled, [Settlement::Reported]);
    assert!(sqs.sent().is_empty());
    assert_eq!(warnings.take().len(), 1);
}

#[tokio::test]
async fn what_is_no_message_of_sqs_is_left_to_its_source() {
    let (warnings, guard) = Warnings::listen();
    let sqs = Sqs::new();
    let record = json!({"kinesis": {"data": "c2VjcmV0"}, "eventSource": "aws:kinesis"});
    let records = [
        (record.clone(), give_up()),
        (record, later(1)),
        (json!(7), give_up()),
    ];
    let settled = settle(&sqs.actions(), &records).await;
    drop(guard);
    assert_eq!(settled, [Settlement::Reported; 3]);
    assert!(sqs.seen.lock().unwrap().requests.is_empty());
    assert_eq!(warnings.take().len(), 3);
}

#[tokio::test]
async fn a_message_to_be_tried_later_is_made_invisible_and_reported() {
    let sqs = Sqs::new();
    let records = [
        (message("m1"), later(60)),
        (message("m2"), Disposition::RetryAfter(Duration::MAX)),
        (
            message("m3"),
            Disposition::RetryAfter(Duration::from_millis(1)),
        ),
        (message("m4"), Disposition::Retry),
    ];
    let settled = settle(&sqs.actions(), &records).await;
    assert_eq!(settled, [Settlement::Reported; 4]);
    assert_eq!(
        sqs.visibilities(),
        [json!({
            "QueueUrl": QUEUE,
            "Entries": [
                {"Id": "0", "ReceiptHandle": "handle-m1", "VisibilityTimeout": 60},
                {"Id": "1", "ReceiptHandle": "handle-m2", "VisibilityTimeout": 42_000},
                {"Id": "2", "ReceiptHandle": "handle-m3", "VisibilityTimeout": 1},
            ],
        })]
    );
    assert!(sqs.sent().is_empty());
}

#[tokio::test]
async fn ten_messages_are_one_request() {
    let sqs = Sqs::new();
    let records: Vec<_> = ids(25)
        .flat_map(|id| [(message(&id), later(60)), (message(&id), give_up())])
        .collect();
    let settled = settle(&sqs.actions(), &records).await;
    let taken = settled.iter().filter(|it| **it == Settlement::Taken);
    assert_eq!(taken.count(), 25);
    for requests in [sqs.visibilities(), sqs.sent()] {
        let mut sizes: Vec<_> = requests
            .iter()
            .map(|request| request["Entries"].as_array().unwrap().len())
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [5, 10, 10]);
    }
}

#[tokio::test]
async fn messages_of_several_queues_are_told_apart() {
    let sqs = Sqs::new();
    let mut other = message("m2");
    other["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:users".into();
    let mut unknown = message("m3");
    unknown["eventSourceARN"] = "arn:aws-other:sqs:eu-west-1:123456789012:users".into();
    let records = [
        (message("m1"), later(1)),
        (other, later(2)),
        (unknown, later(3)),
    ];
    settle(&sqs.actions(), &records).await;
    let mut urls: Vec<_> = sqs
        .visibilities()
        .iter()
        .map(|request| request["QueueUrl"].clone())
        .collect();
    urls.sort_unstable_by_key(ToString::to_string);
    assert_eq!(urls, [QUEUE, &QUEUE.replace("orders", "users")]);

    let sqs = Sqs::new();
    settle(
        &sqs.actions().queue_url("http://localhost/000000000000/q"),
        &records,
    )
    .await;
    let [request] = &sqs.visibilities()[..] else {
        panic!("more than one request");
    };
    assert_eq!(request["QueueUrl"], "http://localhost/000000000000/q");
    assert_eq!(request["Entries"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_message_that_is_given_up_is_sent_as_it_was_with_the_reason() {
    let sqs = Sqs::new();
    let settled = settle(&sqs.actions(), &[(message("m1"), give_up())]).await;
    assert_eq!(settled, [Settlement::Taken]);
    let [request] = &sqs.sent()[..] else {
        panic!("more than one request");
    };
    assert_eq!(
        *request,
        json!({
            "QueueUrl": DEAD,
            "Entries": [{
                "Id": "0",
                "MessageBody": "body-m1",
                "MessageAttributes": {
                    "attempt": {"StringValue": "1", "DataType": "Number"},
                    "digest": {"BinaryValue": "AP8=", "DataType": "Binary.sha"},
                    "DeadLetterReason": {"StringValue": "no such customer", "DataType": "String"},
                    "DeadLetterSourceArn": {
                        "StringValue": "arn:aws:sqs:eu-west-1:123456789012:orders",
                        "DataType": "String",
                    },
                    "DeadLetterMessageId": {"StringValue": "m1", "DataType": "String"},
                },
                "MessageSystemAttributes": {
                    "AWSTraceHeader": {
                        "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
                        "DataType": "String",
                    },
                },
            }],
        })
    );
    assert!(sqs.visibilities().is_empty());
}

#[tokio::test]
async fn the_attributes_of_the_message_come_first() {
    for (own, ours) in [(7, 3), (8, 2), (9, 1), (10, 0)] {
        let sqs = Sqs::new();
        let mut message = message("m1");
        let attributes = (0..own).map(|number| {
            (
                format!("a{number}"),
                json!({"stringValue": "v", "dataType": "String"}),
            )
        });
        message["messageAttributes"] = attributes.collect::<serde_json::Map<_, _>>().into();
        let settled = settle(&sqs.actions(), &[(message, give_up())]).await;
        assert_eq!(settled, [Settlement::Taken]);
        let attributes = sqs.entries()[0]["MessageAttributes"]
            .as_object()
            .unwrap()
            .clone();
        assert_eq!(attributes.len(), own + ours);
        let reason = attributes.get("DeadLetterReason");
        assert_eq!(
            reason.is_some(),
            ours > 0,
            "the reason is the first that is added"
        );
    }
}

#[tokio::test]
async fn a_message_that_is_given_up_again_has_the_latest_reason() {
    let sqs = Sqs::new();
    let mut message = message("m1");
    message["messageAttributes"] = json!({
        "DeadLetterReason": {"stringValue": "an earlier one", "dataType": "String"},
    });
    settle(&sqs.actions(), &[(message, give_up())]).await;
    let attributes = &sqs.entries()[0]["MessageAttributes"];
    assert_eq!(
        attributes["DeadLetterReason"]["StringValue"],
        "no such customer"
    );
}

#[tokio::test]
async fn a_message_of_the_largest_size_is_sent_without_what_does_not_fit() {
    let sqs = Sqs::new();
    let mut large = message("m1");
    large["messageAttributes"] = json!({});
    large["body"] = "b".repeat(SIZE - 80).into();
    let records = [
        (message("m0"), give_up()),
        (large, give_up()),
        (message("m2"), give_up()),
    ];
    let settled = settle(&sqs.actions(), &records).await;
    assert_eq!(settled, [Settlement::Taken; 3]);
    assert_eq!(sqs.sent().len(), 3, "the large one fills a request");
    let entries = sqs.entries();
    let large = entries
        .iter()
        .find(|entry| entry["MessageBody"].as_str().unwrap().len() > 100);
    let attributes = large.unwrap()["MessageAttributes"].as_object().unwrap();
    assert_eq!(
        attributes.keys().collect::<Vec<_>>(),
        ["DeadLetterMessageId", "DeadLetterReason"]
    );
}

#[tokio::test]
async fn a_fifo_queue_gets_messages_in_order_with_their_groups() {
    let sqs = Sqs::new();
    let actions = sqs.actions().dead_letter_queue(DEAD_FIFO);
    let records: Vec<_> = ids(25)
        .map(|id| (fifo_message(&id, "g1"), give_up()))
        .collect();
    let settled = settle(&actions, &records).await;
    assert_eq!(settled, [Settlement::Taken; 25]);
    for (entry, id) in sqs.entries().iter().zip(ids(25)) {
        assert_eq!(entry["MessageBody"], format!("body-{id}"));
        assert_eq!(entry["MessageGroupId"], "g1");
        assert_eq!(entry["MessageDeduplicationId"], format!("dedup-{id}"));
    }
}

#[tokio::test]
async fn a_fifo_queue_gets_groups_also_from_a_standard_queue() {
    let sqs = Sqs::new();
    let actions = sqs.actions().dead_letter_queue(DEAD_FIFO);
    settle(&actions, &[(message("m1"), give_up())]).await;
    let entry = &sqs.entries()[0];
    assert_eq!(entry["MessageGroupId"], "m1");
    assert_eq!(entry["MessageDeduplicationId"], "m1");

    // The other way round the group stays, and there are no duplicates to be known.
    let sqs = Sqs::new();
    settle(&sqs.actions(), &[(fifo_message("m1", "g1"), give_up())]).await;
    let entry = &sqs.entries()[0];
    assert_eq!(entry["MessageGroupId"], "g1");
    assert_eq!(entry["MessageDeduplicationId"], Value::Null);
}

#[tokio::test]
async fn in_a_batch_what_is_given_up_is_deleted_and_what_is_delayed_is_not() {
    let sqs = Sqs::new();
    let handler = service_fn(|record: Record<String>| async move {
        match record.payload.as_str() {
            "body-m1" => Err("gone"),
            "body-m2" => Err("busy"),
            "body-m3" => Err("odd"),
            _ => Ok(()),
        }
    });
    let batch = BatchLayer::sqs()
        .format(Text)
        .classify(|error: &RecordError<&'static str>| match error {
            RecordError::Handler("gone") => Disposition::give_up("gone"),
            RecordError::Handler("busy") => Disposition::RetryAfter(Duration::from_secs(30)),
            _ => Disposition::Retry,
        })
        .with_failure_sink(sqs.actions())
        .layer(handler);
    let messages: Vec<_> = ids(5).map(|id| message(&id)).collect();
    let response = batch.oneshot(event(&messages)).await.unwrap();
    assert_eq!(failures(&response), ["m2", "m3"]);
    assert_eq!(sqs.entries()[0]["MessageBody"], "body-m1");
    assert_eq!(
        sqs.visibilities()[0]["Entries"][0]["ReceiptHandle"],
        "handle-m2"
    );
}

#[tokio::test]
async fn a_fifo_group_goes_on_after_a_message_that_is_given_up() {
    let sqs = Sqs::new();
    let handler = service_fn(|record: Record<String>| async move {
        if record.payload == "body-m1" {
            return Err("gone");
        }
        Ok(())
    });
    let batch = BatchLayer::sqs_fifo()
        .format(Text)
        .classify(|_: &RecordError<&'static str>| Disposition::give_up("gone"))
        .with_failure_sink(sqs.actions().dead_letter_queue(DEAD_FIFO))
        .layer(handler);
    let messages: Vec<_> = ids(4).map(|id| fifo_message(&id, "g1")).collect();
    let response = batch.oneshot(event(&messages)).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
    assert_eq!(sqs.entries().len(), 1);
}

#[tokio::test]
async fn nothing_to_do_is_no_request() {
    let sqs = Sqs::new();
    assert!(settle(&sqs.actions(), &[]).await.is_empty());
    assert!(sqs.seen.lock().unwrap().requests.is_empty());
}

#[test]
fn a_sink_is_shared_by_services() {
    fn is_service_part<T: Send + Sync + Clone + fmt::Debug>() {}
    is_service_part::<SqsActions>();
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let warnings = Self::default();
        let guard = subscriber::registry().with(warnings.clone()).set_default();
        (warnings, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        if event.metadata().target().starts_with("powertools") {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}
