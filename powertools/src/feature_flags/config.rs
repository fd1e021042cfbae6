use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::Mismatch;

/// How many different things are warned of, so that names without end take no memory without end.
const MAX_WARNED: usize = 100;

type Clock = dyn Fn() -> SystemTime + Send + Sync;
type OnMismatch = dyn Fn(&Mismatch<'_>) -> bool + Send + Sync;

/// What is chosen for flags, shared by all that evaluates them.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) fail_when_unavailable: bool,
    pub(super) fail_on_unknown_flag: bool,
    pub(super) keep_last_good: bool,
    pub(super) metrics: bool,
    pub(super) log: bool,
    pub(super) now: Arc<Clock>,
    pub(super) on_mismatch: Option<Arc<OnMismatch>>,
    pub(super) warned: Arc<Warned>,
}

impl Config {
    pub(super) fn now(&self) -> SystemTime {
        (self.now)()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fail_when_unavailable: false,
            fail_on_unknown_flag: false,
            keep_last_good: true,
            metrics: false,
            log: false,
            now: Arc::new(SystemTime::now),
            on_mismatch: None,
            warned: Arc::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("fail_when_unavailable", &self.fail_when_unavailable)
            .field("fail_on_unknown_flag", &self.fail_on_unknown_flag)
            .field("keep_last_good", &self.keep_last_good)
            .field("metrics", &self.metrics)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// What has been warned of already.
#[derive(Default)]
pub(super) struct Warned {
    seen: Mutex<HashSet<Warning>>,
}

#[derive(PartialEq, Eq, Hash)]
pub(super) enum Warning {
    UnknownFlag(String),
    Mismatch {
        flag: String,
        rule: String,
        key: String,
    },
}

impl Warned {
    /// Returns whether it is the first time, and there is room to remember it.
    pub(super) fn is_first(&self, warning: Warning) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() < MAX_WARNED && seen.insert(warning)
    }
}
