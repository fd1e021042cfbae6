//! Clouds share nothing but the folder they are installed in.

mod support;

use local_cloud::{Cloud, HttpClient, Options};
use serde_json::json;

use crate::support::{assert_gone, tree};

/// The status with which a cloud answers to who asks for an order.
async fn find(cloud: &Cloud, id: &str) -> u16 {
    let url = format!("{}/orders/{id}", cloud.api_url());
    HttpClient::new().get(&url).await.unwrap().status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clouds_know_nothing_of_each_other() {
    let (first, second) = tokio::join!(Cloud::start(Options::new()), Cloud::start(Options::new()));
    let (first, second) = (first.unwrap(), second.unwrap());
    let order = json!({"customer_id": "c", "currency": "EUR", "items": [{"sku": "s", "quantity": 1, "unit_price": 1}]});
    let answer = HttpClient::new()
        .post(&format!("{}/orders", first.api_url()), order.to_string())
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let id = answer.json()["order_id"].as_str().unwrap().to_owned();
    assert_eq!(find(&first, &id).await, 200);
    assert_eq!(find(&second, &id).await, 404);

    let processes = tree(first.process_id());
    first.stop().await;
    assert_gone(&processes);
    assert_eq!(find(&second, &id).await, 404);

    let processes = tree(second.process_id());
    drop(second);
    assert_gone(&processes);
}
