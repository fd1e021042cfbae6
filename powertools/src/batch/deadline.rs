//! The moment at which no more records are begun.

use std::{
    future::poll_fn,
    panic::catch_unwind,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::Context;
use tokio::{
    runtime::Handle,
    task::coop::{Unconstrained, unconstrained},
    time::{Instant, Sleep, sleep_until},
};

/// Watches over one batch.
///
/// The clock on the wall is asked once, as it may be set meanwhile.
pub(super) struct Deadline {
    moment: Option<Instant>,
    /// `None` without timers: then time is only looked at between records.
    timer: Option<Pin<Box<Unconstrained<Sleep>>>>,
}

impl Deadline {
    pub(super) fn new(context: &Context, margin: Duration, now: SystemTime) -> Self {
        let moment = (context.deadline > 0)
            .then(|| UNIX_EPOCH.checked_add(Duration::from_millis(context.deadline)))
            .flatten()
            .and_then(|deadline| {
                let left = deadline.duration_since(now).unwrap_or_default();
                // As long as the function's whole timeout, a margin would leave no time at all.
                Instant::now().checked_add(left - margin.min(left / 2))
            });
        Self {
            moment,
            timer: None,
        }
    }

    /// Returns whether the moment has come.
    ///
    /// It is asked before every record: one that blocks its thread is seen by nothing else, whatever
    /// those before it took.
    pub(super) fn is_over(&self) -> bool {
        self.moment.is_some_and(|moment| moment <= Instant::now())
    }

    /// Returns what `future` does, or `None` if the moment comes first.
    pub(super) async fn limit<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            match self.timer() {
                Some(timer) => timer.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn timer(&mut self) -> Option<Pin<&mut Unconstrained<Sleep>>> {
        let moment = self.moment?;
        if self.timer.is_none() {
            Handle::try_current().ok()?;
            // Whether this runtime has timers, tokio tells by a panic alone.
            let timer = catch_unwind(|| sleep_until(moment)).ok()?;
            self.timer = Some(Box::pin(unconstrained(timer)));
        }
        self.timer.as_mut().map(Pin::as_mut)
    }
}
