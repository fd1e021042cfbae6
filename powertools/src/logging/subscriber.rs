use std::{cell::Cell, fmt, io::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    layer::{Context, Filter, Layer},
    registry::{LookupSpan, Scope},
};

use super::{
    fields::{FieldVisitor, Fields, write_json},
    level, state,
};
use crate::{Invocation, output::Output};

/// A line's buffers grow to what a function's lines need, and no further than this in bytes.
const KEPT_CAPACITY: usize = 64 * 1024;

thread_local! {
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// What a line is put together in. Taken while in use, since a value that is formatted may log.
#[derive(Default)]
struct Buffers {
    fields: Fields,
    message: Vec<u8>,
    line: Vec<u8>,
}

/// Writes every event as one line.
pub(super) struct JsonLines {
    /// The member `"service":"…"`.
    pub(super) service: Vec<u8>,
    pub(super) output: Output,
    pub(super) now: fn() -> Timestamp,
}

/// What is kept of a span until it closes.
struct SpanState {
    fields: Fields,
    /// The trace's id as JSON, where the runtime's own span tells it.
    trace_id: Option<Vec<u8>>,
    /// Where the span was made: code that enters it in another task logs for the same invocation.
    invocation: Option<Invocation>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut state = SpanState {
            fields: Fields::default(),
            trace_id: None,
            invocation: Invocation::current(),
        };
        if is_of_runtime(attributes.metadata()) {
            attributes.record(&mut RuntimeVisitor(&mut state));
        } else {
            attributes.record(&mut FieldVisitor::span(&mut state.fields));
        }
        span.extensions_mut().insert(state);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Formatted before the extensions are locked: a value's own code may look into its span.
        let mut recorded = Fields::default();
        values.record(&mut FieldVisitor::span(&mut recorded));
        if let Some(state) = span.extensions_mut().get_mut::<SpanState>() {
            state.fields.extend(&recorded);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut buffers = BUFFERS.try_with(Cell::take).unwrap_or_default();
        let Buffers {
            fields,
            message,
            line,
        } = &mut buffers;
        fields.clear();
        message.clear();
        line.clear();

        let invocation = Invocation::current().or_else(|| nearest_invocation(event, &ctx));
        let trace_id = invocation
            .as_ref()
            .and_then(|invocation| state::extend(fields, invocation));
        let mut trace_id_of_runtime = None;
        let spans = ctx.event_scope(event);
        for span in spans.into_iter().flat_map(Scope::from_root) {
            if let Some(state) = span.extensions().get::<SpanState>() {
                fields.extend(&state.fields);
                if trace_id.is_none() && state.trace_id.is_some() {
                    trace_id_of_runtime.clone_from(&state.trace_id);
                }
            }
        }
        event.record(&mut FieldVisitor::event(fields, message));

        self.write_head(line, event.metadata(), message);
        if !fields.contains(br#""service""#) {
            line.push(b',');
            line.extend_from_slice(&self.service);
        }
        fields.write(line);
        if let Some(trace_id) = trace_id.or(trace_id_of_runtime.as_deref()) {
            line.extend_from_slice(br#","xray_trace_id":"#);
            line.extend_from_slice(trace_id);
        }
        line.extend_from_slice(b"}\n");
        self.output.write_line(line);

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
    let mut spans = ctx.event_scope(event)?;
    spans.find_map(|span| span.extensions().get::<SpanState>()?.invocation.clone())
}

impl JsonLines {
    /// Starts the object: level, location, message, timestamp.
    fn write_head(&self, line: &mut Vec<u8>, metadata: &Metadata<'_>, message: &[u8]) {
        line.extend_from_slice(br#"{"level":""#);
        line.extend_from_slice(level::word(*metadata.level()).as_bytes());
        line.extend_from_slice(br#"","location":"#);
        let module = metadata.module_path().unwrap_or_else(|| metadata.target());
        match metadata.line() {
            Some(number) => write_json(line, Text(format_args!("{module}:{number}"))),
            None => write_json(line, module),
        }
        line.extend_from_slice(br#","message":"#);
        line.extend_from_slice(if message.is_empty() {
            br#""""#
        } else {
            message
        });
        let now = (self.now)();
        // A `Vec` takes whatever is written.
        let _ = write!(line, r#","timestamp":"{now:.3}""#);
    }
}

struct Text<'a>(fmt::Arguments<'a>);

impl serde::Serialize for Text<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines")
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// The span that lambda_runtime's own `TracingLayer` opens around every invocation.
fn is_of_runtime(metadata: &Metadata<'_>) -> bool {
    metadata.name() == "Lambda runtime invoke"
}

/// Gives the fields of the runtime's own span our names, so that lines written outside of the
/// layers (the runtime's own error lines) can be found by the same keys.
struct RuntimeVisitor<'a>(&'a mut SpanState);

impl Visit for RuntimeVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "requestId" => self.0.fields.insert("function_request_id", value),
            "tenantId" => self.0.fields.insert("tenant_id", value),
            "xrayTraceId" => self.0.trace_id = state::trace_id(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Lets events pass up to a level, and spans whenever they carry keys for such an event.
///
/// A span is made at `INFO` as a rule; its keys belong on a `WARN` line also when the level is
/// `WARN`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold(pub(super) LevelFilter);

impl Threshold {
    fn is_enabled(self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_event() {
            *metadata.level() <= self.0
        } else {
            *metadata.level() <= self.0.max(LevelFilter::INFO)
                && !metadata.target().starts_with("powertools::")
        }
    }
}

impl<S> Filter<S> for Threshold {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_enabled(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.max(Level::INFO.into()))
    }
}
