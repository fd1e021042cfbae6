use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    task::{Context, Poll},
};

use lambda_runtime::LambdaEvent;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tower_service::Service;

use super::{DecodeError, ResponseFuture};
use crate::Invocation;

/// The service that [`DecodeLayer`](super::DecodeLayer) makes.
///
/// See the [module docs](super).
pub struct DecodeService<S, T> {
    inner: S,
    event: PhantomData<fn() -> T>,
}

impl<S, T> DecodeService<S, T> {
    pub(super) const fn new(inner: S) -> Self {
        Self {
            inner,
            event: PhantomData,
        }
    }
}

impl<S, T> Service<LambdaEvent<Box<RawValue>>> for DecodeService<S, T>
where
    S: Service<LambdaEvent<T>>,
    T: DeserializeOwned,
{
    type Response = S::Response;
    type Error = DecodeError<S::Error>;
    type Future = ResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(DecodeError::Handler)
    }

    fn call(&mut self, event: LambdaEvent<Box<RawValue>>) -> Self::Future {
        let LambdaEvent { payload, context } = event;
        let invocation = Invocation::current_or_open(Some(&context));
        let decoded = decode(&payload);
        invocation.keep_raw_event(payload);
        match decoded {
            Ok(payload) => {
                let event = LambdaEvent::new(payload, context);
                let inner = invocation.sync_scope(|| self.inner.call(event));
                ResponseFuture::handler(invocation.scope(inner))
            }
            Err(error) => ResponseFuture::failed(error.into()),
        }
    }
}

fn decode<T: DeserializeOwned>(
    json: &RawValue,
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json.get()))
}

impl<S: Clone, T> Clone for DecodeService<S, T> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: fmt::Debug, T> fmt::Debug for DecodeService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeService")
            .field("inner", &self.inner)
            .field("event", &format_args!("{}", type_name::<T>()))
            .finish()
    }
}
