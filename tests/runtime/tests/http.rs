//! Functions behind HTTP under the real runtime, by each of the ways that lambda_http has to run them.

use std::collections::BTreeSet;

use runtime_tests::{Answer, Output};
use serde_json::{Value, json};

mod support;

use support::{EMF, Lambda, XRAY, assert_valid, event_of, named, parent, root, with};

const BUFFERED: [&str; 2] = ["run", "run_concurrent"];
const STREAMED: [&str; 2] = [
    "run_with_streaming_response",
    "run_with_streaming_response_concurrent",
];

async fn start(run: &str) -> Lambda {
    let program = env!("CARGO_BIN_EXE_http-function");
    // Enough of both to be run by the code for concurrency where there is one.
    let concurrency = if run.ends_with("concurrent") {
        "2"
    } else {
        "1"
    };
    let variables = [
        ("RUN", run),
        ("AWS_LAMBDA_MAX_CONCURRENCY", concurrency),
        ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
    ];
    Lambda::start(program, &variables).await.unwrap()
}

/// Makes a request as API Gateway does.
async fn get(lambda: &Lambda, number: u32, path: &str) -> Answer {
    let payload = json!({
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": {"proxy": path},
        "stageVariables": null,
        "requestContext": {"stage": "prod", "httpMethod": "GET", "identity": {}},
        "body": null,
        "isBase64Encoded": false,
    });
    lambda.api.invoke(event_of(number, payload, true)).await
}

/// What an answer's status and body are.
fn response(answer: &Answer) -> (&Value, &str) {
    match answer {
        Answer::Response(response) => (
            &response["statusCode"],
            response["body"].as_str().unwrap_or_default(),
        ),
        Answer::Streamed(head, body) => (&head["statusCode"], body),
        other => panic!("no response: {other:?}"),
    }
}

/// Checks that everything of one invocation has come out: what the handler did, and what was done
/// while its response's body was on the way.
fn assert_all_is_out(number: u32, documents: &[Value], output: &Output) {
    assert_valid(XRAY, documents);
    let trace: Vec<_> = with(documents, "trace_id", &root(number));
    let invocation: Vec<_> = trace
        .iter()
        .filter(|it| it["name"] == "## my-function")
        .collect();
    assert_eq!(invocation.len(), 1, "{trace:#?}");
    let invocation = invocation[0];
    assert_eq!(invocation["parent_id"], parent(number));
    let pieces: Vec<_> = trace.iter().filter(|it| it["name"] == "piece").collect();
    assert_eq!(pieces.len(), 3, "{trace:#?}");
    for piece in pieces {
        assert_eq!(piece["parent_id"], invocation["id"]);
        // The invocation's span lasts as long as the body does.
        assert!(
            piece["end_time"].as_f64() <= invocation["end_time"].as_f64(),
            "{trace:#?}"
        );
    }

    let request_id = format!("request-{number}");
    let lines = with(&output.logs, "function_request_id", &request_id);
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["handled", "piece", "piece", "piece"]);
    for line in lines {
        assert_eq!(line["xray_trace_id"], root(number));
    }
    assert_valid(EMF, &output.metrics);
}

#[tokio::test]
async fn the_body_belongs_to_its_invocation_however_it_is_sent() {
    for run in BUFFERED.into_iter().chain(STREAMED) {
        let lambda = start(run).await;
        let answers = tokio::join!(get(&lambda, 1, "/whole"), get(&lambda, 2, "/unavailable"));
        assert_eq!(response(&answers.0), (&json!(200), "tea tea tea "), "{run}");
        assert_eq!(response(&answers.1), (&json!(503), "tea tea tea "), "{run}");
        let is_streamed = matches!(answers.0, Answer::Streamed(..));
        assert_eq!(is_streamed, STREAMED.contains(&run), "{run}");

        let documents = lambda.xray.documents(8).await;
        let output = lambda.function.stop().await.unwrap();
        assert_all_is_out(1, &documents, &output);
        assert_all_is_out(2, &documents, &output);
        assert_eq!(output.metrics.len(), 2, "{run}: {:#?}", output.metrics);
        for object in &output.metrics {
            assert_eq!(object["Handled"], 1);
            assert_eq!(object["Pieces"], json!([1, 2, 3]));
        }
        // The status decides, the success that it is to the runtime notwithstanding.
        let faults = output
            .metrics
            .iter()
            .map(|object| object["Faults"].as_u64());
        assert_eq!(faults.collect::<BTreeSet<_>>(), [Some(0), Some(1)].into());
        for document in named(&documents, "## my-function") {
            let is_second = document["trace_id"] == root(2);
            assert_eq!(document["fault"] == true, is_second, "{document:#}");
        }
    }
}

