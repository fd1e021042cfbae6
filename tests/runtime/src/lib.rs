//! What the tests of the layers under the real `lambda_runtime` stand on: a [`RuntimeApi`] on
//! loopback in the place of Lambda, a [`Function`] that runs as a process of its own as it would
//! there, and an [`XrayDaemon`] that keeps what is sent to it.

mod function;
mod runtime_api;
mod xray_daemon;

pub use function::{Function, Output};
pub use runtime_api::{Answer, Event, RuntimeApi};
pub use xray_daemon::XrayDaemon;
