//! Runs the reference stack on one machine: the very binaries that AWS would run, against an emulator.
//!
//! [`Cloud::start`] does everything: it installs the emulator into a virtual environment under the target folder,
//! builds the functions, starts the emulator on loopback and deploys the stack. What the emulator lacks is done here over
//! public APIs: [event source mappings](mapping) for streams, and the [X-Ray daemon](xray). `cargo demo` is built on this,
//! and so are the tests that need a cloud.
//!
//! ```no_run
//! use local_cloud::{Cloud, HttpClient, Options};
//!
//! # async fn run() -> Result<(), local_cloud::Error> {
//! let cloud = Cloud::start(Options::new()).await?;
//! let answer = HttpClient::new().get(&format!("{}/orders/unknown", cloud.api_url())).await?;
//! assert_eq!(answer.status, 404);
//! for line in cloud.logs("orders").await? {
//!     println!("{}", line.text);
//! }
//! cloud.stop().await;
//! # Ok(())
//! # }
//! ```

mod clients;
mod cloud;
mod deploy;
mod emf;
mod emulator;
mod error;
mod functions;
mod hex;
mod http;
mod logs;
pub mod mapping;
pub mod process;
mod progress;
mod python;
pub mod stack;
#[cfg(test)]
mod testing;
mod venv;
pub mod xray;

pub use self::clients::Clients;
pub use self::cloud::{Cloud, Invoked, Options};
pub use self::emf::{Emf, Metric};
pub use self::emulator::{Emulator, EmulatorError};
pub use self::error::{BoxError, Error, chain};
pub use self::functions::BuildError;
pub use self::http::{HttpClient, Response};
pub use self::logs::LogLine;
pub use self::progress::{Event, Progress};
pub use self::python::{PythonError, Search};
pub use self::venv::VenvError;
