//! The whole stack under the real runtime, in a process of its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use runtime_tests::{Answer, Event, Output, XrayDaemon};
use serde_json::{Value, json};
use tokio::task::JoinSet;

mod support;

use support::{EMF, Lambda, XRAY, assert_valid, event, named, parent, root, trace_header, with};

async fn start(variables: &[(&str, &str)]) -> Lambda {
    let program = env!("CARGO_BIN_EXE_instrumented-function");
    Lambda::start(program, variables).await.unwrap()
}

async fn invoke(lambda: &Lambda, number: u32, action: &str) -> Answer {
    lambda.api.invoke(event(number, action, true)).await
}

#[tokio::test]
async fn one_invocation_is_seen_in_logs_metrics_and_trace() {
    let lambda = start(&[]).await;
    assert_eq!(
        invoke(&lambda, 1, "succeed").await,
        Answer::Response(json!({ "id": "task-1" }))
    );
    let documents = lambda.xray.documents(2).await;
    let output = lambda.function.stop().await.unwrap();

    let messages: Vec<_> = output.logs.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["before", "after"]);
    for line in &output.logs {
        assert_eq!(line["service"], "tasks");
        assert_eq!(line["cold_start"], true);
        assert_eq!(line["function_name"], "my-function");
        assert_eq!(line["function_memory_size"], 128);
        assert_eq!(line["function_request_id"], "request-1");
        assert_eq!(line["correlation_id"], "task-1");
        assert_eq!(line["task"], "task-1");
        assert_eq!(line["xray_trace_id"], root(1));
        assert_eq!(line.get("requestId"), None, "{line}");
    }

    assert_valid(EMF, &output.metrics);
    let handled = with(&output.metrics, "task", "task-1");
    assert_eq!(handled.len(), 1, "{:#?}", output.metrics);
    assert_eq!(handled[0]["Handled"], json!([1, 2]));
    assert_eq!(handled[0]["service"], "tasks");
    let cold_start: Vec<_> = output
        .metrics
        .iter()
        .filter(|object| object.get("ColdStart").is_some())
        .collect();
    assert_eq!(cold_start.len(), 1);

    assert_valid(XRAY, &documents);
    assert_eq!(documents.len(), 2, "{documents:#?}");
    let (invocation, work) = (
        named(&documents, "## my-function")[0],
        named(&documents, "work")[0],
    );
    assert_eq!(invocation["trace_id"], root(1));
    assert_eq!(invocation["parent_id"], parent(1));
    assert_eq!(invocation["annotations"]["ColdStart"], true);
    assert_eq!(invocation["annotations"]["Service"], "tasks");
    assert_eq!(work["trace_id"], root(1));
    assert_eq!(work["parent_id"], invocation["id"]);
    assert_eq!(work["annotations"]["task"], "task-1");
    assert_eq!(work.get("fault"), None);
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_loses_no_telemetry() {
    let lambda = start(&[]).await;
    let Answer::Error(failed) = invoke(&lambda, 1, "fail").await else {
        panic!("a failure is answered as an error")
    };
    assert_eq!(
        failed,
        json!({"errorType": "TaskRefused", "errorMessage": "task refused"})
    );
    let Answer::Error(panicked) = invoke(&lambda, 2, "panic").await else {
        panic!("a panic is answered as an error")
    };
    assert!(
        panicked["errorMessage"]
            .as_str()
            .unwrap()
            .contains("task went wrong"),
        "{panicked}"
    );
    // The environment has survived.
    assert_eq!(
        invoke(&lambda, 3, "succeed").await,
        Answer::Response(json!({ "id": "task-3" }))
    );
    let documents = lambda.xray.documents(6).await;
    let output = lambda.function.stop().await.unwrap();

    for (number, expected, kind_of_failure) in [
        (1, json!(1), Some("TaskError")),
        (2, json!(1), Some("panic")),
        (3, json!([1, 2]), None),
    ] {
        let handled = with(&output.metrics, "task", &format!("task-{number}"));
        assert_eq!(handled.len(), 1, "{:#?}", output.metrics);
        assert_eq!(handled[0]["Handled"], expected);

        let invocation = named(&documents, "## my-function")
            .into_iter()
            .find(|document| document["trace_id"] == root(number))
            .unwrap();
        let fault = (number != 3).then_some(json!(true));
        assert_eq!(invocation.get("fault"), fault.as_ref(), "{invocation:#}");
        let kind = invocation.pointer("/cause/exceptions/0/type");
        let kind = kind.and_then(Value::as_str);
        assert_eq!(kind.is_some(), kind_of_failure.is_some(), "{invocation:#}");
        if let (Some(kind), Some(expected)) = (kind, kind_of_failure) {
            assert!(kind.contains(expected), "{kind}");
        }
    }
    assert_valid(EMF, &output.metrics);
    assert_valid(XRAY, &documents);

    // The runtime's own error lines are written outside of the layers, and carry its ids.
    let errors = with(&output.logs, "level", "ERROR");
    let ids: Vec<_> = errors
        .iter()
        .map(|line| &line["function_request_id"])
        .collect();
    assert_eq!(ids, ["request-1", "request-2"]);
}

