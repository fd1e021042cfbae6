use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tracing::{Span, warn};

use crate::Invocation;

/// Brings out what the tools hold for an invocation, and says that its deadline is near.
///
/// Each step for itself: a writer or a subscriber that panics costs no more than its own part.
pub(super) fn flush(invocation: &Invocation, remaining: Duration, metric: bool, span: &Span) {
    invocation.sync_scope(|| {
        #[cfg(feature = "logging")]
        contained(|| crate::logging::flush_invocation(invocation));
        if invocation.deadline().announce() {
            contained(|| announce(invocation, remaining, span));
            // The warning may be among what is held back.
            #[cfg(feature = "logging")]
            contained(|| crate::logging::flush_invocation(invocation));
            if metric {
                contained(count);
            }
        }
        #[cfg(feature = "metrics")]
        contained(|| crate::metrics::flush_invocation(invocation));
        #[cfg(feature = "trace")]
        contained(|| crate::trace::emit_in_progress(invocation));
    });
}

fn contained(step: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(step));
}

fn announce(invocation: &Invocation, remaining: Duration, span: &Span) {
    let what = if invocation.has_body() {
        "the body of the response has not ended"
    } else {
        "the handler has not answered"
    };
    let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    warn!(
        target: "powertools::deadline",
        parent: span,
        remaining_ms,
        "timeout imminent: {what}"
    );
}

/// Records the metric, where a layer is around that takes it.
fn count() {
    #[cfg(feature = "metrics")]
    {
        use crate::metrics::{self, Metric, Unit};

        const TIMEOUT_IMMINENT: Metric = Metric::new("TimeoutImminent", Unit::Count);

        if let Some(metrics) = metrics::current() {
            metrics.record(&TIMEOUT_IMMINENT, 1);
        }
    }
}
