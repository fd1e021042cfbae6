use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::InvocationFuture;

/// The future of [`FeatureFlagsService`](super::FeatureFlagsService).
pub struct ResponseFuture<R, E> {
    inner: Pin<Box<dyn Future<Output = Result<R, E>> + Send>>,
}

impl<R, E> ResponseFuture<R, E> {
    pub(super) fn new<F>(inner: InvocationFuture<F>) -> Self
    where
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        Self {
            inner: Box::pin(inner),
        }
    }
}

impl<R, E> Future for ResponseFuture<R, E> {
    type Output = Result<R, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<R, E> fmt::Debug for ResponseFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
