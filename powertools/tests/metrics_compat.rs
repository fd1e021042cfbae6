//! Objects in the form of other toolkits, quirk by quirk.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::time::{Duration, UNIX_EPOCH};

use powertools::{
    Env,
    env::{METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{Metric, Metrics, MetricsError, MetricsLayer, Unit, compat::Toolkit},
    testing::Captured,
};
use serde_json::json;

mod subscriber;
mod support;

use support::{Warnings, objects, sets};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);

const BOTH: [Toolkit; 2] = [Toolkit::Python, Toolkit::TypeScript];

fn recorder(toolkit: Toolkit) -> (Metrics, Captured) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&env)
        .default_dimension("stage", "prod")
        .compatible_with(toolkit)
        .with_clock(|| UNIX_EPOCH + Duration::from_millis(1_795_392_000_000))
        .with_writer(output.clone());
    (layer.recorder(), output)
}

/// Returns the line of an object with everything there is.
fn line(toolkit: Toolkit) -> String {
    let (metrics, output) = recorder(toolkit);
    metrics.add_metadata("order", 1);
    metrics.add_dimension("shop", "a");
    metrics.add_dimensions([("tenant", "t1")]);
    metrics.record(&ORDERS_CREATED, 1);
    for value in [12.5, 7.0] {
        metrics.record(&LATENCY.high_resolution(), value);
    }
    metrics.flush();
    output.lines().swap_remove(0)
}

#[test]
fn python_writes_lists_of_floats_and_the_service_last() {
    assert_eq!(
        line(Toolkit::Python),
        concat!(
            r#"{"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","#,
            r#""Dimensions":[["stage","shop","service"],["stage","tenant"]],"Metrics":["#,
            r#"{"Name":"OrdersCreated","Unit":"Count"},"#,
            r#"{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}]}]},"#,
            r#""stage":"prod","shop":"a","service":"orders","tenant":"t1","order":1,"#,
            r#""OrdersCreated":[1.0],"Latency":[12.5,7.0]}"#
        )
    );
}

#[test]
fn typescript_writes_metadata_first_and_the_service_as_a_default_dimension() {
    assert_eq!(
        line(Toolkit::TypeScript),
        concat!(
            r#"{"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","#,
            r#""Dimensions":[["service","stage","shop"],["service","stage","tenant"]],"Metrics":["#,
            r#"{"Name":"OrdersCreated","Unit":"Count"},"#,
            r#"{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}]}]},"order":1,"#,
            r#""service":"orders","stage":"prod","shop":"a","tenant":"t1","#,
            r#""OrdersCreated":1,"Latency":[12.5,7]}"#
        )
    );
}

#[test]
fn a_service_that_is_set_as_a_dimension_is_there_once() {
    for (toolkit, expected) in BOTH
        .into_iter()
        .zip([["stage", "service"], ["service", "stage"]])
    {
        let (metrics, output) = recorder(toolkit);
        metrics.add_dimension("service", "users");
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        let objects = objects(&output);
        assert_eq!(objects[0]["service"], "users");
        assert_eq!(sets(&objects[0]), [expected]);
    }
}

#[test]
fn there_are_twenty_nine_dimensions_and_one_more_costs_itself_only() {
    for toolkit in BOTH {
        let (metrics, output) = recorder(toolkit);
        for count in 0..27 {
            metrics
                .try_add_dimension(format!("d{count}"), count)
                .unwrap();
        }
        let error = metrics.try_add_dimension("one", 1).unwrap_err();
        assert!(matches!(
            error,
            MetricsError::TooManyDimensions { limit: 29, .. }
        ));
        let error = metrics.try_add_dimensions([("one", 1)]).unwrap_err();
        assert!(matches!(
            error,
            MetricsError::TooManyDimensions { limit: 29, .. }
        ));
        metrics.record(&ORDERS_CREATED, 1);
        metrics.try_flush().unwrap();
        assert_eq!(sets(&objects(&output)[0])[0].len(), 29);
    }
}

