//! What the layers cost an invocation whose handler does nothing, or opens three spans: bare, with each
//! layer of ours and with the whole stack, beside the layers of lambda_runtime,
//! `opentelemetry-lambda-tower` and `lambda-otel-lite`.
//!
//! Once one invocation after the other, and once 32 tasks at a time on two threads, where each
//! invocation yields once, so that they interleave. Only services that are `Clone` can take part in the
//! latter: `OpenTelemetryLayer` of lambda_runtime makes none.
//!
//! Ours writes X-Ray's documents and sends them, to a socket on loopback that nobody reads. The others'
//! exporters do nothing, so what they cost with an exporter that does something is not in here; for all
//! of them `tracing-opentelemetry` makes the spans. `opentelemetry-lambda-tower` gets the trace's parent
//! ready-made, `lambda-otel-lite` as an X-Ray header, `OpenTelemetryLayer` leaves it to its user and gets
//! none; "unsampled" is a sampler that takes nothing for it.
//!
//! Whatever needs a subscriber has its own, and only it: the bare rows have none, `TracingLayer` has that
//! of lambda_runtime.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::ready,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bench::Table;
use lambda_otel_lite::{
    LambdaXrayPropagator, ProcessorMode, SpanAttributes, SpanAttributesExtractor,
    TelemetryCompletionHandler,
};
use lambda_runtime::{
    Context, Error, LambdaEvent, LambdaInvocation,
    layers::{OpenTelemetryLayer, TracingLayer},
};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_lambda_tower::TraceContextExtractor;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{
        BatchSpanProcessor, Sampler, SdkTracerProvider, SimpleSpanProcessor, SpanData,
        SpanExporter, SpanProcessor,
    },
};
use powertools::{
    Env, Observability,
    deadline::DeadlineLayer,
    logging::{Logger, LoggingLayer},
    metrics::MetricsLayer,
    testing,
    trace::{TraceLayer, Tracer},
};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tower::{Layer, Service, ServiceExt as _, layer::util::Identity};
use tracing::{Dispatch, Level, dispatcher, info_span, subscriber::DefaultGuard};
use tracing_subscriber::{EnvFilter, prelude::*, registry};

const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const TRACE: &str = "5759e988bd862e3fe1be46a994272793";
const PARENT: &str = "53995c3f42cd8ad8";
const XRAY_HEADER: &str = "x-amzn-trace-id";

/// How many invocations are measured together, one after the other.
const IN_TURN: u32 = 100;

/// How many tasks there are at a time, and how many invocations each makes.
const TASKS: u32 = 32;
const OF_A_TASK: u32 = 32;

/// What one table is about.
#[derive(Clone, Copy)]
struct Case {
    sampled: bool,
    spans: u32,
}

impl Case {
    fn header(self) -> String {
        let (time, random) = TRACE.split_at(8);
        let sampled = u8::from(self.sampled);
        format!("Root=1-{time}-{random};Parent={PARENT};Sampled={sampled}")
    }

    fn context(self) -> Context {
        let mut context = testing::context(REQUEST_ID);
        context.xray_trace_id = Some(self.header());
        // No deadline is near before the last row.
        let deadline = SystemTime::now() + Duration::from_secs(3600);
        let since = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        context.deadline = since.as_millis() as u64;
        context
    }
}

/// What the handler is called with.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Payload {
    sampled: bool,
}

/// The two forms in which services get an invocation.
trait Request: Send + 'static {
    fn new(context: Context, payload: Payload) -> Self;
}

impl Request for LambdaEvent<Payload> {
    fn new(context: Context, payload: Payload) -> Self {
        Self::new(payload, context)
    }
}

impl Request for LambdaInvocation {
    fn new(context: Context, _: Payload) -> Self {
        let (parts, ()) = http::Response::new(()).into_parts();
        Self {
            parts,
            body: bytes::Bytes::new(),
            context,
        }
    }
}

/// Opens some spans, one after the other, and waits for nothing.
#[derive(Clone, Copy)]
struct Handler {
    spans: u32,
    yields: bool,
}

impl<R: Request> Service<R> for Handler {
    type Response = ();
    type Error = Error;
    type Future = Self;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: R) -> Self {
        *self
    }
}

impl Future for Handler {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for number in 0..self.spans {
            info_span!("work", number).in_scope(|| ());
        }
        Poll::Ready(Ok(()))
    }
}

/// One table, and how its rows are measured.
struct Rows {
    table: Table,
    case: Case,
}

impl Rows {
    /// Measures one invocation after the other.
    fn in_turn<R, L>(&mut self, name: &str, subscriber: &Dispatch, layer: L)
    where
        R: Request,
        L: Layer<Handler, Service: Service<R, Response = (), Error: fmt::Debug>>,
    {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a current-thread runtime needs nothing");
        let case = self.case;
        let context = case.context();
        let mut service = layer.layer(Handler {
            spans: case.spans,
            yields: false,
        });
        dispatcher::with_default(subscriber, || {
            self.table.batch(name, IN_TURN, || {
                runtime.block_on(invoke(&mut service, case, &context, IN_TURN));
            });
        });
    }

