use std::{
    hash::{BuildHasher, RandomState},
    time::SystemTime,
};

use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_sdk::trace::{IdGenerator, Sampler, SdkTracerProvider};
use tracing::{
    Event, Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

#[cfg(feature = "trace-otlp")]
use super::exporter::otlp::{Endpoint, Resource};
use super::{
    document::Function,
    exporter::{Exporter, Target},
    handler, unsigned,
};
#[cfg(feature = "testing")]
use crate::testing::CapturedTraces;
use crate::{Env, env, names::is_of_runtime};

/// How many attributes a span keeps: far more than fit into a document.
const ATTRIBUTES: u32 = 4096;

/// The variable that switches OpenTelemetry off; its only value with a meaning is `true`.
/// Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
#[cfg(feature = "trace-otlp")]
const OTEL_SDK_DISABLED: &str = "OTEL_SDK_DISABLED";

/// The name of a function in tests that give it none.
const UNKNOWN: &str = "function";

/// Makes the layer for `tracing_subscriber` that sends spans to X-Ray.
///
/// See the [module docs](super).
///
/// # Examples
///
/// ```
/// use powertools::trace::Tracer;
/// use tracing_subscriber::prelude::*;
///
/// let tracer = Tracer::new().service("orders");
/// let subscriber = tracing_subscriber::registry().with(tracer.subscriber_layer());
/// # drop(subscriber);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Tracer {
    is_enabled: bool,
    /// Whether OpenTelemetry's own switch is off, which is for what leaves in its form.
    #[cfg(feature = "trace-otlp")]
    is_otel_disabled: bool,
    /// The address of the X-Ray daemon.
    daemon: Option<String>,
    form: Form,
    /// What is wrong with the configuration.
    notice: Option<String>,
    /// The function's name.
    function: String,
    service: Option<String>,
    level: Level,
    #[cfg(feature = "trace-otlp")]
    resource: Resource,
}

/// How spans are sent.
#[derive(Clone, Debug)]
enum Form {
    /// X-Ray's documents, to the daemon.
    Documents,
    /// OTLP, to the daemon.
    #[cfg(feature = "trace-otlp")]
    OtlpUdp,
    /// OTLP over HTTP.
    #[cfg(feature = "trace-otlp")]
    OtlpHttp(Endpoint),
    /// X-Ray's documents, to a test.
    #[cfg(feature = "testing")]
    Captured(CapturedTraces),
}

impl Tracer {
    /// Makes a tracer that is configured by the environment of the process.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a tracer that is configured by `env`.
    ///
    /// It sends documents to [`AWS_XRAY_DAEMON_ADDRESS`](env::XRAY_DAEMON_ADDRESS), in the form
    /// `host:port` or `tcp:host:port udp:host:port`; an address that cannot be used is reported by
    /// one warning when the first span is due. The name of a host is resolved then, once, while the
    /// span's thread waits; Lambda gives a number. It does nothing, at no cost, when that variable or
    /// [`AWS_LAMBDA_FUNCTION_NAME`](env::FUNCTION_NAME) is unset, and when
    /// [`POWERTOOLS_TRACE_DISABLED`](env::TRACE_DISABLED) is on.
    ///
    /// With [`OTEL_EXPORTER_OTLP_ENDPOINT`](env::OTLP_ENDPOINT) or
    /// [`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`](env::OTLP_TRACES_ENDPOINT) set, spans go to that
    /// collector instead: see [OTLP](super#otlp). One that cannot be used is reported by one warning,
    /// and spans go to the daemon, where there is one.
    pub fn from_env(env: &Env) -> Self {
        let (form, notice) = match Form::from_env(env) {
            Ok(form) => (form, None),
            Err(notice) => (Form::Documents, Some(notice)),
        };
        Self {
            is_enabled: env.get(env::FUNCTION_NAME).is_some()
                && env.flag(env::TRACE_DISABLED) != Some(true),
            #[cfg(feature = "trace-otlp")]
            is_otel_disabled: env
                .get(OTEL_SDK_DISABLED)
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
            daemon: env.get(env::XRAY_DAEMON_ADDRESS).map(str::to_owned),
            form,
            notice,
            function: env.get(env::FUNCTION_NAME).unwrap_or(UNKNOWN).to_owned(),
            service: env.get(env::SERVICE_NAME).map(str::to_owned),
            level: Level::INFO,
            #[cfg(feature = "trace-otlp")]
            resource: Resource::from_env(env),
        }
    }

    /// Sends OTLP to the X-Ray daemon instead of documents, as AWS's own OpenTelemetry layers do.
    ///
    /// See [OTLP](super#otlp).
    #[cfg(feature = "trace-otlp")]
    pub fn otlp_udp(mut self) -> Self {
        self.form = Form::OtlpUdp;
        self.notice = None;
        self
    }

    /// Sends documents to a test, whatever the environment says.
    ///
    /// [`capture_traces`](crate::testing::capture_traces) does so where the tracer is all that
    /// listens; this is for subscribers with more layers.
    #[cfg(feature = "testing")]
    pub fn with_receiver(mut self, traces: CapturedTraces) -> Self {
        self.is_enabled = true;
        self.form = Form::Captured(traces);
        self
    }

