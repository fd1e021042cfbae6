use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::invocation_metrics::Call;
use crate::{
    InvocationFuture,
    classify::{ByResult, Classify},
};

pin_project! {
    /// The future of [`MetricsService`](super::MetricsService).
    pub struct ResponseFuture<F, C = ByResult> {
        #[pin]
        inner: InvocationFuture<F>,
        classify: C,
        // After `inner`: what the handler records while it is dropped is flushed too.
        call: Option<Call>,
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) const fn new(inner: InvocationFuture<F>, classify: C, call: Call) -> Self {
        Self {
            inner,
            classify,
            call: Some(call),
        }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let call = this.call.as_mut();
        let call = call.expect("`ResponseFuture` is not polled after it was ready");
        let result = ready!(call.run(|_| this.inner.poll(cx)));
        if let Some(call) = this.call.take() {
            // Before the answer leaves: afterwards Lambda may freeze the process at any moment.
            call.answer(|| this.classify.classify(result.as_ref()));
        }
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
