use std::{fmt, sync::Arc, time::Duration};

use super::{
    Get, GetMultiple, ParameterProvider, SecretError, Value,
    cache::{Bounds, Store},
    freshness::Policy,
};
use crate::{
    clock::Clock,
    env::{self, Env},
};

/// How old a value may be if nobody says otherwise, as with most of the other toolkits.
const MAX_AGE: Duration = Duration::from_secs(5);
/// How long one fetch may take. The clients of AWS have retried several times by then.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ENTRIES: u64 = 1000;
/// All that is kept: an eighth of what the smallest function has.
const MAX_BYTES: u64 = 16 << 20;
/// Twice the largest configuration that AppConfig stores unless told otherwise; all others are far
/// smaller.
///
/// Source: <https://docs.aws.amazon.com/general/latest/gr/appconfig.html>
const MAX_VALUE_BYTES: usize = 4 << 20;

/// Parameters of a [provider](ParameterProvider), cached.
///
/// Cloning is cheap, and clones share what is cached and what is being fetched. What is set on a
/// clone, but for the bounds of the cache, holds for its own reads.
///
/// See the [module docs](super).
#[must_use]
pub struct Parameters<P: ParameterProvider> {
    store: Arc<Store<P>>,
    bounds: Bounds,
    policy: Policy,
}

impl<P: ParameterProvider> Parameters<P> {
    /// Makes one that the environment of the process configures, see [`from_env`](Self::from_env).
    pub fn new(provider: P) -> Self {
        Self::from_env(provider, &Env::process())
    }

    /// Makes one from environment variables.
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `POWERTOOLS_PARAMETERS_MAX_AGE` | [`max_age`](Self::max_age), in seconds, `0.5` for half of one | 5 |
    ///
    /// A max age that cannot be read counts as unset, and one below zero as zero.
    pub fn from_env(provider: P, env: &Env) -> Self {
        let bounds = Bounds {
            entries: MAX_ENTRIES,
            bytes: MAX_BYTES,
        };
        Self {
            store: Arc::new(Store::new(Arc::new(provider), bounds)),
            bounds,
            policy: Policy {
                max_age: max_age(env).unwrap_or(MAX_AGE),
                jitter: 0.0,
                stale_if_error: Duration::ZERO,
                refresh_in_background: Duration::ZERO,
                not_found_age: Duration::ZERO,
                timeout: TIMEOUT,
                max_value_bytes: MAX_VALUE_BYTES,
                metrics: false,
                clock: Clock::default(),
            },
        }
    }

