use std::{
    fmt,
    panic::catch_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    runtime::Handle,
    task::coop::{Unconstrained, unconstrained},
    time::{Instant, Sleep, sleep_until},
};
use tracing::{Span, warn};

use super::{
    flush,
    watchdog::{self, Registration},
};
use crate::Invocation;

/// What all calls of a service have in common.
pub(super) struct Shared {
    pub(super) margin: Duration,
    pub(super) metric: bool,
    pub(super) watchdog: bool,
    pub(super) now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Until tokio has said that there are none.
    pub(super) has_timers: AtomicBool,
    /// What the first call is to say: when the layer was made, nobody may have listened yet.
    pub(super) notice: Notice,
}

/// A warning that waits for somebody to hear it.
pub(super) struct Notice {
    text: Option<Arc<str>>,
    is_told: AtomicBool,
}

impl Notice {
    pub(super) fn new(text: Option<Arc<str>>) -> Self {
        Self {
            text,
            is_told: AtomicBool::new(false),
        }
    }

    fn tell(&self) {
        if let Some(text) = &self.text
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            warn!("{text}");
        }
    }
}

/// Watches over one call of a handler.
///
/// The clock on the wall is asked once: it may be set while the handler runs, or stand at another
/// time after a snapshot was restored, and the instants of a running call know nothing of that.
pub(super) struct Guard {
    shared: Arc<Shared>,
    invocation: Invocation,
    deadline: Instant,
    margin: Duration,
    is_waiting: bool,
    /// `None` without a watchdog, and once one of the two has fired.
    registration: Option<Registration>,
}

impl Guard {
    /// Begins to watch, unless the invocation has no deadline.
    pub(super) fn new(shared: &Arc<Shared>, invocation: &Invocation) -> Option<Self> {
        shared.notice.tell();
        let remaining = remaining(invocation.context().deadline, &*shared.now)?;
        let margin = shared.margin.min(remaining / 2);
        let deadline = Instant::now().checked_add(remaining)?;
        let registration = shared
            .watchdog
            .then(|| watchdog::register(invocation, remaining, margin, shared.metric))
            .flatten();
        Some(Self {
            shared: Arc::clone(shared),
            invocation: invocation.clone(),
            deadline,
            margin,
            is_waiting: true,
            registration,
        })
    }

    pub(super) const fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// Returns whether the moment has not come, as far as the timer knows.
    pub(super) const fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Makes the timer for the moment; where that is not possible, the guard does not wait for it.
    pub(super) fn timer(&mut self) -> Option<Unconstrained<Sleep>> {
        let timer = self.shared.sleep_until(self.deadline - self.margin);
        self.is_waiting = timer.is_some();
        timer
    }

    /// Brings out what there is, unless the watchdog has done so, and returns the time that is left.
    pub(super) fn fire(&mut self) -> Duration {
        self.is_waiting = false;
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let is_first = self.registration.take().is_none_or(Registration::cancel);
        if is_first {
            flush::flush(
                &self.invocation,
                remaining,
                self.shared.metric,
                &Span::current(),
            );
        }
        remaining
    }
}

/// Returns how far away a deadline is that is given as Lambda does: in milliseconds since the epoch,
/// 0 for none.
fn remaining(deadline: u64, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    if deadline == 0 {
        return None;
    }
    let deadline = UNIX_EPOCH.checked_add(Duration::from_millis(deadline))?;
    Some(deadline.duration_since(now()).unwrap_or_default())
}

impl Shared {
    fn sleep_until(&self, moment: Instant) -> Option<Unconstrained<Sleep>> {
        if !self.has_timers.load(Ordering::Relaxed) {
            return None;
        }
        let timer = Handle::try_current().ok().and_then(|_| {
            // Whether this runtime has timers, tokio tells by a panic alone.
            catch_unwind(|| sleep_until(moment)).ok()
        });
        if timer.is_none() && self.has_timers.swap(false, Ordering::Relaxed) {
            warn!("deadlines are not watched: the runtime was built without `enable_time`");
        }
        timer.map(unconstrained)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("margin", &self.margin)
            .field("metric", &self.metric)
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("invocation", &self.invocation)
            .field("deadline", &self.deadline)
            .field("margin", &self.margin)
            .field("is_waiting", &self.is_waiting)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_never_negative() {
        let now = || UNIX_EPOCH + Duration::from_millis(5000);
        assert_eq!(remaining(0, now), None);
        assert_eq!(remaining(8000, now), Some(Duration::from_secs(3)));
        for past in [1, 4999, 5000] {
            assert_eq!(remaining(past, now), Some(Duration::ZERO));
        }
    }
}
