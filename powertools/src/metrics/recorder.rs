use std::{
    error::Error,
    mem::{self, Discriminant},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::warn;

use super::{
    Metric, Metrics, MetricsError, Value,
    batch::{Batch, Fill},
    config::{COLD_START, Config},
    dimension::Dimension,
    lines::Lines,
};
use crate::Invocation;

/// What is recorded outside of any invocation.
pub(super) static GLOBAL: OnceLock<Metrics> = OnceLock::new();

/// An invocation's metrics, once a layer is around its handler.
#[derive(Default)]
pub(crate) struct State {
    metrics: OnceLock<Metrics>,
    /// Whether it has been warned of that there is none.
    warned: AtomicBool,
}

/// Keeps what is recorded until it is written.
pub(super) struct Recorder {
    pub(super) config: Arc<Config>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
pub(super) struct Pending {
    /// How many will write what is kept. For an invocation they are the calls of the layer's
    /// service that are under way: more than one if the layer is there twice. With none, nobody
    /// would write it.
    writers: usize,
    /// Whether a value came since the first of them began.
    has_recorded: bool,
    pub(super) batch: Batch,
    /// The kinds of errors that have been warned of.
    warned: Vec<Discriminant<MetricsError>>,
}

/// What else is done with a batch once its metrics are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Its dimensions, metadata and timestamp hold for those that follow.
    Continue,
    /// The invocation is over. Its dimensions and metadata hold for what comes late.
    End,
    /// Nothing of it is kept, but for the metadata and dimensions of a batch without metrics.
    Clear,
}

impl Pending {
    fn settle(&mut self, after: After, had_metrics: bool) {
        match after {
            After::End => {
                self.batch.timestamp = None;
                self.warned.clear();
            }
            After::Clear if had_metrics => {
                self.batch.clear();
                self.warned.clear();
            }
            After::Continue | After::Clear => {}
        }
    }
}

/// Neither values' own code, nor a writer, nor a subscriber to warnings runs while the lock is
/// held: all of them may record metrics themselves.
impl Recorder {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            pending: Mutex::default(),
        }
    }

    pub(super) fn record(
        &self,
        metric: &Metric,
        value: f64,
        own: &[Dimension],
    ) -> Result<(), MetricsError> {
        let mut pending = self.lock();
        let configured = &self.config.configured;
        let fill = pending.batch.record(configured, metric, value, own)?;
        pending.has_recorded = true;
        match fill {
            Fill::Room if pending.writers > 0 => Ok(()),
            Fill::Room | Fill::Full => self.write(pending, After::Continue),
        }
    }

    pub(super) fn flush(&self, after: After) {
        let pending = self.lock();
        self.write_or_warn(pending, after);
    }

    fn write_or_warn(&self, pending: MutexGuard<'_, Pending>, after: After) {
        let is_lost = self.config.namespace.is_empty();
        let lost = is_lost.then(|| pending.batch.series().next()).flatten();
        let lost = lost.map(|series| series.metric.name().to_owned());
        if let Err(error) = self.write(pending, after) {
            self.warn_of(&error, lost.as_deref());
        }
    }

    /// Drains what is pending, and writes it when the lock is gone.
    pub(super) fn write(
        &self,
        mut pending: MutexGuard<'_, Pending>,
        after: After,
    ) -> Result<(), MetricsError> {
        let has_metrics = !pending.batch.is_empty();
        if has_metrics {
            let mut lines = Lines::take();
            let result = self.config.drain(&mut pending.batch, &mut lines);
            pending.settle(after, has_metrics);
            drop(pending);
            self.config.write(&lines);
            lines.give_back();
            result
        } else {
            pending.settle(after, has_metrics);
            Ok(())
        }
    }

    pub(super) fn warn(&self, error: &MetricsError) {
        self.warn_of(error, None);
    }

    pub(super) fn warn_of(&self, error: &MetricsError, metric: Option<&str>) {
        let kind = mem::discriminant(error);
        {
            let mut pending = self.lock();
            if pending.warned.contains(&kind) {
                return;
            }
            pending.warned.push(kind);
        }
        let error: &(dyn Error + 'static) = error;
        warn!(error, metric, "left out of the metrics");
    }

    /// Begins what ends with a flush, and says whether nothing else will write.
    pub(super) fn enter(&self) -> bool {
        let mut pending = self.lock();
        let is_outermost = pending.writers == 0;
        pending.has_recorded &= !is_outermost;
        pending.writers += 1;
        is_outermost
    }

    fn leave(&self) {
        let mut pending = self.lock();
        pending.writers -= 1;
        if pending.writers > 0 {
            return;
        }
        self.write_or_warn(pending, After::End);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With its last handle goes what nobody else would write.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush(After::Clear);
    }
}

