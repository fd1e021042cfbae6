use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use tokio::{sync::oneshot, time::Instant};

use super::{CloudWatchError, buffer::Buffer, limits::window, request::Request};
use crate::metrics::batch::Flushed;

/// What the sink was given.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) flush_interval: Duration,
    pub(super) max_series: usize,
    pub(super) max_values: usize,
    pub(super) request_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) retry_delay: RangeInclusive<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(60),
            max_series: 10_000,
            max_values: 100_000,
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            retry_delay: Duration::from_secs(1)..=Duration::from_secs(60),
        }
    }
}

/// Who waits for a flush.
pub(super) type Waiter = oneshot::Sender<Result<(), CloudWatchError>>;

/// What the handles and the task share. Nothing in here logs or calls foreign code: it is used
/// under a lock, and what logs may record metrics itself.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) settings: Settings,
    /// What was recorded since the round began that is under way, or since the last one.
    incoming: Buffer,
    /// What the round sends, and what it could not send.
    outgoing: Buffer,
    /// How many recorded values the request has that is under way.
    in_flight: u64,
    dropped: u64,
    /// How many of them were outside of CloudWatch's window, until a round tells.
    outside: u64,
    /// How often the task has begun something that has an end.
    steps: u64,
    /// When the next round begins by itself.
    due: Option<Instant>,
    /// How many rounds in a row have failed.
    failures: u32,
    waiters: Vec<Waiter>,
    life: Life,
    pub(super) is_running: bool,
    to_do: ToDo,
    has_overflowed: bool,
    was_late: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// Nobody holds the sink any more.
    Abandoned,
    /// Nothing is taken any more.
    Closed,
}

/// What is left to do when no lock is held any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ToDo {
    /// To start the task.
    pub(super) start: bool,
    /// To tell the task that it has to do something, or earlier than it knows.
    pub(super) wake: bool,
    /// To warn that more waits than there is room for.
    pub(super) overflows: bool,
    /// To warn that the sink has been shut down.
    pub(super) is_shut_down: bool,
}

/// What the task does next.
#[derive(Debug)]
pub(super) enum Next {
    /// A round, which answers these.
    Round(Vec<Waiter>),
    /// A round, and then the end: nobody holds the sink any more.
    LastRound,
    Until(Instant),
    Wait,
    End,
}

impl State {
    /// Adds what was recorded. Sets down what is [left to do](Self::left_to_do).
    pub(super) fn record(&mut self, flushed: &Flushed<'_>) {
        let sets = flushed.sets.iter();
        if self.life == Life::Closed {
            let values: usize = flushed
                .series
                .iter()
                .map(|series| 1 + series.more.len())
                .sum();
            self.dropped += (values * sets.count()) as u64;
            self.to_do.is_shut_down |= !std::mem::replace(&mut self.was_late, true);
            return;
        }
        for set in sets {
            let Flushed {
                namespace,
                timestamp,
                series,
                ..
            } = *flushed;
            self.incoming.add(namespace, timestamp, set.iter(), series);
        }
        // Half of the room is left for what comes while it is sent. Who has to wait anyway, because
        // CloudWatch fails, waits.
        let is_half_full = self.incoming.series() * 2 >= self.settings.max_series
            || self.incoming.values() * 2 >= self.settings.max_values;
        let now = Instant::now();
        match self.due {
            Some(due) if is_half_full && due > now && self.failures == 0 => {
                self.due = Some(now);
                self.to_do.wake = true;
            }
            Some(_) => {}
            None => {
                let interval = self.settings.flush_interval;
                self.due = Some(if is_half_full {
                    now
                } else {
                    later(now, interval)
                });
                self.to_do.wake = true;
            }
        }
        self.to_do.start |= !self.is_running;
        self.make_room();
    }

    /// Drops the oldest until the rest is within the bounds.
    fn make_room(&mut self) {
        while self.incoming.series() + self.outgoing.series() > self.settings.max_series
            || self.incoming.values() + self.outgoing.values() > self.settings.max_values
        {
            let buffer = if self.outgoing.is_empty() {
                &mut self.incoming
            } else {
                &mut self.outgoing
            };
            self.dropped += buffer.drop_oldest();
            self.to_do.overflows |= !std::mem::replace(&mut self.has_overflowed, true);
        }
    }

    /// Returns what is to do since it was asked for the last time.
    pub(super) fn left_to_do(&mut self) -> ToDo {
        std::mem::take(&mut self.to_do)
    }

    pub(super) fn next(&mut self) -> Next {
        if !self.waiters.is_empty() {
            return Next::Round(std::mem::take(&mut self.waiters));
        }
        match (self.life, self.due) {
            (Life::Closed, _) => Next::End,
            (Life::Abandoned, _) if self.is_empty() => Next::End,
            (Life::Abandoned, _) => Next::LastRound,
            (Life::Open, Some(due)) if due <= Instant::now() => Next::Round(Vec::new()),
            (Life::Open, Some(due)) => Next::Until(due),
            (Life::Open, None) => Next::Wait,
        }
    }

    /// Returns how many recorded values are too old for CloudWatch, or too far ahead.
    pub(super) fn begin_round(&mut self) -> u64 {
        self.due = None;
        self.steps += 1;
        self.outgoing.merge(std::mem::take(&mut self.incoming));
        // Not a layer's clock: CloudWatch goes by its own, too.
        let dropped = self.outgoing.drop_outside(&window(SystemTime::now()));
        self.dropped += dropped;
        self.outside += dropped;
        dropped
    }

