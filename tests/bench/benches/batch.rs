//! A batch: ours, beside a loop by hand over the same event.

use std::{convert::Infallible, future::Future, hint::black_box, pin::pin, task};

use aws_lambda_events::event::{
    kinesis::KinesisEvent,
    sqs::{SqsBatchResponse, SqsEvent},
    streams::KinesisEventResponse,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bench::Table;
use lambda_runtime::LambdaEvent;
use powertools::{
    batch::{BatchEvent, BatchLayer, BatchResponse, KinesisRecord, Record},
    testing,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, service_fn};

#[derive(Deserialize)]
struct Order {
    id: String,
    total: u64,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    quantity: u64,
}

/// Fails for this share of a hundred, evenly spread.
async fn handle(order: Order, failing: u64) -> Result<(), &'static str> {
    let quantity: u64 = order.lines.iter().map(|line| line.quantity).sum();
    black_box((&order.id, &order.lines[0].sku, quantity));
    match order.total % 100 < failing {
        true => Err("refused"),
        false => Ok(()),
    }
}

fn order(number: usize) -> String {
    // So that ten per cent are ten per cent also of ten records.
    let total = number * 10 % 100 + number / 10 % 10;
    json!({
        "id": format!("order-{number}"),
        "total": total,
        "lines": [{"sku": "slate-124", "quantity": 1}, {"sku": "oak-7", "quantity": 3}],
    })
    .to_string()
}

/// Members in the order in which Lambda has them.
fn sqs_event(records: usize) -> String {
    let handle = "YjU0MzI0M2ItZjE4Ni00YWJiLTg4YTUtODcyNWFmODJmNzk4".repeat(4);
    event((0..records).map(|number| {
        let body = Value::from(order(number));
        format!(
            r#"{{"messageId":"08b4cb23-f610-4125-9707-{number:012}","receiptHandle":"{handle}","body":{body},"attributes":{{"ApproximateReceiveCount":"1","SentTimestamp":"1795209140352","SenderId":"AIDAIENQZJOLO23YVJ4VO","ApproximateFirstReceiveTimestamp":"1795209140352"}},"messageAttributes":{{}},"md5OfBody":"0d14d8e8e1249432f0e18930c4486698","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:orders","awsRegion":"eu-west-1"}}"#
        )
    }))
}

fn kinesis_event(records: usize) -> String {
    event((0..records).map(|number| {
        let customer = number % 97;
        let sequence = format!("4959033827149025660855969253836157109592{number:016}");
        let data = BASE64_STANDARD.encode(order(number));
        format!(
            r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"customer-{customer}","sequenceNumber":"{sequence}","data":"{data}","approximateArrivalTimestamp":1545084650.987}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:{sequence}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/orders"}}"#
        )
    }))
}

fn event(records: impl Iterator<Item = String>) -> String {
    let records: Vec<_> = records.collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut task::Context::from_waker(task::Waker::noop())) {
        task::Poll::Ready(output) => output,
        task::Poll::Pending => unreachable!("nothing waits"),
    }
}

/// The loop that everybody has written once.
async fn sqs_by_hand(event: SqsEvent, failing: u64) -> Result<SqsBatchResponse, Infallible> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let Some(id) = message.message_id else {
            continue;
        };
        let body = message.body.unwrap_or_default();
        let result = match serde_json::from_str(&body) {
            Ok(order) => handle(order, failing).await,
            Err(_) => Err("malformed"),
        };
        if result.is_err() {
            response.add_failure(id);
        }
    }
    Ok(response)
}

async fn kinesis_by_hand(
    event: KinesisEvent,
    failing: u64,
) -> Result<KinesisEventResponse, Infallible> {
    let mut response = KinesisEventResponse::default();
    for record in event.records {
        let result = match serde_json::from_slice(&record.kinesis.data) {
            Ok(order) => handle(order, failing).await,
            Err(_) => Err("malformed"),
        };
        if result.is_err() {
            response.add_failure(record.kinesis.sequence_number);
        }
    }
    Ok(response)
}

/// What the runtime does around a handler: it reads the event, and writes the answer.
fn by_hand<'a, E: Deserialize<'a>, R: serde::Serialize>(
    text: &'a str,
    handler: impl FnOnce(E) -> Result<R, Infallible>,
) {
    let context = testing::context("8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    let event = LambdaEvent::new(serde_json::from_str(text).expect("it is an event"), context);
    let Ok(response) = handler(black_box(event).payload);
    black_box(serde_json::to_vec(&response).expect("it can be written"));
}

/// The same with the layer.
fn by_layer<S>(text: &str, service: &mut S)
where
    S: Service<LambdaEvent<BatchEvent>, Response = BatchResponse, Error: std::fmt::Debug>,
{
    let event = serde_json::from_str(text).expect("it is an event");
    let context = testing::context("8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    let response = ready(service.call(LambdaEvent::new(event, context)));
    let response = response.expect("it is not to be raised");
    black_box(serde_json::to_vec(&response).expect("it can be written"));
}

fn main() {
    for records in [10, 1_000, 10_000] {
        let times = u32::try_from(records).expect("it is a small number");
        for failing in [0, 10, 100] {
            let text = sqs_event(records);
            let handler = move |record: Record<Order>| handle(record.payload, failing);
            let mut table = Table::new(&format!(
                "SQS, {records} records, {failing} % failing: one record"
            ));
            table.batch("a loop by hand", times, || {
                by_hand(&text, |event| ready(sqs_by_hand(event, failing)));
            });
            for concurrency in [1, 8] {
                let mut service = ServiceBuilder::new()
                    .layer(
                        BatchLayer::sqs()
                            .concurrency(concurrency)
                            .raise_on_entire_batch_failure(false),
                    )
                    .service_fn(handler);
                table.batch(
                    &format!("BatchLayer, concurrency {concurrency}"),
                    times,
                    || by_layer(&text, &mut service),
                );
            }
        }
        let text = kinesis_event(records);
        let failing = 10;
        let handler = move |record: Record<Order, KinesisRecord>| handle(record.payload, failing);
        let mut table = Table::new(&format!(
            "Kinesis, {records} records, {failing} % failing: one record"
        ));
        table.batch("a loop by hand", times, || {
            by_hand(&text, |event| ready(kinesis_by_hand(event, failing)));
        });
        for concurrency in [1, 8] {
            let mut service = BatchLayer::kinesis()
                .concurrency(concurrency)
                .raise_on_entire_batch_failure(false)
                .layer(service_fn(handler));
            table.batch(
                &format!("BatchLayer, concurrency {concurrency}"),
                times,
                || by_layer(&text, &mut service),
            );
        }
    }
}
