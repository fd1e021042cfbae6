//! Tower layers that give a Rust function on AWS Lambda what Powertools gives Python, TypeScript,
//! Java and .NET, with the same log keys, metric documents and trace documents.
//!
//! This is a community project, not affiliated with or endorsed by AWS.
//!
//! The idea: a handler is an `async fn(LambdaEvent<T>) -> Result<R, E>`, every tool is a
//! [`tower::Layer`](tower_layer::Layer) around it.
//!
#![cfg_attr(feature = "observability", doc = "```no_run")]
#![cfg_attr(not(feature = "observability"), doc = "```ignore")]
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{
//!     Observability,
//!     metrics::{Metric, Unit},
//! };
//! use serde_json::{Value, json};
//! use tower::ServiceBuilder;
//! use tracing::info;
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     info!(order = event.payload["id"].as_str(), "order placed");
//!     ORDERS_CREATED.record(1);
//!     Ok(json!({ "placed": true }))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     // Logs, traces, metrics, and all of them out before Lambda's timeout.
//!     let observability = Observability::new().init()?;
//!     let service = ServiceBuilder::new()
//!         .layer(observability)
//!         .service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The same stack serves `lambda_runtime::run_concurrent`, and with feature `http` the functions
//! of lambda_http with an axum router inside.
//!
//! # The order of the layers
//!
//! Outermost first: logging, trace, metrics, deadline, decode, batch, parameters and feature flags,
//! handler. `ServiceBuilder` takes them in that order. Inside of batch, a layer is around the handler
//! of one record. Logging is outermost so that the lines of all other layers carry the invocation's
//! keys; trace comes next so that its span covers the time of the rest; deadline is inside of the
//! three, so that what it brings out or answers passes through them.
//!
//! The layers wrap the handler, not the runtime: at `Runtime::layer` the answer has already been
//! sent, and an error can no longer be seen. A panic, or a timeout of tower or tokio, drops the
//! handler's future, so what the layers hold is written from a drop guard; panics have to unwind
//! for that (`panic = "unwind"`, the default). Lambda's own timeout ends the process without a
//! word: what is not written by then is lost, unless [`deadline`] writes it shortly before.
//!
//! # One invocation
//!
//! The outermost layer opens an [`Invocation`]; what the handler records finds it without a
//! handle, and two invocations that run at once never mix. A task that is spawned takes it along:
//! see [`Invocation::scope`].
//!
//! # Features
//!
//! Nothing is on by default.
//!
//! | feature | brings |
//! |---|---|
//! | `logging` | [`logging`]: JSON log lines with the Powertools keys |
//! | `logging-time-zone` | [`logging`]: times in zones by name, such as `Europe/Berlin` |
//! | `metrics` | [`metrics`]: CloudWatch metrics in the embedded metric format |
//! | `metrics-cloudwatch` | [`metrics::cloudwatch`]: the same sent by CloudWatch's API, for services outside of Lambda |
//! | `metrics-facade` | [`metrics::facade`]: what libraries record with the crate `metrics` |
//! | `trace` | [`trace`]: X-Ray subsegments from `tracing` spans |
//! | `trace-aws-sdk` | [`trace`]: calls of the AWS SDK as subsegments |
//! | `trace-otlp` | [`trace`]: spans as OTLP, over HTTP to a collector or over UDP to the X-Ray daemon |
//! | `deadline` | [`deadline`]: telemetry that survives a timeout, and handlers that are cut off before it |
//! | `observability` | [`observability`]: logging, trace, metrics and deadline in one line |
//! | `decode` | [`decode`]: the event's JSON text, kept beside the type it is decoded into |
//! | `jmespath` | [`jmespath`]: questions to JSON, and correlation ids by JMESPath |
//! | `parameters` | [`parameters`]: parameters and secrets, cached |
//! | `parameters-ssm`, `parameters-secrets-manager`, `parameters-appconfig`, `parameters-dynamodb`, `parameters-extension` | [`parameters`]: from these services |
//! | `feature-flags` | [`feature_flags`]: flags by rules, in the schema of the other toolkits |
//! | `openfeature` | [`feature_flags`]: behind the OpenFeature SDK |
//! | `batch` | [`batch`]: the records of a batch one by one, and the answer that names those that failed |
//! | `batch-sqs`, `batch-large-messages`, `batch-avro`, `batch-protobuf` | [`batch`]: delays and dead-letter queues, bodies in S3, and further formats |
//! | `http` | the layers around handlers of `http::Request`, as lambda_http hands them out; [`body`]: telemetry until a streamed response has ended |
//! | `testing` | [`testing`]: captured output and contexts for your own tests |
//! | `full` | all of them |
//!
//! Each tool reads the [environment variables](mod@env) of the other Powertools toolkits. Code wins
//! over the environment, and the environment over the default.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::unwrap_used)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(
        feature = "batch",
        feature = "deadline",
        feature = "decode",
        feature = "feature-flags",
        feature = "parameters",
        feature = "http",
        feature = "jmespath",
        feature = "logging",
        feature = "metrics",
        feature = "metrics-cloudwatch",
        feature = "metrics-facade",
        feature = "trace",
        feature = "trace-aws-sdk",
        feature = "testing"
    )),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "the table names every feature's module"
    )
)]

#[cfg(feature = "batch")]
pub mod batch;
#[cfg(feature = "http")]
pub mod body;
#[cfg(any(feature = "metrics", feature = "trace"))]
pub mod classify;
#[cfg(feature = "parameters")]
mod clock;
mod cold_start;
mod context;
#[cfg(feature = "deadline")]
pub mod deadline;
#[cfg(feature = "decode")]
pub mod decode;
pub mod env;
#[cfg(feature = "feature-flags")]
pub mod feature_flags;
mod invocation;
#[cfg(feature = "logging")]
mod json;
#[cfg(any(feature = "logging", feature = "trace"))]
mod names;
#[cfg(any(feature = "logging", feature = "metrics"))]
mod output;
#[cfg(any(feature = "jmespath", feature = "logging"))]
mod raw;

#[cfg(feature = "jmespath")]
pub mod jmespath;
#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "observability")]
pub mod observability;
#[cfg(feature = "parameters")]
pub mod parameters;
mod snapstart;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "trace")]
pub mod trace;

pub use context::HasContext;
pub use env::Env;
pub use invocation::{Invocation, InvocationFuture};
#[cfg(feature = "observability")]
pub use observability::{Observability, ObservabilityLayer};
pub use snapstart::SnapStart;

/// Compiles the code of the crate's README.
#[cfg(all(
    doctest,
    feature = "logging",
    feature = "metrics",
    feature = "trace",
    feature = "testing"
))]
#[doc = include_str!("../README.md")]
struct Readme;
