use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request};
use powertools::{logging::LoggingLayer, testing::Captured};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    event::Envelope,
    orders::{MemoryOrderStore, OrderEvent},
    tests::{Logs, metrics_layer},
};

const REQUEST_ID: &str = "52fdfc07-2182-454f-963f-5f0f9a621d72";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    /// The metrics that were written.
    metrics: Vec<Value>,
}

impl Answer {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}"))
            .to_str()
            .unwrap()
    }

    /// The pointers of a problem's errors.
    fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }

    /// Checks what is true of every problem.
    #[track_caller]
    fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["instance"], format!("urn:uuid:{REQUEST_ID}"));
        assert!(self.body["title"].is_string(), "{}", self.body);
        if kind == "about:blank" {
            assert_eq!(self.body["type"], kind);
        } else {
            assert_eq!(
                self.body["type"],
                format!("tag:reference-stack.example,2026:{kind}")
            );
        }
    }
}

async fn send<S: OrderStore>(store: S, request: Request<Body>) -> Answer {
    let metrics = Captured::default();
    let response = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(|_: &Request<Body>| Some(REQUEST_ID.to_owned())))
        .layer(metrics_layer(&metrics))
        .service(router(Orders::new(store)))
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        },
        metrics: metrics.json(),
    }
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, "")
}

fn post(body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, "/orders", body)
}

fn order() -> Value {
    json!({
        "customer_id": "customer-1",
        "currency": "EUR",
        "items": [
            {"sku": "tea", "quantity": 2, "unit_price": 1250},
            {"sku": "pot", "quantity": 1, "unit_price": 3999},
        ],
    })
}

/// The order with one member set to another value.
fn order_with(pointer: &str, value: Value) -> String {
    let mut order = order();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match order.pointer_mut(parent).unwrap() {
        Value::Array(array) => array[name.parse::<usize>().unwrap()] = value,
        object => object[name] = value,
    }
    order.to_string()
}

async fn refused(body: impl Into<Body>) -> Answer {
    let store = MemoryOrderStore::default();
    let answer = send(store.clone(), post(body)).await;
    assert!(store.events().is_empty(), "a refused order was stored");
    assert!(answer.metrics.is_empty(), "a refused order was counted");
    answer
}

#[tokio::test]
async fn a_placed_order_is_found_where_the_answer_says() {
    let store = MemoryOrderStore::default();
    let logs = Logs::capture();
    let placed = send(store.clone(), post(order().to_string())).await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    let id = placed.body["order_id"].as_str().unwrap();
    // Relative to `/orders`.
    assert_eq!(placed.header("location"), format!("orders/{id}"));
    assert_eq!(placed.body["status"], "placed");
    assert_eq!(placed.body["total"], 6499);
    assert_eq!(placed.body["version"], 1);
    assert_eq!(placed.body["items"], order()["items"]);

    let [metrics] = placed.metrics.as_slice() else {
        panic!("{:?}", placed.metrics)
    };
    assert_eq!(metrics["OrdersCreated"], 1);

    let found = send(
        store.clone(),
        get(&format!("/{}", placed.header("location"))),
    )
    .await;
    assert_eq!((found.status, &found.body), (200, &placed.body));
    assert!(found.metrics.is_empty(), "{:?}", found.metrics);

    let lines = logs.with_message("order placed");
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["correlation_id"], REQUEST_ID);
    assert_eq!(line["order_id"], id);
    assert_eq!(
        store.events()[0].correlation_id.as_deref(),
        Some(REQUEST_ID)
    );
}

#[tokio::test]
async fn an_unknown_order_is_not_found() {
    let id = OrderId::generate();
    let answer = send(MemoryOrderStore::default(), get(&format!("/orders/{id}"))).await;
    answer.assert_problem(404, "unknown-order");
}

