//! What a trace shows of a handler of HTTP requests.
#![cfg(all(feature = "http", feature = "testing", feature = "trace"))]

use std::convert::Infallible;

use http::{Request, Response, StatusCode, header};
use lambda_runtime::Error;
use powertools::{
    classify::Outcome,
    trace::{TraceHeader, TraceLayer},
};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

mod daemon;
mod subscriber;

use daemon::{Daemon, PARENT, SAMPLED, UNSAMPLED, event, layer};

const SECRET: &str = "c2VjcmV0";

fn request() -> Request<String> {
    let mut request = Request::builder()
        .method("POST")
        .uri(format!(
            "https://shop.example.com/prod/orders?token={SECRET}"
        ))
        .header(header::USER_AGENT, "curl/8.5.0")
        .header("x-forwarded-for", "10.0.0.1, 192.0.2.1")
        .header(header::AUTHORIZATION, SECRET)
        .body(SECRET.to_owned())
        .unwrap();
    request.extensions_mut().insert(event((), SAMPLED).context);
    request
}

/// Answers `request` and returns the handler's document.
async fn document<S: Service<Request<String>>>(service: S, request: Request<String>) -> Value {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let _ = service.oneshot(request).await;
    let mut documents = daemon.documents();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn flags(document: &Value) -> [bool; 3] {
    ["error", "throttle", "fault"].map(|flag| document.get(flag).is_some_and(|it| it == true))
}

#[tokio::test]
async fn a_request_and_its_response_are_shown_without_their_secrets() {
    let service = layer().http().layer(service_fn(|_: Request<String>| async {
        let response = Response::builder()
            .status(StatusCode::CREATED)
            .header(header::CONTENT_LENGTH, 12)
            .header(header::SET_COOKIE, SECRET)
            .body(SECRET.to_owned());
        Ok::<_, Error>(response?)
    }));
    let document = document(service, request()).await;
    assert_eq!(document["name"], "## my-function");
    assert_eq!(document["parent_id"], PARENT);
    assert_eq!(document["namespace"], "local");
    assert_eq!(
        document["http"],
        json!({
            "request": {
                "method": "POST", "url": "https://shop.example.com/prod/orders",
                "user_agent": "curl/8.5.0", "client_ip": "192.0.2.1", "x_forwarded_for": true,
            },
            "response": {"status": 201, "content_length": 12},
        })
    );
    assert_eq!(document.get("metadata"), None, "{document}");
    assert!(!document.to_string().contains(SECRET), "{document}");
}

#[tokio::test]
async fn a_bare_request_is_shown_with_what_it_has() {
    let mut request = Request::new(String::new());
    request.extensions_mut().insert(event((), SAMPLED).context);
    let service = layer().http().layer(service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(()))
    }));
    assert_eq!(
        document(service, request).await["http"],
        json!({"request": {"method": "GET", "url": "/"}, "response": {"status": 200}})
    );
}

#[tokio::test]
async fn the_status_says_whose_mistake_it_was() {
    for (status, expected) in [
        (200, [false, false, false]),
        (304, [false, false, false]),
        (404, [true, false, false]),
        (429, [true, true, false]),
        (503, [false, false, true]),
    ] {
        let service = layer()
            .http()
            .layer(service_fn(move |_: Request<String>| async move {
                Response::builder().status(status).body(())
            }));
        let document = document(service, request()).await;
        assert_eq!(flags(&document), expected, "{status}");
        assert_eq!(document["http"]["response"]["status"], status);
        assert_eq!(document.get("cause"), None);
    }
}

#[tokio::test]
async fn an_error_has_no_response_and_is_a_fault() {
    let service = layer().http().layer(service_fn(|_: Request<String>| async {
        Err::<Response<()>, _>(Error::from("no database"))
    }));
    let document = document(service, request()).await;
    assert_eq!(flags(&document), [false, false, true]);
    assert_eq!(document["cause"]["exceptions"][0]["message"], "no database");
    assert_eq!(document["http"].get("response"), None);
    assert_eq!(document["http"]["request"]["method"], "POST");
}

#[tokio::test]
async fn a_classifier_that_comes_later_wins_over_the_status() {
    // A health check that finds nothing is as healthy as any.
    let calm = |result: Result<&Response<()>, &Infallible>| match result {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => Outcome::Success,
        _ => Outcome::Fault,
    };
    let service =
        layer()
            .http()
            .classify_with(calm)
            .layer(service_fn(|_: Request<String>| async {
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::NOT_FOUND;
                Ok(response)
            }));
    assert_eq!(flags(&document(service, request()).await), [false; 3]);
}

#[tokio::test]
async fn nothing_is_sent_for_a_request_that_is_not_sampled() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = layer().http().layer(service_fn(|_: Request<String>| async {
        let header = TraceHeader::current().map(|it| it.to_string());
        Ok::<_, Infallible>(Response::new(header))
    }));
    let mut request = request();
    request
        .extensions_mut()
        .insert(event((), UNSAMPLED).context);
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.into_body().as_deref(), Some(UNSAMPLED));
    assert!(daemon.documents().is_empty());
}

#[tokio::test]
async fn an_axum_router_is_traced_as_it_is() {
    use axum::{Router, body::Body, routing::get};

    let router = Router::new().route("/orders/{id}", get(|| async { "order" }));
    let service = ServiceBuilder::new().layer(layer().http()).service(router);
    let mut request = Request::get("/orders/a1?page=2")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(event((), SAMPLED).context);
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        daemon.documents()[0]["http"],
        json!({
            "request": {"method": "GET", "url": "/orders/a1"},
            "response": {"status": 200, "content_length": 5},
        })
    );
}

#[test]
fn the_layer_can_be_shared_and_cloned() {
    fn assert_shareable<T: Send + Sync + Clone + std::fmt::Debug + 'static>(_: &T) {}

    assert_shareable(&TraceLayer::new().http());
    assert_shareable(&TraceLayer::new().http().layer(0));
}
