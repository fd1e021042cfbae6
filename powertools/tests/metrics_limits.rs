//! Whatever is recorded leaves, in objects that CloudWatch takes.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::collections::{BTreeMap, BTreeSet};

use powertools::{
    Env,
    env::{METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{Metric, Metrics, MetricsError, MetricsLayer, Unit, compat::Toolkit},
    testing::Captured,
};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

mod subscriber;
mod support;

use support::{Warnings, check, names, objects};

/// A recorder that the environment of the tests cannot change, and what it writes.
fn recorder(toolkit: Option<Toolkit>) -> (Metrics, Captured) {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&env);
    let layer = layer
        .default_dimension("stage", "prod")
        .with_writer(output.clone());
    let layer = match toolkit {
        Some(toolkit) => layer.compatible_with(toolkit),
        None => layer,
    };
    (layer.recorder(), output)
}

/// As large as can be: names and values that double when they are escaped, and long numbers.
#[test]
fn the_largest_object_is_a_log_event_because_metadata_is_left_out() {
    let (warnings, _guard) = Warnings::listen();
    let (metrics, output) = recorder(None);
    let long = |length: usize, number: usize| format!("{number:\"<length$}");
    for number in 2..30 {
        metrics.add_dimension(long(250, number), long(1024, 0));
    }
    metrics.add_metadata("small", 1);
    metrics.add_metadata("large", "x".repeat(500_000));
    metrics.add_metadata("too much", "x".repeat(30_000));
    metrics.add_metadata("small", 2);
    for number in 0..100 {
        let metric = Metric::try_new(long(255, number), Unit::KilobytesPerSecond);
        let metric = metric.unwrap().high_resolution();
        // The hundredth metric is written with its first value.
        for _ in 0..if number < 99 { 99 } else { 1 } {
            metrics.record(&metric, -1.234_567_890_123_456_7e-101);
        }
    }
    let objects = objects(&output);
    assert_eq!(objects.len(), 1);
    assert_eq!(names(&objects[0]).len(), 100);
    assert_eq!(objects[0]["small"], 2);
    assert_eq!(objects[0]["large"].as_str().unwrap().len(), 500_000);
    assert!(objects[0].get("too much").is_none());
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let expected = r#"metadata "too much" is too much: there is room for 524288 bytes in all"#;
    assert!(warnings[0].contains(expected), "{}", warnings[0]);
}

/// With dimension sets, and with what other toolkits take, it would be larger than a log event.
#[test]
fn what_is_too_large_for_a_log_event_leaves_in_several_objects() {
    let (metrics, output) = recorder(Some(Toolkit::Python));
    let long = |length: usize, number: usize| format!("{number:\u{1}<length$}");
    for number in 2..29 {
        metrics
            .try_add_dimension(long(250, number), long(1024, 0))
            .unwrap();
    }
    metrics
        .try_add_metadata("large", "x".repeat(524_000))
        .unwrap();
    let mut recorded = 0;
    for number in 0..100 {
        let name = long(255, number);
        let metric = Toolkit::Python
            .metric(&name, Unit::KilobytesPerSecond)
            .unwrap();
        for _ in 0..if number < 99 { 99 } else { 1 } {
            metrics
                .try_record(&metric, -1.234_567_890_123_456_7e-101)
                .unwrap();
            recorded += 1;
        }
    }
    let objects = objects(&output);
    assert!(objects.len() > 1, "one object");
    let values = objects.iter().flat_map(|object| {
        names(object)
            .into_iter()
            .map(|name| support::values(object, &name).len())
    });
    assert_eq!(values.sum::<usize>(), recorded);
    let names: BTreeSet<_> = objects.iter().flat_map(names).collect();
    assert_eq!(names.len(), 100);
    assert!(
        objects
            .iter()
            .all(|object| object["large"].as_str().unwrap().len() == 524_000)
    );
}

/// What may be done to metrics.
#[derive(Clone, Debug)]
enum Step {
    Record {
        metric: usize,
        values: Vec<f64>,
    },
    Single {
        metric: usize,
        value: f64,
        dimensions: Vec<(String, String)>,
    },
    Dimension(String, String),
    Dimensions(Vec<(String, String)>),
    Metadata(String, u32),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        (-1000..1000_i32).prop_map(f64::from),
        -1e6..1e6_f64,
        prop::num::f64::ANY,
    ];
    // Few enough to meet again, and to collide with each other.
    let name = prop_oneof!["[a-c]", ".{0,3}", "Metric[0-9]{1,3}", "[ -~]{240,260}"];
    let text = prop_oneof![9 => "[ -~]{0,9}", 1 => "[\"-~]{1000,1030}"];
    let dimension = (name.clone(), text);
    let single = (
        0..1000_usize,
        value.clone(),
        prop::collection::vec(dimension.clone(), 0..3),
    );
    let step = prop_oneof![
        60 => (0..1000_usize, prop::collection::vec(value, 1..4))
            .prop_map(|(metric, values)| Step::Record { metric, values }),
        10 => (0..3_usize, 90..1000_usize).prop_map(|(metric, count)| Step::Record {
            metric,
            values: (0..count).map(|value| value as f64).collect(),
        }),
        10 => single.prop_map(|(metric, value, dimensions)| Step::Single { metric, value, dimensions }),
        20 => dimension.clone().prop_map(|(name, value)| Step::Dimension(name, value)),
        10 => prop::collection::vec(dimension, 0..4).prop_map(Step::Dimensions),
        10 => (name, any::<u32>()).prop_map(|(key, value)| Step::Metadata(key, value)),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 0..400)
}

