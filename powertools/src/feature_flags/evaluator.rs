use std::{
    fmt,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use serde::de::DeserializeOwned;

use super::{
    Evaluation, EvaluationContext, FeatureFlagsError, FlagDocument, config::Config,
    decider::Decider, report::Reported,
};
use crate::Invocation;

/// Returns the flags of the running invocation, bound to its request.
///
/// # Errors
///
/// Fails if no [`FeatureFlagsLayer`](super::FeatureFlagsLayer) is around. None is while the body of a
/// streamed response is written: take the [`Evaluator`] along into it.
///
/// # Examples
///
/// ```
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::feature_flags;
///
/// async fn handler(event: LambdaEvent<String>) -> Result<bool, Error> {
///     let flags = feature_flags::current()?;
///     Ok(flags.is_enabled("new_checkout", false)?)
/// }
/// ```
pub fn current() -> Result<Evaluator, FeatureFlagsError> {
    Invocation::with_current(|invocation| invocation.flags().cloned())
        .flatten()
        .ok_or(FeatureFlagsError::NoLayer)
}

/// Flags for one request: its context, and the document and the time of its beginning.
///
/// All that it is asked it answers from these, without waiting for anything, so a flag does not
/// change while a request is handled. Cloning is cheap, and a clone can be taken along into tasks
/// and threads.
///
/// Returned by [`current`] and [`FeatureFlags::evaluator`](super::FeatureFlags::evaluator).
#[derive(Clone)]
pub struct Evaluator {
    bound: Arc<Bound>,
}

struct Bound {
    document: Result<Option<Arc<FlagDocument>>, FeatureFlagsError>,
    context: EvaluationContext,
    now: SystemTime,
    config: Arc<Config>,
    reported: Mutex<Reported>,
}

impl Evaluator {
    pub(super) fn new(
        document: Result<Option<Arc<FlagDocument>>, FeatureFlagsError>,
        context: EvaluationContext,
        config: Arc<Config>,
    ) -> Self {
        Self {
            bound: Arc::new(Bound {
                document,
                context,
                now: config.now(),
                config,
                reported: Mutex::default(),
            }),
        }
    }

    /// Returns whether a flag is on: whether its value is neither false, null, 0, `""`, `[]` nor
    /// `{}`.
    ///
    /// `default` is what holds if there is no such flag, or no document for the time being.
    ///
    /// # Errors
    ///
    /// Fails if access to the document is denied, if it is broken, and where the
    /// [policy](super#what-happens-when-there-is-no-document) says so.
    pub fn is_enabled(&self, flag: &str, default: bool) -> Result<bool, FeatureFlagsError> {
        self.decider()?.is_enabled(flag, default)
    }

    /// Returns a flag's value as the type that `default` has.
    ///
    /// `default` is what holds if there is no such flag, or no document for the time being. A
    /// [`serde_json::Value`] takes any flag.
    ///
    /// # Errors
    ///
    /// As [`is_enabled`](Self::is_enabled), and with [`FeatureFlagsError::WrongType`] if the value
    /// does not make a `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// use powertools::feature_flags::{self, FeatureFlagsError};
    ///
    /// async fn page_size() -> Result<u32, FeatureFlagsError> {
    ///     feature_flags::current()?.value("page_size", 20)
    /// }
    /// ```
    pub fn value<T: DeserializeOwned>(
        &self,
        flag: &str,
        default: T,
    ) -> Result<T, FeatureFlagsError> {
        self.decider()?.value(flag, default)
    }

    /// Returns what a flag is and why, or `None` where the caller's default holds.
    ///
    /// # Errors
    ///
    /// As [`is_enabled`](Self::is_enabled).
    pub fn evaluate(&self, flag: &str) -> Result<Option<Evaluation<'_>>, FeatureFlagsError> {
        self.decider()?.evaluate(flag)
    }

    /// Returns the names of the flags that are on, sorted by code point; without a document for the
    /// time being, none.
    ///
    /// # Errors
    ///
    /// As [`is_enabled`](Self::is_enabled).
    pub fn enabled(&self) -> Result<Vec<&str>, FeatureFlagsError> {
        Ok(self.decider()?.enabled())
    }

    /// Returns the context.
    #[must_use]
    pub fn context(&self) -> &EvaluationContext {
        &self.bound.context
    }

    fn decider(&self) -> Result<Decider<'_>, FeatureFlagsError> {
        let bound = &*self.bound;
        let document = bound.document.as_ref().map_err(Clone::clone)?;
        Ok(Decider {
            document: document.as_deref(),
            context: &bound.context,
            now: bound.now,
            config: &bound.config,
            reported: Some(&bound.reported),
        })
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator")
            .field("document", &self.bound.document)
            .field("context", &self.bound.context)
            .field("now", &self.bound.now)
            .finish_non_exhaustive()
    }
}
