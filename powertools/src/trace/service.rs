use std::{
    fmt::{self, Debug},
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    ErrorDetails, RequestDetails, ResponseDetails, ResponseFuture, config::Config,
    handler::HandlerSpan,
};
use crate::{
    HasContext, Invocation,
    classify::{ByResult, Classify},
};

/// The service that [`TraceLayer`](super::TraceLayer) makes.
///
/// Of an error it asks for `'static`, to tell a boxed error, which is shown with its sources, from
/// others; and for `Debug`, as the runtime does.
///
/// See the [module docs](super).
pub struct TraceService<S, C = ByResult, D = ()> {
    inner: S,
    config: Arc<Config<C, D>>,
}

impl<S, C, D> TraceService<S, C, D> {
    pub(super) const fn new(inner: S, config: Arc<Config<C, D>>) -> Self {
        Self { inner, config }
    }
}

impl<S, Request, C, D> Service<Request> for TraceService<S, C, D>
where
    S: Service<Request>,
    S::Error: Debug + 'static,
    Request: HasContext,
    C: Classify<S::Response, S::Error>,
    D: RequestDetails<Request> + ResponseDetails<S::Response> + ErrorDetails<S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let span = HandlerSpan::open(&invocation, self.config.name.as_deref());
        if let Some(span) = span.span() {
            self.config.details.on_request(&request, span);
        }
        span.start();
        let inner = span.in_scope(|| invocation.sync_scope(|| self.inner.call(request)));
        ResponseFuture::new(invocation.scope(inner), span, Arc::clone(&self.config))
    }
}

impl<S: Clone, C, D> Clone for TraceService<S, C, D> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: Debug, C, D> Debug for TraceService<S, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceService")
            .field("inner", &self.inner)
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}
