//! Wall time, and its conversions.

use std::fmt;
use std::sync::Arc;

use aws_sdk_lambda::primitives::DateTime;
use jiff::Timestamp;

/// Where a mapping reads the time from. It decides how old records are.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub(super) fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that goes with tokio's, so that it can be paused.
    #[cfg(test)]
    pub(super) fn of_tokio() -> Self {
        let (epoch, start) = (
            Timestamp::from_second(1_700_000_000).expect("a year in range"),
            tokio::time::Instant::now(),
        );
        Self(Arc::new(move || epoch + start.elapsed()))
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A time of the AWS SDK; `None` when it is out of range.
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_sdk_keeps_its_milliseconds() {
        let time = timestamp(&DateTime::from_millis(1_545_084_650_987)).unwrap();
        assert_eq!(time.to_string(), "2018-12-17T22:10:50.987Z");
        assert_eq!(timestamp(&DateTime::from_secs(i64::MAX)), None);
    }
}
