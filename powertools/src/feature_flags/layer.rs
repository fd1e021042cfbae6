use std::{any::type_name, fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::{EvaluationContext, FeatureFlags, FeatureFlagsService, FlagStore, FlagStoreError};

/// Binds flags to each request, for [`current`](super::current) to find them.
///
/// See the [module docs](super).
#[must_use]
pub struct FeatureFlagsLayer<S, C, P = Optional> {
    pub(super) flags: FeatureFlags<S>,
    pub(super) context: Arc<C>,
    policy: PhantomData<fn() -> P>,
}

/// What a [`FeatureFlagsLayer`] does without a document: the handler is called, and its flags have
/// their defaults or fail.
#[derive(Debug)]
pub enum Optional {}

/// What a [`FeatureFlagsLayer`] that is [required](FeatureFlagsLayer::required) does without a
/// document: the handler is not called.
#[derive(Debug)]
pub enum Required {}

impl<S, C> FeatureFlagsLayer<S, C> {
    /// Makes a layer of flags, and of a closure that says what is known about a request.
    ///
    /// The closure is called first, inside of the invocation. If it panics, the call does.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::feature_flags::{
    ///     EvaluationContext, FeatureFlags, FeatureFlagsLayer, FlagDocument, StaticStore,
    /// };
    ///
    /// struct Order { tenant: String, total: u64 }
    ///
    /// # let document = FlagDocument::parse("{}")?;
    /// let flags = FeatureFlags::new(StaticStore::new(document));
    /// let layer = FeatureFlagsLayer::new(flags, |event: &LambdaEvent<Order>| {
    ///     EvaluationContext::new()
    ///         .with("tenant_id", event.payload.tenant.as_str())
    ///         .with("total", event.payload.total)
    /// });
    /// # Ok::<_, powertools::feature_flags::SchemaErrors>(())
    /// ```
    pub fn new<Request>(flags: FeatureFlags<S>, context: C) -> Self
    where
        C: Fn(&Request) -> EvaluationContext,
    {
        Self {
            flags,
            context: Arc::new(context),
            policy: PhantomData,
        }
    }

    /// Has invocations refused, with a
    /// [`RequiredFlagsError`](super::RequiredFlagsError), while there is no document.
    ///
    /// By default the handler is called without, and the layer's error is the handler's.
    pub fn required(self) -> FeatureFlagsLayer<S, C, Required> {
        FeatureFlagsLayer {
            flags: self.flags,
            context: self.context,
            policy: PhantomData,
        }
    }
}

impl<S: FlagStore, C, P> FeatureFlagsLayer<S, C, P> {
    /// Fetches the document, so that the first invocation finds it where the store keeps it.
    ///
    /// By default the first invocation waits for it. A document that is behind the
    /// [Parameters and Secrets extension] cannot be had before an invocation.
    ///
    /// # Errors
    ///
    /// Fails if there is no document. That may be ignored: invocations ask again.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::feature_flags::{
    ///     EvaluationContext, FeatureFlags, FeatureFlagsLayer, FlagDocument, StaticStore,
    /// };
    ///
    /// # let document = FlagDocument::parse("{}").unwrap();
    /// let flags = FeatureFlags::new(StaticStore::new(document));
    /// let layer = FeatureFlagsLayer::new(flags, |_: &LambdaEvent<String>| EvaluationContext::new());
    /// if let Err(error) = layer.warm().await {
    ///     tracing::warn!(%error, "starting without feature flags");
    /// }
    /// # });
    /// ```
    ///
    /// [Parameters and Secrets extension]: https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html
    pub async fn warm(&self) -> Result<(), FlagStoreError> {
        self.flags.fetch().await.map(drop)
    }
}

impl<S, C, P> Clone for FeatureFlagsLayer<S, C, P> {
    fn clone(&self) -> Self {
        Self {
            flags: self.flags.clone(),
            context: Arc::clone(&self.context),
            policy: PhantomData,
        }
    }
}

impl<Inner, S, C, P> Layer<Inner> for FeatureFlagsLayer<S, C, P> {
    type Service = FeatureFlagsService<Inner, S, C, P>;

    fn layer(&self, inner: Inner) -> Self::Service {
        FeatureFlagsService::new(inner, self.clone())
    }
}

impl<S: fmt::Debug, C, P> fmt::Debug for FeatureFlagsLayer<S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureFlagsLayer")
            .field("flags", &self.flags)
            .field("policy", &format_args!("{}", type_name::<P>()))
            .finish_non_exhaustive()
    }
}
