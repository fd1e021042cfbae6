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
//! The configured use: names, annotations, metadata; and a test that
//! [captures](crate::testing::capture_traces) what is sent.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, testing, trace::{self, TraceLayer, Tracer}};
//! use serde_json::json;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tracing::{Instrument, info_span};
//!
//! async fn handler(event: LambdaEvent<&str>) -> Result<(), Error> {
//!     trace::annotate("OrderId", event.payload);
//!     async { trace::add_metadata("basket", json!({"items": [1, 2]})) }
//!         .instrument(info_span!("charge", annotation.attempt = 1, card = "visa"))
//!         .await;
//!     Ok(())
//! }
//!
//! let tracer = Tracer::from_env(&Env::default()).service("orders");
//! let (traces, _guard) = testing::capture_traces(tracer);
//! let service = ServiceBuilder::new()
//!     .layer(TraceLayer::new().name("place_order"))
//!     .service_fn(handler);
//! let mut context = testing::context("52fdfc07");
//! context.xray_trace_id = Some(
//!     "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned(),
//! );
//! service.oneshot(LambdaEvent::new("a1", context)).await?;
//!
//! let handler = traces.named("## place_order");
//! assert_eq!(handler.parent_id(), "53995c3f42cd8ad8");
//! assert_eq!(handler.annotation("OrderId"), Some(&json!("a1")));
//! assert_eq!(handler.annotation("Service"), Some(&json!("orders")));
//!
//! let charge = handler.child("charge");
//! assert_eq!(charge.annotation("attempt"), Some(&json!(1)));
//! assert_eq!(charge.metadata("orders", "basket"), Some(&json!({"items": [1, 2]})));
//! assert_eq!(charge.metadata("default", "card"), Some(&json!("visa")));
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # The document
//!
//! A span is a subsegment. When it ends it waits for the span around it and becomes a part of that
//! one's document, in `subsegments`, so that the spans of an invocation leave in one datagram when
//! its handler has answered. There is no thread, no timer and no queue: what waits is bounded by
//! what a document holds, and nothing waits for longer than the invocation. This is the document of
//! a handler that had no spans inside:
//!
//! ```json
//! {"id":"2ad5b3a5f0f4d4a1","name":"## place_order","start_time":1763881099.081,"end_time":1763881099.5,"in_progress":false,"fault":true,"cause":{"exceptions":[{"id":"2ad5b3a5f0f4d4a2","message":"payment refused","type":"Error","remote":false,"cause":"2ad5b3a5f0f4d4a3"},{"id":"2ad5b3a5f0f4d4a3","message":"connection reset","type":"Error","remote":false}]},"annotations":{"ColdStart":true,"OrderId":"a1","Service":"orders"},"metadata":{"default":{"card":"visa"},"orders":{"basket":{"items":[1,2]}}},"links":[{"trace_id":"1-5759e988-bd862e3fe1be46a994272794","id":"53995c3f42cd8ad9"}],"namespace":"local","parent_id":"53995c3f42cd8ad8","trace_id":"1-5759e988-bd862e3fe1be46a994272793","type":"subsegment"}
//! ```
//!
//! | field | from |
//! |---|---|
//! | `name` | the span: its name or its field `otel.name`; without the characters X-Ray refuses |
//! | `parent_id` | the span around it; for the invocation's the `Parent` of the trace header. A span inside another's document has none, and no `trace_id` and `type` |
//! | `error`, `throttle`, `fault` | how the handler ended, as [`TraceLayer::classify_with`] has it: an error is a fault, and so are a panic and a cancellation. Of other spans [`SpanExt::record_outcome`], or the field `http.response.status_code`: from 400, 429, and from 500; or a fault for an event at `ERROR` in the span, as `#[instrument(err)]` leaves it |
//! | `cause` | the handler's error, with message and sources where its type has them ([`TraceLayer::capture_error`] has a table), its panic or cancellation; elsewhere such events |
//! | `annotations` | [`annotate`] and fields `annotation.<key>`; `ColdStart` for the invocation, and `Service` for every span that continues a trace from elsewhere |
//! | `metadata`, under the service's name | [`add_metadata`] and fields `metadata.<key>` |
//! | `metadata`, likewise | the handler's error as `<name> error`, and its response as `<name> response` after [`TraceLayer::capture_response`] |
//! | `metadata`, under `default` | every other field of the span |
//! | `http` | the request and the response of a handler of HTTP, after `TraceLayer::http`; of any span the fields `http.request.method`, `url.full`, `user_agent.original`, `client.address`, `http.response.status_code` and `http.response.body.size`, as OpenTelemetry names them; the URL without query, fragment, user and password |
//! | `namespace`, `aws` | `aws` where the field `rpc.system` is `aws-api`, as on spans of the AWS SDK, with `rpc.method`, `cloud.region`, `aws.request_id` and `http.request.resend_count`; `remote` where `otel.kind` is `client`; otherwise `local` |
//! | `links` | [`SpanExt::continue_trace`], [`SpanExt::link_to`] and [`tracing::Span::follows_from`] |
//!
//! X-Ray's limits hold: 200 characters a name, annotations of 1000 characters with keys of 500
//! letters, digits and `_`, 64 KB a document. X-Ray indexes 50 annotations of a trace; as many are
//! kept of each span. An annotation that has to be changed is told by a
//! warning, once. Spans for which there is no room in their parent's document leave in datagrams of
//! their own, the longest first, and so does one that ends after its parent. Of a span that is too
//! large by itself the metadata is left out; if it still is, the span is, alone, and either way a
//! warning says so.
//!
//! # What the layer reads
//!
//! | variable | switches | default |
//! |---|---|---|
//! | `POWERTOOLS_TRACER_CAPTURE_ERROR` | [`TraceLayer::capture_error`] | on |
//! | `POWERTOOLS_TRACER_CAPTURE_RESPONSE` | what [`TraceLayer::capture_response`] has asked for | on |
//!
//! Both are shown to everybody who may read traces: of an error its message, of a response all of it.
//! The `Debug` text of a handler's error is never shown: of a type of your own there is its name, and the
//! message and the sources after [`TraceLayer::capture_source`].
//! The other toolkits capture responses unless they are told not to; here it is the other way about.
//!
//! # What is traced
//!
//! X-Ray has decided before the function is called, and its decision is in the
//! [trace header](TraceHeader) of the invocation's context: without `Sampled=1` nothing is sent, and
//! no span is made for the invocation. The spans inside still cost about a microsecond each, as any of
//! them may yet continue another trace; where that matters, raise [`Tracer::level`], as a span beyond
//! it costs nothing. Inside a sampled invocation the spans up to that level are sent, and inside any
//! the spans that [continue a sampled trace](SpanExt::continue_trace). A span belongs to the invocation by being inside its span: a spawned
//! task needs tracing's `.instrument(span)`. One that outlives its invocation is sent when it ends,
//! which on Lambda may be during a later invocation. One that is open when the time is nearly over
//! is sent twice, if [`deadline`](crate::deadline) watches: in progress first, and under the same id
//! when it ends.
//!
//! A filter for the whole subscriber, such as an `EnvFilter` among its layers, hides spans from the
//! tracer too, the handler's own among them: filter per layer, or let `powertools=error` through.
//!
//! The function needs X-Ray's active tracing, and its role the permission
//! `xray:PutTraceSegments`.
//!
//! The handler's span ends with its answer. That of a streamed response is its head; to see the body,
//! too, put the `BodyLayer` of the module `body` (feature `http`) next to the handler.
//!
//! # OTLP
//!
//! With feature `trace-otlp`, spans leave in OpenTelemetry's own form where that is asked for; those
//! of an invocation as one batch when it ends:
//!
//! - Over HTTP to a collector, where [`OTEL_EXPORTER_OTLP_ENDPOINT`](crate::env::OTLP_ENDPOINT) or
//!   [`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`](crate::env::OTLP_TRACES_ENDPOINT) is set, as protobuf and
//!   without TLS: for one beside the function, as a Lambda extension. The `_HEADERS` and the
//!   `_TIMEOUT` of these variables count too; the answer waits for the collector, so the time-out is
//!   1 s unless it is set, and never so long that the invocation misses its deadline. A request that
//!   fails is a warning, and is not repeated. After a panic or a cancellation, and at the end of a
//!   body that was streamed, there is no answer to wait with: the request is only started, and may end
//!   when the function is invoked next. It needs tokio's timers: on a runtime without them nothing
//!   is sent, and a warning says so.
//! - Over UDP to the X-Ray daemon, with [`Tracer::otlp_udp`](Tracer): the form that AWS's own
//!   OpenTelemetry layers for Lambda use, and has not documented. A batch that is too large for a
//!   datagram leaves in several.
//!
//! Of OpenTelemetry's other variables `OTEL_SERVICE_NAME` counts, and `OTEL_SDK_DISABLED=true`, which
//! switches off what leaves in this form and leaves documents alone. Those of samplers, propagators,
//! limits, resource attributes and the batch processor do not: X-Ray samples, the header is
//! X-Ray's, and there is no processor that waits for a time.
//!
//! Annotations and metadata are attributes named `annotation.<key>` and `metadata.<key>` then.
//!
//! # Calls of others
//!
//! | calls | by | feature |
//! |---|---|---|
//! | of AWS services | [`AwsSdkInterceptor`], set once for each client of the SDK | `trace-aws-sdk` |
//! | of other services by HTTP | [`HttpClientLayer`], around the client | `http` |
//! | by HTTP clients that are no `tower` services | [`inject`], in a span around the call | `http` |
//!
//! Each becomes a subsegment of the span it is made in, with how it ended; and the called service
//! learns of the trace, also of one that is not sampled, by the header `X-Amzn-Trace-Id`.
//!
//! # Traces that go on
//!
//! Where no AWS service carries the trace header on, as through DynamoDB streams and Kinesis, put
//! [`TraceHeader::current`] into the message, and let its consumer
//! [continue the trace](SpanExt::continue_trace). Its work is a segment of its own in that trace then,
//! named after the function; it would pass for the producer's otherwise. For work with many causes
//! there is [`SpanExt::link_to`].