/// Who looks for an error in CloudWatch looks for the handler's own.
#[tokio::test]
async fn the_runtime_api_gets_the_error_that_it_would_get_without_any_layer() {
    for run in ["run", "run_concurrent"] {
        let bare = start(&[("LAYERS", "none"), ("RUN", run)]).await;
        let whole = start(&[("RUN", run)]).await;
        let cut_off = start(&[("LAYERS", "cut-off"), ("RUN", run)]).await;
        for (action, message) in [
            ("fail", "task refused"),
            ("fail_below", "no \"task\" server"),
            ("panic", "Lambda panicked: task went wrong"),
        ] {
            let expected = invoke(&bare, 1, action).await;
            let Answer::Error(error) = &expected else {
                panic!("{action} is answered as an error, not by {expected:?}")
            };
            assert_eq!(error["errorMessage"], message);
            assert_eq!(invoke(&whole, 1, action).await, expected, "{action}");
            assert_eq!(invoke(&cut_off, 1, action).await, expected, "{action}");
        }
    }
}

#[tokio::test]
async fn a_handler_that_is_cut_off_is_answered_for_and_the_process_goes_on() {
    let variables = [
        ("LAYERS", "cut-off"),
        ("POWERTOOLS_DEADLINE_MARGIN_MS", "500"),
    ];
    let lambda = start(&variables).await;
    let late = Event {
        timeout: Duration::from_secs(1),
        ..event(1, "oversleep", true)
    };
    let answer = lambda.api.invoke(late).await;
    let Answer::Error(error) = answer else {
        panic!("it is answered as an error, not by {answer:?}")
    };
    assert_eq!(error["errorType"], "powertools::deadline::DeadlineError");
    assert_eq!(
        invoke(&lambda, 2, "succeed").await,
        Answer::Response(json!({ "id": "task-2" }))
    );
    // In progress, and complete.
    let documents = lambda.xray.documents(6).await;
    let invocation = named(&documents, "## my-function");
    let of_late = with_root(&invocation, 1);
    assert_eq!(of_late.len(), 2, "{of_late:#?}");
    assert_eq!(of_late[0]["in_progress"], true);
    assert_eq!(of_late[1]["fault"], true);
    assert_eq!(of_late[0]["id"], of_late[1]["id"]);
    let output = lambda.function.stop().await.unwrap();
    let metrics = with(&output.metrics, "task", "task-1");
    assert_eq!(metrics.len(), 1, "{metrics:#?}");
    assert_eq!(metrics[0]["TimeoutImminent"], 1);
}

fn with_root<'a>(documents: &[&'a Value], number: u32) -> Vec<&'a Value> {
    let documents = documents.iter().copied();
    documents
        .filter(|document| document["trace_id"] == root(number))
        .collect()
}

