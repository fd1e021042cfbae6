use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Captured;
use crate::metrics::{MetricsLayer, Unit};

/// The most dimensions of a set.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
const DIMENSIONS_PER_SET: usize = 30;

/// The most metrics of a directive.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
const METRICS_PER_DIRECTIVE: usize = 100;

/// The most values of a metric in one object.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
const VALUES_PER_METRIC: usize = 100;

/// Captures the metrics that `layer` writes.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::{
///     metrics::{self, Metric, MetricsLayer, Unit},
///     testing,
/// };
/// use tower::{ServiceBuilder, ServiceExt};
///
/// const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
///
/// async fn handler(event: LambdaEvent<&str>) -> Result<(), Error> {
///     metrics::add_dimension("shop", "berlin");
///     metrics::add_metadata("order_id", event.payload);
///     ORDERS_CREATED.record(1);
///     Ok(())
/// }
///
/// let (captured, layer) = testing::capture_metrics(MetricsLayer::new("Shop"));
/// let service = ServiceBuilder::new().layer(layer).service_fn(handler);
/// service.oneshot(LambdaEvent::new("a1", testing::context("52fdfc07"))).await?;
///
/// assert_eq!(captured.sum("OrdersCreated"), 1.0);
/// assert_eq!(captured.unit("OrdersCreated"), Unit::Count);
/// assert_eq!(captured.metadata("order_id"), "a1");
/// assert_eq!(captured.with_dimension("shop", "berlin").count("OrdersCreated"), 1);
/// assert_eq!(captured.count("OrdersRefused"), 0);
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
pub fn capture_metrics<C, B>(layer: MetricsLayer<C, B>) -> (CapturedMetrics, MetricsLayer<C, B>) {
    let captured = CapturedMetrics::default();
    let layer = layer.with_writer(captured.clone());
    (captured, layer)
}

/// The metrics among the lines that were captured, whatever other lines there are.
///
/// [`capture_metrics`] returns one. It can be made [from](#impl-From<Captured>-for-CapturedMetrics)
/// a [`Captured`] that holds log lines too, and is a writer itself. Every question is answered from
/// what was written until then; clones, and what `with_dimension` and `in_namespace` return, see
/// what is written later.
///
/// # Panics
///
/// All questions panic if a line is an EMF object, but none that CloudWatch would take metrics from:
/// if something is missing or of the wrong type, if there is no such unit, or if a dimension set, an
/// object or a metric has more than its 30 dimensions, 100 metrics or 100 values. What names and
/// values are made of is not looked at.
#[derive(Clone, Default)]
pub struct CapturedMetrics {
    output: Captured,
    namespace: Option<String>,
    dimensions: Vec<(String, String)>,
}

impl CapturedMetrics {
    /// Returns the values of a metric in the order they were recorded, over all objects they are
    /// spread over.
    ///
    /// # Panics
    ///
    /// Panics with a list of the metrics that were written if there is none of this name.
    #[must_use]
    #[track_caller]
    pub fn values(&self, name: &str) -> Vec<f64> {
        let objects = self.having(name);
        objects
            .iter()
            .flat_map(|object| object.values(name).to_vec())
            .collect()
    }

    /// Returns the sum of a metric's values: what the statistic `Sum` of CloudWatch shows.
    ///
    /// # Panics
    ///
    /// Panics with a list of the metrics that were written if there is none of this name.
    #[must_use]
    #[track_caller]
    pub fn sum(&self, name: &str) -> f64 {
        self.values(name).iter().sum()
    }

    /// Returns how many values of a metric were written: what the statistic `SampleCount` of
    /// CloudWatch shows. It is 0 for a metric that was not written.
    #[must_use]
    #[track_caller]
    pub fn count(&self, name: &str) -> usize {
        let objects = self.objects();
        objects.iter().map(|object| object.values(name).len()).sum()
    }

    /// Returns the unit of a metric.
    ///
    /// # Panics
    ///
    /// Panics with a list of the metrics that were written if there is none of this name, or if it
    /// was written with more than one unit.
    #[must_use]
    #[track_caller]
    pub fn unit(&self, name: &str) -> Unit {
        let objects = self.having(name);
        let mut units = objects.iter().filter_map(|object| object.unit(name));
        // `having` returns nothing else.
        let unit = units.next().unwrap_or(Unit::None);
        if units.any(|other| other != unit) {
            panic!("metric `{name}` has more than one unit{}", self.list());
        }
        unit
    }

    /// Returns whether CloudWatch keeps all values of a metric by the second.
    ///
    /// # Panics
    ///
    /// Panics with a list of the metrics that were written if there is none of this name.
    #[must_use]
    #[track_caller]
    pub fn is_high_resolution(&self, name: &str) -> bool {
        let objects = self.having(name);
        objects.iter().all(|object| object.is_high_resolution(name))
    }

