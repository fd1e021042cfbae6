use std::{
    any::type_name,
    borrow::Cow,
    error::Error,
    fmt::{self, Debug, Display},
    io::Write,
};

use tower_layer::Layer;
use tracing::warn;

use super::{
    Member, MetricsError, MetricsService, Violation,
    batch::Configured,
    compat,
    config::{Config, Destination, SERVICE},
    dimension::{self, Dimension},
    handle, limits,
};
use crate::{
    classify::ByResult,
    env::{self, Env},
    output::Output,
};

/// Writes what the handler records as EMF objects, once per invocation.
///
/// See the [module docs](super).
///
/// # What the layer itself records
///
/// Nothing, unless it is asked to. Then it is there at every end of a call: an answer, an error, a
/// panic, and a cancellation, which drops the handler's future before it is ready.
///
/// | switch | metric | unit | value |
/// |---|---|---|---|
/// | [`error_metrics`](Self::error_metrics) | `Errors` | Count | 1 if the outcome is [`Error`](crate::classify::Outcome::Error), otherwise 0 |
/// | | `Throttles` | Count | 1 if it is [`Throttle`](crate::classify::Outcome::Throttle), otherwise 0 |
/// | | `Faults` | Count | 1 if it is [`Fault`](crate::classify::Outcome::Fault), and after a panic or a cancellation; otherwise 0 |
/// | | `Panics` | Count | 1 after a panic, otherwise 0 |
/// | [`duration_metric`](Self::duration_metric) | `Duration` | Milliseconds | from the call to its end |
/// | [`remaining_time_metric`](Self::remaining_time_metric) | `RemainingTime` | Milliseconds | from the end to the context's deadline; 0 if it is past |
/// | [`memory_metric`](Self::memory_metric) | `MemoryUtilization` | Percent | the most memory that the process has held so far, of the function's size |
/// | [`batch_size_metric`](Self::batch_size_metric) | `BatchSize` | Count | the request's items |
/// | [`cold_start_metric`](Self::cold_start_metric) | `ColdStart` | Count | 1, in an object of its own, when the first call begins |
///
/// All but the last leave in the object of the handler's metrics, with their dimensions:
///
/// ```
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::{Env, env, metrics::{Metric, MetricsLayer, Unit}, testing};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
///
/// async fn handler(event: LambdaEvent<Vec<u32>>) -> Result<(), Error> {
///     ORDERS_CREATED.record(2);
///     Err("the third is out of stock".into())
/// }
///
/// let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
/// let output = testing::Captured::default();
/// let service = ServiceBuilder::new()
///     .layer(
///         MetricsLayer::from_env(&env)
///             .error_metrics(true)
///             .duration_metric(true)
///             .batch_size_metric(|event: &LambdaEvent<Vec<u32>>| event.payload.len())
///             .with_writer(output.clone()),
///     )
///     .service_fn(handler);
/// let event = LambdaEvent::new(vec![7, 8, 9], testing::context("52fdfc07"));
/// service.oneshot(event).await.unwrap_err();
///
/// let object = &output.json()[0];
/// assert_eq!(object["OrdersCreated"], 2);
/// assert_eq!([&object["Errors"], &object["Faults"], &object["Panics"]], [0, 1, 0]);
/// assert_eq!(object["BatchSize"], 3);
/// assert!(object["Duration"].as_f64().is_some());
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
///
/// Their names are the layer's as long as they are switched on: what a handler adds under one of
/// them, a metric of its own or a dimension, is left out with a warning.
///
/// A call inside of another of the same invocation, because the layer is there twice, records none
/// of them. A retry outside of the layer is a call of its own, which begins without the dimensions,
/// metadata and timestamp that the attempt before has added. So is each of several calls of one
/// invocation that run at once, and one in a task that the handler spawns: their outcomes are counted
/// one by one, but they share the invocation's dimensions, metadata and objects, which leave when the
/// last of them ends. A response whose body is streamed ends
/// the call with its head, and what fails later is not seen, unless the `BodyLayer` of the module
/// `body` (feature `http`) is next to the handler. Lambda's own timeout ends the process, and with it the call that it should have counted; a timeout of
/// tower or tokio around the layer cancels it.
#[derive(Clone)]
#[must_use]
pub struct MetricsLayer<C = ByResult, B = ()> {
    pub(super) config: Config,
    classify: C,
    batch_size: B,
}

