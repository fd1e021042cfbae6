use std::{
    borrow::Cow,
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::Serialize;
use tracing::warn;

use super::{
    Metric, MetricsError, Value,
    batch::{Batch, Fill, Metadata},
    config::Config,
    dimension::Dimension,
};
use crate::Invocation;

/// An invocation's metrics, once a layer is around its handler.
#[derive(Default)]
pub(crate) struct State(OnceLock<Metrics>);

/// The metrics of one invocation, for code that does not run inside it.
///
/// What the handler calls finds the invocation's metrics by itself. A task that it spawns, or work
/// on a thread of its own, takes this handle along. See the [module docs](super) for what becomes
/// of values that come after the invocation's end.
///
/// Cloning is cheap; every clone stands for the same metrics.
///
/// # Examples
///
/// ```
/// use powertools::metrics::{self, Metric, Unit};
///
/// const PAGES_RENDERED: Metric = Metric::new("PagesRendered", Unit::Count);
///
/// async fn handler() -> Result<(), lambda_runtime::Error> {
///     let metrics = metrics::current();
///     let rendering = tokio::task::spawn_blocking(move || {
///         // …
///         if let Some(metrics) = metrics {
///             metrics.record(&PAGES_RENDERED, 12);
///         }
///     });
///     rendering.await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<Recorder>,
}

struct Recorder {
    config: Arc<Config>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    /// How many calls of the layer's service are under way: more than one if the layer is there
    /// twice. With none, nobody would write what is kept.
    calls: usize,
    batch: Batch,
}

impl Metrics {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            recorder: Arc::new(Recorder {
                config,
                pending: Mutex::default(),
            }),
        }
    }

    /// Adds a value of a metric; see [`Metric::record`].
    pub fn record(&self, metric: &Metric, value: impl Value) {
        self.recorder.attempt(|recorder| {
            let unit = metric.unit();
            let value = value.in_unit(unit).ok_or_else(|| MetricsError::NotATime {
                name: metric.name().to_owned(),
                unit,
            })?;
            recorder.record(metric, value)
        });
    }

    /// Adds a dimension; see [`add_dimension`].
    pub fn add_dimension(&self, name: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        self.recorder.attempt(|recorder| {
            let dimension = Dimension::new(name, &value)?;
            let configured = &recorder.config.configured;
            recorder.lock().batch.add_dimension(configured, dimension)
        });
    }

    /// Adds metadata; see [`add_metadata`].
    pub fn add_metadata(&self, key: impl Into<Cow<'static, str>>, value: impl Serialize) {
        self.recorder.attempt(|recorder| {
            let key = key.into();
            let json = match serde_json::to_string(&value) {
                Ok(json) => json,
                Err(error) => {
                    return Err(MetricsError::Metadata {
                        key: key.into_owned(),
                        source: error.into(),
                    });
                }
            };
            let metadata = Metadata {
                key,
                json: on_one_line(json),
            };
            let configured = &recorder.config.configured;
            recorder.lock().batch.add_metadata(configured, metadata)
        });
    }
}

