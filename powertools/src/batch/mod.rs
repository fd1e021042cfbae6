//! The records of a batch one by one.

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

pub use disposition::{ClassifyFailure, Disposition, FailedRecord, FailureSink, Settlement};
pub use config::UndecodableRecord;
pub use decode::Decode;
pub use error::{BatchError, RecordError, RecordFailure};
pub use event::BatchEvent;
pub use future::ResponseFuture;
#[cfg(feature = "batch-large-messages")]
pub use large_messages::LargeMessages;
pub use layer::BatchLayer;
pub use record::Record;
pub use response::{BatchResponse, ItemIdentifier};
pub use service::BatchService;
pub use source::{
    AfterFailure, Change, DynamoDb, DynamoDbRecord, EventName, Kafka, KafkaRecord, Kinesis,
    KinesisRecord, MessageAttribute, Source, Sqs, SqsFifo, SqsMessage,
};
#[cfg(feature = "batch-sqs")]
pub use sqs_actions::SqsActions;

#[cfg(feature = "batch-avro")]
pub use format::{Avro, AvroSchemaError};
pub use format::{
    Bytes, Data, DecodeError, DecodeErrorKind, EventBridge, EventBridgeEvent, Format, Images, Json, Nullable,
    SchemaMetadata, Sns, SnsAttribute, SnsMessage, Text,
};
#[cfg(feature = "batch-protobuf")]
pub use format::Protobuf;
#[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
pub use format::Registry;


/// How many failures a [`BatchError`] keeps.
pub const MAX_FAILURES: usize = 5;
