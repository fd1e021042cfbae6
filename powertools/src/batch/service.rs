use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use lambda_runtime::LambdaEvent;
use tower_service::Service;

use super::{
    BatchError, BatchEvent, BatchResponse, ClassifyFailure, Decode, Json, Record, ResponseFuture,
    Source, Sqs, config::Config, run::run,
};
use crate::Invocation;

/// The service that [`BatchLayer`](super::BatchLayer) makes.
///
/// It is always ready: each record is handled by a clone of the service inside, which is waited for
/// then. So a limit inside, such as tower's `ConcurrencyLimit`, holds among the records.
///
/// See the [module docs](super).
pub struct BatchService<Inner, T, S: Source = Sqs, F = Json, C = ()> {
    inner: Inner,
    config: Arc<Config<T, S, F, C>>,
}

impl<Inner, T, S: Source, F, C> BatchService<Inner, T, S, F, C> {
    pub(super) const fn new(inner: Inner, config: Arc<Config<T, S, F, C>>) -> Self {
        Self { inner, config }
    }
}

impl<Inner, T, S, F, C> Service<LambdaEvent<BatchEvent>> for BatchService<Inner, T, S, F, C>
where
    Inner: Service<Record<T, S::Record>> + Clone + Send + 'static,
    Inner::Future: Send,
    Inner::Response: Send,
    Inner::Error: fmt::Debug + Send + 'static,
    T: Send + 'static,
    S: Source,
    F: Decode<S, T>,
    C: ClassifyFailure<Inner::Error>,
{
    type Response = BatchResponse;
    type Error = BatchError<Inner::Error>;
    type Future = ResponseFuture<BatchResponse, Inner::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<BatchEvent>) -> Self::Future {
        let LambdaEvent { payload, context } = event;
        let invocation = Invocation::current_or_open(Some(&context));
        let batch = run(
            self.inner.clone(),
            payload,
            invocation.clone(),
            Arc::clone(&self.config),
        );
        ResponseFuture::new(invocation.scope(batch))
    }
}

impl<Inner: Clone, T, S: Source, F, C> Clone for BatchService<Inner, T, S, F, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<Inner: fmt::Debug, T, S: Source, F, C> fmt::Debug for BatchService<Inner, T, S, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
