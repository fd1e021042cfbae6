use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    outbox::MemoryEventStream,
    store::StoreError,
    tests::{Logs, failures, invocation, order_id, order_placed},
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

/// Returns the sequence numbers of the records that failed.
async fn handle(stream: impl EventStream + Clone, records: &[Value]) -> Vec<String> {
    let outbox = Outbox::new(stream).into_service();
    let answer = outbox.oneshot(invocation(records)).await;
    failures(&answer, records)
}

#[tokio::test]
async fn a_new_event_is_sent_as_it_was_stored() {
    let logs = Logs::capture();
    let stream = MemoryEventStream::default();
    let event = order_placed('a', 1);
    assert!(
        handle(stream.clone(), &[inserted("1", &event)])
            .await
            .is_empty()
    );
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
    assert_eq!(line["sequence_number"], "1");
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
    let changed = stream_record("1", "MODIFY", Some(&event));
    assert!(handle(stream.clone(), &[changed, removed]).await.is_empty());
    assert_eq!(stream.messages(), []);
}

#[tokio::test]
async fn an_item_that_nobody_can_read_may_be_deleted() {
    let stream = MemoryEventStream::default();
    let mut removed = stream_record("1", "REMOVE", None);
    let images = removed["dynamodb"].as_object_mut().unwrap();
    let image = images.remove("NewImage").unwrap();
    images.insert("OldImage".to_owned(), image);
    let records = [removed, inserted("2", &order_placed('a', 1))];
    assert!(handle(stream.clone(), &records).await.is_empty());
    assert_eq!(stream.messages().len(), 1);
}

#[tokio::test]
async fn what_is_before_a_malformed_record_is_sent_and_what_follows_waits() {
    let mut binary = stream_record("2", "INSERT", None);
    binary["dynamodb"]["NewImage"]["event"] = json!({"B": "AAEqQQ=="});
    for malformed in [
        stream_record("2", "INSERT", None),
        inserted("2", &json!({"event_id": "none"})),
        binary,
    ] {
        let logs = Logs::capture();
        let stream = MemoryEventStream::default();
        let records = [
            inserted("1", &order_placed('a', 1)),
            malformed,
            inserted("3", &order_placed('a', 2)),
        ];
        assert_eq!(handle(stream.clone(), &records).await, ["2", "3"]);
        assert_eq!(stream.messages().len(), 1);
        let lines = logs.with_message("a record of the batch failed");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["sequence_number"], "2");
    }
}

/// Takes the events of all orders but one.
#[derive(Clone)]
struct Refusing(String, MemoryEventStream);

impl EventStream for Refusing {
    async fn put(&self, message: Message) -> Result<(), StoreError> {
        if message.partition_key == self.0 {
            return Err(StoreError::Unavailable("throttled".into()));
        }
        self.1.put(message).await
    }
}

#[tokio::test]
async fn an_event_that_is_not_taken_holds_back_what_follows() {
    let logs = Logs::capture();
    let stream = MemoryEventStream::default();
    let records = [
        inserted("1", &order_placed('a', 1)),
        inserted("2", &order_placed('b', 1)),
        inserted("3", &order_placed('a', 2)),
        inserted("4", &order_placed('b', 2)),
    ];
    let refusing = Refusing(order_id('b'), stream.clone());
    assert_eq!(handle(refusing, &records).await, ["2", "3", "4"]);
    assert_eq!(stream.messages().len(), 1);
    let lines = logs.with_message("event failed");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["correlation_id"], "request-b");
    assert!(
        lines[0]["error"].to_string().contains("throttled"),
        "{}",
        lines[0]
    );
}
