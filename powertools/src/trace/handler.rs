use std::thread;

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{Metadata, Span, error_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{TraceHeader, exporter, failure::Failure, span};
use crate::Invocation;

const TARGET: &str = "powertools::trace";

/// Returns whether a span is that of a handler.
pub(super) fn is_handler(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// The span of one invocation's handler. Dropped before it has ended, it ends as failed.
#[derive(Debug)]
pub(super) struct HandlerSpan {
    /// Disabled once it has ended, and from the start if the trace is not sampled.
    span: Span,
}

impl HandlerSpan {
    pub(super) fn open(invocation: &Invocation, name: Option<&str>) -> Self {
        let context = invocation.context();
        let parent = TraceHeader::from_context(context)
            .and_then(|header| header.span_context())
            .filter(opentelemetry::trace::SpanContext::is_sampled);
        let Some(parent) = parent else {
            return Self { span: Span::none() };
        };
        let name = name.unwrap_or(&context.env_config.function_name);
        let name = if name.is_empty() { "handler" } else { name };
        // At the level that a filter by level lets through as long as it lets anything: how much is
        // logged has nothing to do with whether an invocation is traced.
        let span = error_span!(
            target: TARGET,
            "handler",
            otel.name = format!("## {name}"),
            annotation.ColdStart = invocation.is_cold_start(),
        );
        let is_nested = span::current()
            .is_some_and(|it| it.span().span_context().trace_id() == parent.trace_id());
        if !is_nested {
            // It fails where no tracer listens; and has to come before the span is entered.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
        exporter::register(invocation, &span);
        Self { span }
    }

    pub(super) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        self.span.in_scope(f)
    }

    /// Runs `f` in the span, and ends it as failed if `f` panics: the runtime catches the panic
    /// around our future and drops the future later, when nothing panics any more, so that it would
    /// pass for cancelled.
    pub(super) fn run<R>(&mut self, f: impl FnOnce() -> R) -> R {
        struct EndOnPanic<'a> {
            span: &'a mut HandlerSpan,
            is_armed: bool,
        }

        impl Drop for EndOnPanic<'_> {
            fn drop(&mut self) {
                if self.is_armed {
                    self.span.end(|| Some(Failure::panicked()));
                }
            }
        }

        let mut guard = EndOnPanic {
            span: self,
            is_armed: true,
        };
        let result = guard.span.in_scope(f);
        guard.is_armed = false;
        result
    }

    /// Ends the span; its document has been sent when this returns.
    ///
    /// It does not wait for the `tracing` span to close, which spawned tasks may keep open.
    pub(super) fn end(&mut self, failure: impl FnOnce() -> Option<Failure>) {
        let span = std::mem::replace(&mut self.span, Span::none());
        if span.is_disabled() {
            return;
        }
        let context = span.context();
        let otel = context.span();
        if otel.is_recording() {
            if let Some(failure) = failure() {
                failure.record(&otel);
            }
            otel.end();
        }
    }
}

impl Drop for HandlerSpan {
    fn drop(&mut self) {
        self.end(|| {
            Some(if thread::panicking() {
                Failure::panicked()
            } else {
                Failure::cancelled()
            })
        });
    }
}
