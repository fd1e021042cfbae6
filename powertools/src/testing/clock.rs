use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::clock::Moment;

/// A clock that stands still until a test moves it; its clones are the same clock.
///
/// It begins at the time that it is made at.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use powertools::testing::Clock;
///
/// let clock = Clock::new();
/// let start = clock.now();
/// clock.clone().advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), start + Duration::from_secs(5));
///
/// clock.set(UNIX_EPOCH);
/// assert_eq!(clock.now(), UNIX_EPOCH);
/// ```
#[derive(Clone)]
pub struct Clock {
    moment: Arc<Mutex<Moment>>,
}

impl Clock {
    /// Makes a clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            moment: Arc::new(Mutex::new(Moment::now())),
        }
    }

    /// Returns the time, for whatever takes it by a closure.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.lock().wall
    }

    /// Lets time pass.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot represent the time afterwards.
    pub fn advance(&self, time: Duration) {
        let mut moment = self.lock();
        moment.monotonic += time;
        moment.wall += time;
    }

    /// Lets time pass as in an execution environment that Lambda has frozen: the clock on the wall
    /// moves, the one that measures time spans does not.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot represent the time afterwards.
    pub fn freeze(&self, time: Duration) {
        self.lock().wall += time;
    }

    /// Sets the clock on the wall, back or forth, as its synchronisation does.
    pub fn set(&self, time: SystemTime) {
        self.lock().wall = time;
    }

    #[cfg(feature = "parameters")]
    pub(crate) fn moment(&self) -> Moment {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Moment> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
