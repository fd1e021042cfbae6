//! The task that sends what waits.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{timeout, timeout_at},
};
use tracing::{info, warn};

use super::{
    CloudWatchError,
    client::{Put, PutError},
    request::Request,
    state::{Next, State},
};

/// How often one request may be refused and split, until what is left of it is dropped: enough to
/// find some bad data among a thousand good ones.
const REFUSALS: usize = 64;

/// What the handles and the task share.
pub(super) struct Shared {
    client: Box<dyn Put>,
    state: Mutex<State>,
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new(client: Box<dyn Put>) -> Self {
        Self {
            client,
            state: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task, if it does not run yet.
    ///
    /// Returns whether it runs: without a runtime it cannot.
    pub(super) fn start(self: &Arc<Self>) -> bool {
        if self.lock().is_running {
            return true;
        }
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        if !std::mem::replace(&mut self.lock().is_running, true) {
            let task = Task(Arc::clone(self));
            runtime.spawn(task.run());
        }
        true
    }
}

impl Shared {
    /// Does what recording has left to do. No lock may be held: what logs may record itself.
    pub(super) fn attend(self: &Arc<Self>) {
        let to_do = self.lock().left_to_do();
        if to_do.overflows {
            warn!(
                "more metrics wait for CloudWatch than there is room for: the oldest are dropped"
            );
        }
        if to_do.is_shut_down {
            warn!("metrics are dropped: the sink for CloudWatch has been shut down");
        }
        if to_do.wake {
            self.wake.notify_one();
        }
        if to_do.start {
            self.start();
        }
    }
}

/// The task, which is over when this is dropped, also by the end of its runtime.
struct Task(Arc<Shared>);

impl Task {
    async fn run(self) {
        let shared = &self.0;
        loop {
            let next = shared.lock().next();
            match next {
                Next::Round(waiters) => {
                    let result = shared.round().await;
                    for waiter in waiters {
                        // Some do not wait any longer.
                        let _ = waiter.send(result.clone());
                    }
                }
                Next::LastRound => {
                    let limit = shared.lock().settings.shutdown_timeout;
                    let _ = timeout(limit, shared.round()).await;
                    shared.close();
                }
                Next::Until(due) => {
                    let _ = timeout_at(due, shared.wake.notified()).await;
                }
                Next::Wait => shared.wake.notified().await,
                Next::End => return,
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Outside of the lock: they wake whoever waits.
        let waiters = self.0.lock().task_ended();
        drop(waiters);
        // Its runtime has ended, and nobody is left who could start another.
        let is_abandoned = self.0.lock().is_abandoned();
        if is_abandoned {
            self.0.close();
        }
    }
}

impl Shared {
    /// Sends what waited when it began.
    async fn round(&self) -> Result<(), CloudWatchError> {
        let outside = self.lock().begin_round();
        if outside > 0 {
            warn!(
                values = outside,
                "metrics are too old for CloudWatch, or too far ahead, and are dropped"
            );
        }
        let mut refused = None;
        let mut has_reached = false;
        let failed = loop {
            let Some(request) = self.lock().take() else {
                break None;
            };
            match self.send(request).await {
                Ok(refusal) => {
                    has_reached = true;
                    refused = refusal.or(refused);
                }
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = failed {
            let error: Arc<dyn std::error::Error + Send + Sync> = error.into();
            if self.lock().round_failed() {
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(
                    error,
                    "metrics cannot be sent to CloudWatch and are kept for now"
                );
            }
            return Err(CloudWatchError::Unavailable(error));
        }
        let (is_back, outside, dropped) = {
            let mut state = self.lock();
            let is_back = state.round_done(has_reached);
            (is_back, state.take_outside(), state.dropped())
        };
        if is_back {
            info!(dropped, "metrics reach CloudWatch again");
        }
        match refused {
            Some(refusal) => Err(refusal),
            None if outside > 0 => Err(CloudWatchError::OutsideWindow { values: outside }),
            None => Ok(()),
        }
    }

    /// Sends a request. One that is refused is split until it is known which data are refused.
    async fn send(&self, request: Request) -> Result<Option<CloudWatchError>, super::BoxError> {
        let mut left = Left {
            shared: self,
            requests: vec![request],
        };
        let mut refusals = 0;
        let mut refused = 0;
        let mut last = None;
        while let Some(request) = left.requests.last() {
            let error = match self.put(request).await {
                Ok(()) => {
                    if let Some(request) = left.requests.pop() {
                        self.lock().settle(&request);
                    }
                    continue;
                }
                Err(PutError::Failed(error)) => return Err(error),
                Err(PutError::Refused(error)) => error,
            };
            let Some(request) = left.requests.pop() else {
                break;
            };
            refusals += 1;
            let request = if refusals < REFUSALS {
                match request.halves() {
                    Ok(halves) => {
                        left.requests.extend(halves);
                        continue;
                    }
                    Err(request) => request,
                }
            } else {
                request
            };
            self.lock().drop_refused(&request);
            refused += request.recorded();
            let error: Arc<dyn std::error::Error + Send + Sync> = error.into();
            let source: &(dyn std::error::Error + 'static) = &error;
            warn!(
                error = source,
                namespace = &*request.namespace,
                metrics = request.names(),
                values = request.recorded(),
                "CloudWatch has refused metrics, which are dropped"
            );
            last = Some(error);
        }
        Ok(last.map(|source| CloudWatchError::Refused {
            values: refused,
            source,
        }))
    }

    /// Puts one request; a client that takes too long or panics has failed.
    async fn put(&self, request: &Request) -> Result<(), PutError> {
        let limit = self.lock().begin_request();
        let mut put = pin!(async { self.client.put(request).await });
        let put = poll_fn(|context| {
            catch_unwind(AssertUnwindSafe(|| put.as_mut().poll(context))).unwrap_or_else(|_| {
                let error = "the client of CloudWatch has panicked";
                Poll::Ready(Err(PutError::Failed(error.into())))
            })
        });
        timeout(limit, put)
            .await
            .unwrap_or_else(|error| Err(PutError::Failed(error.into())))
    }

    /// Ends the sink, whatever waits still.
    pub(super) fn close(&self) -> u64 {
        let values = self.lock().close();
        if values > 0 {
            warn!(
                values,
                "metrics have not reached CloudWatch before the end and are dropped"
            );
        }
        self.wake.notify_one();
        values
    }
}

/// What of a request has not been sent; it waits again when this is dropped.
struct Left<'a> {
    shared: &'a Shared,
    requests: Vec<Request>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.shared.lock().restore(self.requests.drain(..));
    }
}
