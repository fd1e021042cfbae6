use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::parameters::{Fetched, ParameterProvider, ProviderError, ProviderErrorKind};

/// Parameters in memory that a test can change, and that can be made to fail or to be slow; its
/// clones are the same.
///
/// The values [below a path](ParameterProvider::get_multiple) are those whose names go on after the
/// path with a `/`.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use powertools::{
///     parameters::{Parameters, ProviderErrorKind},
///     testing::{Clock, MemoryProvider},
/// };
///
/// let (clock, provider) = (Clock::new(), MemoryProvider::from([("greeting", "hello")]));
/// let parameters = Parameters::new(provider.clone())
///     .max_age(Duration::from_secs(60))
///     .stale_if_error(Duration::from_secs(600))
///     .with_clock(&clock);
/// parameters.get("greeting").await?;
///
/// // A minute later the service is down.
/// clock.advance(Duration::from_secs(61));
/// provider.fail(ProviderErrorKind::Throttled);
/// assert_eq!(parameters.get("greeting").await?.as_str()?, "hello");
/// assert_eq!(provider.calls(), 2);
/// # Ok::<_, powertools::parameters::ParameterError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryProvider {
    state: Arc<Mutex<State>>,
    is_held: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct State {
    values: BTreeMap<String, Fetched>,
    /// How many calls there were for each name or path.
    calls: BTreeMap<String, usize>,
    failure: Option<Failure>,
    delay: Duration,
}

#[derive(Clone, Copy)]
enum Failure {
    Kind(ProviderErrorKind),
    Panic,
}

impl MemoryProvider {
    /// Makes one without values.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            is_held: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Sets a text.
    pub fn set(&self, name: impl Into<String>, text: impl Into<String>) {
        self.put(name, Fetched::text(text));
    }

    /// Sets a value of any kind.
    pub fn put(&self, name: impl Into<String>, value: Fetched) {
        self.lock().values.insert(name.into(), value);
    }

    /// Removes a value.
    pub fn remove(&self, name: &str) {
        self.lock().values.remove(name);
    }

    /// Has every call fail until it is told to [recover](Self::recover).
    pub fn fail(&self, kind: ProviderErrorKind) {
        self.lock().failure = Some(Failure::Kind(kind));
    }

    /// Has every call panic until it is told to [recover](Self::recover).
    pub fn panic(&self) {
        self.lock().failure = Some(Failure::Panic);
    }

    /// Has calls succeed again.
    pub fn recover(&self) {
        self.lock().failure = None;
    }

    /// Has every call take this long, by tokio's clock.
    pub fn slow(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Has every call wait until they are [released](Self::release).
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Lets calls that were held go on.
    pub fn release(&self) {
        self.is_held.send_replace(false);
    }

    /// Returns how many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls.values().sum()
    }

    /// Returns how many calls there were for a name or path.
    #[must_use]
    pub fn calls_of(&self, name: &str) -> usize {
        self.lock().calls.get(name).copied().unwrap_or_default()
    }

    /// Counts a call and lets it take its time. The values are those at its end.
    async fn call(&self, name: &str) -> Result<(), ProviderError> {
        let delay = {
            let mut state = self.lock();
            *state.calls.entry(name.to_owned()).or_default() += 1;
            state.delay
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // The sender lives as long as this does.
        let _ = self.is_held.subscribe().wait_for(|is_held| !is_held).await;
        let failure = self.lock().failure;
        match failure {
            None => Ok(()),
            Some(Failure::Kind(kind)) => Err(ProviderError::new(kind)),
            Some(Failure::Panic) => panic!("told to panic"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ParameterProvider for MemoryProvider {
    type Options = ();

    async fn get(&self, name: &str, (): &()) -> Result<Fetched, ProviderError> {
        self.call(name).await?;
        let value = self.lock().values.get(name).cloned();
        value.ok_or_else(ProviderError::not_found)
    }

    async fn get_multiple(
        &self,
        path: &str,
        (): &(),
    ) -> Result<Vec<(String, Fetched)>, ProviderError> {
        self.call(path).await?;
        let state = self.lock();
        let values = state.values.iter().filter_map(|(name, value)| {
            let name = crate::parameters::below(name, path)?;
            Some((name.to_owned(), value.clone()))
        });
        Ok(values.collect())
    }
}

impl Default for MemoryProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for MemoryProvider {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        let provider = Self::new();
        for (name, value) in values {
            provider.set(name, value);
        }
        provider
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for MemoryProvider {
    fn from(values: [(K, V); N]) -> Self {
        values.into_iter().collect()
    }
}

/// Shows the names only.
impl fmt::Debug for MemoryProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().values.keys()).finish()
    }
}