impl MetricsLayer {
    /// Makes a layer for a namespace; the process's environment says the rest, see
    /// [`from_env`](Self::from_env).
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch does not take the [`namespace`](Self::namespace).
    #[track_caller]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self::from_env(&Env::process()).namespace(namespace)
    }

    /// Makes a layer from environment variables.
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `POWERTOOLS_METRICS_NAMESPACE` | [`namespace`](Self::namespace) | none, and no metric is written |
    /// | `POWERTOOLS_SERVICE_NAME` | [`service`](Self::service) | no such dimension |
    /// | `POWERTOOLS_METRICS_FUNCTION_NAME` | [`function_name`](Self::function_name) | that of the context |
    /// | `POWERTOOLS_METRICS_DISABLED` | [`disabled`](Self::disabled) | `POWERTOOLS_DEV`, then `false` |
    ///
    /// What the code gives goes before. Without a namespace that CloudWatch takes, each flush of
    /// metrics is one warning that names one of them; a service's name that it does not take is left
    /// out, with a warning when the layer is put around the handler. A function that should rather
    /// not start calls [`check`](Self::check).
    pub fn from_env(env: &Env) -> Self {
        Self {
            config: Config {
                namespace: env.get(env::METRICS_NAMESPACE).unwrap_or_default().into(),
                configured: Configured {
                    dimensions: Vec::new(),
                    service: env.get(env::SERVICE_NAME).map(|name| Dimension {
                        name: SERVICE.into(),
                        value: name.to_owned(),
                    }),
                    ..Configured::default()
                },
                cold_start: false,
                function_name: env.get(env::METRICS_FUNCTION_NAME).map(str::to_owned),
                disabled: env
                    .flag(env::METRICS_DISABLED)
                    .or_else(|| env.flag(env::DEV))
                    .unwrap_or(false),
                ..Config::default()
            },
            classify: ByResult,
            batch_size: (),
        }
    }
}

impl<C, B> MetricsLayer<C, B> {
    /// Checks what the environment has given and the code has not replaced.
    ///
    /// ```
    /// use powertools::{Env, metrics::MetricsLayer};
    ///
    /// let layer = MetricsLayer::from_env(&Env::default());
    /// assert_eq!(
    ///     layer.check().unwrap_err().to_string(),
    ///     "no namespace for the metrics: `POWERTOOLS_METRICS_NAMESPACE` is not set"
    /// );
    /// assert!(layer.namespace("Shop").check().is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if there is no namespace, if CloudWatch does not take it or the service's name, or if
    /// there are more dimensions than the [toolkit](Self::compatible_with) takes; never while metrics
    /// are disabled.
    pub fn check(&self) -> Result<(), MetricsError> {
        let config = &self.config;
        if config.disabled {
            return Ok(());
        }
        check_namespace(&config.namespace)?;
        if let Some(service) = &config.configured.service {
            config.dimension(SERVICE, &service.value)?;
        }
        config.prepared_configured().check_count()
    }

    fn check_default_dimensions(&self) -> Result<(), MetricsError> {
        let Config {
            configured,
            switches,
            ..
        } = &self.config;
        let taken = |dimension: &&Dimension| switches.records(&dimension.name);
        match configured.dimensions.iter().find(taken) {
            Some(dimension) => Err(MetricsError::NameTaken {
                name: dimension.name.clone().into_owned(),
                taken_by: Member::Layer,
            }),
            None => Ok(()),
        }
    }

