//! What the tasks of a mapping go by.

use std::time::Duration;

use super::batch::Policy;

/// What an invocation may be sent at most, in bytes.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAXIMUM_PAYLOAD: usize = 6 * 1024 * 1024;

/// How long it takes until the first new try. Each next one takes twice as long as the one before.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest time between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// How often the shards are listed.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// The settings of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) stream_arn: String,
    pub(super) function_arn: String,
    pub(super) batch_size: usize,
    pub(super) batch_window: Duration,
    /// In bytes, with everything that belongs to the event.
    pub(super) payload_limit: usize,
    pub(super) poll_interval: Duration,
    pub(super) discovery_interval: Duration,
    pub(super) reports_failures: bool,
    pub(super) policy: Policy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream_arn: String::new(),
            function_arn: String::new(),
            batch_size: 1,
            batch_window: Duration::ZERO,
            payload_limit: MAXIMUM_PAYLOAD,
            poll_interval: DISCOVERY_INTERVAL,
            discovery_interval: DISCOVERY_INTERVAL,
            reports_failures: false,
            policy: Policy::default(),
        }
    }
}

/// How long to wait after so many failures in a row.
pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_BACKOFF * (1 << doublings)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_tries_doubles_up_to_a_limit() {
        let times = [1, 2, 3, 7, 8, u32::MAX].map(|failures| backoff(failures).as_millis());
        assert_eq!(times, [50, 100, 200, 3_200, 5_000, 5_000]);
    }
}
