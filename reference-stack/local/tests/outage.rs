//! What happens to orders while a part of the cloud is gone.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use local_cloud::{Cloud, HttpClient, Options};
use serde_json::json;

/// How long something may take that follows asynchronously; a retry alone may wait for five seconds.
const PATIENCE: Duration = Duration::from_secs(60);

const STREAM: &str = "order-events";

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_stream_loses_no_event() {
    let cloud = Cloud::start(Options::new()).await.unwrap();
    // It is being read when it goes.
    let processor = cloud.mapping("order-stream-processor").unwrap();
    processor.settled().await.unwrap();
    let kinesis = &cloud.clients().kinesis;
    let request = kinesis.delete_stream().stream_name(STREAM);
    request.send().await.unwrap();

    let order = json!({"customer_id": "c", "currency": "EUR", "items": [{"sku": "s", "quantity": 1, "unit_price": 1}]});
    let url = format!("{}/orders", cloud.api_url());
    let answer = HttpClient::new()
        .post(&url, order.to_string())
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let order_id = answer.json()["order_id"].as_str().unwrap().to_owned();

    // More tries than a poisoned record gets.
    let outbox = cloud.mapping("dynamodb-stream-processor").unwrap();
    let tried = outbox.wait_until(|status| status.failed_invocations > 5);
    let status = tokio::time::timeout(PATIENCE, tried).await.unwrap();
    assert_eq!(status.unwrap().records_discarded, 0);

    let request = kinesis.create_stream().stream_name(STREAM).shard_count(2);
    request.send().await.unwrap();
    let projected = async {
        while !is_projected(&cloud, &order_id).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, projected).await.unwrap();
    cloud.stop().await;
}

async fn is_projected(cloud: &Cloud, order_id: &str) -> bool {
    let request = cloud
        .clients()
        .dynamodb
        .get_item()
        .table_name("projections")
        .key("projection", AttributeValue::S("order-summary".to_owned()))
        .key("id", AttributeValue::S(order_id.to_owned()));
    request.send().await.unwrap().item.is_some()
}
