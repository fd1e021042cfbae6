use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{task::coop::Unconstrained, time::Sleep};

use super::{CutOff, DeadlineError, WatchOnly, body, guard::Guard};
use crate::InvocationFuture;

pin_project! {
    /// The future of [`DeadlineService`](super::DeadlineService).
    pub struct ResponseFuture<F, A = WatchOnly> {
        // `None` once the handler was cut off.
        #[pin]
        inner: Option<InvocationFuture<F>>,
        // Made when the handler waits for the first time; gone when it is not needed any more. Beyond
        // tokio's budget, which a handler that always has something to do uses up.
        #[pin]
        timer: Option<Unconstrained<Sleep>>,
        // `None` without a deadline, and once nothing is left to watch for.
        guard: Option<Guard>,
        action: PhantomData<fn() -> A>,
    }
}

impl<F, A> ResponseFuture<F, A> {
    pub(super) const fn new(inner: InvocationFuture<F>, guard: Option<Guard>) -> Self {
        Self {
            inner: Some(inner),
            timer: None,
            guard,
            action: PhantomData,
        }
    }
}

/// What came first.
enum First<T> {
    Answer(T),
    /// The deadline is as near as this.
    Deadline(Duration),
}

impl<F: Future, A> ResponseFuture<F, A> {
    fn poll_first(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<First<F::Output>> {
        let mut this = self.project();
        let inner = this.inner.as_pin_mut();
        let inner = inner.expect("`ResponseFuture` is not polled after it was ready");
        if let Poll::Ready(output) = inner.poll(cx) {
            this.timer.set(None);
            if let Some(guard) = this.guard.take() {
                body::watch(guard);
            }
            return Poll::Ready(First::Answer(output));
        }
        let Some(guard) = this.guard.as_mut().filter(|guard| guard.is_waiting()) else {
            return Poll::Pending;
        };
        if this.timer.is_none() {
            this.timer.set(guard.timer());
        }
        let Some(timer) = this.timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(timer.poll(cx));
        this.timer.set(None);
        Poll::Ready(First::Deadline(guard.fire()))
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.as_mut().poll_first(cx)) {
            First::Answer(output) => Poll::Ready(output),
            // The handler has just said that it waits, and will wake this task.
            First::Deadline(_) => Poll::Pending,
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F, CutOff>
where
    F: Future<Output = Result<R, E>>,
{
    type Output = Result<R, DeadlineError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.as_mut().poll_first(cx)) {
            First::Answer(output) => Poll::Ready(output.map_err(DeadlineError::Handler)),
            First::Deadline(remaining) => {
                let mut this = self.project();
                // What its destructors record belongs to the answer; and they may block.
                this.inner.set(None);
                #[cfg(feature = "trace")]
                if let Some(guard) = &this.guard {
                    guard.invocation().deadline().cut_off(remaining);
                }
                *this.guard = None;
                Poll::Ready(Err(DeadlineError::Exceeded { remaining }))
            }
        }
    }
}

impl<F, A> fmt::Debug for ResponseFuture<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
