//! Event source mappings: a function gets the records of a stream.
//!
//! The emulator has mappings of its own, but for Kinesis and DynamoDB streams they know neither partial batch responses nor
//! bisecting, retry limits or on-failure destinations. A [`Mapping`] does what AWS Lambda does, over public APIs:
//!
//! - Each shard is read by a task of its own, in order: one invocation at a time, and the next batch only when every record
//!   of this one is done with. A shard that came out of others is read after them.
//! - A batch is what the stream has, up to the batch size and the 6 MB that an invocation may be sent; with a batch window,
//!   what came within it.
//! - An invocation that **succeeds** acknowledges its records. With `ReportBatchItemFailures` an answer like
//!   `{"batchItemFailures": [{"itemIdentifier": "<sequence number>"}]}` acknowledges those before the lowest number that it
//!   names; the others are a batch of their own from then on, with all their attempts. No list, an empty one, `{}`, `null`
//!   and an empty answer are a success. A number that was not in the invocation, none at all, or an answer of another form
//!   is a failure of everything.
//! - An invocation that **fails** (error, panic, timeout) is repeated with the same records as often as `MaximumRetryAttempts`
//!   says, with a growing pause. With `BisectBatchOnFunctionError` more than one record are cut into halves instead, which are
//!   tried one after the other; that costs no attempt. A report that names the first record counts as a failure, because the
//!   checkpoint cannot move: without that, bisecting could not isolate the record.
//! - An invocation that **does not reach the function** (throttled, or an error of the service) is repeated without counting,
//!   until the records are too old.
//! - Records older than `MaximumRecordAge` are not given to the function, however often it had them.
//! - What is given up is told to the **on-failure destination**, as a JSON document that says where the records are, not what
//!   they hold. Then the shard goes on. A destination that fails is tried until it takes the document; on AWS it would be
//!   lost. AWS may also tell of neighbouring records in one document; here each range has its own.
//!
//! So a record may be given to the function more than once, but never after a later one was acknowledged, and none is left
//! out. Checkpoints are kept in memory: a new [`Mapping::start`] begins at the starting position again.
//!
//! Filters, the parallelisation factor and tumbling windows are not there yet.
//!
//! Sources:
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>
//!
//! # Examples
//! With the defaults of AWS, a record that the function cannot process blocks its shard:
//! ```no_run
//! use local_cloud::Clients;
//! use local_cloud::mapping::{Mapping, MappingError, StartingPosition};
//!
//! # async fn run(clients: &Clients, table_stream_arn: &str) -> Result<(), MappingError> {
//! let mapping = Mapping::new(table_stream_arn, "dynamodb-stream-processor", StartingPosition::TrimHorizon);
//! let running = mapping.start(clients).await?;
//! running.settled().await?;
//! println!("{} records went to the function", running.stop().await.records_delivered);
//! # Ok(())
//! # }
//! ```
//!
//! Here it is isolated, tried three times more, and told to a queue:
//! ```no_run
//! # use local_cloud::Clients;
//! # use local_cloud::mapping::{Mapping, MappingError, StartingPosition};
//! # async fn run(clients: &Clients) -> Result<(), MappingError> {
//! let running = Mapping::new(
//!     "arn:aws:kinesis:eu-west-1:000000000000:stream/order-events",
//!     "order-stream-processor",
//!     StartingPosition::TrimHorizon,
//! )
//! .report_batch_item_failures(true)
//! .bisect_on_error(true)
//! .maximum_retry_attempts(3)
//! .on_failure("arn:aws:sqs:eu-west-1:000000000000:order-events-dlq")
//! .start(clients)
//! .await?;
//! let status = running.wait_until(|status| status.records_discarded == 1).await?;
//! assert_eq!(status.failure_records, 1);
//! # Ok(())
//! # }
//! ```
//! The queue gets
//! ```json
//! {
//!   "requestContext": {
//!     "requestId": "c9b8fa9f-5a7f-4c1a-af9c-0c604cde93a5",
//!     "functionArn": "arn:aws:lambda:eu-west-1:000000000000:function:order-stream-processor",
//!     "condition": "RetryAttemptsExhausted",
//!     "approximateInvokeCount": 4
//!   },
//!   "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": null},
//!   "version": "1.0",
//!   "timestamp": "2025-11-14T00:38:06.021Z",
//!   "KinesisBatchInfo": {
//!     "shardId": "shardId-000000000001",
//!     "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
//!     "endSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
//!     "approximateArrivalOfFirstRecord": "2025-11-14T00:38:04.835Z",
//!     "approximateArrivalOfLastRecord": "2025-11-14T00:38:04.835Z",
//!     "batchSize": 1,
//!     "streamArn": "arn:aws:kinesis:eu-west-1:000000000000:stream/order-events"
//!   }
//! }
//! ```

mod answer;
mod batch;
mod config;
mod dynamodb;
mod error;
mod event;
mod invoke;
mod kinesis;
mod on_failure;
mod poller;
mod running;
mod settings;
mod source;
mod status;
mod time;

pub use self::config::{Mapping, StartingPosition};
pub use self::error::MappingError;
pub use self::running::Running;
pub use self::status::{ShardStatus, Status};