    /// Returns how long the request may take that begins.
    pub(super) fn begin_request(&mut self) -> Duration {
        self.steps += 1;
        self.settings.request_timeout
    }

    /// How far the task has come, and after how long it has come further if it is driven.
    pub(super) fn progress(&self) -> (u64, Duration) {
        let limit = self.settings.request_timeout.saturating_add(GRACE);
        (self.steps, limit.min(LONG))
    }

    pub(super) fn take(&mut self) -> Option<Request> {
        let request = self.outgoing.take()?;
        self.in_flight = request.recorded();
        Some(request)
    }

    /// Takes back what has not been sent.
    pub(super) fn restore(&mut self, requests: impl Iterator<Item = Request>) {
        for request in requests {
            if self.life == Life::Closed {
                self.dropped += request.recorded();
            } else {
                self.outgoing.restore(request);
            }
        }
        self.make_room();
        self.in_flight = 0;
    }

    pub(super) fn settle(&mut self, arrived: &Request) {
        self.in_flight = self.in_flight.saturating_sub(arrived.recorded());
    }

    pub(super) fn drop_refused(&mut self, request: &Request) {
        self.settle(request);
        self.dropped += request.recorded();
    }

    /// Returns whether that is new.
    pub(super) fn round_failed(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.due = Some(later(Instant::now(), self.retry_delay()));
        self.failures == 1
    }

    /// Returns whether rounds have failed before this one, which has reached CloudWatch unless there
    /// was nothing to send.
    pub(super) fn round_done(&mut self, has_reached: bool) -> bool {
        self.has_overflowed = false;
        has_reached && std::mem::take(&mut self.failures) > 0
    }

    /// Returns how many values were outside of CloudWatch's window since it was asked.
    pub(super) fn take_outside(&mut self) -> u64 {
        std::mem::take(&mut self.outside)
    }

    /// How long to wait after a failure: twice as long after each, of which up to a half is left
    /// out at random, so that many that failed together do not come again together.
    pub(super) fn retry_delay(&self) -> Duration {
        let (first, longest) = self.settings.retry_delay.clone().into_inner();
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        let delay = first.saturating_mul(doubled).min(longest).min(LONG);
        delay.mul_f64(0.5 + random() / 2.0)
    }

    /// Fails once the sink has been shut down.
    pub(super) fn wait(&mut self, waiter: Waiter) -> Result<(), CloudWatchError> {
        if self.life == Life::Closed {
            return Err(CloudWatchError::ShutDown);
        }
        // Nobody waits any longer for these, and without a task nobody else forgets them.
        self.waiters.retain(|waiter| !waiter.is_closed());
        self.waiters.push(waiter);
        Ok(())
    }

    /// Leaves those alone who wait: whoever is left starts another task.
    pub(super) fn task_ended(&mut self) -> Vec<Waiter> {
        self.is_running = false;
        std::mem::take(&mut self.waiters)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.life == Life::Abandoned
    }

    pub(super) fn abandon(&mut self) {
        if self.life == Life::Open {
            self.life = Life::Abandoned;
        }
    }

    /// Takes nothing more if everything has been sent.
    pub(super) fn close_if_empty(&mut self) -> bool {
        if self.is_empty() {
            self.life = Life::Closed;
        }
        self.life == Life::Closed
    }

    /// Takes nothing more, and drops what has not been sent.
    ///
    /// Returns how many recorded values have not arrived, or not for all that is known.
    pub(super) fn close(&mut self) -> u64 {
        self.life = Life::Closed;
        let waiting = std::mem::take(&mut self.incoming).recorded()
            + std::mem::take(&mut self.outgoing).recorded();
        self.dropped += waiting;
        waiting + self.in_flight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_empty() && self.outgoing.is_empty() && self.in_flight == 0
    }

    pub(super) fn series(&self) -> usize {
        self.incoming.series() + self.outgoing.series()
    }

    pub(super) fn values(&self) -> usize {
        self.incoming.values() + self.outgoing.values()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// So long that nobody sees the end of it, but the clock counts as far.
const LONG: Duration = Duration::from_hours(365 * 24);

/// What the task takes between two requests, at the most.
const GRACE: Duration = Duration::from_secs(1);

fn later(now: Instant, delay: Duration) -> Instant {
    now + delay.min(LONG)
}

/// A number from 0 to 1. Nothing hangs on how random it is.
fn random() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_wait_any_longer_is_forgotten() {
        let mut state = State::default();
        let (waiter, _result) = oneshot::channel();
        state.wait(waiter).unwrap();
        for _ in 0..100 {
            let (waiter, given_up) = oneshot::channel();
            state.wait(waiter).unwrap();
            drop(given_up);
        }
        assert_eq!(state.waiters.len(), 2);
    }

    #[test]
    fn the_delay_doubles_up_to_the_longest_and_half_of_it_is_random() {
        let mut state = State::default();
        for (failures, longest) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (400, 60)] {
            state.failures = failures;
            let longest = Duration::from_secs(longest);
            let delays: Vec<_> = (0..20).map(|_| state.retry_delay()).collect();
            assert!(delays.iter().all(|delay| *delay <= longest), "{delays:?}");
            assert!(
                delays.iter().all(|delay| *delay >= longest / 2),
                "{delays:?}"
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]));
        }
    }
}
