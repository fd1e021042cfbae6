//! Sends spans, without a thread and without a timer.
//!
//! A span that has ended waits as a part of the document of the span around it, as long as that is
//! open and there is room for it, so that an invocation with a few spans leaves as one datagram. The
//! handler's span is the last to end, and everything has left when it has: see [`open`] for what
//! waits and for how long.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanId, TraceContextExt},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tracing::{Subscriber, warn};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::Layer;

use super::{
    document::{DATAGRAM_LENGTH, Document, Function, Subsegment},
    unsigned,
};
use crate::{Invocation, names::ANNOTATION};

mod daemon;
#[cfg(feature = "trace-otlp")]
mod flush;
mod open;
#[cfg(feature = "trace-otlp")]
pub(super) mod otlp;
mod transport;

#[cfg(feature = "trace-otlp")]
pub(super) use flush::Flush;
/// UDP waits for nothing.
#[cfg(not(feature = "trace-otlp"))]
pub(super) type Flush = std::future::Ready<()>;

use open::OpenSpans;
pub(super) use transport::Target;
use transport::Transport;

/// How many annotations one exporter warns of.
const WARNINGS: usize = 100;

/// Sends the spans of one subscriber. Its clones are the same exporter: one listens to
/// OpenTelemetry's spans, and one is a layer, by which a dispatcher leads to it.
#[derive(Clone, Debug)]
pub(super) struct Exporter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    function: Function,
    open: Mutex<OpenSpans>,
    transport: Transport,
    /// What is wrong with the configuration; said once, when the first span has ended.
    notice: Option<String>,
    is_notice_due: AtomicBool,
    /// The annotations that have been warned of.
    warned: Mutex<HashSet<(String, &'static str)>>,
}

impl Exporter {
    pub(super) fn new(function: Function, target: Target, notice: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                function,
                transport: Transport::new(target),
                open: Mutex::default(),
                is_notice_due: AtomicBool::new(notice.is_some()),
                notice,
                warned: Mutex::default(),
            }),
        }
    }

    /// Forgets the sockets that are open: those of a snapshot lead nowhere when it is restored.
    fn reset(&self) {
        self.inner.transport.reset();
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, OpenSpans> {
        lock(&self.open)
    }

    /// Holds no lock meanwhile: who listens to warnings may have spans, and end them.
    fn give_notice(&self) {
        if self.is_notice_due.load(Ordering::Relaxed)
            && self.is_notice_due.swap(false, Ordering::Relaxed)
            && let Some(notice) = &self.notice
        {
            warn!("{notice}");
        }
    }

    /// Makes the document of a span that has ended, within X-Ray's limits, or warns that it cannot.
    fn subsegment(&self, span: &SpanData) -> Option<Subsegment> {
        let mut document = Document::new(span, &self.function);
        self.complain(&document);
        let mut subsegment = to_subsegment(&document)?;
        if !subsegment.fits() && document.drop_metadata() {
            let (span, bytes) = (document.name(), subsegment.datagram_length());
            warn!(
                span,
                bytes,
                limit = DATAGRAM_LENGTH,
                "trace metadata left out: too large for X-Ray"
            );
            subsegment = to_subsegment(&document)?;
        }
        if !subsegment.fits() {
            let (span, bytes) = (document.name(), subsegment.datagram_length());
            warn!(
                span,
                bytes,
                limit = DATAGRAM_LENGTH,
                "span left out: too large for X-Ray"
            );
            return None;
        }
        Some(subsegment)
    }

    /// Warns of each annotation that X-Ray would not take as it is, once.
    fn complain(&self, document: &Document<'_>) {
        for complaint in document.complaints() {
            let key = &*complaint.short_key();
            let is_new = {
                let mut warned = lock(&self.warned);
                warned.len() < WARNINGS && warned.insert((key.to_owned(), complaint.problem))
            };
            if is_new {
                warn!(
                    span = document.name(),
                    key, "trace annotation {}", complaint.problem
                );
            }
        }
    }

    /// Sends what waits in a group, for whose first span nothing is to wait any more.
    fn end_group(&self, group: SpanId) {
        #[cfg(feature = "trace-otlp")]
        if let Some(otlp) = self.transport.otlp() {
            let batch = self.open().end_group_in_batch(group);
            otlp.send(batch);
            return;
        }
        let leaving = self.open().end_group(group);
        self.send(leaving);
    }

    fn send(&self, subsegments: Vec<Subsegment>) {
        for subsegment in subsegments {
            self.transport.send(&subsegment.into_datagram());
        }
    }
}

