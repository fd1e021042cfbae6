//! What the layer itself records of an invocation, when it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tracing::warn;

use super::{Metric, Unit, config::Config, memory, recorder::FlushOnDrop};
use crate::{Invocation, classify::Outcome};

const ERRORS: Metric = Metric::new("Errors", Unit::Count);
const THROTTLES: Metric = Metric::new("Throttles", Unit::Count);
const FAULTS: Metric = Metric::new("Faults", Unit::Count);
const PANICS: Metric = Metric::new("Panics", Unit::Count);
const DURATION: Metric = Metric::new("Duration", Unit::Milliseconds);
const REMAINING_TIME: Metric = Metric::new("RemainingTime", Unit::Milliseconds);
const MEMORY_UTILIZATION: Metric = Metric::new("MemoryUtilization", Unit::Percent);
const BATCH_SIZE: Metric = Metric::new("BatchSize", Unit::Count);

/// What the layer was asked to do at each invocation's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    pub(super) errors: bool,
    pub(super) duration: bool,
    pub(super) remaining_time: bool,
    pub(super) memory: bool,
    pub(super) batch_size: bool,
    pub(super) warn_if_empty: bool,
}

impl Switches {
    /// Returns whether a metric of this name is one that the layer records.
    pub(super) fn records(&self, name: &str) -> bool {
        let is_one_of = |metrics: &[Metric]| metrics.iter().any(|metric| metric.name() == name);
        (self.errors && is_one_of(&[ERRORS, THROTTLES, FAULTS, PANICS]))
            || (self.duration && is_one_of(&[DURATION]))
            || (self.remaining_time && is_one_of(&[REMAINING_TIME]))
            || (self.memory && is_one_of(&[MEMORY_UTILIZATION]))
            || (self.batch_size && is_one_of(&[BATCH_SIZE]))
    }
}

/// A call of the layer's service. When it is dropped, what the layer was asked to record is
/// recorded, and what is pending is written.
#[derive(Debug)]
pub(super) struct Call {
    /// How it ends if it is dropped now.
    end: End,
    /// What is recorded: nothing for a call inside of another of the same invocation.
    own: Option<Own>,
    flush: FlushOnDrop,
    invocation: Invocation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered(Outcome),
    Cancelled,
    Panicked,
}

/// What has to be known from a call's beginning.
#[derive(Clone, Copy, Debug)]
struct Own {
    switches: Switches,
    /// `None` unless the duration is asked for: a clock is not free.
    started: Option<Instant>,
    /// Epoch, in ms; 0 if there is none.
    deadline: u64,
    /// In MB; 0 if it is not known.
    memory_size: i32,
    batch_size: Option<usize>,
}

impl Call {
    pub(super) fn begin(config: &Arc<Config>, invocation: &Invocation) -> Self {
        let flush = FlushOnDrop::enter(config, invocation);
        let is_asked = config.switches != Switches::default() && !config.disabled;
        let own = (is_asked && flush.is_outermost()).then(|| {
            let context = invocation.context();
            Own {
                switches: config.switches,
                started: config.switches.duration.then(Instant::now),
                deadline: context.deadline,
                memory_size: context.env_config.memory,
                batch_size: None,
            }
        });
        Self {
            end: End::Cancelled,
            own,
            flush,
            invocation: invocation.clone(),
        }
    }

    /// Runs the handler's code. If it unwinds, the call has panicked, whenever it is dropped: the
    /// runtime catches the panic around our future, and drops the future later, when nothing panics
    /// any more.
    pub(super) fn run<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.end = End::Panicked;
        let running = self.flush.run();
        let result = f(self);
        drop(running);
        self.end = End::Cancelled;
        result
    }

    /// Keeps the number of the request's items.
    pub(super) fn count(&mut self, batch_size: impl FnOnce() -> Option<usize>) {
        if let Some(own) = &mut self.own {
            own.batch_size = batch_size();
        }
    }

    /// Ends the call, or has it end with the response's body. Its outcome is found if it is asked for.
    pub(super) fn answer(mut self, outcome: impl FnOnce() -> Outcome) {
        if self.own.is_some_and(|own| own.switches.errors) {
            self.end = End::Answered(self.run(|_| outcome()));
        }
        let invocation = self.invocation.clone();
        drop(invocation.keep_to_end(self));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(own) = self.own {
            own.record(self.end, &self.flush);
        }
    }
}

