//! What the metrics layer itself records of each invocation.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, LazyLock, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation,
    classify::{ByResult, Classify, Outcome},
    env::{METRICS_DISABLED, METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{self, BatchSize, Metric, MetricsLayer, MetricsService, ResponseFuture, Unit},
    testing::{Captured, context},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Dispatch, Event, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::prelude::*;

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

const OUTCOMES: [&str; 4] = ["Errors", "Throttles", "Faults", "Panics"];

type Request = LambdaEvent<Vec<u32>>;

/// A layer that the environment of the tests cannot change, and what it writes.
fn layer() -> (MetricsLayer, Captured) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&env);
    (layer.with_writer(output.clone()), output)
}

/// A layer that records all there is.
fn layer_of_all() -> (
    MetricsLayer<ByResult, impl BatchSize<Request> + Clone>,
    Captured,
) {
    let (layer, output) = layer();
    let layer = layer
        .error_metrics(true)
        .duration_metric(true)
        .remaining_time_metric(true)
        .memory_metric(true)
        .batch_size_metric(|request: &Request| request.payload.len());
    (layer, output)
}

fn request(request_id: &str) -> Request {
    LambdaEvent::new(vec![7, 8, 9], context(request_id))
}

/// Returns what was written, after it was checked.
fn objects(output: &Captured) -> Vec<Value> {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = serde_json::from_str(include_str!("schemas/emf.schema.json")).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    let objects = output.json();
    for object in &objects {
        if let Err(error) = SCHEMA.validate(object) {
            panic!("{error}: {object}");
        }
    }
    objects
}

/// Returns the one object that was written.
#[track_caller]
fn only_object(output: &Captured) -> Value {
    let objects = objects(output);
    assert_eq!(objects.len(), 1, "{objects:#?}");
    objects.into_iter().next().unwrap()
}

/// Returns an object's metrics, each with its unit.
fn units(object: &Value) -> BTreeMap<&str, &str> {
    let metrics = &object["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    let metrics = metrics.as_array().unwrap().iter();
    metrics
        .map(|metric| {
            let name = metric["Name"].as_str().unwrap();
            (name, metric["Unit"].as_str().unwrap())
        })
        .collect()
}

fn names(object: &Value) -> Vec<&str> {
    units(object).into_keys().collect()
}

/// Returns which of the outcomes an object says are so, after it was checked that it says
/// something of each.
#[track_caller]
fn outcomes(object: &Value) -> Vec<&'static str> {
    let is_so = |name: &&str| match object[name].as_u64() {
        Some(0) => false,
        Some(1) => true,
        _ => panic!("{name} is neither 0 nor 1 in {object}"),
    };
    OUTCOMES.into_iter().filter(is_so).collect()
}

/// How a handler ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Answer,
    Error,
    PanicInCall,
    PanicInPoll,
    Cancelled,
    /// Cancelled before it has begun.
    NeverPolled,
}

const ENDINGS: [Ending; 6] = [
    Ending::Answer,
    Ending::Error,
    Ending::PanicInCall,
    Ending::PanicInPoll,
    Ending::Cancelled,
    Ending::NeverPolled,
];

impl Ending {
    fn outcomes(self) -> &'static [&'static str] {
        match self {
            Self::Answer => &[],
            Self::Error | Self::Cancelled | Self::NeverPolled => &["Faults"],
            Self::PanicInCall | Self::PanicInPoll => &["Faults", "Panics"],
        }
    }
}

/// Makes a handler that records a metric and ends in this way.
fn handler<T: Send>(
    ending: Ending,
) -> impl Service<LambdaEvent<T>, Response = &'static str, Error = &'static str, Future: Send>
+ Clone
+ Send {
    service_fn(move |_: LambdaEvent<T>| {
        ORDERS_CREATED.record(2);
        if ending == Ending::PanicInCall {
            panic!("no stock");
        }
        async move {
            match ending {
                Ending::Answer => Ok("placed"),
                Ending::Error => Err("no stock"),
                Ending::PanicInCall | Ending::PanicInPoll => panic!("no stock"),
                Ending::Cancelled | Ending::NeverPolled => pending().await,
            }
        }
    })
}