impl SpanProcessor for Exporter {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        let inner = &*self.inner;
        // The first span of this function in a trace that came from elsewhere.
        if let Some(service) = &inner.function.service
            && parent.span().span_context().is_remote()
        {
            let key = format!("{ANNOTATION}Service");
            opentelemetry::trace::Span::set_attribute(span, KeyValue::new(key, service.clone()));
        }
        if let Some(start) = span.exported_data() {
            let mut start = Some(start);
            Invocation::with_current(|invocation| {
                if let Some(start) = start.take() {
                    invocation.trace().start(self, start);
                }
            });
            if let Some(start) = start {
                inner.open().start(start, None, false);
            }
        }
    }

    fn on_end(&self, mut span: SpanData) {
        let inner = &*self.inner;
        inner.give_notice();
        unsigned::restore(&mut span.attributes);
        #[cfg(feature = "trace-otlp")]
        if let Some(otlp) = inner.transport.otlp() {
            let batch = inner.open().end_in_batch(span);
            otlp.send(batch);
            return;
        }
        let subsegment = inner.subsegment(&span);
        let leaving = inner.open().end(&span, subsegment);
        inner.send(leaving);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Exporter {}

/// An invocation's trace: where it is sent, and what belongs to it.
#[derive(Debug, Default)]
pub(crate) struct State {
    traced: OnceLock<Traced>,
    /// Whether the time is nearly over.
    is_hurried: AtomicBool,
    /// Whether somebody ends the spans of an invocation that has none of its own.
    is_claimed: AtomicBool,
}

#[derive(Debug)]
struct Traced {
    exporter: Exporter,
    /// The handler's span; unset where the invocation's own trace is not sampled.
    handler: OnceLock<SpanId>,
    /// The first span of each group. A message that continues a trace of its own makes one where
    /// there is no handler's span.
    groups: Mutex<Vec<SpanId>>,
}

impl State {
    /// Returns what of the invocation is `exporter`'s; the first exporter counts.
    fn traced(&self, exporter: &Exporter) -> Option<&Traced> {
        let traced = self.traced.get_or_init(|| Traced {
            exporter: exporter.clone(),
            handler: OnceLock::new(),
            groups: Mutex::default(),
        });
        Arc::ptr_eq(&traced.exporter.inner, &exporter.inner).then_some(traced)
    }

    /// Takes note of a span that has started in the invocation.
    fn start(&self, exporter: &Exporter, span: SpanData) {
        let traced = self.traced(exporter);
        let handler = traced.and_then(|traced| traced.handler.get().copied());
        let is_hurried = traced.is_some() && self.is_hurried.load(Ordering::Relaxed);
        let new_group = exporter.inner.open().start(span, handler, is_hurried);
        if let (Some(traced), Some(group)) = (traced, new_group) {
            lock(&traced.groups).push(group);
        }
    }
}

impl Traced {
    fn groups(&self) -> Vec<SpanId> {
        lock(&self.groups).clone()
    }
}

/// Makes `span` the handler's span of an invocation; the first one counts. It starts the span, so
/// whatever decides about the span's trace has to come before.
pub(super) fn register(invocation: &Invocation, span: &tracing::Span) {
    span.with_subscriber(|(id, dispatch)| {
        if let Some(exporter) = dispatch.downcast_ref::<Exporter>()
            && let Some(context) = get_otel_context(id, dispatch)
            && context.span().is_recording()
            && let Some(traced) = invocation.trace().traced(exporter)
        {
            let handler = context.span().span_context().span_id();
            if traced.handler.set(handler).is_ok() {
                let mut groups = lock(&traced.groups);
                // It is there already where the code around the layer is of the invocation, too.
                if !groups.contains(&handler) {
                    groups.push(handler);
                }
            }
        }
    });
}

/// Says whether the caller is the first who would end the spans of an invocation without a span of
/// its own.
pub(super) fn claim(invocation: &Invocation) -> bool {
    !invocation.trace().is_claimed.swap(true, Ordering::Relaxed)
}

/// Sends the open spans of an invocation as they are, in progress, and those that have ended and
/// wait for them. The open ones complete under the same id when they end.
///
/// For the moment when the time is nearly over: from then on nothing of the invocation waits, and a
/// span that ends is sent at once. Needs no dispatcher, and may be called on any thread.
#[cfg_attr(
    not(any(feature = "deadline", all(feature = "testing", test))),
    expect(dead_code, reason = "only a deadline asks for it")
)]
pub(crate) fn emit_in_progress(invocation: &Invocation) {
    let state = invocation.trace();
    state.is_hurried.store(true, Ordering::Relaxed);
    let Some(traced) = state.traced.get() else {
        return;
    };
    let inner = &*traced.exporter.inner;
    for group in traced.groups() {
        #[cfg(feature = "trace-otlp")]
        if let Some(otlp) = inner.transport.otlp() {
            // OTLP knows ended spans only.
            let batch = inner.open().hurry_batch(group);
            otlp.send(batch);
            continue;
        }
        let leaving = inner.open().hurry(group, &inner.function);
        inner.send(leaving);
    }
}

/// Ends the spans of an invocation as far as others wait for them, once its handler's span has ended,
/// and returns what has to be awaited until they are out. What is sent by UDP is out by then.
///
/// It takes no longer than the transport's timeout, nor than the invocation has time. The spans are
/// on their way already: whether it is awaited decides only whether they have arrived before Lambda
/// stops the process until the next invocation.
pub(super) fn flush(invocation: &Invocation) -> Option<Flush> {
    let traced = invocation.trace().traced.get()?;
    let inner = &*traced.exporter.inner;
    let groups = traced.groups();
    if traced.handler.get().is_none() {
        for &group in &groups {
            inner.end_group(group);
        }
    }
    inner.transport.flush(&groups, invocation.context())
}

/// Forgets the sockets of the running code's tracer: those of a snapshot lead nowhere when it is
/// restored.
pub(crate) fn reset() {
    tracing::dispatcher::get_default(|dispatch| {
        if let Some(exporter) = dispatch.downcast_ref::<Exporter>() {
            exporter.reset();
        }
    });
}

fn to_subsegment(document: &Document<'_>) -> Option<Subsegment> {
    Subsegment::new(document)
        .inspect_err(|error| {
            warn!(span = document.name(), %error, "span left out: it could not be serialised");
        })
        .ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
