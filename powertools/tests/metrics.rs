//! Metrics as a function's author and CloudWatch see them.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt,
    future::{pending, ready},
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    env::{METRICS_DISABLED, METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{
        self, Metric, Metrics, MetricsError, MetricsLayer, MetricsService, ResponseFuture, Unit,
    },
    testing::{Captured, context},
};
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::oneshot, task::yield_now};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Event, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer::Context, prelude::*};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const LOG_EVENT_SIZE: usize = 1024 * 1024;

/// A layer that the environment of the tests cannot change, and what it writes.
fn layer() -> (MetricsLayer, Captured) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&env).unwrap();
    (layer.with_writer(output.clone()), output)
}

fn event(request_id: &str) -> LambdaEvent<()> {
    LambdaEvent::new((), context(request_id))
}

/// Returns what was written, after it was checked.
fn objects(output: &Captured) -> Vec<Value> {
    let objects = output.json();
    objects.iter().for_each(check);
    for line in output.lines() {
        assert!(line.len() <= LOG_EVENT_SIZE, "{} bytes", line.len());
    }
    objects
}

/// Runs a handler under the layer and returns the objects it left.
async fn objects_of<F: Future<Output = ()>>(handler: impl Fn() -> F) -> Vec<Value> {
    let (layer, output) = layer();
    let service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(|_: LambdaEvent<()>| async {
            handler().await;
            Ok::<_, Infallible>(())
        });
    service.oneshot(event("one")).await.unwrap();
    objects(&output)
}

