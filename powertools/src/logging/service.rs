use std::{
    fmt,
    sync::Once,
    task::{Context, Poll},
};

use tower_service::Service;
use tracing::{Level, enabled, info, warn};

use super::{
    CorrelationId, EventJson, LoggingLayer, RequestLevel, ResponseFuture, future::End, keys, value,
};
use crate::{HasContext, Invocation};

/// One warning for the process says enough.
static WARNED: Once = Once::new();

/// The service that [`LoggingLayer`](super::LoggingLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone)]
pub struct LoggingService<S, C = (), L = (), E = ()> {
    inner: S,
    layer: LoggingLayer<C, L, E>,
}

impl<S, C, L, E> LoggingService<S, C, L, E> {
    pub(super) const fn new(inner: S, layer: LoggingLayer<C, L, E>) -> Self {
        Self { inner, layer }
    }
}

impl<S, C, L, E, Request> Service<Request> for LoggingService<S, C, L, E>
where
    S: Service<Request>,
    C: CorrelationId<Request>,
    L: RequestLevel<Request>,
    E: EventJson<Request>,
    Request: HasContext,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let end = End::new(
            invocation.clone(),
            self.layer.flush_buffer_on_uncaught_error,
        );
        let inner = invocation.sync_scope(|| {
            self.begin(&request);
            self.inner.call(request)
        });
        ResponseFuture::new(invocation.scope(inner), end)
    }
}

impl<S, C, L, E> LoggingService<S, C, L, E> {
    fn begin<Request>(&self, request: &Request)
    where
        C: CorrelationId<Request>,
        L: RequestLevel<Request>,
        E: EventJson<Request>,
    {
        if let Some(level) = self.layer.level.level(request) {
            keys::request_level(level);
        }
        if let Some(id) = self.layer.correlation_id.correlation_id(request) {
            keys::set_correlation_id(id);
        }
        if self.layer.log_event && enabled!(Level::INFO) {
            match self.layer.event.event(request) {
                Some(event) => info!(event = value::json(&event), "Lambda invocation event"),
                None => WARNED.call_once(|| {
                    warn!("events are not logged: `LoggingLayer::with_event` finds none");
                }),
            }
        }
    }
}

impl<S: fmt::Debug, C, L, E> fmt::Debug for LoggingService<S, C, L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