    /// Measures many tasks at a time.
    fn at_a_time<R, L>(&mut self, name: &str, subscriber: &Dispatch, layer: L)
    where
        R: Request,
        L: Layer<Handler, Service: Clone + Send + 'static>,
        L::Service: Service<R, Response = (), Error: fmt::Debug + Send, Future: Send>,
    {
        let runtime = two_threads(subscriber);
        let case = self.case;
        let context = case.context();
        let service = layer.layer(Handler {
            spans: case.spans,
            yields: true,
        });
        self.table.threads(name, TASKS * OF_A_TASK, || {
            let mut tasks = JoinSet::new();
            for _ in 0..TASKS {
                let (mut service, context) = (service.clone(), context.clone());
                let task = async move { invoke(&mut service, case, &context, OF_A_TASK).await };
                tasks.spawn_on(task, runtime.handle());
            }
            runtime.block_on(tasks.join_all());
        });
    }
}

async fn invoke<R, S>(service: &mut S, case: Case, context: &Context, times: u32)
where
    R: Request,
    S: Service<R, Response = (), Error: fmt::Debug>,
{
    for _ in 0..times {
        let payload = Payload {
            sampled: case.sampled,
        };
        let service = service
            .ready()
            .await
            .expect("the services are always ready");
        let request = R::new(context.clone(), payload);
        service.call(request).await.expect("the handler succeeds");
    }
}

/// Makes a runtime whose threads all have a subscriber, for as long as they run.
fn two_threads(subscriber: &Dispatch) -> Runtime {
    thread_local! {
        static DEFAULT: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
    }

    let subscriber = subscriber.clone();
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .on_thread_start(move || DEFAULT.set(Some(dispatcher::set_default(&subscriber))))
        .on_thread_stop(|| drop(DEFAULT.take()))
        .build()
        .expect("two threads can be started")
}

/// What the environment of the function says.
fn env(daemon: &UdpSocket) -> io::Result<Env> {
    Ok(Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function".to_owned()),
        ("AWS_XRAY_DAEMON_ADDRESS", daemon.local_addr()?.to_string()),
        ("POWERTOOLS_SERVICE_NAME", "orders".to_owned()),
        ("POWERTOOLS_METRICS_NAMESPACE", "Shop".to_owned()),
    ]))
}

fn observability(env: &Env) -> Observability {
    Observability::from_env(env).with_logger(Logger::from_env(env).with_writer(io::sink()))
}

/// The subscriber that lambda_runtime installs.
fn runtimes_subscriber() -> Dispatch {
    let subscriber = tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .json()
        .with_max_level(Level::INFO)
        .with_writer(io::sink);
    Dispatch::new(subscriber.finish())
}

/// An exporter that does nothing.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    fn export(&self, _: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        ready(Ok(()))
    }
}

/// The others' provider, with a parent's decision or, where there is no parent, the case's.
fn provider(case: Case, processor: impl SpanProcessor + 'static) -> SdkTracerProvider {
    let root = if case.sampled {
        Sampler::AlwaysOn
    } else {
        Sampler::AlwaysOff
    };
    SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(root)))
        .build()
}

fn batches() -> BatchSpanProcessor {
    BatchSpanProcessor::builder(Nowhere).build()
}

fn subscriber_of(provider: &SdkTracerProvider) -> Dispatch {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    Dispatch::new(registry().with(layer))
}

/// Gives `opentelemetry-lambda-tower` the parent of an event.
#[derive(Clone)]
struct Parent;

impl TraceContextExtractor<Payload> for Parent {
    fn extract_context(&self, payload: &Payload) -> opentelemetry::Context {
        let flags = if payload.sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::NOT_SAMPLED
        };
        opentelemetry::Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from_hex(TRACE).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(PARENT).unwrap_or(SpanId::INVALID),
            flags,
            true,
            TraceState::NONE,
        ))
    }

    fn trigger_type(&self) -> &'static str {
        "other"
    }

    fn span_name(&self, _: &Payload, context: &Context) -> String {
        context.env_config.function_name.clone()
    }

    fn record_attributes(&self, _: &Payload, _: &tracing::Span) {}
}

/// Gives `lambda-otel-lite` the header of an event.
impl SpanAttributesExtractor for Payload {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let case = Case {
            sampled: self.sampled,
            spans: 0,
        };
        let carrier = HashMap::from([(XRAY_HEADER.to_owned(), case.header())]);
        SpanAttributes::builder()
            .carrier(carrier)
            .trigger("other".to_owned())
            .build()
    }
}

