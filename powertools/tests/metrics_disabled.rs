//! Metrics that are disabled, in a process of its own: the first test has its only cold start.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation, env,
    metrics::{Metric, MetricsLayer, Unit},
    testing::{Captured, context, invocation},
};
use tower::{Layer, ServiceExt, service_fn};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

#[tokio::test]
async fn a_cold_start_is_not_written_while_metrics_are_disabled() {
    let output = Captured::default();
    let service = MetricsLayer::from_env(&Env::from([(env::METRICS_DISABLED, "true")]))
        .cold_start_metric(true)
        .with_writer(output.clone())
        .layer(service_fn(async |_: LambdaEvent<()>| {
            Ok::<_, Infallible>(Invocation::current().unwrap().is_cold_start())
        }));
    let event = LambdaEvent::new((), context("one"));
    let is_cold_start = service.oneshot(event).await.unwrap();
    assert!(is_cold_start);
    assert_eq!(output.lines(), [] as [&str; 0]);
}

/// Returns how many objects an invocation writes that has all there is.
async fn written(layer: MetricsLayer) -> usize {
    let output = Captured::default();
    let service = layer
        .cold_start_metric(true)
        .error_metrics(true)
        .with_writer(output.clone())
        .layer(service_fn(async |_: LambdaEvent<()>| {
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>(())
        }));
    let invocation = invocation(context("one"), true);
    let event = LambdaEvent::new((), invocation.context().clone());
    invocation.scope(service.oneshot(event)).await.unwrap();
    output.lines().len()
}

#[tokio::test]
async fn a_function_that_is_being_developed_writes_nothing_unless_it_is_told_to() {
    let layer = |disabled: &str, dev: &str| {
        let env = Env::from([
            (env::METRICS_NAMESPACE, "Shop"),
            (env::METRICS_DISABLED, disabled),
            (env::DEV, dev),
        ]);
        MetricsLayer::from_env(&env)
    };
    for (disabled, dev, expected) in [
        ("", "", 2),
        ("", "true", 0),
        ("", "false", 2),
        ("false", "true", 2),
        ("true", "true", 0),
        ("true", "false", 0),
        ("true", "", 0),
        ("false", "", 2),
    ] {
        let layer = layer(disabled, dev);
        assert_eq!(written(layer).await, expected, "{disabled:?} {dev:?}");
    }
    // The code wins over both.
    assert_eq!(written(layer("", "true").disabled(false)).await, 2);
    assert_eq!(written(layer("false", "").disabled(true)).await, 0);
}

#[tokio::test]
async fn a_function_that_is_being_developed_needs_no_namespace() {
    let layer = MetricsLayer::from_env(&Env::from([(env::DEV, "1")]));
    assert_eq!(written(layer).await, 0);
}