mod attributes;
#[cfg(feature = "trace-aws-sdk")]
mod aws_sdk;
#[cfg(any(feature = "http", feature = "trace-aws-sdk"))]
mod client;
mod config;
mod details;
mod document;
mod error;
mod exporter;
mod failure;
mod future;
mod handler;
mod header;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_client;
mod layer;
mod response;
mod service;
mod source;
mod span;
mod tracer;
mod unsigned;

#[cfg(feature = "trace-aws-sdk")]
pub use aws_sdk::AwsSdkInterceptor;
pub use details::{ErrorDetails, RequestDetails, ResponseDetails};
pub use error::TraceHeaderError;
pub(crate) use exporter::State;
#[cfg(feature = "deadline")]
pub(crate) use exporter::emit_in_progress;
pub(crate) use exporter::reset;
pub use future::ResponseFuture;
pub use header::TraceHeader;
#[cfg(feature = "http")]
pub use http::Http;
#[cfg(feature = "http")]
pub use http_client::{HttpClientFuture, HttpClientLayer, HttpClientService, inject, inject_w3c};
pub use layer::TraceLayer;
pub use response::CaptureResponse;
pub use service::TraceService;
pub use source::CaptureSource;
pub use span::{AnnotationValue, SpanExt, add_metadata, annotate};
pub use tracer::Tracer;
