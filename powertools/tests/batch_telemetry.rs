//! What a batch leaves in logs, traces and metrics.
#![cfg(all(
    feature = "batch",
    feature = "logging",
    feature = "metrics",
    feature = "testing",
    feature = "trace"
))]

use std::time::{Duration, UNIX_EPOCH};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env,
    batch::{BatchEvent, BatchLayer, KinesisRecord, Record, Text},
    logging::{Logger, LoggingLayer},
    metrics::MetricsLayer,
    testing::{self, capture_logs, capture_metrics, capture_traces},
    trace::{TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};
use tracing::{Instrument, info, info_span};

const INVOCATION: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const PRODUCER: &str = "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1";

fn event(records: &[Value]) -> LambdaEvent<BatchEvent> {
    let mut context = testing::context("52fdfc07");
    context.xray_trace_id = Some(INVOCATION.to_owned());
    let event = json!({"Records": records}).to_string();
    LambdaEvent::new(serde_json::from_str(&event).unwrap(), context)
}

fn message(id: &str, body: &str) -> Value {
    json!({"messageId": id, "body": body, "eventSource": "aws:sqs"})
}

fn kinesis_record(number: &str, data: &str) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    json!({
        "kinesis": {
            "sequenceNumber": number,
            "partitionKey": "k",
            "data": BASE64_STANDARD.encode(data),
            "approximateArrivalTimestamp": 1000.5,
        },
        "eventSource": "aws:kinesis",
    })
}

async fn handle<M>(record: Record<String, M>) -> Result<(), Error> {
    info!(text = record.payload, "handled");
    async { tokio::task::yield_now().await }
        .instrument(info_span!("work"))
        .await;
    match record.payload.as_str() {
        "bad" => Err("bad text".into()),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn every_line_of_a_record_has_its_keys_and_a_failure_is_a_warning() {
    let (logs, _guard) = capture_logs(Logger::from_env(&Env::default()));
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .layer(BatchLayer::sqs().format(Text).concurrency(2))
        .service_fn(handle);
    let batch = [
        message("m1", "good"),
        message("m2", "bad"),
        json!({"messageId": "m3"}),
    ];
    service.oneshot(event(&batch)).await.unwrap();

    let lines = logs.json();
    let of = |id: &str| {
        let lines = lines
            .iter()
            .filter(|line| line["message_id"] == id || line["identifier"] == id);
        let lines: Vec<_> = lines
            .map(|line| {
                (
                    line["level"].as_str().unwrap(),
                    line["message"].as_str().unwrap(),
                )
            })
            .collect();
        lines
    };
    let failed = ("WARN", "a record of the batch failed");
    assert_eq!(of("m1"), [("INFO", "handled")]);
    assert_eq!(of("m2"), [("INFO", "handled"), failed]);
    assert_eq!(of("m3"), [failed]);
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| line["function_request_id"] == "52fdfc07")
    );
}

#[tokio::test]
async fn a_record_of_a_stream_is_logged_with_its_sequence_number() {
    let (logs, _guard) = capture_logs(Logger::from_env(&Env::default()));
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .layer(BatchLayer::kinesis().format(Text).log_failures(false))
        .service_fn(handle::<KinesisRecord>);
    let batch = [kinesis_record("495", "good"), kinesis_record("496", "bad")];
    service.oneshot(event(&batch)).await.unwrap();
    let lines = logs.json();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["sequence_number"], "495");
    assert_eq!(lines[1]["partition_key"], "k");
    assert_eq!(lines[0].get("sub_sequence_number"), None);
}

#[tokio::test]
async fn a_record_continues_its_producers_trace_and_links_to_the_invocation() {
    let (traces, _guard) = capture_traces(Tracer::from_env(&Env::default()).service("orders"));
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new().name("orders"))
        .layer(BatchLayer::sqs().format(Text))
        .service_fn(handle);
    let mut with_header = message("m1", "good");
    with_header["attributes"] = json!({"AWSTraceHeader": PRODUCER});
    let mut with_bad_header = message("m2", "bad");
    with_bad_header["attributes"] = json!({"AWSTraceHeader": "Root=?"});
    service
        .oneshot(event(&[with_header, with_bad_header]))
        .await
        .unwrap();

    let spans = traces.spans();
    let records: Vec<_> = spans.iter().filter(|it| it.name() == "record").collect();
    let [producers, own] = &records[..] else {
        panic!("{spans:#?}");
    };
    // In its producer's trace the function has a segment of its own.
    assert_eq!(producers.trace_id(), "1-67891233-abcdef012345678912345678");
    let handler = traces.named("## orders");
    let segment = traces.named("function");
    assert_eq!(segment.parent_id(), "463ac35c9f6413ad");
    assert_eq!(
        segment.document()["links"],
        json!([{"trace_id": handler.trace_id(), "id": handler.id()}])
    );
    assert_eq!(producers.parent_id(), segment.id());
    assert!(!producers.is_fault());
    assert_eq!(producers.children()[0].name(), "work");

    assert_eq!(own.trace_id(), "1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!(own.parent_id(), handler.id());
    assert!(own.is_fault());
    assert_eq!(own.metadata("default", "message_id"), Some(&json!("m2")));
}

#[tokio::test]
async fn a_header_may_be_found_in_the_payload() {
    let (traces, _guard) = capture_traces(Tracer::from_env(&Env::default()).service("orders"));
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new().name("orders"))
        .layer(BatchLayer::kinesis().format(Text).with_trace_header(
            |record: &Record<String, KinesisRecord>| Some(record.payload.clone()),
        ))
        .service_fn(handle::<KinesisRecord>);
    service
        .oneshot(event(&[kinesis_record("495", PRODUCER)]))
        .await
        .unwrap();
    let record = traces.named("record");
    assert_eq!(record.trace_id(), "1-67891233-abcdef012345678912345678");
}

#[tokio::test]
async fn metrics_count_the_batch_its_failures_and_its_age() {
    let (metrics, layer) = capture_metrics(MetricsLayer::new("Shop"));
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(
            BatchLayer::kinesis()
                .format(Text)
                .metrics(true)
                .with_clock(|| UNIX_EPOCH + Duration::from_secs(1001)),
        )
        .service_fn(handle::<KinesisRecord>);
    let batch = [
        kinesis_record("1", "good"),
        kinesis_record("2", "bad"),
        kinesis_record("3", "good"),
    ];
    service.oneshot(event(&batch)).await.unwrap();
    assert_eq!(metrics.values("BatchSize"), [3.0]);
    assert_eq!(metrics.values("BatchRecordFailures"), [1.0]);
    assert_eq!(metrics.values("IteratorAge"), [500.0]);
}
