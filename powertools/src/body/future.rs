use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::InvocationBody;
use crate::{Invocation, InvocationFuture};

pin_project! {
    /// The future of [`BodyService`](super::BodyService).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InvocationFuture<F>,
        invocation: Invocation,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: InvocationFuture<F>, invocation: Invocation) -> Self {
        Self { inner, invocation }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<InvocationBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(
            response.map(|body| InvocationBody::new(body, this.invocation))
        ))
    }
}
