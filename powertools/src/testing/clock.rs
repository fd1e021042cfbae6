use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

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
    time: Arc<Mutex<Time>>,
}

struct Time {
    /// What the clock on the wall says.
    wall: SystemTime,
    /// How much time has passed for ages, for which no clock goes back.
    #[cfg(feature = "parameters")]
    passed: crate::clock::Moment,
}

impl Clock {
    /// Makes a clock.
    #[must_use]
    pub fn new() -> Self {
        let time = Time {
            wall: SystemTime::now(),
            #[cfg(feature = "parameters")]
            passed: crate::clock::Clock::System.now(),
        };
        Self {
            time: Arc::new(Mutex::new(time)),
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
        let mut now = self.lock();
        now.wall += time;
        #[cfg(feature = "parameters")]
        {
            now.passed = now.passed.after(time);
        }
    }

    /// Sets the time, as the synchronisation of a clock does. Set back, it makes nothing younger;
    /// set forth, it is as if time had passed.
    pub fn set(&self, time: SystemTime) {
        let mut now = self.lock();
        #[cfg(feature = "parameters")]
        if let Ok(forth) = time.duration_since(now.wall) {
            now.passed = now.passed.after(forth);
        }
        now.wall = time;
    }

    #[cfg(feature = "parameters")]
    pub(crate) fn moment(&self) -> crate::clock::Moment {
        self.lock().passed
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
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
