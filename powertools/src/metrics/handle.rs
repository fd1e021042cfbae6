use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use serde::Serialize;

use super::{
    Member, Metric, MetricsError, MetricsLayer, SetGlobalError, Value, Violation,
    batch::{Batch, Configured, Flushed, Metadata},
    config::{Clock, Config},
    dimension,
    layer::check_namespace,
    lines::Lines,
    recorder::{self, After, Recorder},
};

/// The metrics of one invocation, for code that does not run inside it, or of
/// [the process](MetricsLayer::recorder).
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
    pub(super) recorder: Arc<Recorder>,
}

impl Metrics {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            recorder: Arc::new(Recorder::new(config)),
        }
    }

    /// Adds a value of a metric; see [`Metric::record`].
    pub fn record(&self, metric: &Metric, value: impl Value) {
        if let Err(error) = self.try_record(metric, value) {
            self.warn_for(metric, &error);
        }
    }

    /// Adds a value of a metric, or says why it is left out.
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch does not take the value, if the metric has been recorded with another
    /// unit, or if its name is that of a dimension or of metadata. If there is no namespace it fails
    /// with the value that makes an object full.
    pub fn try_record(&self, metric: &Metric, value: impl Value) -> Result<(), MetricsError> {
        self.check_free(metric.name())?;
        if self.config().disabled {
            return Ok(());
        }
        let value = in_unit(metric, value)?;
        self.recorder.record(metric, value, &[])
    }

    /// Adds a value of one of the layer's own metrics.
    pub(super) fn record_own(&self, metric: &Metric, value: impl Value) {
        if self.config().disabled {
            return;
        }
        let value = in_unit(metric, value);
        let result = value.and_then(|value| self.recorder.record_own(metric, value));
        if let Err(error) = result {
            self.warn_for(metric, &error);
        }
    }

    /// What the layer records itself is not to be mixed with what others mean by the same name.
    pub(super) fn check_free(&self, name: &str) -> Result<(), MetricsError> {
        let config = self.config();
        if !config.disabled && config.switches.records(name) {
            return Err(MetricsError::NameTaken {
                name: name.to_owned(),
                taken_by: Member::Layer,
            });
        }
        Ok(())
    }

    /// Adds a value of a metric that has dimensions of its own, besides those of all others. For
    /// each list of them there is an object.
    #[cfg(any(feature = "metrics-facade", all(test, feature = "testing")))]
    pub(super) fn record_with(&self, metric: &Metric, value: f64, own: &[dimension::Dimension]) {
        if self.config().disabled {
            return;
        }
        let result = self
            .check_free(metric.name())
            .and_then(|()| self.recorder.record(metric, value, own));
        if let Err(error) = result {
            self.warn_for(metric, &error);
        }
    }

    /// Adds a dimension; see [`add_dimension`](super::add_dimension).
    pub fn add_dimension(&self, name: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        self.attempt(self.try_add_dimension(name, value));
    }

    /// Adds a dimension, or says why it is left out; see [`add_dimension`](super::add_dimension).
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch takes no such dimension, if there are as many as there may be, if a
    /// dimension set has it with another value, or if its name is that of a metric or of metadata.
    pub fn try_add_dimension(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> Result<(), MetricsError> {
        let config = self.config();
        if config.disabled {
            return Ok(());
        }
        let dimension = match config.dimension(name, &value) {
            Err(error) if config.compat.is_some() && is_blank(&error) => {
                self.warn(&error);
                return Ok(());
            }
            dimension => dimension?,
        };
        self.check_free(&dimension.name)?;
        let mut pending = self.recorder.lock();
        pending.batch.add_dimension(&config.configured, dimension)
    }

    /// Adds a dimension set; see [`add_dimensions`](super::add_dimensions).
    pub fn add_dimensions<N, V>(&self, set: impl IntoIterator<Item = (N, V)>)
    where
        N: Into<Cow<'static, str>>,
        V: fmt::Display,
    {
        self.attempt(self.try_add_dimensions(set));
    }

    /// Adds a dimension set, or says why it is left out; see [`add_dimensions`](super::add_dimensions).
    ///
    /// # Errors
    ///
    /// Fails, and adds none of them, where [`try_add_dimension`](Self::try_add_dimension) fails for
    /// one of the dimensions; but one whose name or value is blank is left out with a warning, and
    /// the others are added.
    pub fn try_add_dimensions<N, V>(
        &self,
        set: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), MetricsError>
    where
        N: Into<Cow<'static, str>>,
        V: fmt::Display,
    {
        let config = self.config();
        if config.disabled {
            return Ok(());
        }
        let mut dimensions = Vec::new();
        for (name, value) in set {
            match config.dimension(name, &value) {
                Ok(dimension) => {
                    self.check_free(&dimension.name)?;
                    dimension::set(&mut dimensions, dimension);
                }
                Err(error) if is_blank(&error) => self.warn(&error),
                Err(error) => return Err(error),
            }
        }
        if dimensions.is_empty() {
            return Ok(());
        }
        let mut pending = self.recorder.lock();
        pending.batch.add_dimensions(&config.configured, dimensions)
    }

    /// Adds metadata; see [`add_metadata`](super::add_metadata).
    pub fn add_metadata(&self, key: impl Into<Cow<'static, str>>, value: impl Serialize) {
        self.attempt(self.try_add_metadata(key, value));
    }

    /// Adds metadata, or says why it is left out; see [`add_metadata`](super::add_metadata).
    ///
    /// # Errors
    ///
    /// Fails if the value cannot be serialised, if it is too much, or if the key is the name of a
    /// metric or of a dimension.
    pub fn try_add_metadata(
        &self,
        key: impl Into<Cow<'static, str>>,
        value: impl Serialize,
    ) -> Result<(), MetricsError> {
        let config = self.config();
        if config.disabled {
            return Ok(());
        }
        let key = key.into();
        self.check_free(&key)?;
        match serde_json::to_string(&value) {
            Ok(json) => {
                let metadata = Metadata::new(key, json);
                let mut pending = self.recorder.lock();
                pending.batch.add_metadata(&config.configured, metadata)
            }
            Err(error) => Err(MetricsError::Metadata {
                key: key.into_owned(),
                source: error.into(),
            }),
        }
    }

    /// Sets the time of the metrics; see [`set_timestamp`](super::set_timestamp).
    pub fn set_timestamp(&self, timestamp: SystemTime) {
        self.attempt(self.try_set_timestamp(timestamp));
    }

    /// Sets the time of the metrics, or says why it is left out; see [`set_timestamp`](super::set_timestamp).
    ///
    /// # Errors
    ///
    /// Fails if it is more than 14 days ago or more than 2 hours ahead.
    pub fn try_set_timestamp(&self, timestamp: SystemTime) -> Result<(), MetricsError> {
        let config = self.config();
        if config.disabled {
            return Ok(());
        }
        let (milliseconds, in_window) = config.check_timestamp(timestamp)?;
        if !in_window {
            self.warn(&MetricsError::Timestamp { timestamp });
        }
        self.recorder.lock().batch.timestamp = Some(milliseconds);
        Ok(())
    }

    /// Writes what has been recorded; see [`flush`](super::flush).
    pub fn flush(&self) {
        self.recorder.flush(After::Clear);
    }

    /// Writes what has been recorded, or says why there is nothing to write; see [`flush`](super::flush).
    ///
    /// # Errors
    ///
    /// Fails if nothing has been recorded, if there is no namespace, or if there are more default
    /// dimensions than the [toolkit](MetricsLayer::compatible_with) takes. In the last two cases the
    /// metrics are lost.
    pub fn try_flush(&self) -> Result<(), MetricsError> {
        if self.config().disabled {
            return Ok(());
        }
        let pending = self.recorder.lock();
        if pending.batch.is_empty() {
            return Err(MetricsError::Empty);
        }
        self.recorder.write(pending, After::Clear, None)
    }

    /// Makes these the metrics of the process: what is recorded outside of any invocation, or in one
    /// without a [`MetricsLayer`] around, goes there instead of being warned of.
    ///
    /// They are written at the end of each invocation as well. The process keeps a handle of them
    /// until it ends, so none is ever the last that is dropped: outside of Lambda, call
    /// [`flush`](Self::flush) before the process ends.
    ///
    /// Make them with [`MetricsLayer::recorder`]. Those of an invocation would keep its dimensions,
    /// and each value that comes after its end would be an object of its own.
    ///
    /// # Errors
    ///
    /// Fails if the process has some already.
    ///
    /// # Examples
    ///
    /// ```
    /// use powertools::{Env, env, metrics::{Metric, MetricsLayer, Unit}};
    ///
    /// const CACHE_WARMED: Metric = Metric::new("CacheWarmed", Unit::Count);
    ///
    /// let layer = MetricsLayer::from_env(&Env::from([(env::METRICS_NAMESPACE, "Shop")]));
    /// layer.recorder().set_global()?;
    /// // Before the first invocation, or in a task that belongs to none:
    /// CACHE_WARMED.record(1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_global(self) -> Result<(), SetGlobalError> {
        recorder::GLOBAL.set(self).map_err(|_| SetGlobalError)
    }

    pub(super) fn config(&self) -> &Config {
        &self.recorder.config
    }

    /// Warns of what is left out, once for each kind of error and name until the next flush.
    pub(super) fn warn(&self, error: &MetricsError) {
        self.recorder.warn(error);
    }

    /// Warns of what is left out of a metric.
    pub(super) fn warn_for(&self, metric: &Metric, error: &MetricsError) {
        // The others name it themselves.
        let is_nameless = matches!(
            error,
            MetricsError::MissingNamespace | MetricsError::Namespace { .. }
        );
        self.recorder
            .warn_of(error, is_nameless.then(|| metric.name()));
    }

    fn attempt(&self, result: Result<(), MetricsError>) {
        if let Err(error) = result {
            self.warn(&error);
        }
    }

    /// Writes a batch that is none of the recorder's own, in a namespace that may be another.
    pub(super) fn write_single(
        &self,
        configured: &Configured,
        namespace: Option<&str>,
        batch: &Batch,
    ) -> Result<(), MetricsError> {
        let config = self.config();
        let namespace = namespace.unwrap_or(&config.namespace);
        check_namespace(namespace)?;
        configured.check_count()?;
        self.recorder.has_recorded();
        let flushed = Flushed {
            timestamp: batch.timestamp.unwrap_or_else(|| config.timestamp()),
            namespace,
            sets: batch.dimension_sets(configured),
            metadata: &batch.metadata,
            series: &batch.series,
        };
        let mut lines = Lines::default();
        config.emit(&flushed, &mut lines);
        config.write(&lines);
        Ok(())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("config", &self.recorder.config)
            .finish_non_exhaustive()
    }
}

