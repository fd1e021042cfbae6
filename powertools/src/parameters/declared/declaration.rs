use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::parameters::{
    Get, ParameterError, ParameterProvider, Parameters, TransformFuture, Value, count::Count,
};

/// How a parameter is read that [`ParametersLayer`](super::ParametersLayer) has ready: a
/// [`Get`], or one whose value is transformed.
///
/// A transformation that fails counts as a read that fails, and its result is kept beside the value:
/// [`Value::json`] finds it there.
///
/// Where a test reads from another provider than the function, take `impl Declare`: the words for a
/// provider's options, such as `decrypt`, are of that provider only.
///
/// ```
/// use powertools::parameters::{Declare, MapProvider, Parameters, ParametersLayer};
///
/// fn needs(key: impl Declare) -> ParametersLayer {
///     ParametersLayer::new().require("key", key)
/// }
///
/// // The function says `needs(ssm.get("/shop/key").decrypt())`, and its test:
/// let parameters = Parameters::new(MapProvider::from([("/shop/key", "k")]));
/// let layer = needs(parameters.get("/shop/key"));
/// ```
///
/// The trait is sealed.
pub trait Declare: sealed::Declare {}

impl<P: ParameterProvider> Declare for Get<'_, P> {}
impl<P: ParameterProvider, T: 'static> Declare for TransformFuture<'_, P, T> {}

pub(super) mod sealed {
    use super::Source;

    pub trait Declare {
        #[doc(hidden)]
        fn into_source(self) -> std::sync::Arc<dyn Source>;
    }
}

/// A parameter, and whether the handler can do without it.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) name: Cow<'static, str>,
    pub(super) is_required: bool,
    pub(super) source: Arc<dyn Source>,
}

/// Where a declared value comes from.
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the value if nothing has to be waited for, and what is to be counted when it is used.
    fn at_hand(&self) -> Option<(Result<Value, ParameterError>, Option<Count>)>;

    /// Returns the value as soon as it is there.
    fn read(self: Arc<Self>) -> BoxFuture<'static, Result<Value, ParameterError>>;
}

/// A [`Get`] that borrows nothing.
struct Owned<P: ParameterProvider> {
    parameters: Parameters<P>,
    name: Box<str>,
    options: P::Options,
    max_age: Duration,
    check: Option<Box<Check>>,
}

type Check = dyn Fn(&Value) -> Result<(), ParameterError> + Send + Sync;

impl<P: ParameterProvider> Owned<P> {
    fn new(get: &Get<'_, P>, check: Option<Box<Check>>) -> Arc<Self> {
        let (parameters, name, options, max_age) = get.parts();
        Arc::new(Self {
            parameters: parameters.clone(),
            name: name.into(),
            options: options.clone(),
            max_age,
            check,
        })
    }

    fn get(&self) -> Get<'_, P> {
        let options = self.options.clone();
        let get = self.parameters.get(&self.name).max_age(self.max_age);
        get.with(|_| options)
    }

    fn checked(&self, value: Value) -> Result<Value, ParameterError> {
        match &self.check {
            Some(check) => check(&value).map(|()| value),
            None => Ok(value),
        }
    }
}

impl<P: ParameterProvider> Source for Owned<P> {
    fn at_hand(&self) -> Option<(Result<Value, ParameterError>, Option<Count>)> {
        let (value, count) = self.get().at_hand()?;
        Some((value.and_then(|value| self.checked(value)), count))
    }

    fn read(self: Arc<Self>) -> BoxFuture<'static, Result<Value, ParameterError>> {
        Box::pin(async move {
            let value = self.get().await?;
            self.checked(value)
        })
    }
}

impl<P: ParameterProvider> sealed::Declare for Get<'_, P> {
    fn into_source(self) -> Arc<dyn Source> {
        Owned::new(&self, None)
    }
}

impl<P: ParameterProvider, T: 'static> sealed::Declare for TransformFuture<'_, P, T> {
    fn into_source(self) -> Arc<dyn Source> {
        let (get, transform) = self.into_parts();
        let check = move |value: &Value| transform(value).map(drop);
        Owned::new(&get, Some(Box::new(check)))
    }
}

impl<P: ParameterProvider> fmt::Debug for Owned<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
