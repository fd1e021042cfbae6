use std::{any::type_name, fmt, marker::PhantomData};

use tower_layer::Layer;

use super::DecodeService;

/// Keeps the event's JSON text and decodes it, once, into the `T` that the services inside take.
///
/// See the [module docs](super).
#[must_use]
pub struct DecodeLayer<T> {
    event: PhantomData<fn() -> T>,
}

impl<T> DecodeLayer<T> {
    /// Makes a layer.
    pub const fn new() -> Self {
        Self { event: PhantomData }
    }
}

impl<T> Default for DecodeLayer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for DecodeLayer<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S, T> Layer<S> for DecodeLayer<T> {
    type Service = DecodeService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        DecodeService::new(inner)
    }
}

impl<T> fmt::Debug for DecodeLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeLayer")
            .field("event", &format_args!("{}", type_name::<T>()))
            .finish()
    }
}