impl<C, B> MetricsLayer<C, B> {
    /// Makes a recorder that belongs to no invocation, for work of the process and for code outside
    /// of Lambda.
    ///
    /// It has the layer's namespace, service and default dimensions. What is recorded is written by
    /// [`Metrics::flush`], with the 100th metric or the 100th value of one, and when the last handle
    /// is dropped. [`Metrics::set_global`] makes it that of the process.
    ///
    /// Without a namespace nothing can be written: flushing fails, or warns.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use powertools::{Env, env, metrics::{Metric, MetricsLayer, Unit}, testing};
    ///
    /// const ROWS_IMPORTED: Metric = Metric::new("RowsImported", Unit::Count);
    ///
    /// let output = testing::Captured::default();
    /// let env = Env::from([(env::METRICS_NAMESPACE, "Shop"), (env::SERVICE_NAME, "import")]);
    /// let metrics = MetricsLayer::from_env(&env).with_writer(output.clone()).recorder();
    /// metrics.record(&ROWS_IMPORTED, 7);
    /// metrics.flush();
    /// assert_eq!(output.json()[0]["RowsImported"], 7);
    /// # }
    /// # Ok::<_, powertools::metrics::MetricsError>(())
    /// ```
    #[must_use]
    pub fn recorder(&self) -> Metrics {
        let metrics = Metrics::new(self.config.prepared());
        metrics.recorder.enter();
        metrics
    }

