use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    CutOff, DeadlineError, ResponseFuture, WatchOnly,
    guard::{Guard, Shared},
};
use crate::{HasContext, Invocation};

/// The service that [`DeadlineLayer`](super::DeadlineLayer) makes.
///
/// See the [module docs](super).
pub struct DeadlineService<S, A = WatchOnly> {
    inner: S,
    shared: Arc<Shared>,
    action: PhantomData<fn() -> A>,
}

impl<S, A> DeadlineService<S, A> {
    pub(super) fn new(inner: S, shared: Shared) -> Self {
        Self {
            inner,
            shared: Arc::new(shared),
            action: PhantomData,
        }
    }

    fn guard<Request>(&mut self, request: Request) -> ResponseFuture<S::Future, A>
    where
        S: Service<Request>,
        Request: HasContext,
    {
        let invocation = Invocation::current_or_open(request.context());
        // Before the handler is called: some of them block in there already.
        let guard = Guard::new(&self.shared, &invocation);
        let inner = invocation.sync_scope(|| self.inner.call(request));
        ResponseFuture::new(invocation.scope(inner), guard)
    }
}

impl<S, Request> Service<Request> for DeadlineService<S>
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
        self.guard(request)
    }
}

impl<S, Request> Service<Request> for DeadlineService<S, CutOff>
where
    S: Service<Request>,
    Request: HasContext,
{
    type Response = S::Response;
    type Error = DeadlineError<S::Error>;
    type Future = ResponseFuture<S::Future, CutOff>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(DeadlineError::Handler)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.guard(request)
    }
}

impl<S: Clone, A> Clone for DeadlineService<S, A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            action: PhantomData,
        }
    }
}

impl<S: fmt::Debug, A> fmt::Debug for DeadlineService<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineService")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
