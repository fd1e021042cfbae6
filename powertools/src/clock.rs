//! What time it is, as far as ages are concerned.

use std::time::{Duration, Instant, SystemTime};

/// A moment by two clocks, because each of them alone can hide time that has passed: Lambda freezes
/// an execution environment between invocations, and the clock on the wall can be set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) monotonic: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Returns how much time has passed since an earlier moment: what the clock says that has moved
    /// further.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        monotonic.max(wall)
    }
}

/// The system's clocks, or those of a test.
#[cfg(feature = "parameters")]
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(feature = "testing")]
    Settable(crate::testing::Clock),
}

#[cfg(feature = "parameters")]
impl Clock {
    pub(crate) fn now(&self) -> Moment {
        match self {
            Self::System => Moment::now(),
            #[cfg(feature = "testing")]
            Self::Settable(clock) => clock.moment(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_passes_by_the_clock_that_has_moved_further() {
        let then = Moment::now();
        let frozen = Moment {
            wall: then.wall + 600 * SECOND,
            ..then
        };
        assert_eq!(frozen.since(&then), 600 * SECOND);
        let set_back = Moment {
            monotonic: then.monotonic + 5 * SECOND,
            wall: then.wall - 3600 * SECOND,
        };
        assert_eq!(set_back.since(&then), 5 * SECOND);
        assert_eq!(then.since(&frozen), Duration::ZERO);
    }
}
