use serde_json::{Value, json};

use super::*;
use crate::{
    outbox::{MemoryEventStream, Rejected},
    store::StoreError,
    tests::{Logs, invocation, order_id, order_placed},
};

/// A record as Lambda hands it over.
fn stream_record(sequence_number: &str, event_name: &str, event: Option<&Value>) -> Value {
    let mut image = json!({"aggregate_id": {"S": "a"}, "version": {"N": "1"}});
    if let Some(event) = event {
        image["event"] = json!({"S": event.to_string()});
    }
    json!({
        "eventID": "f07f8ca4b0b26cb9c4e5e77e69f274ee",
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_480_642_020,
            "Keys": {"aggregate_id": {"S": "a"}, "version": {"N": "1"}},
            "NewImage": image,
            "SequenceNumber": sequence_number,
            "SizeBytes": 54,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/event-store/stream/2026",
    })
}

fn inserted(sequence_number: &str, event: &Value) -> Value {
    stream_record(sequence_number, "INSERT", Some(event))
}

async fn handle<S: EventStream>(stream: S, records: Vec<Value>) -> Value {
    let batch = serde_json::from_value(json!({"Records": records})).unwrap();
    serde_json::to_value(Outbox::new(stream).handle(invocation(batch)).await).unwrap()
}

fn failures(sequence_numbers: &[&str]) -> Value {
    let failure = |number: &&str| json!({"itemIdentifier": number});
    json!({"batchItemFailures": sequence_numbers.iter().map(failure).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_new_event_is_sent_as_it_was_stored() {
    let logs = Logs::capture();
    let stream = MemoryEventStream::default();
    let event = order_placed('a', 1);
    let response = handle(stream.clone(), vec![inserted("1", &event)]).await;
    assert_eq!(response, failures(&[]));
    let message = Message {
        partition_key: order_id('a'),
        data: event.to_string().into_bytes(),
    };
    assert_eq!(stream.messages(), [message]);

    let lines = logs.with_message("event published");
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (&line["level"], &line["correlation_id"]),
        (&json!("INFO"), &json!("request-a"))
    );
}

#[tokio::test]
async fn an_item_that_is_changed_or_deleted_is_no_new_event() {
    let stream = MemoryEventStream::default();
    let event = order_placed('a', 1);
    let mut removed = stream_record("2", "REMOVE", None);
    removed["dynamodb"]
        .as_object_mut()
        .unwrap()
        .remove("NewImage");
    let records = vec![stream_record("1", "MODIFY", Some(&event)), removed];
    assert_eq!(handle(stream.clone(), records).await, failures(&[]));
    assert_eq!(stream.messages(), []);
}

#[tokio::test]
async fn a_malformed_record_fails_alone() {
    let stream = MemoryEventStream::default();
    let mut binary = stream_record("4", "INSERT", None);
    binary["dynamodb"]["NewImage"]["event"] = json!({"B": "AAEqQQ=="});
    let records = vec![
        inserted("1", &order_placed('a', 1)),
        stream_record("2", "INSERT", None),
        inserted("3", &json!({"event_id": "none"})),
        binary,
        inserted("5", &order_placed('a', 2)),
    ];
    assert_eq!(
        handle(stream.clone(), records).await,
        failures(&["2", "3", "4"])
    );
    assert_eq!(stream.messages().len(), 2);
}

/// Takes the events of all orders but one.
struct Rejecting(String);

impl EventStream for Rejecting {
    async fn put(&self, messages: &[&Message]) -> Result<Vec<Result<(), Rejected>>, StoreError> {
        let answer = |message: &&Message| {
            if message.partition_key == self.0 {
                return Err(Rejected {
                    code: "ProvisionedThroughputExceededException".to_owned(),
                });
            }
            Ok(())
        };
        Ok(messages.iter().map(answer).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_rejected_fails_with_what_follows_in_its_aggregate() {
    let logs = Logs::capture();
    let records = vec![
        inserted("1", &order_placed('a', 1)),
        inserted("2", &order_placed('b', 1)),
        inserted("3", &order_placed('a', 2)),
        inserted("4", &order_placed('b', 2)),
    ];
    let response = handle(Rejecting(order_id('b')), records).await;
    assert_eq!(response, failures(&["2", "4"]));
    assert_eq!(logs.with_message("event published").len(), 2);
    let lines = logs.with_message("record failed");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["correlation_id"], "request-b");
    assert!(
        lines[0]["error"]
            .to_string()
            .contains("ProvisionedThroughput"),
        "{}",
        lines[0]
    );
}

struct Unavailable;

impl EventStream for Unavailable {
    async fn put(&self, _: &[&Message]) -> Result<Vec<Result<(), Rejected>>, StoreError> {
        Err(StoreError::Unavailable("no connection".into()))
    }
}

#[tokio::test]
async fn every_event_fails_when_the_stream_cannot_be_reached() {
    let records = vec![
        inserted("1", &order_placed('a', 1)),
        inserted("2", &order_placed('b', 1)),
    ];
    assert_eq!(handle(Unavailable, records).await, failures(&["1", "2"]));
}
