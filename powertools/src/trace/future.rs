use std::{
    fmt::{self, Debug},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{ErrorDetails, ResponseDetails, config::Config, exporter::Flush, handler::HandlerSpan};
use crate::{
    InvocationFuture,
    classify::{ByResult, Classify},
};

pin_project! {
    /// The future of [`TraceService`](super::TraceService).
    pub struct ResponseFuture<F, C = ByResult, D = ()>
    where
        F: Future,
    {
        // `None` once it is ready: what it holds belongs to the span, and goes before it ends.
        #[pin]
        inner: Option<InvocationFuture<F>>,
        // The answer, while the spans are on their way.
        answer: Option<(F::Output, Flush)>,
        span: HandlerSpan,
        config: Arc<Config<C, D>>,
    }

    impl<F, C, D> PinnedDrop for ResponseFuture<F, C, D>
    where
        F: Future,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.span.in_scope(|| this.inner.set(None));
        }
    }
}

impl<F: Future, C, D> ResponseFuture<F, C, D> {
    pub(super) const fn new(
        inner: InvocationFuture<F>,
        span: HandlerSpan,
        config: Arc<Config<C, D>>,
    ) -> Self {
        Self {
            inner: Some(inner),
            answer: None,
            span,
            config,
        }
    }
}

impl<F, T, E, C, D> Future for ResponseFuture<F, C, D>
where
    F: Future<Output = Result<T, E>>,
    E: Debug + 'static,
    C: Classify<T, E>,
    D: ResponseDetails<T> + ErrorDetails<E>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.answer.is_none() {
            let inner = this.inner.as_mut().as_pin_mut();
            let inner = inner.expect("`ResponseFuture` is not polled after it was ready");
            let result = ready!(this.span.run(|| inner.poll(cx)));
            this.span.in_scope(|| this.inner.set(None));
            match this.span.answer(this.config, &result) {
                Some(flush) => *this.answer = Some((result, flush)),
                None => return Poll::Ready(result),
            }
        }
        if let Some((_, flush)) = this.answer {
            ready!(Pin::new(flush).poll(cx));
        }
        let answer = this.answer.take();
        let (result, _) = answer.expect("an answer is there, or the handler was just polled");
        Poll::Ready(result)
    }
}

impl<F: Future, C, D> Debug for ResponseFuture<F, C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
