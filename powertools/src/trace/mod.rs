//! X-Ray traces: a subsegment for each invocation, and one for every `tracing` span inside it.
//!
//! Two parts work together. [`Tracer`] makes the layer for `tracing_subscriber` that sends spans
//! to X-Ray, whichever crate they come from; [`TraceLayer`] is the tower layer around the handler
//! that opens the invocation's span under the segment Lambda itself records.
//!
//! # Examples
//!
//! The default use, configured by the [environment](Tracer::from_env):
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::trace::{TraceLayer, Tracer};
//! use serde_json::Value;
//! use tower::ServiceBuilder;
//! use tracing_subscriber::prelude::*;
//!
//! #[tracing::instrument(skip_all, err)]
//! async fn charge(order: &Value) -> Result<(), Error> {
//!     Ok(())
//! }
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<(), Error> {
//!     charge(&event.payload).await
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     tracing_subscriber::registry().with(Tracer::new().subscriber_layer()).init();
//!     let service = ServiceBuilder::new().layer(TraceLayer::new()).service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: names, annotations, metadata, and a socket that plays the X-Ray daemon.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, env, testing, trace::{self, TraceLayer, Tracer}};
//! use serde_json::{Value, json};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tracing::{Instrument, info_span};
//! use tracing_subscriber::prelude::*;
//!
//! async fn handler(event: LambdaEvent<&str>) -> Result<(), Error> {
//!     trace::annotate("OrderId", event.payload);
//!     async { trace::add_metadata("basket", json!({"items": [1, 2]})) }
//!         .instrument(info_span!("charge", annotation.attempt = 1, card = "visa"))
//!         .await;
//!     Ok(())
//! }
//!
//! let daemon = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let address = daemon.local_addr()?.to_string();
//! let env = Env::from([(env::FUNCTION_NAME, "my-function"), (env::XRAY_DAEMON_ADDRESS, &address)]);
//! let tracer = Tracer::from_env(&env).service("orders");
//! let _guard = tracing_subscriber::registry().with(tracer.subscriber_layer()).set_default();
//!
//! let service = ServiceBuilder::new()
//!     .layer(TraceLayer::new().name("place_order"))
//!     .service_fn(handler);
//! let mut context = testing::context("52fdfc07");
//! context.xray_trace_id = Some(
//!     "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned(),
//! );
//! service.oneshot(LambdaEvent::new("a1", context)).await?;
//!
//! let mut next_document = || {
//!     let mut datagram = vec![0; 65_536];
//!     let length = daemon.recv(&mut datagram)?;
//!     let text = std::str::from_utf8(&datagram[..length])?;
//!     let (_prefix, document) = text.split_once('\n').ok_or("one line")?;
//!     Ok::<Value, Error>(serde_json::from_str(document)?)
//! };
//! let charge = next_document()?;
//! assert_eq!(charge["name"], "charge");
//! assert_eq!(charge["annotations"], json!({"attempt": 1}));
//! assert_eq!(charge["metadata"]["orders"], json!({"basket": {"items": [1, 2]}}));
//! assert_eq!(charge["metadata"]["default"], json!({"card": "visa"}));
//!
//! let handler = next_document()?;
//! assert_eq!(handler["name"], "## place_order");
//! assert_eq!(handler["id"], charge["parent_id"]);
//! assert_eq!(handler["parent_id"], "53995c3f42cd8ad8");
//! assert_eq!(handler["annotations"]["OrderId"], "a1");
//! assert_eq!(handler["annotations"]["Service"], "orders");
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # The document
//!
//! A span leaves when it ends, as one datagram with one document; children leave before their
//! parents, and the invocation's before its answer does.
//!
//! ```json
//! {"id":"2ad5b3a5f0f4d4a1","name":"## place_order","start_time":1763881099.081,"end_time":1763881099.5,"parent_id":"53995c3f42cd8ad8","in_progress":false,"fault":true,"cause":{"exceptions":[{"id":"2ad5b3a5f0f4d4a2","message":"payment refused","type":"Error","remote":false,"cause":"2ad5b3a5f0f4d4a3"},{"id":"2ad5b3a5f0f4d4a3","message":"connection reset","type":"Error","remote":false}]},"annotations":{"ColdStart":true,"OrderId":"a1","Service":"orders"},"metadata":{"default":{"card":"visa"},"orders":{"basket":{"items":[1,2]}}},"links":[{"trace_id":"1-5759e988-bd862e3fe1be46a994272794","id":"53995c3f42cd8ad9"}],"trace_id":"1-5759e988-bd862e3fe1be46a994272793","type":"subsegment","namespace":"local"}
//! ```
//!
//! | field | from |
//! |---|---|
//! | `name` | the span: its name or its field `otel.name`; without the characters X-Ray refuses |
//! | `parent_id` | the span around it; for the invocation's the `Parent` of the trace header |
//! | `fault`, `cause` | the handler's error, panic or cancellation; elsewhere an event at `ERROR` in the span, as `#[instrument(err)]` leaves it |
//! | `annotations` | [`annotate`] and fields `annotation.<key>`; `ColdStart` for the invocation, and `Service` for every span that continues a trace from elsewhere |
//! | `metadata`, under the service's name | [`add_metadata`] and fields `metadata.<key>` |
//! | `metadata`, under `default` | every other field of the span |
//! | `links` | [`SpanExt::continue_trace`] and [`tracing::Span::follows_from`] |
//!
//! X-Ray's limits hold: 200 characters a name, 50 annotations of 1000 characters, 64 KB a document.
//! Of one that is larger the metadata is left out; if it still is, the span is, alone, and either
//! way a warning says so.
//!
//! # What is traced
//!
//! X-Ray has decided before the function is called, and its decision is in the
//! [trace header](TraceHeader) of the invocation's context: without `Sampled=1` nothing is recorded,
//! and no span is made for the invocation. Inside a sampled one the spans up to
//! [`Tracer::level`] are sent. A span belongs to the invocation by being inside its span: a spawned
//! task needs tracing's `.instrument(span)`. One that outlives its invocation is sent when it ends,
//! which on Lambda may be during a later invocation.
//!
//! A filter for the whole subscriber, such as an `EnvFilter` among its layers, hides spans from the
//! tracer too, the handler's own among them: filter per layer, or let `powertools=error` through.
//!
//! The function needs X-Ray's active tracing, and its role the permission
//! `xray:PutTraceSegments`.
//!
//! # Traces that go on
//!
//! Where no AWS service carries the trace header on, as through DynamoDB streams and Kinesis, put
//! [`TraceHeader::current`] into the message, and let its consumer
//! [continue the trace](SpanExt::continue_trace).

mod document;
mod error;
mod exporter;
mod failure;
mod future;
mod handler;
mod header;
mod layer;
mod service;
mod span;
mod tracer;
mod unsigned;

pub use error::TraceHeaderError;
pub use future::ResponseFuture;
pub use header::TraceHeader;
pub use layer::TraceLayer;
pub use service::TraceService;
pub use span::{AnnotationValue, SpanExt, add_metadata, annotate};
pub use tracer::Tracer;
