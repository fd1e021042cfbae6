use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;

use super::{
    EvaluationContext, Evaluator, FeatureFlagsError, FlagDocument, FlagStore, FlagStoreError,
    Mismatch, config::Config, decider::Decider, report,
};

/// How long a store is left alone that is not available for the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long it is left alone at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Flags from a store, decided for whatever context they are asked with.
///
/// Cloning is cheap; clones share the store and what it last had. See the [module docs](super).
#[must_use]
pub struct FeatureFlags<S> {
    store: Arc<S>,
    config: Arc<Config>,
    last: Arc<Mutex<Last>>,
}

/// What the store last had.
#[derive(Default)]
struct Last {
    good: Option<Arc<FlagDocument>>,
    /// What has been warned of since.
    broken: Option<FlagStoreError>,
    down: Option<Down>,
    /// How many fetches the store has answered, be it that there is no document.
    answered: u64,
}

/// A store that is not available.
struct Down {
    error: FlagStoreError,
    since: SystemTime,
    /// For how long it is left alone.
    pause: Duration,
}

impl<S: FlagStore> FeatureFlags<S> {
    /// Makes flags of a store.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            config: Arc::default(),
            last: Arc::default(),
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
    pub async fn is_enabled(
        &self,
        flag: &str,
        context: &EvaluationContext,
        default: bool,
    ) -> Result<bool, FeatureFlagsError> {
        let document = self.document().await?;
        self.decider(document.as_deref(), context)
            .is_enabled(flag, default)
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
    pub async fn value<T: DeserializeOwned>(
        &self,
        flag: &str,
        context: &EvaluationContext,
        default: T,
    ) -> Result<T, FeatureFlagsError> {
        let document = self.document().await?;
        self.decider(document.as_deref(), context)
            .value(flag, default)
    }

    /// Returns the names of the flags that are on, sorted by code point; without a document for the
    /// time being, none.
    ///
    /// # Errors
    ///
    /// As [`is_enabled`](Self::is_enabled).
    pub async fn enabled(
        &self,
        context: &EvaluationContext,
    ) -> Result<Vec<String>, FeatureFlagsError> {
        let document = self.document().await?;
        let names = self.decider(document.as_deref(), context).enabled();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// Fetches the document and binds it to a context: what the layer does for each invocation, for
    /// code that has no layer around and asks for several flags.
    ///
    /// It does not fail: if there is no document, what the evaluator is asked does.
    pub async fn evaluator(&self, context: EvaluationContext) -> Evaluator {
        let document = self.document().await;
        self.bind(document, context)
    }

    pub(super) fn bind(
        &self,
        document: Result<Option<Arc<FlagDocument>>, FeatureFlagsError>,
        context: EvaluationContext,
    ) -> Evaluator {
        Evaluator::new(document, context, Arc::clone(&self.config))
    }

    /// Fetches the document, or says by `None` that the callers' defaults hold.
    async fn document(&self) -> Result<Option<Arc<FlagDocument>>, FeatureFlagsError> {
        let (fetched, is_new) = match self.down() {
            Some(error) => (Err(error), false),
            None => (self.ask().await, true),
        };
        match fetched {
            Ok(document) => Ok(Some(document)),
            Err(error @ FlagStoreError::Unavailable { .. })
                if !self.config.fail_when_unavailable =>
            {
                if is_new {
                    report::unavailable(&error);
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches the document, unless the store has just not been available.
    pub(super) async fn fetch(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
        match self.down() {
            Some(error) => Err(error),
            None => self.ask().await,
        }
    }

    /// Returns why the store is left alone, if it is.
    fn down(&self) -> Option<FlagStoreError> {
        let last = self.last();
        let down = last.down.as_ref()?;
        let passed = self.config.now().duration_since(down.since);
        // A clock that was put back tells nothing.
        let is_left_alone = passed.is_ok_and(|passed| passed < down.pause);
        is_left_alone.then(|| down.error.clone())
    }

    /// Asks the store for the document, and takes the last good one in the place of one that is broken.
    async fn ask(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
        let (answered, pause) = {
            let last = self.last();
            let longer = |down: &Down| (down.pause * 2).min(LONGEST_PAUSE);
            (
                last.answered,
                last.down.as_ref().map_or(FIRST_PAUSE, longer),
            )
        };
        let fetched = self.store.document().await;
        let now = self.config.now();
        let (kept, error) = {
            let mut last = self.last();
            if let Err(error @ FlagStoreError::Unavailable { .. }) = &fetched {
                // A failure that comes late says nothing about a store that has answered since.
                if last.answered == answered {
                    last.down = Some(Down {
                        error: error.clone(),
                        since: now,
                        pause,
                    });
                }
            } else {
                last.answered += 1;
                last.down = None;
            }
            match fetched {
                Ok(document) => {
                    last.good = Some(Arc::clone(&document));
                    last.broken = None;
                    return Ok(document);
                }
                Err(error) if error.is_broken() && self.config.keep_last_good => {
                    let Some(good) = last.good.clone() else {
                        return Err(error);
                    };
                    if last.broken.as_ref().is_some_and(|it| it.is_same(&error)) {
                        return Ok(good);
                    }
                    last.broken = Some(error.clone());
                    (good, error)
                }
                Err(error) => return Err(error),
            }
        };
        // Without the lock: whoever listens may ask for flags himself.
        report::broken(&error);
        Ok(kept)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decider<'a>(
        &'a self,
        document: Option<&'a FlagDocument>,
        context: &'a EvaluationContext,
    ) -> Decider<'a> {
        Decider {
            document,
            context,
            now: self.config.now(),
            config: &self.config,
            reported: None,
        }
    }
}

impl<S> FeatureFlags<S> {
    /// Says whether it is an error that there is no document for the time being.
    ///
    /// Defaults to `false`: the callers' defaults hold, with a warning for each fetch that fails.
    pub fn fail_when_unavailable(mut self, on: bool) -> Self {
        self.config_mut().fail_when_unavailable = on;
        self
    }

    /// Says whether it is an error to ask for a flag that the document does not have.
    ///
    /// Defaults to `false`: the caller's default holds, with one warning for each name.
    pub fn fail_on_unknown_flag(mut self, on: bool) -> Self {
        self.config_mut().fail_on_unknown_flag = on;
        self
    }

    /// Says whether the last good document holds on when it is replaced by a broken one.
    ///
    /// Defaults to `true`, with one warning for each broken document. An environment that starts
    /// meanwhile has no good one, and its flags fail.
    pub fn keep_last_good(mut self, on: bool) -> Self {
        self.config_mut().keep_last_good = on;
        self
    }

    /// Sets who decides whether a condition holds whose comparison makes no sense, such as that of a
    /// text with a number.
    ///
    /// Defaults to nobody: the condition does not hold, with one warning for each flag, rule and key.
    pub fn on_mismatch(
        mut self,
        decide: impl Fn(&Mismatch<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config_mut().on_mismatch = Some(Arc::new(decide));
        self
    }

    /// Says whether evaluations are counted in the [metric](super#metrics-and-log-lines)
    /// `FeatureFlagEvaluations`.
    ///
    /// Defaults to `false`. It takes feature `metrics` and a `MetricsLayer` around.
    pub fn metrics(mut self, on: bool) -> Self {
        self.config_mut().metrics = on;
        self
    }

    /// Says whether evaluations are [logged](super#metrics-and-log-lines), at `INFO`.
    ///
    /// Defaults to `false`.
    pub fn log(mut self, on: bool) -> Self {
        self.config_mut().log = on;
        self
    }

    /// Sets the clock that rules about the time go by, and for how long a store is left alone that is
    /// [not available](super#what-happens-when-there-is-no-document).
    ///
    /// Defaults to the system's.
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.config_mut().now = Arc::new(now);
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S> Clone for FeatureFlags<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            last: Arc::clone(&self.last),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for FeatureFlags<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeatureFlags")
            .field("store", &self.store)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