/// Writes what was recorded when it is dropped: after the handler's answer or error, and as well
/// when a panic or a cancellation only drops what the handler left.
#[derive(Debug)]
pub(super) struct FlushOnDrop {
    metrics: Metrics,
    is_outermost: bool,
}

impl FlushOnDrop {
    /// Begins a call. Within one invocation the first layer's configuration counts.
    pub(super) fn enter(config: &Arc<Config>, invocation: &Invocation) -> Self {
        let mut is_first = false;
        let metrics = invocation.metrics().metrics.get_or_init(|| {
            is_first = true;
            Metrics::new(Arc::clone(config))
        });
        if is_first && config.cold_start && !config.disabled && invocation.is_cold_start() {
            // At once, because a function that starts slowly may never come to its end.
            if let Err(error) = config.write_cold_start(invocation) {
                metrics.warn_for(&COLD_START, &error);
            }
        }
        Self {
            is_outermost: metrics.recorder.enter(),
            metrics: metrics.clone(),
        }
    }

    /// Returns whether the call is inside of no other of the same invocation.
    pub(super) const fn is_outermost(&self) -> bool {
        self.is_outermost
    }

    /// Returns whether a value has been recorded since the outermost call began.
    pub(super) fn has_recorded(&self) -> bool {
        self.metrics.recorder.lock().has_recorded
    }

    /// Adds a value of one of the layer's own metrics.
    pub(super) fn record(&self, metric: &Metric, value: impl Value) {
        self.metrics.record_own(metric, value);
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        self.metrics.recorder.leave();
        flush_global();
    }
}

/// Writes what an invocation has recorded so far, and the process; dimensions and metadata hold for
/// what follows.
#[allow(dead_code, reason = "for what ends invocations early")]
pub(crate) fn flush_invocation(invocation: &Invocation) {
    if let Some(metrics) = invocation.metrics().metrics.get() {
        metrics.recorder.flush(After::Continue);
    }
    flush_global();
}

/// Before Lambda freezes the process; dimensions and metadata stay, as they are the process's.
pub(crate) fn flush_global() {
    if let Some(metrics) = GLOBAL.get() {
        metrics.recorder.flush(After::End);
    }
}

/// Returns the running invocation's metrics, if a layer is around its handler.
pub(super) fn of_invocation() -> Option<Metrics> {
    Invocation::with_current(|invocation| invocation.metrics().metrics.get().cloned()).flatten()
}

/// Returns the metrics of the running invocation, or else those of the process.
pub(super) fn find() -> Option<Metrics> {
    of_invocation().or_else(|| GLOBAL.get().cloned())
}

/// Returns the metrics of the running invocation or else those of the process, or warns that `name`
/// will not be among them.
pub(super) fn find_for(name: &str) -> Option<Metrics> {
    // The task-local is not borrowed any more when a warning is logged or a line is written.
    let found = Invocation::with_current(|invocation| {
        let state = invocation.metrics();
        let metrics = state.metrics.get().or_else(|| GLOBAL.get());
        metrics
            .cloned()
            .ok_or_else(|| state.warned.swap(true, Ordering::Relaxed))
    });
    match found {
        Some(Ok(metrics)) => return Some(metrics),
        Some(Err(true)) => {}
        Some(Err(false)) => warn!(
            "left out of the metrics: {name:?} was recorded without a metrics layer around it"
        ),
        None => match GLOBAL.get() {
            Some(metrics) => return Some(metrics.clone()),
            None => {
                warn!("left out of the metrics: {name:?} was recorded outside of an invocation");
            }
        },
    }
    None
}
