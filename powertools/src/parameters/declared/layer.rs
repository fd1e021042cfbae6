use std::{borrow::Cow, sync::Arc};

use futures_util::future::join_all;
use tower_layer::Layer;

use super::{Declare, ParametersService, Snapshot, declaration::Declaration};
use crate::parameters::{ParameterError, Value, count::Count};

/// Has the parameters ready that a handler needs, before it runs.
///
/// What is fresh costs a look into the cache. What is not is fetched, all of it at once, and the
/// invocation waits for that, unless the [`Parameters`](crate::parameters::Parameters) behind it
/// [refresh in the background](crate::parameters::Parameters::refresh_in_background). If a parameter
/// that is required cannot be had, and nothing
/// [stale](crate::parameters::Parameters::stale_if_error) may be served, the handler is not called.
///
/// Parameters of several providers can be declared in one layer. Of a secret that may be refused,
/// keep a clone of its `Parameters` as well: what the layer has read is in the cache that
/// [`with_secret`](crate::parameters::Parameters::with_secret) begins with.
///
/// See the [module docs](crate::parameters#before-the-handler).
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use lambda_runtime::{Context, Error, LambdaEvent};
/// use powertools::parameters::{MapProvider, Parameters, ParametersLayer, declared};
/// use serde::Deserialize;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// #[derive(Deserialize)]
/// struct Limits { items: u32 }
///
/// async fn handler(event: LambdaEvent<u32>) -> Result<bool, Error> {
///     let limits = declared("limits")?.json::<Limits>()?;
///     Ok(event.payload <= limits.items)
/// }
///
/// let provider = MapProvider::from([("/shop/limits", r#"{"items":3}"#)]);
/// let parameters = Parameters::new(provider);
/// let layer = ParametersLayer::new()
///     // Checked here: with limits that cannot be read, the handler does not run.
///     .require("limits", parameters.get("/shop/limits").json::<Limits>())
///     .optional("banner", parameters.get("/shop/banner"));
/// // Before `lambda_runtime::run`.
/// layer.warm().await?;
///
/// let service = ServiceBuilder::new().layer(layer).service_fn(handler);
/// let event = LambdaEvent::new(4, Context::default());
/// assert_eq!(service.oneshot(event).await?, false);
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ParametersLayer {
    declarations: Arc<Vec<Declaration>>,
}

impl ParametersLayer {
    /// Makes a layer that declares nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a parameter that the handler cannot do without, and the name that
    /// [`declared`](super::declared) finds it by.
    ///
    /// A [forced fetch](crate::parameters::Get::force_fetch) is not meant for this and counts as none.
    ///
    /// # Panics
    ///
    /// Panics if the name is declared already.
    #[track_caller]
    pub fn require(self, name: impl Into<Cow<'static, str>>, parameter: impl Declare) -> Self {
        self.declare(name.into(), parameter, true)
    }

    /// Declares a parameter that may be missing: the handler runs without it, and
    /// [`declared`](super::declared) says why there is none.
    ///
    /// One that does not exist is looked for again in each invocation, which waits for that, unless
    /// [`Parameters::cache_not_found`](crate::parameters::Parameters::cache_not_found) is set.
    ///
    /// # Panics
    ///
    /// Panics if the name is declared already.
    #[track_caller]
    pub fn optional(self, name: impl Into<Cow<'static, str>>, parameter: impl Declare) -> Self {
        self.declare(name.into(), parameter, false)
    }

    #[track_caller]
    fn declare(
        mut self,
        name: Cow<'static, str>,
        parameter: impl Declare,
        is_required: bool,
    ) -> Self {
        let is_known = self.declarations.iter().any(|known| known.name == name);
        assert!(!is_known, "the parameter `{name}` is declared twice");
        Arc::make_mut(&mut self.declarations).push(Declaration {
            name,
            is_required,
            source: parameter.into_source(),
        });
        self
    }

    /// Reads everything that is declared, so that the first invocation finds it.
    ///
    /// Call it before the runtime begins: Lambda gives a function more CPU while it starts, and the
    /// time is not the caller's. Whether to go on after an error is up to you: the next invocation
    /// tries again.
    ///
    /// # Errors
    ///
    /// Fails if a parameter that is required cannot be had.
    pub async fn warm(&self) -> Result<(), ParameterError> {
        self.read(None).await.map(drop)
    }

    /// Returns what is declared, if nothing has to be waited for.
    pub(super) fn at_hand(
        &self,
        outer: Option<&Arc<Snapshot>>,
    ) -> Option<Result<Arc<Snapshot>, ParameterError>> {
        let mut values = Vec::with_capacity(self.declarations.len());
        let mut counts = Vec::new();
        for declaration in self.declarations.iter() {
            let (value, count) = declaration.source.at_hand()?;
            values.push(value);
            counts.extend(count);
        }
        // If anything has to be waited for, all are read again and counted then.
        counts.into_iter().for_each(Count::record);
        Some(self.snapshot(values, outer.cloned()))
    }

    /// Returns what is declared as soon as it is there.
    pub(super) async fn read(
        &self,
        outer: Option<Arc<Snapshot>>,
    ) -> Result<Arc<Snapshot>, ParameterError> {
        let sources = self.declarations.iter();
        let values = sources.map(|declaration| Arc::clone(&declaration.source).read());
        self.snapshot(join_all(values).await, outer)
    }

    fn snapshot(
        &self,
        values: Vec<Result<Value, ParameterError>>,
        outer: Option<Arc<Snapshot>>,
    ) -> Result<Arc<Snapshot>, ParameterError> {
        let named = self.declarations.iter().zip(values);
        let values = named.map(|(declaration, value)| match value {
            Err(error) if declaration.is_required => Err(error),
            value => Ok((declaration.name.clone(), value)),
        });
        let values = values.collect::<Result<_, _>>()?;
        Ok(Arc::new(Snapshot::new(values, outer)))
    }
}

impl<S> Layer<S> for ParametersLayer {
    type Service = ParametersService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ParametersService::new(inner, self.clone())
    }
}
