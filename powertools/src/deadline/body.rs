//! The guard after the handler has answered: it waits for the body of the response.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{runtime::Handle, task::AbortHandle};
use tracing::{Span, dispatcher};

use super::guard::Guard;

/// The guard, until the moment has come or the body has ended.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Guard>>>);

impl Slot {
    fn take(&self) -> Option<Guard> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.take()
    }
}

/// Watches over a body; dropped when that has ended.
struct Watch {
    guard: Slot,
    timer: Option<AbortHandle>,
}

/// Hands `guard` over to the body of the response, if there is one that is still to come.
///
/// In a task of its own: while the network takes no more of a body, nobody asks for its next frame.
pub(super) fn watch(mut guard: Guard) {
    let invocation = guard.invocation().clone();
    if !invocation.has_body() {
        return;
    }
    let timer = if guard.is_waiting() {
        guard.timer()
    } else {
        None
    };
    let guard = Slot(Arc::new(Mutex::new(Some(guard))));
    let timer = timer
        .zip(Handle::try_current().ok())
        .map(|(timer, runtime)| {
            let guard = guard.clone();
            let dispatch = dispatcher::get_default(Clone::clone);
            let span = Span::current();
            let task = runtime.spawn(async move {
                timer.await;
                if let Some(mut guard) = guard.take() {
                    dispatcher::with_default(&dispatch, || span.in_scope(|| guard.fire()));
                }
            });
            task.abort_handle()
        });
    drop(invocation.keep_to_end(Watch { guard, timer }));
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The task itself may be dropped later, or be about to fire.
        drop(self.guard.take());
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}
