//! The function `order-stream-processor`: keeps the projections of orders.

use lambda_runtime::Error;
use powertools::Env;
use reference_stack::{
    aws,
    config::ProjectionsConfig,
    layers,
    projections::{DynamoDbOrderSummaryStore, OrderStreamProcessor, OrderSummaries},
};
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    let config = ProjectionsConfig::from_env(&env)?;
    let observability = layers::observe_consumer(&env, config.metrics).init()?;

    let dynamodb = aws::dynamodb(&aws::load_config().await);
    let store = DynamoDbOrderSummaryStore::new(dynamodb, config.projections_table);
    let processor = OrderStreamProcessor::new(OrderSummaries::new(store));
    let consumer = ServiceBuilder::new()
        .layer(observability)
        .service(processor.into_service());
    lambda_runtime::run_concurrent(consumer).await
}
