//! What libraries record with the crate [`metrics`] goes to where a [`Metric`] goes: to
//! the running invocation's metrics, or else to those of the [process](Metrics::set_global).
//!
//! # Examples
//!
//! It is installed first of all, as the crate knows nothing of what was described or recorded
//! before:
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, metrics::{MetricsLayer, facade::FacadeRecorder}};
//! use serde_json::Value;
//! use tower::ServiceBuilder;
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<(), Error> {
//!     // Here, or in a library that the handler calls:
//!     metrics::counter!("cache_lookups", "result" => "hit").increment(1);
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     FacadeRecorder::new().install()?;
//!     let service = ServiceBuilder::new()
//!         .layer(MetricsLayer::from_env(&Env::process()))
//!         .service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! Beside `use powertools::metrics`, which has the same name, the crate is `::metrics`:
//! `::metrics::counter!("cache_lookups")`.
//!
//! A test gives it to its own thread:
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{metrics::{MetricsLayer, Unit, facade::FacadeRecorder}, testing};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! let recorder = FacadeRecorder::new();
//! let _guard = metrics::set_default_local_recorder(&recorder);
//! metrics::describe_histogram!("query_time", metrics::Unit::Milliseconds, "of the database");
//!
//! let (captured, layer) = testing::capture_metrics(MetricsLayer::new("Shop"));
//! let service = ServiceBuilder::new().layer(layer).service_fn(|_: LambdaEvent<()>| async {
//!     metrics::histogram!("query_time", "table" => "orders").record(12.5);
//!     Ok::<_, Error>(())
//! });
//! service.oneshot(LambdaEvent::new((), testing::context("52fdfc07"))).await?;
//!
//! let orders = captured.with_dimension("table", "orders");
//! assert_eq!(orders.values("query_time"), [12.5]);
//! assert_eq!(orders.unit("query_time"), Unit::Milliseconds);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # What becomes of it
//!
//! | recorded | the value |
//! |---|---|
//! | `counter.increment(n)` | *n*, added to what the counter was incremented by since the last flush: `Sum` is the total |
//! | `counter.absolute(n)` | the same with by how much *n* is more than the counter was; nothing if it is not |
//! | `gauge.set(x)` | *x* |
//! | `gauge.increment(x)`, `decrement(x)` | what the gauge is then |
//! | `histogram.record(x)` | *x* |
//! | `histogram.record_many(x, n)` | *n* times *x* |
//!
//! A counter is one value of the metric for each flush, usually that of the invocation, however often
//! it was incremented: of its statistics `Sum` tells how much was counted, while `SampleCount` is the
//! number of flushes, and `Average` and `Maximum` are those of what was counted between two of them.
//! Each value of a gauge or a histogram is one of the metric, and a hundred of them are an object. A
//! gauge is what was set: it is not written again in an invocation that does not touch it.
//!
//! Labels are dimensions, besides those of all metrics. Values with the same labels share an object
//! of their own, values without any are among the other metrics. Each combination of labels is a
//! metric of its own to CloudWatch, and to its bill: what is too much can be kept away by the layers
//! of the crate `metrics-util`, around this recorder.
//!
//! # Units
//!
//! A unit is what `describe_counter!`, `describe_gauge!` or `describe_histogram!` said before the
//! first value. Without it, counters are in [`Unit::Count`] and the others in [`Unit::None`]. The
//! crate counts a `Duration` in seconds. What CloudWatch has no unit for is converted:
//!
//! | described as | unit | a value of 1 becomes |
//! |---|---|---|
//! | `Count`, `Percent`, `CountPerSecond` | of the same name | 1 |
//! | `Seconds`, `Milliseconds`, `Microseconds` | of the same name | 1 |
//! | `Nanoseconds` | [`Unit::Microseconds`] | 0.001 |
//! | `Bytes` | [`Unit::Bytes`] | 1 |
//! | `Kibibytes` | [`Unit::Bytes`] | 1024 |
//! | `Mebibytes` | [`Unit::Bytes`] | 1024² |
//! | `Gibibytes` | [`Unit::Bytes`] | 1024³ |
//! | `Tebibytes` | [`Unit::Bytes`] | 1024⁴ |
//! | `BitsPerSecond` to `TerabitsPerSecond` | of the same name | 1 |
//!
//! # What is left out
//!
//! Nothing panics and nothing fails. What is left out is named by one warning:
//!
//! - a metric whose name CloudWatch does not take, and a label whose name or value it does not take;
//!   an empty value is one of these, and the metric is recorded without the label,
//! - what is recorded where there are no metrics to take it: outside of an invocation and without
//!   those of the process. An `absolute` is counted later instead,
//! - what a [`Metric`] cannot record either: infinities, names that a dimension has, a unit that is
//!   not the one before.
//!
//! The recorder keeps up to 4096 keys (names with their labels) of counters, of gauges and of
//! histograms each. Beyond them, after a warning, every call of a macro makes a handle of its own:
//! what is recorded goes where it would go otherwise, but a gauge's changes and a counter's absolute
//! values begin at 0 with each handle.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

// The crate, not the module.
use ::metrics::{
    self as facade, Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName,
    SharedString,
};
use tracing::warn;

use super::{
    Metric, Metrics, MetricsError, Unit,
    dimension::{self, Dimension},
    recorder,
};

/// The most keys of counters, and as many of gauges and of histograms, whose handles are kept.
const KEPT_KEYS: usize = 4096;

/// The recorder for the crate [`metrics`].
///
/// See the [module docs](self).
#[derive(Clone, Default)]
#[must_use = "nothing is recorded before it is installed"]
pub struct FacadeRecorder {
    shared: Arc<Shared>,
}

/// The process has a recorder for the crate `metrics` already.
#[derive(Debug, thiserror::Error)]
#[error("the process has a recorder for the crate `metrics` already")]
#[non_exhaustive]
pub struct InstallError;

#[derive(Default)]
struct Shared {
    counters: Kind<CounterHandle>,
    gauges: Kind<GaugeHandle>,
    histograms: Kind<HistogramHandle>,
}

/// All counters, all gauges, or all histograms.
struct Kind<H> {
    units: Arc<Units>,
    /// `None` is for a metric that CloudWatch does not take.
    handles: RwLock<HashMap<Key, Option<Arc<H>>>>,
    has_warned: AtomicBool,
}

/// The units that metrics were described with, by name.
#[derive(Default)]
struct Units(RwLock<HashMap<KeyName, facade::Unit>>);

/// A metric with its dimensions: what a handle of any kind records to.
struct Series {
    name: KeyName,
    /// Sorted, as labels in another order are the same ones.
    dimensions: Vec<Dimension>,
    units: Arc<Units>,
    default_unit: Unit,
    /// Fixed with the first value: an object takes a metric in one unit only.
    measure: OnceLock<Measure>,
    has_warned: AtomicBool,
}

struct Measure {
    metric: Metric,
    divisor: f64,
}

trait Handle {
    const DEFAULT_UNIT: Unit;

    fn new(series: Series) -> Self;
}

struct CounterHandle {
    series: Series,
    total: AtomicU64,
}

struct GaugeHandle {
    series: Series,
    /// The bits of the value, which is always finite.
    bits: AtomicU64,
}

struct HistogramHandle {
    series: Series,
}

impl FacadeRecorder {
    /// Makes a recorder that knows no metric yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes this the recorder of the process for the crate [`metrics`].
    ///
    /// # Errors
    ///
    /// Fails if the process has one already.
    pub fn install(self) -> Result<(), InstallError> {
        facade::set_global_recorder(self).map_err(|_| InstallError)
    }
}

impl facade::Recorder for FacadeRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<facade::Unit>, _: SharedString) {
        self.shared.counters.units.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<facade::Unit>, _: SharedString) {
        self.shared.gauges.units.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<facade::Unit>, _: SharedString) {
        self.shared.histograms.units.describe(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &facade::Metadata<'_>) -> Counter {
        let handle = self.shared.counters.handle(key);
        handle.map_or(Counter::noop(), Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &facade::Metadata<'_>) -> Gauge {
        let handle = self.shared.gauges.handle(key);
        handle.map_or(Gauge::noop(), Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &facade::Metadata<'_>) -> Histogram {
        let handle = self.shared.histograms.handle(key);
        handle.map_or(Histogram::noop(), Histogram::from_arc)
    }
}

impl fmt::Debug for FacadeRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacadeRecorder")
            .field("counters", &read(&self.shared.counters.handles).len())
            .field("gauges", &read(&self.shared.gauges.handles).len())
            .field("histograms", &read(&self.shared.histograms.handles).len())
            .finish()
    }
}