/// Lambda may freeze or end the process as soon as it has the body's end.
#[tokio::test]
async fn all_telemetry_is_out_when_the_body_has_ended() {
    for run in BUFFERED.into_iter().chain(STREAMED) {
        let lambda = start(run).await;
        lambda.api.stall();
        let answer = get(&lambda, 1, "/whole").await;
        assert_eq!(response(&answer), (&json!(200), "tea tea tea "), "{run}");
        let documents = lambda.xray.documents(4).await;
        let output = lambda.function.stop().await.unwrap();
        assert_all_is_out(1, &documents, &output);
        assert_eq!(output.metrics.len(), 1, "{run}: {:#?}", output.metrics);
        assert_eq!(output.metrics[0]["Pieces"], json!([1, 2, 3]));
    }
}

#[tokio::test]
async fn a_body_that_fails_half_way_is_a_fault_and_loses_nothing() {
    for run in STREAMED {
        let lambda = start(run).await;
        let answer = get(&lambda, 1, "/failed").await;
        let (status, body) = response(&answer);
        assert_eq!(status, &json!(200));
        assert!(body.starts_with("tea tea tea "), "{body}");
        // How the runtime tells of it.
        assert!(body.contains("Runtime.StreamError"), "{body}");
        let documents = lambda.xray.documents(4).await;
        let output = lambda.function.stop().await.unwrap();
        assert_all_is_out(1, &documents, &output);
        assert_eq!(output.metrics[0]["Pieces"], json!([1, 2, 3]));
        let invocation = named(&documents, "## my-function");
        assert_eq!(invocation[0]["fault"], true, "{invocation:#?}");
    }
}

#[tokio::test]
async fn a_body_whose_client_is_gone_ends_its_invocation() {
    for run in STREAMED {
        let lambda = start(run).await;
        lambda.api.hang_up();
        assert_eq!(get(&lambda, 1, "/never").await, Answer::HungUp, "{run}");
        let invocation = loop {
            // Fails if it does not come.
            let documents = lambda.xray.documents(1).await;
            let found = named(&documents, "## my-function")
                .into_iter()
                .next()
                .cloned();
            if let Some(found) = found {
                break found;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(invocation["trace_id"], root(1));
        let output = lambda.function.stop().await.unwrap();
        assert_eq!(output.metrics.len(), 1, "{run}: {:#?}", output.metrics);
        assert_eq!(output.metrics[0]["Handled"], 1);
    }
}

#[tokio::test]
async fn an_error_and_a_panic_reach_the_runtime_api_as_they_are() {
    for run in BUFFERED.into_iter().chain(STREAMED) {
        let lambda = start(run).await;
        let expected = json!({"errorType": "NoTea", "errorMessage": "out of tea"});
        assert_eq!(get(&lambda, 1, "/").await, Answer::Error(expected), "{run}");
        let Answer::Error(panicked) = get(&lambda, 2, "/panic").await else {
            panic!("a panic is answered as an error")
        };
        assert_eq!(
            panicked["errorMessage"], "Lambda panicked: teapot broken",
            "{run}"
        );
        let documents = lambda.xray.documents(2).await;
        assert!(
            documents.iter().all(|document| document["fault"] == true),
            "{documents:#?}"
        );
        let output = lambda.function.stop().await.unwrap();
        let panics: Vec<_> = output
            .metrics
            .iter()
            .map(|object| &object["Panics"])
            .collect();
        assert_eq!(panics, [0, 1], "{run}");
    }
}