/// Neither values' own code, nor a writer, nor a subscriber to warnings runs while the lock is
/// held: all of them may record metrics themselves.
impl Recorder {
    fn attempt(&self, record: impl FnOnce(&Self) -> Result<(), MetricsError>) {
        if self.config.disabled {
            return;
        }
        if let Err(error) = record(self) {
            let error: &(dyn Error + 'static) = &error;
            warn!(error, "left out of the metrics");
        }
    }

    fn record(&self, metric: &Metric, value: f64) -> Result<(), MetricsError> {
        let line = {
            let mut pending = self.lock();
            let Pending { calls, batch } = &mut *pending;
            match batch.record(&self.config.configured, metric, value)? {
                Fill::Room if *calls > 0 => None,
                Fill::Room | Fill::Full => self.config.drain(batch),
            }
        };
        self.write(line);
        Ok(())
    }

    fn enter(&self) {
        self.lock().calls += 1;
    }

    fn leave(&self) {
        let line = {
            let mut pending = self.lock();
            pending.calls -= 1;
            if pending.calls == 0 {
                self.config.drain(&mut pending.batch)
            } else {
                None
            }
        };
        self.write(line);
    }

    fn write(&self, line: Option<Vec<u8>>) {
        if let Some(line) = line {
            self.config.output.write_line(&line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("config", &self.recorder.config)
            .finish_non_exhaustive()
    }
}

/// Writes what was recorded when it is dropped: after the handler's answer or error, and as well
/// when a panic or a cancellation only drops what the handler left.
#[derive(Debug)]
pub(super) struct FlushOnDrop(Metrics);

impl FlushOnDrop {
    /// Begins a call. Within one invocation the first layer's configuration counts.
    pub(super) fn enter(config: &Arc<Config>, invocation: &Invocation) -> Self {
        let mut is_first = false;
        let metrics = invocation.metrics().0.get_or_init(|| {
            is_first = true;
            Metrics::new(Arc::clone(config))
        });
        if is_first && config.cold_start && !config.disabled && invocation.is_cold_start() {
            // At once, because a function that starts slowly may never come to its end.
            config
                .output
                .write_line(&config.cold_start_line(invocation));
        }
        metrics.recorder.enter();
        Self(metrics.clone())
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        self.0.recorder.leave();
    }
}

/// Returns the running invocation's metrics, for code that will not run inside it: a task that is
/// spawned, or a thread.
///
/// `None` outside of an invocation, and inside one without a [`MetricsLayer`](super::MetricsLayer)
/// around.
#[must_use]
pub fn current() -> Option<Metrics> {
    Invocation::with_current(|invocation| invocation.metrics().0.get().cloned()).flatten()
}

/// Adds a dimension to all metrics of the running invocation that are not written yet.
///
/// One of the same name, also one of the layer, is replaced. Name and value are printable ASCII,
/// not blank, of at most 250 and 1024 characters; the name does not start with a colon. What
/// CloudWatch would not take, and the 31st dimension, are left out with a warning.
///
/// Every combination of values is a metric of its own to CloudWatch, and to its bill: what differs
/// in each invocation belongs in the [metadata](add_metadata).
///
/// # Examples
///
/// ```
/// use powertools::metrics;
///
/// async fn handler(status: u16) {
///     metrics::add_dimension("status", status);
/// }
/// ```
pub fn add_dimension(name: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
    let name = name.into();
    if let Some(metrics) = find_for(&name) {
        metrics.add_dimension(name, value);
    }
}

/// Adds metadata to the running invocation's metrics: a member that can be searched for in the
/// logs, but is none of the metric itself.
///
/// The value may be anything serialisable. One of the same key is replaced. Metadata without
/// metrics is not written, and what goes beyond 512 KB in all is left out with a warning.
///
/// # Examples
///
/// ```
/// use powertools::metrics;
///
/// async fn handler(order_id: &str) {
///     metrics::add_metadata("order_id", order_id);
/// }
/// ```
pub fn add_metadata(key: impl Into<Cow<'static, str>>, value: impl Serialize) {
    let key = key.into();
    if let Some(metrics) = find_for(&key) {
        metrics.add_metadata(key, value);
    }
}

/// JSON that is passed through as it is (a `RawValue`) may have line breaks between its tokens;
/// inside of strings there are none.
fn on_one_line(json: String) -> String {
    if json.contains(['\n', '\r']) {
        json.replace(['\n', '\r'], " ")
    } else {
        json
    }
}

/// Returns the running invocation's metrics, or warns that `name` will not be among them.
pub(super) fn find_for(name: &str) -> Option<Metrics> {
    // The task-local is not borrowed any more when a warning is logged or a line is written.
    let found = Invocation::with_current(|invocation| invocation.metrics().0.get().cloned());
    match found {
        Some(Some(metrics)) => return Some(metrics),
        Some(None) => warn!(
            "left out of the metrics: {name:?} was recorded without a metrics layer around it"
        ),
        None => warn!("left out of the metrics: {name:?} was recorded outside of an invocation"),
    }
    None
}
