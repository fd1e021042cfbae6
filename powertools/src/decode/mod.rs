//! The event's JSON text, kept beside the type it is decoded into.
//!
//! The Lambda runtime drops the text once it has made a handler's type of it. With
//! [`DecodeLayer`] the runtime hands the text over as it is; layers outside see it as the request
//! ([correlation ids by path](crate::logging::CorrelationPath)), layers inside and the handler get
//! the type, and [`Invocation::raw_event`](crate::Invocation::raw_event) gives the text to whoever
//! asks for it. A function without this layer pays for none of that.
//!
//! # Examples
//!
//! The default use:
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::decode::DecodeLayer;
//! use serde::Deserialize;
//! use tower::ServiceBuilder;
//!
//! #[derive(Deserialize)]
//! struct Order { id: String }
//!
//! async fn handler(event: LambdaEvent<Order>) -> Result<String, Error> {
//!     Ok(event.payload.id)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let service = ServiceBuilder::new()
//!         .layer(DecodeLayer::<Order>::new())
//!         .service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The text, where it is needed:
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Invocation, decode::DecodeLayer, testing};
//! use serde::Deserialize;
//! use serde_json::value::RawValue;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! #[derive(Deserialize)]
//! struct Order { total: f64 }
//!
//! async fn handler(event: LambdaEvent<Order>) -> Result<usize, Error> {
//!     let invocation = Invocation::current().ok_or("outside of an invocation")?;
//!     let text = invocation.raw_event().ok_or("no decode layer")?;
//!     assert_eq!(text.get(), r#"{"total": 12.50}"#);
//!     Ok(text.get().len())
//! }
//!
//! let service = ServiceBuilder::new().layer(DecodeLayer::<Order>::new()).service_fn(handler);
//! let event = RawValue::from_string(r#"{"total": 12.50}"#.to_owned())?;
//! let length = service.oneshot(LambdaEvent::new(event, testing::context("52fdfc07"))).await.unwrap();
//! assert_eq!(length, 16);
//! # Ok::<_, serde_json::Error>(())
//! # }).unwrap();
//! ```
//!
//! # The type of the stack
//!
//! A function that returns the composed stack names the text as its request and [`DecodeError`] as
//! its error: `impl Service<LambdaEvent<Box<RawValue>>, Response = R, Error = DecodeError<Error>>`.
//! [`RawValue`](serde_json::value::RawValue) is behind serde_json's feature `raw_value`.
//!
//! # What fails
//!
//! An event that is not a `T` does not reach the handler: the invocation fails with
//! [`DecodeError::Decode`], whose message names the field and its place but not what is there
//! (where a `T` has a map, the keys of the event are part of that name),
//! and Lambda's `errorType` is `powertools::decode::DecodeError`. An error of the handler passes
//! through with the type and the message it would have had without the layer. Layers outside see both
//! kinds; an event that the runtime itself cannot decode reaches no layer at all.

mod error;
mod future;
mod layer;
mod service;

pub use error::DecodeError;
pub use future::ResponseFuture;
pub use layer::DecodeLayer;
pub use service::DecodeService;
