use std::{
    mem,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{ParametersError, ParametersLayer, ResponseFuture};
use crate::{HasContext, Invocation};

/// The service that [`ParametersLayer`] makes.
///
/// See the [module docs](crate::parameters#before-the-handler).
#[derive(Clone, Debug)]
pub struct ParametersService<S> {
    inner: S,
    layer: ParametersLayer,
}

impl<S> ParametersService<S> {
    pub(super) const fn new(inner: S, layer: ParametersLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, Request> Service<Request> for ParametersService<S>
where
    S: Service<Request> + Clone,
    Request: HasContext,
{
    type Response = S::Response;
    type Error = ParametersError<S::Error>;
    type Future = ResponseFuture<S, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ParametersError::Handler)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let outer = invocation.declared();
        match invocation.sync_scope(|| self.layer.at_hand(outer)) {
            Some(Ok(snapshot)) => {
                let invocation = invocation.with_declared(snapshot);
                let inner = invocation.sync_scope(|| self.inner.call(request));
                ResponseFuture::handler(invocation.scope(inner))
            }
            Some(Err(error)) => ResponseFuture::failed(error),
            None => {
                let clone = self.inner.clone();
                // The one that was ready is called, and one that may not be is left.
                let inner = mem::replace(&mut self.inner, clone);
                let layer = self.layer.clone();
                let outer = outer.cloned();
                let reading = invocation.scope(async move { layer.read(outer).await });
                ResponseFuture::reading(Box::pin(reading), inner, request, invocation)
            }
        }
    }
}
