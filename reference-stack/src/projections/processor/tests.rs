use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use powertools::testing::Captured;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    projections::{Change, MemoryOrderSummaryStore, OrderSummary},
    store::StoreError,
    tests::{Logs, failures, invocation, kinesis_record, metrics_layer, order_id, order_placed},
};

/// Returns the sequence numbers, from 1, of the records that failed.
async fn handle(store: impl OrderSummaryStore + Clone, events: &[Value]) -> Vec<String> {
    handle_measured(store, &records(events)).await.0
}

/// Returns what failed, and the values of `OrderProcessingTime`.
async fn handle_measured(
    store: impl OrderSummaryStore + Clone,
    records: &[Value],
) -> (Vec<String>, Vec<Value>) {
    let mut processor = OrderStreamProcessor::new(OrderSummaries::new(store));
    processor.now = || "2026-11-23T06:58:20.581Z".parse().unwrap();
    let metrics = Captured::default();
    let answer = ServiceBuilder::new()
        .layer(metrics_layer(&metrics))
        .service(processor.into_service())
        .oneshot(invocation(records))
        .await;
    let times = metrics
        .json()
        .into_iter()
        .filter_map(|mut object| Some(object.get_mut("OrderProcessingTime")?.take()));
    (failures(&answer, records), times.collect())
}

fn records(events: &[Value]) -> Vec<Value> {
    let records = events.iter().zip(1..).map(|(event, number)| {
        let key = event["aggregate_id"].as_str().unwrap();
        kinesis_record(number, key, event.to_string())
    });
    records.collect()
}

const NONE: [String; 0] = [];

fn summary(store: &MemoryOrderSummaryStore, name: char) -> Option<OrderSummary> {
    store.get(order_id(name).parse().unwrap())
}

#[tokio::test]
async fn a_placed_order_is_summed_up() {
    let logs = Logs::capture();
    let store = MemoryOrderSummaryStore::default();
    assert_eq!(handle(store.clone(), &[order_placed('a', 1)]).await, NONE);
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
    let twice = [event.clone(), event.clone()];
    assert_eq!(handle(store.clone(), &twice).await, NONE);
    assert_eq!(handle(store.clone(), &[event]).await, NONE);
    assert_eq!(logs.with_message("order summary updated").len(), 1);
    assert_eq!(
        logs.with_message("order summary is as new already").len(),
        2
    );
}

#[tokio::test]
async fn the_processing_time_is_recorded_once_an_event() {
    let store = MemoryOrderSummaryStore::default();
    let event = order_placed('a', 1);
    let mut from_tomorrow = order_placed('b', 1);
    from_tomorrow["occurred_at"] = json!("2026-11-24T00:00:00Z");
    let events = [event.clone(), event.clone(), from_tomorrow];
    let (failed, mut times) = handle_measured(store.clone(), &records(&events)).await;
    assert_eq!((failed, times.len()), (NONE.to_vec(), 1));
    let times = times[0].as_array_mut().unwrap();
    times.sort_by_key(Value::as_u64);
    assert_eq!(*times, [json!(0), json!(1500)]);

    let (failed, times) = handle_measured(store, &records(&[event])).await;
    assert_eq!((failed, times), (NONE.to_vec(), vec![]));
}

#[tokio::test]
async fn an_older_version_changes_nothing() {
    let store = MemoryOrderSummaryStore::default();
    let mut older = order_placed('a', 1);
    older["payload"]["total"] = json!(1);
    let events = [order_placed('a', 1), order_placed('a', 2), older];
    assert_eq!(handle(store.clone(), &events).await, NONE);
    let summary = summary(&store, 'a').unwrap();
    assert_eq!((summary.version, summary.total.minor_units()), (2, 6499));
}

#[tokio::test]
async fn a_version_that_is_missing_is_waited_for() {
    let logs = Logs::capture();
    let store = MemoryOrderSummaryStore::default();
    let version = |version| order_placed('a', version);
    assert_eq!(handle(store.clone(), &[version(2)]).await, ["1"]);
    assert_eq!(summary(&store, 'a'), None);

    let early = [version(1), version(3)];
    assert_eq!(handle(store.clone(), &early).await, ["2"]);
    assert_eq!(summary(&store, 'a').unwrap().version, 1);
    let lines = logs.with_message("event failed");
    assert!(
        lines[1]["error"].to_string().contains("an earlier event"),
        "{lines:?}"
    );

    let replayed = [version(2), version(3)];
    assert_eq!(handle(store.clone(), &replayed).await, NONE);
    assert_eq!(summary(&store, 'a').unwrap().version, 3);
}

#[tokio::test]
async fn a_poisoned_record_fails_and_changes_nothing() {
    let mut bad_payload = order_placed('c', 1);
    bad_payload["payload"]["items"][0]["quantity"] = json!("two");
    for poison in [
        b"\xff not json".to_vec(),
        bad_payload.to_string().into_bytes(),
    ] {
        let store = MemoryOrderSummaryStore::default();
        let mut records = records(&[order_placed('a', 1), order_placed('b', 1)]);
        records.push(kinesis_record(3, &order_id('c'), poison));
        let (failed, _) = handle_measured(store.clone(), &records).await;
        assert_eq!(failed, ["3"]);
        assert!(summary(&store, 'a').is_some() && summary(&store, 'b').is_some());
        assert_eq!(summary(&store, 'c'), None);
    }
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
        // Nothing is begun after a failure; all of it comes again.
        assert_eq!(handle(store.clone(), &events).await, ["1", "2", "3"]);
        assert_eq!(summary(&store, 'a'), None);
        let lines = logs.with_message("event failed");
        assert!(lines[0]["error"].to_string().contains(message), "{lines:?}");
    }
}

/// Fails once, at the second write.
#[derive(Default)]
struct Flaky {
    store: MemoryOrderSummaryStore,
    writes: AtomicUsize,
}

impl OrderSummaryStore for Arc<Flaky> {
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
    let flaky = Arc::<Flaky>::default();
    let events = [
        order_placed('a', 1),
        order_placed('b', 1),
        order_placed('c', 1),
        order_placed('b', 2),
    ];
    assert_eq!(handle(flaky.clone(), &events).await, ["2", "3", "4"]);
    assert_eq!(summary(&flaky.store, 'b'), None);

    // Lambda delivers from the lowest failure on.
    assert_eq!(handle(flaky.clone(), &events[1..]).await, NONE);
    assert_eq!(summary(&flaky.store, 'b').unwrap().version, 2);
    // a, then both versions of b, and c: each event once.
    assert_eq!(logs.with_message("order summary updated").len(), 4);
}
