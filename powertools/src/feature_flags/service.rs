use std::{
    fmt, mem,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    EvaluationContext, FeatureFlagsLayer, FlagStore, Optional, Required, RequiredFlagsError,
    ResponseFuture,
};
use crate::{HasContext, Invocation};

/// The service that [`FeatureFlagsLayer`] makes.
///
/// See the [module docs](super).
pub struct FeatureFlagsService<Inner, S, C, P = Optional> {
    inner: Inner,
    layer: FeatureFlagsLayer<S, C, P>,
}

impl<Inner, S, C, P> FeatureFlagsService<Inner, S, C, P> {
    pub(super) const fn new(inner: Inner, layer: FeatureFlagsLayer<S, C, P>) -> Self {
        Self { inner, layer }
    }

    /// Takes the service that was ready, and leaves one that may not be.
    fn take_inner(&mut self) -> Inner
    where
        Inner: Clone,
    {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

impl<Inner, S, C, Request> Service<Request> for FeatureFlagsService<Inner, S, C>
where
    Inner: Service<Request, Future: Send> + Clone + Send + 'static,
    S: FlagStore,
    C: Fn(&Request) -> EvaluationContext,
    Request: HasContext + Send + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = ResponseFuture<Inner::Response, Inner::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let context = invocation.sync_scope(|| (self.layer.context)(&request));
        let flags = self.layer.flags.clone();
        let mut inner = self.take_inner();
        let outer = invocation.clone();
        ResponseFuture::new(invocation.scope(async move {
            let invocation = outer.with_flags(flags.evaluator(context).await);
            let response = invocation.sync_scope(|| inner.call(request));
            invocation.scope(response).await
        }))
    }
}

impl<Inner, S, C, Request> Service<Request> for FeatureFlagsService<Inner, S, C, Required>
where
    Inner: Service<Request, Future: Send> + Clone + Send + 'static,
    S: FlagStore,
    C: Fn(&Request) -> EvaluationContext,
    Request: HasContext + Send + 'static,
{
    type Response = Inner::Response;
    type Error = RequiredFlagsError<Inner::Error>;
    type Future = ResponseFuture<Inner::Response, RequiredFlagsError<Inner::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(RequiredFlagsError::Handler)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let context = invocation.sync_scope(|| (self.layer.context)(&request));
        let flags = self.layer.flags.clone();
        let mut inner = self.take_inner();
        let outer = invocation.clone();
        ResponseFuture::new(invocation.scope(async move {
            let document = flags.fetch().await;
            let document = document.map_err(|error| RequiredFlagsError::Flags(error.into()))?;
            let invocation = outer.with_flags(flags.bind(Ok(Some(document)), context));
            let response = invocation.sync_scope(|| inner.call(request));
            let response = invocation.scope(response).await;
            response.map_err(RequiredFlagsError::Handler)
        }))
    }
}

impl<Inner: Clone, S, C, P> Clone for FeatureFlagsService<Inner, S, C, P> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<Inner: fmt::Debug, S: fmt::Debug, C, P> fmt::Debug for FeatureFlagsService<Inner, S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureFlagsService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
