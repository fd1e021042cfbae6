//! Business metrics: orders are counted, and their handling is timed, in each shop.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent};
use powertools::metrics::{self, Metric, MetricsLayer, Unit};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const ORDER_VALUE: Metric = Metric::new("OrderValue", Unit::None);
const HANDLING_TIME: Metric = Metric::new("HandlingTime", Unit::Milliseconds).high_resolution();

#[derive(Deserialize)]
struct Order {
    id: String,
    shop: String,
    currency: String,
    /// In the currency's minor unit.
    total: u64,
}

async fn handler(event: LambdaEvent<Order>) -> Result<(), Error> {
    let start = Instant::now();
    let order = event.payload;
    metrics::add_dimension("shop", order.shop);
    metrics::add_metadata("order_id", order.id);
    ORDERS_CREATED.record(1);
    // An object of its own: only money is told apart by its currency.
    ORDER_VALUE
        .single(order.total)
        .dimension("currency", order.currency)
        .emit();
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
    let layer = MetricsLayer::new("Shop")
        .cold_start_metric(true)
        .error_metrics(true)
        .duration_metric(true);
    lambda_runtime::run(stack(layer)).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::{capture_metrics, context};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_order_is_counted_in_its_shop_and_its_value_in_its_currency() {
        let (captured, layer) = capture_metrics(MetricsLayer::new("Shop"));
        let order = r#"{"id":"a1","shop":"berlin","currency":"EUR","total":2450}"#;
        let event = LambdaEvent::new(serde_json::from_str(order).unwrap(), context("52fdfc07"));
        stack(layer).oneshot(event).await.unwrap();

        let berlin = captured.with_dimension("shop", "berlin");
        assert_eq!(berlin.sum("OrdersCreated"), 1.0);
        assert_eq!(berlin.count("HandlingTime"), 1);
        assert_eq!(berlin.metadata("order_id"), "a1");
        assert_eq!(berlin.count("OrderValue"), 0);
        let euros = captured.with_dimension("currency", "EUR");
        assert_eq!(euros.values("OrderValue"), [2450.0]);
    }
}