/// Runs a service that ends at once or never, as the runtime does: a panic is caught around the
/// future, which is dropped when nothing panics any more.
fn run<S, R>(mut service: S, request: R, ending: Ending) -> Option<Result<S::Response, S::Error>>
where
    S: Service<R>,
{
    let called = catch_unwind(AssertUnwindSafe(|| service.call(request)));
    assert_eq!(called.is_err(), ending == Ending::PanicInCall);
    let mut future = Box::pin(called.ok()?);
    if ending == Ending::NeverPolled {
        return None;
    }
    let polled = catch_unwind(AssertUnwindSafe(|| {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }));
    assert_eq!(polled.is_err(), ending == Ending::PanicInPoll);
    match polled {
        Ok(Poll::Ready(result)) => Some(result),
        Ok(Poll::Pending) | Err(_) => None,
    }
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, DefaultGuard) {
        // One that always listens: `tracing` remembers for the whole process where nobody does.
        static LISTENS: OnceLock<Dispatch> = OnceLock::new();
        LISTENS.get_or_init(|| Dispatch::new(tracing_subscriber::registry().with(Self::default())));
        let warnings = Self::default();
        let guard = tracing_subscriber::registry()
            .with(warnings.clone())
            .set_default();
        (warnings, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        if event.metadata().target().starts_with("powertools") {
            assert_eq!(*event.metadata().level(), tracing::Level::WARN);
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[test]
fn nothing_is_recorded_that_was_not_asked_for() {
    for ending in ENDINGS {
        let (layer, output) = layer();
        run(layer.layer(handler(ending)), request("one"), ending);
        assert_eq!(
            names(&only_object(&output)),
            ["OrdersCreated"],
            "{ending:?}"
        );
    }
}

#[test]
fn each_switch_records_its_own_metrics_only() {
    type Switch = (fn(MetricsLayer) -> MetricsLayer, &'static [&'static str]);

    let switches: [Switch; 4] = [
        (|layer| layer.error_metrics(true), &OUTCOMES),
        (|layer| layer.duration_metric(true), &["Duration"]),
        (
            |layer| layer.remaining_time_metric(true),
            &["RemainingTime"],
        ),
        (|layer| layer.memory_metric(true), &["MemoryUtilization"]),
    ];
    let check = |output: &Captured, expected: &[&str]| {
        let object = only_object(output);
        let names: BTreeSet<_> = names(&object).into_iter().collect();
        let expected = expected.iter().copied();
        assert_eq!(names, expected.chain(["OrdersCreated"]).collect());
    };
    for ending in ENDINGS {
        for (switch, expected) in switches {
            let (layer, output) = layer();
            run(switch(layer).layer(handler(ending)), request("one"), ending);
            check(&output, expected);
        }
        let (layer, output) = layer();
        let layer = layer.batch_size_metric(|request: &Request| request.payload.len());
        run(layer.layer(handler(ending)), request("one"), ending);
        check(&output, &["BatchSize"]);
    }
    let (layer, output) = layer();
    let on_and_off = layer
        .error_metrics(true)
        .error_metrics(false)
        .duration_metric(true)
        .duration_metric(false);
    let ending = Ending::Answer;
    run(on_and_off.layer(handler(ending)), request("one"), ending);
    check(&output, &[]);
}

#[test]
fn at_every_end_all_of_it_leaves_in_the_handlers_object() {
    for ending in ENDINGS {
        let (layer, output) = layer_of_all();
        let layer = layer.default_dimension("stage", "prod");
        let result = run(layer.layer(handler(ending)), request("one"), ending);
        let expected = match ending {
            Ending::Answer => Some(Ok("placed")),
            Ending::Error => Some(Err("no stock")),
            _ => None,
        };
        assert_eq!(result, expected, "{ending:?}");

        let object = only_object(&output);
        let expected = [
            ("BatchSize", "Count"),
            ("Duration", "Milliseconds"),
            ("Errors", "Count"),
            ("Faults", "Count"),
            ("MemoryUtilization", "Percent"),
            ("OrdersCreated", "Count"),
            ("Panics", "Count"),
            ("RemainingTime", "Milliseconds"),
            ("Throttles", "Count"),
        ];
        assert_eq!(units(&object), expected.into(), "{ending:?}");
        assert_eq!(
            object["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["stage", "service"]])
        );
        assert_eq!(outcomes(&object), ending.outcomes(), "{ending:?}");
        assert_eq!(object["OrdersCreated"], 2);
        assert_eq!(object["BatchSize"], 3);
        let duration = object["Duration"].as_f64().unwrap();
        assert!((0.0..30_000.0).contains(&duration), "{duration}");
        let remaining = object["RemainingTime"].as_f64().unwrap();
        assert!((1.0..=30_000.0).contains(&remaining), "{remaining}");
        let memory = object["MemoryUtilization"].as_f64().unwrap();
        assert!(memory > 0.0, "{memory}");
    }
}

#[tokio::test]
async fn it_leaves_before_the_answer_does() {
    let (layer, output) = layer_of_all();
    let mut future = Box::pin(layer.layer(handler(Ending::Answer)).oneshot(request("one")));
    assert_eq!(future.as_mut().await, Ok("placed"));
    let object = only_object(&output);
    drop(future);
    assert_eq!(only_object(&output), object);
}

#[tokio::test]
async fn a_task_that_panics_in_tokio_is_a_panic_too() {
    for ending in [Ending::PanicInCall, Ending::PanicInPoll] {
        let (layer, output) = layer();
        let service = layer.error_metrics(true).layer(handler(ending));
        let task = tokio::spawn(async move { service.oneshot(request("one")).await });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(outcomes(&only_object(&output)), ["Faults", "Panics"]);
    }
}

#[test]
fn a_handler_that_is_dropped_by_the_panic_of_another_was_cancelled() {
    let (layer, output) = layer();
    let mut service = layer.error_metrics(true).layer(handler(Ending::Cancelled));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut future = Box::pin(service.call(request("one")));
        let poll = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        panic!("elsewhere");
    }));
    panicked.unwrap_err();
    assert_eq!(outcomes(&only_object(&output)), ["Faults"]);
}

