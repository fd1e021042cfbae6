//! What a customer does over HTTP: order, look, and make mistakes.

use aws_sdk_dynamodb::types::AttributeValue;
use local_cloud::{Cloud, HttpClient, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::checks::{Failure, check, eventually};
use crate::screen::Screen;

/// What the order of [`order`] costs, in cents.
const TOTAL: i64 = 2 * 1250 + 499;

/// An order that was placed.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    /// The event that says so, as it is stored and sent.
    pub(crate) event: String,
    /// What everything that the request caused has in common.
    pub(crate) correlation_id: String,
}

/// What the customer wants.
pub(crate) fn order() -> Value {
    json!({
        "customer_id": "customer-42",
        "currency": "EUR",
        "items": [
            {"sku": "teapot", "quantity": 2, "unit_price": 1250},
            {"sku": "green-tea", "quantity": 1, "unit_price": 499},
        ],
    })
}

/// Orders, reads the order, and waits until it is in the projection.
pub(crate) async fn places_an_order(
    cloud: &Cloud,
    http: &HttpClient,
    screen: &Screen,
) -> Result<Order, Failure> {
    screen.title("A customer places an order");
    let url = format!("{}/orders", cloud.api_url());
    screen.action(&format!("POST {url}"));
    screen.text(&order().to_string());
    let answer = http.post(&url, order().to_string()).await?;
    show(screen, &answer);
    let body = answer.json();
    let seen = format!("{} {body}", answer.status);
    check(answer.status == 201, "status 201", &seen)?;
    check(
        body["status"] == "placed" && body["total"] == TOTAL,
        &format!("a placed order of {TOTAL} cents"),
        &seen,
    )?;
    let id = body["order_id"].as_str().unwrap_or_default().to_owned();
    let location = answer.header("location").unwrap_or_default();
    check(
        !id.is_empty() && location.ends_with(&format!("orders/{id}")),
        "a Location with the order's id",
        location,
    )?;
    screen.verified(&format!("order {id} was created: {TOTAL} cents"));

    let url = resolve(&url, location);
    screen.action(&format!("GET {url}"));
    let answer = http.get(&url).await?;
    show(screen, &answer);
    check(
        answer.status == 200 && answer.json() == body,
        "status 200 and the same order",
        format!("{} {}", answer.status, answer.json()),
    )?;
    screen.verified("the order can be read where Location said");

    let projection = projected(cloud, &id).await?;
    screen.action("the table `projections`, item `order-summary`");
    screen.text(&projection.to_string());
    check(
        projection["total"] == TOTAL,
        "the order's total in its projection",
        &projection,
    )?;
    screen.verified("the order went through the event store, its stream, Kinesis and two functions into the projection");

    let event = stored_event(cloud, &id).await?;
    let correlation_id =
        serde_json::from_str::<Value>(&event).unwrap_or_default()["correlation_id"]
            .as_str()
            .map(str::to_owned);
    let correlation_id =
        correlation_id.ok_or_else(|| Failure::new("a correlation id in the event", &event))?;
    Ok(Order {
        id,
        event,
        correlation_id,
    })
}

/// Waits for an order's projection.
pub(crate) async fn projected(cloud: &Cloud, id: &str) -> Result<Value, Failure> {
    eventually("the order in the projection", || async {
        let request = cloud
            .clients()
            .dynamodb
            .get_item()
            .table_name("projections");
        let key = [("projection", "order-summary"), ("id", id)];
        let request = key.into_iter().fold(request, |request, (name, value)| {
            request.key(name, AttributeValue::S(value.to_owned()))
        });
        let answer = request
            .send()
            .await
            .map_err(|error| local_cloud::Error::aws("read the projection")(error))?;
        Ok(answer
            .item
            .map(|item| plain(AttributeValue::M(item)))
            .ok_or_else(|| format!("no projection of order {id}")))
    })
    .await
}

/// The text of the event with which the order began.
async fn stored_event(cloud: &Cloud, id: &str) -> Result<String, Failure> {
    let request = cloud
        .clients()
        .dynamodb
        .get_item()
        .table_name("event-store");
    let request = request
        .key("aggregate_id", AttributeValue::S(id.to_owned()))
        .key("version", AttributeValue::N("1".to_owned()));
    let answer = request
        .send()
        .await
        .map_err(local_cloud::Error::aws("read the event store"))?;
    let event = answer
        .item
        .as_ref()
        .and_then(|item| item.get("event")?.as_s().ok());
    event.cloned().ok_or_else(|| {
        Failure::new(
            "the order's first event in the event store",
            format!("{:?}", answer.item),
        )
    })
}