impl<H: Handle> Kind<H> {
    /// Returns the handle of a key, the same for all who ask.
    fn handle(&self, key: &Key) -> Option<Arc<H>> {
        if let Some(handle) = read(&self.handles).get(key) {
            return handle.clone();
        }
        let mut errors = Vec::new();
        let series = Series::new(key, &self.units, H::DEFAULT_UNIT, &mut errors);
        let handle = series.map(|series| Arc::new(H::new(series)));

        let is_kept = {
            let mut handles = write(&self.handles);
            // Another thread may have been quicker.
            if let Some(handle) = handles.get(key) {
                return handle.clone();
            }
            let is_room = handles.len() < KEPT_KEYS;
            if is_room {
                handles.insert(key.to_retained(), handle.clone());
            }
            is_room
        };
        // Who takes a warning may count it, so there is no lock any more.
        if is_kept {
            for error in &errors {
                let error: &(dyn Error + 'static) = error;
                warn!(error, "left out of the metrics");
            }
        } else if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                "{KEPT_KEYS} keys of metrics are kept: {:?} is one too many, and so are others",
                key.name()
            );
        }
        handle
    }
}

impl<H> Default for Kind<H> {
    fn default() -> Self {
        Self {
            units: Arc::default(),
            handles: RwLock::default(),
            has_warned: AtomicBool::new(false),
        }
    }
}

