use std::borrow::Cow;

use tower_layer::Layer;

use super::TraceService;

/// Gives each invocation a span under the function's own segment.
///
/// See the [module docs](super).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TraceLayer {
    name: Option<Cow<'static, str>>,
}

impl TraceLayer {
    /// Makes a layer that names the span after the function.
    pub const fn new() -> Self {
        Self { name: None }
    }

    /// Sets the handler's name: the span is called `## <name>`.
    ///
    /// Defaults to the function's name. (The other toolkits take the name of the handler from the
    /// environment; on a custom runtime it is `bootstrap` for everyone.)
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService::new(inner, self.name.clone())
    }
}