/// Checks an object against CloudWatch's schema, and the rules that the schema cannot express.
#[track_caller]
fn check(object: &Value) {
    static SCHEMA: std::sync::LazyLock<jsonschema::Validator> = std::sync::LazyLock::new(|| {
        let schema = serde_json::from_str(include_str!("schemas/emf.schema.json")).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    if let Err(error) = SCHEMA.validate(object) {
        panic!("{error}: {object}");
    }

    let directive = &object["_aws"]["CloudWatchMetrics"][0];
    for dimension in strings(&directive["Dimensions"][0]) {
        let length = object[&dimension].as_str().map(str::len);
        assert!(length.is_some_and(|length| length <= 1024), "{dimension}");
    }
    let metrics = names(object);
    assert!(!metrics.is_empty());
    for metric in &metrics {
        let values = values(object, metric);
        assert!((1..=100).contains(&values.len()), "{metric}: {values:?}");
    }
    let mut members: Vec<_> = metrics.into_iter().chain(dimensions(object)).collect();
    members.sort();
    assert!(members.is_sorted_by(|a, b| a < b), "twice in {members:?}");
}

fn strings(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// Returns the names of an object's metrics.
fn names(object: &Value) -> Vec<String> {
    let metrics = &object["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    let metrics = metrics.as_array().unwrap().iter();
    metrics
        .map(|metric| metric["Name"].as_str().unwrap().to_owned())
        .collect()
}

fn values(object: &Value, metric: &str) -> Vec<f64> {
    match &object[metric] {
        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

fn dimensions(object: &Value) -> Vec<String> {
    strings(&object["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0])
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, DefaultGuard) {
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
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }

            fn record_error(
                &mut self,
                field: &tracing::field::Field,
                error: &(dyn std::error::Error + 'static),
            ) {
                self.record_debug(field, &format_args!("{error}"));
                if let Some(source) = error.source() {
                    self.0.push_str(&format!("source={source} "));
                }
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

#[tokio::test]
async fn an_object_has_the_members_of_the_other_toolkits_in_their_order() {
    let (layer, output) = layer();
    let service =
        layer
            .default_dimension("stage", "prod")
            .layer(service_fn(async |_: LambdaEvent<()>| {
                LATENCY.clone().high_resolution().record(12.5);
                metrics::add_metadata("order", json!({ "id": 1, "note": "a\nb" }));
                ORDERS_CREATED.record(1);
                metrics::add_dimension("status", 201);
                LATENCY.record(Duration::from_millis(7));
                Ok::<_, Infallible>(())
            }));
    let before = SystemTime::now();
    service.oneshot(event("one")).await.unwrap();

    let object = &objects(&output)[0];
    let timestamp = object["_aws"]["Timestamp"].as_u64().unwrap();
    let written = UNIX_EPOCH + Duration::from_millis(timestamp + 1);
    assert!(written > before && written <= SystemTime::now() + Duration::from_millis(1));
    assert_eq!(
        output.lines(),
        [format!(
            concat!(
                r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[{{"Namespace":"Shop","#,
                r#""Dimensions":[["stage","status","service"]],"Metrics":["#,
                r#"{{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}},"#,
                r#"{{"Name":"OrdersCreated","Unit":"Count"}}]}}]}},"#,
                r#""stage":"prod","status":"201","service":"orders","#,
                r#""order":{{"id":1,"note":"a\nb"}},"Latency":[12.5,7],"OrdersCreated":1}}"#,
            ),
            timestamp
        )]
    );
}

#[tokio::test]
async fn units_are_all_that_cloudwatch_knows_and_spelled_as_it_does() {
    const UNITS: [Unit; 27] = [
        Unit::Seconds,
        Unit::Microseconds,
        Unit::Milliseconds,
        Unit::Bytes,
        Unit::Kilobytes,
        Unit::Megabytes,
        Unit::Gigabytes,
        Unit::Terabytes,
        Unit::Bits,
        Unit::Kilobits,
        Unit::Megabits,
        Unit::Gigabits,
        Unit::Terabits,
        Unit::Percent,
        Unit::Count,
        Unit::BytesPerSecond,
        Unit::KilobytesPerSecond,
        Unit::MegabytesPerSecond,
        Unit::GigabytesPerSecond,
        Unit::TerabytesPerSecond,
        Unit::BitsPerSecond,
        Unit::KilobitsPerSecond,
        Unit::MegabitsPerSecond,
        Unit::GigabitsPerSecond,
        Unit::TerabitsPerSecond,
        Unit::CountPerSecond,
        Unit::None,
    ];
    let objects = objects_of(async || {
        for unit in UNITS {
            let name = format!("{unit:?}");
            Metric::try_new(name, unit).unwrap().record(1);
        }
    })
    .await;
    let metrics = &objects[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    let metrics = metrics.as_array().unwrap().iter();
    let written: Vec<_> = metrics.map(|metric| metric["Unit"].clone()).collect();

    let schema: Value = serde_json::from_str(include_str!("schemas/emf.schema.json")).unwrap();
    let path = "/properties/_aws/properties/CloudWatchMetrics/items/properties/Metrics/items";
    let known = schema
        .pointer(&format!("{path}/properties/Unit/enum"))
        .unwrap();
    assert_eq!(Value::Array(written), *known);
}

#[tokio::test]
async fn without_a_service_there_is_no_such_dimension() {
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")])).unwrap();
    let service = layer
        .with_writer(output.clone())
        .layer(service_fn(async |_: LambdaEvent<()>| {
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>(())
        }));
    service.oneshot(event("one")).await.unwrap();
    let objects = objects(&output);
    assert_eq!(
        objects[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([[]])
    );
    assert!(objects[0].get("service").is_none());
}

#[tokio::test]
async fn an_invocation_that_records_nothing_writes_nothing() {
    let objects = objects_of(async || {
        metrics::add_dimension("shop", "a");
        metrics::add_metadata("order", 1);
    })
    .await;
    assert_eq!(objects, [] as [Value; 0]);
}

#[tokio::test]
async fn every_invocation_starts_anew() {
    let (layer, output) = layer();
    let mut service = layer.layer(service_fn(async |event: LambdaEvent<()>| {
        if event.context.request_id == "one" {
            metrics::add_dimension("shop", "a");
            metrics::add_metadata("order", 1);
        }
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    for id in ["one", "two"] {
        service
            .ready()
            .await
            .unwrap()
            .call(event(id))
            .await
            .unwrap();
    }
    let objects = objects(&output);
    assert_eq!(dimensions(&objects[0]), ["shop", "service"]);
    assert_eq!(objects[0]["order"], 1);
    assert_eq!(dimensions(&objects[1]), ["service"]);
    assert!(objects[1].get("order").is_none());
}

#[tokio::test]
async fn the_metrics_are_written_before_the_answer_leaves() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>("answer")
    }));
    let mut future = Box::pin(service.oneshot(event("one")));
    let answer = future.as_mut().await;
    assert_eq!(objects(&output).len(), 1);
    assert_eq!(answer, Ok("answer"));
    drop(future);
    assert_eq!(objects(&output).len(), 1);
}

#[tokio::test]
async fn a_handler_that_fails_keeps_its_error_and_its_metrics() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        Err::<(), Error>("no stock".into())
    }));
    let error = service.oneshot(event("one")).await.unwrap_err();
    assert_eq!(error.to_string(), "no stock");
    assert_eq!(objects(&output)[0]["OrdersCreated"], 1);
}

#[tokio::test]
async fn a_handler_that_panics_keeps_its_metrics() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        if true {
            panic!("no stock");
        }
        Ok::<_, Infallible>(())
    }));
    let panicked = tokio::spawn(service.oneshot(event("one")));
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(objects(&output)[0]["OrdersCreated"], 1);
}

#[tokio::test]
async fn a_service_that_panics_in_its_call_keeps_its_metrics() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        if true {
            panic!("no stock");
        }
        ready(Ok::<_, Infallible>(()))
    }));
    let panicked = tokio::spawn(service.oneshot(event("one")));
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(objects(&output)[0]["OrdersCreated"], 1);
}

#[tokio::test]
async fn a_handler_that_is_cancelled_keeps_its_metrics_and_those_of_its_destructors() {
    struct OnDrop;
    impl Drop for OnDrop {
        fn drop(&mut self) {
            LATENCY.record(5);
        }
    }

    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        let _on_drop = OnDrop;
        ORDERS_CREATED.record(1);
        pending::<Result<(), Infallible>>().await
    }));
    let cancelled = tokio::time::timeout(Duration::from_millis(5), service.oneshot(event("one")));
    cancelled.await.unwrap_err();
    let objects = objects(&output);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], 1);
    assert_eq!(objects[0]["Latency"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_invocations_at_once_never_mix() {
    const INVOCATIONS: u64 = 200;

    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |event: LambdaEvent<()>| {
        let id: u64 = event.context.request_id.parse().unwrap();
        metrics::add_dimension("id", id);
        for step in 0..5 {
            LATENCY.record(id * 10 + step);
            yield_now().await;
        }
        let task = Invocation::current().unwrap().scope(async move {
            yield_now().await;
            metrics::add_metadata("order", id);
        });
        tokio::spawn(task).await.unwrap();
        Ok::<_, Infallible>(())
    }));
    let calls: Vec<_> = (0..INVOCATIONS)
        .map(|id| tokio::spawn(service.clone().oneshot(event(&id.to_string()))))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }

    let objects = objects(&output);
    let ids: BTreeSet<u64> = objects
        .iter()
        .map(|object| {
            let id: u64 = object["id"].as_str().unwrap().parse().unwrap();
            let expected: Vec<_> = (0..5).map(|step| (id * 10 + step) as f64).collect();
            assert_eq!(values(object, "Latency"), expected);
            assert_eq!(object["order"], id);
            id
        })
        .collect();
    assert_eq!(objects.len() as u64, INVOCATIONS);
    assert_eq!(ids, (0..INVOCATIONS).collect());
}

