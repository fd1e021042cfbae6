use std::fmt;

use lambda_runtime::{Error, snapstart::SnapStartResource};

/// Makes the tools ready for a snapshot, and for what is restored from it.
///
/// With SnapStart, Lambda starts a function once, takes a snapshot of the process, and restores any
/// number of execution environments from it. Register this with the runtime:
///
/// ```no_run
/// use std::sync::Arc;
/// use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
/// use powertools::SnapStart;
///
/// async fn handler(event: LambdaEvent<String>) -> Result<String, Error> {
///     Ok(event.payload)
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), Error> {
///     Runtime::new(service_fn(handler))
///         .register_snapstart_resource(Arc::new(SnapStart::new()))
///         .run()
///         .await
/// }
/// ```
///
/// | before the snapshot | after the restore |
/// |---|---|
/// | metrics of the whole process are written: each restored environment would write them again | the tracer's sockets are opened anew, with the next span |
/// | | parameters and secrets are fetched anew, with the next read: what was fetched before may have been rotated long ago |
///
/// Nothing else has to be done: without this, too, a restored environment has no cold start (see
/// [`Invocation::is_cold_start`](crate::Invocation::is_cold_start)), and the ids of spans and the
/// chance of sampled logs are drawn with the time, so that environments of one snapshot differ.
#[derive(Clone, Copy, Default)]
pub struct SnapStart(());

impl SnapStart {
    /// Makes the resource.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl SnapStartResource for SnapStart {
    fn before_snapshot(&self) -> lambda_runtime::BoxFuture<'_, Result<(), Error>> {
        #[cfg(feature = "metrics")]
        crate::metrics::flush_global();
        Box::pin(std::future::ready(Ok(())))
    }

    fn after_restore(&self) -> lambda_runtime::BoxFuture<'_, Result<(), Error>> {
        #[cfg(feature = "parameters")]
        crate::parameters::outdate();
        #[cfg(feature = "trace")]
        crate::trace::reset();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for SnapStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapStart")
    }
}
