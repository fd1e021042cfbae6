//! Metrics as a function's author and CloudWatch see them.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    future::{pending, ready},
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    env::{METRICS_DISABLED, METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{
        self, Metric, Metrics, MetricsError, MetricsLayer, MetricsService, ResponseFuture,
        SingleMetric, Unit,
    },
    testing::{Captured, context},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::oneshot, task::yield_now};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

mod subscriber;
mod support;

use support::{Warnings, dimensions, names, objects, sets, values};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);

/// A layer that the environment of the tests cannot change, and what it writes.
fn layer() -> (MetricsLayer, Captured) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&env);
    (layer.with_writer(output.clone()), output)
}

fn event(request_id: &str) -> LambdaEvent<()> {
    LambdaEvent::new((), context(request_id))
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

#[tokio::test]
async fn an_object_has_the_members_of_the_other_toolkits_in_their_order() {
    let (layer, output) = layer();
    let service =
        layer
            .default_dimension("stage", "prod")
            .layer(service_fn(|_: LambdaEvent<()>| async {
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
    let objects = objects_of(|| async {
        for unit in Unit::ALL {
            let name = format!("{unit:?}");
            Metric::try_new(name, *unit).unwrap().record(1);
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
    let layer = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")]));
    let service = layer
        .with_writer(output.clone())
        .layer(service_fn(|_: LambdaEvent<()>| async {
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
    let objects = objects_of(|| async {
        metrics::add_dimension("shop", "a");
        metrics::add_metadata("order", 1);
    })
    .await;
    assert_eq!(objects, [] as [Value; 0]);
}

#[tokio::test]
async fn every_invocation_starts_anew() {
    let (layer, output) = layer();
    let mut service = layer.layer(service_fn(|event: LambdaEvent<()>| async move {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
async fn ten_thousand_invocations_at_once_never_mix() {
    const INVOCATIONS: u64 = 10_000;

    let (layer, output) = layer();
    let all_have_begun = tokio::sync::Semaphore::new(0);
    let (begun, total) = (std::sync::atomic::AtomicU64::new(0), INVOCATIONS);
    let shared = Arc::new((all_have_begun, begun));
    let service = layer.layer(service_fn(move |event: LambdaEvent<()>| {
        let shared = Arc::clone(&shared);
        async move {
            let (all_have_begun, begun) = &*shared;
            let id: u64 = event.context.request_id.parse().unwrap();
            metrics::add_dimension("id", id);
            LATENCY.record(id * 10);
            if begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == total {
                all_have_begun.close();
            }
            // Open until every other invocation is open too.
            let _ = all_have_begun.acquire().await;
            LATENCY.record(id * 10 + 1);

            let in_scope = Invocation::current().unwrap().scope(async move {
                LATENCY.record(id * 10 + 2);
                yield_now().await;
                metrics::add_metadata("order", id);
            });
            tokio::spawn(in_scope).await.unwrap();
            let handle = metrics::current().unwrap();
            let with_handle = tokio::spawn(async move {
                yield_now().await;
                handle.record(&LATENCY, id * 10 + 3);
            });
            with_handle.await.unwrap();
            yield_now().await;
            ORDERS_CREATED.record(id);
            Ok::<_, Infallible>(())
        }
    }));
    let calls: Vec<_> = (0..INVOCATIONS)
        .map(|id| tokio::spawn(service.clone().oneshot(event(&id.to_string()))))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }

    let mut seen = vec![false; INVOCATIONS as usize];
    for object in output.json() {
        let id: u64 = object["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            object["Latency"],
            json!([id * 10, id * 10 + 1, id * 10 + 2, id * 10 + 3])
        );
        assert_eq!(object["OrdersCreated"], id);
        assert_eq!(object["order"], id);
        assert_eq!(dimensions(&object), ["id", "service"]);
        assert!(
            !std::mem::replace(&mut seen[id as usize], true),
            "{id} twice"
        );
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[tokio::test]
async fn a_handle_takes_the_metrics_to_tasks_and_threads() {
    let objects = objects_of(|| async {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
    let inner = &inner;
    let service =
        ServiceBuilder::new()
            .layer(outer)
            .service_fn(|request: LambdaEvent<()>| async move {
                ORDERS_CREATED.record(1);
                let inner = inner.layer(service_fn(|_: LambdaEvent<()>| async {
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
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
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
        .with_writer(output.clone())
        .layer(service_fn(|_: LambdaEvent<()>| async {
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
    let objects = objects_of(|| async {
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
    let objects = objects_of(|| async {
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
    // Each kind once for each name.
    let named = [
        r#"value NaN of metric "OrdersCreated" is not a number within ±2^360"#,
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
    let objects = objects_of(|| async {
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

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_request_has_metrics_of_the_invocation_whose_context_it_carries() {
    let (layer, output) = layer();
    let service = layer.layer(service_fn(|_: http::Request<()>| async {
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
        powertools::logging::LoggingLayer::new().layer(service_fn(|_: LambdaEvent<()>| async {
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
    let objects = objects_of(|| async {
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
        .with_clock(|| {
            if metrics::current().is_some() {
                LATENCY.record(4);
            }
            now()
        })
        .with_writer(Recording(output.clone()))
        .layer(service_fn(|_: LambdaEvent<()>| async {
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
    assert_eq!(latencies, [json!([2, 3]), json!([4, 1])]);
}

/// Where all is written at once, it would ask itself for the time again and again.
#[test]
fn a_clock_may_record_metrics_that_are_written_at_once() {
    let metrics = Arc::new(OnceLock::<Metrics>::new());
    let (layer, output) = layer();
    let invocation = Invocation::current_or_open(Some(&context("one")));
    let of_clock = Arc::clone(&metrics);
    let layer = layer.with_clock(move || {
        if let Some(metrics) = of_clock.get() {
            metrics.record(&LATENCY, 4);
        }
        now()
    });
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        metrics.set(metrics::current().unwrap()).unwrap();
        Ok::<_, Infallible>(())
    }));
    let call = invocation.sync_scope(|| service.oneshot(event("one")));
    futures_block_on(call);
    metrics.get().unwrap().record(&ORDERS_CREATED, 1);
    let objects = objects(&output);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["Latency"], 4);
    assert_eq!(objects[1]["OrdersCreated"], 1);
}

fn futures_block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

#[test]
fn a_handle_of_a_thread_writes_at_its_end() {
    thread_local! {
        static METRICS: RefCell<Option<Metrics>> = const { RefCell::new(None) };
    }

    let (layer, output) = layer();
    let thread = std::thread::spawn(move || {
        let metrics = layer.recorder();
        METRICS.set(Some(metrics.clone()));
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        metrics.record(&ORDERS_CREATED, 2);
    });
    thread.join().unwrap();
    assert_eq!(objects(&output)[1]["OrdersCreated"], 2);
}

#[tokio::test]
async fn an_attempt_has_nothing_of_what_the_one_before_has_added() {
    let (layer, output) = layer();
    let layer = layer.with_clock(now);
    let attempts = Mutex::new(0);
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        let attempt = {
            let mut attempts = attempts.lock().unwrap();
            *attempts += 1;
            *attempts
        };
        if attempt == 1 {
            metrics::add_dimension("first", 1);
            metrics::add_dimensions([("tenant", "t1")]);
            metrics::add_metadata("reason", "throttled");
            metrics::set_timestamp(now() - HOUR);
        }
        ORDERS_CREATED.record(attempt);
        Ok::<_, Infallible>(())
    }));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    for _ in 0..2 {
        let attempt = service.clone().oneshot(event("one"));
        invocation.scope(attempt).await.unwrap();
    }
    let objects = objects(&output);
    assert_eq!(sets(&objects[0]).len(), 2);
    assert_eq!(objects[1]["OrdersCreated"], 2);
    assert_eq!(sets(&objects[1]), [["service"]]);
    assert!(objects[1].get("reason").is_none());
    assert_eq!(objects[1]["_aws"]["Timestamp"], 1_795_392_000_000_u64);
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
        .layer(service_fn(|_: LambdaEvent<()>| async {
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
    shared::<SingleMetric<'static>>();
    sent::<ResponseFuture<std::future::Ready<()>>>();
    sent::<MetricsError>();
}

/// A point in time, and a layer for which it is now.
fn layer_at(now: SystemTime) -> (MetricsLayer, Captured) {
    let (layer, output) = layer();
    (layer.with_clock(move || now), output)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_392_000_000)
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn what_is_left_out_has_an_error_of_its_kind() {
    let (layer, output) = layer();
    let metrics = layer.recorder();
    metrics.try_record(&ORDERS_CREATED, 1).unwrap();
    metrics.try_add_metadata("order", 1).unwrap();
    metrics.try_add_dimension("shop", "a").unwrap();
    metrics.try_add_dimensions([("tenant", "t1")]).unwrap();

    use MetricsError as Error;
    let value = metrics.try_record(&ORDERS_CREATED, f64::NAN);
    assert!(matches!(value, Err(Error::Value { .. })));
    let unit = metrics.try_record(&Metric::new("OrdersCreated", Unit::Bytes), 1);
    assert!(matches!(unit, Err(Error::UnitMismatch { .. })));
    let duration = metrics.try_record(&ORDERS_CREATED, HOUR);
    assert!(matches!(duration, Err(Error::NotATime { .. })));
    for name in ["shop", "tenant", "service", "order"] {
        let taken = metrics.try_record(&Metric::new(name, Unit::Count), 1);
        assert!(matches!(taken, Err(Error::NameTaken { .. })), "{name}");
    }
    let name = metrics.try_add_dimension("", "a");
    assert!(matches!(name, Err(Error::DimensionName { .. })));
    let value = metrics.try_add_dimension("a", "\u{0}");
    assert!(matches!(value, Err(Error::DimensionValue { .. })));
    let conflict = metrics.try_add_dimension("tenant", "t2");
    assert!(matches!(conflict, Err(Error::DimensionConflict { .. })));
    let too_many = metrics.try_add_dimensions((0..28).map(|count| (format!("d{count}"), count)));
    assert!(matches!(
        too_many,
        Err(Error::TooManyDimensions { limit: 30, .. })
    ));
    let timestamp = metrics.try_set_timestamp(UNIX_EPOCH);
    assert!(matches!(timestamp, Err(Error::Timestamp { .. })));
    let metadata = metrics.try_add_metadata("large", "x".repeat(600_000));
    assert!(matches!(metadata, Err(Error::TooMuchMetadata { .. })));

    metrics.try_flush().unwrap();
    assert!(matches!(metrics.try_flush(), Err(Error::Empty)));
    let objects = objects(&output);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], 1);
    assert_eq!(sets(&objects[0]), [vec!["shop", "service"], vec!["tenant"]]);
}

#[tokio::test]
async fn further_dimension_sets_have_the_default_dimensions_and_their_own() {
    let (layer, output) = layer();
    let service =
        layer
            .default_dimension("stage", "prod")
            .layer(service_fn(|_: LambdaEvent<()>| async {
                metrics::add_dimensions([("tenant", "t1"), ("region", "eu")]);
                metrics::add_dimension("shop", "a");
                metrics::add_dimensions([("region", "eu")]);
                // What is there already, in whatever order.
                metrics::add_dimensions([("region", "eu"), ("tenant", "t1")]);
                metrics::add_dimensions([("shop", "a"), ("service", "orders")]);
                ORDERS_CREATED.record(1);
                Ok::<_, Infallible>(())
            }));
    service.oneshot(event("one")).await.unwrap();

    let line = &output.lines()[0];
    let object = &objects(&output)[0];
    assert_eq!(
        object["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([
            ["stage", "shop", "service"],
            ["stage", "tenant", "region"],
            ["stage", "region"],
        ])
    );
    let members = concat!(
        r#""stage":"prod","shop":"a","service":"orders","tenant":"t1","region":"eu","#,
        r#""OrdersCreated":1}"#
    );
    assert!(line.ends_with(members), "{line}");
}

#[tokio::test]
async fn blank_dimensions_of_a_set_are_left_out_and_what_is_left_empty_is_no_set() {
    let (warnings, _guard) = Warnings::listen();
    let objects = objects_of(|| async {
        metrics::add_dimensions([("", "a"), ("tenant", "t1"), ("region", "  ")]);
        metrics::add_dimensions([("region", "")]);
        metrics::add_dimensions([] as [(&str, &str); 0]);
        metrics::add_dimensions([("zoë", "a"), ("region", "eu")]);
        ORDERS_CREATED.record(1);
    })
    .await;
    assert_eq!(sets(&objects[0]), [vec!["service"], vec!["tenant"]]);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(warnings[0].contains(r#"name of dimension "" is blank"#));
    assert!(warnings[1].contains(r#"value of dimension "region" is blank"#));
    assert!(warnings[2].contains(r#"name of dimension "zoë" is not printable ASCII"#));
}

#[tokio::test]
async fn a_time_within_two_weeks_and_two_hours_is_that_of_the_metrics() {
    for time in [now() - 14 * 24 * HOUR, now(), now() + 2 * HOUR] {
        let (layer, output) = layer_at(now());
        let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
            metrics::set_timestamp(time);
            for _ in 0..101 {
                LATENCY.record(1);
            }
            Ok::<_, Infallible>(())
        }));
        service.oneshot(event("one")).await.unwrap();
        let expected = time.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let objects = objects(&output);
        assert_eq!(objects.len(), 2);
        // What was written because it was full has the time too.
        assert!(
            objects
                .iter()
                .all(|object| object["_aws"]["Timestamp"] == expected)
        );
    }
}

#[tokio::test]
async fn a_time_that_cloudwatch_does_not_take_is_left_out_with_a_warning() {
    let millisecond = Duration::from_millis(1);
    let too_old = now() - 14 * 24 * HOUR - millisecond;
    for time in [too_old, now() + 2 * HOUR + millisecond, UNIX_EPOCH - HOUR] {
        let (warnings, _guard) = Warnings::listen();
        let (layer, output) = layer_at(now());
        let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
            metrics::set_timestamp(time);
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>(())
        }));
        service.oneshot(event("one")).await.unwrap();
        assert_eq!(
            objects(&output)[0]["_aws"]["Timestamp"],
            1_795_392_000_000_u64
        );
        let warnings = warnings.take();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("within the last 14 days and the next 2 hours"));
    }
}

#[tokio::test]
async fn a_flush_writes_at_once_and_begins_anew() {
    let (layer, output) = layer_at(now());
    let service =
        layer
            .default_dimension("stage", "prod")
            .layer(service_fn(|_: LambdaEvent<()>| async {
                metrics::add_dimension("stage", "test");
                metrics::add_dimension("shop", "a");
                metrics::add_dimensions([("tenant", "t1")]);
                metrics::add_metadata("order", 1);
                metrics::set_timestamp(now() - HOUR);
                // Nothing to write, so nothing happens.
                metrics::flush();
                ORDERS_CREATED.record(1);
                metrics::flush();
                assert_eq!(objects(&output).len(), 1);
                ORDERS_CREATED.record(2);
                Ok::<_, Infallible>(())
            }));
    service.oneshot(event("one")).await.unwrap();

    let objects = objects(&output);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["order"], 1);
    assert_eq!(objects[0]["stage"], "test");
    assert_eq!(
        objects[0]["_aws"]["Timestamp"],
        1_795_392_000_000_u64 - 3_600_000
    );
    assert_eq!(
        sets(&objects[0]),
        [vec!["stage", "shop", "service"], vec!["stage", "tenant"]]
    );
    assert_eq!(objects[1]["OrdersCreated"], 2);
    assert_eq!(objects[1]["stage"], "prod");
    assert_eq!(objects[1]["_aws"]["Timestamp"], 1_795_392_000_000_u64);
    assert_eq!(sets(&objects[1]), [["stage", "service"]]);
    assert!(objects[1].get("order").is_none());
}

#[tokio::test]
async fn a_warning_of_each_kind_is_enough_until_the_next_flush() {
    let (warnings, _guard) = Warnings::listen();
    objects_of(|| async {
        for _ in 0..1000 {
            ORDERS_CREATED.record(f64::NAN);
            metrics::add_dimension("", "a");
        }
        ORDERS_CREATED.record(1);
        metrics::flush();
        ORDERS_CREATED.record(f64::NAN);
    })
    .await;
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
}

#[tokio::test]
async fn a_warning_hides_none_of_another_metric_but_there_is_an_end_of_them() {
    let (warnings, _guard) = Warnings::listen();
    let (layer, _) = layer();
    let metrics = layer.recorder();
    metrics.record(&ORDERS_CREATED, f64::NAN);
    metrics.record(&LATENCY, f64::NAN);
    assert_eq!(warnings.take().len(), 2);
    for number in 0..100 {
        let metric = Metric::try_new(format!("Metric{number}"), Unit::Count).unwrap();
        metrics.record(&metric, f64::NAN);
    }
    assert_eq!(warnings.take().len(), 30);
    // Also an object that is written because it is full is one.
    for _ in 0..100 {
        metrics.record(&ORDERS_CREATED, 1);
    }
    metrics.record(&ORDERS_CREATED, f64::NAN);
    assert_eq!(warnings.take().len(), 1);
}

#[test]
fn a_single_metric_has_the_time_that_it_is_given() {
    let (layer, output) = layer_at(now());
    let metrics = layer.recorder();
    let metric = ORDERS_CREATED;
    let single = metric.single(1).with_metrics(&metrics);
    single.clone().timestamp(now() - HOUR).try_emit().unwrap();
    let late = single.timestamp(now() + 3 * HOUR);
    let refused = late.clone().try_emit();
    assert!(matches!(refused, Err(MetricsError::Timestamp { .. })));
    late.emit();
    let times: Vec<_> = objects(&output)
        .iter()
        .map(|object| object["_aws"]["Timestamp"].as_u64().unwrap())
        .collect();
    assert_eq!(times, [1_795_388_400_000, 1_795_392_000_000]);
}

#[test]
fn a_single_metric_takes_no_name_of_the_layers_in_its_namespace() {
    let (layer, output) = layer();
    let metrics = layer.error_metrics(true).recorder();
    let errors = Metric::new("Errors", Unit::Count);
    let orders = ORDERS_CREATED;
    let orders = orders.single(1).with_metrics(&metrics);
    let errors_of_ours = errors.single(1).with_metrics(&metrics);
    let refused = [
        errors_of_ours.clone().try_emit(),
        errors_of_ours.clone().namespace("Shop").try_emit(),
        orders.clone().dimension("Faults", 1).try_emit(),
        orders.metadata("Panics", 1).try_emit(),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        let is_taken = matches!(error, MetricsError::NameTaken { .. });
        assert!(is_taken, "{error}");
    }
    errors_of_ours.namespace("Billing").try_emit().unwrap();
    assert_eq!(objects(&output).len(), 1);
}

#[tokio::test]
async fn a_single_metric_is_an_object_of_its_own_and_written_at_once() {
    let (layer, output) = layer_at(now());
    let service =
        layer
            .default_dimension("stage", "prod")
            .layer(service_fn(|_: LambdaEvent<()>| async {
                metrics::add_dimension("shop", "a");
                metrics::add_metadata("order", 1);
                metrics::set_timestamp(now() - HOUR);
                ORDERS_CREATED.record(1);
                LATENCY
                    .single(Duration::from_millis(7))
                    .dimension("provider", "other")
                    .dimension("provider", "acme")
                    .metadata("attempt", 2)
                    .emit();
                assert_eq!(output.lines().len(), 1);
                LATENCY
                    .single(8)
                    .namespace("Billing")
                    .default_dimensions()
                    .dimension("stage", "test")
                    .emit();
                ORDERS_CREATED.single(9).emit();
                Ok::<_, Infallible>(())
            }));
    service.oneshot(event("one")).await.unwrap();

    assert_eq!(
        output.lines()[0],
        concat!(
            r#"{"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","#,
            r#""Dimensions":[["provider","service"]],"#,
            r#""Metrics":[{"Name":"Latency","Unit":"Milliseconds"}]}]},"#,
            r#""provider":"acme","service":"orders","attempt":2,"Latency":7}"#
        )
    );
    let objects = objects(&output);
    assert_eq!(objects.len(), 4);
    assert_eq!(
        objects[1]["_aws"]["CloudWatchMetrics"][0]["Namespace"],
        "Billing"
    );
    assert_eq!(dimensions(&objects[1]), ["stage", "service"]);
    assert_eq!(objects[1]["stage"], "test");
    assert_eq!(dimensions(&objects[2]), ["service"]);
    assert_eq!(dimensions(&objects[3]), ["stage", "shop", "service"]);
    assert_eq!(objects[3]["OrdersCreated"], 1);
    assert!(objects[3].get("Latency").is_none());
}

#[test]
fn a_single_metric_is_the_object_of_its_docs() {
    let docs = include_str!("../src/metrics/single.rs").lines();
    let shown = docs
        .skip_while(|line| *line != "/// ```json")
        .nth(1)
        .unwrap();
    let (layer, output) = layer_at(now());
    Metric::new("Payments", Unit::Count)
        .single(1)
        .with_metrics(&layer.recorder())
        .dimension("provider", "acme")
        .metadata("order_id", "a1")
        .emit();
    assert_eq!(format!("/// {}", output.lines()[0]), shown);
}

#[tokio::test]
async fn a_single_metric_is_checked_like_all_others() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }

    let (warnings, _guard) = Warnings::listen();
    let objects = objects_of(|| async {
        let orders_created = ORDERS_CREATED;
        let metric = orders_created.single(1);
        let many = (0..30).fold(metric.clone(), |metric, count| {
            metric.dimension(format!("d{count}"), count)
        });
        use MetricsError as Error;
        let refused = [
            ORDERS_CREATED.single(f64::INFINITY).try_emit(),
            ORDERS_CREATED.single(HOUR).try_emit(),
            metric.clone().dimension("zoë", 1).try_emit(),
            metric.clone().dimension("OrdersCreated", 1).try_emit(),
            metric.clone().metadata("service", 1).try_emit(),
            metric.clone().metadata("broken", Broken).try_emit(),
            metric.clone().namespace(":").try_emit(),
            many.clone().try_emit(),
        ]
        .map(|result| result.unwrap_err());
        let [
            value,
            not_a_time,
            name,
            taken,
            taken_too,
            metadata,
            namespace,
            too_many,
        ] = refused;
        assert!(matches!(value, Error::Value { .. }));
        assert!(matches!(not_a_time, Error::NotATime { .. }));
        assert!(matches!(name, Error::DimensionName { .. }));
        assert!(matches!(taken, Error::NameTaken { .. }));
        assert!(matches!(taken_too, Error::NameTaken { .. }));
        assert!(matches!(metadata, Error::Metadata { .. }));
        assert!(matches!(namespace, Error::Namespace { .. }));
        assert!(matches!(too_many, Error::TooManyDimensions { .. }));

        // Without a `Result` there is a warning, and the rest is written.
        many.emit();
        metric.dimension("zoë", 1).metadata("broken", Broken).emit();
        ORDERS_CREATED.single(f64::NAN).emit();
    })
    .await;
    assert_eq!(objects.len(), 2);
    assert_eq!(dimensions(&objects[0]).len(), 30);
    assert_eq!(dimensions(&objects[1]), ["service"]);
    let warnings = warnings.take();
    let named = [
        r#"dimension "d29" is one too many"#,
        r#"name of dimension "zoë""#,
        r#"metadata "broken""#,
        r#"value NaN of metric "OrdersCreated""#,
    ];
    assert_eq!(warnings.len(), named.len(), "{warnings:#?}");
    for (warning, named) in warnings.iter().zip(named) {
        assert!(warning.contains(named), "{warning} should name {named}");
    }
}

#[tokio::test]
async fn a_single_metric_of_a_thread_is_that_of_its_handle() {
    let objects = objects_of(|| async {
        let metrics = metrics::current().unwrap();
        let single = move || ORDERS_CREATED.single(1).with_metrics(&metrics).emit();
        tokio::task::spawn_blocking(single).await.unwrap();
    })
    .await;
    assert_eq!(objects[0]["OrdersCreated"], 1);
}

/// What is bad costs itself, and nothing else.
#[tokio::test]
async fn bad_input_never_fails_the_invocation() {
    let (warnings, _guard) = Warnings::listen();
    let (layer, output) = layer();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        ORDERS_CREATED.record(1);
        for name in ["", " ", "\n", &"n".repeat(256), "_aws", "zoë"] {
            let metric = Metric::try_new(name.to_owned(), Unit::Count);
            assert!(
                matches!(metric, Err(MetricsError::MetricName { .. })),
                "{name:?}"
            );
            metrics::add_dimension(name.to_owned(), 1);
            metrics::add_dimensions([(name.to_owned(), 1)]);
        }
        for unit in ["", "count", "Counts", "Bytes/second", "Seconds "] {
            let unit = unit.parse::<Unit>();
            assert!(matches!(unit, Err(MetricsError::Unit { .. })), "{unit:?}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            ORDERS_CREATED.record(value);
        }
        for count in 0..100 {
            metrics::add_dimension(format!("d{count}"), count);
        }
        metrics::add_metadata("_aws", 1);
        metrics::set_timestamp(UNIX_EPOCH);
        ORDERS_CREATED.record(2);
        Ok::<_, Infallible>("answer")
    }));
    assert_eq!(service.oneshot(event("one")).await, Ok("answer"));
    let objects = objects(&output);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], json!([1, 2]));
    assert_eq!(dimensions(&objects[0]).len(), 30);
    // 32 with their names, and one of each other kind.
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 34, "{warnings:#?}");
    assert!(warnings[32].contains(r#"the name "_aws" is already taken"#));
    assert!(warnings[33].contains("timestamp 0 is not within"));
}
