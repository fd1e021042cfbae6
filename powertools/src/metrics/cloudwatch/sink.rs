use std::{
    fmt,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use aws_sdk_cloudwatch::Client;
use tokio::{
    runtime,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{CloudWatchError, client::Put, worker::Shared};
use crate::metrics::{batch::Flushed, config::Sink};

/// How a flush went, to come.
type Answer = oneshot::Receiver<Result<(), CloudWatchError>>;

/// How often a flush starts the task at the most. On a runtime without a clock it always fails.
const STARTS: usize = 3;

/// Sends metrics to CloudWatch by its API, for code that runs outside of Lambda.
///
/// Give it to a [`MetricsLayer`](crate::metrics::MetricsLayer::with_cloudwatch). See the
/// [module docs](super).
///
/// Cloning is cheap; every clone stands for the same sink, its settings included: what is set on one
/// of them holds for all, those that layers have been given before as well. Set it up first, and
/// clone it then.
#[derive(Clone)]
#[must_use]
pub struct CloudWatchSink {
    handle: Arc<Handle>,
}

/// What all clones hold: once it is gone, so are they.
struct Handle {
    shared: Arc<Shared>,
}

impl CloudWatchSink {
    /// Makes a sink. Nothing is sent, and no task is started, before the first value is recorded.
    pub fn new(client: Client) -> Self {
        Self::of(client)
    }

    pub(super) fn of(client: impl Put + 'static) -> Self {
        let shared = Arc::new(Shared::new(Box::new(client)));
        Self {
            handle: Arc::new(Handle { shared }),
        }
    }

    /// Sets how long values are gathered before they are sent.
    ///
    /// Defaults to 60 s. CloudWatch adds up what comes later for the same minute.
    pub fn flush_interval(self, interval: Duration) -> Self {
        self.shared().lock().settings.flush_interval = interval;
        self
    }

    /// Sets how many series wait at the most: one for each metric, each set of dimensions and each
    /// minute, or second of a metric of high resolution.
    ///
    /// Defaults to 10 000, which take about 5 MB. When half of them wait, they are sent early. When
    /// all wait, the oldest are dropped, and counted by [`dropped`](Self::dropped). The request that
    /// is under way does not count, and at least one may wait.
    pub fn max_series(self, series: usize) -> Self {
        self.shared().lock().settings.max_series = series.max(1);
        self
    }

    /// Sets how many different values wait at the most, in all series together.
    ///
    /// Defaults to 100 000. What holds for [`max_series`](Self::max_series) holds here. A value
    /// that is recorded again costs nothing: only how often is counted.
    pub fn max_values(self, values: usize) -> Self {
        self.shared().lock().settings.max_values = values.max(1);
        self
    }

    /// Sets how long to wait after CloudWatch has failed: after the first time, and at the most.
    ///
    /// Defaults to 1 s and 60 s. Each failure doubles it; up to a half is left out at random. The
    /// client has its own retries for each request, which come before this.
    pub fn retry_delay(self, delay: RangeInclusive<Duration>) -> Self {
        self.shared().lock().settings.retry_delay = delay;
        self
    }

    /// Sets how long one request may take, the client's own retries included.
    ///
    /// Defaults to 30 s.
    pub fn request_timeout(self, limit: Duration) -> Self {
        self.shared().lock().settings.request_timeout = limit;
        self
    }

    /// Sets how long [`shutdown`](Self::shutdown) tries to send what waits.
    ///
    /// Defaults to 10 s.
    pub fn shutdown_timeout(self, limit: Duration) -> Self {
        self.shared().lock().settings.shutdown_timeout = limit;
        self
    }

    /// Returns how many recorded values have been dropped: because there was no room for them, they
    /// were refused or too old, or it was too late.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared().lock().dropped()
    }

    /// Sends what waits, and returns when CloudWatch has it.
    ///
    /// It does not wait for its turn after CloudWatch has failed. What a
    /// [`Metrics`](crate::metrics::Metrics) or a handler that still runs has not handed over yet is
    /// not sent.
    ///
    /// The task does the sending, which lives on the runtime that was there when it was started. If
    /// nobody drives that one (one of a single thread is driven inside of its `block_on` only), this
    /// gives up when nothing has happened for as long as a [request](Self::request_timeout) may take
    /// and a second. Called outside of a runtime, while the task lives on one, it cannot tell, and
    /// waits.
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch cannot be reached, after what waits has been kept; if it refuses some of
    /// the metrics; if some are [too old, or too far ahead](CloudWatchError::OutsideWindow), which is
    /// told if it has refused none; if the task does [not get on](CloudWatchError::Stalled); after
    /// [`shutdown`](Self::shutdown); and outside of a tokio runtime with its time driver.
    pub async fn flush(&self) -> Result<(), CloudWatchError> {
        for _ in 0..STARTS {
            let (waiter, result) = oneshot::channel();
            self.shared().lock().wait(waiter)?;
            if !self.shared().start() {
                break;
            }
            self.shared().wake.notify_one();
            if let Some(result) = self.answer(result).await {
                return result;
            }
            // The runtime has ended that the task was running on; this one has not.
        }
        Err(CloudWatchError::NoRuntime)
    }

    /// Waits for the task's answer for as long as it gets on. There is none if it ends before.
    async fn answer(&self, mut result: Answer) -> Option<Result<(), CloudWatchError>> {
        loop {
            let (before, limit) = self.shared().lock().progress();
            if runtime::Handle::try_current().is_err() {
                return result.await.ok();
            }
            // A runtime without a clock panics, and does not say before that it has none.
            let waiting = &mut result;
            let limited = catch_unwind(AssertUnwindSafe(move || timeout(limit, waiting)));
            let Ok(limited) = limited else {
                return result.await.ok();
            };
            if let Ok(answer) = limited.await {
                return answer.ok();
            }
            let (after, _) = self.shared().lock().progress();
            if after == before {
                return Some(Err(CloudWatchError::Stalled));
            }
        }
    }

    /// Sends what waits, again and again until CloudWatch has it or the time is over, and takes
    /// nothing more after that.
    ///
    /// Call it when nothing is recorded any more, before `main` returns: what is recorded later is
    /// dropped. A second call does nothing, and succeeds even if the first one has failed.
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch does not have everything; the rest is dropped. Outside of tokio it fails
    /// without doing anything.
    ///
    /// # Panics
    ///
    /// Panics on a tokio runtime without its time driver.
    pub async fn shutdown(&self) -> Result<(), CloudWatchError> {
        if runtime::Handle::try_current().is_err() {
            return Err(CloudWatchError::NoRuntime);
        }
        let limit = self.shared().lock().settings.shutdown_timeout;
        let send = async {
            let mut refused = Ok(());
            loop {
                match self.flush().await {
                    Err(CloudWatchError::Unavailable(_)) => {
                        let delay = self.shared().lock().retry_delay();
                        sleep(delay).await;
                        continue;
                    }
                    Err(CloudWatchError::Stalled) => continue,
                    Err(CloudWatchError::ShutDown) => return Ok(()),
                    Err(error @ CloudWatchError::NoRuntime) => return Err(error),
                    Err(error) => refused = Err(error),
                    Ok(()) => {}
                }
                // Or else more has come meanwhile.
                if self.shared().lock().close_if_empty() {
                    self.shared().wake.notify_one();
                    return refused;
                }
            }
        };
        match timeout(limit, send).await {
            Ok(result) => result,
            Err(_) => Err(CloudWatchError::Unfinished {
                values: self.shared().close(),
            }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl Sink for CloudWatchSink {
    fn take(&self, flushed: &Flushed<'_>) {
        self.shared().lock().record(flushed);
    }

    fn taken(&self) {
        self.shared().attend();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().abandon();
        let is_empty = self.shared.lock().is_empty();
        if !is_empty && !self.shared.start() {
            self.shared.close();
        }
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for CloudWatchSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (series, values, dropped) = {
            let state = self.shared().lock();
            (state.series(), state.values(), state.dropped())
        };
        f.debug_struct("CloudWatchSink")
            .field("series", &series)
            .field("values", &values)
            .field("dropped", &dropped)
            .finish_non_exhaustive()
    }
}
