//! What becomes of the records of one batch: a state machine without time and without IO.
//!
//! A batch is a row of records, of which a shrinking part is left. That part is cut into ranges; the function is invoked
//! with the first of them until it is acknowledged, cut further, or given up. So the order of a shard is kept, and no
//! record is left out: whatever the function answers, every record ends either acknowledged or given up, once.

use std::ops::Range;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How often, how long and in which portions failed records are tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Policy {
    /// Whether a failed range is cut in two.
    pub(super) bisect_on_error: bool,
    /// How often a range is tried again after its first failure; `None` is without end.
    pub(super) maximum_retry_attempts: Option<u32>,
    /// How old a record may be that the function gets; `None` is without limit.
    pub(super) maximum_record_age: Option<Duration>,
}

/// What an invocation came to. Indices count from the start of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All records were processed.
    Success,
    /// The records before this one were processed.
    FailedAt(usize),
    /// Nothing is known to be processed.
    Failure,
    /// The function was not reached: it was throttled, or the service failed.
    NotInvoked,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Invoke the function with these records, and say how that went.
    Invoke(Range<usize>),
    /// Tell the on-failure destination about these records; they are done with.
    GiveUp(Discarded),
}

/// Records that were given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discarded {
    /// Which.
    pub(super) records: Range<usize>,
    /// Why.
    pub(super) condition: Condition,
    /// How often the function was invoked with exactly this range.
    pub(super) invocations: u32,
}

/// Why records were given up. The names are AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) enum Condition {
    /// The function failed on them more often than they may be tried again.
    RetryAttemptsExhausted,
    /// They are too old.
    RecordAgeExceeded,
}

/// What an outcome changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The records that are acknowledged by it. The checkpoint is the last of them.
    pub(super) acknowledged: Range<usize>,
    /// What happens to the others of the range.
    pub(super) others: Others,
}

/// What happens to records of a range that were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// There are none.
    None,
    /// They are a range of their own now, tried at once.
    Rest,
    /// They are two ranges now, tried at once, one after the other.
    Halves,
    /// They are tried again after a pause: so many attempts in a row have failed.
    Again(u32),
    /// They are given up.
    GivenUp,
}

/// The part of a batch that is left.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    policy: Policy,
    arrivals: Vec<Timestamp>,
    /// The first record that is neither acknowledged nor given up.
    start: usize,
    /// The ends of the ranges that are left; the last one is that of the range under way.
    ends: Vec<usize>,
    /// How often the function got the range under way, and failed.
    invocations: u32,
    /// How often in a row the function was not reached.
    unreached: u32,
    /// Whether the range under way may not be tried again.
    exhausted: bool,
}

impl Batch {
    /// A batch of records that arrived in their stream at these times.
    pub(super) fn new(policy: Policy, arrivals: Vec<Timestamp>) -> Self {
        let ends = if arrivals.is_empty() {
            vec![]
        } else {
            vec![arrivals.len()]
        };
        Self {
            policy,
            arrivals,
            start: 0,
            ends,
            invocations: 0,
            unreached: 0,
            exhausted: false,
        }
    }

    /// What to do next; `None` when every record is done with.
    pub(super) fn step(&mut self, now: Timestamp) -> Option<Step> {
        let end = *self.ends.last()?;
        if self.exhausted {
            return Some(self.give_up(end, Condition::RetryAttemptsExhausted));
        }
        let too_old = self.arrivals[self.start..end]
            .iter()
            .take_while(|arrival| self.is_too_old(**arrival, now))
            .count();
        if too_old > 0 {
            return Some(self.give_up(self.start + too_old, Condition::RecordAgeExceeded));
        }
        Some(Step::Invoke(self.start..end))
    }

    /// Takes in how the invocation went that [`step`](Self::step) asked for.
    pub(super) fn record(&mut self, outcome: Outcome) -> Progress {
        let start = self.start;
        let Some(&end) = self.ends.last() else {
            return Progress {
                acknowledged: start..start,
                others: Others::None,
            };
        };
        let others = match outcome {
            Outcome::Success => {
                self.advance(end);
                Others::None
            }
            Outcome::FailedAt(failed) if start < failed && failed < end => {
                self.start = failed;
                self.begin_range();
                Others::Rest
            }
            // A report that names the first record acknowledges nothing; one that names a record elsewhere is no report.
            Outcome::FailedAt(_) | Outcome::Failure => self.fail(end),
            Outcome::NotInvoked => {
                self.unreached = self.unreached.saturating_add(1);
                Others::Again(self.unreached)
            }
        };
        Progress {
            acknowledged: start..self.start,
            others,
        }
    }

    fn fail(&mut self, end: usize) -> Others {
        if self.policy.bisect_on_error && end - self.start > 1 {
            self.ends.push(self.start + (end - self.start) / 2);
            self.begin_range();
            return Others::Halves;
        }
        self.unreached = 0;
        self.invocations = self.invocations.saturating_add(1);
        self.exhausted = self
            .policy
            .maximum_retry_attempts
            .is_some_and(|maximum| self.invocations > maximum);
        if self.exhausted {
            Others::GivenUp
        } else {
            Others::Again(self.invocations)
        }
    }

    fn give_up(&mut self, end: usize, condition: Condition) -> Step {
        let discarded = Discarded {
            records: self.start..end,
            condition,
            invocations: self.invocations,
        };
        self.advance(end);
        Step::GiveUp(discarded)
    }

    fn advance(&mut self, to: usize) {
        self.start = to;
        if self.ends.last() == Some(&to) {
            self.ends.pop();
            self.begin_range();
        }
    }

    fn begin_range(&mut self) {
        self.invocations = 0;
        self.unreached = 0;
        self.exhausted = false;
    }

    fn is_too_old(&self, arrival: Timestamp, now: Timestamp) -> bool {
        let limit = self
            .policy
            .maximum_record_age
            .and_then(|age| SignedDuration::try_from(age).ok());
        limit.is_some_and(|limit| now.duration_since(arrival) > limit)
    }
}

#[cfg(test)]
mod tests;
