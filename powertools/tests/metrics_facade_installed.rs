//! The recorder of the whole process, which there is one of.
#![cfg(all(feature = "metrics-facade", feature = "testing"))]

use std::{convert::Infallible, thread};

use ::metrics::{NoopRecorder, counter, set_global_recorder};
use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    env::METRICS_NAMESPACE,
    metrics::{MetricsLayer, facade::FacadeRecorder},
    testing::{capture_metrics, context},
};
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn an_installed_recorder_takes_what_all_threads_record() {
    FacadeRecorder::new().install().unwrap();
    assert_eq!(
        FacadeRecorder::new().install().unwrap_err().to_string(),
        "the process has a recorder for the crate `metrics` already"
    );
    assert!(set_global_recorder(NoopRecorder).is_err());

    let env = Env::from([(METRICS_NAMESPACE, "Shop")]);
    let (process, layer) = capture_metrics(MetricsLayer::from_env(&env));
    layer.recorder().set_global().unwrap();
    let (captured, layer) = capture_metrics(MetricsLayer::from_env(&env));
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        counter!("hits", "by" => "handler").increment(2);
        // It does not know the invocation.
        thread::spawn(|| counter!("hits", "by" => "thread").increment(3))
            .join()
            .unwrap();
        Ok::<_, Infallible>(())
    }));
    counter!("hits", "by" => "process").increment(1);
    let event = LambdaEvent::new((), context("52fdfc07"));
    service.oneshot(event).await.unwrap();

    assert_eq!(captured.sum("hits"), 2.0);
    assert_eq!(captured.with_dimension("by", "handler").sum("hits"), 2.0);
    // With the invocation, what the process recorded is written too.
    assert_eq!(process.sum("hits"), 4.0);
    assert_eq!(process.with_dimension("by", "process").sum("hits"), 1.0);
    assert_eq!(process.with_dimension("by", "thread").sum("hits"), 3.0);
}