impl Units {
    fn describe(&self, name: &KeyName, unit: Option<facade::Unit>) {
        let Some(unit) = unit else {
            return;
        };
        // A macro that describes what it registers does so with every call.
        if self.find(name) == Some(unit) {
            return;
        }
        let mut units = write(&self.0);
        if units.len() < KEPT_KEYS || units.contains_key(name) {
            units.insert(name.to_retained(), unit);
        }
    }

    fn find(&self, name: &KeyName) -> Option<facade::Unit> {
        read(&self.0).get(name).copied()
    }
}

impl Series {
    /// Returns `None` if CloudWatch does not take the metric; what is left out is among the `errors`.
    fn new(
        key: &Key,
        units: &Arc<Units>,
        default_unit: Unit,
        errors: &mut Vec<MetricsError>,
    ) -> Option<Self> {
        let name = key.name_shared().to_retained();
        if let Err(error) = Metric::try_new(name.clone(), default_unit) {
            errors.push(error);
            return None;
        }
        let mut dimensions = Vec::new();
        for label in key.labels() {
            match Dimension::new(label.key().to_owned(), &label.value()) {
                Ok(dimension) => dimension::set(&mut dimensions, dimension),
                Err(error) => errors.push(error),
            }
        }
        dimensions.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Some(Self {
            name,
            dimensions,
            units: Arc::clone(units),
            default_unit,
            measure: OnceLock::new(),
            has_warned: AtomicBool::new(false),
        })
    }

    fn record(&self, value: f64) {
        if let Some(metrics) = self.destination() {
            self.record_to(&metrics, value);
        }
    }

    fn record_to(&self, metrics: &Metrics, value: f64) {
        match self.measure() {
            Ok(Measure { metric, divisor }) => {
                metrics.record_with(metric, value / divisor, &self.dimensions);
            }
            Err(error) => metrics.warn(&error),
        }
    }

    /// Adds to the value that the metric has already, or records its first.
    fn add_to(&self, metrics: &Metrics, value: f64) {
        match self.measure() {
            Ok(Measure { metric, divisor }) => {
                add(metrics, metric, value / divisor, &self.dimensions);
            }
            Err(error) => metrics.warn(&error),
        }
    }

    /// Returns the metrics that take a value now.
    fn destination(&self) -> Option<Metrics> {
        recorder::find().or_else(|| {
            let has_warned = self.has_warned.swap(true, Ordering::Relaxed);
            (!has_warned)
                .then(|| recorder::find_for(self.name.as_str()))
                .flatten()
        })
    }

    fn measure(&self) -> Result<&Measure, MetricsError> {
        if let Some(measure) = self.measure.get() {
            return Ok(measure);
        }
        let unit = self.units.find(&self.name);
        let (unit, divisor) = unit.map_or((self.default_unit, 1.0), converted);
        let metric = Metric::try_new(self.name.clone(), unit)?;
        Ok(self.measure.get_or_init(|| Measure { metric, divisor }))
    }
}

