//! Answers with its event. The features say what is around the handler; the event says what the
//! handler does besides: `{"spans": 2, "lines": 1, "metrics": 2}`.

use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use tower::ServiceBuilder;
use tracing::{info, info_span};

#[cfg(feature = "metrics")]
use powertools::metrics::{Metric, Unit};

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let asked = |what: &str| event.payload[what].as_u64().unwrap_or_default();
    for number in 0..asked("spans") {
        info_span!("work", number).in_scope(|| ());
    }
    for number in 0..asked("lines") {
        info!(number, order_id = "a1", total = 2500, "order placed");
    }
    #[cfg(feature = "metrics")]
    {
        const METRICS: [Metric; 2] = [
            Metric::new("OrdersCreated", Unit::Count),
            Metric::new("OrderProcessingTime", Unit::Milliseconds),
        ];
        let asked = usize::try_from(asked("metrics")).unwrap_or(usize::MAX);
        for metric in METRICS.iter().take(asked) {
            metric.record(1);
        }
    }
    Ok(event.payload)
}

#[cfg(feature = "everything")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let service = ServiceBuilder::new()
        .layer(powertools::Observability::new().init()?)
        .service_fn(handler);
    lambda_runtime::run(service).await
}

#[cfg(not(feature = "everything"))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    #[cfg(any(feature = "subscriber", feature = "logging", feature = "trace"))]
    {
        use tracing_subscriber::prelude::*;

        // A registry alone, with no layer, keeps every span for ever.
        let subscriber =
            tracing_subscriber::registry().with(tracing_subscriber::layer::Identity::new());
        #[cfg(feature = "logging")]
        let subscriber = subscriber.with(powertools::logging::Logger::new().subscriber_layer());
        #[cfg(feature = "trace")]
        let subscriber = subscriber.with(powertools::trace::Tracer::new().subscriber_layer());
        subscriber.init();
    }
    let stack = ServiceBuilder::new();
    #[cfg(feature = "logging")]
    let stack = stack.layer(powertools::logging::LoggingLayer::new());
    #[cfg(feature = "trace")]
    let stack = stack.layer(powertools::trace::TraceLayer::new());
    #[cfg(feature = "metrics")]
    let stack = stack.layer(powertools::metrics::MetricsLayer::new("Bench"));
    lambda_runtime::run(stack.service_fn(handler)).await
}
