//! Questions to captured metrics, as a function's tests ask them.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::{
    convert::Infallible,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, UNIX_EPOCH},
};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    metrics::{self, Metric, MetricsLayer, Unit},
    testing::{Captured, CapturedMetrics, capture_metrics, context},
};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);

/// An object as Powertools for Python writes it: values are arrays of floats.
const PYTHON: &str = r#"{"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["stage","service"]],"Metrics":[{"Name":"OrdersCreated","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}]}]},"stage":"prod","service":"orders","order_id":"a1","OrdersCreated":[1.0],"Latency":[12.5,7.0]}"#;

/// An object as Powertools for TypeScript writes it: one value is a number.
const TYPESCRIPT: &str = r#"{"_aws":{"Timestamp":1700000060000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["service","stage"]],"Metrics":[{"Name":"OrdersCreated","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}]}]},"order_id":"b2","service":"orders","stage":"test","OrdersCreated":2,"Latency":[3,4.5]}"#;

/// One object with two dimension sets, and another namespace.
const SETS: &str = r#"{"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"Warehouse","Dimensions":[["service","region"],["service","stage"]],"Metrics":[{"Name":"Stock"}]}]},"service":"stock","region":"eu","stage":"prod","Stock":40}"#;

fn captured(lines: &[&str]) -> CapturedMetrics {
    let mut captured = CapturedMetrics::default();
    for line in lines {
        writeln!(captured, "{line}").unwrap();
    }
    captured
}

/// Returns what a question panics with.
fn panic_of<R>(question: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(question)).err();
    let payload = payload.expect("a panic").downcast::<String>();
    *payload.expect("a message")
}

#[test]
fn values_of_both_styles_are_read_and_summed_over_all_objects() {
    let captured = captured(&[PYTHON, TYPESCRIPT]);
    assert_eq!(captured.names(), ["Latency", "OrdersCreated"]);
    assert_eq!(captured.values("OrdersCreated"), [1.0, 2.0]);
    assert_eq!(captured.values("Latency"), [12.5, 7.0, 3.0, 4.5]);
    assert_eq!(captured.sum("Latency"), 27.0);
    assert_eq!(captured.count("Latency"), 4);
    assert_eq!(captured.unit("Latency"), Unit::Milliseconds);
    assert!(captured.is_high_resolution("Latency"));
    assert!(!captured.is_high_resolution("OrdersCreated"));
}

