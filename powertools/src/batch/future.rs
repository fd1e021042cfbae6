use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use super::{BatchError, config::BoxFuture};

/// The future of [`BatchService`](super::BatchService).
pub struct ResponseFuture<R, E> {
    inner: BoxFuture<'static, Result<R, BatchError<E>>>,
}

impl<R, E> ResponseFuture<R, E> {
    pub(super) fn new(
        future: impl Future<Output = Result<R, BatchError<E>>> + Send + 'static,
    ) -> Self {
        Self {
            inner: Box::pin(future),
        }
    }
}

impl<R, E> Future for ResponseFuture<R, E> {
    type Output = Result<R, BatchError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<R, E> fmt::Debug for ResponseFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