    /// Sets how old a value may be when it is read, unless the read says otherwise. With zero nothing
    /// is kept.
    ///
    /// Defaults to `POWERTOOLS_PARAMETERS_MAX_AGE`, then to 5 s.
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.policy.max_age = max_age;
        self
    }

    /// Has each value become too old earlier, by a share of the max age that is drawn for it from zero
    /// to this. So execution environments that started together do not all fetch together for ever.
    ///
    /// Defaults to 0.
    ///
    /// # Panics
    ///
    /// Panics if the share is not from 0 to 1.
    #[track_caller]
    pub fn jitter(mut self, share: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&share),
            "the jitter must be a share from 0 to 1"
        );
        self.policy.jitter = share;
        self
    }

    /// Has a value served that is older than the max age by at most this, if it cannot be fetched
    /// again because the provider fails, throttles or is too slow. After a failure the provider is
    /// left alone for a second, then for twice as long each time, up to half a minute.
    ///
    /// Not served are a parameter that does not exist any more or may not be read any more, one whose
    /// fetch was [forced](Get::force_fetch), and a value from before a SnapStart snapshot.
    ///
    /// Defaults to zero: the error is returned.
    pub const fn stale_if_error(mut self, time: Duration) -> Self {
        self.policy.stale_if_error = time;
        self
    }

    /// Has a value that is older than the max age by at most this served at once, while a task
    /// fetches it again: readers do not wait.
    ///
    /// There is one such task a parameter, it ends by the [`timeout`](Self::timeout), and nothing
    /// waits for it; see [freezing](super#between-invocations).
    ///
    /// Defaults to zero: readers wait for the fetch.
    pub const fn refresh_in_background(mut self, time: Duration) -> Self {
        self.policy.refresh_in_background = time;
        self
    }

    /// Has it remembered that a parameter does not exist, for this time. With
    /// [`refresh_in_background`](Self::refresh_in_background) it is said for that much longer, while a
    /// task looks for the parameter again.
    ///
    /// It is never said in place of another error.
    ///
    /// Defaults to zero: it is looked for with each read.
    pub const fn cache_not_found(mut self, time: Duration) -> Self {
        self.policy.not_found_age = time;
        self
    }

    /// Sets how many names and paths are kept at the most; those that were not read for the longest
    /// time give way.
    ///
    /// It begins a cache of its own, which clones made before do not share. So does
    /// [`max_bytes`](Self::max_bytes).
    ///
    /// Defaults to 1000.
    pub fn max_entries(self, entries: u64) -> Self {
        let bounds = Bounds {
            entries,
            ..self.bounds
        };
        self.bounded(bounds)
    }

    /// Sets how many bytes of values are kept at the most. What was parsed from them is not counted.
    ///
    /// Each value counts at least its share by the number of [entries](Self::max_entries). What is
    /// larger than the whole is served, and not kept.
    ///
    /// Defaults to 16 MiB.
    pub fn max_bytes(self, bytes: u64) -> Self {
        let bounds = Bounds {
            bytes,
            ..self.bounds
        };
        self.bounded(bounds)
    }

    fn bounded(self, bounds: Bounds) -> Self {
        let provider = Arc::clone(self.store.provider());
        Self {
            store: Arc::new(Store::new(provider, bounds)),
            bounds,
            ..self
        }
    }

    /// Sets how many bytes one value may have, also one below a path; a larger one is an error.
    ///
    /// Defaults to 4 MiB.
    pub const fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.policy.max_value_bytes = bytes;
        self
    }

    /// Sets how long one fetch may take, with all the attempts that the provider makes.
    ///
    /// Defaults to 5 s. It takes tokio's timers, which are on under `#[tokio::main]`.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = timeout;
        self
    }

    /// Says whether reads are counted in the running invocation's [metrics](super#metrics).
    ///
    /// Defaults to `false`. It takes feature `metrics` and a `MetricsLayer` around.
    pub const fn metrics(mut self, on: bool) -> Self {
        self.policy.metrics = on;
        self
    }

    /// Sets the clock that ages are told by.
    ///
    /// Defaults to the system's.
    #[cfg(feature = "testing")]
    pub fn with_clock(mut self, clock: &crate::testing::Clock) -> Self {
        self.policy.clock = Clock::Settable(clock.clone());
        self
    }

    /// Reads a parameter, when what this returns is awaited.
    ///
    /// # Errors
    ///
    /// Fails if it is not kept, or too old, and cannot be fetched.
    pub fn get<'a>(&'a self, name: &'a str) -> Get<'a, P> {
        Get::new(self, name)
    }

    /// Reads the parameters below a path, when what this returns is awaited. They are kept apart from
    /// those that are read one by one.
    ///
    /// # Errors
    ///
    /// Fails if they are not kept, or too old, and cannot be fetched, and if the provider knows no
    /// paths.
    pub fn get_multiple<'a>(&'a self, path: &'a str) -> GetMultiple<'a, P> {
        GetMultiple::new(self, path)
    }

    /// Runs something with a secret, and once more with a newer one if the first was refused: a
    /// secret that has been rotated is still cached for a while.
    ///
    /// When the error says that the secret was refused, it is fetched again, once for all who are
    /// refused at the same time. If that brings the same secret it is not tried again; the refusal is
    /// returned then, and also if the fetch fails, with a warning.
    ///
    /// What was fetched because of a refusal is not fetched for another one within 5 s, so a secret
    /// that is wrong for good costs no request with each attempt. With a [max age](Self::max_age) of
    /// zero there is no such pause.
    ///
    /// # Errors
    ///
    /// Fails if there is no secret to begin with, or with the error of what was run.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use powertools::{parameters::{Parameters, Value}, testing::MemoryProvider};
    ///
    /// #[derive(Debug, PartialEq)]
    /// enum LogIn { Refused }
    ///
    /// async fn log_in(password: Value) -> Result<&'static str, LogIn> {
    ///     match password.as_str() {
    ///         Ok("new") => Ok("welcome"),
    ///         _ => Err(LogIn::Refused),
    ///     }
    /// }
    ///
    /// let provider = MemoryProvider::from([("db/password", "old")]);
    /// let parameters = Parameters::new(provider.clone());
    /// parameters.get("db/password").await?;
    /// provider.set("db/password", "new");
    ///
    /// let is_refused = |error: &LogIn| *error == LogIn::Refused;
    /// let greeting = parameters.with_secret("db/password", log_in, is_refused).await;
    /// assert_eq!(greeting.unwrap(), "welcome");
    /// # Ok::<_, powertools::parameters::ParameterError>(())
    /// # }).unwrap();
    /// ```
    pub async fn with_secret<T, E, F>(
        &self,
        name: &str,
        run: impl FnMut(Value) -> F,
        is_refused: impl Fn(&E) -> bool,
    ) -> Result<T, SecretError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.get(name).with_secret(run, is_refused).await
    }

    /// Forgets a name or path, whatever the options. The memory is wiped when nobody else holds the
    /// value, which the cache itself may for a moment longer.
    pub fn forget(&self, name: &str) {
        self.store.forget(name);
    }

    /// Forgets everything, see [`forget`](Self::forget).
    pub fn clear(&self) {
        self.store.clear();
    }

    /// Returns the provider.
    #[must_use]
    pub fn provider(&self) -> &P {
        self.store.provider()
    }

    pub(super) const fn store(&self) -> &Arc<Store<P>> {
        &self.store
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Reads the max age of the environment. Numbers beyond what a duration holds are as good as unset.
fn max_age(env: &Env) -> Option<Duration> {
    let seconds: f64 = env.get(env::PARAMETERS_MAX_AGE)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .filter(|_| !seconds.is_nan())
}

impl<P: ParameterProvider> Clone for Parameters<P> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            bounds: self.bounds,
            policy: self.policy.clone(),
        }
    }
}

impl<P: ParameterProvider> fmt::Debug for Parameters<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("store", &self.store)
            .field("bounds", &self.bounds)
            .field("policy", &self.policy)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_max_age_of_the_environment_is_a_number_of_seconds() {
        let of = |text| max_age(&Env::from([(env::PARAMETERS_MAX_AGE, text)]));
        assert_eq!(of("300"), Some(Duration::from_secs(300)));
        assert_eq!(of(" 0.25 "), Some(Duration::from_millis(250)));
        for none in ["0", "-1", "-inf"] {
            assert_eq!(of(none), Some(Duration::ZERO), "{none}");
        }
        for garbage in ["", "five", "5s", "NaN", "1e30", "inf"] {
            assert_eq!(of(garbage), None, "{garbage}");
        }
    }
}