    /// Sets the namespace: 1 to 255 printable ASCII characters, not all of them blank, that do not
    /// start with a colon.
    ///
    /// Defaults to `POWERTOOLS_METRICS_NAMESPACE`.
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch takes no such namespace.
    #[track_caller]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        built(match check_namespace(&namespace) {
            // The environment has nothing to do with it.
            Err(MetricsError::MissingNamespace) => Err(MetricsError::Namespace {
                namespace: String::new(),
                violation: Violation::Blank,
            }),
            checked => checked,
        });
        self.config.namespace = namespace;
        self
    }

    /// Names the service, the dimension `service` of every metric. It is in each object, but in none
    /// of the [further dimension sets](super::add_dimensions).
    ///
    /// Defaults to `POWERTOOLS_SERVICE_NAME`; without it there is no such dimension.
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch takes no dimension of this value: it has 1 to 1024 printable ASCII
    /// characters, not all of them blank. After [`compatible_with`](Self::compatible_with), it is what
    /// the toolkit takes, and a blank one is left out with a warning.
    #[track_caller]
    pub fn service(mut self, name: impl Display) -> Self {
        self.config.configured.service = built(self.configured(SERVICE, &name));
        built(self.check_count(SERVICE));
        self
    }

    /// Adds a dimension to the metrics of every invocation; one of the same name is replaced.
    ///
    /// Defaults to none but the service.
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch takes no such dimension, see
    /// [`add_dimension`](super::add_dimension), or with the 31st, the service included. One with the
    /// name of a metric that [the layer records](Self#what-the-layer-itself-records) panics when the
    /// layer is put around the handler. What is known only at run time goes to
    /// [`try_default_dimension`](Self::try_default_dimension).
    #[track_caller]
    pub fn default_dimension(
        self,
        name: impl Into<Cow<'static, str>>,
        value: impl Display,
    ) -> Self {
        built(self.try_default_dimension(name, value))
    }

    /// Adds a dimension to the metrics of every invocation, or says why it cannot be; see
    /// [`default_dimension`](Self::default_dimension).
    ///
    /// After [`compatible_with`](Self::compatible_with), it is what the toolkit takes: a blank one is
    /// left out with a warning, and there are 29 besides the service; whether they are too many with
    /// it shows when they are written.
    ///
    /// ```
    /// use powertools::{Env, metrics::MetricsLayer};
    ///
    /// let layer = MetricsLayer::from_env(&Env::default());
    /// assert_eq!(
    ///     layer.try_default_dimension("città", "Roma").unwrap_err().to_string(),
    ///     r#"name of dimension "città" is not printable ASCII"#
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch takes no such dimension, or with the 31st, the service included.
    pub fn try_default_dimension(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Display,
    ) -> Result<Self, MetricsError> {
        if let Some(dimension) = self.configured(name, &value)? {
            let name = dimension.name.clone();
            dimension::set(&mut self.config.configured.dimensions, dimension);
            self.check_count(&name)?;
        }
        Ok(self)
    }

    /// Makes a dimension by the rules, or none where they have it left out.
    fn configured(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &impl Display,
    ) -> Result<Option<Dimension>, MetricsError> {
        match self.config.dimension(name, value) {
            Ok(dimension) => Ok(Some(dimension)),
            Err(error) if self.config.compat.is_some() && handle::is_blank(&error) => {
                let error: &(dyn Error + 'static) = &error;
                warn!(error, "left out of the metrics");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn check_count(&self, added: &str) -> Result<(), MetricsError> {
        let Config {
            configured, compat, ..
        } = &self.config;
        let (count, limit) = match compat {
            None => {
                let count = configured.sets(&[]).primary().iter().count();
                (count, configured.rules.dimensions)
            }
            Some(_) => (configured.dimensions.len(), compat::RULES.dimensions),
        };
        if count > limit {
            let name = added.to_owned();
            return Err(MetricsError::TooManyDimensions { name, limit });
        }
        Ok(())
    }

    /// Says whether a cold start is a metric: `ColdStart`, an EMF object of its own with the
    /// dimensions `function_name` and `service`, written when the handler is called.
    ///
    /// Defaults to `false`. Under provisioned concurrency, after a SnapStart restore and on managed
    /// instances there are no cold starts.
    pub fn cold_start_metric(mut self, on: bool) -> Self {
        self.config.cold_start = on;
        self
    }

    /// Says whether it is recorded how the invocation ended: `Errors`, `Throttles`, `Faults` and
    /// `Panics`, each 0 or 1, so that the average is a rate and the sum a number of invocations.
    ///
    /// Defaults to `false`. What an answer is, [`classify_with`](Self::classify_with) says; what never
    /// came to one, because it panicked or was cancelled, is a fault. At most one of `Errors`,
    /// `Throttles` and `Faults` is 1.
    pub fn error_metrics(mut self, on: bool) -> Self {
        self.config.switches.errors = on;
        self
    }

    /// Sets what decides how an invocation ended: `ByStatus` for handlers of HTTP, or a closure.
    ///
    /// Defaults to [`ByResult`]: every `Err` is a fault. It is asked only if
    /// [`error_metrics`](Self::error_metrics) are on.
    ///
    /// ```
    /// use powertools::{classify::Outcome, metrics::MetricsLayer};
    /// # struct Answer;
    /// # enum OrderError { OutOfStock, Database }
    ///
    /// let layer = MetricsLayer::new("Shop")
    ///     .error_metrics(true)
    ///     .classify_with(|result: Result<&Answer, &OrderError>| match result {
    ///         Ok(_) => Outcome::Success,
    ///         Err(OrderError::OutOfStock) => Outcome::Error,
    ///         Err(OrderError::Database) => Outcome::Fault,
    ///     });
    /// ```
    pub fn classify_with<D>(self, classify: D) -> MetricsLayer<D, B> {
        MetricsLayer {
            config: self.config,
            classify,
            batch_size: self.batch_size,
        }
    }

    /// Says whether it is recorded how long the handler took: `Duration`, in milliseconds.
    ///
    /// Defaults to `false`. It is the time that passes from the call to its end, in the layers inside
    /// of this one too.
    pub fn duration_metric(mut self, on: bool) -> Self {
        self.config.switches.duration = on;
        self
    }

    /// Says whether it is recorded how much time was left at the end: `RemainingTime`, in
    /// milliseconds. Its minimum says how near the function came to its timeout.
    ///
    /// Defaults to `false`. Without a context there is no deadline, and nothing is recorded.
    pub fn remaining_time_metric(mut self, on: bool) -> Self {
        self.config.switches.remaining_time = on;
        self
    }

    /// Says whether it is recorded how much of the function's memory was used: `MemoryUtilization`,
    /// in percent.
    ///
    /// Defaults to `false`. As for the `Max Memory Used` of Lambda's report, the most counts that has
    /// been held until then, also by earlier invocations; but by this process alone, without its
    /// extensions. It is the peak of the resident set (`VmHWM` in `/proc/self/status`), which takes
    /// about 10 µs to read. Where the system does not say it, and where the context does not say the
    /// function's size, nothing is recorded.
    pub fn memory_metric(mut self, on: bool) -> Self {
        self.config.switches.memory = on;
        self
    }

    /// Records how many items the request has: `BatchSize`. A closure counts them.
    ///
    /// Defaults to none.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::metrics::MetricsLayer;
    /// # struct Records { records: Vec<String> }
    ///
    /// let layer = MetricsLayer::new("Shop")
    ///     .batch_size_metric(|event: &LambdaEvent<Records>| event.payload.records.len());
    /// ```
    pub fn batch_size_metric<D>(mut self, batch_size: D) -> MetricsLayer<C, D> {
        self.config.switches.batch_size = true;
        MetricsLayer {
            config: self.config,
            classify: self.classify,
            batch_size,
        }
    }

    /// Says whether a warning is logged when an invocation ends whose handler has recorded nothing.
    ///
    /// Defaults to `false`. What the layer itself records does not count.
    pub fn warn_if_empty(mut self, on: bool) -> Self {
        self.config.switches.warn_if_empty = on;
        self
    }

    /// Names the function, the dimension `function_name` of the cold-start metric.
    ///
    /// Defaults to `POWERTOOLS_METRICS_FUNCTION_NAME`, then to the name in the context. One that
    /// CloudWatch does not take is left out.
    pub fn function_name(mut self, name: impl Into<String>) -> Self {
        self.config.function_name = Some(name.into());
        self
    }

    /// Says whether metrics are left out.
    ///
    /// Defaults to `POWERTOOLS_METRICS_DISABLED`, then to `POWERTOOLS_DEV`, then to `false`.
    ///
    /// Disabled ones need no namespace. If the code switches on what the environment has disabled
    /// and there is none, each flush is a warning; [`check`](Self::check) says so at the start.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.config.disabled = disabled;
        self
    }

    /// Sets where the lines go, each in one write.
    ///
    /// Defaults to standard output, which Lambda hands to CloudWatch Logs. What cannot be written
    /// is lost; the invocation goes on.
    pub fn with_writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.config.destination = Destination::Lines(Output::new(writer));
        self
    }
}

pub(super) fn check_namespace(namespace: &str) -> Result<(), MetricsError> {
    if namespace.is_empty() {
        return Err(MetricsError::MissingNamespace);
    }
    limits::check_namespace(namespace).map_err(|violation| MetricsError::Namespace {
        namespace: namespace.to_owned(),
        violation,
    })
}

/// Configuration that cannot be is the programmer's mistake, and shows at start-up.
#[track_caller]
fn built<T>(result: Result<T, MetricsError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

impl<S, C: Clone, B: Clone> Layer<S> for MetricsLayer<C, B> {
    type Service = MetricsService<S, C, B>;

    fn layer(&self, inner: S) -> Self::Service {
        built(self.check_default_dimensions());
        MetricsService::new(
            inner,
            self.config.prepared(),
            self.classify.clone(),
            self.batch_size.clone(),
        )
    }
}

impl<C, B> Debug for MetricsLayer<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer")
            .field("config", &self.config)
            .field("classify", &format_args!("{}", type_name::<C>()))
            .field("batch_size", &format_args!("{}", type_name::<B>()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Violation;

    fn layer() -> MetricsLayer {
        MetricsLayer::from_env(&Env::from([(env::METRICS_NAMESPACE, "Shop")]))
    }

    #[test]
    fn code_wins_over_the_environment() {
        let layer = MetricsLayer::from_env(&Env::from([
            (env::METRICS_NAMESPACE, "Shop"),
            (env::SERVICE_NAME, "from-environment"),
            (env::METRICS_FUNCTION_NAME, "from-environment"),
            (env::METRICS_DISABLED, "true"),
        ]));
        let config = &layer.config;
        let service = config.configured.service.as_ref().unwrap();
        assert_eq!(service.value, "from-environment");
        assert_eq!(config.function_name.as_deref(), Some("from-environment"));
        assert!(config.disabled);

        let config = layer
            .namespace("from-code")
            .service("from-code")
            .function_name("from-code")
            .disabled(false)
            .config;
        assert_eq!(config.namespace, "from-code");
        assert_eq!(config.configured.service.unwrap().value, "from-code");
        assert_eq!(config.function_name.as_deref(), Some("from-code"));
        assert!(!config.disabled);
    }

    #[test]
    fn what_is_being_developed_has_no_metrics_unless_they_are_asked_for() {
        let is_disabled = |variables: &[(&str, &str)]| {
            let variables = variables.iter().copied();
            let variables = variables.chain([(env::METRICS_NAMESPACE, "Shop")]);
            let env: Env = variables.collect();
            MetricsLayer::from_env(&env).config.disabled
        };
        let (dev, disabled) = (env::DEV, env::METRICS_DISABLED);
        assert!(!is_disabled(&[]));
        assert!(is_disabled(&[(dev, "true")]));
        assert!(!is_disabled(&[(dev, "false")]));
        assert!(!is_disabled(&[(dev, "true"), (disabled, "false")]));
        assert!(is_disabled(&[(dev, "false"), (disabled, "true")]));
        // What is no switch is not set.
        assert!(is_disabled(&[(dev, "true"), (disabled, "")]));
        assert!(is_disabled(&[(dev, "true"), (disabled, "maybe")]));
    }

    #[test]
    fn a_layer_without_a_proper_namespace_or_service_does_not_pass_the_check() {
        let check = |variables: &[(&str, &str)]| {
            let env: Env = variables.iter().copied().collect();
            MetricsLayer::from_env(&env).check()
        };
        // What `main` prints.
        assert_eq!(
            format!("{:?}", check(&[]).unwrap_err()),
            "no namespace for the metrics: `POWERTOOLS_METRICS_NAMESPACE` is not set"
        );
        assert!(matches!(
            check(&[(env::METRICS_NAMESPACE, ":a")]),
            Err(MetricsError::Namespace {
                violation: Violation::LeadingColon,
                ..
            })
        ));
        assert!(matches!(
            check(&[(env::METRICS_NAMESPACE, "a"), (env::SERVICE_NAME, "zoë")]),
            Err(MetricsError::DimensionValue {
                violation: Violation::NotPrintableAscii,
                ..
            })
        ));
    }

    #[test]
    fn disabled_metrics_need_no_configuration() {
        let env = Env::from([(env::METRICS_DISABLED, "true"), (env::SERVICE_NAME, "zoë")]);
        assert!(MetricsLayer::from_env(&env).check().is_ok());
    }

    #[test]
    #[should_panic = r#"the name "Duration" is already taken by a metric of the layer"#]
    fn a_default_dimension_with_the_name_of_one_of_the_layers_metrics_panics() {
        let layer = layer().default_dimension("Duration", 1);
        let _ = layer.clone().layer(());
        let _ = layer.duration_metric(true).layer(());
    }

    #[test]
    fn what_the_code_replaces_in_the_environment_may_be_anything() {
        let env = Env::from([(env::METRICS_NAMESPACE, ":a"), (env::SERVICE_NAME, "zoë")]);
        let layer = MetricsLayer::from_env(&env)
            .namespace("Shop")
            .service("orders");
        assert!(layer.check().is_ok());
    }

    #[test]
    #[should_panic = r#"namespace "" is blank"#]
    fn a_bad_namespace_in_code_panics() {
        let _ = MetricsLayer::new("");
    }

    #[test]
    #[should_panic = r#"value of dimension "service" is blank"#]
    fn a_bad_service_in_code_panics() {
        let _ = layer().service("");
    }

    #[test]
    #[should_panic = r#"name of dimension ":a" is led by a colon"#]
    fn a_bad_default_dimension_panics() {
        let _ = layer().default_dimension(":a", 1);
    }

    #[test]
    #[should_panic = r#"dimension "d30" is one too many: there are 30 already"#]
    fn a_default_dimension_too_many_panics() {
        let layer = layer().service("orders");
        let _ = (1..=30).fold(layer, |layer, count| {
            layer.default_dimension(format!("d{count}"), count)
        });
    }
}
