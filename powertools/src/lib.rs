//! Tower layers for AWS Lambda.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cold_start;
mod context;
pub mod env;
mod invocation;
#[cfg(any(feature = "logging", feature = "metrics"))]
mod output;

#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "trace")]
pub mod trace;

pub use context::HasContext;
pub use env::Env;
pub use invocation::{Invocation, InvocationFuture};
