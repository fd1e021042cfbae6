use std::{any::type_name, fmt};

use tower_layer::Layer;

use super::LoggingService;

/// Opens the invocation that log lines belong to, and takes its correlation id from the request.
///
/// See the [module docs](super).
#[derive(Clone, Default)]
#[must_use]
pub struct LoggingLayer<C = ()> {
    correlation_id: C,
}

impl LoggingLayer {
    /// Makes a layer that looks for no correlation id.
    pub const fn new() -> Self {
        Self { correlation_id: () }
    }
}

impl<C> LoggingLayer<C> {
    /// Sets where the correlation id is found: a closure over the request, which the other tools
    /// do for events by path.
    ///
    /// Defaults to nowhere; a request without one leaves the key out.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::logging::LoggingLayer;
    ///
    /// struct Order { id: String }
    ///
    /// let layer = LoggingLayer::new()
    ///     .correlation_id(|event: &LambdaEvent<Order>| Some(event.payload.id.clone()));
    /// ```
    pub fn correlation_id<D>(self, correlation_id: D) -> LoggingLayer<D> {
        LoggingLayer { correlation_id }
    }
}

impl<S, C: Clone> Layer<S> for LoggingLayer<C> {
    type Service = LoggingService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        LoggingService::new(inner, self.correlation_id.clone())
    }
}

impl<C> fmt::Debug for LoggingLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingLayer")
            .field("correlation_id", &format_args!("{}", type_name::<C>()))
            .finish()
    }
}