impl Own {
    fn record(self, end: End, metrics: &FlushOnDrop) {
        let switches = self.switches;
        // Before the layer's own: what is missed is the handler's.
        if switches.warn_if_empty && !metrics.has_recorded() {
            warn!("no metric was recorded by the handler");
        }
        if switches.errors {
            for (metric, is_so) in outcomes(end) {
                metrics.record(&metric, u8::from(is_so));
            }
        }
        if let Some(started) = self.started {
            metrics.record(&DURATION, started.elapsed());
        }
        if switches.remaining_time
            && let Some(remaining) = remaining_time(self.deadline, SystemTime::now())
        {
            metrics.record(&REMAINING_TIME, remaining);
        }
        if switches.memory
            && let Some(percent) =
                memory::peak().and_then(|used| memory::utilization(used, self.memory_size))
        {
            metrics.record(&MEMORY_UTILIZATION, percent);
        }
        if let Some(items) = self.batch_size {
            metrics.record(&BATCH_SIZE, items);
        }
    }
}

/// Each is there at every end, so that its average is a rate.
fn outcomes(end: End) -> [(Metric, bool); 4] {
    let is = |outcome| end == End::Answered(outcome);
    let has_panicked = end == End::Panicked;
    let is_fault = is(Outcome::Fault) || has_panicked || end == End::Cancelled;
    [
        (ERRORS, is(Outcome::Error)),
        (THROTTLES, is(Outcome::Throttle)),
        (FAULTS, is_fault),
        (PANICS, has_panicked),
    ]
}

/// Returns the time that is left until the deadline, none if it is past.
fn remaining_time(deadline: u64, now: SystemTime) -> Option<Duration> {
    // Outside of Lambda there may be none.
    let deadline = (deadline > 0).then(|| Duration::from_millis(deadline))?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(deadline.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_at_most_one_of_error_throttle_and_fault() {
        let names = |end| {
            let outcomes = outcomes(end).into_iter();
            let so = outcomes.filter_map(|(metric, is_so)| is_so.then_some(metric));
            so.map(|metric| metric.name().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(End::Answered(Outcome::Success)), [""; 0]);
        assert_eq!(names(End::Answered(Outcome::Error)), ["Errors"]);
        assert_eq!(names(End::Answered(Outcome::Throttle)), ["Throttles"]);
        assert_eq!(names(End::Answered(Outcome::Fault)), ["Faults"]);
        assert_eq!(names(End::Cancelled), ["Faults"]);
        assert_eq!(names(End::Panicked), ["Faults", "Panics"]);
    }

    #[test]
    fn the_remaining_time_is_never_less_than_none() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_392_000_000);
        let remaining = |deadline| remaining_time(deadline, now).map(|time| time.as_millis());
        assert_eq!(remaining(1_795_392_000_250), Some(250));
        assert_eq!(remaining(1_795_392_000_000), Some(0));
        assert_eq!(remaining(1_795_391_999_999), Some(0));
        assert_eq!(remaining(0), None);
        assert!(remaining(u64::MAX).is_some());
        let before_the_epoch = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(
            remaining_time(7, before_the_epoch),
            Some(Duration::from_millis(7))
        );
    }

    #[test]
    fn only_the_names_of_what_is_switched_on_are_the_layers() {
        let off = Switches::default();
        let switches = [
            (
                Switches {
                    errors: true,
                    ..off
                },
                &["Errors", "Throttles", "Faults", "Panics"][..],
            ),
            (
                Switches {
                    duration: true,
                    ..off
                },
                &["Duration"],
            ),
            (
                Switches {
                    remaining_time: true,
                    ..off
                },
                &["RemainingTime"],
            ),
            (
                Switches {
                    memory: true,
                    ..off
                },
                &["MemoryUtilization"],
            ),
            (
                Switches {
                    batch_size: true,
                    ..off
                },
                &["BatchSize"],
            ),
            (
                Switches {
                    warn_if_empty: true,
                    ..off
                },
                &[],
            ),
        ];
        let all = || switches.iter().flat_map(|(_, names)| *names);
        assert_eq!(all().count(), 8);
        for (switches, names) in &switches {
            for name in all() {
                assert_eq!(switches.records(name), names.contains(name), "{name}");
                assert!(!off.records(name));
            }
        }
    }
}
