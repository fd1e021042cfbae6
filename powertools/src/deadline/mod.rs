//! A guard against Lambda's timeout: shortly before the deadline it writes what the other tools
//! hold, says so in a warning and a metric, and cuts the handler off if asked to.
//!
//! Lambda ends the process of a function that runs out of time, without a word to it. The log lines
//! that are [held back](crate::logging::Buffer) then, the metrics and the open spans of that very
//! invocation would be lost, the one that is looked into. [`DeadlineLayer`] knows the deadline from
//! the invocation's context and acts a [margin](DeadlineLayer::margin) before.
//!
//! # Examples
//!
//! The default use:
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::deadline::DeadlineLayer;
//! use tower::ServiceBuilder;
//!
//! async fn handler(event: LambdaEvent<String>) -> Result<(), Error> {
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let service = ServiceBuilder::new().layer(DeadlineLayer::new()).service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: half a second is kept, to answer in the handler's place.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! use std::time::Duration;
//! use lambda_runtime::{Diagnostic, Error, LambdaEvent};
//! use powertools::{Env, deadline::{DeadlineError, DeadlineLayer}, testing};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! async fn handler(event: LambdaEvent<u64>) -> Result<(), Error> {
//!     tokio::time::sleep(Duration::from_secs(event.payload)).await;
//!     Ok(())
//! }
//!
//! let deadline = DeadlineLayer::from_env(&Env::default())
//!     .margin(Duration::from_millis(500))
//!     .cut_off();
//! let service = ServiceBuilder::new().layer(deadline).service_fn(handler);
//!
//! // The deadline of this context is in 30 s.
//! let an_hour = LambdaEvent::new(3600, testing::context("52fdfc07"));
//! let error = service.oneshot(an_hour).await.unwrap_err();
//! assert!(matches!(error, DeadlineError::Exceeded { .. }));
//! assert_eq!(Diagnostic::from(error).error_type, "powertools::deadline::DeadlineError");
//! # });
//! ```
//!
//! # What happens before the deadline
//!
//! If the handler has not answered when only the margin is left, then, in this order:
//!
//! | what | needs around it |
//! |---|---|
//! | the log lines that were held back are written, with `logging` | `LoggingLayer` |
//! | a warning is logged | a subscriber |
//! | the metric `TimeoutImminent`, a count of 1, joins the invocation's metrics, with `metrics` | `MetricsLayer` |
//! | the metrics recorded so far are written | `MetricsLayer` |
//! | the open spans leave as documents that are `in_progress`, with `trace` | `TraceLayer` |
//!
//! ```json
//! {"level":"WARN","message":"timeout imminent: the handler has not answered","function_request_id":"52fdfc07","remaining_ms":100}
//! ```
//!
//! (With the other keys of a [line](crate::logging#the-line).)
//!
//! By OTLP, which knows no span in progress, only those leave that have ended.
//!
//! Then the handler goes on, unless it is to be [cut off](DeadlineLayer::cut_off). If it answers in
//! time after all, everything that it records later leaves at its end as ever: metrics as a further
//! object, and spans complete, under the ids that they had in progress.
//!
//! An invocation that answers before costs two looks at the clock, a tenth of a microsecond, and one
//! timer if it ever waits for anything. One whose context names no deadline, as outside of Lambda, is
//! left alone. If the layer is there twice, each writes at its own margin; the warning and the metric
//! come once.
//!
//! # Where to put it
//!
//! Inside of the layers whose telemetry it brings out, as in
//! [the order of the layers](crate#the-order-of-the-layers). It brings the same out from outside of
//! them, but if it cuts the handler off it drops them too: to them the invocation was cancelled, where
//! otherwise they see its error.
//!
//! # Bodies that are streamed
//!
//! The handler of a streamed response has answered when its head is ready. With a `BodyLayer` (module
//! `body`, feature `http`) inside of this layer the same happens for the body, if that has not ended
//! when only the margin is left; the warning says so then. The body goes on in any case: its head is
//! with the client already, so there is no error to answer with. Without a `BodyLayer` nothing is
//! held for a body, and it is not watched; with one outside of this layer it is not watched either.
//!
//! # Handlers that block
//!
//! A timer fires when the handler waits. One that computes for seconds, or calls something that
//! blocks its thread, is never interrupted, and on a runtime of one thread nor are the invocations
//! beside it. For such there is a [watchdog](DeadlineLayer::watchdog): a thread of its own that does
//! the same, if a quarter of the margin later the timer has not. It cannot cut the handler off; and
//! where it is the runtime's only thread that is blocked, as with `current_thread`, nothing that has
//! to go over the runtime leaves: spans by OTLP over HTTP stay where they are, while log lines,
//! metrics and spans over UDP are out.
//!
//! # Limits
//!
//! - What is recorded after that moment, and would be held until the handler answers, is lost if it
//!   never does. Lines that are not held back are written at once, then as ever.
//! - The function's memory running out, `std::process::abort` and a panic under `panic = "abort"` end
//!   the process at once, and no guard is asked.
//! - Tokio's timers have to be on, as they are under `#[tokio::main]`: a runtime built by hand calls
//!   `enable_time`. Without them one warning says so and only the watchdog works. (To find out, the
//!   layer lets tokio panic once and catches it: with `panic = "abort"` timers must be on.)

mod body;
mod error;
mod flush;
mod future;
mod guard;
mod layer;
mod service;
mod state;
mod watchdog;

pub use error::DeadlineError;
pub use future::ResponseFuture;
pub use layer::{CutOff, DeadlineLayer, WatchOnly};
pub use service::DeadlineService;
pub(crate) use state::State;
