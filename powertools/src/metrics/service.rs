use std::{
    any::type_name,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{BatchSize, ResponseFuture, config::Config, invocation_metrics::Call};
use crate::{
    HasContext, Invocation,
    classify::{ByResult, Classify},
};

/// The service that [`MetricsLayer`](super::MetricsLayer) makes.
///
/// See the [module docs](super).
#[derive(Clone)]
pub struct MetricsService<S, C = ByResult, B = ()> {
    inner: S,
    config: Arc<Config>,
    classify: C,
    batch_size: B,
}

impl<S, C, B> MetricsService<S, C, B> {
    pub(super) const fn new(inner: S, config: Arc<Config>, classify: C, batch_size: B) -> Self {
        Self {
            inner,
            config,
            classify,
            batch_size,
        }
    }
}

impl<S, C, B, Request> Service<Request> for MetricsService<S, C, B>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
    B: BatchSize<Request>,
    Request: HasContext,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let invocation = Invocation::current_or_open(request.context());
        let mut call = Call::begin(&self.config, &invocation);
        let inner = invocation.sync_scope(|| {
            call.run(|call| {
                call.count(|| self.batch_size.batch_size(&request));
                self.inner.call(request)
            })
        });
        ResponseFuture::new(invocation.scope(inner), self.classify.clone(), call)
    }
}

impl<S: fmt::Debug, C, B> fmt::Debug for MetricsService<S, C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .field("classify", &format_args!("{}", type_name::<C>()))
            .field("batch_size", &format_args!("{}", type_name::<B>()))
            .finish()
    }
}
