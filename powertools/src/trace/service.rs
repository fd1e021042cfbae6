use std::{
    borrow::Cow,
    fmt::Debug,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ResponseFuture, handler::HandlerSpan};
use crate::{HasContext, Invocation};

/// The service that [`TraceLayer`](super::TraceLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
    name: Option<Cow<'static, str>>,
}

impl<S> TraceService<S> {
    pub(super) const fn new(inner: S, name: Option<Cow<'static, str>>) -> Self {
        Self { inner, name }
    }
}

impl<S, Request> Service<Request> for TraceService<S>
where
    S: Service<Request>,
    S::Error: Debug + 'static,
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
        let span = HandlerSpan::open(&invocation, self.name.as_deref());
        let inner = span.in_scope(|| invocation.sync_scope(|| self.inner.call(request)));
        ResponseFuture::new(invocation.scope(inner), span)
    }
}
