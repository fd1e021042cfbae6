//! The cold-start metric, in a process of its own: there is one cold start in each.
#![cfg(all(feature = "metrics", feature = "testing"))]

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    metrics::{Metric, MetricsLayer, Unit},
    testing::{Captured, context},
};
use tower::{Layer, ServiceExt, service_fn};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

#[tokio::test]
async fn only_the_first_invocation_has_a_cold_start_metric_and_it_is_an_object_of_its_own() {
    let output = Captured::default();
    let env = Env::from([
        (env::METRICS_NAMESPACE, "Shop"),
        (env::SERVICE_NAME, "orders"),
    ]);
    let service = MetricsLayer::from_env(&env)
        .unwrap()
        .default_dimension("stage", "prod")
        .cold_start_metric(true)
        .with_writer(output.clone())
        .layer(service_fn(async |_: LambdaEvent<()>| {
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
    let schema = serde_json::from_str(include_str!("schemas/emf.schema.json")).unwrap();
    assert!(jsonschema::is_valid(&schema, &objects[0]));
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
