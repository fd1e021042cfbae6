use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{ParametersError, Snapshot};
use crate::{Invocation, InvocationFuture, parameters::ParameterError};

pin_project! {
    /// The future of [`ParametersService`](super::ParametersService).
    pub struct ResponseFuture<S: Service<Request>, Request> {
        #[pin]
        state: State<S, Request>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S: Service<Request>, Request> {
        Reading {
            future: BoxFuture<'static, Result<Arc<Snapshot>, ParameterError>>,
            call: Option<Call<S, Request>>,
        },
        Handler {
            #[pin]
            future: InvocationFuture<S::Future>,
        },
        Failed { error: Option<ParameterError> },
    }
}

/// What is done when all has been read.
struct Call<S, Request> {
    inner: S,
    request: Request,
    invocation: Invocation,
}

impl<S: Service<Request>, Request> ResponseFuture<S, Request> {
    pub(super) const fn handler(future: InvocationFuture<S::Future>) -> Self {
        Self {
            state: State::Handler { future },
        }
    }

    pub(super) const fn failed(error: ParameterError) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }

    pub(super) const fn reading(
        future: BoxFuture<'static, Result<Arc<Snapshot>, ParameterError>>,
        inner: S,
        request: Request,
        invocation: Invocation,
    ) -> Self {
        let call = Call {
            inner,
            request,
            invocation,
        };
        Self {
            state: State::Reading {
                future,
                call: Some(call),
            },
        }
    }
}

impl<S: Service<Request>, Request> Call<S, Request> {
    fn begin(mut self, snapshot: Arc<Snapshot>) -> InvocationFuture<S::Future> {
        let invocation = self.invocation.with_declared(snapshot);
        let future = invocation.sync_scope(|| self.inner.call(self.request));
        invocation.scope(future)
    }
}

impl<S: Service<Request>, Request> Future for ResponseFuture<S, Request> {
    type Output = Result<S::Response, ParametersError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProject::Reading { future, call } => {
                    let snapshot = match ready!(future.as_mut().poll(cx)) {
                        Ok(snapshot) => snapshot,
                        Err(error) => return Poll::Ready(Err(ParametersError::Parameter(error))),
                    };
                    let call = call.take().expect("a future is not polled after its end");
                    State::Handler {
                        future: call.begin(snapshot),
                    }
                }
                StateProject::Handler { future } => {
                    return future.poll(cx).map_err(ParametersError::Handler);
                }
                StateProject::Failed { error } => {
                    let error = error.take().expect("a future is not polled after its end");
                    return Poll::Ready(Err(ParametersError::Parameter(error)));
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request>, Request> fmt::Debug for ResponseFuture<S, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