    /// Returns metadata: what every object that has this key says.
    ///
    /// # Panics
    ///
    /// Panics with a list of what was written if no object has metadata of this key, or if not all
    /// say the same.
    #[must_use]
    #[track_caller]
    pub fn metadata(&self, key: &str) -> Value {
        let objects = self.objects();
        let mut found = objects.iter().filter_map(|object| object.metadata(key));
        let Some(value) = found.next() else {
            let keys: BTreeSet<_> = objects
                .iter()
                .flat_map(|object| object.metadata.keys())
                .collect();
            panic!(
                "no metadata `{key}` was written{}; its keys are {keys:?}{}",
                self.narrowed(),
                self.list()
            );
        };
        if let Some(other) = found.find(|other| *other != value) {
            panic!(
                "metadata `{key}` is {value} in one object and {other} in another; `with_dimension` \
                 or `objects` tells them apart{}",
                self.list()
            );
        }
        value.clone()
    }

    /// Returns the names of all metrics, each once, in the order of the alphabet.
    #[must_use]
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let objects = self.objects();
        let names: BTreeSet<_> = objects.iter().flat_map(EmfObject::names).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Returns the metrics that have a dimension of this value, among others.
    ///
    /// Dimensions of several calls are looked for in one and the same dimension set.
    #[must_use]
    pub fn with_dimension(&self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        let mut narrowed = self.clone();
        narrowed.dimensions.push((name.into(), value.to_string()));
        narrowed
    }

    /// Returns the metrics of one namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: impl Into<String>) -> Self {
        Self {
            namespace: Some(namespace.into()),
            ..self.clone()
        }
    }

    /// Returns the objects in the order they were written.
    #[must_use]
    #[track_caller]
    pub fn objects(&self) -> Vec<EmfObject> {
        let mut objects = self.all();
        objects.retain(|object| self.covers(object));
        objects
    }

    #[track_caller]
    fn all(&self) -> Vec<EmfObject> {
        let lines = self.output.lines();
        let mut objects = Vec::new();
        for line in &lines {
            match EmfObject::read(line) {
                Ok(read) => objects.extend(read),
                Err(error) => {
                    panic!("CloudWatch would take no metrics from this line ({error}): {line}")
                }
            }
        }
        objects
    }

    fn covers(&self, object: &EmfObject) -> bool {
        let namespace = self.namespace.as_ref();
        namespace.is_none_or(|namespace| object.namespace == *namespace)
            && object.sets.iter().any(|set| {
                self.dimensions.iter().all(|(name, value)| {
                    set.contains(name) && object.dimensions.get(name) == Some(value)
                })
            })
    }

    /// Returns the objects with values of a metric; there is at least one.
    #[track_caller]
    fn having(&self, name: &str) -> Vec<EmfObject> {
        let mut objects = self.objects();
        objects.retain(|object| object.metric(name).is_some());
        if objects.is_empty() {
            panic!(
                "no metric `{name}` was written{}{}",
                self.narrowed(),
                self.list()
            );
        }
        objects
    }

    /// Says what the objects were narrowed to, for the message of a panic.
    fn narrowed(&self) -> String {
        let namespace = self.namespace.iter();
        let namespace = namespace.map(|namespace| format!(" in namespace `{namespace}`"));
        let dimensions = self.dimensions.iter();
        namespace
            .chain(dimensions.map(|(name, value)| format!(" with `{name}` = `{value}`")))
            .collect()
    }

    /// Lists what was written, for the message of a panic.
    #[track_caller]
    fn list(&self) -> String {
        let objects = self.all();
        if objects.is_empty() {
            return "; there are no metrics at all: was the future driven to its end, and are they \
                    not disabled (`POWERTOOLS_METRICS_DISABLED`, `POWERTOOLS_DEV`), and is there a namespace?"
                .to_owned();
        }
        let lines = objects.iter().map(|object| format!("\n  {object}"));
        format!("; this was:{}", lines.collect::<String>())
    }
}

/// Reads the metrics among the lines that `output` has and will have.
impl From<Captured> for CapturedMetrics {
    fn from(output: Captured) -> Self {
        Self {
            output,
            ..Self::default()
        }
    }
}

impl Write for CapturedMetrics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl fmt::Debug for CapturedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapturedMetrics")
            .field("output", &self.output)
            .field("namespace", &self.namespace)
            .field("dimensions", &self.dimensions)
            .finish()
    }
}

/// Metrics that share their namespace, time, dimensions and metadata: one EMF object.
///
/// [`CapturedMetrics::objects`] returns them. Its `Display` is a line for people.
#[derive(Clone, Debug)]
pub struct EmfObject {
    namespace: String,
    timestamp: u64,
    sets: Vec<Vec<String>>,
    dimensions: BTreeMap<String, String>,
    metrics: Vec<Written>,
    metadata: Map<String, Value>,
}

/// A metric of an object.
#[derive(Clone, Debug)]
struct Written {
    name: String,
    unit: Unit,
    high_resolution: bool,
    values: Vec<f64>,
}

