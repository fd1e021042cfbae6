use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::subscriber::flush;
use crate::{Invocation, InvocationFuture};

pin_project! {
    /// The future of [`LoggingService`](super::LoggingService).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InvocationFuture<F>,
        // After `inner`: what the handler logs while it is dropped is held back too.
        end: Option<End>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: InvocationFuture<F>, end: End) -> Self {
        Self {
            inner,
            end: Some(end),
        }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let Some(end) = this.end.take() {
            end.reached(result.is_ok());
        }
        Poll::Ready(result)
    }
}

/// Ends an invocation's buffer. Dropped before its end was reached, the handler panicked or was
/// cancelled.
#[derive(Debug)]
pub(super) struct End {
    invocation: Invocation,
    flush_on_error: bool,
}

impl End {
    pub(super) fn new(invocation: Invocation, flush_on_error: bool) -> Self {
        invocation.logging().enter();
        Self {
            invocation,
            flush_on_error,
        }
    }

    fn reached(mut self, is_ok: bool) {
        self.flush_on_error &= !is_ok;
        let invocation = self.invocation.clone();
        drop(invocation.keep_to_end(self));
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let is_last = self.invocation.logging().leave();
        if self.flush_on_error {
            flush(&self.invocation);
        } else if is_last {
            // Dropped outside of the lock.
            let held_back = std::mem::take(&mut *self.invocation.logging().held_back());
            drop(held_back);
        }
    }
}
