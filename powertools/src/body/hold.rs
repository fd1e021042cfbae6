use std::{
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Invocation;

/// What of an invocation waits for its response's body.
#[derive(Default)]
pub(crate) struct State(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    bodies: usize,
    /// In the order in which they ask to be dropped: layers nearer to the handler come first.
    guards: Vec<Box<dyn Send>>,
}

impl State {
    /// Returns whether there is a body that has not ended.
    #[cfg(feature = "deadline")]
    pub(crate) fn is_waiting(&self) -> bool {
        self.lock().bodies > 0
    }

    /// Keeps `guard` until the body is gone, or gives it back where there is none.
    #[cfg(any(
        feature = "deadline",
        feature = "logging",
        feature = "metrics",
        feature = "trace"
    ))]
    pub(crate) fn keep<G: Send + 'static>(&self, guard: G) -> Option<G> {
        let mut waiting = self.lock();
        if waiting.bodies == 0 {
            return Some(guard);
        }
        waiting.guards.push(Box::new(guard));
        None
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an invocation open.
pub(super) struct Hold {
    invocation: Invocation,
}

impl Hold {
    pub(super) fn new(invocation: Invocation) -> Self {
        invocation.body().lock().bodies += 1;
        Self { invocation }
    }

    pub(super) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        self.invocation.sync_scope(f)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut waiting = self.invocation.body().lock();
        waiting.bodies -= 1;
        if waiting.bodies > 0 {
            return;
        }
        let guards = mem::take(&mut waiting.guards);
        drop(waiting);
        // In order, and outside of the lock: what they flush may look for the invocation.
        self.invocation.sync_scope(|| drop(guards));
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
