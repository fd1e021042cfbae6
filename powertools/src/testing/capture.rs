use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::{Captured, CapturedMetrics, CapturedTraces, listen};
use crate::{Observability, ObservabilityLayer, metrics::MetricsLayer};

/// What a function said of itself: its log lines, its metrics and its spans.
///
/// Returned by [`capture`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Telemetry {
    /// The log lines.
    pub logs: Captured,
    /// The metrics.
    pub metrics: CapturedMetrics,
    /// The spans of [sampled](super::sampled_context) invocations.
    pub traces: CapturedTraces,
}

/// Captures all that the whole stack writes, on the running thread and until the guard is dropped.
///
/// The layer returned is the one to put around the handler.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::{Env, Observability, metrics::{Metric, Unit}, testing};
/// use tower::{ServiceBuilder, ServiceExt};
/// use tracing::{info, info_span};
///
/// const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
///
/// async fn handler(event: LambdaEvent<u32>) -> Result<(), Error> {
///     info_span!("charge", annotation.total = event.payload).in_scope(|| ());
///     info!(total = event.payload, "order placed");
///     ORDERS_CREATED.record(1);
///     Ok(())
/// }
///
/// let env = Env::from([("POWERTOOLS_METRICS_NAMESPACE", "Shop")]);
/// let (telemetry, layer, _guard) = testing::capture(Observability::from_env(&env));
/// let service = ServiceBuilder::new().layer(layer).service_fn(handler);
/// service.oneshot(LambdaEvent::new(2500, testing::sampled_context("52fdfc07"))).await?;
///
/// assert_eq!(telemetry.logs.json()[0]["total"], 2500);
/// assert_eq!(telemetry.metrics.sum("OrdersCreated"), 1.0);
/// // The function of a test's context is called `my-function`.
/// let charge = telemetry.traces.named("## my-function").child("charge");
/// assert_eq!(charge.annotation("total"), Some(&2500.into()));
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is captured any more when the guard is dropped"]
#[expect(
    clippy::type_complexity,
    reason = "the layer's type says what is in it"
)]
pub fn capture<L, T, C, B, D>(
    observability: Observability<L, T, MetricsLayer<C, B>, D>,
) -> (
    Telemetry,
    ObservabilityLayer<L, T, MetricsLayer<C, B>, D>,
    DefaultGuard,
) {
    listen();
    let telemetry = Telemetry {
        logs: Captured::default(),
        metrics: CapturedMetrics::default(),
        traces: CapturedTraces::default(),
    };
    let (logger, tracer, layer) = observability.into_parts();
    let logger = logger.with_writer(telemetry.logs.clone());
    let tracer = tracer.with_receiver(telemetry.traces.clone());
    let guard = tracing_subscriber::registry()
        .with(logger.subscriber_layer())
        .with(tracer.subscriber_layer())
        .set_default();
    let writer = telemetry.metrics.clone();
    let layer = layer.map_metrics(|metrics| metrics.with_writer(writer));
    (telemetry, layer, guard)
}