#[tokio::test]
async fn a_handle_takes_the_metrics_to_tasks_and_threads() {
    let objects = objects_of(async || {
        let metrics = metrics::current().unwrap();
        tokio::task::spawn_blocking(move || {
            assert!(metrics::current().is_none());
            metrics.record(&ORDERS_CREATED, 2);
            metrics.add_dimension("shop", "a");
            metrics.add_metadata("order", 1);
        })
        .await
        .unwrap();
        ORDERS_CREATED.record(1);
    })
    .await;
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], json!([2, 1]));
    assert_eq!(objects[0]["shop"], "a");
    assert_eq!(objects[0]["order"], 1);
}

#[tokio::test]
async fn what_a_task_records_after_its_invocation_is_written_at_once() {
    let (layer, output) = layer();
    let (answered, wait_for_answer) = oneshot::channel();
    let (send_task, task) = oneshot::channel();
    let channels = Mutex::new(Some((wait_for_answer, send_task)));
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        metrics::add_dimension("shop", "a");
        ORDERS_CREATED.record(1);
        let (wait_for_answer, send_task) = channels.lock().unwrap().take().unwrap();
        let late = Invocation::current().unwrap().scope(async {
            wait_for_answer.await.unwrap();
            ORDERS_CREATED.record(2);
            LATENCY.record(3);
        });
        send_task.send(tokio::spawn(late)).unwrap();
        Ok::<_, Infallible>(())
    }));
    service.oneshot(event("one")).await.unwrap();
    assert_eq!(objects(&output).len(), 1);

    answered.send(()).unwrap();
    task.await.unwrap().await.unwrap();
    let objects = objects(&output);
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[1]["OrdersCreated"], 2);
    assert_eq!(objects[2]["Latency"], 3);
    assert!(objects.iter().all(|object| object["shop"] == "a"));
}

