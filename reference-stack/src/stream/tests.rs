use std::{convert::Infallible, sync::Mutex};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    testing::{self, CapturedTraces},
    trace::{TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::tests::{Logs, invocation, order_id, order_placed};

fn record(sequence_number: &str, event: &Value) -> Record {
    Record {
        sequence_number: sequence_number.to_owned(),
        json: Ok(event.to_string().into_bytes()),
    }
}

fn poison(sequence_number: &str) -> Record {
    Record {
        sequence_number: sequence_number.to_owned(),
        json: Ok(b"{\"event_id\":".to_vec()),
    }
}

/// Notes which events it handled, and answers by a rule.
struct Scripted<F> {
    rule: F,
    handled: Mutex<Vec<(String, u64)>>,
}

impl<F: Fn(&StoredEvent) -> Result<(), RecordError> + Sync> EventHandler for Scripted<F> {
    async fn handle(&self, event: &StoredEvent) -> Result<(), RecordError> {
        // Pending once: a handler that never waits would hide what waiting breaks.
        tokio::task::yield_now().await;
        tracing::info!("handling");
        (self.rule)(event)?;
        self.handled
            .lock()
            .unwrap()
            .push((event.aggregate_id.clone(), event.aggregate_version));
        Ok(())
    }
}

/// Handles records and returns what failed and what was handled.
async fn run(
    records: Vec<Record>,
    rule: impl Fn(&StoredEvent) -> Result<(), RecordError> + Sync,
) -> (Vec<String>, Vec<(String, u64)>) {
    let handler = Scripted {
        rule,
        handled: Mutex::default(),
    };
    let last_start = Instant::now() + Duration::from_secs(20);
    let failures = for_each(records, last_start, &handler).await;
    (
        failures.sequence_numbers,
        handler.handled.into_inner().unwrap(),
    )
}

fn store_failed() -> RecordError {
    StoreError::Failed("no such table".into()).into()
}

fn store_unavailable() -> RecordError {
    StoreError::Unavailable("throttled".into()).into()
}

#[tokio::test]
async fn records_are_handled_in_order() {
    let records = vec![
        record("1", &order_placed('a', 1)),
        record("2", &order_placed('b', 1)),
        record("3", &order_placed('a', 2)),
    ];
    let (failures, handled) = run(records, |_| Ok(())).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(
        handled,
        [(order_id('a'), 1), (order_id('b'), 1), (order_id('a'), 2)]
    );
}

#[tokio::test]
async fn a_malformed_record_fails_alone() {
    let logs = Logs::capture();
    let records = vec![
        record("1", &order_placed('a', 1)),
        poison("2"),
        record("3", &order_placed('a', 2)),
        record("4", &json!({"event_id": 1})),
        Record {
            sequence_number: "5".to_owned(),
            json: Err("nothing there".into()),
        },
    ];
    let (failures, handled) = run(records, |_| Ok(())).await;
    assert_eq!(failures, ["2", "4", "5"]);
    assert_eq!(handled, [(order_id('a'), 1), (order_id('a'), 2)]);

    let lines = logs.with_message("record failed");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["sequence_number"]),
        (&json!("ERROR"), &json!("2"))
    );
    assert!(
        lines[2]["error"].to_string().contains("nothing there"),
        "{}",
        lines[2]
    );
}

