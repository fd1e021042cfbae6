use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::{LookupSpan, Scope, SpanRef},
};

use super::{
    buffer,
    fields::Fields,
    line::{Format, Line},
    redact::Redaction,
    sampling::Sampler,
    state,
    threshold::Threshold,
    visitor::{FATAL, FieldVisitor},
};
use crate::{Invocation, json, names::is_of_runtime, output::Output};

/// A line's buffers grow to what a function's lines need, and no further than this in bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

thread_local! {
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// What a line is put together in. Taken while in use, since a value that is formatted may log.
#[derive(Default)]
struct Buffers {
    fields: Fields,
    text: String,
    message: Vec<u8>,
    line: Vec<u8>,
}

/// What the runtime's own span tells of its invocation, as it tells it: every invocation has that
/// span, and hardly one a line that needs it.
#[derive(Default)]
struct RuntimeKeys {
    request_id: Option<Box<str>>,
    tenant_id: Option<Box<str>>,
    trace_header: Option<Box<str>>,
}

/// Writes every event as one line.
#[derive(Clone)]
pub(super) struct Lines {
    pub(super) writer: Arc<LineWriter>,
}

/// What all lines of a logger have in common.
pub(super) struct LineWriter {
    pub(super) format: Arc<dyn Format>,
    /// The service's name as JSON.
    pub(super) service: Vec<u8>,
    /// The keys of every line.
    pub(super) keys: Fields,
    pub(super) redaction: Redaction,
    pub(super) threshold: Threshold,
    pub(super) output: Output,
    pub(super) now: fn() -> SystemTime,
}

/// What is kept of a span until it closes.
struct SpanState {
    fields: Fields,
    runtime: RuntimeKeys,
    /// Where the span was made: code that enters it in another task logs for the same invocation.
    invocation: Option<Invocation>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut state = SpanState {
            fields: Fields::default(),
            runtime: RuntimeKeys::default(),
            invocation: Invocation::current(),
        };
        if is_of_runtime(attributes.metadata()) {
            attributes.record(&mut state.runtime);
        } else {
            attributes.record(&mut FieldVisitor::span(
                &mut state.fields,
                &mut String::new(),
            ));
        }
        // Another logger beside this one has put the same there.
        span.extensions_mut().replace(state);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Formatted before the extensions are locked: a value's own code may look into its span.
        let mut recorded = Fields::default();
        values.record(&mut FieldVisitor::span(&mut recorded, &mut String::new()));
        if let Some(state) = span.extensions_mut().get_mut::<SpanState>() {
            state.fields.extend(&recorded);
            state.fields.collect_garbage();
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        let Buffers {
            fields,
            text,
            message,
            line,
        } = &mut buffers;
        fields.clear();
        message.clear();
        line.clear();

        fields.extend(&self.writer.keys);
        let invocation = Invocation::current().or_else(|| nearest_invocation(event, &ctx));
        let trace_id = invocation
            .as_ref()
            .and_then(|invocation| state::extend(fields, invocation));
        let is_request = |it: &Invocation| !it.context().request_id.is_empty();
        let is_known = invocation.as_ref().is_some_and(is_request);
        let mut trace_id_of_runtime = None;
        let spans = ctx.event_scope(event);
        for span in spans.into_iter().flat_map(Scope::from_root) {
            if let Some(state) = span.extensions().get::<SpanState>() {
                if !is_known {
                    state.runtime.add_to(fields, &mut trace_id_of_runtime);
                }
                fields.extend(&state.fields);
            }
        }
        let mut is_fatal = false;
        event.record(&mut FieldVisitor::event(
            fields,
            text,
            message,
            &mut is_fatal,
        ));

        let metadata = event.metadata();
        let is_error = *metadata.level() == Level::ERROR;
        if is_fatal && !is_error {
            // Below an error it is a field like any other.
            fields.insert(FATAL, true);
        }
        let is_left_out =
            is_error && !is_fatal && self.writer.threshold.is_fatal_only(metadata.target());
        if !is_left_out {
            let head = EventHead {
                is_fatal,
                message,
                fields,
                trace_id: trace_id.or(trace_id_of_runtime.as_deref()),
            };
            self.writer
                .write_event(event, &head, line, invocation.as_ref());
        }

        if line.capacity() <= KEPT_CAPACITY {
            let _ = BUFFERS.try_with(|cell| cell.set(buffers));
        }
    }
}

/// Returns the invocation in which the nearest span that was made inside one was made.
fn nearest_invocation<S>(event: &Event<'_>, ctx: &Context<'_, S>) -> Option<Invocation>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    invocation_of(&ctx.event_span(event)?)
}

/// Returns the invocation in which a span was made, or the nearest one around it that was made in
/// one.
pub(super) fn invocation_of<'a, S>(span: &SpanRef<'a, S>) -> Option<Invocation>
where
    S: LookupSpan<'a>,
{
    let mut spans = span.scope();
    spans.find_map(|span| span.extensions().get::<SpanState>()?.invocation.clone())
}

