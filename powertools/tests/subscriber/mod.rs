//! The subscriber of one thread, in a process whose tests run on many.

use std::sync::LazyLock;

use tracing::Dispatch;
use tracing_subscriber::Registry;

/// Returns a registry to be made the thread's subscriber.
pub(crate) fn registry() -> Registry {
    // `tracing` remembers for the whole process where nobody listens; so somebody always does.
    static LISTENS: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&LISTENS);
    tracing_subscriber::registry()
}
