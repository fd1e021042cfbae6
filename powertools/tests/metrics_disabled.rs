//! A cold start while metrics are disabled, in a process of its own: there is one cold start in
//! each.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation, env,
    metrics::MetricsLayer,
    testing::{Captured, context},
};
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn a_cold_start_is_not_written_while_metrics_are_disabled() {
    let output = Captured::default();
    let service = MetricsLayer::from_env(&Env::from([(env::METRICS_DISABLED, "true")]))
        .unwrap()
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
