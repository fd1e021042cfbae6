use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::DecodeError;
use crate::InvocationFuture;

pin_project! {
    /// The future of [`DecodeService`](super::DecodeService).
    #[derive(Debug)]
    pub struct ResponseFuture<F, E> {
        #[pin]
        state: State<F, E>,
    }
}

pin_project! {
    #[project = StateProject]
    #[derive(Debug)]
    enum State<F, E> {
        Handler { #[pin] future: InvocationFuture<F> },
        Failed { error: Option<DecodeError<E>> },
    }
}

impl<F, E> ResponseFuture<F, E> {
    pub(super) const fn handler(future: InvocationFuture<F>) -> Self {
        Self {
            state: State::Handler { future },
        }
    }

    pub(super) const fn failed(error: DecodeError<E>) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<R, E>>,
{
    type Output = Result<R, DecodeError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Handler { future } => {
                Poll::Ready(ready!(future.poll(cx)).map_err(DecodeError::Handler))
            }
            StateProject::Failed { error } => {
                let error = error.take().expect("a future is not polled after its end");
                Poll::Ready(Err(error))
            }
        }
    }
}
