use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    FlagDocument, FlagStore, FlagStoreError, SchemaErrors,
    problem::{Path, ProblemKind},
};
#[cfg(feature = "jmespath")]
use crate::jmespath::Expression;
use crate::parameters::{ParameterError, ParameterProvider, Parameters, Value};

/// A document behind a parameter: a configuration of AppConfig, a parameter of Systems Manager, or
/// whatever else [`Parameters`] can fetch.
///
/// How old a document may be, and what becomes of it while the service fails, the parameters say. For
/// flags that no invocation waits for, once there is a first document, and that stay while the
/// service fails:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use powertools::{
///     feature_flags::{EvaluationContext, FeatureFlags, ParameterStore},
///     parameters::{MapProvider, Parameters},
/// };
/// use std::time::Duration;
///
/// let provider = MapProvider::from([("/shop/flags", r#"{"new_checkout": {"default": true}}"#)]);
/// let parameters = Parameters::new(provider)
///     .max_age(Duration::from_secs(30))
///     .refresh_in_background(Duration::from_secs(300))
///     .stale_if_error(Duration::from_secs(3600));
/// let flags = FeatureFlags::new(ParameterStore::new(parameters, "/shop/flags"));
///
/// let nobody = EvaluationContext::new();
/// assert!(flags.is_enabled("new_checkout", &nobody, false).await?);
/// # Ok::<_, powertools::feature_flags::FeatureFlagsError>(())
/// # }).unwrap();
/// ```
///
/// A document is compiled when it is first fetched, and again only when what is fetched has changed,
/// once for all that ask at the same time.
#[must_use]
pub struct ParameterStore<P: ParameterProvider> {
    parameters: Parameters<P>,
    name: String,
    options: P::Options,
    native: bool,
    #[cfg(feature = "jmespath")]
    envelope: Option<Expression>,
    compiled: Mutex<Option<Compiled>>,
}

/// What is made of a value, once.
type Cell = Arc<OnceLock<Result<Arc<FlagDocument>, FlagStoreError>>>;

/// The last value, and what is made of it.
struct Compiled {
    value: Value,
    cell: Cell,
}

impl<P: ParameterProvider> ParameterStore<P> {
    /// Makes a store of the parameter of this name.
    pub fn new(parameters: Parameters<P>, name: impl Into<String>) -> Self {
        Self {
            parameters,
            name: name.into(),
            options: P::Options::default(),
            native: false,
            #[cfg(feature = "jmespath")]
            envelope: None,
            compiled: Mutex::default(),
        }
    }

    /// Changes the provider's options, such as decryption.
    ///
    /// Defaults to the options' defaults.
    pub fn with(mut self, change: impl FnOnce(P::Options) -> P::Options) -> Self {
        self.options = change(self.options);
        self
    }

    /// Says where in the parameter's JSON the document is.
    ///
    /// Defaults to the whole of it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use powertools::{
    ///     feature_flags::{EvaluationContext, FeatureFlags, ParameterStore},
    ///     jmespath::Expression,
    ///     parameters::{MapProvider, Parameters},
    /// };
    ///
    /// let text = r#"{"log_level": "debug", "features": {"beta": {"default": true}}}"#;
    /// let parameters = Parameters::new(MapProvider::from([("config", text)]));
    /// let store = ParameterStore::new(parameters, "config").envelope(Expression::new("features")?);
    ///
    /// let enabled = FeatureFlags::new(store).enabled(&EvaluationContext::new()).await.unwrap();
    /// assert_eq!(enabled, ["beta"]);
    /// # Ok::<_, powertools::jmespath::JmespathError>(())
    /// # }).unwrap();
    /// ```
    #[cfg(feature = "jmespath")]
    pub fn envelope(mut self, expression: Expression) -> Self {
        self.envelope = Some(expression);
        self
    }

    /// Takes the document for one of AppConfig's own type, `AWS.AppConfig.FeatureFlags`.
    ///
    /// By default it is in the schema of the Powertools toolkits.
    pub const fn native(mut self) -> Self {
        self.native = true;
        self
    }

    fn compile(&self, value: &Value) -> Result<Arc<FlagDocument>, FlagStoreError> {
        let text = value.as_str().map_err(|_| {
            let not_text = SchemaErrors::from(Path::Root.problem(ProblemKind::NotUnicode));
            FlagStoreError::invalid(self.name.as_str(), not_text)
        })?;
        #[cfg(feature = "jmespath")]
        if let Some(envelope) = &self.envelope {
            let found = envelope.search_str(text);
            let found =
                found.map_err(|error| FlagStoreError::envelope(self.name.as_str(), error))?;
            return match &*found.to_json() {
                "null" => Err(FlagStoreError::envelope(
                    self.name.as_str(),
                    "the expression finds nothing",
                )),
                text => self.parse(text),
            };
        }
        self.parse(text)
    }

    fn parse(&self, text: &str) -> Result<Arc<FlagDocument>, FlagStoreError> {
        let document = if self.native {
            FlagDocument::parse_native(text)
        } else {
            FlagDocument::parse(text)
        };
        let document = document.map(Arc::new);
        document.map_err(|errors| FlagStoreError::invalid(self.name.as_str(), errors))
    }

    /// Returns the place for what is made of a value: the last one's, unless it has changed.
    fn cell(&self, value: &Value) -> Cell {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = &*compiled
            && (compiled.value.ptr_eq(value) || compiled.value.as_bytes() == value.as_bytes())
        {
            return Arc::clone(&compiled.cell);
        }
        let cell = Cell::default();
        *compiled = Some(Compiled {
            value: value.clone(),
            cell: Arc::clone(&cell),
        });
        cell
    }
}

impl<P: ParameterProvider> FlagStore for ParameterStore<P> {
    async fn document(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
        let value = self
            .parameters
            .get(&self.name)
            .with(|_| self.options.clone())
            .await
            .map_err(|error| failed(&self.name, error))?;
        let cell = self.cell(&value);
        // Without the lock: a large document takes a while, and others may have another.
        cell.get_or_init(|| self.compile(&value)).clone()
    }
}

fn failed(name: &str, error: ParameterError) -> FlagStoreError {
    if error.is_access_denied() {
        FlagStoreError::access_denied(name, error)
    } else {
        FlagStoreError::unavailable(name, error)
    }
}

impl<P: ParameterProvider> fmt::Debug for ParameterStore<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParameterStore")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("native", &self.native)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::MapProvider;

    #[tokio::test]
    async fn an_old_value_that_compiles_slowly_leaves_a_newer_one_alone() {
        let texts = [("old", "{}"), ("new", r#"{"flag": {"default": true}}"#)];
        let parameters = Parameters::new(MapProvider::from(texts));
        let old = parameters.get("old").await.unwrap();
        let new = parameters.get("new").await.unwrap();
        let store = ParameterStore::new(parameters, "flags");

        let slow = store.cell(&old);
        let cell = store.cell(&new);
        assert!(!Arc::ptr_eq(&slow, &cell));
        let document = cell.get_or_init(|| store.compile(&new)).clone().unwrap();
        slow.get_or_init(|| store.compile(&old)).clone().unwrap();
        let last = store.cell(&new).get().unwrap().clone().unwrap();
        assert!(Arc::ptr_eq(&document, &last));
        assert_eq!(last.names().len(), 1);
    }
}