#[tokio::test]
async fn what_comes_before_a_snapshot_is_not_repeated_by_those_that_are_restored_from_it() {
    let header = trace_header(1, true);
    let lambda = start(&[
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
        ("WARM_UP", &header),
    ])
    .await;
    lambda.api.snapshot().await;
    // The socket is open now, and must not be used after the restore.
    let warm_up = lambda.xray.documents(1).await;
    assert_eq!(lambda.xray.senders(), 1);
    lambda.api.restore();
    assert_eq!(
        invoke(&lambda, 2, "succeed").await,
        Answer::Response(json!({ "id": "task-2" }))
    );
    let documents = lambda.xray.documents(warm_up.len() + 2).await;
    assert_eq!(lambda.xray.senders(), 2);
    let invocation = named(&documents, "## my-function");
    assert_eq!(invocation.len(), 1, "{documents:#?}");
    assert_eq!(invocation[0]["annotations"]["ColdStart"], false);
    let output = lambda.function.stop().await.unwrap();
    // Its own object, before that of the first invocation.
    assert_eq!(output.metrics.len(), 2, "{:#?}", output.metrics);
    assert_eq!(output.metrics[0]["WarmedUp"], 1);
    assert_eq!(output.metrics[1]["task"], "task-2");
    assert_eq!(output.metrics[1].get("WarmedUp"), None);
}

/// Lambda may freeze or end the process as soon as it has the answer.
#[tokio::test]
async fn all_telemetry_is_out_before_the_runtime_learns_that_its_answer_came() {
    for action in ["succeed", "fail", "panic"] {
        let lambda = start(&[]).await;
        lambda.api.stall();
        invoke(&lambda, 1, action).await;
        let documents = lambda.xray.documents(2).await;
        let output = lambda.function.stop().await.unwrap();

        let invocation = named(&documents, "## my-function");
        assert_eq!(invocation.len(), 1, "{action}: {documents:#?}");
        let handled = with(&output.metrics, "task", "task-1");
        assert_eq!(handled.len(), 1, "{action}: {:#?}", output.metrics);
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_answered_as_an_error() {
    let lambda = start(&[]).await;
    let event = Event {
        payload: json!({ "id": 4711 }),
        ..event(1, "succeed", true)
    };
    let Answer::Error(error) = lambda.api.invoke(event).await else {
        panic!("an event of another type is answered as an error")
    };
    assert_eq!(error["errorType"], "powertools::decode::DecodeError");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("`id`") && !message.contains("4711"),
        "{message}"
    );
    assert_eq!(
        invoke(&lambda, 2, "succeed").await,
        Answer::Response(json!({ "id": "task-2" }))
    );
}

#[tokio::test]
async fn an_unsampled_invocation_sends_no_datagram() {
    let lambda = start(&[]).await;
    let unsampled = lambda.api.invoke(event(1, "succeed", false)).await;
    assert_eq!(unsampled, Answer::Response(json!({ "id": "task-1" })));
    // What comes of a sampled one bounds the wait for what must not come.
    invoke(&lambda, 2, "succeed").await;
    let documents = lambda.xray.documents(2).await;
    assert!(
        documents
            .iter()
            .all(|document| document["trace_id"] == root(2)),
        "{documents:#?}"
    );
}

/// Runs out of time, and returns what had come out when the process was ended for that.
async fn time_out(action: &str, watchdog: &str) -> (XrayDaemon, Output) {
    let variables = [
        ("POWERTOOLS_DEADLINE_MARGIN_MS", "500"),
        ("POWERTOOLS_DEADLINE_WATCHDOG", watchdog),
    ];
    let lambda = start(&variables).await;
    let event = Event {
        timeout: Duration::from_secs(1),
        ..event(1, action, true)
    };
    assert_eq!(lambda.api.invoke(event).await, Answer::TimedOut);
    let output = lambda.function.stop().await.unwrap();
    (lambda.xray, output)
}

fn assert_all_is_out(documents: &[Value], output: &Output) {
    let messages: Vec<_> = output.logs.iter().map(|line| &line["message"]).collect();
    assert_eq!(
        messages,
        [
            "before",
            "held back",
            "timeout imminent: the handler has not answered"
        ]
    );
    let warning = &output.logs[2];
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["function_request_id"], "request-1");
    assert_eq!(warning["correlation_id"], "task-1");
    assert_eq!(warning["xray_trace_id"], root(1));
    let remaining = warning["remaining_ms"].as_u64().unwrap();
    assert!((1..=500).contains(&remaining), "{warning}");

    assert_valid(EMF, &output.metrics);
    let handled = with(&output.metrics, "task", "task-1");
    assert_eq!(handled.len(), 1, "{:#?}", output.metrics);
    assert_eq!(handled[0]["Handled"], 1);
    assert_eq!(handled[0]["TimeoutImminent"], 1);

    assert_valid(XRAY, documents);
    assert_eq!(documents.len(), 2, "{documents:#?}");
    let (invocation, work) = (
        named(documents, "## my-function")[0],
        named(documents, "work")[0],
    );
    assert_eq!(work["parent_id"], invocation["id"]);
    for document in documents {
        assert_eq!(document["in_progress"], true, "{document:#}");
        assert_eq!(document.get("end_time"), None, "{document:#}");
        assert_eq!(document["trace_id"], root(1));
    }
}

