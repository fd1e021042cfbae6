use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::SpanId};
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::warn;

use super::{Endpoint, Flush, HTTP_REQUEST_LENGTH, collector::Collector, lock, to_requests};

/// The most spans that wait for a request.
const PENDING: usize = 10_000;

/// Spans on their way to a collector.
#[derive(Debug)]
pub(super) struct Http {
    collector: Arc<Collector>,
    pending: Mutex<Vec<SpanData>>,
    /// The tasks that send, and the handler's span whose end made them.
    requests: Mutex<Vec<(SpanId, JoinHandle<()>)>>,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            collector: Arc::new(Collector::new(endpoint)),
            pending: Mutex::default(),
            requests: Mutex::default(),
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
    pub(super) fn send(&self, handler: SpanId, resource: &[KeyValue]) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let pending = std::mem::take(&mut *lock(&self.pending));
        if pending.is_empty() {
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
        requests.push((handler, task));
    }

    /// Returns what waits for the requests that the end of a handler's span made.
    pub(super) fn take_requests(&self, handler: SpanId, limit: Option<Duration>) -> Option<Flush> {
        let mut requests = lock(&self.requests);
        let own: Vec<_> = requests
            .extract_if(.., |(of, request)| *of == handler && !request.is_finished())
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
