use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::InvocationFuture;

pin_project! {
    /// The future of [`LoggingService`](super::LoggingService).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InvocationFuture<F>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: InvocationFuture<F>) -> Self {
        Self { inner }
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}
