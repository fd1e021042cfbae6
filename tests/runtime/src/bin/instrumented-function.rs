//! A function with the whole observability stack, or without, that does as its event says.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, layers::TracingLayer};
use powertools::{
    Env, Observability, SnapStart,
    deadline::DeadlineLayer,
    decode::DecodeLayer,
    logging::{self, Buffer, CorrelationPath, Logger, LoggingLayer},
    metrics::{self, Metric, MetricsLayer, Unit},
    trace::{SpanExt, TraceHeader},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tower::{Service, ServiceBuilder, service_fn};
use tracing::{Instrument, debug, info, info_span};

const HANDLED: Metric = Metric::new("Handled", Unit::Count);
const WARMED_UP: Metric = Metric::new("WarmedUp", Unit::Count);

/// What is around the handler: `none`, or a stack that is `cut-off`, or the default one.
const LAYERS: &str = "LAYERS";

/// Whether `lambda_runtime` is asked to `run`, or for concurrency if the environment says so.
const RUN: &str = "RUN";

/// The header of the trace that something is done for before the first invocation.
const WARM_UP: &str = "WARM_UP";

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
    /// Fails with an error of somebody else.
    FailBelow,
    Panic,
    Meet,
    /// Waits until the time is over.
    Oversleep,
    /// Does the same, and lets nobody else run on its thread.
    Block,
}

/// Why a task was not done.
#[derive(Debug)]
enum TaskError {
    Refused,
    Below(Error),
}

impl From<TaskError> for Diagnostic {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Refused => Self {
                error_type: "TaskRefused".to_owned(),
                error_message: "task refused".to_owned(),
            },
            TaskError::Below(error) => error.into(),
        }
    }
}

async fn handler(event: LambdaEvent<Task>) -> Result<Value, TaskError> {
    let Task { id, action } = event.payload;
    logging::append_key("task", &id);
    HANDLED.record(1);
    metrics::add_metadata("task", &id);
    let work = async {
        debug!("held back");
        info!("before");
        match action {
            Action::Succeed => {}
            Action::Fail => return Err(TaskError::Refused),
            Action::FailBelow => return Err(TaskError::Below("no \"task\" server".into())),
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
    if env.get(LAYERS) == Some("none") {
        return serve(&env, service_fn(handler)).await;
    }
    let metrics = MetricsLayer::from_env(&env).cold_start_metric(true);
    let recorder = metrics.recorder();
    let observability = Observability::from_env(&env)
        .with_logger(Logger::from_env(&env).buffer(Buffer::new()))
        .with_logging(LoggingLayer::from_env(&env).correlation_id(CorrelationPath::EVENT_BRIDGE))
        .with_metrics(metrics);
    let service = ServiceBuilder::new()
        .layer(DecodeLayer::<Task>::new())
        .service_fn(handler);
    if env.get(LAYERS) == Some("cut-off") {
        let deadline = DeadlineLayer::from_env(&env).cut_off();
        let observability = observability.with_deadline(deadline).init()?;
        let service = ServiceBuilder::new().layer(observability).service(service);
        return serve(&env, service).await;
    }
    let service = ServiceBuilder::new()
        .layer(observability.init()?)
        .service(service);
    if let Some(header) = env.get(WARM_UP) {
        recorder.set_global()?;
        warm_up(&header.parse()?);
    }
    serve(&env, service).await
}

/// Leaves a metric that waits to be written, and a socket that is open.
fn warm_up(header: &TraceHeader) {
    WARMED_UP.record(1);
    info_span!("warm up").continue_trace(header);
}

async fn serve<S, T>(env: &Env, service: S) -> Result<(), Error>
where
    S: Service<LambdaEvent<T>, Response = Value, Error: Into<Diagnostic> + fmt::Debug>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    T: DeserializeOwned + Send + 'static,
{
    let runtime = Runtime::new(service)
        .layer(TracingLayer::new())
        .register_snapstart_resource(Arc::new(SnapStart::new()));
    match env.get(RUN) {
        Some("run") => runtime.run().await,
        _ => runtime.run_concurrent().await,
    }
}
