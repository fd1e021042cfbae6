//! Responses whose body is still to come: telemetry of all of it.
//!
//! A handler of lambda_http that streams has answered when the head of its response is there; most
//! of its work may come afterwards, while the runtime sends the body. The layers of this crate end
//! with the handler's future, so they would miss it. [`BodyLayer`], next to the handler, keeps them
//! open: until the body has ended, or is dropped because the client is gone, the invocation is
//! still [the current one](crate::Invocation::current), what is recorded belongs to it, its span goes
//! on, and only then everything is flushed: log lines, metrics and X-Ray documents are out before
//! the body's end is passed on. What leaves over the network is only started then, as a body's end
//! waits for nobody: spans sent by OTLP over HTTP may arrive when the function is invoked next.
//!
//! A body that fails or panics makes its span a fault; one that is dropped does not. A body that
//! takes too long is watched by a `DeadlineLayer` (feature `deadline`) outside of this layer.
//!
//! It costs a body that is complete already nothing, so it may be in front of every handler.
//!
//! # Examples
//!
//! ```
//! use http::{Request, Response};
//! use http_body::Body;
//! use powertools::body::BodyLayer;
//! use std::{convert::Infallible, pin::Pin};
//! use tower::{Service, ServiceBuilder, service_fn};
//!
//! /// Works for `lambda_http::run_with_streaming_response`, and for all others.
//! fn stack<S, B>(handler: S) -> impl Service<Request<String>, Error = Infallible>
//! where
//!     S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
//!     B: Body,
//! {
//!     // Outside of it: logging, trace, metrics.
//!     ServiceBuilder::new().layer(BodyLayer::new()).service(handler)
//! }
//! # drop(stack(service_fn(|_| async { Ok(Response::new(String::new())) })));
//! ```

mod future;
mod hold;
mod layer;
mod response_body;
mod service;

pub use future::ResponseFuture;
pub(crate) use hold::State;
pub use layer::BodyLayer;
pub use response_body::InvocationBody;
pub use service::BodyService;
