//! Logging, tracing, metrics and the deadline guard in one line.
//!
//! [`Observability`] puts the four layers around a handler in
//! [their order](crate#the-order-of-the-layers), and the logger and the tracer into the process's
//! `tracing` subscriber. The environment configures all of it; each part can be replaced.
//!
//! # Examples
//!
//! The default use:
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Observability, metrics::{Metric, Unit}};
//! use serde_json::Value;
//! use tower::ServiceBuilder;
//! use tracing::info;
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     info!(order = event.payload["id"].as_str(), "order placed");
//!     ORDERS_CREATED.record(1);
//!     Ok(event.payload)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let service = ServiceBuilder::new()
//!         .layer(Observability::new().init()?)
//!         .service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: a correlation id, a namespace, a longer margin, and writers that keep what is
//! written. The subscriber is the test's own, so nothing is installed for the process.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{
//!     Env, Observability,
//!     deadline::DeadlineLayer,
//!     logging::{Logger, LoggingLayer},
//!     metrics::{Metric, MetricsLayer, Unit},
//!     testing::{self, Captured},
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//! use tracing::info;
//! use tracing_subscriber::prelude::*;
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//!
//! async fn handler(event: LambdaEvent<&'static str>) -> Result<(), Error> {
//!     info!("order placed");
//!     ORDERS_CREATED.record(1);
//!     Ok(())
//! }
//!
//! let env = Env::default();
//! let (lines, objects) = (Captured::default(), Captured::default());
//! let observability = Observability::from_env(&env)
//!     .with_logger(Logger::from_env(&env).with_writer(lines.clone()))
//!     .with_logging(
//!         LoggingLayer::from_env(&env)
//!             .correlation_id(|event: &LambdaEvent<&str>| Some(event.payload.to_owned())),
//!     )
//!     .with_metrics(MetricsLayer::new("Shop").with_writer(objects.clone()))
//!     .with_deadline(DeadlineLayer::from_env(&env).margin(Duration::from_millis(500)));
//! let _guard = tracing_subscriber::registry()
//!     .with(observability.subscriber_layer())
//!     .set_default();
//!
//! let service = ServiceBuilder::new().layer(observability.into_layer()).service_fn(handler);
//! service.oneshot(LambdaEvent::new("a1", testing::context("52fdfc07"))).await?;
//!
//! assert_eq!(lines.json()[0]["message"], "order placed");
//! assert_eq!(lines.json()[0]["correlation_id"], "a1");
//! assert_eq!(objects.json()[0]["OrdersCreated"], 1);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! For a handler of HTTP requests: its trace shows the request and the status, which decides how the
//! invocation ended. The `BodyLayer` next to the handler keeps all of it open until a response that is
//! streamed has ended; of other responses it changes nothing.
//!
#![cfg_attr(feature = "http", doc = "```no_run")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use powertools::{Env, Observability, body::BodyLayer, trace::TraceLayer};
//! use tower::{Service, ServiceBuilder};
//!
//! /// What `lambda_http::run` and `lambda_http::run_with_streaming_response` take.
//! fn stack<S, B, R>(
//!     handler: S,
//! ) -> Result<impl Service<Request<B>, Error = Infallible>, lambda_runtime::Error>
//! where
//!     S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
//!     R: http_body::Body,
//! {
//!     let env = Env::process();
//!     let observability =
//!         Observability::from_env(&env).with_trace(TraceLayer::from_env(&env).http());
//!     Ok(ServiceBuilder::new()
//!         .layer(observability.init()?)
//!         .layer(BodyLayer::new())
//!         .service(handler))
//! }
//! # drop(stack(tower::service_fn(|_: Request<String>| async { Ok(Response::new(String::new())) })));
//! ```
//!
//! # What it is made of
//!
//! | part | replaced by | its variables |
//! |---|---|---|
//! | [`Logger`](crate::logging::Logger), in the subscriber | [`with_logger`](Observability::with_logger) | [those of the logger](crate::logging::Logger::from_env) |
//! | [`Tracer`](crate::trace::Tracer), in the subscriber | [`with_tracer`](Observability::with_tracer) | [those of the tracer](crate::trace::Tracer::from_env) |
//! | [`LoggingLayer`](crate::logging::LoggingLayer) | [`with_logging`](Observability::with_logging) | [its own](crate::logging::LoggingLayer::from_env) |
//! | [`TraceLayer`](crate::trace::TraceLayer) | [`with_trace`](Observability::with_trace) | [its own](crate::trace::TraceLayer::from_env) |
//! | [`MetricsLayer`](crate::metrics::MetricsLayer) | [`with_metrics`](Observability::with_metrics) | [its own](crate::metrics::MetricsLayer::from_env) |
//! | [`DeadlineLayer`](crate::deadline::DeadlineLayer) | [`with_deadline`](Observability::with_deadline) | [its own](crate::deadline::DeadlineLayer::from_env) |
//!
//! The service is no more than the four of them, one in the other: it takes every event, and gives
//! back the handler's own response and error. It runs under `lambda_runtime::run` and
//! `run_concurrent`, and with feature `http` under lambda_http's functions.

mod layer;

pub use layer::{Observability, ObservabilityLayer, ObservabilityService};
