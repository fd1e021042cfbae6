use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "trace")]
use std::{sync::OnceLock, time::Duration};

/// What the guards of one invocation have in common.
#[derive(Default)]
pub(crate) struct State {
    is_announced: AtomicBool,
    /// The time that was left when the handler was cut off.
    #[cfg(feature = "trace")]
    cut_off: OnceLock<Duration>,
}

impl State {
    /// Returns `true` once: an invocation's deadline is announced once, however many guards it has.
    pub(super) fn announce(&self) -> bool {
        !self.is_announced.swap(true, Ordering::Relaxed)
    }

    #[cfg(feature = "trace")]
    pub(super) fn cut_off(&self, remaining: Duration) {
        let _ = self.cut_off.set(remaining);
    }

    /// Returns how much time was left when the handler was cut off, if it was.
    #[cfg(feature = "trace")]
    pub(crate) fn was_cut_off(&self) -> Option<Duration> {
        self.cut_off.get().copied()
    }
}
