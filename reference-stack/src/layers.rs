//! The observability around every function, put together here and nowhere else.
//!
//! Outermost first: logging opens the invocation, so that everything below it is logged under its
//! request id and correlation id; trace opens the invocation's span; metrics are innermost and
//! leave when the function is done, even if it panics.

use std::convert::Infallible;

use axum::{Router, response::Response};
use lambda_http::{Body, IntoResponse, Request, RequestExt, request::RequestContext};
use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    logging::{Logger, LoggingLayer},
    metrics::MetricsLayer,
    trace::{TraceLayer, Tracer},
};
use tower::{Service, ServiceBuilder};
use tracing_subscriber::prelude::*;

/// Sets up where log lines and spans go. To be called once, before anything is logged.
///
/// # Panics
///
/// Panics if a subscriber is set already.
pub fn init(env: &Env) {
    tracing_subscriber::registry()
        .with(Logger::from_env(env).subscriber_layer())
        .with(Tracer::from_env(env).subscriber_layer())
        .init();
}

/// Returns a function behind API Gateway, with the layers around it. Its correlation id is the id
/// that API Gateway gave the request.
pub fn http(
    metrics: MetricsLayer,
    routes: Router,
) -> impl Service<Request, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(api_gateway_request_id))
        .layer(TraceLayer::new())
        .layer(metrics)
        .and_then(buffer)
        .service(routes)
}

/// Returns a consumer of a stream's batches, with the layers around it.
///
/// It has no correlation id of its own: every record has another, see [`crate::stream`]. It does
/// not fail either: it answers with the records that failed.
pub fn consumer<T, R, H, F>(
    metrics: MetricsLayer,
    handle: H,
) -> impl Service<LambdaEvent<T>, Response = R, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static
where
    T: 'static,
    R: 'static,
    H: Fn(LambdaEvent<T>) -> F + Clone + Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .layer(TraceLayer::new())
        .layer(metrics)
        .service_fn(move |event| {
            let answer = handle(event);
            // Boxed, or the type that `main` awaits nests deeper than the compiler looks.
            Box::pin(async { Ok(answer.await) })
        })
}

fn api_gateway_request_id(request: &Request) -> Option<String> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.request_id.clone(),
        _ => None,
    }
}

/// Reads a body to its end: the runtime may serve several invocations at once only where responses
/// are `Sync`, and axum's bodies are not.
async fn buffer(response: Response) -> Result<Response<Body>, Infallible> {
    Ok(response.into_response().await)
}

#[cfg(test)]
mod tests {
    use lambda_http::tower::ServiceExt;
    use powertools::{env, testing};
    use serde_json::json;

    use super::*;
    use crate::{
        orders::{self, MemoryOrderStore, Orders},
        tests::Logs,
    };

    fn no_metrics() -> MetricsLayer {
        let env = Env::from([
            (env::METRICS_NAMESPACE, "Test"),
            (env::METRICS_DISABLED, "true"),
        ]);
        MetricsLayer::from_env(&env)
    }

    fn api_gateway_request(body: &str) -> Request {
        let event = json!({
            "resource": "/{proxy+}",
            "path": "/orders",
            "httpMethod": "POST",
            "headers": {"content-type": "application/json"},
            "multiValueHeaders": {"content-type": ["application/json"]},
            "queryStringParameters": null,
            "multiValueQueryStringParameters": null,
            "pathParameters": {"proxy": "orders"},
            "stageVariables": null,
            "requestContext": {
                "requestId": "52fdfc07-2182-454f-963f-5f0f9a621d72",
                "stage": "$default",
                "httpMethod": "POST",
                "identity": {"sourceIp": "192.0.2.1"},
            },
            "body": body,
            "isBase64Encoded": false,
        });
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        request.with_lambda_context(testing::context("invocation-1"))
    }

    #[tokio::test]
    async fn a_request_has_the_correlation_id_that_api_gateway_gave_it() {
        let logs = Logs::capture();
        let store = MemoryOrderStore::default();
        let function = http(
            no_metrics(),
            orders::http::router(Orders::new(store.clone())),
        );
        let order = json!({
            "customer_id": "customer-1",
            "currency": "EUR",
            "items": [{"sku": "tea", "quantity": 2, "unit_price": 1250}],
        });
        let request = api_gateway_request(&order.to_string());
        let response = function.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 201);
        assert!(
            matches!(response.body(), Body::Text(_)),
            "{:?}",
            response.body()
        );

        let event = store.events().remove(0);
        assert_eq!(
            event.correlation_id.as_deref(),
            Some("52fdfc07-2182-454f-963f-5f0f9a621d72")
        );
        assert_eq!(event.causation_id.as_deref(), Some("invocation-1"));
        let line = &logs.with_message("order placed")[0];
        assert_eq!(
            line["correlation_id"],
            "52fdfc07-2182-454f-963f-5f0f9a621d72"
        );
        assert_eq!(line["function_request_id"], "invocation-1");
    }

    #[tokio::test]
    async fn a_problem_is_sent_as_text() {
        let routes = orders::http::router(Orders::new(MemoryOrderStore::default()));
        let function = http(no_metrics(), routes);
        let response = function.oneshot(api_gateway_request("{")).await.unwrap();
        assert_eq!(response.status(), 400);
        let Body::Text(problem) = response.body() else {
            panic!("{:?}", response.body())
        };
        assert!(problem.contains("malformed-json"), "{problem}");
    }

    #[tokio::test]
    async fn a_consumer_answers_with_what_its_handler_returns() {
        let consumer = consumer(no_metrics(), |event: LambdaEvent<u32>| async move {
            event.payload + 1
        });
        let event = LambdaEvent::new(1, testing::context("invocation-1"));
        assert_eq!(consumer.oneshot(event).await, Ok(2));
    }
}