#[test]
fn blank_dimensions_are_left_out_with_a_warning() {
    for toolkit in BOTH {
        let (warnings, _guard) = Warnings::listen();
        let (metrics, output) = recorder(toolkit);
        metrics.try_add_dimension("shop", "\t\n").unwrap();
        metrics.try_add_dimension("", "a").unwrap();
        metrics
            .try_add_dimensions([("shop", ""), ("tenant", "t1")])
            .unwrap();
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        assert_eq!(sets(&objects(&output)[0])[1].last().unwrap(), "tenant");
        assert_eq!(warnings.take().len(), 2);
    }
}

#[test]
fn dimensions_and_metrics_may_be_of_any_script() {
    for toolkit in BOTH {
        let (metrics, output) = recorder(toolkit);
        metrics
            .try_add_dimension("città", "İstanbul\n\"ß\"")
            .unwrap();
        let metric = toolkit.metric(" Straße ", Unit::Count).unwrap();
        metrics.try_record(&metric, 1).unwrap();
        metrics.flush();
        let object = &objects(&output)[0];
        assert_eq!(object["città"], "İstanbul\n\"ß\"");
        assert_eq!(support::names(object), ["Straße"]);

        for name in ["", "\u{a0}", "_aws", &"ß".repeat(256)] {
            let metric = toolkit.metric(name, Unit::Count);
            assert!(
                matches!(metric, Err(MetricsError::MetricName { .. })),
                "{name}"
            );
        }
        assert_eq!(
            toolkit
                .metric(&"ß".repeat(255), Unit::Count)
                .unwrap()
                .name()
                .len(),
            510
        );
        let long = metrics.try_add_dimension("a", "ß".repeat(1025));
        assert!(matches!(long, Err(MetricsError::DimensionValue { .. })));
        let reserved = metrics.try_add_dimension("_aws", "a");
        assert!(matches!(reserved, Err(MetricsError::DimensionName { .. })));
    }
}

#[test]
fn the_last_value_of_a_dimension_counts_and_equal_sets_stay() {
    for toolkit in BOTH {
        let (metrics, output) = recorder(toolkit);
        metrics
            .try_add_dimensions([("a", "1"), ("b", "2")])
            .unwrap();
        metrics
            .try_add_dimensions([("a", "1"), ("b", "3")])
            .unwrap();
        metrics.try_add_dimension("b", "4").unwrap();
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        let object = &objects(&output)[0];
        assert_eq!(sets(object).len(), 3);
        assert_eq!(object["b"], "3");
    }
}

#[test]
fn any_finite_value_and_any_time_since_1970_is_written() {
    for toolkit in BOTH {
        let (warnings, _guard) = Warnings::listen();
        let (metrics, output) = recorder(toolkit);
        metrics.try_record(&LATENCY, 1e300).unwrap();
        metrics.try_record(&LATENCY, f64::MIN).unwrap();
        for value in [f64::NAN, f64::INFINITY] {
            let refused = metrics.try_record(&LATENCY, value);
            assert!(matches!(refused, Err(MetricsError::Value { .. })));
        }
        metrics
            .try_set_timestamp(UNIX_EPOCH + Duration::from_millis(7))
            .unwrap();
        assert_eq!(warnings.take().len(), 1);
        let before = UNIX_EPOCH - Duration::from_millis(7);
        assert_eq!(
            metrics.try_set_timestamp(before).unwrap_err().to_string(),
            "timestamp -7 is not within the last 14 days and the next 2 hours"
        );
        metrics.flush();
        let object = &objects(&output)[0];
        assert_eq!(object["_aws"]["Timestamp"], 7);
        assert_eq!(object["Latency"], json!([1e300, f64::MIN]));
        // Not the one before any more.
        metrics.record(&LATENCY, 1);
        metrics.flush();
        assert_eq!(
            objects(&output)[1]["_aws"]["Timestamp"],
            1_795_392_000_000_u64
        );
    }
}

