//! A function with the whole observability stack that does as its event says.

use std::{sync::LazyLock, thread, time::Duration};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env,
    deadline::DeadlineLayer,
    decode::DecodeLayer,
    logging::{self, Buffer, CorrelationPath, Logger, LoggingLayer},
    metrics::{self, Metric, MetricsLayer, Unit},
    trace::{TraceLayer, Tracer},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tower::ServiceBuilder;
use tracing::{Instrument, debug, info, info_span};
use tracing_subscriber::prelude::*;

const HANDLED: Metric = Metric::new("Handled", Unit::Count);

/// How many invocations meet before any of them goes on.
const MEETING: &str = "MEETING";

/// Longer than any invocation may take.
const TOO_LONG: Duration = Duration::from_secs(60);

static TOGETHER: LazyLock<Barrier> = LazyLock::new(|| {
    let number = std::env::var(MEETING)
        .ok()
        .and_then(|number| number.parse().ok());
    Barrier::new(number.unwrap_or(1))
});

#[derive(Deserialize)]
struct Task {
    id: String,
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Succeed,
    Fail,
    Panic,
    Meet,
    /// Waits until the time is over.
    Oversleep,
    /// Does the same, and lets nobody else run on its thread.
    Block,
}

async fn handler(event: LambdaEvent<Task>) -> Result<Value, Error> {
    let Task { id, action } = event.payload;
    logging::append_key("task", &id);
    HANDLED.record(1);
    metrics::add_metadata("task", &id);
    let work = async {
        debug!("held back");
        info!("before");
        match action {
            Action::Succeed => {}
            Action::Fail => return Err(Error::from("task refused")),
            Action::Panic => panic!("task went wrong"),
            Action::Meet => {
                TOGETHER.wait().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Action::Oversleep => tokio::time::sleep(TOO_LONG).await,
            Action::Block => thread::sleep(TOO_LONG),
        }
        HANDLED.record(2);
        info!("after");
        Ok(json!({ "id": id }))
    };
    work.instrument(info_span!("work", annotation.task = id))
        .await
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    tracing_subscriber::registry()
        .with(
            Logger::from_env(&env)
                .buffer(Buffer::new())
                .subscriber_layer(),
        )
        .with(Tracer::from_env(&env).subscriber_layer())
        .init();
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(CorrelationPath::EVENT_BRIDGE))
        .layer(TraceLayer::new())
        .layer(MetricsLayer::from_env(&env).cold_start_metric(true))
        .layer(DeadlineLayer::from_env(&env))
        .layer(DecodeLayer::<Task>::new())
        .service_fn(handler);
    lambda_runtime::run_concurrent(service).await
}