    /// Sets the service's name: the annotation `Service`, and the namespace of metadata.
    ///
    /// Defaults to [`POWERTOOLS_SERVICE_NAME`](env::SERVICE_NAME). Without any there is no
    /// annotation, and the namespace is `service_undefined`.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Sets the least important level of spans that are sent.
    ///
    /// Defaults to `INFO`. The handler's own span is sent at every level.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Makes the layer; it filters for itself and leaves the layers beside it alone.
    ///
    /// Nothing is opened or sent before the first span of a sampled trace has ended.
    pub fn subscriber_layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let level = self.level;
        self.target().map(|target| {
            let function = Function {
                name: self.function.clone(),
                service: self.service.clone(),
            };
            let instead = if matches!(target, Target::Nowhere) {
                "no traces are sent"
            } else {
                "traces go to the X-Ray daemon"
            };
            let notice = self.notice.as_ref();
            let notice = notice.map(|problem| format!("{instead}: {problem}"));
            let exporter = Exporter::new(function, target, notice);
            let provider = SdkTracerProvider::builder()
                .with_span_processor(exporter.clone())
                // Whether a trace is kept has been decided before the function is called.
                .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
                .with_id_generator(SpanIds)
                .with_max_attributes_per_span(ATTRIBUTES)
                .with_resource(opentelemetry_sdk::Resource::builder_empty().build())
                .build();
            let layer = tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("powertools"))
                .with_error_records_to_exceptions(false)
                .with_location(false)
                .with_target(false)
                .with_threads(false)
                .with_tracked_inactivity(false);
            unsigned::Note
                .and_then(layer)
                .and_then(unsigned::Forget)
                .and_then(exporter)
                .with_filter(Traced(level))
        })
    }
}

impl Tracer {
    fn target(&self) -> Option<Target> {
        if !self.is_enabled {
            return None;
        }
        match &self.form {
            Form::Documents => match &self.daemon {
                Some(daemon) => Some(Target::Documents(daemon.clone())),
                None => self.notice.is_some().then_some(Target::Nowhere),
            },
            #[cfg(feature = "trace-otlp")]
            Form::OtlpUdp | Form::OtlpHttp(_) if self.is_otel_disabled => None,
            #[cfg(feature = "trace-otlp")]
            Form::OtlpUdp => {
                let resource = self.resource.attributes(self.service.as_deref());
                Some(Target::OtlpUdp(self.daemon.clone()?, resource))
            }
            #[cfg(feature = "trace-otlp")]
            Form::OtlpHttp(endpoint) => {
                let resource = self.resource.attributes(self.service.as_deref());
                Some(Target::OtlpHttp(endpoint.clone(), resource))
            }
            #[cfg(feature = "testing")]
            Form::Captured(traces) => Some(Target::Captured(traces.clone())),
        }
    }
}

impl Form {
    #[cfg(feature = "trace-otlp")]
    fn from_env(env: &Env) -> Result<Self, String> {
        match Endpoint::from_env(env) {
            None => Ok(Self::Documents),
            Some(Ok(endpoint)) => Ok(Self::OtlpHttp(endpoint)),
            Some(Err(problem)) => Err(problem),
        }
    }

    #[cfg(not(feature = "trace-otlp"))]
    fn from_env(env: &Env) -> Result<Self, String> {
        let variables = [env::OTLP_TRACES_ENDPOINT, env::OTLP_ENDPOINT];
        match variables.into_iter().find(|it| env.get(it).is_some()) {
            None => Ok(Self::Documents),
            Some(variable) => Err(format!(
                "for `{variable}` the crate powertools needs its feature `trace-otlp`"
            )),
        }
    }
}

/// Lets spans pass up to a level, and of events those that mark their span as failed.
///
/// The runtime's own span is around the handler's, and has no parent: it is in no trace.
#[derive(Debug)]
struct Traced(Level);

impl Traced {
    fn is_traced(&self, metadata: &Metadata<'_>) -> bool {
        let level = if metadata.is_span() {
            self.0
        } else {
            Level::ERROR
        };
        *metadata.level() <= level && !is_of_runtime(metadata)
    }
}

impl<S> Filter<S> for Traced
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_traced(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if !self.is_traced(metadata) {
            Interest::never()
        } else if metadata.is_span() {
            Interest::always()
        } else {
            // It depends on the span that the event is in.
            Interest::sometimes()
        }
    }

    /// Whether the handler failed, its result says.
    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        context
            .event_span(event)
            .is_none_or(|span| !handler::is_handler(span.metadata()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.into())
    }
}

/// Makes no trace of its own: a span without a parent gets an id that is invalid, so that nobody
/// takes it for a trace that exists.
#[derive(Debug)]
struct SpanIds;

impl IdGenerator for SpanIds {
    fn new_trace_id(&self) -> TraceId {
        TraceId::INVALID
    }

    fn new_span_id(&self) -> SpanId {
        span_id(&RandomState::new(), SystemTime::now())
    }
}

/// Makes an id of random keys and the time. Either alone may repeat: environments that are restored
/// from one snapshot go on with the same keys, but not at the same nanosecond.
fn span_id(keys: &RandomState, now: SystemTime) -> SpanId {
    SpanId::from(keys.hash_one(now))
}

impl Default for Tracer {
    /// As [`Tracer::new`].
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn neither_one_moment_nor_one_snapshot_makes_equal_ids() {
        let now = SystemTime::now();
        let keys = RandomState::new();
        assert_ne!(span_id(&keys, now), span_id(&RandomState::new(), now));
        let restored = keys.clone();
        let later = now + Duration::from_nanos(1);
        assert_ne!(span_id(&keys, now), span_id(&restored, later));
    }
}
