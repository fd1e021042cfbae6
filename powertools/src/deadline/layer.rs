use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use tower_layer::Layer;

use super::{
    DeadlineService,
    guard::{Notice, Shared},
};
use crate::env::{self, Env};

/// What is kept of the time if nobody says otherwise.
///
/// Writing everything out takes far less than 10 ms of a CPU, but the smallest functions have a
/// fourteenth of one and get it in slices of 20 ms.
const MARGIN: Duration = Duration::from_millis(100);

/// Writes what the other tools hold shortly before Lambda ends an invocation that takes too long.
///
/// `A` is what happens to the handler then: it goes on ([`WatchOnly`]), or not ([`CutOff`]).
///
/// See the [module docs](super).
#[must_use]
pub struct DeadlineLayer<A = WatchOnly> {
    margin: Duration,
    metric: bool,
    watchdog: bool,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Why the environment's margin is not the layer's.
    notice: Option<Arc<str>>,
    action: PhantomData<fn() -> A>,
}

/// The handler goes on when its deadline is near; the error of a [`DeadlineLayer`] is its own.
#[derive(Clone, Copy, Debug)]
pub struct WatchOnly(());

/// The handler is dropped when its deadline is near, and a [`DeadlineLayer`] answers with a
/// [`DeadlineError`](super::DeadlineError).
#[derive(Clone, Copy, Debug)]
pub struct CutOff(());

impl DeadlineLayer {
    /// Makes a layer that the environment of the process configures, see
    /// [`from_env`](Self::from_env).
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a layer from environment variables. The other toolkits have no such tool; the names are
    /// ours.
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `POWERTOOLS_DEADLINE_MARGIN_MS` | [`margin`](Self::margin), a whole number | 100 |
    /// | `POWERTOOLS_DEADLINE_WATCHDOG` | [`watchdog`](Self::watchdog) | `false` |
    ///
    /// A margin that cannot be read, or is 0, counts as unset, and the first invocation warns of it.
    pub fn from_env(env: &Env) -> Self {
        let (margin, notice) = match margin(env) {
            Ok(margin) => (margin.unwrap_or(MARGIN), None),
            Err(notice) => (MARGIN, Some(notice.into())),
        };
        Self {
            margin,
            notice,
            metric: true,
            watchdog: env.flag(env::DEADLINE_WATCHDOG).unwrap_or(false),
            now: Arc::new(SystemTime::now),
            action: PhantomData,
        }
    }
}

impl<A> DeadlineLayer<A> {
    /// Sets how long before the deadline the layer acts.
    ///
    /// Defaults to `POWERTOOLS_DEADLINE_MARGIN_MS`, then to 100 ms. It is never more than half of the
    /// time that is left when the handler is called: a margin as long as the function's whole timeout
    /// would have every invocation warn.
    ///
    /// # Panics
    ///
    /// Panics if the margin is zero: nothing can be done then.
    #[track_caller]
    pub fn margin(mut self, margin: Duration) -> Self {
        assert!(
            !margin.is_zero(),
            "the margin before a deadline must not be zero"
        );
        self.margin = margin;
        self.notice = None;
        self
    }

    /// Says whether the metric `TimeoutImminent` is recorded. The warning is logged either way.
    ///
    /// Defaults to `true`. It takes feature `metrics` and a `MetricsLayer` around, and has the
    /// dimensions of the invocation's other metrics.
    pub fn metric(mut self, on: bool) -> Self {
        self.metric = on;
        self
    }

    /// Says whether a thread watches too, for handlers that [block](super#handlers-that-block) theirs.
    ///
    /// Defaults to `POWERTOOLS_DEADLINE_WATCHDOG`, then to `false`. One thread serves the process; it
    /// starts with the first invocation and sleeps until a deadline is near.
    pub fn watchdog(mut self, on: bool) -> Self {
        self.watchdog = on;
        self
    }

    /// Has the handler dropped at the margin: the layer answers
    /// [`DeadlineError::Exceeded`](super::DeadlineError::Exceeded) before Lambda ends the process.
    ///
    /// By default the handler goes on. What it has begun elsewhere is as unfinished as it would be
    /// by Lambda's timeout, but the process survives, with its connections and caches, and so do the
    /// invocations beside it. What the handler spawned goes on.
    pub fn cut_off(self) -> DeadlineLayer<CutOff> {
        DeadlineLayer {
            margin: self.margin,
            metric: self.metric,
            watchdog: self.watchdog,
            now: self.now,
            notice: self.notice,
            action: PhantomData,
        }
    }

    /// Sets the clock that tells how far away a deadline is, for tests. It is asked once in each
    /// invocation.
    ///
    /// Defaults to the system's.
    pub fn with_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }
}

/// Reads the margin, or says why it cannot be.
fn margin(env: &Env) -> Result<Option<Duration>, String> {
    let Some(text) = env.get(env::DEADLINE_MARGIN_MS) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Some(Duration::from_millis(milliseconds))),
        _ => Err(format!(
            "{} is not a positive whole number: {text:?}",
            env::DEADLINE_MARGIN_MS
        )),
    }
}

impl Default for DeadlineLayer {
    /// As [`DeadlineLayer::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl<A> Clone for DeadlineLayer<A> {
    fn clone(&self) -> Self {
        Self {
            margin: self.margin,
            metric: self.metric,
            watchdog: self.watchdog,
            now: Arc::clone(&self.now),
            notice: self.notice.clone(),
            action: PhantomData,
        }
    }
}

impl<S, A> Layer<S> for DeadlineLayer<A> {
    type Service = DeadlineService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService::new(
            inner,
            Shared {
                margin: self.margin,
                metric: self.metric,
                watchdog: self.watchdog,
                now: Arc::clone(&self.now),
                has_timers: AtomicBool::new(true),
                notice: Notice::new(self.notice.clone()),
            },
        )
    }
}

impl<A> fmt::Debug for DeadlineLayer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineLayer")
            .field("margin", &self.margin)
            .field("metric", &self.metric)
            .field("watchdog", &self.watchdog)
            .field("action", &format_args!("{}", std::any::type_name::<A>()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_wins_over_the_environment_and_that_over_the_default() {
        let layer = DeadlineLayer::from_env(&Env::default());
        assert_eq!((layer.margin, layer.watchdog), (MARGIN, false));

        let env = Env::from([
            (env::DEADLINE_MARGIN_MS, "250"),
            (env::DEADLINE_WATCHDOG, "yes"),
        ]);
        let layer = DeadlineLayer::from_env(&env);
        assert_eq!(layer.margin, Duration::from_millis(250));
        assert!(layer.watchdog);

        let layer = layer.margin(Duration::from_secs(1)).watchdog(false);
        assert_eq!(
            (layer.margin, layer.watchdog),
            (Duration::from_secs(1), false)
        );
    }

    #[test]
    fn a_margin_that_cannot_be_read_counts_as_unset() {
        for text in ["0", "-1", "1.5", "1s", "99999999999999999999"] {
            let env = Env::from([(env::DEADLINE_MARGIN_MS, text)]);
            assert_eq!(DeadlineLayer::from_env(&env).margin, MARGIN, "{text}");
        }
    }

    #[test]
    #[should_panic = "the margin before a deadline must not be zero"]
    fn a_margin_of_zero_panics() {
        let _ = DeadlineLayer::from_env(&Env::default()).margin(Duration::ZERO);
    }
}
