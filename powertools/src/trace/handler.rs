use std::{fmt::Debug, thread};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanRef, Status, TraceContextExt},
};
use tracing::{Metadata, Span, error_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    ErrorDetails, ResponseDetails, TraceHeader,
    attributes::JSON_METADATA,
    config::Config,
    exporter::{self, Flush},
    failure::Failure,
    span,
};
use crate::{
    Invocation,
    classify::{Classify, Outcome},
};

const TARGET: &str = "powertools::trace";

/// Returns whether a span is that of a handler.
pub(super) fn is_handler(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// The span of one invocation's handler. Dropped before it has ended, it ends as failed.
#[derive(Debug, Default)]
pub(super) struct HandlerSpan {
    /// `None` once it has ended, and from the start if the trace is not sampled.
    open: Option<Open>,
    /// The invocation where it is not: its records may continue traces that are.
    unsampled: Option<Invocation>,
}

#[derive(Debug)]
struct Open {
    span: Span,
    /// The handler's.
    name: String,
    invocation: Invocation,
    /// Whether the handler has answered: all that is missing then is the span's end.
    has_answered: bool,
}

impl HandlerSpan {
    pub(super) fn open(invocation: &Invocation, name: Option<&str>) -> Self {
        let context = invocation.context();
        let header = TraceHeader::of_sampled(context);
        let Some(parent) = header.and_then(|header| header.span_context()) else {
            return Self::without_span(invocation);
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
        if span.is_disabled() {
            return Self::without_span(invocation);
        }
        let is_nested = span::current()
            .is_some_and(|it| it.span().span_context().trace_id() == parent.trace_id());
        if !is_nested {
            // It fails where no tracer listens; and has to come before the span is entered.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
        Self {
            open: Some(Open {
                span,
                name: name.to_owned(),
                invocation: invocation.clone(),
                has_answered: false,
            }),
            unsampled: None,
        }
    }

    fn without_span(invocation: &Invocation) -> Self {
        Self {
            open: None,
            unsampled: exporter::claim(invocation).then(|| invocation.clone()),
        }
    }

    /// Makes the span known as the one that its invocation's spans leave with. It has started then:
    /// what is to be seen of it while it is in progress has to be there before.
    pub(super) fn start(&self) {
        if let Some(open) = &self.open {
            exporter::register(&open.invocation, &open.span);
        }
    }

    /// Returns the span, where there is one.
    pub(super) fn span(&self) -> Option<&Span> {
        self.open.as_ref().map(|open| &open.span)
    }

    pub(super) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.open {
            Some(open) => open.span.in_scope(f),
            None => f(),
        }
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
                    self.span.fail(Failure::panicked());
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

    /// Shows how the handler answered, and ends the span, unless the response has a body that is
    /// still to come. Its document is out when this returns, or when what it returns is ready.
    pub(super) fn answer<T, E, C, D>(
        &mut self,
        config: &Config<C, D>,
        result: &Result<T, E>,
    ) -> Option<Flush>
    where
        E: Debug + 'static,
        C: Classify<T, E>,
        D: ResponseDetails<T> + ErrorDetails<E>,
    {
        if let Some(invocation) = self.unsampled.take() {
            let () = invocation.keep_to_end(())?;
            return exporter::flush(&invocation);
        }
        let open = self.open.as_mut()?;
        let context = open.span.context();
        let name = std::mem::take(&mut open.name);
        let invocation = open.invocation.clone();
        // What is called here is the application's own, and may panic as the handler may.
        self.run(|| show(&context.span(), &name, config, result, &invocation));
        let mut open = self.open.take()?;
        open.has_answered = true;
        let mut span = invocation.keep_to_end(Self {
            open: Some(open),
            unsampled: None,
        })?;
        span.open.take()?.end()
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(open) = self.open.take() {
            let context = open.span.context();
            let span = context.span();
            if span.is_recording() {
                failure.record(&span);
                mark(&span, Outcome::Fault);
            }
            // Nobody is left to wait for it.
            open.end();
        }
    }
}

impl Open {
    /// Ends the span without waiting for the `tracing` span to close, which spawned tasks may keep
    /// open. Its document is out when this returns, or when what it returns is ready.
    fn end(self) -> Option<Flush> {
        let context = self.span.context();
        let span = context.span();
        // It may have ended already, where the handler's own code has ended it.
        if span.is_recording() {
            span.end();
        }
        exporter::flush(&self.invocation)
    }
}

impl Drop for HandlerSpan {
    fn drop(&mut self) {
        if let Some(invocation) = self.unsampled.take() {
            exporter::flush(&invocation);
        }
        match self.open.take_if(|open| open.has_answered) {
            Some(open) => {
                open.end();
            }
            None if thread::panicking() => self.fail(Failure::panicked()),
            None => self.fail(Failure::cancelled()),
        }
    }
}

fn show<T, E, C, D>(
    span: &SpanRef<'_>,
    name: &str,
    config: &Config<C, D>,
    result: &Result<T, E>,
    invocation: &Invocation,
) where
    E: Debug + 'static,
    C: Classify<T, E>,
    D: ResponseDetails<T> + ErrorDetails<E>,
{
    if !span.is_recording() {
        return;
    }
    let outcome = config.classify.classify(result.as_ref());
    match result {
        Ok(response) => config.details.on_response(response, name, span),
        Err(error) if config.capture_error && outcome != Outcome::Success => {
            let details = config.details.as_error(error);
            let failure = Failure::from_error(error, details, invocation);
            match serde_json::to_string(&failure) {
                Ok(json) => {
                    let key = format!("{JSON_METADATA}{name} error");
                    span.set_attribute(KeyValue::new(key, json));
                }
                Err(error) => warn!(%error, "trace metadata could not be serialised"),
            }
            failure.record(span);
        }
        Err(_) => {}
    }
    // A success leaves alone what the handler itself has said of its span.
    if outcome != Outcome::Success {
        mark(span, outcome);
    }
}

fn mark(span: &SpanRef<'_>, outcome: Outcome) {
    for flag in span::flags(outcome) {
        span.set_attribute(flag);
    }
    if outcome == Outcome::Fault {
        span.set_status(Status::error(""));
    }
}
