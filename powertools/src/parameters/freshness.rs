//! When a value that is cached may be served: plain rules over ages.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::{Clock, Moment};

/// How long a provider that has failed is left alone while there is something else to serve: this at
/// first, and twice as long with each further failure.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts restores from snapshots: what was fetched before one is out of date after it.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Makes everything that is cached anywhere in the process out of date.
pub(crate) fn outdate() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// What the user has configured, but for the bounds of the cache.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) max_age: Duration,
    pub(super) jitter: f64,
    pub(super) stale_if_error: Duration,
    pub(super) refresh_in_background: Duration,
    pub(super) not_found_age: Duration,
    pub(super) timeout: Duration,
    pub(super) max_value_bytes: usize,
    pub(super) metrics: bool,
    pub(super) clock: Clock,
}

/// When and how something was fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// The number of the fetch; later fetches have higher ones.
    pub(super) flight: u64,
    /// When the fetch began: a value may be as old as that.
    pub(super) fetched: Moment,
    pub(super) generation: u64,
    pub(super) current_for: Duration,
    /// By which share of the jitter it is out of date earlier, from 0 to below 1.
    pub(super) draw: f64,
    /// Whether it was fetched because its predecessor was refused somewhere.
    pub(super) after_refusal: bool,
    /// The last attempts to fetch it again, if they failed.
    pub(super) failed: Option<Failed>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    at: Moment,
    pause: Duration,
}

/// What is to be done with something that is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is served.
    Fresh,
    /// It is served, and fetched again by a task.
    Refresh,
    /// It is served as it is: the provider has just failed.
    Paused,
    /// It is fetched again, and served if that fails.
    Fallback,
    /// It is fetched again.
    Expired,
}

impl Stamp {
    /// Adds a failed attempt to fetch it again.
    pub(super) fn fail(&mut self, at: Moment) {
        let pause = match self.failed {
            Some(failed) => (failed.pause * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        self.failed = Some(Failed { at, pause });
    }

    /// Returns whether the provider is left alone after a failed attempt.
    fn is_paused(&self, now: &Moment) -> bool {
        self.failed
            .is_some_and(|failed| now.since(&failed.at) < failed.pause)
    }
}

impl Policy {
    /// Judges a value by the reader's max age.
    pub(super) fn judge(&self, stamp: &Stamp, max_age: Duration, now: &Moment) -> Verdict {
        if stamp.generation != generation() {
            return Verdict::Expired;
        }
        let age = now.since(&stamp.fetched);
        if age <= self.shortened(max_age, stamp).max(stamp.current_for) {
            return Verdict::Fresh;
        }
        let late_by = age.saturating_sub(max_age.max(stamp.current_for));
        let may_refresh =
            !self.refresh_in_background.is_zero() && late_by <= self.refresh_in_background;
        let may_fall_back = !self.stale_if_error.is_zero() && late_by <= self.stale_if_error;
        match (may_refresh, may_fall_back) {
            (false, false) => Verdict::Expired,
            _ if stamp.is_paused(now) => Verdict::Paused,
            (true, _) => Verdict::Refresh,
            (false, true) => Verdict::Fallback,
        }
    }

    /// Takes the jitter from a max age.
    fn shortened(&self, max_age: Duration, stamp: &Stamp) -> Duration {
        if self.jitter == 0.0 {
            return max_age;
        }
        max_age.saturating_sub(max_age.mul_f64(self.jitter * stamp.draw))
    }

    /// Judges that there is no such parameter.
    pub(super) fn judge_missing(&self, stamp: &Stamp, now: &Moment) -> Verdict {
        if stamp.generation != generation() || self.not_found_age.is_zero() {
            return Verdict::Expired;
        }
        let age = now.since(&stamp.fetched);
        if age <= self.not_found_age {
            return Verdict::Fresh;
        }
        let late_by = age.saturating_sub(self.not_found_age);
        if self.refresh_in_background.is_zero() || late_by > self.refresh_in_background {
            Verdict::Expired
        } else if stamp.is_paused(now) {
            Verdict::Paused
        } else {
            Verdict::Refresh
        }
    }
}

/// Returns a number from 0 to below 1. The keys of the standard library's hash maps are random, and
/// that is as much chance as is needed here. Environments that are restored from one snapshot have
/// the same keys, but not the same time.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
pub(super) fn draw(now: &Moment) -> f64 {
    let bits = RandomState::new().hash_one(now) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