/// Makes one value of all that come between two flushes.
fn add(metrics: &Metrics, metric: &Metric, value: f64, own: &[Dimension]) {
    let config = metrics.config();
    let is_first = match metrics.recorder.lock().batch.find(metric, own) {
        Some(series) if series.is_sum => {
            let sum = series.first + value;
            if sum <= config.configured.rules.greatest_value {
                series.first = sum;
                return;
            }
            false
        }
        Some(_) => false,
        None => true,
    };
    metrics.record_with(metric, value, own);
    // It may have been left out, as the layer records a metric of this name itself.
    if is_first && !config.switches.records(metric.name()) {
        // None if it has been written at once.
        if let Some(series) = metrics.recorder.lock().batch.find(metric, own) {
            series.is_sum = true;
        }
    }
}

/// Returns the unit that a metric is kept in, and how many of the described unit one of it is.
const fn converted(unit: facade::Unit) -> (Unit, f64) {
    const KIBI: f64 = 1024.0;
    match unit {
        facade::Unit::Count => (Unit::Count, 1.0),
        facade::Unit::Percent => (Unit::Percent, 1.0),
        facade::Unit::Seconds => (Unit::Seconds, 1.0),
        facade::Unit::Milliseconds => (Unit::Milliseconds, 1.0),
        facade::Unit::Microseconds => (Unit::Microseconds, 1.0),
        facade::Unit::Nanoseconds => (Unit::Microseconds, 1000.0),
        facade::Unit::Tebibytes => (Unit::Bytes, 1.0 / (KIBI * KIBI * KIBI * KIBI)),
        facade::Unit::Gibibytes => (Unit::Bytes, 1.0 / (KIBI * KIBI * KIBI)),
        facade::Unit::Mebibytes => (Unit::Bytes, 1.0 / (KIBI * KIBI)),
        facade::Unit::Kibibytes => (Unit::Bytes, 1.0 / KIBI),
        facade::Unit::Bytes => (Unit::Bytes, 1.0),
        facade::Unit::TerabitsPerSecond => (Unit::TerabitsPerSecond, 1.0),
        facade::Unit::GigabitsPerSecond => (Unit::GigabitsPerSecond, 1.0),
        facade::Unit::MegabitsPerSecond => (Unit::MegabitsPerSecond, 1.0),
        facade::Unit::KilobitsPerSecond => (Unit::KilobitsPerSecond, 1.0),
        facade::Unit::BitsPerSecond => (Unit::BitsPerSecond, 1.0),
        facade::Unit::CountPerSecond => (Unit::CountPerSecond, 1.0),
    }
}

impl Handle for CounterHandle {
    const DEFAULT_UNIT: Unit = Unit::Count;

    fn new(series: Series) -> Self {
        Self {
            series,
            total: AtomicU64::new(0),
        }
    }
}

impl CounterFn for CounterHandle {
    fn increment(&self, value: u64) {
        self.total.fetch_add(value, Ordering::Relaxed);
        if let Some(metrics) = self.series.destination() {
            self.series.add_to(&metrics, value as f64);
        }
    }

    fn absolute(&self, value: u64) {
        // Without anywhere to go, the difference is not taken yet: it will be part of the next one.
        if let Some(metrics) = self.series.destination() {
            let before = self.total.fetch_max(value, Ordering::Relaxed);
            if value > before {
                self.series.add_to(&metrics, (value - before) as f64);
            }
        }
    }
}

impl GaugeHandle {
    fn change(&self, change: impl Fn(f64) -> f64) {
        let update = |bits| {
            // What is none cannot be counted on from.
            let value = change(f64::from_bits(bits));
            value.is_finite().then(|| value.to_bits())
        };
        let before = self
            .bits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let (Ok(before) | Err(before)) = before;
        self.series.record(change(f64::from_bits(before)));
    }
}

impl Handle for GaugeHandle {
    const DEFAULT_UNIT: Unit = Unit::None;

    fn new(series: Series) -> Self {
        Self {
            series,
            bits: AtomicU64::new(0_f64.to_bits()),
        }
    }
}

impl GaugeFn for GaugeHandle {
    fn increment(&self, value: f64) {
        self.change(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl Handle for HistogramHandle {
    const DEFAULT_UNIT: Unit = Unit::None;

    fn new(series: Series) -> Self {
        Self { series }
    }
}

impl HistogramFn for HistogramHandle {
    fn record(&self, value: f64) {
        self.series.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        if let Some(metrics) = self.series.destination() {
            for _ in 0..count {
                self.series.record_to(&metrics, value);
            }
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
