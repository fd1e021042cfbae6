//! The cold-start metric. The first test has the only cold start of its process; the others make
//! theirs.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::{convert::Infallible, sync::Arc};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    metrics::{self, Metric, MetricsLayer, Unit},
    testing::{Captured, context, invocation},
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

fn from_env<const N: usize>(variables: [(&str, &str); N]) -> (MetricsLayer, Captured) {
    let namespace = [(env::METRICS_NAMESPACE, "Shop")];
    let output = Captured::default();
    let env: Env = namespace.into_iter().chain(variables).collect();
    let layer = MetricsLayer::from_env(&env);
    (layer.with_writer(output.clone()), output)
}

/// Runs a handler that records a metric in an invocation that is a cold start, or none.
async fn run(layer: &MetricsLayer, cold_start: bool) {
    let invocation = invocation(context("one"), cold_start);
    let service = layer.layer(service_fn(async |_: LambdaEvent<()>| {
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    let event = LambdaEvent::new((), invocation.context().clone());
    invocation.scope(service.oneshot(event)).await.unwrap();
}

/// Returns the object of a cold start, and checks that there is one.
#[track_caller]
fn cold_start(output: &Captured) -> Value {
    let objects = output.json();
    assert!(objects.iter().all(is_valid));
    let is_cold_start = |object: &&Value| object.get("ColdStart").is_some();
    let cold_starts: Vec<_> = objects.iter().filter(is_cold_start).collect();
    assert_eq!(cold_starts.len(), 1, "{objects:#?}");
    cold_starts[0].clone()
}

fn is_valid(object: &Value) -> bool {
    let schema = serde_json::from_str(include_str!("schemas/emf.schema.json")).unwrap();
    jsonschema::is_valid(&schema, object)
}

fn dimensions(object: &Value) -> &Value {
    &object["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
}

#[tokio::test]
async fn only_the_first_invocation_has_a_cold_start_metric_and_it_is_an_object_of_its_own() {
    let (layer, output) = from_env([(env::SERVICE_NAME, "orders")]);
    let service = layer
        .default_dimension("stage", "prod")
        .cold_start_metric(true)
        .layer(service_fn(async |_: LambdaEvent<()>| {
            metrics::add_dimension("shop", "a");
            metrics::add_metadata("order", 1);
            ORDERS_CREATED.record(1);
            Ok::<_, Infallible>(())
        }));
    for id in ["one", "two", "three"] {
        let event = LambdaEvent::new((), context(id));
        service.clone().oneshot(event).await.unwrap();
    }

    let objects = output.json();
    assert_eq!(objects.len(), 4);
    assert!(
        objects[1..]
            .iter()
            .all(|object| object["OrdersCreated"] == 1)
    );
    assert!(is_valid(&objects[0]));
    assert_eq!(
        output.lines()[0],
        format!(
            concat!(
                r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[{{"Namespace":"Shop","#,
                r#""Dimensions":[["function_name","service"]],"#,
                r#""Metrics":[{{"Name":"ColdStart","Unit":"Count"}}]}}]}},"#,
                r#""function_name":"my-function","service":"orders","ColdStart":1}}"#,
            ),
            objects[0]["_aws"]["Timestamp"]
        )
    );
}

#[tokio::test]
async fn the_metric_is_written_only_where_it_was_asked_for() {
    let (layer, output) = from_env([]);
    run(&layer, true).await;
    run(
        &layer
            .clone()
            .cold_start_metric(true)
            .cold_start_metric(false),
        true,
    )
    .await;
    let objects = output.json();
    assert_eq!(objects.len(), 2);
    assert!(objects.iter().all(|object| object["OrdersCreated"] == 1));
}

/// So it is under provisioned concurrency, after a SnapStart restore, and on managed instances.
#[tokio::test]
async fn an_invocation_that_is_no_cold_start_has_no_such_metric() {
    let (layer, output) = from_env([]);
    run(&layer.cold_start_metric(true), false).await;
    let objects = output.json();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["OrdersCreated"], 1);
}

#[tokio::test]
async fn the_functions_name_is_that_of_the_code_then_of_the_environment_then_of_the_context() {
    const VARIABLE: (&str, &str) = (env::METRICS_FUNCTION_NAME, "from-environment");

    let (layer, output) = from_env([VARIABLE]);
    let layer = layer.function_name("from-code");
    run(&layer.cold_start_metric(true), true).await;
    assert_eq!(cold_start(&output)["function_name"], "from-code");

    let (layer, output) = from_env([VARIABLE]);
    run(&layer.cold_start_metric(true), true).await;
    assert_eq!(cold_start(&output)["function_name"], "from-environment");

    let (layer, output) = from_env([(env::METRICS_FUNCTION_NAME, " ")]);
    run(&layer.cold_start_metric(true), true).await;
    let object = cold_start(&output);
    assert_eq!(object["function_name"], "my-function");
    assert_eq!(*dimensions(&object), json!([["function_name"]]));
}

#[tokio::test]
async fn a_functions_name_that_cloudwatch_does_not_take_is_left_out() {
    for name in ["", "zoë"] {
        let (layer, output) = from_env([(env::SERVICE_NAME, "orders")]);
        let layer = layer.function_name(name);
        run(&layer.cold_start_metric(true), true).await;
        let object = cold_start(&output);
        assert_eq!(*dimensions(&object), json!([["service"]]));
        assert!(object.get("function_name").is_none());
    }
}

#[tokio::test]
async fn without_a_name_and_a_service_the_metric_has_no_dimensions() {
    let (layer, output) = from_env([]);
    let mut context = context("one");
    context.env_config = Arc::default();
    let invocation = invocation(context, true);
    let service = layer
        .cold_start_metric(true)
        .layer(service_fn(async |_: LambdaEvent<()>| {
            Ok::<_, Infallible>(())
        }));
    let event = LambdaEvent::new((), invocation.context().clone());
    invocation.scope(service.oneshot(event)).await.unwrap();
    assert_eq!(*dimensions(&cold_start(&output)), json!([[]]));
}

#[tokio::test]
async fn a_layer_that_is_there_twice_and_a_second_attempt_write_it_once() {
    let (outer, output) = from_env([]);
    let (inner, inner_output) = from_env([]);
    let service = outer
        .cold_start_metric(true)
        .layer(
            inner
                .cold_start_metric(true)
                .layer(service_fn(async |_: LambdaEvent<()>| {
                    ORDERS_CREATED.record(1);
                    Ok::<_, Infallible>(())
                })),
        );
    let invocation = invocation(context("one"), true);
    for _ in 0..2 {
        let event = LambdaEvent::new((), invocation.context().clone());
        let attempt = invocation.scope(service.clone().oneshot(event));
        attempt.await.unwrap();
    }
    cold_start(&output);
    assert_eq!(output.lines().len(), 3);
    assert_eq!(inner_output.lines(), [] as [&str; 0]);
}

#[tokio::test]
async fn the_metric_is_written_before_the_handler_runs_and_stays_when_it_panics() {
    let (layer, output) = from_env([]);
    let written = output.clone();
    let service = layer
        .cold_start_metric(true)
        .error_metrics(true)
        .layer(service_fn(move |_: LambdaEvent<()>| {
            let cold_start = cold_start(&written);
            async move {
                if cold_start["ColdStart"] == 1 {
                    panic!("no stock");
                }
                Ok::<_, Infallible>(())
            }
        }));
    let invocation = invocation(context("one"), true);
    let event = LambdaEvent::new((), invocation.context().clone());
    let panicked = tokio::spawn(invocation.scope(service.oneshot(event)));
    assert!(panicked.await.unwrap_err().is_panic());
    let objects = output.json();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[1]["Panics"], 1);
    assert!(objects[1].get("ColdStart").is_none());
}
