//! The handler of `bare` with logging, tracing, metrics and the deadline guard: one line more in
//! `main`, and what the handler says of itself.

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Observability, ObservabilityLayer,
    metrics::{Metric, Unit},
};
use serde::{Deserialize, Serialize};
use tower::{Service, ServiceBuilder};
use tracing::{info, info_span};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

#[derive(Deserialize)]
struct Order {
    id: String,
    quantity: u32,
    unit_price: u32,
}

#[derive(Debug, Serialize)]
struct Receipt {
    id: String,
    total: u64,
}

async fn handler(event: LambdaEvent<Order>) -> Result<Receipt, Error> {
    let order = event.payload;
    if order.quantity == 0 {
        return Err("an order of nothing".into());
    }
    let total = info_span!("price", annotation.quantity = order.quantity)
        .in_scope(|| u64::from(order.quantity) * u64::from(order.unit_price));
    info!(order_id = order.id, total, "order placed");
    ORDERS_CREATED.record(1);
    Ok(Receipt {
        id: order.id,
        total,
    })
}

fn stack(
    observability: ObservabilityLayer,
) -> impl Service<LambdaEvent<Order>, Response = Receipt, Error = Error, Future: Send> {
    ServiceBuilder::new()
        .layer(observability)
        .service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let observability = Observability::new().init()?;
    lambda_runtime::run(stack(observability)).await
}

#[cfg(test)]
mod tests {
    use powertools::{
        Env,
        logging::Logger,
        metrics::MetricsLayer,
        testing::{capture_logs, capture_metrics, context},
    };
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_order_is_logged_and_counted() {
        let (logs, _guard) = capture_logs(Logger::from_env(&Env::default()));
        let (metrics, layer) = capture_metrics(MetricsLayer::new("Shop"));
        let observability = Observability::from_env(&Env::default())
            .with_metrics(layer)
            .into_layer();

        let order = json!({ "id": "a1", "quantity": 2, "unit_price": 1250 });
        let event = LambdaEvent::new(serde_json::from_value(order).unwrap(), context("52fdfc07"));
        let receipt = stack(observability).oneshot(event).await.unwrap();

        assert_eq!(receipt.total, 2500);
        assert_eq!(logs.json()[0]["order_id"], "a1");
        assert_eq!(logs.json()[0]["function_request_id"], "52fdfc07");
        assert_eq!(metrics.sum("OrdersCreated"), 1.0);
    }
}
