//! What libraries record with the crate `metrics`, as CloudWatch sees it.
#![cfg(all(feature = "metrics-facade", feature = "testing"))]

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Duration,
};

use ::metrics::{
    Counter, Label, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram, set_default_local_recorder, with_local_recorder,
};
use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation,
    env::{METRICS_DISABLED, METRICS_NAMESPACE},
    metrics::{
        Metric, MetricsLayer, Unit, add_dimension, add_metadata,
        facade::{FacadeRecorder, InstallError},
    },
    testing::{CapturedMetrics, capture_metrics, context},
};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{Event, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer::Context, prelude::*};

mod subscriber;

fn layer() -> (CapturedMetrics, MetricsLayer) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop")]);
    capture_metrics(MetricsLayer::from_env(&env).service("orders"))
}

/// Runs a handler once under the layer, on this thread, with a recorder of its own.
fn metrics_of(handler: impl Fn()) -> CapturedMetrics {
    let recorder = FacadeRecorder::new();
    with_local_recorder(&recorder, || invoke("one", handler))
}

/// Runs a handler once under the layer, with the recorder of this thread.
fn invoke(request_id: &str, handler: impl Fn()) -> CapturedMetrics {
    let (captured, layer) = layer();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| {
        handler();
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    let event = LambdaEvent::new((), context(request_id));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(service.oneshot(event)).unwrap();
    captured
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = subscriber::registry().with(warnings.clone()).set_default();
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
            }
        }
        if event.metadata().target().starts_with("powertools") {
            // As a subscriber that counts log lines does.
            counter!("log_lines").increment(1);
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[test]
fn what_has_no_labels_is_among_the_other_metrics() {
    const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

    let captured = metrics_of(|| {
        ORDERS_CREATED.record(1);
        counter!("cache_hits").increment(3);
        gauge!("pool_size").set(7.5);
        histogram!("query_time").record(12.5);
        histogram!("query_time").record(3);
        add_dimension("shop", "berlin");
        add_metadata("order_id", "a1");
    });
    let objects = captured.objects();
    let [object] = &objects[..] else {
        panic!("{objects:?}");
    };
    assert_eq!(
        object.to_string(),
        "Shop [shop=berlin, service=orders] OrdersCreated=1 Count cache_hits=3 Count \
         pool_size=7.5 query_time=[12.5, 3.0]"
    );
    assert_eq!(captured.metadata("order_id"), "a1");
}

#[test]
fn labels_are_dimensions_and_each_combination_is_an_object() {
    let captured = metrics_of(|| {
        counter!("requests", "method" => "GET", "status" => "200").increment(1);
        counter!("requests", "method" => "GET", "status" => "500").increment(1);
        // The same labels in another order, of another kind of metric.
        histogram!("latency", "status" => "200", "method" => "GET").record(4);
        counter!("requests", "status" => "200", "method" => "GET").increment(2);
        counter!("requests").increment(10);
        add_dimension("shop", "berlin");
    });
    let mut objects: Vec<_> = captured.objects().iter().map(ToString::to_string).collect();
    objects.sort();
    assert_eq!(
        objects,
        [
            "Shop [shop=berlin, method=GET, status=200, service=orders] requests=3 Count \
             latency=4",
            "Shop [shop=berlin, method=GET, status=500, service=orders] requests=1 Count",
            "Shop [shop=berlin, service=orders] requests=10 Count",
        ]
    );
}

#[test]
fn a_label_replaces_a_dimension_of_its_name() {
    let captured = metrics_of(|| counter!("requests", "service" => "proxy").increment(1));
    let objects = captured.objects();
    assert!(objects[0].dimension_sets().eq([[("service", "proxy")]]));
}

#[test]
fn units_are_those_that_were_described_or_converted() {
    use ::metrics::Unit as Described;

    let table = [
        (Described::Count, Unit::Count, 1.0),
        (Described::Percent, Unit::Percent, 1.0),
        (Described::Seconds, Unit::Seconds, 1.0),
        (Described::Milliseconds, Unit::Milliseconds, 1.0),
        (Described::Microseconds, Unit::Microseconds, 1.0),
        (Described::Nanoseconds, Unit::Microseconds, 0.001),
        (Described::Tebibytes, Unit::Bytes, 1_099_511_627_776.0),
        (Described::Gibibytes, Unit::Bytes, 1_073_741_824.0),
        (Described::Mebibytes, Unit::Bytes, 1_048_576.0),
        (Described::Kibibytes, Unit::Bytes, 1024.0),
        (Described::Bytes, Unit::Bytes, 1.0),
        (Described::TerabitsPerSecond, Unit::TerabitsPerSecond, 1.0),
        (Described::GigabitsPerSecond, Unit::GigabitsPerSecond, 1.0),
        (Described::MegabitsPerSecond, Unit::MegabitsPerSecond, 1.0),
        (Described::KilobitsPerSecond, Unit::KilobitsPerSecond, 1.0),
        (Described::BitsPerSecond, Unit::BitsPerSecond, 1.0),
        (Described::CountPerSecond, Unit::CountPerSecond, 1.0),
    ];
    let captured = metrics_of(|| {
        for (described, ..) in table {
            let name = described.as_str();
            describe_histogram!(name, described, "described before it is registered");
            histogram!(name).record(1);
        }
    });
    for (described, unit, value) in table {
        let name = described.as_str();
        assert_eq!(captured.unit(name), unit, "{name}");
        assert_eq!(captured.values(name), [value], "{name}");
    }
}

#[test]
fn whole_nanoseconds_are_exact_in_microseconds() {
    let captured = metrics_of(|| {
        describe_histogram!("pause", ::metrics::Unit::Nanoseconds, "");
        for nanoseconds in [7_000, 1_234_567, 3] {
            histogram!("pause").record(nanoseconds);
        }
    });
    assert_eq!(captured.values("pause"), [7.0, 1234.567, 0.003]);
}

#[test]
fn a_unit_may_be_described_up_to_the_first_value_and_stays() {
    let captured = metrics_of(|| {
        let sent = counter!("sent", "peer" => "a");
        let opened = gauge!("opened");
        describe_counter!("sent", ::metrics::Unit::Bytes, "");
        describe_gauge!("opened", "without a unit");
        sent.increment(1);
        opened.set(1);

        describe_counter!("sent", ::metrics::Unit::Count, "");
        sent.increment(2);
        counter!("sent", "peer" => "a").increment(4);
    });
    assert_eq!(captured.unit("sent"), Unit::Bytes);
    assert_eq!(captured.values("sent"), [7.0]);
    assert_eq!(captured.unit("opened"), Unit::None);
}

#[test]
fn the_kinds_do_not_share_units() {
    let captured = metrics_of(|| {
        describe_gauge!("size", ::metrics::Unit::Bytes, "");
        counter!("size").increment(1);
    });
    assert_eq!(captured.unit("size"), Unit::Count);
}

#[test]
fn an_absolute_counter_counts_what_was_added_to_it() {
    let captured = metrics_of(|| {
        counter!("bytes").absolute(100);
        counter!("bytes").absolute(250);
        // Late, and by another caller.
        counter!("bytes").absolute(200);
        counter!("bytes").increment(50);
        counter!("bytes").absolute(300);
        counter!("bytes").absolute(301);
    });
    assert_eq!(captured.values("bytes"), [301.0]);
}

#[test]
fn a_counter_is_one_value_for_each_flush_however_often_it_counts() {
    let captured = metrics_of(|| {
        for row in 0..10_000_u32 {
            counter!("rows").increment(1);
            if row % 2 == 0 {
                counter!("rows", "kind" => "even").increment(2);
            }
        }
        powertools::metrics::flush();
        counter!("rows").increment(5);
    });
    let objects: Vec<_> = captured.objects().iter().map(ToString::to_string).collect();
    assert_eq!(
        objects,
        [
            "Shop [service=orders] rows=10000 Count",
            "Shop [kind=even, service=orders] rows=10000 Count",
            "Shop [service=orders] rows=5 Count",
        ]
    );
}

#[test]
fn a_counter_changes_no_value_that_is_not_its_own() {
    const ROWS: Metric = Metric::new("rows", Unit::Count);
    const PAGES: Metric = Metric::new("pages", Unit::Count);

    let captured = metrics_of(|| {
        ROWS.record(7);
        counter!("rows").increment(1);
        counter!("rows").increment(2);
        counter!("pages").increment(1);
        PAGES.record(7);
        counter!("pages").increment(2);
    });
    assert_eq!(captured.values("rows"), [7.0, 1.0, 2.0]);
    assert_eq!(captured.values("pages"), [3.0, 7.0]);
}

#[test]
fn a_counter_with_the_name_of_a_metric_of_the_layer_is_left_out() {
    let recorder = FacadeRecorder::new();
    let (warnings, _guard) = Warnings::listen();
    let (captured, layer) = layer();
    let service = layer
        .error_metrics(true)
        .layer(service_fn(|_: LambdaEvent<()>| {
            with_local_recorder(&recorder, || {
                counter!("Errors").increment(1);
                counter!("Errors").increment(1);
            });
            std::future::ready(Ok::<_, Infallible>(()))
        }));
    let event = LambdaEvent::new((), context("one"));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(service.oneshot(event)).unwrap();
    assert_eq!(captured.values("Errors"), [0.0]);
    assert_eq!(warnings.take().len(), 1);
}

#[test]
fn what_a_counter_counts_after_the_invocation_is_not_lost() {
    let recorder = FacadeRecorder::new();
    let rows = with_local_recorder(&recorder, || counter!("rows"));
    let late = Mutex::new(None);
    let captured = invoke("one", || {
        rows.increment(1);
        *late.lock().unwrap() = Invocation::current();
    });
    let late = late.into_inner().unwrap().unwrap();
    late.sync_scope(|| {
        rows.increment(2);
        rows.increment(3);
    });
    assert_eq!(captured.values("rows"), [1.0, 2.0, 3.0]);
}

#[test]
fn an_absolute_counter_loses_nothing_between_invocations() {
    let recorder = FacadeRecorder::new();
    with_local_recorder(&recorder, || {
        let (warnings, _guard) = Warnings::listen();
        let bytes = counter!("bytes");
        let absolute = |to| invoke("any", || bytes.absolute(to));
        assert_eq!(absolute(10).values("bytes"), [10.0]);
        bytes.absolute(25);
        assert_eq!(
            warnings.take(),
            [r#"message=left out of the metrics: "bytes" was recorded outside of an invocation "#]
        );
        assert_eq!(absolute(30).values("bytes"), [20.0]);
    });
}

#[test]
fn a_gauge_tells_what_it_is_after_each_change() {
    let captured = metrics_of(|| {
        gauge!("open").increment(2);
        gauge!("open").increment(1.5);
        gauge!("open").decrement(3);
        gauge!("open").set(9);
        gauge!("open").decrement(1);
        gauge!("open", "pool" => "b").increment(1);
    });
    assert_eq!(
        captured.objects()[0].values("open"),
        [2.0, 3.5, 0.5, 9.0, 8.0]
    );
    assert_eq!(captured.with_dimension("pool", "b").values("open"), [1.0]);
}

#[test]
fn a_gauge_goes_on_from_where_it_was_before_a_value_that_is_none() {
    let (warnings, _guard) = Warnings::listen();
    let captured = metrics_of(|| {
        let open = gauge!("open");
        open.set(2);
        open.set(f64::NAN);
        open.increment(f64::INFINITY);
        open.increment(1);
    });
    assert_eq!(captured.values("open"), [2.0, 3.0]);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains(r#"metric "open" is not a number"#),
        "{warnings:?}"
    );
}

#[test]
fn a_histogram_keeps_each_value() {
    let captured = metrics_of(|| {
        let time = histogram!("time");
        time.record(Duration::from_millis(1500));
        time.record_many(2, 250);
        time.record_many(3, 0);
    });
    let values = captured.values("time");
    assert_eq!(values.len(), 251);
    assert_eq!(values[..2], [1.5, 2.0]);
    assert_eq!(captured.sum("time"), 501.5);
    assert_eq!(captured.objects().len(), 3);
}

#[test]
fn names_that_cloudwatch_does_not_take_are_left_out_with_one_warning_each() {
    let (warnings, _guard) = Warnings::listen();
    let captured = metrics_of(|| {
        for _ in 0..3 {
            counter!("zoë").increment(1);
            gauge!("_aws").set(1);
            histogram!(" ").record(1);
            counter!("n".repeat(256)).increment(1);
            counter!("requests", ":path" => "/", "user" => "", "method" => "GET").increment(1);
        }
    });
    // The subscriber counts too.
    assert_eq!(captured.names(), ["log_lines", "requests"]);
    let requests = captured.with_dimension("method", "GET");
    assert_eq!(requests.sum("requests"), 3.0);
    let object = &requests.objects()[0];
    assert!(
        object
            .dimension_sets()
            .eq([[("method", "GET"), ("service", "orders")]])
    );

    let warnings = warnings.take();
    let long = format!(r#"name of metric "{}" is longer"#, "n".repeat(256));
    let expected = [
        r#"name of metric "zoë" is not printable ASCII"#,
        r#"name of metric "_aws" is reserved"#,
        r#"name of metric "" is blank"#,
        &long,
        r#"name of dimension ":path" is led by a colon"#,
        r#"value of dimension "user" is blank"#,
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.contains(expected), "{warning}");
    }
}

#[test]
fn what_cloudwatch_does_not_take_together_is_left_out_with_a_warning() {
    let (warnings, _guard) = Warnings::listen();
    let captured = metrics_of(|| {
        let labels: Vec<_> = (1..=30)
            .map(|count| Label::new(format!("l{count}"), "v"))
            .collect();
        // With the service there are 31.
        counter!("requests", labels.clone()).increment(1);
        counter!("requests", labels[1..].to_vec()).increment(2);
        counter!("service").increment(4);
    });
    assert_eq!(captured.values("requests"), [2.0]);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("is one too many"), "{warnings:?}");
    assert!(
        warnings[1].contains(r#"the name "service" is already taken by a dimension"#),
        "{warnings:?}"
    );
}

#[test]
fn what_nobody_takes_is_warned_of_once_a_metric() {
    let recorder = FacadeRecorder::new();
    with_local_recorder(&recorder, || {
        let (warnings, _guard) = Warnings::listen();
        for _ in 0..3 {
            counter!("hits").increment(1);
            gauge!("open").set(1);
            histogram!("time").record_many(1, 5);
        }
        let expected = ["hits", "open", "time"].map(|name| {
            format!(
                "message=left out of the metrics: {name:?} was recorded outside of an invocation "
            )
        });
        let mut warnings = warnings.take();
        warnings.sort();
        assert_eq!(warnings, expected);

        let open = gauge!("open");
        let captured = invoke("one", || open.increment(1));
        assert_eq!(captured.values("open"), [2.0]);
    });
}

#[test]
fn disabled_metrics_are_silent() {
    let (warnings, _guard) = Warnings::listen();
    let recorder = FacadeRecorder::new();
    let _local = set_default_local_recorder(&recorder);
    let env = Env::from([(METRICS_DISABLED, "true")]);
    let (captured, layer) = capture_metrics(MetricsLayer::from_env(&env));
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| {
        counter!("hits").increment(1);
        gauge!("open").set(f64::NAN);
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    let event = LambdaEvent::new((), context("one"));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(service.oneshot(event)).unwrap();
    assert!(captured.objects().is_empty());
    assert!(warnings.take().is_empty());
}

#[test]
fn a_handle_records_to_the_invocation_that_uses_it() {
    let recorder = FacadeRecorder::new();
    let hits = with_local_recorder(&recorder, || counter!("hits"));
    let (captured, layer) = layer();
    let service = layer.layer(service_fn(move |event: LambdaEvent<u64>| {
        let hits = hits.clone();
        async move {
            add_dimension("request", event.payload);
            hits.increment(event.payload);
            tokio::task::yield_now().await;
            hits.increment(1);
            Ok::<_, Infallible>(())
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (1..=1000)
            .map(|count| {
                let event = LambdaEvent::new(count, context(count.to_string()));
                let service = service.clone();
                tokio::spawn(async move { service.oneshot(event).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let objects = captured.objects();
    assert_eq!(objects.len(), 1000);
    for object in objects {
        let request: f64 = object.dimension("request").unwrap().parse().unwrap();
        assert_eq!(object.values("hits"), [request + 1.0]);
    }
}

#[test]
fn threads_share_what_a_key_stands_for() {
    const THREADS: u32 = 8;
    const CHANGES: u32 = 500;

    let recorder = FacadeRecorder::new();
    let captured = invoke("one", || {
        let invocation = Invocation::current().unwrap();
        let barrier = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let work = || {
                        barrier.wait();
                        for count in 1..=CHANGES {
                            counter!("hits", "of" => "all").increment(1);
                            counter!("bytes").absolute(u64::from(count) * 10);
                            gauge!("open").increment(1);
                        }
                    };
                    with_local_recorder(&recorder, || invocation.sync_scope(work));
                });
            }
        });
        with_local_recorder(&recorder, || gauge!("open").increment(0));
    });
    let changes = f64::from(THREADS * CHANGES);
    assert_eq!(captured.sum("hits"), changes);
    assert_eq!(captured.sum("bytes"), f64::from(CHANGES * 10));
    // Each change was told once, though not in their order.
    let mut open = captured.values("open");
    assert_eq!(open.pop(), Some(changes));
    open.sort_by(f64::total_cmp);
    assert!(open.into_iter().eq((1..=THREADS * CHANGES).map(f64::from)));
}

#[test]
fn a_metric_that_is_known_costs_no_allocation() {
    let record = || {
        counter!("requests", "method" => "GET").increment(1);
        gauge!("open").increment(1);
    };
    let captured = metrics_of(|| {
        // What a batch keeps of a metric is made with its first two values.
        record();
        record();
        assert_eq!(allocation_counter::measure(record).count_total, 0);
    });
    assert_eq!(captured.values("requests"), [3.0]);
}

#[test]
fn beyond_the_keys_that_are_kept_values_are_recorded_all_the_same() {
    const KEPT: usize = 4096;

    let (warnings, _guard) = Warnings::listen();
    let recorder = FacadeRecorder::new();
    let handle = |index: usize| -> Counter {
        with_local_recorder(
            &recorder,
            || counter!("requests", "id" => index.to_string()),
        )
    };
    for index in 0..KEPT {
        let _ = handle(index);
    }
    assert!(warnings.take().is_empty());
    assert_eq!(
        format!("{recorder:?}"),
        "FacadeRecorder { counters: 4096, gauges: 0, histograms: 0 }"
    );

    let captured = invoke("one", || {
        for _ in 0..2 {
            handle(0).absolute(10);
            handle(KEPT).increment(1);
            handle(KEPT + 1).increment(1);
            let _ = with_local_recorder(&recorder, || counter!("zoë"));
        }
        with_local_recorder(&recorder, || gauge!("open").set(1));
    });
    let of = |index: usize| captured.with_dimension("id", index).values("requests");
    assert_eq!(of(0), [10.0]);
    assert_eq!(of(KEPT), [2.0]);
    assert_eq!(of(KEPT + 1), [2.0]);
    assert_eq!(captured.values("open"), [1.0]);
    assert_eq!(
        warnings.take(),
        [
            r#"message=4096 keys of metrics are kept: "requests" is one too many, and so are others "#
        ]
    );
    assert_eq!(
        format!("{recorder:?}"),
        "FacadeRecorder { counters: 4096, gauges: 1, histograms: 0 }"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Increment(u32),
    Absolute(u32),
    Set(f64),
    Change(f64),
    Record(f64),
}

fn ops() -> impl Strategy<Value = Vec<(Op, Option<u8>)>> {
    let op = prop_oneof![
        any::<u32>().prop_map(Op::Increment),
        any::<u32>().prop_map(Op::Absolute),
        (-1e9..1e9).prop_map(Op::Set),
        (-1e9..1e9).prop_map(Op::Change),
        any::<f64>().prop_map(Op::Record),
    ];
    proptest::collection::vec((op, proptest::option::of(0..4_u8)), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_was_recorded(ops in ops()) {
        let captured = metrics_of(|| {
            for (op, label) in &ops {
                let labels: Vec<_> = label
                    .iter()
                    .map(|label| Label::new("l", label.to_string()))
                    .collect();
                match op {
                    Op::Increment(by) => counter!("c", labels).increment(u64::from(*by)),
                    Op::Absolute(to) => counter!("c", labels).absolute(u64::from(*to)),
                    Op::Set(to) => gauge!("g", labels).set(*to),
                    Op::Change(by) if *by < 0.0 => gauge!("g", labels).decrement(-by),
                    Op::Change(by) => gauge!("g", labels).increment(*by),
                    Op::Record(value) => histogram!("h", labels).record(*value),
                }
            }
        });
        for label in [None, Some(0), Some(1), Some(2), Some(3)] {
            let (mut total, mut gauge) = (0_u64, 0.0);
            let (mut gauges, mut recorded) = (Vec::new(), Vec::new());
            for (op, _) in ops.iter().filter(|(_, of)| *of == label) {
                match op {
                    Op::Increment(by) => total += u64::from(*by),
                    Op::Absolute(to) => total = total.max(u64::from(*to)),
                    Op::Set(to) => {
                        gauge = *to;
                        gauges.push(gauge);
                    }
                    Op::Change(by) => {
                        gauge += by;
                        gauges.push(gauge);
                    }
                    Op::Record(value) => recorded.push(*value),
                }
            }
            recorded.retain(|value| value.abs() <= 2_f64.powi(360));

            let objects = captured.objects();
            let of_label = objects
                .iter()
                .filter(|object| object.dimension("l") == label.map(|l| l.to_string()).as_deref());
            let values = |name| -> Vec<f64> {
                of_label
                    .clone()
                    .flat_map(|object| object.values(name).to_vec())
                    .collect()
            };
            prop_assert_eq!(values("c").iter().sum::<f64>(), total as f64);
            prop_assert_eq!(values("g"), gauges);
            prop_assert_eq!(values("h"), recorded);
        }
    }
}

#[test]
fn the_recorder_is_shared_between_threads() {
    fn check<T: Send + Sync + Clone + fmt::Debug + 'static>() {}
    check::<FacadeRecorder>();
    fn check_error<T: std::error::Error + Send + Sync + 'static>() {}
    check_error::<InstallError>();
}
