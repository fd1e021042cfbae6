use tower_layer::Layer;

use super::BodyService;

/// Keeps the invocation open until the body of its response has ended.
///
/// Goes inside of the layers for logging, traces and metrics.
///
/// See the [module docs](super).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BodyLayer(());

impl BodyLayer {
    /// Makes a layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for BodyLayer {
    type Service = BodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService::new(inner)
    }
}