#[test]
fn a_metric_is_kept_by_the_second_if_every_object_says_so() {
    let by_the_minute = PYTHON.replace(r#","StorageResolution":1"#, "");
    let mixed = captured(&[PYTHON, &by_the_minute]);
    assert!(!mixed.is_high_resolution("Latency"));
}

#[test]
fn a_metric_that_was_not_written_has_a_count_of_zero() {
    assert_eq!(captured(&[PYTHON]).count("OrdersRefused"), 0);
    assert_eq!(captured(&[]).count("OrdersRefused"), 0);
}

#[test]
fn log_lines_between_the_objects_are_passed_over() {
    let captured = captured(&[
        "START RequestId: 52fdfc07",
        r#"{"level":"INFO","message":"order placed","OrdersCreated":9}"#,
        PYTHON,
        r#"[1,2]"#,
        r#""text""#,
        "",
        r#"{"level":"INFO","message":"{\"_aws\":1}"}"#,
    ]);
    assert_eq!(captured.objects().len(), 1);
    assert_eq!(captured.sum("OrdersCreated"), 1.0);
}

#[test]
fn output_that_holds_log_lines_too_is_read() {
    let mut output = Captured::default();
    let captured = CapturedMetrics::from(output.clone());
    assert_eq!(captured.count("OrdersCreated"), 0);
    writeln!(output, "{{}}\n{PYTHON}").unwrap();
    assert_eq!(captured.count("OrdersCreated"), 1);
}

#[test]
fn metrics_are_narrowed_by_dimensions_and_namespace() {
    let captured = captured(&[PYTHON, TYPESCRIPT, SETS]);
    let prod = captured.with_dimension("stage", "prod");
    assert_eq!(prod.values("OrdersCreated"), [1.0]);
    assert_eq!(prod.names(), ["Latency", "OrdersCreated", "Stock"]);
    let prod_orders = prod.with_dimension("service", "orders");
    assert_eq!(prod_orders.names(), ["Latency", "OrdersCreated"]);
    assert_eq!(captured.in_namespace("Warehouse").names(), ["Stock"]);
    // Metadata is no dimension.
    assert_eq!(captured.with_dimension("order_id", "a1").objects().len(), 0);
}

#[test]
fn dimensions_that_are_asked_for_together_are_in_one_set() {
    let captured = captured(&[SETS]);
    let stock = |captured: &CapturedMetrics| captured.count("Stock");
    let eu = captured.with_dimension("region", "eu");
    assert_eq!(stock(&eu), 1);
    assert_eq!(stock(&eu.with_dimension("service", "stock")), 1);
    assert_eq!(stock(&eu.with_dimension("stage", "prod")), 0);
}

#[test]
fn what_was_narrowed_sees_what_is_written_later() {
    let mut captured = captured(&[]);
    let prod = captured.with_dimension("stage", "prod");
    assert_eq!(prod.count("OrdersCreated"), 0);
    writeln!(captured, "{PYTHON}\n{TYPESCRIPT}").unwrap();
    assert_eq!(prod.count("OrdersCreated"), 1);
}

#[test]
fn an_object_tells_all_it_holds() {
    let objects = captured(&[PYTHON, SETS]).objects();
    let [python, sets] = &objects[..] else {
        panic!("{objects:?}");
    };
    assert_eq!(python.namespace(), "Shop");
    assert_eq!(
        python.timestamp(),
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    );
    assert_eq!(python.dimension("stage"), Some("prod"));
    assert_eq!(python.dimension("order_id"), None);
    assert_eq!(python.metadata("order_id"), Some(&json!("a1")));
    for other in ["stage", "Latency", "_aws"] {
        assert_eq!(python.metadata(other), None, "{other}");
    }
    assert!(python.names().eq(["OrdersCreated", "Latency"]));
    assert_eq!(python.values("Latency"), [12.5, 7.0]);
    assert!(python.values("Stock").is_empty());
    assert_eq!(python.unit("Latency"), Some(Unit::Milliseconds));
    assert_eq!(python.unit("Stock"), None);
    assert!(python.is_high_resolution("Latency"));
    assert_eq!(
        python.to_string(),
        "Shop [stage=prod, service=orders] OrdersCreated=1 Count Latency=[12.5, 7.0] Milliseconds"
    );

    assert!(sets.dimension_sets().eq([
        vec![("service", "stock"), ("region", "eu")],
        vec![("service", "stock"), ("stage", "prod")]
    ]));
    // CloudWatch reads a metric without a unit so.
    assert_eq!(sets.unit("Stock"), Some(Unit::None));
    assert_eq!(
        sets.to_string(),
        "Warehouse [service=stock, region=eu] [service=stock, stage=prod] Stock=40"
    );
}

#[test]
fn each_directive_of_a_line_is_an_object() {
    let captured = captured(&[
        r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"A","Dimensions":[[]],"Metrics":[{"Name":"X"}]},{"Namespace":"B","Dimensions":[["d"]],"Metrics":[{"Name":"Y"}]}]},"X":1,"Y":2,"d":"e","m":3}"#,
    ]);
    assert_eq!(captured.objects().len(), 2);
    assert_eq!(captured.in_namespace("A").names(), ["X"]);
    assert_eq!(captured.with_dimension("d", "e").names(), ["Y"]);
    for object in captured.objects() {
        assert_eq!(object.metadata("m"), Some(&json!(3)));
        for name in ["X", "Y", "d"] {
            assert_eq!(object.metadata(name), None, "{name}");
        }
    }
}

#[test]
fn a_question_for_a_metric_that_is_not_there_says_what_is() {
    let captured = captured(&["a log line", PYTHON, SETS]);
    let list = "\n  Shop [stage=prod, service=orders] OrdersCreated=1 Count \
                Latency=[12.5, 7.0] Milliseconds\
                \n  Warehouse [service=stock, region=eu] [service=stock, stage=prod] Stock=40";
    let expected = format!("no metric `OrderCreated` was written; this was:{list}");
    assert_eq!(panic_of(|| captured.values("OrderCreated")), expected);
    assert_eq!(panic_of(|| captured.sum("OrderCreated")), expected);
    assert_eq!(panic_of(|| captured.unit("OrderCreated")), expected);
    assert_eq!(
        panic_of(|| captured.is_high_resolution("OrderCreated")),
        expected
    );

    let narrowed = captured
        .with_dimension("stage", "test")
        .in_namespace("Shop");
    assert_eq!(
        panic_of(|| narrowed.sum("OrdersCreated")),
        format!(
            "no metric `OrdersCreated` was written in namespace `Shop` with `stage` = `test`; \
             this was:{list}"
        )
    );
}

#[test]
fn a_question_to_no_metrics_at_all_says_where_to_look() {
    let message = panic_of(|| captured(&["a log line"]).sum("OrdersCreated"));
    assert!(
        message.starts_with("no metric `OrdersCreated` was written; there are no metrics at all"),
        "{message}"
    );
    assert!(message.contains("POWERTOOLS_METRICS_DISABLED"), "{message}");
}

