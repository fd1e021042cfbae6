//! The function `orders`: places and reads orders, behind API Gateway.

use lambda_runtime::Error;
use powertools::Env;
use reference_stack::{
    aws,
    config::OrdersConfig,
    layers,
    orders::{DynamoDbOrderStore, Orders, http},
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    let config = OrdersConfig::from_env(&env)?;
    let observability = layers::observe_http(&env, config.metrics).init()?;

    let dynamodb = aws::dynamodb(&aws::load_config().await);
    let orders = Orders::new(DynamoDbOrderStore::new(dynamodb, config.tables));
    lambda_http::run_concurrent(layers::http(observability, http::router(orders))).await
}