/// `lambda-otel-lite` as its `init_telemetry` puts it together, which only does so for a whole process.
fn lite(case: Case) -> (Dispatch, lambda_otel_lite::OtelTracingLayer<Payload>) {
    let processor = lambda_otel_lite::LambdaSpanProcessor::builder()
        .exporter(Nowhere)
        .build();
    let provider = Arc::new(provider(case, processor));
    let completion = TelemetryCompletionHandler::new(provider, None, ProcessorMode::Sync);
    let layer = tracing_opentelemetry::layer().with_tracer(completion.get_tracer().clone());
    let filter = EnvFilter::new("info");
    let subscriber = Dispatch::new(registry().with(layer).with(filter));
    (
        subscriber,
        lambda_otel_lite::OtelTracingLayer::new(completion),
    )
}

/// `opentelemetry-lambda-tower`, whose provider is its user's.
fn lambda_tower(
    case: Case,
) -> (
    Dispatch,
    opentelemetry_lambda_tower::OtelTracingLayer<Parent>,
) {
    let provider = Arc::new(provider(case, batches()));
    let subscriber = subscriber_of(&provider);
    let layer = opentelemetry_lambda_tower::OtelTracingLayer::builder(Parent)
        .tracer_provider(provider)
        .build();
    (subscriber, layer)
}

/// Measures all that takes part in both kinds of table.
macro_rules! rows {
    ($rows:ident.$measure:ident, $env:ident) => {{
        type Event = LambdaEvent<Payload>;

        let (case, rows, nobody) = ($rows.case, &mut $rows, Dispatch::none());
        rows.$measure::<Event, _>("the bare handler", &nobody, Identity::new());
        {
            let logger = Logger::from_env(&$env).with_writer(io::sink());
            let subscriber = Dispatch::new(registry().with(logger.subscriber_layer()));
            let layer = LoggingLayer::from_env(&$env);
            rows.$measure::<Event, _>("ours, LoggingLayer", &subscriber, layer);
        }
        {
            let tracer = Tracer::from_env(&$env);
            let subscriber = Dispatch::new(registry().with(tracer.subscriber_layer()));
            let layer = TraceLayer::from_env(&$env);
            rows.$measure::<Event, _>("ours, TraceLayer", &subscriber, layer);
        }
        let layer = MetricsLayer::from_env(&$env).with_writer(io::sink());
        rows.$measure::<Event, _>("ours, MetricsLayer", &nobody, layer);
        let layer = DeadlineLayer::from_env(&$env);
        rows.$measure::<Event, _>("ours, DeadlineLayer", &nobody, layer);
        {
            let whole = observability(&$env);
            let subscriber = Dispatch::new(registry().with(whole.subscriber_layer()));
            rows.$measure::<Event, _>("ours, Observability", &subscriber, whole.into_layer());
        }
        {
            let (subscriber, layer) = lite(case);
            rows.$measure::<Event, _>("lambda-otel-lite", &subscriber, layer);
        }
        {
            let (subscriber, layer) = lambda_tower(case);
            let name = "opentelemetry-lambda-tower, batches";
            rows.$measure::<Event, _>(name, &subscriber, layer);
        }
        let name = "the bare handler, as the runtime's layers see it";
        rows.$measure::<LambdaInvocation, _>(name, &nobody, Identity::new());
        {
            let name = "lambda_runtime's TracingLayer";
            rows.$measure::<LambdaInvocation, _>(name, &runtimes_subscriber(), TracingLayer::new());
        }
    }};
}

fn main() -> io::Result<()> {
    opentelemetry::global::set_text_map_propagator(LambdaXrayPropagator::new());
    // Nobody reads it, as nobody waits for an answer of the daemon.
    let daemon = UdpSocket::bind("127.0.0.1:0")?;
    let env = env(&daemon)?;

    for (sampled, spans) in [(false, 0), (false, 3), (true, 0), (true, 3)] {
        let case = Case { sampled, spans };
        let what = format!(
            "one {} invocation with {spans} spans in it",
            if sampled { "sampled" } else { "unsampled" }
        );
        let mut rows = Rows {
            table: Table::new(&what),
            case,
        };
        rows!(rows.in_turn, env);
        {
            let provider = provider(case, SimpleSpanProcessor::new(Nowhere));
            let subscriber = subscriber_of(&provider);
            let layer = OpenTelemetryLayer::new(|| drop(provider.force_flush()));
            let name = "lambda_runtime's OpenTelemetryLayer, simple";
            rows.in_turn::<LambdaInvocation, _>(name, &subscriber, layer);
        }
        {
            let provider = provider(case, batches());
            let subscriber = subscriber_of(&provider);
            let layer = OpenTelemetryLayer::new(|| drop(provider.force_flush()));
            let name = "lambda_runtime's OpenTelemetryLayer, batches";
            rows.in_turn::<LambdaInvocation, _>(name, &subscriber, layer);
        }

        let mut rows = Rows {
            table: Table::new(&format!("{what}, {TASKS} tasks at a time")),
            case,
        };
        rows!(rows.at_a_time, env);
    }
    Ok(())
}
