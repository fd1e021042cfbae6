use std::{
    fmt::{self, Debug},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{failure::Failure, handler::HandlerSpan};
use crate::InvocationFuture;

pin_project! {
    /// The future of [`TraceService`](super::TraceService).
    pub struct ResponseFuture<F> {
        // `None` once it is ready: what it holds belongs to the span, and goes before it ends.
        #[pin]
        inner: Option<InvocationFuture<F>>,
        span: HandlerSpan,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.span.in_scope(|| this.inner.set(None));
        }
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: InvocationFuture<F>, span: HandlerSpan) -> Self {
        Self {
            inner: Some(inner),
            span,
        }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Debug + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        let inner = inner.expect("`ResponseFuture` is not polled after it was ready");
        let poll = this.span.run(|| inner.poll(cx));
        if let Poll::Ready(result) = &poll {
            this.span.in_scope(|| this.inner.set(None));
            this.span
                .end(|| result.as_ref().err().map(Failure::from_error));
        }
        poll
    }
}

impl<F> Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
