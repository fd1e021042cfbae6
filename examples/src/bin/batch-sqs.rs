//! Orders from a queue: each is shipped on its own, and only those that fail come again.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Observability, ObservabilityLayer,
    batch::{BatchError, BatchEvent, BatchLayer, BatchResponse, Record},
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder, timeout::TimeoutLayer};
use tracing::info;

#[derive(Deserialize)]
struct Order {
    id: String,
    quantity: u32,
}

async fn ship(record: Record<Order>) -> Result<(), Error> {
    let order = record.payload;
    if order.quantity == 0 {
        return Err(format!("nothing to ship for order {}", order.id).into());
    }
    // The line carries the message's id, as every line in here.
    info!(
        order = order.id,
        attempt = record.source.receive_count,
        "order shipped"
    );
    Ok(())
}

fn stack(
    observability: ObservabilityLayer,
) -> impl Service<
    LambdaEvent<BatchEvent>,
    Response = BatchResponse,
    Error = BatchError<Error>,
    Future: Send,
> {
    ServiceBuilder::new()
        .layer(observability)
        .layer(BatchLayer::sqs().concurrency(8).metrics(true))
        // From here on it is about one record.
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service_fn(ship)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(stack(Observability::new().init()?)).await
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

    fn message(id: &str, body: &str) -> serde_json::Value {
        json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" })
    }

    #[tokio::test]
    async fn what_cannot_be_shipped_comes_again_and_nothing_else() {
        let (logs, _guard) = capture_logs(Logger::from_env(&Env::default()));
        let (metrics, layer) = capture_metrics(MetricsLayer::new("Shop"));
        let observability = Observability::from_env(&Env::default())
            .with_metrics(layer)
            .into_layer();

        let batch = json!({ "Records": [
            message("m1", r#"{"id":"a1","quantity":2}"#),
            message("m2", r#"{"id":"a2","quantity":0}"#),
            message("m3", r#"{"id":"a3","#),
        ] });
        let event = serde_json::from_value(batch).unwrap();
        let event = LambdaEvent::new(event, context("52fdfc07"));
        let response = stack(observability).oneshot(event).await.unwrap();

        let failures: Vec<_> = response.failures().map(ToString::to_string).collect();
        assert_eq!(failures, ["m2", "m3"]);
        let lines = logs.json();
        let ids: Vec<_> = lines.iter().map(|line| &line["message_id"]).collect();
        assert_eq!(ids, ["m1", "m2", "m3"]);
        assert_eq!(lines[0]["order"], "a1");
        assert_eq!(metrics.sum("BatchSize"), 3.0);
        assert_eq!(metrics.sum("BatchRecordFailures"), 2.0);
    }
}
