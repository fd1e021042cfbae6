//! Structured logging: every line says which invocation and which order it is about.

use lambda_runtime::{Error, LambdaEvent};
use powertools::logging::{self, Logger, LoggingLayer};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};
use tracing::{info, warn};
use tracing_subscriber::prelude::*;

#[derive(Deserialize)]
struct Order {
    id: String,
    total: u64,
}

async fn handler(event: LambdaEvent<Order>) -> Result<(), Error> {
    logging::append_key("order_id", &event.payload.id);
    if event.payload.total == 0 {
        warn!("order is for free");
    }
    info!(total = event.payload.total, "order placed");
    Ok(())
}

fn stack() -> impl Service<LambdaEvent<Order>, Response = (), Error = Error, Future: Send> {
    ServiceBuilder::new()
        .layer(
            LoggingLayer::new()
                .correlation_id(|event: &LambdaEvent<Order>| Some(event.payload.id.clone())),
        )
        .service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::registry()
        .with(Logger::new().subscriber_layer())
        .init();
    lambda_runtime::run(stack()).await
}

#[cfg(test)]
mod tests {
    use powertools::{Env, testing};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn every_line_carries_the_order() {
        let (output, _guard) = testing::capture_logs(Logger::from_env(&Env::default()));

        let order = Order {
            id: "a1".to_owned(),
            total: 0,
        };
        stack()
            .oneshot(LambdaEvent::new(order, testing::context("52fdfc07")))
            .await
            .unwrap();

        let lines = output.json();
        assert_eq!(
            (&lines[0]["level"], &lines[1]["level"]),
            (&"WARN".into(), &"INFO".into())
        );
        assert!(
            lines
                .iter()
                .all(|line| line["order_id"] == "a1" && line["correlation_id"] == "a1")
        );
    }
}
