use tower_layer::Layer;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer as _,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::{
    Env,
    deadline::{DeadlineLayer, DeadlineService},
    logging::{Logger, LoggingLayer, LoggingService},
    metrics::{MetricsLayer, MetricsService},
    trace::{TraceLayer, TraceService, Tracer},
};

/// Logging, tracing, metrics and the deadline guard, before they are put around a handler.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct Observability<L = LoggingLayer, T = TraceLayer, M = MetricsLayer, D = DeadlineLayer> {
    logger: Logger,
    tracer: Tracer,
    layer: ObservabilityLayer<L, T, M, D>,
}

impl Observability {
    /// Puts together what the environment of the process configures.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Puts together what `env` configures.
    pub fn from_env(env: &Env) -> Self {
        Self {
            logger: Logger::from_env(env),
            tracer: Tracer::from_env(env),
            layer: ObservabilityLayer {
                logging: LoggingLayer::from_env(env),
                trace: TraceLayer::from_env(env),
                metrics: MetricsLayer::from_env(env),
                deadline: DeadlineLayer::from_env(env),
            },
        }
    }
}

impl Default for Observability {
    /// As [`Observability::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl<L, T, M, D> Observability<L, T, M, D> {
    /// Replaces the logger.
    ///
    /// Defaults to [`Logger::from_env`].
    pub fn with_logger(mut self, logger: Logger) -> Self {
        self.logger = logger;
        self
    }

    /// Replaces the tracer.
    ///
    /// Defaults to [`Tracer::from_env`].
    pub fn with_tracer(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Replaces the layer that opens the invocation for log lines.
    ///
    /// Defaults to [`LoggingLayer::from_env`].
    pub fn with_logging<N>(self, logging: N) -> Observability<N, T, M, D> {
        let ObservabilityLayer {
            trace,
            metrics,
            deadline,
            ..
        } = self.layer;
        Observability {
            logger: self.logger,
            tracer: self.tracer,
            layer: ObservabilityLayer {
                logging,
                trace,
                metrics,
                deadline,
            },
        }
    }

    /// Replaces the layer that opens the invocation's span.
    ///
    /// Defaults to [`TraceLayer::from_env`].
    pub fn with_trace<N>(self, trace: N) -> Observability<L, N, M, D> {
        let ObservabilityLayer {
            logging,
            metrics,
            deadline,
            ..
        } = self.layer;
        Observability {
            logger: self.logger,
            tracer: self.tracer,
            layer: ObservabilityLayer {
                logging,
                trace,
                metrics,
                deadline,
            },
        }
    }

    /// Replaces the layer that writes the metrics.
    ///
    /// Defaults to [`MetricsLayer::from_env`].
    pub fn with_metrics<N>(self, metrics: N) -> Observability<L, T, N, D> {
        let ObservabilityLayer {
            logging,
            trace,
            deadline,
            ..
        } = self.layer;
        Observability {
            logger: self.logger,
            tracer: self.tracer,
            layer: ObservabilityLayer {
                logging,
                trace,
                metrics,
                deadline,
            },
        }
    }

    /// Replaces the layer that acts before the deadline.
    ///
    /// Defaults to [`DeadlineLayer::from_env`]. One that [cuts off](DeadlineLayer::cut_off) changes the
    /// service's error, from the handler's `E` to [`DeadlineError<E>`](crate::deadline::DeadlineError),
    /// and the layer's own type:
    ///
    /// ```
    /// use powertools::{
    ///     Env, Observability, ObservabilityLayer,
    ///     deadline::{CutOff, DeadlineLayer},
    ///     logging::LoggingLayer,
    ///     metrics::MetricsLayer,
    ///     trace::TraceLayer,
    /// };
    ///
    /// type Layer =
    ///     ObservabilityLayer<LoggingLayer, TraceLayer, MetricsLayer, DeadlineLayer<CutOff>>;
    ///
    /// let layer: Layer = Observability::from_env(&Env::default())
    ///     .with_deadline(DeadlineLayer::new().cut_off())
    ///     .into_layer();
    /// ```
    pub fn with_deadline<N>(self, deadline: N) -> Observability<L, T, M, N> {
        let ObservabilityLayer {
            logging,
            trace,
            metrics,
            ..
        } = self.layer;
        Observability {
            logger: self.logger,
            tracer: self.tracer,
            layer: ObservabilityLayer {
                logging,
                trace,
                metrics,
                deadline,
            },
        }
    }

    /// Makes logger and tracer the subscriber of the whole process, for `tracing` and `log`, and
    /// returns the layer for the handler.
    ///
    /// # Errors
    ///
    /// Fails if the process has a subscriber already; that one stays. For a subscriber with more in
    /// it there are [`subscriber_layer`](Self::subscriber_layer) and
    /// [`into_layer`](Self::into_layer).
    pub fn init(self) -> Result<ObservabilityLayer<L, T, M, D>, TryInitError> {
        tracing_subscriber::registry()
            .with(self.logger.subscriber_layer())
            .with(self.tracer.subscriber_layer())
            .try_init()?;
        Ok(self.into_layer())
    }

    /// Returns logger and tracer as one layer for a subscriber of your own.
    pub fn subscriber_layer<S>(&self) -> impl tracing_subscriber::Layer<S> + use<S, L, T, M, D>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        // Not `and_then`, which a tracer that is disabled, no layer at all, would turn off with it.
        vec![
            self.logger.subscriber_layer().boxed(),
            self.tracer.subscriber_layer().boxed(),
        ]
    }

    #[cfg(feature = "testing")]
    pub(crate) fn into_parts(self) -> (Logger, Tracer, ObservabilityLayer<L, T, M, D>) {
        (self.logger, self.tracer, self.layer)
    }

    /// Returns the layer for the handler, and leaves the subscriber to you.
    pub fn into_layer(self) -> ObservabilityLayer<L, T, M, D> {
        self.layer
    }
}

/// Puts logging, trace, metrics and the deadline guard around a handler, in that order.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct ObservabilityLayer<L = LoggingLayer, T = TraceLayer, M = MetricsLayer, D = DeadlineLayer>
{
    logging: L,
    trace: T,
    metrics: M,
    deadline: D,
}

#[cfg(feature = "testing")]
impl<L, T, M, D> ObservabilityLayer<L, T, M, D> {
    pub(crate) fn map_metrics(self, map: impl FnOnce(M) -> M) -> Self {
        Self {
            metrics: map(self.metrics),
            ..self
        }
    }
}

/// The service that [`ObservabilityLayer`] makes of an unchanged [`Observability`]: the four layers'
/// services, one in the other.
///
/// See the [module docs](super).
pub type ObservabilityService<S> = LoggingService<TraceService<MetricsService<DeadlineService<S>>>>;

impl<S, L, T, M, D> Layer<S> for ObservabilityLayer<L, T, M, D>
where
    D: Layer<S>,
    M: Layer<D::Service>,
    T: Layer<M::Service>,
    L: Layer<T::Service>,
{
    type Service = L::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = self.deadline.layer(inner);
        let inner = self.metrics.layer(inner);
        let inner = self.trace.layer(inner);
        self.logging.layer(inner)
    }
}
