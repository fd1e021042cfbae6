//! Business metrics: orders are counted, and their handling is timed, in each shop.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent};
use powertools::metrics::{self, Metric, MetricsLayer, Unit};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const HANDLING_TIME: Metric = Metric::new("HandlingTime", Unit::Milliseconds);

#[derive(Deserialize)]
struct Order {
    id: String,
    shop: String,
}

async fn handler(event: LambdaEvent<Order>) -> Result<(), Error> {
    let start = Instant::now();
    metrics::add_dimension("shop", event.payload.shop);
    metrics::add_metadata("order_id", event.payload.id);
    ORDERS_CREATED.record(1);
    HANDLING_TIME.record(start.elapsed());
    Ok(())
}

fn stack(
    layer: MetricsLayer,
) -> impl Service<LambdaEvent<Order>, Response = (), Error = Error, Future: Send> {
    ServiceBuilder::new().layer(layer).service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(stack(MetricsLayer::new("Shop").cold_start_metric(true))).await
}

#[cfg(test)]
mod tests {
    use powertools::{
        Env, env,
        testing::{Captured, context},
    };
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_order_is_counted_in_its_shop() {
        let output = Captured::default();
        let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
        let layer = MetricsLayer::from_env(&env).unwrap();
        let order = serde_json::from_str(r#"{"id":"a1","shop":"berlin"}"#).unwrap();
        let event = LambdaEvent::new(order, context("52fdfc07"));
        let stack = stack(layer.with_writer(output.clone()));
        stack.oneshot(event).await.unwrap();

        let object = &output.json()[0];
        assert_eq!(object["shop"], "berlin");
        assert_eq!(object["OrdersCreated"], 1);
        assert!(object["HandlingTime"].is_number());
    }
}
