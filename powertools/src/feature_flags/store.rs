use std::sync::Arc;

use super::{FlagDocument, FlagStoreError};

/// Where the flag document comes from.
///
/// It is asked once for each evaluator, so in each invocation: it keeps what it has compiled, and
/// gives the same document until there is another.
///
/// # Examples
///
/// ```
/// use powertools::feature_flags::{FlagDocument, FlagStore, FlagStoreError};
/// use std::sync::{Arc, Mutex};
///
/// /// A document that something else replaces while the program runs.
/// struct Replaceable(Mutex<Arc<FlagDocument>>);
///
/// impl FlagStore for Replaceable {
///     async fn document(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
///         let document = self.0.lock();
///         let document = document.map_err(|_| FlagStoreError::unavailable("flags", "poisoned"))?;
///         Ok(Arc::clone(&document))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no store of flag documents",
    note = "a document that is at hand is one as `StaticStore`, one behind a parameter as `ParameterStore`"
)]
pub trait FlagStore: Send + Sync + 'static {
    /// Returns the document that holds now.
    ///
    /// # Errors
    ///
    /// Fails if there is none. What becomes of that the
    /// [policy](super#what-happens-when-there-is-no-document) says.
    fn document(&self) -> impl Future<Output = Result<Arc<FlagDocument>, FlagStoreError>> + Send;
}

impl<S: FlagStore> FlagStore for Arc<S> {
    fn document(&self) -> impl Future<Output = Result<Arc<FlagDocument>, FlagStoreError>> + Send {
        (**self).document()
    }
}

/// A document that is at hand: of a file that is part of the program, or of a test.
///
/// # Examples
///
/// ```
/// use powertools::feature_flags::{FeatureFlags, FlagDocument, StaticStore};
///
/// let document = FlagDocument::parse(r#"{"new_checkout": {"default": true}}"#)?;
/// let flags = FeatureFlags::new(StaticStore::new(document));
/// # Ok::<_, powertools::feature_flags::SchemaErrors>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticStore {
    document: Arc<FlagDocument>,
}

impl StaticStore {
    /// Makes a store of one document.
    #[must_use]
    pub fn new(document: impl Into<Arc<FlagDocument>>) -> Self {
        Self {
            document: document.into(),
        }
    }
}

impl FlagStore for StaticStore {
    async fn document(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
        Ok(Arc::clone(&self.document))
    }
}
