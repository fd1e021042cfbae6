use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_runtime::LambdaEvent;
use powertools::testing::Captured;
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    projections::{Change, MemoryOrderSummaryStore, OrderSummary},
    store::StoreError,
    tests::{Logs, invocation, metrics_layer, order_id, order_placed},
};

/// A batch as Lambda hands it over, its records numbered from 1.
fn batch(data: &[Vec<u8>]) -> KinesisEvent {
    let records = data.iter().enumerate().map(|(index, data)| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "a",
                "sequenceNumber": (index + 1).to_string(),
                "data": BASE64_STANDARD.encode(data),
                "approximateArrivalTimestamp": 1_545_084_650.987,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/order-events",
        })
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

async fn handle<S: OrderSummaryStore>(store: S, events: &[Value]) -> Value {
    let data: Vec<_> = events
        .iter()
        .map(|event| event.to_string().into_bytes())
        .collect();
    handle_raw(store, &data).await
}

async fn handle_raw<S: OrderSummaryStore>(store: S, data: &[Vec<u8>]) -> Value {
    handle_measured(store, data).await.0
}

/// Returns the answer and the values of `OrderProcessingTime`.
async fn handle_measured<S: OrderSummaryStore>(store: S, data: &[Vec<u8>]) -> (Value, Vec<Value>) {
    let mut processor = OrderStreamProcessor::new(OrderSummaries::new(store));
    processor.now = || "2026-11-23T06:58:20.581Z".parse().unwrap();
    let metrics = Captured::default();
    let answer = ServiceBuilder::new()
        .layer(metrics_layer(&metrics))
        .service_fn(|event: LambdaEvent<KinesisEvent>| {
            let handled = processor.handle(event);
            async { Ok::<_, ()>(handled.await) }
        })
        .oneshot(invocation(batch(data)))
        .await
        .unwrap();
    let times = metrics
        .json()
        .into_iter()
        .map(|mut object| object["OrderProcessingTime"].take());
    (serde_json::to_value(answer).unwrap(), times.collect())
}

fn failures(sequence_numbers: &[&str]) -> Value {
    let failure = |number: &&str| json!({"itemIdentifier": number});
    json!({"batchItemFailures": sequence_numbers.iter().map(failure).collect::<Vec<_>>()})
}

fn summary(store: &MemoryOrderSummaryStore, name: char) -> Option<OrderSummary> {
    store.get(order_id(name).parse().unwrap())
}

#[tokio::test]
async fn a_placed_order_is_summed_up() {
    let logs = Logs::capture();
    let store = MemoryOrderSummaryStore::default();
    assert_eq!(
        handle(store.clone(), &[order_placed('a', 1)]).await,
        failures(&[])
    );
    assert_eq!(
        serde_json::to_value(summary(&store, 'a')).unwrap(),
        json!({
            "order_id": order_id('a'),
            "version": 1,
            "status": "placed",
            "customer_id": "customer-1",
            "pieces": 3,
            "total": 6499,
            "currency": "EUR",
            "placed_at": "2026-11-23T06:58:19.081Z",
            "last_event_id": "01938000-0000-7000-8000-000000000001",
        })
    );
    let lines = logs.with_message("order summary updated");
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(line["correlation_id"], "request-a");
    assert_eq!(line["processing_time_ms"], 1500.0);
}

#[tokio::test]
async fn a_duplicate_is_counted_once_and_is_no_failure() {
    let logs = Logs::capture();
    let store = MemoryOrderSummaryStore::default();
    let event = order_placed('a', 1);
    assert_eq!(
        handle(store.clone(), &[event.clone(), event.clone()]).await,
        failures(&[])
    );
    assert_eq!(handle(store.clone(), &[event]).await, failures(&[]));
    assert_eq!(logs.with_message("order summary updated").len(), 1);
    assert_eq!(
        logs.with_message("order summary is as new already").len(),
        2
    );
}

#[tokio::test]
async fn the_processing_time_is_recorded_once_an_event() {
    let store = MemoryOrderSummaryStore::default();
    let event = order_placed('a', 1).to_string().into_bytes();
    let mut from_tomorrow = order_placed('b', 1);
    from_tomorrow["occurred_at"] = json!("2026-11-24T00:00:00Z");
    let data = [
        event.clone(),
        event.clone(),
        from_tomorrow.to_string().into_bytes(),
    ];
    let (answer, times) = handle_measured(store.clone(), &data).await;
    assert_eq!((answer, times), (failures(&[]), vec![json!([1500, 0])]));

    let (answer, times) = handle_measured(store, &[event]).await;
    assert_eq!((answer, times), (failures(&[]), vec![]));
}