/// Sends what is wrong in one way each, and expects to be told so, politely.
pub(crate) async fn makes_mistakes(
    cloud: &Cloud,
    http: &HttpClient,
    screen: &Screen,
) -> Result<(), Failure> {
    screen.title("A customer makes mistakes");
    let orders = format!("{}/orders", cloud.api_url());
    let mut unknown_field = order();
    unknown_field["coupon"] = json!("SAVE10");
    let mut negative = order();
    negative["items"][0]["quantity"] = json!(-2);

    let wrong = [
        ("malformed JSON", "{\"customer_id\": ".to_owned(), ""),
        ("an unknown field", unknown_field.to_string(), "#/coupon"),
        (
            "a negative quantity",
            negative.to_string(),
            "#/items/0/quantity",
        ),
    ];
    for (what, body, pointer) in wrong {
        let before = warnings(cloud).await?;
        screen.action(&format!("POST {orders} with {what}"));
        let answer = http.post(&orders, body).await?;
        is_problem(screen, &answer, pointer)?;
        warned_once(cloud, before).await?;
        screen.verified(&format!(
            "{what} is refused with a problem detail{}",
            if pointer.is_empty() {
                ""
            } else {
                " that names the field"
            }
        ));
    }

    let before = warnings(cloud).await?;
    let url = format!("{orders}/{}", Uuid::now_v7());
    screen.action(&format!("GET {url}, which nobody placed"));
    let answer = http.get(&url).await?;
    is_problem(screen, &answer, "")?;
    check(answer.status == 404, "status 404", answer.status)?;
    warned_once(cloud, before).await?;
    screen.verified("an unknown order is not found; each mistake left one warning in the log, and nothing panicked");
    Ok(())
}

fn is_problem(screen: &Screen, answer: &Response, pointer: &str) -> Result<(), Failure> {
    show(screen, answer);
    let problem = answer.json();
    let seen = format!(
        "{} {} {problem}",
        answer.status,
        answer.header("content-type").unwrap_or("no content type")
    );
    check(answer.status.is_client_error(), "a 4xx status", &seen)?;
    check(
        answer.header("content-type") == Some("application/problem+json"),
        "application/problem+json",
        &seen,
    )?;
    check(
        problem["status"] == answer.status.as_u16() && problem["title"].is_string(),
        "a problem detail with status and title",
        &seen,
    )?;
    let named = pointer.is_empty()
        || problem["errors"]
            .as_array()
            .is_some_and(|errors| errors.iter().any(|error| error["pointer"] == pointer));
    check(named, &format!("an error at `{pointer}`"), &seen)
}

/// The warnings of the function `orders` so far; an error there is a failure at once.
async fn warnings(cloud: &Cloud) -> Result<usize, Failure> {
    let lines = cloud.logs("orders").await?;
    if let Some(line) = lines
        .iter()
        .find(|line| line.field("level") == Some("ERROR") || line.text.contains("panicked"))
    {
        return Err(Failure::new("no error in the log of `orders`", &line.text));
    }
    Ok(lines
        .iter()
        .filter(|line| line.field("level") == Some("WARN"))
        .count())
}

async fn warned_once(cloud: &Cloud, before: usize) -> Result<(), Failure> {
    // The log may lag behind the answer.
    let expected = "a warning in the log of `orders`";
    let after = eventually(expected, || async {
        let after = warnings(cloud).await;
        Ok(match after {
            Ok(after) if after == before => Err(format!("still {before} warnings")),
            after => Ok(after),
        })
    })
    .await??;
    check(
        after == before + 1,
        "one warning more in the log of `orders`",
        format!("{before} before, {after} after"),
    )
}

fn show(screen: &Screen, answer: &Response) {
    screen.text(&answer.status.to_string());
    for name in ["content-type", "location"] {
        if let Some(value) = answer.header(name) {
            screen.text(&format!("{name}: {value}"));
        }
    }
    screen.text(&String::from_utf8_lossy(&answer.body));
}

/// A reference as in a Location header, resolved against the URL of the request.
fn resolve(base: &str, reference: &str) -> String {
    let authority = base.find("://").map_or(0, |at| at + 3);
    if reference.contains("://") {
        reference.to_owned()
    } else if reference.starts_with('/') {
        let end = base[authority..]
            .find('/')
            .map_or(base.len(), |at| authority + at);
        format!("{}{reference}", &base[..end])
    } else {
        format!(
            "{}/{reference}",
            base.rsplit_once('/').map_or(base, |(folder, _)| folder)
        )
    }
}

/// An attribute as JSON, without DynamoDB's type tags.
fn plain(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::N(number) => number.parse().map_or(Value::String(number), Value::Number),
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::L(list) => list.into_iter().map(plain).collect(),
        AttributeValue::M(map) => {
            // Sorted, so that it is shown in the same order each time.
            let sorted = map
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>();
            sorted
                .into_iter()
                .map(|(name, value)| (name, plain(value)))
                .collect()
        }
        AttributeValue::Null(_) => Value::Null,
        other => Value::String(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_as_a_browser_would() {
        let base = "http://127.0.0.1:1/api/local/orders";
        assert_eq!(
            resolve(base, "orders/1"),
            "http://127.0.0.1:1/api/local/orders/1"
        );
        assert_eq!(resolve(base, "/orders/1"), "http://127.0.0.1:1/orders/1");
        assert_eq!(
            resolve(base, "https://shop.example/orders/1"),
            "https://shop.example/orders/1"
        );
    }

    #[test]
    fn an_item_is_shown_without_type_tags() {
        let list = AttributeValue::L(vec![
            AttributeValue::N("1.5".into()),
            AttributeValue::Bool(true),
        ]);
        let item = AttributeValue::M(
            [
                ("b".into(), AttributeValue::S("x".into())),
                ("a".into(), list),
            ]
            .into(),
        );
        assert_eq!(plain(item).to_string(), r#"{"a":[1.5,true],"b":"x"}"#);
    }
}
