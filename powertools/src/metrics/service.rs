use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ResponseFuture, config::Config, recorder::FlushOnDrop};
use crate::{HasContext, Invocation};

/// The service that [`MetricsLayer`](super::MetricsLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> MetricsService<S> {
    pub(super) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, Request> Service<Request> for MetricsService<S>
where
    S: Service<Request>,
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
        let flush = FlushOnDrop::enter(&self.config, &invocation);
        let inner = invocation.sync_scope(|| self.inner.call(request));
        ResponseFuture::new(invocation.scope(inner), flush)
    }
}
