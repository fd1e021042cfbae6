//! Metrics of the process, in a process of its own: it has them once.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation,
    env::METRICS_NAMESPACE,
    metrics::{self, Metric, MetricsLayer, Unit},
    testing::{self, Captured, context},
};
use tower::{Layer, ServiceExt, service_fn};

mod subscriber;
mod support;

use support::{Warnings, dimensions, objects};

const CACHE_WARMED: Metric = Metric::new("CacheWarmed", Unit::Count);
const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

#[tokio::test]
async fn what_belongs_to_no_invocation_belongs_to_the_process() {
    let (warnings, _guard) = Warnings::listen();
    let output = Captured::default();
    let layer = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")]))
        .with_writer(output.clone());
    CACHE_WARMED.record(1);
    assert_eq!(warnings.take().len(), 1);

    let process = layer.recorder();
    process.add_dimension("scope", "process");
    process.clone().set_global().unwrap();
    let error = layer.recorder().set_global().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the process has a recorder of metrics already"
    );

    CACHE_WARMED.record(2);
    metrics::add_metadata("source", "warm-up");
    assert_eq!(output.lines(), [""; 0]);
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        ORDERS_CREATED.record(3);
        // A task that does not take its invocation along.
        tokio::spawn(async { CACHE_WARMED.record(4) })
            .await
            .unwrap();
        Ok::<_, Infallible>(())
    }));
    for id in ["one", "two"] {
        let event = LambdaEvent::new((), context(id));
        service.clone().oneshot(event).await.unwrap();
    }
    // The invocation's own first, then the process's: before the answer leaves.
    let written = objects(&output);
    assert_eq!(written.len(), 4);
    assert_eq!(written[0]["OrdersCreated"], 3);
    assert_eq!(dimensions(&written[0]), [""; 0]);
    assert_eq!(written[1]["CacheWarmed"], serde_json::json!([2, 4]));
    assert_eq!(written[3]["CacheWarmed"], 4);
    // They are the process's until it flushes them itself.
    for object in [&written[1], &written[3]] {
        assert_eq!(dimensions(object), ["scope"]);
        assert_eq!(object["source"], "warm-up");
    }

    // An invocation without this layer around has none of its own.
    let invocation: Invocation = testing::invocation(context("three"), false);
    invocation.sync_scope(|| CACHE_WARMED.record(5));
    CACHE_WARMED.single(6).dimension("cache", "prices").emit();
    metrics::flush();
    let written = objects(&output);
    assert_eq!(written.len(), 6);
    assert_eq!(written[4]["CacheWarmed"], 6);
    assert_eq!(dimensions(&written[4]), ["cache"]);
    assert_eq!(written[5]["CacheWarmed"], 5);

    CACHE_WARMED.record(7);
    process.flush();
    assert_eq!(dimensions(&objects(&output)[6]), [""; 0]);

    // An invocation in between does not forget the time of what is still to come.
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    process.set_timestamp(an_hour_ago);
    let idle = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        Ok::<_, Infallible>(())
    }));
    idle.oneshot(LambdaEvent::new((), context("four")))
        .await
        .unwrap();
    CACHE_WARMED.record(8);
    process.flush();
    let since = an_hour_ago.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(
        objects(&output)[7]["_aws"]["Timestamp"].as_u64(),
        u64::try_from(since.as_millis()).ok()
    );
    assert_eq!(warnings.take(), [""; 0]);
}
