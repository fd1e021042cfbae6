//! The records of a batch one by one: a service for one record handles the whole event of SQS,
//! Kinesis, DynamoDB streams or Kafka, and Lambda is told which records are to come again.
//!
//! [`BatchLayer`] turns a `Service<Record<T>>` into the service for the event. So what tower has for
//! a request is there for a record: a timeout, a limit, a span, idempotency. A record that is
//! malformed, fails, panics or takes too long is reported, and the others are none the worse for it.
//!
//! # Examples
//!
//! The default use: messages of a queue, whose bodies are JSON.
//!
//! ```no_run
//! use lambda_runtime::Error;
//! use powertools::batch::{BatchLayer, Record};
//! use serde::Deserialize;
//! use tower::ServiceBuilder;
//!
//! #[derive(Deserialize)]
//! struct Order { id: String }
//!
//! async fn handle(record: Record<Order>) -> Result<(), Error> {
//!     println!("{}, attempt {}", record.payload.id, record.source.receive_count);
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let service = ServiceBuilder::new().layer(BatchLayer::sqs()).service_fn(handle);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: eight messages at a time, five seconds each, and orders that can never be
//! handled are not tried again.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{
//!     batch::{
//!         BatchLayer, Disposition, FailedRecord, FailureSink, Record, RecordError, Settlement,
//!     },
//!     testing,
//! };
//! use serde::Deserialize;
//! use serde_json::json;
//! use tower::{
//!     ServiceBuilder, ServiceExt,
//!     timeout::{TimeoutLayer, error::Elapsed},
//! };
//!
//! #[derive(Deserialize)]
//! struct Order { total: u64 }
//!
//! async fn handle(record: Record<Order>) -> Result<(), Error> {
//!     match record.payload.total {
//!         0 => Err("nothing to pay".into()),
//!         _ => Ok(()),
//!     }
//! }
//!
//! fn classify(error: &RecordError<Error>) -> Disposition {
//!     match error {
//!         // What is malformed today is malformed tomorrow.
//!         RecordError::Decode(_) => Disposition::give_up("malformed"),
//!         RecordError::Handler(error) if error.is::<Elapsed>() => {
//!             Disposition::RetryAfter(Duration::from_secs(60))
//!         }
//!         _ => Disposition::Retry,
//!     }
//! }
//!
//! /// Stands for `SqsActions`, which sends what is given up to a dead-letter queue.
//! struct GivenUp;
//!
//! impl FailureSink for GivenUp {
//!     async fn settle<'a>(&'a self, records: &'a [FailedRecord<'a>]) -> Vec<Settlement> {
//!         let settle = |record: &FailedRecord<'_>| match record.disposition() {
//!             Disposition::GiveUp { .. } => Settlement::Taken,
//!             _ => Settlement::Reported,
//!         };
//!         records.iter().map(settle).collect()
//!     }
//! }
//!
//! let batch = BatchLayer::sqs()
//!     .concurrency(8)
//!     .classify(classify)
//!     .with_failure_sink(GivenUp);
//! let service = ServiceBuilder::new()
//!     .layer(batch)
//!     // From here on it is about one record.
//!     .layer(TimeoutLayer::new(Duration::from_secs(5)))
//!     .service_fn(handle);
//!
//! let event = serde_json::from_value(json!({"Records": [
//!     {"messageId": "m1", "body": r#"{"total":1}"#, "eventSource": "aws:sqs"},
//!     {"messageId": "m2", "body": r#"{"total":0}"#, "eventSource": "aws:sqs"},
//!     {"messageId": "m3", "body": r#"{"total""#, "eventSource": "aws:sqs"},
//! ]}))?;
//! let response = service.oneshot(LambdaEvent::new(event, testing::context("52fdfc07"))).await.unwrap();
//! assert_eq!(
//!     serde_json::to_value(&response)?,
//!     json!({"batchItemFailures": [{"itemIdentifier": "m2"}]}),
//! );
//! # Ok::<_, serde_json::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Sources
//!
//! | made by | a handler takes | a failure is reported by |
//! |---|---|---|
//! | [`BatchLayer::sqs`], [`BatchLayer::sqs_fifo`] | [`Record<T>`], with [`SqsMessage`] | the message id |
//! | [`BatchLayer::kinesis`] | `Record<T, `[`KinesisRecord`]`>` | the sequence number |
//! | [`BatchLayer::dynamodb`] | `Record<`[`Change<T>`](Change)`, `[`DynamoDbRecord`]`>` | the sequence number |
//! | [`BatchLayer::kafka`], Amazon MSK and self-managed | `Record<T, `[`KafkaRecord`]`>` | partition and offset |
//! | [`WindowLayer`], tumbling windows of Kinesis and DynamoDB | [`WindowStep<T, State>`](WindowStep) | the sequence number |
//!
//! The event source mapping has to ask for it: without `ReportBatchItemFailures` among its
//! `FunctionResponseTypes`, Lambda takes every answer for a success, and what failed is lost.
//!
//! # Formats
//!
//! What a record carries is JSON, unless [`BatchLayer::format`] says otherwise: [`Text`], [`Bytes`],
//! [`Sns`] and [`EventBridge`] for messages within messages, [`Nullable`] for values that Kafka has
//! deleted, `Avro`, `Protobuf` and `LargeMessages` behind features, or a [`Format`] of your own. A
//! record that cannot be decoded fails alone, with a [`DecodeError`] that shows nothing of its content,
//! or goes to [`BatchLayer::on_undecodable`].
//!
//! # Order
//!
//! One record is handled after the other, or [`concurrency`](BatchLayer::concurrency) of them side by
//! side in one task. Those of one message group, partition key, item, or key in a partition of Kafka
//! are handled one after the other even then.
//!
//! | | after a failure, those of the same group | those of other groups |
//! |---|---|---|
//! | SQS | have no order | are handled |
//! | SQS FIFO | are reported without being handled | likewise |
//! | with [`skip_group_on_error`](BatchLayer::skip_group_on_error) | likewise | are handled |
//! | streams, [`AfterFailure::Continue`] | are handled, and come again | likewise |
//! | [`AfterFailure::SkipKey`] | are reported without being handled | are handled, and come again |
//! | [`AfterFailure::Stop`] | are reported without being handled | likewise |
//!
//! A record that is given up and taken is no failure: its group goes on.
//!
//! A stream has one place to go on from: Lambda takes the lowest sequence number of those that are
//! reported, and delivers it and all that follow again, handled or not (of Kafka: in each partition).
//! So a handler of a stream sees records more than once, whichever of the three it is, and has to be
//! idempotent: by the sequence number or an id of your own in what it writes.
//!
//! # What else can fail
//!
//! - A batch of which every record is to be reported is a [`BatchError::AllFailed`], so that Lambda
//!   counts an error, unless
//!   [`raise_on_entire_batch_failure`](BatchLayer::raise_on_entire_batch_failure) says otherwise.
//! - An event of another source is a [`BatchError::UnexpectedBatchType`]. An event without records is
//!   nothing to do.
//! - A handler that panics fails its record alone. Panics have to unwind for that
//!   (`panic = "unwind"`, the default).
//! - 500 ms before the invocation's deadline ([`margin`](BatchLayer::margin)) no record is begun any
//!   more, those that are being handled are dropped, and all of them are reported. A handler that
//!   blocks its thread cannot be dropped, but none is begun after it: see
//!   [`deadline`](crate::deadline#handlers-that-block).
//!
//! What is to become of a record that failed, [`BatchLayer::classify`] decides: it is tried again,
//! not before some time has passed, or given up. The last two take a [`FailureSink`], as `SqsActions`
//! is behind the feature `batch-sqs`.
//!
//! # Logs, traces, metrics
//!
//! A record is handled in a span `record`, whose fields are keys of every log line in it:
//! `message_id`; `sequence_number` and `partition_key`; `topic`, `partition` and `offset`. The span is a
//! subsegment of the invocation's trace, or, where the record came with a trace header, a part of its
//! producer's trace with a link to the invocation's. A record that fails is a warning, once.
//!
//! After [`BatchLayer::metrics`] there are `BatchSize`, `BatchRecordFailures` and, for streams,
//! `IteratorAge`.
//!
//! # Cost
//!
//! A record is parsed where it lies in the event and decoded when its turn has come, so memory grows
//! with the concurrency, not with the batch. The service inside is cloned for each record.

