//! Metrics that belong to no invocation.
#![cfg(all(feature = "metrics", feature = "testing"))]

use powertools::{
    Env,
    env::{METRICS_DISABLED, METRICS_NAMESPACE},
    metrics::{self, Metric, MetricsError, MetricsLayer, Unit},
    testing::Captured,
};
use serde_json::json;

mod subscriber;
mod support;

use support::{Warnings, dimensions, objects};

const ROWS_IMPORTED: Metric = Metric::new("RowsImported", Unit::Count);

fn layer() -> (MetricsLayer, Captured) {
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")]));
    (layer.service("import").with_writer(output.clone()), output)
}

#[test]
fn a_recorder_keeps_what_is_recorded_until_it_is_flushed() {
    let (layer, output) = layer();
    let metrics = layer.default_dimension("stage", "prod").recorder();
    metrics.add_dimension("table", "orders");
    metrics.record(&ROWS_IMPORTED, 1);
    metrics.record(&ROWS_IMPORTED, 2);
    assert_eq!(output.lines(), [""; 0]);
    metrics.flush();
    metrics.record(&ROWS_IMPORTED, 3);
    metrics.flush();
    metrics.flush();
    let objects = objects(&output);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["RowsImported"], json!([1, 2]));
    assert_eq!(dimensions(&objects[0]), ["stage", "table", "service"]);
    assert_eq!(dimensions(&objects[1]), ["stage", "service"]);
    assert!(metrics::current().is_none());
}

#[test]
fn what_is_pending_is_written_when_the_last_handle_is_dropped() {
    let (layer, output) = layer();
    let metrics = layer.recorder();
    let other = metrics.clone();
    other.record(&ROWS_IMPORTED, 1);
    drop(metrics);
    assert_eq!(output.lines(), [""; 0]);
    drop(other);
    assert_eq!(objects(&output)[0]["RowsImported"], 1);
}

#[test]
fn recorders_of_one_layer_are_apart() {
    let (layer, output) = layer();
    let (one, two) = (layer.recorder(), layer.recorder());
    one.record(&ROWS_IMPORTED, 1);
    two.record(&ROWS_IMPORTED, 2);
    one.flush();
    assert_eq!(objects(&output).len(), 1);
    assert_eq!(objects(&output)[0]["RowsImported"], 1);
}

#[test]
fn without_a_namespace_there_is_an_error_or_one_warning_that_names_a_metric() {
    let (warnings, _guard) = Warnings::listen();
    let output = Captured::default();
    let disabled = MetricsLayer::from_env(&Env::from([(METRICS_DISABLED, "true")]));
    let layer = disabled.disabled(false).with_writer(output.clone());

    let metrics = layer.recorder();
    metrics.try_record(&ROWS_IMPORTED, 1).unwrap();
    let flushed = metrics.try_flush();
    assert!(matches!(flushed, Err(MetricsError::MissingNamespace)));
    let single = ROWS_IMPORTED.single(1).with_metrics(&metrics).try_emit();
    assert!(matches!(single, Err(MetricsError::MissingNamespace)));
    assert_eq!(warnings.take(), [""; 0]);

    for count in 0..1000 {
        metrics.record(&ROWS_IMPORTED, count);
    }
    drop(metrics);
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("`POWERTOOLS_METRICS_NAMESPACE` is not set"));
    assert!(warnings[0].contains("RowsImported"), "{}", warnings[0]);
    assert_eq!(output.lines(), [""; 0]);

    // An object that says its own needs no other.
    let metrics = layer.recorder();
    ROWS_IMPORTED
        .single(7)
        .with_metrics(&metrics)
        .namespace("Shop")
        .try_emit()
        .unwrap();
    assert_eq!(objects(&output)[0]["RowsImported"], 7);
}

#[test]
fn a_disabled_recorder_takes_everything_and_writes_nothing() {
    let (layer, output) = layer();
    let metrics = layer.disabled(true).recorder();
    metrics.try_record(&ROWS_IMPORTED, f64::NAN).unwrap();
    metrics.try_add_dimension("", "").unwrap();
    metrics.try_add_dimensions([("", "")]).unwrap();
    metrics.try_add_metadata("_aws", 1).unwrap();
    metrics.try_set_timestamp(std::time::UNIX_EPOCH).unwrap();
    metrics.try_flush().unwrap();
    ROWS_IMPORTED
        .single(1)
        .with_metrics(&metrics)
        .try_emit()
        .unwrap();
    drop(metrics);
    assert_eq!(output.lines(), [""; 0]);
}

#[test]
fn handles_on_many_threads_lose_nothing() {
    let (layer, output) = layer();
    let metrics = layer.recorder();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let metrics = metrics.clone();
            scope.spawn(move || {
                for value in 0..1000 {
                    metrics.record(&ROWS_IMPORTED, thread * 1000 + value);
                    if value % 333 == 0 {
                        metrics.flush();
                    }
                }
            });
        }
    });
    drop(metrics);
    let values = objects(&output).into_iter();
    let mut values: Vec<_> = values
        .flat_map(|object| support::values(&object, "RowsImported"))
        .collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..8000).map(f64::from).collect::<Vec<_>>());
}
