//! Seen through the consumer of `order-events`, as its `main` runs it.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    batch::BatchEvent,
    env,
    testing::{self, CapturedTraces},
    trace::{TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    projections::{
        Change, MemoryOrderSummaryStore, OrderStreamProcessor, OrderSummaries, OrderSummary,
        OrderSummaryStore,
    },
    tests::{Logs, failures, invocation, kinesis_record, order_id, order_placed},
};

/// The records of these events, numbered from 1, with the keys that the outbox gives them.
fn records(events: &[Value]) -> Vec<Value> {
    let records = events.iter().zip(1..).map(|(event, number)| {
        let key = event["aggregate_id"].as_str().unwrap();
        kinesis_record(number, key, event.to_string())
    });
    records.collect()
}

async fn handle(store: impl OrderSummaryStore + Clone, records: &[Value]) -> Vec<String> {
    let processor = OrderStreamProcessor::new(OrderSummaries::new(store)).into_service();
    let answer = processor.oneshot(invocation(records)).await;
    failures(&answer, records)
}

/// Takes a while, fails for one order, and panics for another.
#[derive(Clone, Default)]
struct Scripted {
    store: MemoryOrderSummaryStore,
    takes: Duration,
    fails: Option<(char, fn() -> StoreError)>,
    panics: Option<char>,
}

impl OrderSummaryStore for Scripted {
    async fn put_if_next(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        tokio::time::sleep(self.takes).await;
        let is_of = |name| summary.order_id.to_string() == order_id(name);
        assert!(!self.panics.is_some_and(is_of), "a panic on purpose");
        match self.fails {
            Some((name, error)) if is_of(name) => Err(error()),
            _ => self.store.put_if_next(summary).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn orders_are_handled_side_by_side_and_the_events_of_one_in_their_order() {
    let store = Scripted {
        takes: Duration::from_secs(1),
        ..Scripted::default()
    };
    let mut events = Vec::new();
    for version in 1..=3 {
        events.extend(['a', 'b', 'c'].map(|name| order_placed(name, version)));
    }
    let begin = Instant::now();
    // A version that came before its predecessor would fail.
    assert!(handle(store.clone(), &records(&events)).await.is_empty());
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    for name in ['a', 'b', 'c'] {
        let summary = store.store.get(order_id(name).parse().unwrap());
        assert_eq!(summary.unwrap().version, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_is_begun() {
    let errors: [fn() -> StoreError; 2] = [
        || StoreError::Unavailable("throttled".into()),
        || StoreError::Failed("no such table".into()),
    ];
    for error in errors {
        let logs = Logs::capture();
        let store = Scripted {
            takes: Duration::from_millis(5),
            fails: Some(('a', error)),
            ..Scripted::default()
        };
        let mut events = vec![order_placed('a', 1)];
        events.extend((1..=20).map(|version| order_placed('b', version)));
        let reported = handle(store.clone(), &records(&events)).await;
        // The first of `b` was under way.
        let expected: Vec<_> = (1..=21).filter(|number| *number != 2).collect();
        assert_eq!(
            reported,
            expected.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
        assert_eq!(logs.with_message("event failed").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_time_for_is_reported() {
    let store = Scripted {
        takes: Duration::from_secs(8),
        ..Scripted::default()
    };
    let events: Vec<_> = (1..=100)
        .map(|version| order_placed('a', version))
        .collect();
    let begin = Instant::now();
    let reported = handle(store, &records(&events)).await;
    // Of 30 s, and each takes 8 s.
    assert!(begin.elapsed() < Duration::from_secs(30));
    let expected: Vec<_> = (4..=100).map(|number| number.to_string()).collect();
    assert_eq!(reported, expected);
}

#[tokio::test]
async fn a_panic_fails_its_record_and_is_told() {
    let logs = Logs::capture();
    let store = Scripted {
        panics: Some('a'),
        ..Scripted::default()
    };
    let events = [order_placed('a', 1), order_placed('b', 1)];
    assert_eq!(handle(store, &records(&events)).await, ["1"]);
    let lines = logs.with_message("a record of the batch failed");
    assert!(
        lines[0]["error"].to_string().contains("on purpose"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn each_line_has_the_correlation_id_of_its_record() {
    let logs = Logs::capture();
    let mut without = order_placed('c', 1);
    without.as_object_mut().unwrap().remove("correlation_id");
    let store = Scripted {
        fails: Some(('b', || StoreError::Failed("no such table".into()))),
        ..Scripted::default()
    };
    let events = [order_placed('a', 1), order_placed('b', 1), without];
    handle(store, &records(&events)).await;

    let of = |message: &str| {
        let lines = logs.with_message(message);
        let ids = lines.iter().map(|line| line["correlation_id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        of("order summary updated"),
        [json!("request-a"), json!(null)]
    );
    assert_eq!(of("event failed"), [json!("request-b")]);
    let line = &logs.with_message("order summary updated")[0];
    assert_eq!(line["aggregate_id"], order_id('a'));
    assert_eq!(line["event_type"], "OrderPlaced");
    assert_eq!(line["sequence_number"], "1");
    assert_eq!(line["partition_key"], order_id('a'));
}

/// Returns the spans that one record leaves.
async fn spans(event: &Value) -> CapturedTraces {
    let env = Env::from([(env::FUNCTION_NAME, "order-stream-processor")]);
    let (traces, _guard) = testing::capture_traces(Tracer::from_env(&env));
    let summaries = OrderSummaries::new(MemoryOrderSummaryStore::default());
    let service = ServiceBuilder::new()
        .layer(TraceLayer::from_env(&env))
        .service(OrderStreamProcessor::new(summaries).into_service());
    let LambdaEvent::<BatchEvent> {
        payload,
        mut context,
    } = invocation(&records(std::slice::from_ref(event)));
    context.xray_trace_id = Some(format!("Root={OWN_ROOT};Parent=53995c3f42cd8ad8;Sampled=1"));
    service
        .oneshot(LambdaEvent::new(payload, context))
        .await
        .unwrap();
    traces
}

const OWN_ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
const CAUSE_ROOT: &str = "1-5759e987-000000000000000000000001";

#[tokio::test]
async fn a_record_belongs_to_the_trace_of_its_cause_and_links_to_its_invocation() {
    let mut event = order_placed('a', 1);
    event["trace_header"] = json!(format!(
        "Root={CAUSE_ROOT};Parent=1111111111111111;Sampled=1"
    ));
    let traces = spans(&event).await;
    let of_invocation = traces.named("## my-function");
    // A segment by the function's name: the span would pass for a part of the cause's function.
    let segment = traces.named("order-stream-processor");
    let of_record = segment.child("record");
    assert_eq!(of_record.trace_id(), CAUSE_ROOT);
    assert_eq!(segment.parent_id(), "1111111111111111");
    assert_eq!(
        segment.document()["links"],
        json!([{"trace_id": OWN_ROOT, "id": of_invocation.id()}])
    );
    assert_eq!(
        of_record.child("handle event").annotation("correlation_id"),
        Some(&json!("request-a"))
    );
    assert_eq!(of_invocation.trace_id(), OWN_ROOT);
}

#[tokio::test]
async fn a_trace_header_that_cannot_be_read_costs_nothing_but_the_connection() {
    let mut event = order_placed('a', 1);
    event["trace_header"] = json!("Root=nowhere");
    let traces = spans(&event).await;
    assert_eq!(traces.named("record").trace_id(), OWN_ROOT);
}
