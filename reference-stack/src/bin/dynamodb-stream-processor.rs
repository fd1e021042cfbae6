//! The function `dynamodb-stream-processor`: sends new events of the event store to Kinesis.

use lambda_runtime::Error;
use powertools::Env;
use reference_stack::{
    aws,
    config::OutboxConfig,
    layers,
    outbox::{KinesisEventStream, Outbox},
};
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    let config = OutboxConfig::from_env(&env)?;
    let observability = layers::observe_consumer(&env, config.metrics).init()?;

    let kinesis = aws::kinesis(&aws::load_config().await);
    let outbox = Outbox::new(KinesisEventStream::new(kinesis, config.order_events_stream));
    let consumer = ServiceBuilder::new()
        .layer(observability)
        .service(outbox.into_service());
    lambda_runtime::run_concurrent(consumer).await
}
