use std::{
    cell::Cell,
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

/// The most errors that are told apart by their names between two flushes, so that names without end
/// take no memory without end. Then there is one more of each kind that is new.
const WARNED: usize = 32;

thread_local! {
    /// Which recorder's call this thread runs right now, the innermost: its address, or none.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

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
    /// service that are under way: more than one if the layer is there twice, or if calls run at
    /// once. With none, nobody would write it.
    writers: usize,
    /// Whether all of them have ended before, and what they added to the metrics is still there.
    has_ended: bool,
    /// Whether somebody else than the layer has recorded since the first of them began.
    has_recorded: bool,
    pub(super) batch: Batch,
    /// The errors that have been warned of: their kinds, and what they name.
    warned: Vec<(Discriminant<MetricsError>, String)>,
}

/// What else is done with a batch once its metrics are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Its dimensions, metadata and timestamp hold for those that follow.
    Continue,
    /// The invocation is over. Its dimensions and metadata hold for what comes late.
    End,
    /// The process may be frozen. If something was written, its timestamp is not that of what
    /// follows; its dimensions and metadata are.
    Freeze,
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
            After::Freeze if had_metrics => self.batch.timestamp = None,
            After::Clear if had_metrics => {
                self.batch.clear();
                self.warned.clear();
            }
            After::Continue | After::Freeze | After::Clear => {}
        }
    }
}