#[test]
fn metadata_is_what_all_objects_say() {
    assert_eq!(captured(&[PYTHON, PYTHON, SETS]).metadata("order_id"), "a1");

    let both = captured(&[PYTHON, TYPESCRIPT]);
    assert_eq!(
        both.with_dimension("stage", "test").metadata("order_id"),
        "b2"
    );
    let message = panic_of(|| both.metadata("order_id"));
    assert!(
        message.starts_with(r#"metadata `order_id` is "a1" in one object and "b2" in another"#),
        "{message}"
    );
    let message = panic_of(|| both.metadata("stage"));
    assert!(
        message.starts_with(r#"no metadata `stage` was written; its keys are {"order_id"}"#),
        "{message}"
    );
}

#[test]
fn a_metric_of_two_units_has_none() {
    let bytes = PYTHON.replace("Count", "Bytes");
    let message = panic_of(|| captured(&[PYTHON, &bytes]).unit("OrdersCreated"));
    assert!(
        message.starts_with("metric `OrdersCreated` has more than one unit; this was:"),
        "{message}"
    );
}

#[test]
fn an_object_that_cloudwatch_would_not_take_is_pointed_out() {
    for (wrong, with, reason) in [
        (
            r#""OrdersCreated":[1.0],"#,
            "",
            "metric `OrdersCreated` has no value",
        ),
        ("[1.0]", "[]", "metric `OrdersCreated` is []"),
        ("[1.0]", r#""1""#, r#"metric `OrdersCreated` is "1""#),
        (
            "[1.0]",
            r#"[1,"2"]"#,
            r#"metric `OrdersCreated` is [1,"2"]"#,
        ),
        (r#""stage":"prod","#, "", "dimension `stage` has no value"),
        (r#":"prod""#, ":1", "dimension `stage` is no string"),
        (
            "Milliseconds",
            "Fortnights",
            "there is no unit `Fortnights`",
        ),
        (r#""Namespace":"Shop","#, "", "missing field `Namespace`"),
        (
            r#""Timestamp":1700000000000,"#,
            "",
            "missing field `Timestamp`",
        ),
    ] {
        let line = PYTHON.replace(wrong, with);
        assert_ne!(line, PYTHON, "{reason}");
        let message = panic_of(|| captured(&[&line]).count("Latency"));
        assert_eq!(
            message,
            format!("CloudWatch would take no metrics from this line ({reason}): {line}")
        );
    }
}

#[test]
fn an_object_of_more_than_cloudwatch_takes_is_pointed_out() {
    let line = |dimensions: usize, metrics: usize, values: usize| {
        let names = |prefix: &str, count| -> Vec<String> {
            (0..count)
                .map(|number| format!("{prefix}{number}"))
                .collect()
        };
        let (dimensions, metrics) = (names("d", dimensions), names("m", metrics));
        let definitions = metrics.iter().map(|name| serde_json::json!({"Name": name}));
        let mut line = serde_json::json!({
            "_aws": {
                "Timestamp": 1_700_000_000_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Shop",
                    "Dimensions": [dimensions],
                    "Metrics": definitions.collect::<Vec<_>>(),
                }],
            },
        });
        for name in &dimensions {
            line[name] = "v".into();
        }
        for name in &metrics {
            line[name] = vec![1; values].into();
        }
        line.to_string()
    };
    assert_eq!(captured(&[&line(30, 100, 100)]).count("m99"), 100);
    for (line, reason) in [
        (line(31, 1, 1), "a dimension set has 31 dimensions"),
        (line(1, 101, 1), "it has 101 metrics"),
        (line(1, 1, 101), "metric `m0` has 101 values"),
    ] {
        let message = panic_of(|| captured(&[&line]).count("m0"));
        assert!(message.contains(&format!("({reason})")), "{message}");
    }
}

#[tokio::test]
async fn what_a_layer_writes_is_captured_over_objects_that_were_split() {
    let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
    let layer = MetricsLayer::from_env(&env).service("orders");
    let (captured, layer) = capture_metrics(layer);
    let service = layer.layer(service_fn(async |event: LambdaEvent<&str>| {
        metrics::add_metadata("order_id", event.payload);
        for value in 1..=250 {
            LATENCY.record(value);
        }
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    let event = LambdaEvent::new("a1", context("52fdfc07"));
    service.oneshot(event).await.unwrap();

    assert_eq!(captured.objects().len(), 3);
    assert_eq!(captured.count("Latency"), 250);
    assert_eq!(captured.sum("Latency"), 31_375.0);
    let values = (1..=250).map(f64::from);
    assert!(captured.values("Latency").into_iter().eq(values));
    assert_eq!(captured.unit("Latency"), Unit::Milliseconds);
    assert_eq!(captured.metadata("order_id"), "a1");
    let orders = captured.with_dimension("service", "orders");
    assert_eq!(orders.values("OrdersCreated"), [1.0]);
}

#[test]
fn captured_metrics_are_shared_between_threads() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    check::<CapturedMetrics>();
    check::<powertools::testing::EmfObject>();
}