#[tokio::test]
async fn a_handler_that_is_cancelled_late_is_cancelled_and_one_that_panics_late_panics() {
    for does_panic in [false, true] {
        let (layer, output) = layer();
        let service = layer
            .error_metrics(true)
            .layer(service_fn(async |_: Request| {
                for _ in 0..3 {
                    yield_now().await;
                }
                if does_panic {
                    panic!("no stock");
                }
                pending::<Result<(), Infallible>>().await
            }));
        let mut future = Box::pin(service.oneshot(request("one")));
        let mut has_panicked = false;
        for _ in 0..6 {
            let poll = catch_unwind(AssertUnwindSafe(|| {
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
            }));
            has_panicked = poll.is_err();
            if has_panicked {
                break;
            }
        }
        assert_eq!(has_panicked, does_panic);
        drop(future);
        let expected: &[_] = if does_panic {
            &["Faults", "Panics"]
        } else {
            &["Faults"]
        };
        assert_eq!(outcomes(&only_object(&output)), expected);
    }
}

#[test]
fn a_classifier_decides_what_an_answer_is_and_what_an_error_is() {
    let classify = |result: Result<&&str, &&str>| match result {
        Ok(_) => Outcome::Throttle,
        Err(_) => Outcome::Error,
    };
    for (ending, expected) in [
        (Ending::Answer, &["Throttles"][..]),
        (Ending::Error, &["Errors"]),
        // There is nothing to classify.
        (Ending::PanicInCall, &["Faults", "Panics"]),
        (Ending::PanicInPoll, &["Faults", "Panics"]),
        (Ending::Cancelled, &["Faults"]),
        (Ending::NeverPolled, &["Faults"]),
    ] {
        let (layer, output) = layer();
        let layer = layer.error_metrics(true).classify_with(classify);
        run(layer.layer(handler(ending)), request("one"), ending);
        assert_eq!(outcomes(&only_object(&output)), expected, "{ending:?}");
    }
}

#[test]
fn a_classifier_is_not_asked_for_what_nobody_wants_to_know() {
    #[derive(Clone)]
    struct Asked(Arc<AtomicUsize>);
    impl<T, E> Classify<T, E> for Asked {
        fn classify(&self, _: Result<&T, &E>) -> Outcome {
            self.0.fetch_add(1, Ordering::Relaxed);
            Outcome::Success
        }
    }

    let asked = Asked(Arc::default());
    for (errors, expected) in [(false, 0), (true, 1)] {
        let (layer, _) = layer();
        let layer = layer.duration_metric(true).error_metrics(errors);
        let service = layer
            .classify_with(asked.clone())
            .layer(handler(Ending::Answer));
        run(service, request("one"), Ending::Answer);
        assert_eq!(asked.0.swap(0, Ordering::Relaxed), expected);
    }
}

/// What the user's own code does is the handler's doing.
#[test]
fn a_closure_of_the_layer_that_panics_is_a_panic() {
    let (layer_that_classifies, output) = layer();
    let service = layer_that_classifies
        .error_metrics(true)
        .classify_with(|_: Result<&&str, &&str>| -> Outcome { panic!("no idea") })
        .layer(handler(Ending::Answer));
    run(service, request("one"), Ending::PanicInPoll);
    assert_eq!(outcomes(&only_object(&output)), ["Faults", "Panics"]);

    let (layer_that_counts, output) = layer();
    let service = layer_that_counts
        .error_metrics(true)
        .batch_size_metric(|_: &Request| -> usize { panic!("no idea") })
        .layer(handler(Ending::Answer));
    run(service, request("one"), Ending::PanicInCall);
    let object = only_object(&output);
    assert_eq!(outcomes(&object), ["Faults", "Panics"]);
    assert!(object.get("BatchSize").is_none());
}

