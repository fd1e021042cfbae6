//! Logging, traces, metrics and the deadline guard, put together from the environment.
#![cfg(all(feature = "observability", feature = "testing"))]

use std::{
    convert::Infallible,
    fmt,
    future::{pending, ready},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Env, Invocation, Observability, ObservabilityLayer,
    deadline::{CutOff, DeadlineError, DeadlineLayer},
    env,
    logging::{Logger, LoggingLayer},
    metrics::{Metric, MetricsLayer, Unit},
    observability::ObservabilityService,
    testing::{Captured, CapturedTraces, sampled_context},
    trace::{TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{
    Dispatch, Level, debug, debug_span, error, info, info_span, subscriber::DefaultGuard,
};
use tracing_subscriber::prelude::*;

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

fn env() -> Env {
    Env::from([
        (env::SERVICE_NAME, "orders"),
        (env::METRICS_NAMESPACE, "Shop"),
    ])
}

/// What comes out of a stack.
#[derive(Default)]
struct Outputs {
    lines: Captured,
    traces: CapturedTraces,
    objects: Captured,
}

impl Outputs {
    /// Makes a stack that the environment of the tests cannot change, and which writes here.
    fn stack(&self) -> Observability {
        self.stack_at(None, Level::INFO)
    }

    /// Makes one whose logger and tracer take what is of these levels.
    fn stack_at(&self, logger: Option<Level>, tracer: Level) -> Observability {
        let env = env();
        let lines = Logger::from_env(&env).with_writer(self.lines.clone());
        let lines = match logger {
            Some(level) => lines.level(level),
            None => lines,
        };
        let tracer = Tracer::from_env(&env)
            .with_receiver(self.traces.clone())
            .level(tracer);
        let metrics = MetricsLayer::from_env(&env).with_writer(self.objects.clone());
        Observability::from_env(&env)
            .with_logger(lines)
            .with_tracer(tracer)
            .with_metrics(metrics)
    }

    fn messages(&self) -> Vec<Value> {
        let lines = self.lines.json();
        lines.iter().map(|line| line["message"].clone()).collect()
    }

    fn spans(&self) -> Vec<String> {
        let spans = self.traces.spans();
        spans.iter().map(|span| span.name().to_owned()).collect()
    }
}

fn listen<L, T, M, D>(stack: &Observability<L, T, M, D>) -> DefaultGuard {
    // Somebody always listens: `tracing` remembers for the whole process where nobody does, and the
    // other tests begin and end meanwhile.
    static LISTENS: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&LISTENS);
    tracing_subscriber::registry()
        .with(stack.subscriber_layer())
        .set_default()
}

fn event<T>(payload: T) -> LambdaEvent<T> {
    LambdaEvent::new(payload, sampled_context("52fdfc07"))
}

// The default stack.

#[tokio::test]
async fn one_environment_names_the_service_of_lines_spans_and_metrics() {
    let outputs = Outputs::default();
    let stack = outputs.stack();
    let _guard = listen(&stack);
    let service = stack.layer_of(service_fn(|_: LambdaEvent<()>| async {
        info!("order placed");
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    service.oneshot(event(())).await.unwrap();

    let lines = outputs.lines.json();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let handler = outputs.traces.named("## my-function");
    for (key, value) in [
        ("level", json!("INFO")),
        ("message", json!("order placed")),
        ("service", json!("orders")),
        ("function_name", json!("my-function")),
        ("function_memory_size", json!(128)),
        ("function_request_id", json!("52fdfc07")),
        ("xray_trace_id", json!(handler.trace_id())),
    ] {
        assert_eq!(lines[0][key], value, "{key}");
    }
    assert!(lines[0]["cold_start"].is_boolean());
    // What the tracer needs to know of its span is nothing for the log.
    for key in ["otel.name", "ColdStart", "annotation.ColdStart"] {
        assert_eq!(lines[0].get(key), None, "{key}");
    }
    assert_eq!(handler.annotation("Service"), Some(&json!("orders")));
    assert_eq!(
        handler.annotation("ColdStart"),
        Some(&lines[0]["cold_start"])
    );
    let objects = outputs.objects.json();
    assert_eq!(objects.len(), 1, "{objects:#?}");
    assert_eq!(objects[0]["service"], "orders");
    assert_eq!(
        objects[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"],
        "Shop"
    );
    assert_eq!(objects[0]["OrdersCreated"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_comes_out_before_a_deadline_that_is_missed() {
    let outputs = Outputs::default();
    let stack = outputs.stack();
    let _guard = listen(&stack);
    let service = stack.layer_of(service_fn(|_: LambdaEvent<()>| async {
        ORDERS_CREATED.record(1);
        pending::<Result<(), Infallible>>().await
    }));
    let call = tokio::time::timeout(Duration::from_secs(40), service.oneshot(event(())));
    let is_out = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        (
            outputs.messages(),
            outputs.traces.named("## my-function").is_in_progress(),
            outputs.objects.json(),
        )
    };
    let (call, (messages, is_in_progress, objects)) = tokio::join!(call, is_out);
    assert!(call.is_err());
    assert_eq!(messages, ["timeout imminent: the handler has not answered"]);
    assert!(is_in_progress);
    assert_eq!(objects[0]["OrdersCreated"], 1);
    assert_eq!(objects[0]["TimeoutImminent"], 1);
}

#[test]
fn a_panic_loses_nothing_of_what_was_recorded() {
    async fn panics() -> Result<(), Infallible> {
        panic!("out of tea")
    }

    let outputs = Outputs::default();
    let stack = outputs.stack();
    let _guard = listen(&stack);
    let mut service = stack.layer_of(service_fn(|event: LambdaEvent<bool>| {
        ORDERS_CREATED.record(1);
        // Before there is a future, and in it.
        assert!(!event.payload, "out of tea");
        panics()
    }));
    for at_once in [true, false] {
        let call = AssertUnwindSafe(|| {
            let mut future = Box::pin(service.call(event(at_once)));
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        });
        assert!(catch_unwind(call).is_err());
        assert!(outputs.traces.named("## my-function").is_fault());
        outputs.traces.clear();
    }
    let objects = outputs.objects.json();
    assert_eq!(objects.len(), 2, "{objects:#?}");
}

// The subscriber.

#[tokio::test]
async fn the_level_of_the_logger_and_that_of_the_tracer_are_two_things() {
    async fn handler(_: LambdaEvent<()>) -> Result<(), Infallible> {
        info_span!("charge", order = 1).in_scope(|| {
            debug_span!("connect", host = "bank").in_scope(|| {
                debug!("connected");
                info!("charged");
                error!("refused");
            });
        });
        Ok(())
    }

    let (all, some) = (["connected", "charged", "refused"], ["charged", "refused"]);
    let (deep, flat) = (
        ["## my-function", "charge", "connect"],
        ["## my-function", "charge"],
    );
    for (logger, tracer, messages, spans) in [
        (Level::DEBUG, Level::INFO, &all[..], &flat[..]),
        (Level::INFO, Level::INFO, &some[..], &flat[..]),
        (Level::INFO, Level::DEBUG, &some[..], &deep[..]),
        (Level::DEBUG, Level::DEBUG, &all[..], &deep[..]),
        (Level::ERROR, Level::DEBUG, &["refused"][..], &deep[..]),
        (
            Level::DEBUG,
            Level::ERROR,
            &all[..],
            &["## my-function"][..],
        ),
    ] {
        let outputs = Outputs::default();
        let stack = outputs.stack_at(Some(logger), tracer);
        let _guard = listen(&stack);
        let service = stack.layer_of(service_fn(handler));
        service.oneshot(event(())).await.unwrap();
        // Each line once, and none that was not asked for.
        assert_eq!(outputs.messages(), messages, "{logger} {tracer}");
        let mut found = outputs.spans();
        found.sort();
        assert_eq!(found, spans, "{logger} {tracer}");
    }
}

#[tokio::test]
async fn a_tracer_that_is_disabled_leaves_the_logger_alone() {
    let disabled = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, "127.0.0.1:2000"),
        (env::TRACE_DISABLED, "true"),
    ]);
    for env in [Env::default(), disabled] {
        let outputs = Outputs::default();
        let stack = outputs.stack().with_tracer(Tracer::from_env(&env));
        let _guard = listen(&stack);
        let service = stack.layer_of(service_fn(|_: LambdaEvent<()>| async {
            info_span!("charge", order = 1).in_scope(|| info!("charged"));
            Ok::<_, Infallible>(())
        }));
        service.oneshot(event(())).await.unwrap();
        let lines = outputs.lines.json();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert_eq!(lines[0]["order"], 1);
    }
}

// The layers.

type Calls = Arc<Mutex<Vec<&'static str>>>;

/// A layer that notes when it is called, and whether there is an invocation already.
#[derive(Clone)]
struct Noted(&'static str, Calls);

impl<S> Layer<S> for Noted {
    type Service = NotedService<S>;

    fn layer(&self, inner: S) -> NotedService<S> {
        NotedService(self.clone(), inner)
    }
}

#[derive(Clone)]
struct NotedService<S>(Noted, S);

impl<S: Service<R>, R> Service<R> for NotedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        let Noted(name, calls) = &self.0;
        calls.lock().unwrap().push(name);
        self.1.call(request)
    }
}

#[tokio::test]
async fn each_part_can_be_replaced_and_has_its_place() {
    let calls = Calls::default();
    let noted = |name| Noted(name, Arc::clone(&calls));
    let stack = Observability::from_env(&env())
        .with_deadline(noted("deadline"))
        .with_metrics(noted("metrics"))
        .with_trace(noted("trace"))
        .with_logging(noted("logging"));
    let service = stack.layer_of(service_fn(|()| ready(Ok::<_, Infallible>(()))));
    service.oneshot(()).await.unwrap();
    assert_eq!(
        *calls.lock().unwrap(),
        ["logging", "trace", "metrics", "deadline"]
    );
}

#[tokio::test]
async fn what_is_not_replaced_stays() {
    let outputs = Outputs::default();
    let env = env();
    let stack = outputs
        .stack()
        .with_logging(
            LoggingLayer::from_env(&env)
                .correlation_id(|event: &LambdaEvent<&str>| Some(event.payload.to_owned())),
        )
        .with_trace(TraceLayer::from_env(&env).name("place_order"))
        .with_deadline(DeadlineLayer::from_env(&env).margin(Duration::from_secs(1)));
    let _guard = listen(&stack);
    let service = stack.layer_of(service_fn(|_: LambdaEvent<&'static str>| async {
        info!("order placed");
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    service.oneshot(event("a1")).await.unwrap();
    assert_eq!(outputs.lines.json()[0]["correlation_id"], "a1");
    assert_eq!(outputs.spans(), ["## place_order"]);
    assert_eq!(outputs.objects.json()[0]["OrdersCreated"], 1);
}

#[tokio::test]
async fn all_layers_are_of_one_invocation() {
    let outputs = Outputs::default();
    let stack = outputs.stack();
    let service = stack.layer_of(service_fn(|event: LambdaEvent<()>| async move {
        let invocation = Invocation::current().unwrap();
        assert_eq!(invocation.context().request_id, event.context.request_id);
        Ok::<_, Infallible>(())
    }));
    assert!(Invocation::current().is_none());
    service.oneshot(event(())).await.unwrap();
    assert!(Invocation::current().is_none());
}

// What passes through.

#[derive(Debug)]
enum OrderError {
    OutOfStock,
}

impl From<OrderError> for Diagnostic {
    fn from(OrderError::OutOfStock: OrderError) -> Self {
        Self {
            error_type: "OutOfStock".to_owned(),
            error_message: "no tea, \"again\"\n".to_owned(),
        }
    }
}

/// Checks that Lambda is told the same of an error, and logs the same, as without the stack.
async fn passes_through<E>(error: fn() -> E)
where
    E: Into<Diagnostic> + fmt::Debug + 'static,
{
    let text = format!("{:?}", error());
    let bare: Diagnostic = error().into();
    let env = env();

    let outputs = Outputs::default();
    let stack = outputs.stack();
    let _guard = listen(&stack);
    let handler = service_fn(move |_: LambdaEvent<()>| ready(Err::<(), E>(error())));
    let seen: E = stack
        .layer_of(handler)
        .oneshot(event(()))
        .await
        .unwrap_err();
    assert_eq!(format!("{seen:?}"), text);
    assert_eq!(seen.into(), bare);
    assert!(outputs.traces.named("## my-function").is_fault());

    let stack = outputs
        .stack()
        .with_deadline(DeadlineLayer::from_env(&env).cut_off());
    let seen: DeadlineError<E> = stack
        .layer_of(handler)
        .oneshot(event(()))
        .await
        .unwrap_err();
    assert_eq!(format!("{seen:?}"), text);
    assert_eq!(Diagnostic::from(seen), bare);
}

#[tokio::test]
async fn an_error_leaves_as_the_handler_returned_it() {
    passes_through::<Error>(|| "payment refused".into()).await;
    passes_through::<Error>(|| io::Error::from(io::ErrorKind::TimedOut).into()).await;
    passes_through(|| io::Error::other("connection reset")).await;
    passes_through(|| "payment refused".to_owned()).await;
    passes_through(|| "payment refused").await;
    passes_through(|| OrderError::OutOfStock).await;
    passes_through(|| Diagnostic {
        error_type: "Refused".to_owned(),
        error_message: String::new(),
    })
    .await;
    passes_through(|| DeadlineError::Handler(OrderError::OutOfStock)).await;
}

#[cfg(feature = "decode")]
#[tokio::test]
async fn an_error_of_a_layer_inside_leaves_as_that_layer_returned_it() {
    use powertools::decode::{DecodeError, DecodeLayer};
    use serde_json::value::RawValue;

    passes_through(|| DecodeError::Handler(OrderError::OutOfStock)).await;

    let decode = DecodeLayer::<u32>::new();
    let handler = service_fn(|_: LambdaEvent<u32>| ready(Err::<(), _>(OrderError::OutOfStock)));
    let raw = |json: &str| event(RawValue::from_string(json.to_owned()).unwrap());
    for json in ["1", "\"one\"", "{}"] {
        let bare = decode.layer(handler).oneshot(raw(json)).await.unwrap_err();
        let stack = Outputs::default().stack();
        let service = stack.layer_of(decode.layer(handler));
        let seen = service.oneshot(raw(json)).await.unwrap_err();
        assert_eq!(format!("{seen:?}"), format!("{bare:?}"));
        assert_eq!(Diagnostic::from(seen), Diagnostic::from(bare), "{json}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_off_is_answered_for_by_the_guards_own_error() {
    let outputs = Outputs::default();
    let stack = outputs
        .stack()
        .with_deadline(DeadlineLayer::from_env(&env()).cut_off());
    let _guard = listen(&stack);
    let handler = service_fn(|_: LambdaEvent<()>| pending::<Result<(), Error>>());
    let error = stack.layer_of(handler).oneshot(event(())).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DeadlineError::Exceeded { .. }), "{error:?}");
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "powertools::deadline::DeadlineError");
    // The layers around it have seen an error, not a handler that vanished.
    let span = outputs.traces.named("## my-function");
    assert!(span.is_fault());
    assert_eq!(span.exceptions(), [diagnostic.error_message]);
}

// Types.

#[test]
fn the_stack_can_be_shared_and_cloned() {
    fn is_shared<T: Clone + fmt::Debug + Send + Sync + 'static>(_: &T) {}
    fn is_service<T: Clone + Send + Sync + 'static>(_: &T) {}

    let stack = Observability::from_env(&env());
    is_shared(&stack);
    let layer: ObservabilityLayer = stack.clone().into_layer();
    is_shared(&layer);
    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
    let service: ObservabilityService<_> = layer.layer(handler);
    is_service(&service);
    let deadline = DeadlineLayer::from_env(&env()).cut_off();
    let stack: Observability<LoggingLayer, TraceLayer, MetricsLayer, DeadlineLayer<CutOff>> =
        stack.with_deadline(deadline);
    is_shared(&stack);
    is_service(&stack.into_layer().layer(handler));
}

#[test]
fn the_future_is_send_where_the_handlers_is() {
    fn is_send<T: Send + 'static>(_: &T) {}

    let service = Observability::from_env(&env()).layer_of(service_fn(|_: LambdaEvent<()>| {
        ready(Ok::<_, Infallible>(()))
    }));
    is_send(&service.oneshot(event(())));
}

#[cfg(feature = "http")]
#[tokio::test]
async fn a_handler_of_http_is_classified_by_its_status() {
    use powertools::classify::ByStatus;

    let outputs = Outputs::default();
    let env = env();
    let metrics = MetricsLayer::from_env(&env)
        .with_writer(outputs.objects.clone())
        .error_metrics(true)
        .classify_with(ByStatus);
    let stack = outputs
        .stack()
        .with_trace(TraceLayer::from_env(&env).http())
        .with_metrics(metrics);
    let _guard = listen(&stack);
    let service = stack.layer_of(service_fn(|_: http::Request<()>| {
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        ready(Ok::<_, Infallible>(response))
    }));
    let mut request = http::Request::new(());
    request.extensions_mut().insert(sampled_context("52fdfc07"));
    service.oneshot(request).await.unwrap();
    assert!(outputs.traces.named("## my-function").is_throttle());
    let object = &outputs.objects.json()[0];
    assert_eq!(
        (&object["Throttles"], &object["Faults"]),
        (&json!(1), &json!(0))
    );
}

/// Puts the stack around a handler, as `ServiceBuilder` does in a function.
trait LayerOf {
    type Layer;

    fn layer_of<S>(self, handler: S) -> <Self::Layer as Layer<S>>::Service
    where
        Self::Layer: Layer<S>;
}

impl<L, T, M, D> LayerOf for Observability<L, T, M, D> {
    type Layer = ObservabilityLayer<L, T, M, D>;

    fn layer_of<S>(self, handler: S) -> <Self::Layer as Layer<S>>::Service
    where
        Self::Layer: Layer<S>,
    {
        ServiceBuilder::new()
            .layer(self.into_layer())
            .service(handler)
    }
}