#[tokio::test]
async fn a_function_that_is_ended_at_its_deadline_loses_no_telemetry() {
    let (xray, output) = time_out("oversleep", "false").await;
    assert_all_is_out(&xray.documents(2).await, &output);
}

#[tokio::test]
async fn one_that_blocks_its_thread_loses_none_with_the_watchdog() {
    let (xray, output) = time_out("block", "true").await;
    assert_all_is_out(&xray.documents(2).await, &output);

    // Without it nobody was there to write.
    let (xray, output) = time_out("block", "false").await;
    assert_eq!(output.logs.len(), 1, "{:#?}", output.logs);
    assert!(xray.received().is_empty());
}

#[tokio::test]
async fn an_invocation_beside_one_that_is_late_is_not_announced() {
    let lambda = start(&[("AWS_LAMBDA_MAX_CONCURRENCY", "2")]).await;
    let late = Event {
        timeout: Duration::from_secs(1),
        ..event(1, "oversleep", true)
    };
    let (late, fast) = tokio::join!(lambda.api.invoke(late), invoke(&lambda, 2, "succeed"));
    assert_eq!(late, Answer::TimedOut);
    assert_eq!(fast, Answer::Response(json!({ "id": "task-2" })));
    let output = lambda.function.stop().await.unwrap();
    let warnings = with(&output.logs, "level", "WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!(warnings[0]["function_request_id"], "request-1");
}

#[tokio::test]
async fn two_hundred_concurrent_invocations_never_mix() {
    const INVOCATIONS: u32 = 200;

    let concurrency = INVOCATIONS.to_string();
    let lambda = start(&[
        ("AWS_LAMBDA_MAX_CONCURRENCY", &concurrency),
        ("MEETING", &concurrency),
    ])
    .await;
    // Every handler waits for all others, so all of them run at once or the test hangs.
    let mut invocations = JoinSet::new();
    for number in 0..INVOCATIONS {
        let api = Arc::clone(&lambda.api);
        invocations.spawn(async move { (number, api.invoke(event(number, "meet", true)).await) });
    }
    let answers = invocations.join_all().await;
    let documents = lambda.xray.documents(2 * INVOCATIONS as usize).await;
    let output = lambda.function.stop().await.unwrap();

    assert_eq!(answers.len(), INVOCATIONS as usize);
    assert_eq!(documents.len(), 2 * INVOCATIONS as usize);
    assert_valid(EMF, &output.metrics);
    assert_valid(XRAY, &documents);
    let cold_starts = output
        .metrics
        .iter()
        .filter(|object| object.get("ColdStart").is_some())
        .count();
    assert_eq!(cold_starts, 1);

    for (number, answer) in answers {
        let task = format!("task-{number}");
        assert_eq!(answer, Answer::Response(json!({ "id": task })));

        let lines = with(
            &output.logs,
            "function_request_id",
            &format!("request-{number}"),
        );
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(line["correlation_id"], *task);
            assert_eq!(line["task"], *task);
            assert_eq!(line["xray_trace_id"], root(number));
        }

        let metrics = with(&output.metrics, "task", &task);
        assert_eq!(metrics.len(), 1);
        assert_eq!(metrics[0]["Handled"], json!([1, 2]));

        let trace = with(&documents, "trace_id", &root(number));
        assert_eq!(trace.len(), 2);
        let ids: HashSet<_> = trace
            .iter()
            .map(|document| document["id"].as_str())
            .collect();
        for document in trace {
            if document["name"] == "work" {
                assert_eq!(document["annotations"]["task"], *task);
                assert!(ids.contains(&document["parent_id"].as_str()));
            } else {
                assert_eq!(document["parent_id"], parent(number));
            }
        }
    }
}