#[tokio::test]
async fn an_id_of_the_wrong_form_is_refused() {
    for id in [
        "1",
        "0193a1b2c3d47000800000000000000a",
        "0193A1B2-C3D4-7000-8000-00000000000A",
        "%FF",
        "a%2Fb",
    ] {
        let answer = send(MemoryOrderStore::default(), get(&format!("/orders/{id}"))).await;
        answer.assert_problem(400, "malformed-id");
    }
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    for path in ["/", "/order", "/orders/", "/orders/1/items"] {
        let answer = send(MemoryOrderStore::default(), get(path)).await;
        answer.assert_problem(404, "about:blank");
        assert_eq!(answer.body["title"], "Not Found");
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
    for (method, path, allow) in [
        (Method::DELETE, "/orders", "POST"),
        (Method::GET, "/orders", "POST"),
        (Method::PATCH, "/orders/1", "GET,HEAD"),
    ] {
        let answer = send(MemoryOrderStore::default(), request(method, path, "")).await;
        answer.assert_problem(405, "about:blank");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let not_utf8: &[u8] = b"{\"customer_id\":\"\xff\"}";
    let bodies: [Body; 6] = [
        "".into(),
        "{".into(),
        "order".into(),
        r#"{"currency":}"#.into(),
        (order().to_string() + "x").into(),
        not_utf8.into(),
    ];
    for body in bodies {
        let answer = refused(body).await;
        answer.assert_problem(400, "malformed-json");
        assert!(
            answer.body["detail"].as_str().unwrap().contains("at line"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/jsonp"),
        Some("application/vnd.order+json"),
        Some("json"),
    ] {
        let mut request = post(order().to_string());
        request.headers_mut().remove("content-type");
        if let Some(content_type) = content_type {
            request
                .headers_mut()
                .insert("content-type", content_type.parse().unwrap());
        }
        let answer = send(MemoryOrderStore::default(), request).await;
        answer.assert_problem(415, "about:blank");
        assert_eq!(answer.header("accept"), "application/json");
    }
    let mut request = post(order().to_string());
    request.headers_mut().insert(
        "content-type",
        "Application/JSON; charset=utf-8".parse().unwrap(),
    );
    assert_eq!(send(MemoryOrderStore::default(), request).await.status, 201);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let largest = format!(
        "{}{}",
        order(),
        " ".repeat(64 * 1024 - order().to_string().len())
    );
    assert_eq!(
        send(MemoryOrderStore::default(), post(largest.clone()))
            .await
            .status,
        201
    );
    let answer = refused(largest + " ").await;
    answer.assert_problem(413, "about:blank");
}

#[tokio::test]
async fn the_largest_order_fits_into_a_body() {
    let item = json!({"sku": "s".repeat(64), "quantity": 1000, "unit_price": 90_071_992_547_i64});
    let body = order_with("/items", vec![item; 100].into());
    assert_eq!(
        send(MemoryOrderStore::default(), post(body)).await.status,
        201
    );
}

#[tokio::test]
async fn an_unknown_field_is_refused_and_named() {
    for (pointer, named) in [
        ("/colour", "#/colour"),
        ("/items/1/colour", "#/items/1/colour"),
    ] {
        let answer = refused(order_with(pointer, json!("red"))).await;
        answer.assert_problem(422, "invalid-body");
        assert_eq!(answer.pointers(), [named]);
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("unknown field `colour`, expected"),
            "{detail}"
        );
        assert!(!detail.contains("line"), "{detail}");
    }
}

#[tokio::test]
async fn a_field_of_another_type_is_refused_and_named() {
    for (pointer, value, detail) in [
        (
            "/currency",
            json!(1),
            "invalid type: integer `1`, expected a string",
        ),
        (
            "/items",
            json!({}),
            "invalid type: map, expected a sequence",
        ),
        (
            "/items/0",
            json!(["tea", 1, 1]),
            "invalid type: sequence, expected an object",
        ),
        (
            "/items/1/quantity",
            json!("2"),
            "invalid type: string \"2\", expected an integer",
        ),
        (
            "/items/1/quantity",
            json!(1.5),
            "invalid type: floating point `1.5`, expected an integer",
        ),
        (
            "/items/0/unit_price",
            json!(u64::MAX),
            "invalid value: integer `18446744073709551615`, expected a smaller integer",
        ),
    ] {
        let answer = refused(order_with(pointer, value)).await;
        answer.assert_problem(422, "invalid-body");
        assert_eq!(answer.pointers(), [format!("#{pointer}")]);
        assert_eq!(answer.body["errors"][0]["detail"], detail);
    }
    for body in ["[]", "null", "1", r#"["customer-1","EUR",[]]"#] {
        let answer = refused(body).await;
        answer.assert_problem(422, "invalid-body");
        assert_eq!(answer.pointers(), ["#"]);
    }
}

#[tokio::test]
async fn a_long_value_is_not_repeated_in_full() {
    let answer = refused(order_with("/items/0/quantity", json!("é".repeat(5000)))).await;
    let detail = answer.body["errors"][0]["detail"].as_str().unwrap();
    assert_eq!(detail.chars().count(), 201);
}

#[tokio::test]
async fn a_long_name_is_not_repeated_in_full() {
    let logs = Logs::capture();
    let answer = refused(order_with(&format!("/{}", "n".repeat(5000)), json!(1))).await;
    answer.assert_problem(422, "invalid-body");
    let pointer = format!("#/{}%E2%80%A6", "n".repeat(100));
    assert_eq!(answer.pointers(), [&pointer]);
    assert_eq!(logs.all()[0]["pointers"], pointer);
}

#[tokio::test]
async fn a_long_list_of_wrong_fields_is_logged_in_part() {
    let logs = Logs::capture();
    let item = json!({"sku": "tea", "quantity": 0, "unit_price": 1250});
    let answer = refused(order_with("/items", vec![item; 100].into())).await;
    let pointers = answer.pointers();
    assert_eq!(pointers.len(), 100);
    assert_eq!(
        logs.all()[0]["pointers"],
        format!("{}, and 90 more", pointers[..10].join(", "))
    );
}

#[tokio::test]
async fn every_field_that_is_missing_or_out_of_range_is_named_at_once() {
    let logs = Logs::capture();
    let answer = refused(
        json!({
            "currency": "euro",
            "items": [
                {"sku": "tea", "quantity": -2, "unit_price": 1250},
                {"sku": "tea", "quantity": 1001, "unit_price": -1},
                {"quantity": null, "unit_price": 0},
            ],
        })
        .to_string(),
    )
    .await;
    answer.assert_problem(422, "invalid-body");
    let pointers = [
        "#/customer_id",
        "#/currency",
        "#/items/0/quantity",
        "#/items/1/quantity",
        "#/items/1/unit_price",
        "#/items/2/sku",
        "#/items/2/quantity",
    ];
    assert_eq!(answer.pointers(), pointers);
    assert_eq!(answer.body["detail"], "7 fields are wrong.");
    assert_eq!(
        answer.body["errors"][2]["detail"],
        "must be between 1 and 1000"
    );
    assert_eq!(answer.body["errors"][6]["detail"], "is required");

    let lines = logs.all();
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "request refused");
    assert_eq!(line["correlation_id"], REQUEST_ID);
    assert_eq!(
        (&line["method"], &line["path"]),
        (&json!("POST"), &json!("/orders"))
    );
    assert_eq!(line["status"], 422);
    assert_eq!(line["pointers"], pointers.join(", "));
}

#[tokio::test]
async fn every_refused_request_leaves_one_warning() {
    for (request, status) in [
        (get("/nowhere"), 404),
        (get("/orders/1"), 400),
        (get(&format!("/orders/{}", OrderId::generate())), 404),
        (request(Method::PUT, "/orders", ""), 405),
        (post("{"), 400),
        (post(order_with("/colour", json!("red"))), 422),
        (post("x".repeat(70_000)), 413),
    ] {
        let logs = Logs::capture();
        let answer = send(MemoryOrderStore::default(), request).await;
        assert_eq!(answer.status, status);
        let lines = logs.all();
        let [line] = lines.as_slice() else {
            panic!("{status}: {lines:?}")
        };
        assert_eq!(
            (&line["level"], &line["status"]),
            (&json!("WARN"), &json!(status))
        );
        assert_eq!(line["problem"], answer.body["type"]);
    }
}

struct BrokenStore(fn() -> StoreError);

impl OrderStore for BrokenStore {
    async fn create(&self, _: &Envelope<OrderEvent>, _: &Order) -> Result<(), StoreError> {
        Err((self.0)())
    }

    async fn find(&self, _: OrderId) -> Result<Option<Order>, StoreError> {
        Err((self.0)())
    }
}

async fn broken(error: fn() -> StoreError) -> [Answer; 2] {
    let read = send(
        BrokenStore(error),
        get(&format!("/orders/{}", OrderId::generate())),
    )
    .await;
    [
        read,
        send(BrokenStore(error), post(order().to_string())).await,
    ]
}

#[tokio::test]
async fn a_client_of_an_unavailable_store_may_read_again_but_not_order_again() {
    let logs = Logs::capture();
    let answers = broken(|| StoreError::Unavailable("slow down".into())).await;
    for answer in &answers {
        answer.assert_problem(503, "about:blank");
        assert!(!answer.body.to_string().contains("slow"), "{}", answer.body);
    }
    let [read, placed] = answers;
    assert_eq!(read.header("retry-after"), "1");
    assert_eq!(placed.headers.get("retry-after"), None);
    assert_eq!(
        placed.body["detail"],
        "Whether the order was placed is not known."
    );
    let lines = logs.all();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert_eq!(
            (&line["level"], &line["message"]),
            (&json!("ERROR"), &json!("request failed"))
        );
        assert!(line["error"].to_string().contains("slow down"), "{line}");
    }
}

#[tokio::test]
async fn why_a_store_failed_is_told_to_the_log_only() {
    let logs = Logs::capture();
    for answer in broken(|| StoreError::Failed("table `orders` is missing".into())).await {
        answer.assert_problem(500, "about:blank");
        let title = "Internal Server Error";
        let instance = format!("urn:uuid:{REQUEST_ID}");
        let whole =
            json!({"type": "about:blank", "title": title, "status": 500, "instance": instance});
        assert_eq!(answer.body, whole);
    }
    for line in logs.all() {
        assert_eq!(line["level"], "ERROR");
        assert!(
            line["error"]
                .to_string()
                .contains("table `orders` is missing"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_conflict_is_told_as_one() {
    let [_, placed] = broken(|| StoreError::Conflict).await;
    placed.assert_problem(409, "conflict");
}

#[tokio::test]
async fn a_problem_outside_of_an_invocation_names_no_request() {
    let response = router(Orders::new(MemoryOrderStore::default()))
        .oneshot(get("/"))
        .await
        .unwrap();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.get("instance"), None);
}