/// What has been found out about an event.
struct EventHead<'a> {
    is_fatal: bool,
    message: &'a [u8],
    fields: &'a Fields,
    trace_id: Option<&'a [u8]>,
}

impl LineWriter {
    fn write_event(
        self: &Arc<Self>,
        event: &Event<'_>,
        head: &EventHead<'_>,
        output: &mut Vec<u8>,
        invocation: Option<&Invocation>,
    ) {
        // Records of the crate `log` say elsewhere where they come from.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let line = Line {
            level: *metadata.level(),
            is_fatal: head.is_fatal,
            module: metadata.module_path().unwrap_or_else(|| metadata.target()),
            number: metadata.line(),
            message: if head.message.is_empty() {
                br#""""#
            } else {
                head.message
            },
            timestamp: (self.now)(),
            service: &self.service,
            sampling_rate: self.threshold.sampler.as_ref().map(Sampler::rate),
            fields: head.fields,
            trace_id: head.trace_id,
        };
        // A format's own code must not fail the invocation: then the line is lost, and no more.
        let render = AssertUnwindSafe(|| self.render(&line, output));
        if catch_unwind(render).is_ok() {
            self.write_or_hold_back(*metadata.level(), output, invocation);
        }
    }

    fn render(&self, line: &Line<'_>, output: &mut Vec<u8>) {
        if self.redaction.is_empty() {
            self.format.write(line, output);
        } else {
            let fields = self.redaction.fields(line.fields);
            let mut message = Vec::with_capacity(line.message.len());
            self.redaction.copy(line.message, &mut message);
            let redacted = Line {
                fields: &fields,
                message: &message,
                ..*line
            };
            self.format.write(&redacted, output);
        }
        output.push(b'\n');
    }

    fn write_or_hold_back(
        self: &Arc<Self>,
        level: Level,
        line: &[u8],
        invocation: Option<&Invocation>,
    ) {
        let (Some(buffer), Some(invocation)) = (&self.threshold.buffer, invocation) else {
            return self.output.write_line(line);
        };
        let state = invocation.logging();
        // What the invocation was sampled or asked for is not held back.
        if level >= buffer.level
            && state.is_running()
            && level > state.verbosity(self.threshold.sampler.as_ref())
        {
            if buffer::hold_back(&mut state.held_back(), self, buffer, line) {
                return;
            }
            self.output.write_line(line);
            return self.notice(invocation, "a log line was larger than the whole buffer");
        }
        if level == Level::ERROR && buffer.flush_on_error {
            flush(invocation);
        }
        self.output.write_line(line);
    }

    /// Writes a line of the logger's own about an invocation.
    fn notice(&self, invocation: &Invocation, message: &str) {
        let mut fields = Fields::default();
        fields.extend(&self.keys);
        let trace_id = state::extend(&mut fields, invocation);
        let max_bytes = self.threshold.buffer.map_or(0, |buffer| buffer.max_bytes);
        fields.insert("buffer_max_bytes", max_bytes);
        self.warn(&fields, trace_id, message);
    }

    /// Writes a line of the logger's own.
    pub(super) fn warn(&self, fields: &Fields, trace_id: Option<&[u8]>, message: &str) {
        let mut quoted = Vec::new();
        json::write_text(&mut quoted, message);
        let line = Line {
            level: Level::WARN,
            is_fatal: false,
            module: "powertools::logging",
            number: None,
            message: &quoted,
            timestamp: (self.now)(),
            service: &self.service,
            sampling_rate: self.threshold.sampler.as_ref().map(Sampler::rate),
            fields,
            trace_id,
        };
        let mut output = Vec::new();
        self.render(&line, &mut output);
        self.output.write_line(&output);
    }
}

/// Writes what an invocation has held back.
pub(crate) fn flush(invocation: &Invocation) {
    // Taken out first: a writer's own code may log.
    let held_back = std::mem::take(&mut *invocation.logging().held_back());
    for (writer, lines) in held_back {
        if lines.write(&writer.output) {
            writer.notice(
                invocation,
                "some log lines were dropped: the buffer was full",
            );
        }
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter")
            .field("format", &self.format)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl RuntimeKeys {
    /// Adds them to a line under our names, so that lines written outside of the layers (the runtime's
    /// own error lines) can be found by the same keys.
    fn add_to(&self, line: &mut Fields, trace_id: &mut Option<Vec<u8>>) {
        if let Some(id) = &self.request_id {
            line.insert_text("function_request_id", id);
        }
        if let Some(id) = &self.tenant_id {
            line.insert_text("tenant_id", id);
        }
        if let Some(header) = &self.trace_header {
            *trace_id = state::trace_id(header);
        }
    }
}

impl Visit for RuntimeKeys {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "requestId" => self.request_id = Some(value.into()),
            "tenantId" => self.tenant_id = Some(value.into()),
            "xrayTraceId" => self.trace_header = Some(value.into()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