#[tokio::test]
async fn a_layer_that_is_there_twice_writes_once_for_the_outer_one() {
    let (outer, outer_output) = layer();
    let (inner, inner_output) = layer();
    let service = ServiceBuilder::new()
        .layer(outer)
        .service_fn(async |request: LambdaEvent<()>| {
            ORDERS_CREATED.record(1);
            let inner = inner.layer(service_fn(async |_: LambdaEvent<()>| {
                LATENCY.record(2);
                Ok::<_, Infallible>(())
            }));
            inner.oneshot(request).await?;
            ORDERS_CREATED.record(3);
            Ok::<_, Infallible>(())
        });
    service.oneshot(event("one")).await.unwrap();
    let objects = objects(&outer_output);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], json!([1, 3]));
    assert_eq!(objects[0]["Latency"], 2);
    assert_eq!(inner_output.lines(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_second_attempt_within_the_invocation_is_written_as_a_whole_too() {
    let (layer, output) = layer();
    let invocation = Mutex::new(None);
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        ORDERS_CREATED.record(2);
        *invocation.lock().unwrap() = Invocation::current();
        Ok::<_, Infallible>(())
    }));
    service.clone().oneshot(event("one")).await.unwrap();
    let invocation_of_both = invocation.lock().unwrap().take().unwrap();
    let second = invocation_of_both.scope(service.oneshot(event("one")));
    second.await.unwrap();

    let objects = objects(&output);
    assert_eq!(objects.len(), 2);
    assert!(
        objects
            .iter()
            .all(|object| object["OrdersCreated"] == json!([1, 2]))
    );
}

#[tokio::test]
async fn disabled_metrics_write_nothing_and_warn_of_nothing() {
    let (warnings, _guard) = Warnings::listen();
    let output = Captured::default();
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (METRICS_DISABLED, "true")]);
    let service = MetricsLayer::from_env(&env)
        .unwrap()
        .with_writer(output.clone())
        .layer(service_fn(async |_: LambdaEvent<()>| {
            for _ in 0..300 {
                ORDERS_CREATED.record(1);
            }
            LATENCY.record(f64::NAN);
            metrics::add_dimension("", "");
            Ok::<_, Infallible>(())
        }));
    service.oneshot(event("one")).await.unwrap();
    assert_eq!(output.lines(), [] as [&str; 0]);
    assert_eq!(warnings.take(), [] as [&str; 0]);
}

#[tokio::test]
async fn more_than_a_hundred_metrics_or_values_leave_in_several_objects() {
    let objects = objects_of(async || {
        metrics::add_dimension("shop", "a");
        for count in 0..250 {
            Metric::try_new(format!("Metric{count}"), Unit::Count)
                .unwrap()
                .record(count);
        }
        for count in 0..250 {
            LATENCY.record(count);
        }
    })
    .await;
    let counts = |object: &Value| (names(object).len(), values(object, &names(object)[0]).len());
    assert_eq!(
        objects.iter().map(counts).collect::<Vec<_>>(),
        // The fifty metrics that are left over leave with the first hundred values.
        [(100, 1), (100, 1), (51, 1), (1, 100), (1, 50)]
    );
    assert_eq!(values(&objects[2], "Latency").len(), 100);
    assert!(objects.iter().all(|object| object["shop"] == "a"));
}

