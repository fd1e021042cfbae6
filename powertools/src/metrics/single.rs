use std::{borrow::Cow, fmt, time::SystemTime};

use serde::Serialize;

use super::{
    Metric, Metrics, MetricsError, Value,
    batch::{Batch, Configured, Metadata},
    layer, recorder,
};

/// A metric that is written alone and at once, with dimensions of its own.
///
/// An object has one set of dimensions for all of its metrics. What one of them is to be split by,
/// and the others are not, makes it an object of its own:
///
/// ```
/// use powertools::metrics::{Metric, Unit};
///
/// const PAYMENTS: Metric = Metric::new("Payments", Unit::Count);
///
/// async fn handler(order_id: &str) {
///     PAYMENTS
///         .single(1)
///         .dimension("provider", "acme")
///         .metadata("order_id", order_id)
///         .emit();
/// }
/// ```
///
/// ```json
/// {"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["provider","service"]],"Metrics":[{"Name":"Payments","Unit":"Count"}]}]},"provider":"acme","service":"orders","order_id":"a1","Payments":1}
/// ```
///
/// The service is among its dimensions as everywhere. The layer's default dimensions are if they are
/// [asked for](Self::default_dimensions), what the handler [adds](super::add_dimension) to the
/// others never is. It is written whatever else is recorded, and stays out of the invocation's
/// other objects.
///
/// Made by [`Metric::single`].
#[derive(Clone, Debug)]
#[must_use = "nothing is written before `emit` is called"]
pub struct SingleMetric<'a> {
    metric: &'a Metric,
    /// `None` if it cannot be measured in the metric's unit.
    value: Option<f64>,
    metrics: Option<Metrics>,
    namespace: Option<String>,
    default_dimensions: bool,
    timestamp: Option<SystemTime>,
    dimensions: Vec<(Cow<'static, str>, String)>,
    /// As JSON, or what its `Serialize` said.
    metadata: Vec<(Cow<'static, str>, Result<String, String>)>,
}

impl<'a> SingleMetric<'a> {
    pub(super) fn new(metric: &'a Metric, value: impl Value) -> Self {
        Self {
            metric,
            value: value.in_unit(metric.unit()),
            metrics: None,
            namespace: None,
            default_dimensions: false,
            timestamp: None,
            dimensions: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Adds a dimension; one of the same name is replaced. See [`add_dimension`](super::add_dimension).
    ///
    /// Defaults to none but the service.
    pub fn dimension(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> Self {
        self.dimensions.push((name.into(), value.to_string()));
        self
    }

    /// Adds metadata; one of the same key is replaced. See [`add_metadata`](super::add_metadata).
    ///
    /// Defaults to none.
    pub fn metadata(mut self, key: impl Into<Cow<'static, str>>, value: impl Serialize) -> Self {
        let json = serde_json::to_string(&value).map_err(|error| error.to_string());
        self.metadata.push((key.into(), json));
        self
    }

    /// Sets the namespace.
    ///
    /// Defaults to that of the layer.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Adds the layer's default dimensions. Those that are [added](Self::dimension) replace them.
    ///
    /// Defaults to without.
    pub const fn default_dimensions(mut self) -> Self {
        self.default_dimensions = true;
        self
    }

    /// Sets the metric's time. See [`set_timestamp`](super::set_timestamp), which does not hold for
    /// it.
    ///
    /// Defaults to the time of writing.
    pub const fn timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Says whose metric it is, on a thread or in a task that does not know its invocation.
    ///
    /// Defaults to the running invocation, then to the [process](Metrics::set_global).
    pub fn with_metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = Some(metrics.clone());
        self
    }

    /// Writes the metric.
    ///
    /// Never fails and never panics: what CloudWatch would not take is left out with a warning, as
    /// by [`Metric::record`].
    pub fn emit(mut self) {
        let metric = self.metric;
        let metrics = self.metrics.take();
        if let Some(metrics) = metrics.or_else(|| recorder::find_for(metric.name())) {
            let left_out = |error| {
                metrics.warn(&error);
                Ok(())
            };
            if let Err(error) = self.write(&metrics, left_out) {
                metrics.warn_for(metric, &error);
            }
        }
    }

    /// Writes the metric, or says why it cannot be as it is.
    ///
    /// Outside of an invocation, and without a recorder of the process, it warns as
    /// [`emit`](Self::emit) does.
    ///
    /// # Errors
    ///
    /// Fails, with nothing written, if CloudWatch would not take the value, a dimension, metadata,
    /// the timestamp or the namespace, or if a name is that of a metric that the layer records in
    /// its namespace.
    pub fn try_emit(mut self) -> Result<(), MetricsError> {
        let metrics = self.metrics.take();
        match metrics.or_else(|| recorder::find_for(self.metric.name())) {
            Some(metrics) => self.write(&metrics, Err),
            None => Ok(()),
        }
    }

    /// Gives what is wrong with a part of the object to `left_out`, which decides whether the rest
    /// is written.
    fn write(
        self,
        metrics: &Metrics,
        mut left_out: impl FnMut(MetricsError) -> Result<(), MetricsError>,
    ) -> Result<(), MetricsError> {
        let config = metrics.config();
        if config.disabled {
            return Ok(());
        }
        let name = self.metric.name();
        let unit = self.metric.unit();
        let value = self.value.ok_or_else(|| MetricsError::NotATime {
            name: name.to_owned(),
            unit,
        })?;
        if let Some(namespace) = &self.namespace {
            layer::check_namespace(namespace)?;
        }
        // In another namespace a metric of the same name is another metric.
        let is_the_layers = |namespace: &String| *namespace == config.namespace;
        let shares_namespace = self.namespace.as_ref().is_none_or(is_the_layers);
        let check_free = |name: &str| {
            if shares_namespace {
                metrics.check_free(name)
            } else {
                Ok(())
            }
        };
        check_free(name)?;
        let configured = Configured {
            dimensions: if self.default_dimensions {
                config.configured.dimensions.clone()
            } else {
                Vec::new()
            },
            ..config.configured.clone()
        };

        let mut batch = Batch::default();
        batch.record(&configured, self.metric, value, &[])?;
        if let Some(timestamp) = self.timestamp {
            match config.check_timestamp(timestamp) {
                Ok((milliseconds, in_window)) => {
                    if !in_window {
                        metrics.warn(&MetricsError::Timestamp { timestamp });
                    }
                    batch.timestamp = Some(milliseconds);
                }
                Err(error) => left_out(error)?,
            }
        }
        for (name, value) in self.dimensions {
            let added = check_free(&name)
                .and_then(|()| config.dimension(name, &value))
                .and_then(|dimension| batch.add_dimension(&configured, dimension));
            added.or_else(&mut left_out)?;
        }
        for (key, json) in self.metadata {
            let free = check_free(&key);
            let added = match json {
                _ if free.is_err() => free,
                Ok(json) => batch.add_metadata(&configured, Metadata::new(key, json)),
                Err(source) => Err(MetricsError::Metadata {
                    key: key.into_owned(),
                    source: source.into(),
                }),
            };
            added.or_else(&mut left_out)?;
        }
        metrics.write_single(&configured, self.namespace.as_deref(), &batch)
    }
}