#[cfg(feature = "http")]
#[test]
fn an_http_status_says_whose_mistake_an_answer_is() {
    use powertools::classify::ByStatus;

    for (status, expected) in [
        (200, &[][..]),
        (304, &[]),
        (404, &["Errors"]),
        (429, &["Throttles"]),
        (503, &["Faults"]),
    ] {
        let (layer, output) = layer();
        let service = layer
            .error_metrics(true)
            .classify_with(ByStatus)
            .layer(service_fn(|_: http::Request<()>| {
                let response = http::Response::builder().status(status).body(());
                ready(Ok::<_, Infallible>(response.unwrap()))
            }));
        let mut request = http::Request::new(());
        request.extensions_mut().insert(context("one"));
        run(service, request, Ending::Answer);
        assert_eq!(outcomes(&only_object(&output)), expected, "{status}");
    }
}

#[tokio::test]
async fn the_duration_is_from_the_call_to_its_end() {
    const TIME: Duration = Duration::from_millis(20);

    let (layer, output) = layer();
    let service = layer.duration_metric(true).layer(service_fn(|_: Request| {
        std::thread::sleep(TIME);
        async {
            tokio::time::sleep(TIME).await;
            Ok::<_, Infallible>(())
        }
    }));
    let start = std::time::Instant::now();
    service.oneshot(request("one")).await.unwrap();
    let longest = start.elapsed();
    let duration = only_object(&output)["Duration"].as_f64().unwrap();
    let duration = Duration::from_secs_f64(duration / 1000.0);
    assert!((2 * TIME..=longest).contains(&duration), "{duration:?}");
}

#[test]
fn the_time_that_remains_is_until_the_deadline_and_never_below_zero() {
    let remaining_of = |deadline: Option<SystemTime>| {
        let (layer, output) = layer();
        let mut request = request("one");
        request.context.deadline = deadline.map_or(0, |deadline| {
            let since = deadline.duration_since(UNIX_EPOCH).unwrap();
            since.as_millis().try_into().unwrap()
        });
        let layer = layer.remaining_time_metric(true);
        run(
            layer.layer(handler(Ending::Answer)),
            request,
            Ending::Answer,
        );
        only_object(&output).get("RemainingTime").cloned()
    };
    let now = SystemTime::now();
    let remaining = remaining_of(Some(now + Duration::from_secs(60)));
    let remaining = remaining.unwrap().as_f64().unwrap();
    assert!((1.0..=60_000.0).contains(&remaining), "{remaining}");
    assert_eq!(
        remaining_of(Some(now - Duration::from_secs(1))),
        Some(json!(0))
    );
    assert_eq!(remaining_of(None), None);
}

