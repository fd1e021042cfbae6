use std::{
    panic::catch_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, trace::SpanId};
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tokio::{runtime::Handle, task::JoinHandle, time::sleep};
use tracing::warn;

use super::{Endpoint, Flush, HTTP_REQUEST_LENGTH, collector::Collector, lock, to_requests};

/// The most spans that wait for a request.
const PENDING: usize = 10_000;

/// Spans on their way to a collector.
#[derive(Debug)]
pub(super) struct Http {
    collector: Arc<Collector>,
    pending: Mutex<Vec<SpanData>>,
    /// The tasks that send, and the group of spans whose end made them.
    requests: Mutex<Vec<(SpanId, JoinHandle<()>)>>,
    /// Until tokio has said that there are none.
    has_timers: AtomicBool,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            collector: Arc::new(Collector::new(endpoint)),
            pending: Mutex::default(),
            requests: Mutex::default(),
            has_timers: AtomicBool::new(true),
        }
    }

    /// Keeps spans for the next request.
    pub(super) fn keep(&self, spans: Vec<SpanData>) {
        let mut pending = lock(&self.pending);
        let room = PENDING.saturating_sub(pending.len());
        let lost = spans.len().saturating_sub(room);
        pending.extend(spans.into_iter().take(room));
        drop(pending);
        if lost > 0 {
            warn!(
                spans = lost,
                "spans left out: too many wait for the end of an invocation"
            );
        }
    }

    /// Makes a task that sends what is kept, in the runtime that the code runs in.
    pub(super) fn send(&self, group: SpanId, resource: &[KeyValue]) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let pending = std::mem::take(&mut *lock(&self.pending));
        // Without timers no request has an end that is certain; they are lost then.
        if pending.is_empty() || !self.has_timers() {
            return;
        }
        let requests = to_requests(pending, resource, HTTP_REQUEST_LENGTH);
        let collector = Arc::clone(&self.collector);
        let task = runtime.spawn(async move {
            for request in requests {
                collector.send(request.encode_to_vec().into()).await;
            }
        });
        let mut requests = lock(&self.requests);
        requests.retain(|(_, request)| !request.is_finished());
        requests.push((group, task));
    }

    /// Says whether the runtime has timers, or warns that it has none.
    fn has_timers(&self) -> bool {
        if !self.has_timers.load(Ordering::Relaxed) {
            return false;
        }
        // Tokio tells by a panic alone.
        let has_timers = catch_unwind(|| drop(sleep(Duration::ZERO))).is_ok();
        if !has_timers && self.has_timers.swap(false, Ordering::Relaxed) {
            warn!("no traces are sent: the runtime was built without `enable_time`");
        }
        has_timers
    }

    /// Returns what waits for the requests that the ends of groups made.
    pub(super) fn take_requests(
        &self,
        groups: &[SpanId],
        limit: Option<Duration>,
    ) -> Option<Flush> {
        let mut requests = lock(&self.requests);
        let own: Vec<_> = requests
            .extract_if(.., |(group, request)| {
                groups.contains(group) && !request.is_finished()
            })
            .map(|(_, request)| request)
            .collect();
        (!own.is_empty()).then(|| Flush::new(own, limit))
    }

    /// Forgets the connections that are open.
    pub(super) fn reset(&self) {
        self.collector.reset();
    }

    #[cfg(all(test, feature = "testing"))]
    pub(super) fn pending(&self) -> usize {
        lock(&self.pending).len()
    }
}
