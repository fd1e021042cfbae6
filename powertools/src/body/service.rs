use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use tower_service::Service;

use super::{InvocationBody, ResponseFuture};
use crate::{HasContext, Invocation};

/// The service that [`BodyLayer`](super::BodyLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
pub struct BodyService<S> {
    inner: S,
}

impl<S> BodyService<S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, Request, B> Service<Request> for BodyService<S>
where
    S: Service<Request, Response = Response<B>>,
    Request: HasContext,
    B: Body,
{
    type Response = Response<InvocationBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let inner = invocation.sync_scope(|| self.inner.call(request));
        ResponseFuture::new(invocation.scope(inner), invocation)
    }
}
