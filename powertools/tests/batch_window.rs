//! Batches that add up to a window of time.
#![cfg(all(feature = "batch", feature = "testing"))]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    HasContext,
    batch::{
        BatchError, BatchEvent, BatchLayer, Change, DynamoDbRecord, Record, Text, WindowEnd,
        WindowLayer, WindowResponse, WindowStep,
    },
    testing,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Sum {
    records: u64,
    total: u64,
}

#[derive(Deserialize)]
struct Order {
    total: u64,
}

type Ended = Arc<Mutex<Vec<WindowEnd<Sum>>>>;

fn base64(text: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

fn record(number: u64, data: &str) -> Value {
    json!({
        "kinesis": {
            "sequenceNumber": number.to_string(),
            "partitionKey": "k",
            "data": base64(data),
        },
        "eventSource": "aws:kinesis",
    })
}

/// An event as the documentation shows it.
fn event(records: &[Value], state: &Value, is_final: bool) -> LambdaEvent<BatchEvent> {
    let event = json!({
        "Records": records,
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": state,
        "shardId": "shardId-000000000006",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/lambda-stream",
        "isFinalInvokeForWindow": is_final,
        "isWindowTerminatesEarly": false,
    });
    LambdaEvent::new(
        serde_json::from_str(&event.to_string()).unwrap(),
        testing::context("52fdfc07"),
    )
}

async fn add(step: WindowStep<Order, Sum>, ended: Ended) -> Result<Sum, Error> {
    assert_eq!(HasContext::context(&step).unwrap().request_id, "52fdfc07");
    match step {
        WindowStep::Record { record, .. } if record.payload.total == 0 => Err("nothing".into()),
        WindowStep::Record { record, state } => Ok(Sum {
            records: state.records + 1,
            total: state.total + record.payload.total,
        }),
        WindowStep::End(end) if end.state.total > 1000 => Err("too much".into()),
        WindowStep::End(end) => {
            let state = end.state.clone();
            ended.lock().unwrap().push(end);
            Ok(state)
        }
    }
}

async fn call(
    event: LambdaEvent<BatchEvent>,
    ended: &Ended,
) -> Result<WindowResponse<Sum>, BatchError<Error>> {
    let ended = Arc::clone(ended);
    let handler = service_fn(move |step| add(step, Arc::clone(&ended)));
    WindowLayer::kinesis().layer(handler).oneshot(event).await
}

fn order(number: u64, total: u64) -> Value {
    record(number, &json!({"total": total}).to_string())
}

fn answered(response: &WindowResponse<Sum>) -> Value {
    serde_json::to_value(response).unwrap()
}

#[tokio::test]
async fn a_state_goes_from_batch_to_batch_until_the_window_ends() {
    let ended = Ended::default();
    // Lambda begins with an empty object.
    let first = call(
        event(&[order(1, 2), order(2, 3)], &json!({}), false),
        &ended,
    );
    let first = answered(&first.await.unwrap());
    assert_eq!(
        first,
        json!({"state": {"records": 2, "total": 5}, "batchItemFailures": []})
    );
    let second = call(event(&[order(3, 4)], &first["state"], false), &ended);
    let second = answered(&second.await.unwrap());
    assert_eq!(second["state"], json!({"records": 3, "total": 9}));
    assert!(ended.lock().unwrap().is_empty());

    let last = call(event(&[], &second["state"], true), &ended);
    assert_eq!(last.await.unwrap().state.total, 9);
    let ended = ended.lock().unwrap();
    let [end] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(
        end.state,
        Sum {
            records: 3,
            total: 9
        }
    );
    assert_eq!(end.window.start, "2020-12-09T07:04:00Z");
    assert_eq!(end.window.end, "2020-12-09T07:06:00Z");
    assert_eq!(end.window.shard_id, "shardId-000000000006");
    assert!(!end.is_early);
}

#[tokio::test]
async fn every_record_counts_once_whatever_fails() {
    let ended = Ended::default();
    for broken in [
        order(3, 0),
        record(3, "{"),
        record(3, r#"{"total":null}"#),
        json!({"kinesis": {"sequenceNumber": "3"}, "eventSource": "aws:kinesis"}),
    ] {
        let records = [order(1, 2), order(2, 3), broken, order(4, 5)];
        let response = call(
            event(&records, &json!({"records": 1, "total": 1}), false),
            &ended,
        );
        assert_eq!(
            answered(&response.await.unwrap()),
            json!({
                "state": {"records": 3, "total": 6},
                "batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "4"}],
            })
        );
    }
}

#[tokio::test]
async fn a_window_does_not_end_before_its_last_records_are_handled() {
    let ended = Ended::default();
    let response = call(event(&[order(1, 2), order(2, 0)], &json!({}), true), &ended);
    let response = response.await.unwrap();
    assert_eq!(response.failures().len(), 1);
    assert!(ended.lock().unwrap().is_empty());

    let response = call(event(&[order(2, 7)], &json!(response.state), true), &ended);
    assert_eq!(response.await.unwrap().failures().len(), 0);
    assert_eq!(ended.lock().unwrap()[0].state.total, 9);
}

#[tokio::test]
async fn what_fails_at_the_end_of_a_window_fails_the_invocation() {
    let ended = Ended::default();
    let response = call(
        event(&[], &json!({"records": 1, "total": 1001}), true),
        &ended,
    );
    let error = response.await.unwrap_err();
    assert!(matches!(error, BatchError::Handler(_)));
    assert_eq!(error.to_string(), "too much");
}

#[tokio::test]
async fn a_state_that_is_not_the_handlers_is_an_error_that_does_not_show_it() {
    let ended = Ended::default();
    let response = call(event(&[], &json!({"records": "secret"}), false), &ended);
    let error = response.await.unwrap_err();
    assert!(matches!(error, BatchError::State { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"));

    for state in [Value::Null, json!({})] {
        let response = call(event(&[], &state, false), &ended).await.unwrap();
        assert_eq!(response.state, Sum::default());
    }
}

#[tokio::test]
async fn a_handler_that_panics_leaves_the_state_as_it_was() {
    let handler = service_fn(|step: WindowStep<String, Vec<String>>| async move {
        match step {
            WindowStep::Record { record, mut state } => {
                assert_ne!(record.payload, "panic");
                state.push(record.payload);
                Ok::<_, Error>(state)
            }
            WindowStep::End(end) => Ok(end.state),
        }
    });
    let service = WindowLayer::from(BatchLayer::kinesis().format(Text)).layer(handler);
    let records = [record(1, "a"), record(2, "panic"), record(3, "b")];
    let response = service
        .oneshot(event(&records, &json!([]), false))
        .await
        .unwrap();
    assert_eq!(
        serde_json::to_value(&response).unwrap(),
        json!({
            "state": ["a"],
            "batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_batch_with_the_state_so_far() {
    let handler = service_fn(|step: WindowStep<Order, u64>| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        match step {
            WindowStep::Record { record, state } => Ok::<_, Error>(state + record.payload.total),
            WindowStep::End(end) => Ok(end.state),
        }
    });
    let layer = WindowLayer::from(BatchLayer::kinesis().with_clock(|| UNIX_EPOCH));
    let mut event = event(&[order(1, 2), order(2, 3), order(3, 4)], &Value::Null, true);
    event.context.deadline = 1500;
    let response = layer.layer(handler).oneshot(event).await.unwrap();
    assert_eq!(
        serde_json::to_value(&response).unwrap(),
        json!({"state": 5, "batchItemFailures": [{"itemIdentifier": "3"}]})
    );
}

#[tokio::test]
async fn the_changes_of_a_table_have_windows_too() {
    let handler = service_fn(
        |step: WindowStep<Change<Value>, u64, DynamoDbRecord>| async move {
            match step {
                WindowStep::Record { state, record } => {
                    let _: Record<Change<Value>, DynamoDbRecord> = record;
                    Ok::<_, Error>(state + 1)
                }
                WindowStep::End(end) => Ok(end.state),
            }
        },
    );
    let record = json!({
        "dynamodb": {"SequenceNumber": "1", "Keys": {"id": {"S": "a1"}}},
        "eventSource": "aws:dynamodb",
    });
    let service = WindowLayer::dynamodb().layer(handler);
    let response = service
        .oneshot(event(&[record], &json!(41), false))
        .await
        .unwrap();
    assert_eq!(response.state, 42);
}

#[test]
fn layers_and_services_can_be_shared() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let layer = WindowLayer::<Order, Sum>::kinesis();
    is_shared(&layer);
    is_shared(&layer.layer(service_fn(|step| add(step, Ended::default()))));
}
