//! All tools around one function: it takes a REST event of API Gateway as text, so that the logging
//! layer finds the correlation id in it.

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env,
    decode::{DecodeError, DecodeLayer},
    logging::{Buffer, CorrelationPath, Logger, LoggingLayer},
    metrics::{Metric, MetricsError, MetricsLayer, Unit},
    trace::{TraceLayer, Tracer},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tower::{Service, ServiceBuilder};
use tracing::{debug, error, info_span};
use tracing_subscriber::prelude::*;

const SIGN_UPS: Metric = Metric::new("SignUps", Unit::Count);

#[derive(Deserialize)]
struct Request {
    body: String,
}

async fn handler(event: LambdaEvent<Request>) -> Result<Value, Error> {
    // Held back, and written only if an error follows; the password is never written.
    debug!(body = event.payload.body, "signing up");
    let span = info_span!("sign up", annotation.plan = "free");
    let Ok(Value::Object(_)) = span.in_scope(|| serde_json::from_str(&event.payload.body)) else {
        error!("body is no object");
        return Ok(json!({ "statusCode": 400 }));
    };
    SIGN_UPS.record(1);
    Ok(json!({ "statusCode": 201 }))
}

fn logger(env: &Env) -> Logger {
    Logger::from_env(env)
        .buffer(Buffer::new())
        .redact(["password"])
}

/// What the runtime hands over is the event's text, and what may fail is decoding it.
fn stack(
    metrics: MetricsLayer,
) -> impl Service<LambdaEvent<Box<RawValue>>, Response = Value, Error = DecodeError<Error>, Future: Send>
{
    ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(CorrelationPath::API_GATEWAY_REST))
        .layer(TraceLayer::new())
        .layer(metrics)
        .layer(DecodeLayer::<Request>::new())
        .service_fn(handler)
}

fn metrics(env: &Env) -> Result<MetricsLayer, MetricsError> {
    Ok(MetricsLayer::from_env(env).cold_start_metric(true))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    tracing_subscriber::registry()
        .with(logger(&env).subscriber_layer())
        .with(Tracer::from_env(&env).subscriber_layer())
        .init();
    lambda_runtime::run(stack(metrics(&env)?)).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::{self, Captured};
    use tower::ServiceExt;

    use super::*;

    async fn call(body: &str) -> (Value, Vec<Value>, Vec<Value>) {
        let env = Env::from([("POWERTOOLS_METRICS_NAMESPACE", "Shop")]);
        let (logs, _guard) = testing::capture_logs(logger(&env));
        let written = Captured::default();
        let layer = MetricsLayer::from_env(&env).with_writer(written.clone());
        let event = json!({ "requestContext": { "requestId": "c6af9ac6" }, "body": body });
        let event = RawValue::from_string(event.to_string()).unwrap();
        let event = LambdaEvent::new(event, testing::context("52fdfc07"));
        let answer = stack(layer).oneshot(event).await.unwrap();
        (answer, logs.json(), written.json())
    }

    #[tokio::test]
    async fn a_sign_up_is_counted_and_says_nothing() {
        let (answer, logs, metrics) = call(r#"{"name":"ada","password":"x"}"#).await;
        assert_eq!(answer["statusCode"], 201);
        assert_eq!(metrics[0]["SignUps"], 1);
        assert!(logs.is_empty(), "{logs:?}");
    }

    #[tokio::test]
    async fn a_bad_request_brings_out_what_came_before_without_the_password() {
        let (answer, logs, metrics) = call(r#"[{"password":"x"}]"#).await;
        assert_eq!(answer["statusCode"], 400);
        assert!(metrics.is_empty(), "{metrics:?}");
        let messages: Vec<_> = logs.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["signing up", "body is no object"]);
        assert_eq!(logs[0]["body"], r#"[{"password":"*****"}]"#);
        assert!(logs.iter().all(|line| line["correlation_id"] == "c6af9ac6"));
    }
}