    /// Sets the clock that gives objects their time and [timestamps](super::set_timestamp) their window.
    ///
    /// Defaults to the system's.
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.config.clock = Clock(Some(Arc::new(now)));
        self
    }
}

/// Returns a value as a number in the metric's unit.
fn in_unit(metric: &Metric, value: impl Value) -> Result<f64, MetricsError> {
    let unit = metric.unit();
    value.in_unit(unit).ok_or_else(|| MetricsError::NotATime {
        name: metric.name().to_owned(),
        unit,
    })
}

pub(super) fn is_blank(error: &MetricsError) -> bool {
    matches!(
        error,
        MetricsError::DimensionName {
            violation: Violation::Blank,
            ..
        } | MetricsError::DimensionValue {
            violation: Violation::Blank,
            ..
        }
    )
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::{
        Env, env,
        metrics::{Unit, dimension::Dimension},
        testing::Captured,
    };

    const REQUESTS: Metric = Metric::new("Requests", Unit::Count);

    fn recorder() -> (Metrics, Captured) {
        let output = Captured::default();
        let layer = MetricsLayer::from_env(&Env::from([(env::METRICS_NAMESPACE, "Shop")]));
        let layer = layer.default_dimension("stage", "prod");
        (layer.with_writer(output.clone()).recorder(), output)
    }

    fn own(name: &'static str, value: impl fmt::Display) -> [Dimension; 1] {
        [Dimension::new(name, &value).unwrap()]
    }

    #[test]
    fn metrics_with_dimensions_of_their_own_are_an_object_for_each_list_of_them() {
        let (metrics, output) = recorder();
        metrics.record_with(&REQUESTS, 1.0, &own("method", "GET"));
        metrics.record_with(&REQUESTS, 2.0, &own("method", "PUT"));
        metrics.record_with(&REQUESTS, 3.0, &own("method", "GET"));
        metrics.record(&REQUESTS, 4);
        metrics.add_dimension("shop", "a");
        metrics.add_dimensions([("tenant", "t1")]);
        metrics.add_metadata("order", 1);
        metrics.flush();
        let members: Vec<_> = output
            .lines()
            .iter()
            .map(|line| {
                let sets =
                    line.find(r#""Dimensions":"#).unwrap()..line.find(r#","Metrics""#).unwrap();
                format!(
                    "{} {}",
                    &line[sets],
                    &line[line.find("}]}]},").unwrap() + 6..]
                )
            })
            .collect();
        assert_eq!(
            members,
            [
                concat!(
                    r#""Dimensions":[["stage","shop"],["stage","tenant"]] "#,
                    r#""stage":"prod","shop":"a","tenant":"t1","order":1,"Requests":4}"#
                ),
                concat!(
                    r#""Dimensions":[["stage","shop","method"]] "#,
                    r#""stage":"prod","shop":"a","method":"GET","order":1,"Requests":[1,3]}"#
                ),
                concat!(
                    r#""Dimensions":[["stage","shop","method"]] "#,
                    r#""stage":"prod","shop":"a","method":"PUT","order":1,"Requests":2}"#
                ),
            ]
        );
        metrics.flush();
        assert_eq!(output.lines().len(), 3);
    }

    #[test]
    fn labels_without_end_are_written_before_they_are_too_many() {
        let (metrics, output) = recorder();
        for user in 0..250 {
            metrics.record_with(&REQUESTS, 1.0, &own("user", user));
        }
        assert_eq!(output.lines().len(), 200);
        drop(metrics);
        assert_eq!(output.lines().len(), 250);
    }
}