#[cfg(feature = "http")]
#[test]
fn a_request_without_context_has_neither_remaining_time_nor_memory() {
    let (layer, output) = layer();
    let service = layer
        .remaining_time_metric(true)
        .memory_metric(true)
        .duration_metric(true)
        .layer(service_fn(|_: http::Request<()>| {
            ready(Ok::<_, Infallible>(()))
        }));
    run(service, http::Request::new(()), Ending::Answer);
    assert_eq!(names(&only_object(&output)), ["Duration"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_is_the_most_that_was_held_of_the_functions_size() {
    fn peak() -> f64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes: f64 = line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kilobytes * 1024.0
    }

    for memory in [128, 3008] {
        let (layer, output) = layer();
        let mut request = request("one");
        let mut config = (*request.context.env_config).clone();
        config.memory = memory;
        request.context.env_config = Arc::new(config);
        let service = layer.memory_metric(true).layer(service_fn(|_: Request| {
            // Freed before the end.
            drop(std::hint::black_box(vec![1_u8; 32 << 20]));
            ready(Ok::<_, Infallible>(()))
        }));
        run(service, request, Ending::Answer);
        let percent = only_object(&output)["MemoryUtilization"].as_f64().unwrap();
        let bytes = percent / 100.0 * f64::from(memory) * 1024.0 * 1024.0;
        // The system counts pages with a small error.
        let error = f64::from(1 << 20);
        assert!(bytes > f64::from(32 << 20) - error, "{bytes}");
        assert!(bytes <= peak() + error, "{bytes}");
    }
}

#[test]
fn without_the_functions_size_there_is_no_share_of_it() {
    let (layer, output) = layer();
    let mut request = request("one");
    request.context.env_config = Arc::default();
    let layer = layer.memory_metric(true);
    run(
        layer.layer(handler(Ending::Answer)),
        request,
        Ending::Answer,
    );
    assert_eq!(names(&only_object(&output)), ["OrdersCreated"]);
}

#[test]
fn a_batch_is_counted_within_the_invocation_and_may_be_empty() {
    let (layer, output) = layer();
    let service = layer
        .batch_size_metric(|request: &Request| {
            metrics::add_metadata("seen", request.payload.len());
            assert!(Invocation::current().is_some());
            request.payload.len()
        })
        .layer(handler(Ending::Answer));
    let request = LambdaEvent::new(Vec::new(), context("one"));
    run(service, request, Ending::Answer);
    let object = only_object(&output);
    assert_eq!(object["BatchSize"], 0);
    assert_eq!(object["seen"], 0);
}

#[test]
fn a_handler_that_records_nothing_has_the_layers_metrics_all_the_same() {
    let (layer, output) = layer_of_all();
    let service = layer.layer(service_fn(|_: Request| ready(Ok::<_, Infallible>(()))));
    run(service, request("one"), Ending::Answer);
    assert_eq!(names(&only_object(&output)).len(), 8);
}

#[test]
fn what_the_handler_adds_to_its_metrics_holds_for_the_layers_too() {
    let (layer, output) = layer_of_all();
    let service = layer.layer(service_fn(|_: Request| {
        metrics::add_dimension("shop", "a");
        metrics::add_metadata("order", 1);
        ready(Ok::<_, Infallible>(()))
    }));
    run(service, request("one"), Ending::Answer);
    let object = only_object(&output);
    assert_eq!(object["shop"], "a");
    assert_eq!(object["order"], 1);
    assert_eq!(
        object["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["shop", "service"]])
    );
}

#[test]
fn a_layer_that_is_there_twice_records_once_for_the_outer_one() {
    for ending in ENDINGS {
        let (outer, outer_output) = layer_of_all();
        let (inner, inner_output) = layer_of_all();
        let service = ServiceBuilder::new()
            .layer(outer)
            .layer(inner)
            .service(handler(ending));
        run(service, request("one"), ending);
        let object = only_object(&outer_output);
        assert_eq!(names(&object).len(), 9);
        assert_eq!(outcomes(&object), ending.outcomes(), "{ending:?}");
        assert!(object["Duration"].is_number());
        assert_eq!(object["BatchSize"], 3);
        assert_eq!(inner_output.lines(), [] as [&str; 0]);
    }
}

#[test]
fn the_switches_of_an_inner_layer_do_not_count() {
    let (outer, outer_output) = layer();
    let (inner, _) = layer_of_all();
    let service = ServiceBuilder::new()
        .layer(outer)
        .layer(inner)
        .service(handler(Ending::Answer));
    run(service, request("one"), Ending::Answer);
    assert_eq!(names(&only_object(&outer_output)), ["OrdersCreated"]);
}

#[test]
fn an_attempt_that_was_followed_by_another_has_metrics_of_its_own() {
    let (layer, output) = layer();
    let layer = layer.error_metrics(true);
    let invocation = Invocation::current_or_open(Some(&context("one")));
    invocation.sync_scope(|| {
        for ending in [Ending::Error, Ending::PanicInPoll, Ending::Answer] {
            run(layer.layer(handler(ending)), request("one"), ending);
        }
    });
    let objects = objects(&output);
    let outcomes: Vec<_> = objects.iter().map(outcomes).collect();
    assert_eq!(outcomes, [&["Faults"][..], &["Faults", "Panics"], &[]]);
}

#[tokio::test]
async fn calls_of_one_invocation_that_run_at_once_are_counted_one_by_one() {
    let (layer, output) = layer_of_all();
    let service = layer.layer(service_fn(|request: Request| async move {
        metrics::add_dimension("shop", "a");
        yield_now().await;
        if request.payload.is_empty() {
            return Err("nothing to do");
        }
        ORDERS_CREATED.record(request.payload.len());
        yield_now().await;
        Ok(())
    }));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    let empty = LambdaEvent::new(Vec::new(), context("one"));
    let calls = async {
        tokio::join!(
            service.clone().oneshot(request("one")),
            service.clone().oneshot(empty)
        )
    };
    let (one, two) = invocation.scope(calls).await;
    assert!(one.is_ok() && two.is_err());
    let object = only_object(&output);
    assert_eq!(object["OrdersCreated"], 3);
    let sum = |name: &str| {
        let values = object[name].as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap()).sum::<f64>()
    };
    assert_eq!(object["Faults"].as_array().unwrap().len(), 2);
    assert_eq!(sum("Faults"), 1.0);
    assert_eq!(sum("BatchSize"), 3.0);
    assert_eq!(object["Duration"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invocations_at_once_each_have_their_own() {
    const INVOCATIONS: usize = 400;

    let (layer, output) = layer();
    let hanging = Arc::new(AtomicUsize::new(0));
    let is_hanging = Arc::clone(&hanging);
    let service = layer
        .error_metrics(true)
        .duration_metric(true)
        .batch_size_metric(|request: &Request| request.payload.len())
        .layer(service_fn(move |request: Request| {
            let is_hanging = Arc::clone(&is_hanging);
            async move {
                let id = request.payload.len();
                metrics::add_metadata("id", id);
                for _ in 0..id % 7 {
                    yield_now().await;
                }
                match id % 4 {
                    0 => Ok("placed"),
                    1 => Err("no stock"),
                    2 => panic!("no stock"),
                    _ => {
                        is_hanging.fetch_add(1, Ordering::Relaxed);
                        pending().await
                    }
                }
            }
        }));
    let calls: Vec<_> = (0..INVOCATIONS)
        .map(|id| {
            let request = LambdaEvent::new(vec![0; id], context(id.to_string()));
            tokio::spawn(service.clone().oneshot(request))
        })
        .collect();
    while hanging.load(Ordering::Relaxed) < INVOCATIONS / 4 {
        yield_now().await;
    }
    for (id, call) in calls.into_iter().enumerate() {
        if id % 4 == 3 {
            call.abort();
        }
        assert_eq!(call.await.is_ok(), id % 4 < 2, "{id}");
    }

    let objects = objects(&output);
    let ids: BTreeSet<_> = objects
        .iter()
        .map(|object| {
            let id = object["id"].as_u64().unwrap();
            assert_eq!(object["BatchSize"], id);
            let expected: &[_] = match id % 4 {
                0 => &[],
                2 => &["Faults", "Panics"],
                _ => &["Faults"],
            };
            assert_eq!(outcomes(object), expected, "{id}");
            assert!(object["Duration"].is_number());
            id as usize
        })
        .collect();
    assert_eq!(objects.len(), INVOCATIONS);
    assert_eq!(ids, (0..INVOCATIONS).collect());
}

#[test]
fn what_the_handler_records_under_a_name_of_the_layers_is_left_out_with_a_warning() {
    let attempts: [(&str, fn()); 5] = [
        ("Duration", || {
            Metric::new("Duration", Unit::Milliseconds).record(1);
        }),
        ("Errors", || Metric::new("Errors", Unit::Bytes).record(5)),
        ("Faults", || {
            let faults = Metric::new("Faults", Unit::Count);
            metrics::current().unwrap().record(&faults, 5);
        }),
        ("BatchSize", || metrics::add_dimension("BatchSize", "large")),
        ("Panics", || metrics::add_metadata("Panics", "never")),
    ];
    for (name, attempt) in attempts {
        let (warnings, _guard) = Warnings::listen();
        let (layer, output) = layer_of_all();
        let service = layer.layer(service_fn(|_: Request| {
            attempt();
            ORDERS_CREATED.record(1);
            ready(Ok::<_, Infallible>(()))
        }));
        run(service, request("one"), Ending::Answer);
        let object = only_object(&output);
        assert_eq!(names(&object).len(), 9, "{name}");
        assert_eq!(outcomes(&object), [""; 0], "{name}");
        assert!(object["Duration"].is_number(), "{name}");
        assert_eq!(object["BatchSize"], 3, "{name}");

        let warnings = warnings.take();
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        let expected = format!("the name {name:?} is already taken by a metric of the layer");
        assert!(warnings[0].contains(&expected), "{warnings:?}");
    }
}

#[test]
fn a_name_of_what_is_switched_off_is_anybodys() {
    let (warnings, _guard) = Warnings::listen();
    let (layer, output) = layer();
    let service = layer.duration_metric(true).layer(service_fn(|_: Request| {
        Metric::new("Errors", Unit::Bytes).record(5);
        metrics::add_dimension("BatchSize", "large");
        ready(Ok::<_, Infallible>(()))
    }));
    run(service, request("one"), Ending::Answer);
    let object = only_object(&output);
    assert_eq!(names(&object), ["Duration", "Errors"]);
    assert_eq!(object["Errors"], 5);
    assert_eq!(object["BatchSize"], "large");
    assert_eq!(warnings.take(), [""; 0]);
}

#[test]
fn a_handler_that_fills_an_object_loses_none_of_the_layers_metrics() {
    for count in 90..=110 {
        let (layer, output) = layer_of_all();
        let service = layer.layer(service_fn(|_: Request| {
            for number in 0..count {
                let metric = Metric::try_new(format!("M{number}"), Unit::Count);
                metric.unwrap().record(1);
            }
            ready(Ok::<_, Infallible>(()))
        }));
        run(service, request("one"), Ending::Answer);
        let objects = objects(&output);
        let written: Vec<_> = objects.iter().flat_map(names).collect();
        assert_eq!(written.len(), count + 8);
        let own = written.iter().filter(|name| !name.starts_with('M')).count();
        let own = own + usize::from(written.contains(&"MemoryUtilization"));
        assert_eq!(own, 8);
    }
}

#[test]
fn disabled_metrics_ask_nobody_and_warn_of_nothing() {
    let (warnings, _guard) = Warnings::listen();
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&Env::from([(METRICS_DISABLED, "true")]));
    let asked = AtomicUsize::new(0);
    for ending in ENDINGS {
        let service = layer
            .clone()
            .error_metrics(true)
            .duration_metric(true)
            .memory_metric(true)
            .warn_if_empty(true)
            .batch_size_metric(|_: &Request| asked.fetch_add(1, Ordering::Relaxed))
            .classify_with(|_: Result<&&str, &&str>| {
                asked.fetch_add(1, Ordering::Relaxed);
                Outcome::Fault
            })
            .with_writer(output.clone())
            .layer(handler(ending));
        run(service, request("one"), ending);
    }
    assert_eq!(asked.into_inner(), 0);
    assert_eq!(output.lines(), [] as [&str; 0]);
    assert_eq!(warnings.take(), [""; 0]);
}

mod empty {
    use super::*;

    /// Returns the warnings of an invocation whose handler records nothing.
    fn warnings_of<B: BatchSize<Request> + Clone>(
        layer: &MetricsLayer<ByResult, B>,
        ending: Ending,
        record: impl Fn() + Clone,
    ) -> Vec<String> {
        let (warnings, _guard) = Warnings::listen();
        let service = layer.layer(service_fn(move |_: Request| {
            record();
            if ending == Ending::PanicInCall {
                panic!("no stock");
            }
            async move {
                match ending {
                    Ending::Answer => Ok(()),
                    Ending::Error => Err(()),
                    Ending::PanicInCall | Ending::PanicInPoll => panic!("no stock"),
                    Ending::Cancelled | Ending::NeverPolled => pending().await,
                }
            }
        }));
        run(service, request("one"), ending);
        warnings.take()
    }

    #[test]
    fn an_invocation_without_metrics_is_warned_of_at_every_end_if_it_was_asked_for() {
        for ending in ENDINGS {
            let (quiet, output) = layer();
            assert_eq!(warnings_of(&quiet, ending, || ()), [""; 0]);
            let (layer, _) = layer();
            let warnings = warnings_of(&layer.warn_if_empty(true), ending, || ());
            assert_eq!(
                warnings,
                ["message=no metric was recorded by the handler "],
                "{ending:?}"
            );
            assert_eq!(output.lines(), [] as [&str; 0]);
        }
    }

    #[test]
    fn the_layers_own_metrics_do_not_count() {
        let (layer, output) = layer_of_all();
        let warnings = warnings_of(&layer.warn_if_empty(true), Ending::Answer, || ());
        assert_eq!(warnings.len(), 1);
        assert_eq!(objects(&output).len(), 1);
    }

    #[test]
    fn a_single_metric_is_one() {
        let single = |_: Request| {
            ORDERS_CREATED.single(1).emit();
            ready(Ok::<_, Infallible>(()))
        };
        let (layer, _) = layer();
        let (warnings, _guard) = Warnings::listen();
        let service = layer.warn_if_empty(true).layer(service_fn(single));
        run(service, request("one"), Ending::Answer);
        assert_eq!(warnings.take(), [""; 0]);
    }

    #[test]
    fn one_metric_is_enough_also_if_it_has_left_already() {
        for values in [1, 99, 100, 101] {
            let (layer, _) = layer_of_all();
            let warnings = warnings_of(&layer.warn_if_empty(true), Ending::Answer, || {
                for value in 0..values {
                    ORDERS_CREATED.record(value);
                }
            });
            assert_eq!(warnings, [""; 0]);
        }
    }

    #[test]
    fn what_was_left_out_is_none() {
        let (layer, _) = layer();
        let layer = layer.warn_if_empty(true);
        let warnings = warnings_of(&layer, Ending::Answer, || {
            ORDERS_CREATED.record(f64::NAN);
            metrics::add_dimension("shop", "a");
        });
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn every_attempt_and_every_invocation_is_looked_at_for_itself() {
        let (layer, _) = layer();
        let layer = layer.warn_if_empty(true);
        let one = Invocation::current_or_open(Some(&context("one")));
        one.sync_scope(|| {
            let record = || ORDERS_CREATED.record(1);
            let warnings = warnings_of(&layer, Ending::Answer, record);
            assert_eq!(warnings, [""; 0]);
            let warnings = warnings_of(&layer, Ending::Answer, || ());
            assert_eq!(warnings.len(), 1);
        });
        assert_eq!(warnings_of(&layer, Ending::Answer, || ()).len(), 1);
    }

    #[test]
    fn a_layer_that_is_there_twice_warns_once() {
        let (warnings, _guard) = Warnings::listen();
        let (outer, _) = layer();
        let (inner, _) = layer();
        let service = ServiceBuilder::new()
            .layer(outer.warn_if_empty(true))
            .layer(inner.warn_if_empty(true))
            .service(service_fn(|_: Request| ready(Ok::<_, Infallible>(()))));
        run(service, request("one"), Ending::Answer);
        assert_eq!(warnings.take().len(), 1);
    }
}

#[test]
fn layer_service_and_future_go_where_their_parts_go() {
    fn shared<T: Clone + Send + Sync + fmt::Debug + 'static>(_: &T) {}
    fn sent<T: Send + fmt::Debug + 'static>(_: &T) {}

    let (layer, _) = layer_of_all();
    let layer = layer.classify_with(|_: Result<&(), &Infallible>| Outcome::Success);
    shared(&layer);
    let mut service = layer.layer(Inner);
    shared(&service);
    let future: ResponseFuture<_, _> = service.call(request("one"));
    sent(&future);
    let _: MetricsService<Inner, _, _> = service;
}

#[derive(Clone, Debug)]
struct Inner;

impl Service<Request> for Inner {
    type Response = ();
    type Error = Infallible;
    type Future = std::future::Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        ready(Ok(()))
    }
}

#[test]
fn a_layer_may_be_made_of_what_is_neither_shared_nor_cloned() {
    let (layer, _) = layer();
    let count: Box<dyn Fn(&Request) -> usize> = Box::new(|request| request.payload.len());
    let layer = layer.batch_size_metric(count);
    let debug = format!("{layer:?}");
    assert!(debug.contains("ByResult"), "{debug}");
    assert!(debug.contains("dyn"), "{debug}");
}

/// What a handler returns, or how it does not.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Returns(Outcome, bool),
    Ends(Ending),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let outcome = prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Error),
        Just(Outcome::Throttle),
        Just(Outcome::Fault),
    ];
    let ending = prop_oneof![
        Just(Ending::PanicInCall),
        Just(Ending::PanicInPoll),
        Just(Ending::Cancelled),
        Just(Ending::NeverPolled),
    ];
    let fate = prop_oneof![
        3 => (outcome, any::<bool>()).prop_map(|(outcome, is_ok)| Fate::Returns(outcome, is_ok)),
        1 => ending.prop_map(Fate::Ends),
    ];
    prop::collection::vec(fate, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_are_the_numbers_of_invocations_and_the_averages_their_rates(fates in fates()) {
        let (layer, output) = layer();
        let layer = layer.error_metrics(true).classify_with(|result: Result<&Outcome, &Outcome>| {
            *result.unwrap_or_else(|error| error)
        });
        for (id, fate) in fates.iter().enumerate() {
            let fate = *fate;
            let ending = match fate {
                Fate::Returns(..) => Ending::Answer,
                Fate::Ends(ending) => ending,
            };
            let service = layer.layer(service_fn(move |_: Request| {
                if ending == Ending::PanicInCall {
                    panic!("no stock");
                }
                async move {
                    match fate {
                        Fate::Returns(outcome, true) => Ok(outcome),
                        Fate::Returns(outcome, false) => Err(outcome),
                        Fate::Ends(Ending::PanicInPoll) => panic!("no stock"),
                        Fate::Ends(_) => pending().await,
                    }
                }
            }));
            run(service, request(&id.to_string()), ending);
        }

        let objects = objects(&output);
        // One value an invocation, whatever became of it: the average over them is a rate.
        prop_assert_eq!(objects.len(), fates.len());
        let sum = |name: &str| objects.iter().filter(|object| outcomes(object).contains(&name)).count();
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        let errors = count(|fate| matches!(fate, Fate::Returns(Outcome::Error, _)));
        let throttles = count(|fate| matches!(fate, Fate::Returns(Outcome::Throttle, _)));
        let successes = count(|fate| matches!(fate, Fate::Returns(Outcome::Success, _)));
        let panics = count(|fate| {
            matches!(fate, Fate::Ends(Ending::PanicInCall | Ending::PanicInPoll))
        });
        prop_assert_eq!(sum("Errors"), errors);
        prop_assert_eq!(sum("Throttles"), throttles);
        prop_assert_eq!(sum("Panics"), panics);
        prop_assert_eq!(sum("Faults"), fates.len() - successes - errors - throttles);
        for object in &objects {
            let outcomes = outcomes(object);
            prop_assert!(outcomes.len() <= 1 || outcomes == ["Faults", "Panics"]);
        }
    }
}