/// Returns a metric, unless its name is none: one that is escaped, or as long as can be or longer, or
/// one that dimensions and metadata have too, maybe with another unit.
fn metric(number: usize, prefix: &str, toolkit: Option<Toolkit>) -> Result<Metric, MetricsError> {
    let name = match number % 10 {
        0 => format!("{prefix}\"\\{number}\""),
        1 => format!("{prefix}{number:/<250}"),
        2 if prefix.is_empty() => ["a", "b", "c"][number % 3].to_owned(),
        3 => format!("{prefix}ß\n{number}"),
        _ => format!("{prefix}Metric{number}"),
    };
    let unit = Unit::ALL[number % Unit::ALL.len()];
    match toolkit {
        None => Metric::try_new(name, unit),
        Some(toolkit) => toolkit.metric(&name, unit),
    }
}

/// Values by metric, as bits: they come back exactly.
type Recorded = BTreeMap<String, Vec<u64>>;

/// Runs the steps; returns what has to be written, and what was.
fn run_steps(steps: &[Step], toolkit: Option<Toolkit>) -> (Recorded, Recorded) {
    let (metrics, output) = recorder(toolkit);
    let mut recorded = Recorded::new();
    let mut keep = |metric: &Metric, value: f64| {
        let values = recorded.entry(metric.name().to_owned()).or_default();
        values.push((value + 0.0).to_bits());
    };
    let in_range = |value: f64| match toolkit {
        None => value.abs() <= 2_f64.powi(360),
        Some(_) => value.is_finite(),
    };
    for step in steps {
        match step.clone() {
            Step::Record {
                metric: number,
                values,
            } => {
                let Ok(metric) = metric(number, "", toolkit) else {
                    continue;
                };
                for value in values {
                    match metrics.try_record(&metric, value) {
                        Ok(()) => {
                            assert!(in_range(value), "{metric:?} {value}");
                            keep(&metric, value);
                        }
                        Err(MetricsError::Value { .. }) => assert!(!in_range(value), "{value}"),
                        // A dimension, or metadata, has the name, or the metric has another unit.
                        Err(MetricsError::NameTaken { .. } | MetricsError::UnitMismatch { .. }) => {
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Step::Single {
                metric: number,
                value,
                dimensions,
            } => {
                // They leave before what is kept has left, so they are metrics of their own.
                let Ok(metric) = metric(number, "Single", toolkit) else {
                    continue;
                };
                let single = metric.single(value).with_metrics(&metrics);
                let single = dimensions
                    .into_iter()
                    .fold(single, |single, (name, value)| {
                        single.dimension(name, value)
                    });
                match single.try_emit() {
                    Ok(()) => {
                        assert!(in_range(value), "{metric:?} {value}");
                        keep(&metric, value);
                    }
                    Err(MetricsError::Value { .. }) => assert!(!in_range(value), "{value}"),
                    Err(
                        MetricsError::DimensionName { .. } | MetricsError::DimensionValue { .. },
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Dimension(name, value) => metrics.add_dimension(name, value),
            Step::Dimensions(set) => metrics.add_dimensions(set),
            Step::Metadata(key, value) => metrics.add_metadata(key, value),
            Step::Flush => metrics.flush(),
        }
    }
    drop(metrics);

    let mut written = Recorded::new();
    for line in output.lines() {
        let object = check(&line);
        // `Value` rounds some floats when it reads them.
        let exact: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&line).unwrap();
        for name in names(&object) {
            let values = exact[&name].get().trim_matches(['[', ']']).split(',');
            let values = values.map(|value| (value.parse::<f64>().unwrap() + 0.0).to_bits());
            written.entry(name).or_default().extend(values);
        }
    }
    (recorded, written)
}

/// The number of all values, and their sum.
fn totals(recorded: &Recorded) -> (usize, f64) {
    let values = recorded.values().flatten();
    (
        values.clone().count(),
        values.map(|bits| f64::from_bits(*bits)).sum(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_recorded_leaves_exactly_once_within_all_limits(steps in steps()) {
        let (recorded, written) = run_steps(&steps, None);
        prop_assert_eq!(totals(&recorded).0, totals(&written).0);
        prop_assert_eq!(totals(&recorded).1.to_bits(), totals(&written).1.to_bits());
        prop_assert_eq!(recorded, written);
    }

    #[test]
    fn so_it_does_in_the_form_of_another_toolkit(steps in steps(), is_python in any::<bool>()) {
        let toolkit = if is_python { Toolkit::Python } else { Toolkit::TypeScript };
        let (recorded, written) = run_steps(&steps, Some(toolkit));
        prop_assert_eq!(recorded, written);
    }
}

#[test]
fn a_thousand_metrics_and_a_thousand_values_of_one_leave_in_objects_of_a_hundred() {
    let (metrics, output) = recorder(None);
    for count in 0..1000 {
        let metric = Metric::try_new(format!("Metric{count}"), Unit::Count).unwrap();
        metrics.record(&metric, count);
    }
    let latency = Metric::new("Latency", Unit::Milliseconds);
    for count in 0..1000 {
        metrics.record(&latency, count);
    }
    let objects = objects(&output);
    assert_eq!(objects.len(), 20);
    let sum = |object: &Value| {
        let names = names(object);
        names
            .iter()
            .flat_map(|name| support::values(object, name))
            .sum::<f64>()
    };
    assert_eq!(objects.iter().map(sum).sum::<f64>(), 2.0 * 499_500.0);
}
