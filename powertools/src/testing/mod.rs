//! What tests of your own functions need.
//!
//! ```
//! use powertools::testing::{self, Captured};
//! use std::io::Write;
//!
//! let mut output = Captured::default();
//! writeln!(output.clone(), r#"{{"message":"hello"}}"#)?;
//! assert_eq!(output.json()[0]["message"], "hello");
//!
//! assert_eq!(testing::context("52fdfc07").request_id, "52fdfc07");
//! # Ok::<_, std::io::Error>(())
//! ```

#[cfg(feature = "observability")]
mod capture;
mod clock;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "parameters")]
mod parameters;
#[cfg(feature = "trace")]
mod trace;

#[cfg(feature = "observability")]
pub use capture::{Telemetry, capture};
pub use clock::Clock;
#[cfg(feature = "metrics")]
pub use metrics::{CapturedMetrics, EmfObject, capture_metrics};
#[cfg(feature = "parameters")]
pub use parameters::MemoryProvider;
#[cfg(feature = "trace")]
pub use trace::{CapturedSpan, CapturedTraces, capture_traces, sampled_context};

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Config, Context};
use serde_json::Value;

#[cfg(feature = "logging")]
use std::sync::OnceLock;
#[cfg(feature = "logging")]
use tracing::{Dispatch, Level, subscriber::DefaultGuard};
#[cfg(feature = "logging")]
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::Invocation;
#[cfg(feature = "logging")]
use crate::{Env, logging::Logger};

/// A writer that keeps what is written; its clones share what they keep.
#[derive(Clone, Default)]
pub struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    /// Returns the lines written so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.lock())
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Returns the lines written so far, each as JSON.
    ///
    /// # Panics
    ///
    /// Panics if a line is not JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.lines()
            .iter()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

/// Captures what the running thread logs until the guard is dropped.
///
/// The logger becomes the thread's subscriber, so nothing else that wants to be it, `capture_traces`
/// for instance, sees anything meanwhile; for all at once there is `capture`, with feature
/// `observability`.
///
/// ```
/// use powertools::{Env, logging::Logger, testing};
///
/// let (output, _guard) = testing::capture_logs(Logger::from_env(&Env::default()));
/// tracing::info!(total = 2500, "order placed");
/// assert_eq!(output.json()[0]["total"], 2500);
/// ```
#[cfg(feature = "logging")]
#[must_use = "nothing is captured any more when the guard is dropped"]
pub fn capture_logs(logger: Logger) -> (Captured, DefaultGuard) {
    listen();
    let output = Captured::default();
    let lines = logger.with_writer(output.clone()).subscriber_layer();
    let guard = tracing_subscriber::registry().with(lines).set_default();
    (output, guard)
}

/// `tracing` remembers for the whole process where nobody listens, and tests that begin and end on
/// other threads race with what is remembered. One that always listens keeps it from that.
#[cfg(feature = "logging")]
fn listen() {
    static LISTENS: OnceLock<Dispatch> = OnceLock::new();
    LISTENS.get_or_init(|| {
        let all = Logger::from_env(&Env::default())
            .level(Level::TRACE)
            .with_writer(io::sink());
        Dispatch::new(tracing_subscriber::registry().with(all.subscriber_layer()))
    });
}

/// Returns an invocation that is a cold start, or none, whatever the process has seen before.
///
/// What is called [inside of it](Invocation::sync_scope) logs and records as a handler does.
#[must_use]
pub fn invocation(context: Context, cold_start: bool) -> Invocation {
    Invocation::new(context, cold_start)
}

/// Returns a context like those of Lambda: a function `my-function` of 128 MB in `eu-west-1`, a
/// deadline in 30 s, and no trace header.
#[must_use]
pub fn context(request_id: impl Into<String>) -> Context {
    let deadline = SystemTime::now() + Duration::from_secs(30);
    let config = Config {
        function_name: "my-function".to_owned(),
        memory: 128,
        version: "$LATEST".to_owned(),
        ..Config::default()
    };
    let mut context = Context::default();
    context.request_id = request_id.into();
    context.invoked_function_arn =
        "arn:aws:lambda:eu-west-1:123456789012:function:my-function".to_owned();
    context.deadline = deadline.duration_since(UNIX_EPOCH).map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    context.env_config = Arc::new(config);
    context
}
