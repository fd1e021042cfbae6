use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::recorder::FlushOnDrop;
use crate::InvocationFuture;

pin_project! {
    /// The future of [`MetricsService`](super::MetricsService).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InvocationFuture<F>,
        // After `inner`: what the handler records while it is dropped is flushed too.
        flush: Option<FlushOnDrop>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: InvocationFuture<F>, flush: FlushOnDrop) -> Self {
        Self {
            inner,
            flush: Some(flush),
        }
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        // Before the answer leaves: afterwards Lambda may freeze the process at any moment.
        drop(this.flush.take());
        Poll::Ready(output)
    }
}
