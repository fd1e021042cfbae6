//! What an invocation's metrics cost in memory.
#![cfg(all(feature = "metrics", feature = "testing"))]

use powertools::{
    Env, env,
    metrics::{Metric, MetricsLayer, Unit},
};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);

#[test]
fn metrics_that_are_flushed_allocate_nothing_once_the_thread_is_warm() {
    let env = Env::from([
        (env::METRICS_NAMESPACE, "Shop"),
        (env::SERVICE_NAME, "orders"),
    ]);
    let metrics = MetricsLayer::from_env(&env)
        .default_dimension("stage", "prod")
        .with_writer(std::io::sink())
        .recorder();
    let flushed = || {
        metrics.record(&ORDERS_CREATED, 1);
        metrics.record(&LATENCY, 12.5);
        metrics.flush();
    };
    flushed();
    assert_eq!(allocation_counter::measure(flushed).count_total, 0);
}
