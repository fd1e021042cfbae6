use std::sync::atomic::{AtomicBool, Ordering};

/// What the guards of one invocation have in common.
#[derive(Default)]
pub(crate) struct State {
    is_announced: AtomicBool,
}

impl State {
    /// Returns `true` once: an invocation's deadline is announced once, however many guards it has.
    pub(super) fn announce(&self) -> bool {
        !self.is_announced.swap(true, Ordering::Relaxed)
    }
}
