//! A handler without any layer: what every other program here is compared with.

use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tower::{Service, service_fn};

#[derive(Deserialize)]
struct Order {
    id: String,
    quantity: u32,
    unit_price: u32,
}

#[derive(Debug, PartialEq, Serialize)]
struct Receipt {
    id: String,
    total: u64,
}

async fn handler(event: LambdaEvent<Order>) -> Result<Receipt, Error> {
    let order = event.payload;
    if order.quantity == 0 {
        return Err("an order of nothing".into());
    }
    let total = u64::from(order.quantity) * u64::from(order.unit_price);
    Ok(Receipt {
        id: order.id,
        total,
    })
}

fn stack() -> impl Service<LambdaEvent<Order>, Response = Receipt, Error = Error, Future: Send> {
    service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(stack()).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::context;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_order_has_a_receipt() {
        let order = serde_json::from_str(r#"{"id":"a1","quantity":2,"unit_price":1250}"#).unwrap();
        let event = LambdaEvent::new(order, context("52fdfc07"));
        let receipt = stack().oneshot(event).await.unwrap();
        assert_eq!(
            receipt,
            Receipt {
                id: "a1".to_owned(),
                total: 2500
            }
        );
    }
}