impl EmfObject {
    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the time that the values are of, exact to the millisecond.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.timestamp)
    }

    /// Returns the dimension sets, each with the names and values of its dimensions. Each is a
    /// series of its own in CloudWatch; without any dimension there is one empty set.
    pub fn dimension_sets(&self) -> impl Iterator<Item = Vec<(&str, &str)>> {
        self.sets.iter().map(|set| {
            let named = set.iter().map(String::as_str);
            named
                .map(|name| (name, self.dimensions[name].as_str()))
                .collect()
        })
    }

    /// Returns the value of a dimension, in whichever set it is.
    #[must_use]
    pub fn dimension(&self, name: &str) -> Option<&str> {
        self.dimensions.get(name).map(String::as_str)
    }

    /// Returns the metrics' names in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|metric| metric.name.as_str())
    }

    /// Returns the values of a metric in their order; there are none if it is not in here.
    #[must_use]
    pub fn values(&self, name: &str) -> &[f64] {
        self.metric(name).map_or(&[], |metric| &metric.values)
    }

    /// Returns the unit of a metric, if it is in here.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<Unit> {
        self.metric(name).map(|metric| metric.unit)
    }

    /// Returns whether a metric is in here and CloudWatch keeps it by the second.
    #[must_use]
    pub fn is_high_resolution(&self, name: &str) -> bool {
        self.metric(name)
            .is_some_and(|metric| metric.high_resolution)
    }

    /// Returns the metadata of a key, if it is in here.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    fn metric(&self, name: &str) -> Option<&Written> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// Reads a line: an object for each of its directives, and none if it is another line.
    fn read(line: &str) -> Result<Vec<Self>, Cow<'static, str>> {
        let Ok(Value::Object(mut root)) = serde_json::from_str(line) else {
            return Ok(Vec::new());
        };
        let Some(envelope) = root.remove("_aws") else {
            return Ok(Vec::new());
        };
        let envelope = Envelope::deserialize(envelope).map_err(|error| error.to_string())?;

        let mut objects = Vec::new();
        for directive in envelope.directives {
            objects.push(Self::of(directive, envelope.timestamp, &root)?);
        }
        // What no directive refers to.
        let mut metadata = root;
        metadata.retain(|name, _| {
            let mut objects = objects.iter();
            !objects
                .any(|object| object.dimensions.contains_key(name) || object.metric(name).is_some())
        });
        for object in &mut objects {
            object.metadata.clone_from(&metadata);
        }
        Ok(objects)
    }

    fn of(
        directive: Directive,
        timestamp: u64,
        root: &Map<String, Value>,
    ) -> Result<Self, Cow<'static, str>> {
        if let Some(set) = directive
            .sets
            .iter()
            .find(|set| set.len() > DIMENSIONS_PER_SET)
        {
            return Err(format!("a dimension set has {} dimensions", set.len()).into());
        }
        if directive.metrics.len() > METRICS_PER_DIRECTIVE {
            return Err(format!("it has {} metrics", directive.metrics.len()).into());
        }
        let mut dimensions = BTreeMap::new();
        for name in directive.sets.iter().flatten() {
            match root.get(name) {
                Some(Value::String(value)) => dimensions.insert(name.clone(), value.clone()),
                Some(_) => return Err(format!("dimension `{name}` is no string").into()),
                None => return Err(format!("dimension `{name}` has no value").into()),
            };
        }
        let mut metrics = Vec::with_capacity(directive.metrics.len());
        for Definition {
            name,
            unit,
            resolution,
        } in directive.metrics
        {
            let value = root
                .get(&name)
                .ok_or_else(|| format!("metric `{name}` has no value"))?;
            let values = numbers(value).ok_or_else(|| format!("metric `{name}` is {value}"))?;
            if values.len() > VALUES_PER_METRIC {
                return Err(format!("metric `{name}` has {} values", values.len()).into());
            }
            let unit = unit.map_or(Ok(Unit::None), |unit| unit_of(&unit))?;
            metrics.push(Written {
                name,
                unit,
                high_resolution: resolution == Some(1),
                values,
            });
        }
        Ok(Self {
            namespace: directive.namespace,
            timestamp,
            sets: directive.sets,
            dimensions,
            metrics,
            metadata: Map::new(),
        })
    }
}

impl fmt::Display for EmfObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace)?;
        for set in self.dimension_sets() {
            let dimensions: Vec<_> = set
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            write!(f, " [{}]", dimensions.join(", "))?;
        }
        for Written {
            name, unit, values, ..
        } in &self.metrics
        {
            match values[..] {
                [value] => write!(f, " {name}={value}")?,
                _ => write!(f, " {name}={values:?}")?,
            }
            if *unit != Unit::None {
                write!(f, " {unit}")?;
            }
        }
        Ok(())
    }
}

/// A metric's values: a number, or an array of some.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(Value::as_f64).collect(),
        value => value.as_f64().map(|value| vec![value]),
    }
}

fn unit_of(unit: &str) -> Result<Unit, String> {
    unit.parse()
        .map_err(|_| format!("there is no unit `{unit}`"))
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    timestamp: u64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    #[serde(rename = "Dimensions")]
    sets: Vec<Vec<String>>,
    metrics: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
    unit: Option<String>,
    #[serde(rename = "StorageResolution")]
    resolution: Option<u8>,
}
