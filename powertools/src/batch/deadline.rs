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

/// To look at the clock takes as long as to begin a record. So while records take less than `QUICK`
/// each, and nothing has to be waited for, only one in `STRIDE` looks.
const QUICK: Duration = Duration::from_micros(50);
const STRIDE: u32 = 16;

/// Watches over one batch.
///
/// The clock on the wall is asked once, as it may be set meanwhile.
pub(super) struct Deadline {
    moment: Option<Instant>,
    looked: Instant,
    /// How many records are begun from one look at the clock to the next.
    stride: u32,
    until_next_look: u32,
    /// `None` without timers: then time is only looked at between records.
    timer: Option<Pin<Box<Unconstrained<Sleep>>>>,
}

impl Deadline {
    pub(super) fn new(context: &Context, margin: Duration, now: SystemTime) -> Self {
        let looked = Instant::now();
        let moment = (context.deadline > 0)
            .then(|| UNIX_EPOCH.checked_add(Duration::from_millis(context.deadline)))
            .flatten()
            .and_then(|deadline| {
                let left = deadline.duration_since(now).unwrap_or_default();
                // As long as the function's whole timeout, a margin would leave no time at all.
                looked.checked_add(left - margin.min(left / 2))
            });
        Self {
            moment,
            looked,
            stride: 1,
            until_next_look: 0,
            timer: None,
        }
    }

    /// Returns whether the moment has come, before a record is begun.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(moment) = self.moment else {
            return false;
        };
        if self.until_next_look > 0 {
            self.until_next_look -= 1;
            return false;
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(self.looked);
        self.stride = if took < QUICK * self.stride {
            (self.stride * 2).min(STRIDE)
        } else {
            1
        };
        self.until_next_look = self.stride - 1;
        self.looked = now;
        moment <= now
    }

    /// Returns what `future` does, or `None` if the moment comes first.
    pub(super) async fn limit<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // Who has waited looks at the clock.
            self.until_next_look = 0;
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
