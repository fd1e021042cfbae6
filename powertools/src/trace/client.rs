//! Calls of other services: their spans, and how the trace goes on there.

use std::thread;

use opentelemetry::{
    Context, KeyValue, StringValue, Value,
    trace::{SpanRef, Status, TraceContextExt},
};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    TraceHeader,
    failure::{EXCEPTION, EXCEPTION_CHAIN, EXCEPTION_MESSAGE, EXCEPTION_TYPE},
    span,
};
use crate::classify::Outcome;

/// The header of a request that X-Ray knows its trace by.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
pub(super) const X_AMZN_TRACE_ID: &str = "x-amzn-trace-id";

/// The most sources of an error that are told.
const SOURCES: usize = 9;

/// The span of one call. Dropped before it has ended, it ends as failed.
#[derive(Debug)]
pub(super) struct ClientSpan {
    span: Span,
    context: Context,
}

impl ClientSpan {
    /// Opens a span inside the one that the code runs in. `None` where that one is not recorded.
    ///
    /// `start` gives it the attributes that are to be seen while it is in progress.
    pub(super) fn open(name: &str, start: impl FnOnce(&Span)) -> Option<Self> {
        if !is_recorded() {
            return None;
        }
        // With no more fields than it needs: the log lines inside would have them, too.
        let span = info_span!("call", otel.name = name, otel.kind = "client");
        start(&span);
        let context = span.context();
        let is_recording = context.span().is_recording();
        is_recording.then_some(Self { span, context })
    }

    /// Returns the header that makes the called service's work a part of this span.
    pub(super) fn header(&self) -> Option<TraceHeader> {
        self.in_scope(TraceHeader::current)
    }

    pub(super) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        self.span.in_scope(f)
    }

    /// Says how the call ended.
    pub(super) fn set_outcome(&self, outcome: Outcome) {
        for flag in span::flags(outcome) {
            self.otel().set_attribute(flag);
        }
        if outcome != Outcome::Success {
            self.otel().set_status(Status::error(""));
        }
    }

    /// Tells what went wrong: the message of an error, and those of its sources.
    pub(super) fn add_cause(
        &self,
        kind: impl Into<StringValue>,
        messages: impl IntoIterator<Item = String>,
    ) {
        let mut messages = messages.into_iter();
        let mut attributes = vec![
            KeyValue::new(EXCEPTION_TYPE, kind.into()),
            KeyValue::new(EXCEPTION_MESSAGE, messages.next().unwrap_or_default()),
        ];
        let sources: Vec<StringValue> = messages.take(SOURCES).map(Into::into).collect();
        if !sources.is_empty() {
            attributes.push(KeyValue::new(EXCEPTION_CHAIN, Value::Array(sources.into())));
        }
        self.otel().add_event(EXCEPTION, attributes);
    }

    /// Ends the span now, whoever keeps it.
    pub(super) fn end(&self) {
        self.otel().end();
    }

    pub(super) fn otel(&self) -> SpanRef<'_> {
        self.context.span()
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        if !self.otel().is_recording() {
            return;
        }
        let (kind, message) = if thread::panicking() {
            ("panic", "the call panicked")
        } else {
            ("cancelled", "the call was dropped before it was answered")
        };
        self.add_cause(kind, [message.to_owned()]);
        self.set_outcome(Outcome::Fault);
        self.end();
    }
}

/// Returns whether the code runs in a span that is recorded.
pub(super) fn is_recorded() -> bool {
    span::current().is_some_and(|context| context.span().is_recording())
}
