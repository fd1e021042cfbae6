//! What the tests of several modules need.

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    batch::{BatchError, BatchEvent, BatchResponse},
    env,
    logging::Logger,
    metrics::MetricsLayer,
    testing::{self, Captured},
};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::stream::EventError;

/// The lines that the running thread logs, as a function would write them.
pub(crate) struct Logs {
    lines: Captured,
    _guard: DefaultGuard,
}

impl Logs {
    pub(crate) fn capture() -> Self {
        let (lines, guard) = testing::capture_logs(Logger::from_env(&Env::default()));
        Self {
            lines,
            _guard: guard,
        }
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        self.lines.json()
    }

    pub(crate) fn with_message(&self, message: &str) -> Vec<Value> {
        self.all()
            .into_iter()
            .filter(|line| line["message"] == message)
            .collect()
    }
}

/// The layer of the metrics, whatever the developer's environment says.
pub(crate) fn metrics_layer(output: &Captured) -> MetricsLayer {
    let env = Env::from([(env::METRICS_NAMESPACE, "Test")]);
    MetricsLayer::from_env(&env).with_writer(output.clone())
}

/// A batch as the runtime hands it to a function: 30 s are left.
pub(crate) fn invocation(records: &[Value]) -> LambdaEvent<BatchEvent> {
    let event = json!({ "Records": records }).to_string();
    LambdaEvent::new(
        serde_json::from_str(&event).unwrap(),
        testing::context("invocation-1"),
    )
}

/// A record of Kinesis as Lambda hands it over.
pub(crate) fn kinesis_record(sequence_number: usize, key: &str, data: impl AsRef<[u8]>) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": sequence_number.to_string(),
            "data": BASE64_STANDARD.encode(data),
            "approximateArrivalTimestamp": 1_545_084_650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000006:{sequence_number}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/order-events",
    })
}

/// What a consumer says of a batch: the sequence numbers of the records that failed. If all did, the
/// invocation has, and Lambda takes it for the same.
pub(crate) fn failures(
    answer: &Result<BatchResponse, BatchError<EventError>>,
    records: &[Value],
) -> Vec<String> {
    match answer {
        Ok(response) => response.failures().map(ToString::to_string).collect(),
        Err(BatchError::AllFailed { .. }) => (1..=records.len()).map(|it| it.to_string()).collect(),
        Err(error) => panic!("{error:?}"),
    }
}

/// The envelope of an order that was placed; `name` makes it another order for another letter.
pub(crate) fn order_placed(name: char, version: u64) -> Value {
    let order_id = order_id(name);
    json!({
        "event_id": format!("01938000-0000-7000-8000-{:012}", version),
        "event_type": "OrderPlaced",
        "event_version": 1,
        "aggregate_id": order_id,
        "aggregate_version": version,
        "occurred_at": "2026-11-23T06:58:19.081Z",
        "correlation_id": format!("request-{name}"),
        "payload": {
            "order_id": order_id,
            "customer_id": "customer-1",
            "currency": "EUR",
            "items": [
                {"sku": "tea", "quantity": 2, "unit_price": 1250},
                {"sku": "pot", "quantity": 1, "unit_price": 3999},
            ],
            "total": 6499,
        },
    })
}

pub(crate) fn order_id(name: char) -> String {
    format!("0193a1b2-c3d4-7000-8000-{:012x}", u32::from(name))
}