/// Two orders with two events each, of which only the first of `a` fails.
async fn run_with_first_failing(error: fn() -> RecordError) -> (Vec<String>, Vec<(String, u64)>) {
    let records = vec![
        record("1", &order_placed('a', 1)),
        record("2", &order_placed('b', 1)),
        record("3", &order_placed('a', 2)),
        record("4", &order_placed('b', 2)),
    ];
    run(records, |event| {
        if event.aggregate_id == order_id('a') && event.aggregate_version == 1 {
            return Err(error());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_record_that_fails_holds_back_what_follows_in_the_same_aggregate() {
    let conflict = || StoreError::Conflict.into();
    let unreadable = || RecordError::Failed("bad payload".into());
    for error in [store_failed, conflict, unreadable, || RecordError::Panicked] {
        let logs = Logs::capture();
        let (failures, handled) = run_with_first_failing(error).await;
        assert_eq!(failures, ["1", "3"]);
        assert_eq!(handled, [(order_id('b'), 1), (order_id('b'), 2)]);
        assert_eq!(logs.with_message("record failed").len(), 1);
        assert_eq!(logs.with_message("record held back").len(), 1);
    }
}

#[tokio::test]
async fn a_store_that_is_unavailable_holds_back_all_that_is_left() {
    let logs = Logs::capture();
    let (failures, handled) = run_with_first_failing(store_unavailable).await;
    assert_eq!(failures, ["1", "2", "3", "4"]);
    assert_eq!(handled, []);
    assert_eq!(logs.with_message("record failed").len(), 1);
    let held_back = logs.with_message("record held back");
    assert_eq!(held_back.len(), 3);
    assert_eq!(held_back[0]["level"], "WARN");
    assert_eq!(held_back[0]["reason"], "a store is unavailable");
    assert_eq!(held_back[0]["correlation_id"], "request-b");
}

/// Takes as long for each record as a call may.
struct Slow;

impl EventHandler for Slow {
    async fn handle(&self, _: &StoredEvent) -> Result<(), RecordError> {
        tokio::time::sleep(aws::OPERATION_TIMEOUT).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_time_for_is_held_back() {
    let logs = Logs::capture();
    let records = (1..=100)
        .map(|number: u64| record(&number.to_string(), &order_placed('a', number)))
        .collect();
    let begin = Instant::now();
    let last_start = last_start(&invocation(()).context);
    let failures = for_each(records, last_start, &Slow).await;
    // Of 30 s one is kept, and each takes 8 s.
    assert!(begin.elapsed() < Duration::from_secs(29));
    let held_back: Vec<_> = (4..=100).map(|number: u64| number.to_string()).collect();
    assert_eq!(failures.sequence_numbers, held_back);
    assert_eq!(logs.with_message("record held back").len(), 97);
}

#[tokio::test]
async fn a_panic_fails_its_record_and_no_other() {
    let records = vec![
        record("1", &order_placed('a', 1)),
        record("2", &order_placed('b', 1)),
    ];
    let (failures, handled) = run(records, |event| {
        assert_ne!(event.aggregate_id, order_id('a'), "a panic on purpose");
        Ok(())
    })
    .await;
    assert_eq!(failures, ["1"]);
    assert_eq!(handled, [(order_id('b'), 1)]);
}

#[tokio::test]
async fn each_line_has_the_correlation_id_of_its_record() {
    let logs = Logs::capture();
    let mut without = order_placed('c', 1);
    without.as_object_mut().unwrap().remove("correlation_id");
    let records = vec![
        record("1", &order_placed('a', 1)),
        record("2", &order_placed('b', 1)),
        record("3", &without),
    ];
    run(records, |event| match event.correlation_id.as_deref() {
        Some("request-b") => Err(store_failed()),
        _ => Ok(()),
    })
    .await;
    let lines: Vec<_> = logs
        .all()
        .into_iter()
        .map(|line| (line["message"].clone(), line["correlation_id"].clone()))
        .collect();
    assert_eq!(
        lines,
        [
            (json!("handling"), json!("request-a")),
            (json!("handling"), json!("request-b")),
            (json!("record failed"), json!("request-b")),
            (json!("handling"), json!(null)),
        ]
    );
    let line = &logs.all()[0];
    assert_eq!(line["aggregate_id"], order_id('a'));
    assert_eq!(line["event_type"], "OrderPlaced");
    assert_eq!(line["sequence_number"], "1");
}

/// Answers with the spans that one record leaves.
async fn spans(event: &Value) -> CapturedTraces {
    async fn handler(event: LambdaEvent<Vec<Record>>) -> Result<Vec<String>, Infallible> {
        let (failures, _) = run(event.payload, |_| Ok(())).await;
        Ok(failures)
    }
    let env = Env::from([(env::FUNCTION_NAME, "order-stream-processor")]);
    let (traces, _guard) = testing::capture_traces(Tracer::from_env(&env));
    let service = ServiceBuilder::new()
        .layer(TraceLayer::from_env(&env))
        .service_fn(handler);
    let mut context = testing::context("invocation-1");
    context.xray_trace_id = Some(format!("Root={OWN_ROOT};Parent=53995c3f42cd8ad8;Sampled=1"));
    let records = vec![record("1", event)];
    service
        .oneshot(LambdaEvent::new(records, context))
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
    let of_record = segment.child("handle event");
    assert_eq!(of_record.trace_id(), CAUSE_ROOT);
    assert_eq!(segment.parent_id(), "1111111111111111");
    assert_eq!(
        segment.document()["links"],
        json!([{"trace_id": OWN_ROOT, "id": of_invocation.id()}])
    );
    assert_eq!(
        of_record.annotation("correlation_id"),
        Some(&json!("request-a"))
    );
    assert_eq!(of_invocation.trace_id(), OWN_ROOT);
}

#[tokio::test]
async fn a_trace_header_that_cannot_be_read_costs_nothing_but_the_connection() {
    let mut event = order_placed('a', 1);
    event["trace_header"] = json!("Root=nowhere");
    let traces = spans(&event).await;
    assert_eq!(traces.named("handle event").trace_id(), OWN_ROOT);
}

#[test]
fn failures_are_reported_in_the_form_of_lambda() {
    let mut failures = Failures::default();
    failures.push("1".to_owned());
    failures.push("2".to_owned());
    let expected = json!({"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]});
    let kinesis = serde_json::to_value(KinesisEventResponse::from(failures.clone())).unwrap();
    assert_eq!(kinesis, expected);
    let dynamodb = serde_json::to_value(DynamoDbEventResponse::from(failures)).unwrap();
    assert_eq!(dynamodb, expected);
    let none = serde_json::to_value(KinesisEventResponse::from(Failures::default())).unwrap();
    assert_eq!(none, json!({"batchItemFailures": []}));
}