/// Neither values' own code, nor a clock, nor a writer, nor a subscriber to warnings runs while the lock is
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
        self.add(metric, value, own, true)
    }

    /// Adds a value of one of the layer's own metrics.
    pub(super) fn record_own(&self, metric: &Metric, value: f64) -> Result<(), MetricsError> {
        self.add(metric, value, &[], false)
    }

    fn add(
        &self,
        metric: &Metric,
        value: f64,
        own: &[Dimension],
        is_recorded: bool,
    ) -> Result<(), MetricsError> {
        let mut pending = self.lock();
        let configured = &self.config.configured;
        let fill = pending.batch.record(configured, metric, value, own)?;
        pending.has_recorded |= is_recorded;
        match fill {
            Fill::Room if pending.writers > 0 => Ok(()),
            Fill::Room | Fill::Full => self.write(pending, After::Continue, None),
        }
    }

    /// Notes that something has been recorded which is written apart.
    pub(super) fn has_recorded(&self) {
        self.lock().has_recorded = true;
    }

    pub(super) fn flush(&self, after: After) {
        let now = self.now();
        let pending = self.lock();
        self.write_or_warn(pending, after, now);
    }

    /// Returns the time if what is pending has none yet.
    fn now(&self) -> Option<u64> {
        let is_needed = {
            let pending = self.lock();
            !pending.batch.is_empty() && pending.batch.timestamp.is_none()
        };
        is_needed.then(|| self.config.timestamp())
    }

    fn write_or_warn(&self, pending: MutexGuard<'_, Pending>, after: After, now: Option<u64>) {
        let is_lost = self.config.namespace.is_empty();
        let lost = is_lost.then(|| pending.batch.series().next()).flatten();
        let lost = lost.map(|series| series.metric.name().to_owned());
        if let Err(error) = self.write(pending, after, now) {
            self.warn_of(&error, lost.as_deref());
        }
    }

    /// Drains what is pending, and writes it when the lock is gone. If the time is not known yet, it
    /// is asked for then, and what holds for the metrics is copied.
    pub(super) fn write(
        &self,
        mut pending: MutexGuard<'_, Pending>,
        after: After,
        now: Option<u64>,
    ) -> Result<(), MetricsError> {
        if pending.batch.is_empty() {
            pending.settle(after, false);
            return Ok(());
        }
        if let Err(error) = self.config.check() {
            pending.batch.clear_metrics();
            pending.settle(after, true);
            return Err(error);
        }
        pending.warned.clear();
        let mut lines = Lines::take();
        if let Some(timestamp) = pending.batch.timestamp.or(now) {
            self.config.emit_all(&pending.batch, timestamp, &mut lines);
            pending.batch.clear_metrics();
            pending.settle(after, true);
            drop(pending);
        } else {
            let batch = pending.batch.take_metrics();
            pending.settle(after, true);
            drop(pending);
            let timestamp = self.config.timestamp();
            self.config.emit_all(&batch, timestamp, &mut lines);
        }
        self.config.write(&lines);
        lines.give_back();
        Ok(())
    }

    pub(super) fn warn(&self, error: &MetricsError) {
        self.warn_of(error, None);
    }

    pub(super) fn warn_of(&self, error: &MetricsError, metric: Option<&str>) {
        let (kind, name) = (mem::discriminant(error), named(error));
        {
            let warned = &mut self.lock().warned;
            let is_known =
                |(of, it): &(_, String)| *of == kind && (it == name || warned.len() >= WARNED);
            if warned.iter().any(is_known) {
                return;
            }
            warned.push((kind, name.to_owned()));
        }
        let error: &(dyn Error + 'static) = error;
        warn!(error, metric, "left out of the metrics");
    }

    /// Begins what ends with a flush.
    pub(super) fn enter(&self) {
        let mut pending = self.lock();
        if pending.writers == 0 {
            pending.has_recorded = false;
            if mem::take(&mut pending.has_ended) {
                // Until now it held for what came late.
                pending.batch.clear();
            }
        }
        pending.writers += 1;
    }

    fn leave(&self) {
        let now = self.now();
        let mut pending = self.lock();
        pending.writers -= 1;
        if pending.writers > 0 {
            return;
        }
        pending.has_ended = true;
        self.write_or_warn(pending, After::End, now);
    }

    /// Tells it from others, as long as it is there.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
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

/// What a thread runs belongs to a call, until this is dropped.
pub(super) struct Running {
    before: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.set(self.before));
    }
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
        metrics.recorder.enter();
        let running = RUNNING.try_with(Cell::get);
        Self {
            is_outermost: running != Ok(metrics.recorder.address()),
            metrics: metrics.clone(),
        }
    }

    /// Has the calls that begin until the result is dropped be inside of this one.
    pub(super) fn run(&self) -> Running {
        let address = self.metrics.recorder.address();
        Running {
            before: RUNNING
                .try_with(|running| running.replace(address))
                .unwrap_or_default(),
        }
    }

    /// Returns whether the call is inside of no other of the same invocation.
    pub(super) const fn is_outermost(&self) -> bool {
        self.is_outermost
    }

    /// Returns whether the handler has recorded a value since the first call began that has not
    /// ended.
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
#[cfg(feature = "deadline")]
pub(crate) fn flush_invocation(invocation: &Invocation) {
    if let Some(metrics) = invocation.metrics().metrics.get() {
        metrics.recorder.flush(After::Continue);
    }
    flush_global();
}

/// Before Lambda freezes the process; dimensions and metadata stay, as they are the process's.
pub(crate) fn flush_global() {
    if let Some(metrics) = GLOBAL.get() {
        metrics.recorder.flush(After::Freeze);
    }
}

/// Returns what an error is about, if it names it.
fn named(error: &MetricsError) -> &str {
    match error {
        MetricsError::MetricName { name, .. }
        | MetricsError::DimensionName { name, .. }
        | MetricsError::DimensionValue { name, .. }
        | MetricsError::TooManyDimensions { name, .. }
        | MetricsError::DimensionConflict { name, .. }
        | MetricsError::Resolution { name, .. }
        | MetricsError::Value { name, .. }
        | MetricsError::NotATime { name, .. }
        | MetricsError::UnitMismatch { name, .. }
        | MetricsError::NameTaken { name, .. } => name,
        MetricsError::TooManyDimensionSets { names } => names,
        MetricsError::TooMuchMetadata { key } | MetricsError::Metadata { key, .. } => key,
        MetricsError::Unit { unit } => unit,
        MetricsError::Namespace { namespace, .. } => namespace,
        MetricsError::MissingNamespace | MetricsError::Timestamp { .. } | MetricsError::Empty => "",
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