#[tokio::test]
async fn what_cloudwatch_would_not_take_is_left_out_with_a_warning_that_names_it() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }

    let (warnings, _guard) = Warnings::listen();
    let objects = objects_of(async || {
        ORDERS_CREATED.record(1);
        metrics::add_dimension("shop", "a");
        metrics::add_metadata("order", 1);

        ORDERS_CREATED.record(f64::NAN);
        ORDERS_CREATED.record(f64::INFINITY);
        ORDERS_CREATED.record(1e300);
        ORDERS_CREATED.record(Duration::from_secs(1));
        Metric::new("OrdersCreated", Unit::Bytes).record(1);
        Metric::new("shop", Unit::Count).record(1);
        metrics::add_dimension("order", "a");
        metrics::add_dimension("zoë", "a");
        metrics::add_dimension("customer", "zoë");
        metrics::add_metadata("OrdersCreated", 1);
        metrics::add_metadata("broken", Broken);

        ORDERS_CREATED.record(2);
    })
    .await;

    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], json!([1, 2]));
    assert_eq!(objects[0].as_object().unwrap().len(), 5);
    let warnings = warnings.take();
    let named = [
        r#"value NaN of metric "OrdersCreated" is not a number within ±2^360"#,
        r#"value inf of metric "OrdersCreated" is not a number within ±2^360"#,
        r#"value 1e300 of metric "OrdersCreated" is not a number within ±2^360"#,
        r#"metric "OrdersCreated" takes no duration: its unit is Count"#,
        r#"metric "OrdersCreated" in Bytes has already been recorded in Count"#,
        r#"the name "shop" is already taken by a dimension"#,
        r#"the name "order" is already taken by metadata"#,
        r#"name of dimension "zoë" is not printable ASCII"#,
        r#"value of dimension "customer" is not printable ASCII"#,
        r#"the name "OrdersCreated" is already taken by a metric"#,
        r#"metadata "broken" cannot be serialised source=broken"#,
    ];
    assert_eq!(warnings.len(), named.len(), "{warnings:#?}");
    for (warning, named) in warnings.iter().zip(named) {
        assert!(warning.contains("left out of the metrics"), "{warning}");
        assert!(warning.contains(named), "{warning} should name {named}");
    }
}

#[tokio::test]
async fn the_thirty_first_dimension_is_left_out_and_the_metrics_are_not() {
    let (warnings, _guard) = Warnings::listen();
    let objects = objects_of(async || {
        for count in 1..=30 {
            metrics::add_dimension(format!("d{count}"), count);
        }
        ORDERS_CREATED.record(1);
    })
    .await;
    assert_eq!(dimensions(&objects[0]).len(), 30);
    assert!(objects[0].get("d30").is_none());
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(r#"dimension "d30" is one too many"#));
}

/// As large as can be: names and values that double when they are escaped, and long numbers.
#[tokio::test]
async fn the_largest_object_is_a_log_event_because_metadata_is_left_out() {
    let (warnings, _guard) = Warnings::listen();
    let objects = objects_of(async || {
        let long = |length: usize, number: usize| format!("{number:\"<length$}");
        for number in 1..30 {
            metrics::add_dimension(long(250, number), long(1024, 0));
        }
        metrics::add_metadata("small", 1);
        metrics::add_metadata("large", "x".repeat(500_000));
        metrics::add_metadata("too much", "x".repeat(30_000));
        metrics::add_metadata("\u{1b}".repeat(10_000), 1);
        metrics::add_metadata("small", 2);
        for number in 0..100 {
            let metric = Metric::try_new(long(255, number), Unit::KilobytesPerSecond);
            let metric = metric.unwrap().high_resolution();
            // The hundredth metric is written with its first value.
            for _ in 0..if number < 99 { 99 } else { 1 } {
                metric.record(-1.234_567_890_123_456_7e-101);
            }
        }
    })
    .await;
    assert_eq!(objects.len(), 1);
    assert_eq!(names(&objects[0]).len(), 100);
    assert_eq!(objects[0]["small"], 2);
    assert_eq!(objects[0]["large"].as_str().unwrap().len(), 500_000);
    assert!(objects[0].get("too much").is_none());
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    let expected = r#"metadata "too much" is too much: there is room for 524288 bytes in all"#;
    assert!(warnings[0].contains(expected), "{}", warnings[0]);
    assert!(warnings[1].contains(r"\u{1b}"));
}

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_request_has_metrics_of_the_invocation_whose_context_it_carries() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(async |_: http::Request<()>| {
        ORDERS_CREATED.record(1);
        let invocation = Invocation::current().unwrap();
        metrics::add_metadata("request_id", &invocation.context().request_id);
        Ok::<_, Infallible>(())
    }));
    let mut request = http::Request::new(());
    request.extensions_mut().insert(context("one"));
    service.oneshot(request).await.unwrap();
    let objects = objects(&output);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], 1);
    assert_eq!(objects[0]["request_id"], "one");
}

