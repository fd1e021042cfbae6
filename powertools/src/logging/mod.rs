//! Structured logging: one JSON object a line, with the keys of the other Powertools toolkits.
//!
//! Two parts work together. [`Logger`] makes the layer for `tracing_subscriber` that writes every
//! `tracing` event as a line, whichever crate it comes from; [`LoggingLayer`] is the tower layer
//! around the handler that says which invocation a line belongs to.
//!
//! # Examples
//!
//! The default use, configured by the [environment](Logger::from_env):
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent, service_fn};
//! use powertools::logging::{Logger, LoggingLayer};
//! use serde_json::Value;
//! use tower::ServiceBuilder;
//! use tracing_subscriber::prelude::*;
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<(), Error> {
//!     tracing::info!(items = 3, "order placed");
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     tracing_subscriber::registry().with(Logger::new().subscriber_layer()).init();
//!     let service = ServiceBuilder::new().layer(LoggingLayer::new()).service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: a service name, the correlation id of the event, a key that the handler
//! adds, and a writer that keeps the line.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, logging::{self, Logger, LoggingLayer}, testing};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! struct Order { id: String, total: u64 }
//!
//! async fn handler(event: LambdaEvent<Order>) -> Result<(), Error> {
//!     logging::append_key("order", &event.payload.id);
//!     tracing::info!(total = event.payload.total, "order placed");
//!     Ok(())
//! }
//!
//! let logger = Logger::from_env(&Env::default()).service("orders");
//! let (output, _guard) = testing::capture_logs(logger);
//!
//! let service = ServiceBuilder::new()
//!     .layer(LoggingLayer::new().correlation_id(|event: &LambdaEvent<Order>| {
//!         Some(event.payload.id.clone())
//!     }))
//!     .service_fn(handler);
//! let order = Order { id: "a1".to_owned(), total: 2500 };
//! service.oneshot(LambdaEvent::new(order, testing::context("52fdfc07"))).await?;
//!
//! let line = &output.json()[0];
//! assert_eq!(line["message"], "order placed");
//! assert_eq!(line["correlation_id"], "a1");
//! assert_eq!(line["order"], "a1");
//! assert_eq!(line["total"], 2500);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # The line
//!
//! ```json
//! {"level":"INFO","location":"orders::place:17","message":"order placed","timestamp":"2026-11-23T06:58:19.081Z","service":"orders","cold_start":true,"function_name":"my-function","function_memory_size":128,"function_arn":"arn:aws:lambda:eu-west-1:123456789012:function:my-function","function_request_id":"52fdfc07","correlation_id":"a1","order":"a1","total":2500,"xray_trace_id":"1-5759e988-bd862e3fe1be46a994272793"}
//! ```
//!
//! | keys, in their order | from |
//! |---|---|
//! | `level`, `location`, `message`, `timestamp` | the event: `TRACE` to `ERROR`, module and line, RFC 3339 in UTC |
//! | `service` | the [`Logger`] |
//! | `cold_start`, `function_name`, `function_memory_size` (MB), `function_arn`, `function_request_id`, `tenant_id` | the invocation's context, as far as it has them |
//! | `correlation_id` | [`LoggingLayer::correlation_id`] or [`set_correlation_id`] |
//! | appended keys | [`append_key`] |
//! | span fields | all spans around the event, outermost first |
//! | event fields | the event |
//! | `xray_trace_id` | the `Root` of the invocation's trace header |
//!
//! Words and time are what Lambda's own log filter reads on custom runtimes. Values keep their
//! type: numbers, booleans and strings as such, errors as `{"message":…,"chain":[…]}`, anything
//! recorded with `?` as its `Debug` text. A key that comes again replaces the value and keeps its
//! place, so an event may override a span and a span an appended key (a consumer sets
//! `correlation_id` on the span of each record this way); the first four keys, `sampling_rate` and
//! `xray_trace_id` are protected, and a field of such a name is left out.
//!
//! Of the fields that speak to the [tracer](crate#features), `annotation.x` appears as `x`;
//! `metadata.x` and `otel.x` are left out, and so are the `log.x` of records of the crate `log`.
//!
//! Beyond what `tracing` can carry, [`json`](json()) nests any serialisable value, and
//! [`error`](error()) tells an error's type, chain, place and backtrace. An `ERROR` event with the
//! field `fatal = true` has the level `FATAL`.
//!
//! Another look is [another format](Format): keys in another order or under other names
//! ([`JsonFormat`]), the Elastic Common Schema ([`EcsFormat`]), text for people
//! ([`PrettyFormat`], or `POWERTOOLS_DEV`), or the words and keys of Powertools for Python
//! ([`compat::PythonFormat`]).
//!
//! # Which events become lines
//!
//! Those up to the level of the [`Logger`], or of their [target](Logger::target_level). In a single
//! invocation it may be more:
//!
//! | what | up to | set by |
//! |---|---|---|
//! | the invocation was drawn | `DEBUG` | [`Logger::sample_rate`], `POWERTOOLS_LOGGER_SAMPLE_RATE` |
//! | its request asks for it | any level | [`LoggingLayer::request_level`] |
//! | lines are held back until an `ERROR` line, or, if asked to, the handler's failure | `DEBUG` | [`Logger::buffer`], [`LoggingLayer::flush_buffer_on_uncaught_error`] |
//!
//! `AWS_LAMBDA_LOG_LEVEL`, the level of Lambda's advanced logging controls, wins over all of them:
//! Lambda itself drops what is below it. A target's own level may still ask for less.
//!
//! A handler fails when it returns an error, panics, or is cancelled. An HTTP handler that answers
//! with a status of 500 has not failed in this sense: it logs at `ERROR`, or calls [`flush_buffer`].
//!
//! # Secrets
//!
//! The values of fields named to [`Logger::redact`] are never written, at the top of a line or inside
//! nested JSON, also where a string holds the text of an object or array. Other text is not looked
//! at: neither messages, nor what is recorded with `?`. Names are compared exactly, and the keys of
//! the line itself (`message`, `service`, …) are no fields.
//!
//! # A handler's error
//!
//! lambda_runtime itself logs what a handler returns as its error, outside of the layers: that line
//! has `function_request_id`, `tenant_id` and `xray_trace_id`, and no other key of the invocation.
//! An error that is to be found by its correlation id is logged where it happens:
//! `tracing::error!(error = logging::error(&error), "order not stored")`.
//!
//! # Which invocation a line belongs to
//!
//! The one that [`Invocation::current`](crate::Invocation::current) finds; where there is none,
//! because a task was spawned, that of the nearest span which was made inside one. So a spawned
//! task needs either [`Invocation::scope`](crate::Invocation::scope) or tracing's `.instrument(span)`.

mod buffer;
pub mod compat;
mod correlation;
mod error;
mod fields;
mod format;
mod future;
mod hooks;
mod keys;
mod layer;
mod level;
mod line;
mod logger;
mod redact;
mod sampling;
mod service;
mod state;
mod subscriber;
mod threshold;
mod value;
mod visitor;

pub use buffer::Buffer;
#[cfg(feature = "http")]
pub use correlation::CorrelationHeader;
pub use correlation::{CorrelationId, CorrelationPath};
pub use error::LoggerError;
pub use format::{EcsFormat, JsonFormat, PrettyFormat};
pub use future::ResponseFuture;
pub use hooks::{EventJson, RawEvent, RequestLevel};
pub use keys::{
    KeyGuard, append_key, clear_keys, correlation_id, remove_key, scoped_key, set_correlation_id,
};
pub use layer::LoggingLayer;
pub use line::{Format, Line, Location};
pub use logger::Logger;
pub use service::LoggingService;
pub(crate) use state::State;
#[cfg(feature = "deadline")]
pub(crate) use subscriber::flush as flush_invocation;
pub use value::{ErrorValue, Json, error, error_of_type, json};

/// Writes what the running invocation has [held back](Buffer) so far.
pub fn flush_buffer() {
    if let Some(invocation) = crate::Invocation::current() {
        subscriber::flush(&invocation);
    }
}