#[tokio::test]
async fn an_older_version_changes_nothing() {
    let store = MemoryOrderSummaryStore::default();
    let mut older = order_placed('a', 1);
    older["payload"]["total"] = json!(1);
    let events = [order_placed('a', 1), order_placed('a', 2), older];
    assert_eq!(handle(store.clone(), &events).await, failures(&[]));
    let summary = summary(&store, 'a').unwrap();
    assert_eq!((summary.version, summary.total.minor_units()), (2, 6499));
}

#[tokio::test]
async fn a_version_that_is_missing_is_waited_for() {
    let logs = Logs::capture();
    let store = MemoryOrderSummaryStore::default();
    let version = |version| order_placed('a', version);
    assert_eq!(handle(store.clone(), &[version(2)]).await, failures(&["1"]));
    assert_eq!(summary(&store, 'a'), None);

    let early = [version(1), version(3)];
    assert_eq!(handle(store.clone(), &early).await, failures(&["2"]));
    assert_eq!(summary(&store, 'a').unwrap().version, 1);
    let lines = logs.with_message("record failed");
    assert!(
        lines[1]["error"].to_string().contains("an earlier event"),
        "{lines:?}"
    );

    let replayed = [version(2), version(3)];
    assert_eq!(handle(store.clone(), &replayed).await, failures(&[]));
    assert_eq!(summary(&store, 'a').unwrap().version, 3);
}

#[tokio::test]
async fn a_poisoned_record_fails_alone() {
    let store = MemoryOrderSummaryStore::default();
    let mut bad_payload = order_placed('c', 1);
    bad_payload["payload"]["items"][0]["quantity"] = json!("two");
    let data = [
        order_placed('a', 1).to_string().into_bytes(),
        b"\xff not json".to_vec(),
        bad_payload.to_string().into_bytes(),
        order_placed('b', 1).to_string().into_bytes(),
    ];
    assert_eq!(
        handle_raw(store.clone(), &data).await,
        failures(&["2", "3"])
    );
    assert!(summary(&store, 'a').is_some() && summary(&store, 'b').is_some());
    assert_eq!(summary(&store, 'c'), None);
}

#[tokio::test]
async fn an_event_of_an_unknown_type_or_version_fails_instead_of_being_lost() {
    for (member, value, message) in [
        (
            "event_version",
            json!(2),
            "version 2 of event type `OrderPlaced` is not known",
        ),
        (
            "event_type",
            json!("OrderMoved"),
            "version 1 of event type `OrderMoved` is not known",
        ),
    ] {
        let logs = Logs::capture();
        let store = MemoryOrderSummaryStore::default();
        let mut newer = order_placed('a', 1);
        newer[member] = value;
        let events = [newer, order_placed('b', 1), order_placed('a', 2)];
        assert_eq!(handle(store.clone(), &events).await, failures(&["1", "3"]));
        assert!(summary(&store, 'b').is_some());
        assert_eq!(summary(&store, 'a'), None);
        let lines = logs.with_message("record failed");
        assert!(lines[0]["error"].to_string().contains(message), "{lines:?}");
    }
}

/// Fails once, at the second write.
#[derive(Default)]
struct Flaky {
    store: MemoryOrderSummaryStore,
    writes: AtomicUsize,
}

impl OrderSummaryStore for std::sync::Arc<Flaky> {
    async fn put_if_next(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        if self.writes.fetch_add(1, Ordering::Relaxed) == 1 {
            return Err(StoreError::Unavailable("throttled".into()));
        }
        self.store.put_if_next(summary).await
    }
}

#[tokio::test]
async fn after_a_store_failed_the_next_delivery_brings_what_is_missing_and_no_more() {
    let logs = Logs::capture();
    let flaky = std::sync::Arc::<Flaky>::default();
    let events = [
        order_placed('a', 1),
        order_placed('b', 1),
        order_placed('c', 1),
        order_placed('b', 2),
    ];
    assert_eq!(
        handle(flaky.clone(), &events).await,
        failures(&["2", "3", "4"])
    );
    assert_eq!(summary(&flaky.store, 'b'), None);

    // Lambda delivers from the lowest failure on.
    assert_eq!(handle(flaky.clone(), &events[1..]).await, failures(&[]));
    assert_eq!(summary(&flaky.store, 'b').unwrap().version, 2);
    // a, c, then both versions of b: each event once.
    assert_eq!(logs.with_message("order summary updated").len(), 4);
}