#[tokio::test]
async fn what_is_recorded_where_nobody_writes_it_is_warned_of() {
    let (warnings, _guard) = Warnings::listen();
    ORDERS_CREATED.record(1);
    metrics::add_dimension("shop", "a");
    metrics::add_metadata("order", 1);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 3);
    for (warning, name) in warnings.iter().zip(["OrdersCreated", "shop", "order"]) {
        let expected = format!("{name:?} was recorded outside of an invocation");
        assert!(warning.contains(&expected), "{warning}");
    }
    assert!(metrics::current().is_none());
}

#[cfg(feature = "logging")]
#[tokio::test]
async fn what_is_recorded_without_a_metrics_layer_around_is_warned_of() {
    let (warnings, _guard) = Warnings::listen();
    let service =
        powertools::logging::LoggingLayer::new().layer(service_fn(async |_: LambdaEvent<()>| {
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>(())
        }));
    service.oneshot(event("one")).await.unwrap();
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(r#""OrdersCreated" was recorded without a metrics layer"#));
}

#[tokio::test]
async fn metadata_that_is_json_already_stays_on_the_line() {
    let raw: Box<RawValue> = serde_json::from_str("{\n\t\"a\": \"b\\nc\",\r\n\"d\": []}").unwrap();
    let objects = objects_of(async || {
        metrics::add_metadata("raw", &raw);
        ORDERS_CREATED.record(1);
    })
    .await;
    assert_eq!(objects[0]["raw"], json!({ "a": "b\nc", "d": [] }));
}

/// A writer and values that record metrics themselves, as user code may.
#[tokio::test]
async fn metrics_may_be_recorded_from_within_what_the_metrics_call() {
    struct Recording(Captured);
    impl Write for Recording {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if metrics::current().is_some() {
                LATENCY.record(1);
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Shown;
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            LATENCY.record(2);
            f.write_str("a")
        }
    }
    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            LATENCY.record(3);
            serializer.serialize_str("a")
        }
    }

    let (layer, output) = layer();
    let service = layer
        .with_writer(Recording(output.clone()))
        .layer(service_fn(async |_: LambdaEvent<()>| {
            metrics::add_dimension("shop", Shown);
            metrics::add_metadata("order", Shown);
            for _ in 0..100 {
                ORDERS_CREATED.record(1);
            }
            Ok::<_, Infallible>(())
        }));
    let done = tokio::time::timeout(Duration::from_secs(10), service.oneshot(event("one")));
    done.await.unwrap().unwrap();
    let latencies: Vec<_> = objects(&output)
        .iter()
        .map(|object| object["Latency"].clone())
        .collect();
    assert_eq!(latencies, [json!([2, 3]), json!(1)]);
}

#[tokio::test]
async fn a_writer_that_fails_does_not_fail_the_invocation() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let (layer, _) = layer();
    let service = layer
        .with_writer(Broken)
        .layer(service_fn(async |_: LambdaEvent<()>| {
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>("answer")
        }));
    assert_eq!(service.oneshot(event("one")).await, Ok("answer"));
}

