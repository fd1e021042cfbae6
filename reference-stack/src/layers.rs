//! The observability around every function, put together here and nowhere else.
//!
//! It is what [`powertools::Observability`] makes of the environment, outermost first: logging opens
//! the invocation, so that everything below it is logged under its request id and correlation id;
//! trace opens the invocation's span; metrics leave when the function is done, even if it panics; and
//! the deadline guard brings all of it out before Lambda ends an invocation that takes too long.

use std::convert::Infallible;

use axum::{Router, response::Response};
use lambda_http::{Body, IntoResponse, Request, RequestExt, request::RequestContext};
use powertools::{
    Env, Observability, ObservabilityLayer,
    classify::ByStatus,
    logging::LoggingLayer,
    metrics::MetricsLayer,
    trace::{Http, TraceLayer},
};
use tower::{Service, ServiceBuilder};

/// Says where the correlation id of a request is.
type CorrelationId = fn(&Request) -> Option<String>;
type HttpLogging = LoggingLayer<CorrelationId>;
type HttpTrace = TraceLayer<ByStatus, ((), Http)>;
type HttpMetrics = MetricsLayer<ByStatus>;

/// The observability of a function behind API Gateway.
pub type HttpObservability = Observability<HttpLogging, HttpTrace, HttpMetrics>;
/// [`HttpObservability`], to be put around a function.
pub type HttpObservabilityLayer = ObservabilityLayer<HttpLogging, HttpTrace, HttpMetrics>;

/// Returns the observability of a function behind API Gateway. Its correlation id is the id that
/// API Gateway gave the request, and the status of its response says whether it failed.
pub fn observe_http(env: &Env, metrics: MetricsLayer) -> HttpObservability {
    let metrics = always_recorded(metrics)
        .error_metrics(true)
        .classify_with(ByStatus);
    Observability::from_env(env)
        .with_logging(
            LoggingLayer::from_env(env).correlation_id(api_gateway_request_id as CorrelationId),
        )
        .with_trace(TraceLayer::from_env(env).http())
        .with_metrics(metrics)
}

/// Returns the observability of a consumer of a stream's batches.
///
/// It has no correlation id of its own: every record has another, see [`crate::stream`]. It fails
/// only when all records of a batch do; otherwise it answers with those that failed.
pub fn observe_consumer(env: &Env, metrics: MetricsLayer) -> Observability {
    Observability::from_env(env).with_metrics(always_recorded(metrics).remaining_time_metric(true))
}

/// What is worth knowing of every invocation.
fn always_recorded(metrics: MetricsLayer) -> MetricsLayer {
    metrics
        .cold_start_metric(true)
        .duration_metric(true)
        .memory_metric(true)
}

