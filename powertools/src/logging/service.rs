use std::{
    any::type_name,
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{CorrelationId, ResponseFuture};
use crate::{HasContext, Invocation};

/// The service that [`LoggingLayer`](super::LoggingLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone)]
pub struct LoggingService<S, C = ()> {
    inner: S,
    correlation_id: C,
}

impl<S, C> LoggingService<S, C> {
    pub(super) const fn new(inner: S, correlation_id: C) -> Self {
        Self {
            inner,
            correlation_id,
        }
    }
}

impl<S, C, Request> Service<Request> for LoggingService<S, C>
where
    S: Service<Request>,
    C: CorrelationId<Request>,
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
        let inner = invocation.sync_scope(|| {
            if let Some(id) = self.correlation_id.correlation_id(&request) {
                super::set_correlation_id(id);
            }
            self.inner.call(request)
        });
        ResponseFuture::new(invocation.scope(inner))
    }
}

impl<S: fmt::Debug, C> fmt::Debug for LoggingService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingService")
            .field("inner", &self.inner)
            .field("correlation_id", &format_args!("{}", type_name::<C>()))
            .finish()
    }
}