mod config;
mod deadline;
mod decode;
mod disposition;
mod error;
mod event;
mod format;
mod future;
#[cfg(feature = "batch-large-messages")]
mod large_messages;
mod layer;
mod metrics;
mod record;
mod response;
mod run;
mod schedule;
mod service;
mod source;
#[cfg(feature = "batch-sqs")]
mod sqs_actions;
mod window;

pub use config::UndecodableRecord;
pub use decode::Decode;
pub use disposition::{ClassifyFailure, Disposition, FailedRecord, FailureSink, Settlement};
pub use error::{BatchError, RecordError, RecordFailure};
pub use event::BatchEvent;
pub use future::ResponseFuture;
#[cfg(feature = "batch-large-messages")]
pub use large_messages::LargeMessages;
pub use layer::BatchLayer;
pub use record::Record;
pub use response::{BatchResponse, ItemIdentifier, WindowResponse};
pub use service::BatchService;
pub use source::{
    AfterFailure, Change, DynamoDb, DynamoDbRecord, EventName, Kafka, KafkaRecord, Kinesis,
    KinesisRecord, MessageAttribute, Source, Sqs, SqsFifo, SqsMessage,
};
#[cfg(feature = "batch-sqs")]
pub use sqs_actions::SqsActions;
pub use window::{Window, WindowEnd, WindowLayer, WindowService, WindowStep};

#[cfg(feature = "batch-protobuf")]
pub use format::Protobuf;
#[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
pub use format::Registry;
#[cfg(feature = "batch-avro")]
pub use format::{Avro, AvroSchemaError};
pub use format::{
    Bytes, Data, DecodeError, DecodeErrorKind, EventBridge, EventBridgeEvent, Format, Images, Json,
    Nullable, SchemaMetadata, Sns, SnsAttribute, SnsMessage, Text,
};

/// How many failures a [`BatchError`] keeps.
pub const MAX_FAILURES: usize = 5;