/// Returns a function behind API Gateway, observed.
pub fn http(
    observability: HttpObservabilityLayer,
    routes: Router,
) -> impl Service<Request, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .layer(observability)
        .and_then(buffer)
        .service(routes)
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
    use std::{sync::LazyLock, time::Duration};

    use lambda_http::tower::ServiceExt;
    use lambda_runtime::{Context, LambdaEvent};
    use powertools::{
        logging::Logger,
        testing::{self, Captured, CapturedTraces},
        trace::Tracer,
    };
    use serde_json::{Value, json};
    use tracing::{Dispatch, instrument::WithSubscriber, subscriber::DefaultGuard};
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::{
        orders::{self, MemoryOrderStore, Orders},
        tests::{Logs, metrics_layer},
    };

    /// Metrics of the test's own, whatever the developer's environment says.
    fn observe_http(metrics: &Captured) -> HttpObservability {
        super::observe_http(&Env::default(), metrics_layer(metrics))
    }

    fn orders() -> Router {
        orders::http::router(Orders::new(MemoryOrderStore::default()))
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
        request.with_lambda_context(context())
    }

    fn context() -> Context {
        testing::sampled_context("invocation-1")
    }

    /// The line of metrics that a layer writes by itself when an invocation ends.
    fn at_the_end(metrics: &Captured) -> Value {
        let mut objects = metrics.json();
        objects.retain(|object| object.get("Duration").is_some());
        assert_eq!(objects.len(), 1, "{objects:#?}");
        objects.remove(0)
    }

    /// Keeps the traces that the running thread sends.
    fn capture_traces<L, T, M>(
        observability: Observability<L, T, M>,
    ) -> (Observability<L, T, M>, CapturedTraces, DefaultGuard) {
        // Somebody always listens: `tracing` remembers for the whole process where nobody does, and
        // the other tests begin and end meanwhile.
        static LISTENS: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&LISTENS);
        let traces = CapturedTraces::default();
        let env = Env::default();
        let observability = observability
            .with_logger(Logger::from_env(&env).with_writer(Captured::default()))
            .with_tracer(Tracer::from_env(&env).with_receiver(traces.clone()));
        let guard = tracing_subscriber::registry()
            .with(observability.subscriber_layer())
            .set_default();
        (observability, traces, guard)
    }

    #[tokio::test]
    async fn a_request_has_the_correlation_id_that_api_gateway_gave_it() {
        let logs = Logs::capture();
        let store = MemoryOrderStore::default();
        let function = http(
            observe_http(&Captured::default()).into_layer(),
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
        let function = http(observe_http(&Captured::default()).into_layer(), orders());
        let response = function.oneshot(api_gateway_request("{")).await.unwrap();
        assert_eq!(response.status(), 400);
        let Body::Text(problem) = response.body() else {
            panic!("{:?}", response.body())
        };
        assert!(problem.contains("malformed-json"), "{problem}");
    }

    #[tokio::test]
    async fn a_request_that_is_refused_is_its_clients_error_in_trace_and_metrics() {
        let metrics = Captured::default();
        let (observability, traces, _guard) = capture_traces(observe_http(&metrics));
        let function = http(observability.into_layer(), orders());
        let response = function.oneshot(api_gateway_request("{")).await.unwrap();
        assert_eq!(response.status(), 400);

        let spans = traces.spans();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        assert!(spans[0].is_error() && !spans[0].is_fault(), "{spans:#?}");
        let shown = &spans[0].document()["http"];
        assert_eq!(shown["request"]["method"], "POST");
        assert_eq!(shown["response"]["status"], 400);
        let object = at_the_end(&metrics);
        assert_eq!(
            (&object["Errors"], &object["Faults"]),
            (&json!(1), &json!(0))
        );
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_fault_in_trace_and_metrics() {
        async fn panics() -> Response {
            panic!("out of tea")
        }

        let metrics = Captured::default();
        let (observability, traces, _guard) = capture_traces(observe_http(&metrics));
        let routes = Router::new().fallback(panics);
        let function = http(observability.into_layer(), routes);
        let call = tokio::spawn(
            function
                .oneshot(api_gateway_request(""))
                .with_current_subscriber(),
        );
        assert!(call.await.unwrap_err().is_panic());

        assert!(traces.spans()[0].is_fault());
        let object = at_the_end(&metrics);
        assert_eq!(
            (&object["Faults"], &object["Panics"]),
            (&json!(1), &json!(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_invocation_recorded_is_out_before_it_is_ended() {
        let metrics = Captured::default();
        let consumer = ServiceBuilder::new()
            .layer(observe_consumer(&Env::default(), metrics_layer(&metrics)).into_layer())
            .service_fn(|_: LambdaEvent<()>| std::future::pending::<Result<(), Infallible>>());
        let event = LambdaEvent::new((), context());
        let timeout = tokio::time::timeout(Duration::from_secs(30), consumer.oneshot(event));
        let is_out = async {
            tokio::time::sleep(Duration::from_millis(29_950)).await;
            let objects = metrics.json();
            objects.iter().any(|it| it.get("TimeoutImminent").is_some())
        };
        let (timeout, is_out) = tokio::join!(timeout, is_out);
        assert!(timeout.is_err() && is_out, "{:#?}", metrics.json());
    }

    #[tokio::test]
    async fn a_consumer_tells_how_much_time_was_left() {
        let metrics = Captured::default();
        let consumer = ServiceBuilder::new()
            .layer(observe_consumer(&Env::default(), metrics_layer(&metrics)).into_layer())
            .service_fn(|event: LambdaEvent<u32>| {
                std::future::ready(Ok::<_, Infallible>(event.payload + 1))
            });
        let event = LambdaEvent::new(1, context());
        assert_eq!(consumer.oneshot(event).await, Ok(2));
        let remaining = at_the_end(&metrics)["RemainingTime"].as_f64().unwrap();
        assert!(remaining > 0.0 && remaining <= 30_000.0, "{remaining}");
    }
}
