//! Clouds share nothing but the folder they are installed in.

mod support;

use local_cloud::{Cloud, HttpClient, Options};
use serde_json::json;

use crate::support::{assert_gone, tree};

#[tokio::test(flavor = "multi_thread")]
async fn two_clouds_know_nothing_of_each_other() {
    let (first, second) = tokio::join!(Cloud::start(Options::new()), Cloud::start(Options::new()));
    let (first, second) = (first.unwrap(), second.unwrap());
    let http = HttpClient::new();
    let order = json!({"customer_id": "c", "currency": "EUR", "items": [{"sku": "s", "quantity": 1, "unit_price": 1}]});
    let answer = http
        .post(&format!("{}/orders", first.api_url()), order.to_string())
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let id = answer.json()["order_id"].as_str().unwrap().to_owned();
    let find = async |cloud: &Cloud| {
        http.get(&format!("{}/orders/{id}", cloud.api_url()))
            .await
            .unwrap()
            .status
    };
    assert_eq!(find(&first).await, 200);
    assert_eq!(find(&second).await, 404);

    let processes = tree(first.process_id());
    first.stop().await;
    assert_gone(&processes);
    assert_eq!(find(&second).await, 404);

    let processes = tree(second.process_id());
    drop(second);
    assert_gone(&processes);
}
