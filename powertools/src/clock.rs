//! What time it is, as far as ages are concerned.
//!
//! Each of the system's clocks alone can hide that time has passed: the monotonic one may stand still
//! while Lambda has frozen the execution environment, and the one on the wall can be set back. So both
//! are joined to a time that only goes on, always by the clock that has moved further.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// For how many nanoseconds after a look at both clocks that on the wall is believed alone, which saves
/// half the time. It can hide a time that it is set back by, if it comes to stand within the very
/// millisecond after that look.
const BELIEVED: u64 = 1_000_000;

/// A moment of the joined time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Returns how much time has passed since an earlier moment.
    pub(crate) const fn since(&self, earlier: &Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The system's clocks, or that of a test.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(feature = "testing")]
    Settable(crate::testing::Clock),
}

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        static SYSTEM: Timeline = Timeline::new();
        match self {
            Self::System => SYSTEM.now(wall, Instant::now),
            #[cfg(feature = "testing")]
            Self::Settable(clock) => clock.moment(),
        }
    }
}

/// Returns the nanoseconds of the clock on the wall since the epoch.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Two clocks that are joined.
struct Timeline {
    /// What the clock on the wall said at the last look at both.
    looked: AtomicU64,
    /// By how much the joined time is ahead of the clock on the wall.
    ahead: AtomicU64,
    last: Mutex<Option<Look>>,
}

/// A look at both clocks, and what time it was.
struct Look {
    monotonic: Instant,
    wall: u64,
    time: u64,
}

impl Timeline {
    const fn new() -> Self {
        Self {
            looked: AtomicU64::new(u64::MAX),
            ahead: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    fn now(&self, wall: impl Fn() -> u64, monotonic: impl Fn() -> Instant) -> Moment {
        let looked = self.looked.load(Ordering::Acquire);
        let since = wall().wrapping_sub(looked);
        if since < BELIEVED {
            return Moment(looked + since + self.ahead.load(Ordering::Relaxed));
        }
        self.look(wall, monotonic)
    }

    #[cold]
    fn look(&self, wall: impl Fn() -> u64, monotonic: impl Fn() -> Instant) -> Moment {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, monotonic) = (wall(), monotonic());
        let time = last.as_ref().map_or(wall, |last| {
            let measured = monotonic
                .saturating_duration_since(last.monotonic)
                .as_nanos();
            let measured = u64::try_from(measured).unwrap_or(u64::MAX);
            last.time + measured.max(wall.saturating_sub(last.wall))
        });
        *last = Some(Look {
            monotonic,
            wall,
            time,
        });
        // In this order: who sees the look sees by how much the time is ahead.
        self.ahead.store(time - wall, Ordering::Relaxed);
        self.looked.store(wall, Ordering::Release);
        Moment(time)
    }
}

#[cfg(feature = "testing")]
impl Moment {
    /// Returns the moment after some time.
    pub(crate) fn after(self, time: Duration) -> Self {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(time))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// Two clocks that a test moves, each by itself, and joined ones that begin with them.
    struct Clocks {
        wall: Cell<u64>,
        monotonic: Cell<Instant>,
        looks: Cell<u32>,
        joined: Timeline,
        start: Moment,
    }

    impl Clocks {
        fn new() -> Self {
            let mut clocks = Self {
                wall: Cell::new(1_700_000_000_000_000_000),
                monotonic: Cell::new(Instant::now()),
                looks: Cell::new(0),
                joined: Timeline::new(),
                start: Moment(0),
            };
            clocks.start = clocks.now();
            clocks
        }

        fn move_by(&self, wall: i64, monotonic: u64) {
            self.wall.set(self.wall.get().strict_add_signed(wall));
            let then = self.monotonic.get();
            self.monotonic.set(then + Duration::from_nanos(monotonic));
        }

        fn now(&self) -> Moment {
            let monotonic = || {
                self.looks.set(self.looks.get() + 1);
                self.monotonic.get()
            };
            self.joined.now(|| self.wall.get(), monotonic)
        }

        fn passed(&self) -> u64 {
            self.now().since(&self.start).as_nanos() as u64
        }
    }

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn time_passes_by_the_clock_that_has_moved_further() {
        let clocks = Clocks::new();
        clocks.move_by(MINUTE as i64, 0);
        assert_eq!(clocks.passed(), MINUTE, "frozen");
        clocks.move_by(-100 * MINUTE as i64, MINUTE);
        assert_eq!(clocks.passed(), 2 * MINUTE, "set back");
        clocks.move_by(MINUTE as i64, MINUTE);
        assert_eq!(clocks.passed(), 3 * MINUTE, "after that");
        clocks.move_by(0, 0);
        assert_eq!(clocks.passed(), 3 * MINUTE, "standing still");
    }

    #[test]
    fn one_clock_is_enough_shortly_after_a_look_at_both() {
        let clocks = Clocks::new();
        assert_eq!(clocks.looks.get(), 1);
        for step in 1..10 {
            clocks.move_by(100_000, 100_000);
            assert_eq!(clocks.passed(), step * 100_000);
        }
        assert_eq!(clocks.looks.get(), 1);
        clocks.move_by(100_000, 100_000);
        assert_eq!(clocks.passed(), 1_000_000);
        assert_eq!(clocks.looks.get(), 2);
        // However little it is set back.
        clocks.move_by(-1, 5);
        assert_eq!(clocks.passed(), 1_000_005);
        assert_eq!(clocks.looks.get(), 3);
    }

    #[test]
    fn threads_see_time_go_on() {
        let clock = Clock::System;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let start = (clock.now(), Instant::now());
                    while start.1.elapsed() < Duration::from_millis(20) {
                        let earlier = clock.now();
                        std::hint::black_box(&earlier);
                    }
                    let passed = clock.now().since(&start.0);
                    assert!(passed >= Duration::from_millis(19), "{passed:?}");
                });
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn time_is_the_sum_of_what_has_passed_between_looks(
            steps in prop::collection::vec((-5000..5000_i64, 0..5000_u64), 0..50),
        ) {
            let clocks = Clocks::new();
            let mut passed = 0;
            for (wall, monotonic) in steps {
                // A step is never within the time in which the clock on the wall is believed.
                let (wall, monotonic) = (wall * 1_000_000, monotonic * 1_000_000);
                clocks.move_by(wall, monotonic);
                let moved = u64::try_from(wall).unwrap_or_default();
                if wall == 0 {
                    // The clock on the wall stands where it was looked at: it is believed.
                    clocks.move_by(1_000_000, 0);
                    passed += monotonic.max(1_000_000);
                } else {
                    passed += monotonic.max(moved);
                }
                prop_assert_eq!(clocks.passed(), passed);
            }
        }
    }
}