#[tokio::test]
async fn the_layer_is_ready_when_the_service_inside_is() {
    let (layer, _) = layer();
    let (mut service, mut handle) = tower_test::mock::spawn_with(|mock| layer.layer(mock));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let answer = service.call(event("one"));
    let (request, send) = handle.next_request().await.unwrap();
    assert_eq!(request.context.request_id, "one");
    send.send_response("answer");
    assert_eq!(answer.await.unwrap(), "answer");

    handle.send_error("broken");
    let error = std::future::poll_fn(|_| service.poll_ready())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "broken");
}

#[test]
fn layer_service_and_future_go_where_their_parts_go() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<MetricsLayer>();
    shared::<MetricsService<()>>();
    shared::<Metrics>();
    shared::<Metric>();
    sent::<ResponseFuture<std::future::Ready<()>>>();
    sent::<MetricsError>();
}

/// What a handler may do to its metrics.
#[derive(Clone, Debug)]
enum Step {
    Record { metric: usize, values: Vec<f64> },
    Dimension(String, String),
    Metadata(String, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        (-1000..1000_i32).prop_map(f64::from),
        -1e6..1e6_f64,
        prop::num::f64::ANY,
    ];
    // Few enough to meet again, and to collide with each other.
    let name = prop_oneof!["[a-c]", ".{0,3}", "Metric[0-9]{1,3}", "[ -~]{240,260}"];
    let step = prop_oneof![
        6 => (0..260_usize, prop::collection::vec(value, 1..4))
            .prop_map(|(metric, values)| Step::Record { metric, values }),
        1 => (0..3_usize, 90..300_usize).prop_map(|(metric, count)| Step::Record {
            metric,
            values: (0..count).map(|value| value as f64).collect(),
        }),
        2 => (name.clone(), "[ -~]{0,9}").prop_map(|(name, value)| Step::Dimension(name, value)),
        1 => (name, any::<u32>()).prop_map(|(key, value)| Step::Metadata(key, value)),
    ];
    prop::collection::vec(step, 0..400)
}

/// Values by metric, as bits: they come back exactly.
type Recorded = BTreeMap<String, Vec<u64>>;

/// Runs the steps; returns what has to be written, and what was.
async fn run_steps(steps: &[Step]) -> (Recorded, Recorded) {
    let units = [Unit::Count, Unit::Milliseconds, Unit::BytesPerSecond];
    let (warnings, _guard) = Warnings::listen();
    let (layer, output) = layer();
    let recorded = Mutex::new(Recorded::new());
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        let mut other_names = BTreeSet::new();
        for step in steps {
            match step.clone() {
                Step::Record { metric, values } => {
                    let unit = units[metric % 3];
                    let metric = Metric::try_new(format!("Metric{metric}"), unit).unwrap();
                    for value in values {
                        warnings.take();
                        metric.record(value);
                        let is_left_out = !warnings.take().is_empty();
                        let in_range = value.abs() <= 2_f64.powi(360);
                        if in_range && !other_names.contains(metric.name()) {
                            assert!(!is_left_out, "{metric:?} {value}");
                        }
                        if !in_range {
                            assert!(is_left_out, "{metric:?} {value}");
                        }
                        if !is_left_out {
                            let mut recorded = recorded.lock().unwrap();
                            let values = recorded.entry(metric.name().to_owned()).or_default();
                            values.push((value + 0.0).to_bits());
                        }
                    }
                }
                Step::Dimension(name, value) => {
                    other_names.insert(name.clone());
                    metrics::add_dimension(name, value);
                }
                Step::Metadata(key, value) => {
                    other_names.insert(key.clone());
                    metrics::add_metadata(key, value);
                }
            }
        }
        Ok::<_, Infallible>(())
    }));
    service.oneshot(event("one")).await.unwrap();

    let mut written = Recorded::new();
    for (object, line) in objects(&output).iter().zip(output.lines()) {
        // `Value` rounds some floats when it reads them.
        let exact: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&line).unwrap();
        for name in names(object) {
            let values = exact[&name].get().trim_matches(['[', ']']).split(',');
            let values = values.map(|value| value.parse::<f64>().unwrap().to_bits());
            written.entry(name).or_default().extend(values);
        }
    }
    (recorded.into_inner().unwrap(), written)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_recorded_leaves_exactly_once_within_all_limits(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (recorded, written) = runtime.block_on(run_steps(&steps));
        prop_assert_eq!(recorded, written);
    }
}
