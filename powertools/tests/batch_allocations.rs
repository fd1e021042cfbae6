//! What memory a batch takes beside its event.
#![cfg(all(feature = "batch", feature = "testing"))]

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use lambda_runtime::LambdaEvent;
use powertools::{
    batch::{BatchEvent, BatchLayer, KinesisRecord, Record, Text},
    testing,
};
use serde_json::json;
use tower::{Layer, Service, service_fn};

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing waits"),
    }
}

fn event(records: usize) -> LambdaEvent<BatchEvent> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let records = (0..records).map(|number| {
        json!({
            "kinesis": {
                "sequenceNumber": number.to_string(),
                "partitionKey": "the same",
                "data": BASE64_STANDARD.encode("x".repeat(500)),
            },
            "eventSource": "aws:kinesis",
        })
    });
    let event = json!({"Records": records.collect::<Vec<_>>()}).to_string();
    LambdaEvent::new(
        serde_json::from_str(&event).unwrap(),
        testing::context("52fdfc07"),
    )
}

/// Returns the most bytes that were in use beside the event.
fn most_bytes(records: usize, concurrency: usize) -> u64 {
    let handler = service_fn(|record: Record<String, KinesisRecord>| async move {
        assert_eq!(record.payload.len(), 500);
        Ok::<_, &'static str>(())
    });
    let mut service = BatchLayer::kinesis()
        .format(Text)
        .concurrency(concurrency)
        .layer(handler);
    let event = event(records);
    let allocations = allocation_counter::measure(|| {
        let response = ready(service.call(event)).unwrap();
        assert_eq!(response.failures().len(), 0);
    });
    allocations.bytes_max
}

#[test]
fn memory_grows_with_the_concurrency_and_not_with_the_batch() {
    most_bytes(10, 1);
    for concurrency in [1, 8] {
        let (few, many) = (
            most_bytes(2_000, concurrency),
            most_bytes(10_000, concurrency),
        );
        // A byte for each record says what has become of it.
        let grown = many.saturating_sub(few);
        assert!(grown <= 8_000 + 200, "{few} {many}");
        assert!(
            many < 10_000 + concurrency as u64 * 8_192 + 131_072,
            "{many}"
        );
    }
}