#[test]
fn names_are_of_one_kind_and_metrics_of_one_unit_here_too() {
    for toolkit in BOTH {
        let (metrics, _) = recorder(toolkit);
        metrics.try_record(&ORDERS_CREATED, 1).unwrap();
        let taken = metrics.try_add_dimension("OrdersCreated", "a");
        assert!(matches!(taken, Err(MetricsError::NameTaken { .. })));
        let unit = metrics.try_record(&Metric::new("OrdersCreated", Unit::Bytes), 1);
        assert!(matches!(unit, Err(MetricsError::UnitMismatch { .. })));
    }
}

#[test]
fn a_single_metric_has_default_dimensions_on_request() {
    for toolkit in BOTH {
        let (metrics, output) = recorder(toolkit);
        let single = ORDERS_CREATED;
        let single = single
            .single(1)
            .with_metrics(&metrics)
            .dimension("shop", "zoë");
        single.clone().emit();
        single.default_dimensions().emit();
        let sets: Vec<_> = objects(&output).iter().flat_map(sets).collect();
        assert_eq!(sets[0], ["shop", "service"]);
        assert_eq!(sets[1].len(), 3);
    }
}

#[test]
fn units_have_pythons_own_names() {
    for unit in Unit::ALL {
        for toolkit in BOTH {
            assert_eq!(toolkit.unit(unit.as_str()).unwrap(), *unit);
        }
        let name = match unit {
            Unit::None => "NoUnit".to_owned(),
            unit => format!("{unit:?}"),
        };
        assert_eq!(Toolkit::Python.unit(&name).unwrap(), *unit);
    }
    for name in ["COUNT", "count/second", ""] {
        for toolkit in BOTH {
            assert!(matches!(toolkit.unit(name), Err(MetricsError::Unit { .. })));
        }
    }
    assert!(Toolkit::TypeScript.unit("CountPerSecond").is_err());
}

#[test]
fn what_is_configured_follows_the_toolkits_rules_too() {
    for toolkit in BOTH {
        let (warnings, _guard) = Warnings::listen();
        let output = Captured::default();
        let metrics = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")]))
            .compatible_with(toolkit)
            .service("straße")
            .default_dimension("città", "Roma")
            .default_dimension("stage", " ")
            .default_dimension("", "prod")
            .with_writer(output.clone())
            .recorder();
        assert_eq!(warnings.take().len(), 2);
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        let object = &objects(&output)[0];
        assert_eq!(object["service"], "straße");
        assert_eq!(object["città"], "Roma");
        assert_eq!(sets(object)[0].len(), 2);
    }
}

#[test]
fn default_dimensions_that_are_too_many_with_the_service_fail_the_flush() {
    for toolkit in BOTH {
        let (_, _guard) = Warnings::listen();
        let output = Captured::default();
        let layer = MetricsLayer::from_env(&Env::from([
            (METRICS_NAMESPACE, "Shop"),
            (SERVICE_NAME, "orders"),
        ]));
        let layer = layer.compatible_with(toolkit).with_writer(output.clone());
        let layer = (0..29).fold(layer, |layer, count| {
            layer.default_dimension(format!("d{count}"), count)
        });
        let is_too_many = |error: &MetricsError| {
            matches!(error, MetricsError::TooManyDimensions { limit: 29, .. })
        };
        let error = layer.clone().try_default_dimension("d29", 1).unwrap_err();
        assert!(is_too_many(&error), "{error}");
        assert!(is_too_many(&layer.check().unwrap_err()));
        let metrics = layer.recorder();
        metrics.record(&ORDERS_CREATED, 1);
        let error = metrics.try_flush().unwrap_err();
        assert!(is_too_many(&error), "{error}");
        assert_eq!(output.lines(), [""; 0]);
    }
}
