//! Unsigned fields of spans as numbers.
//!
//! OpenTelemetry has no unsigned numbers, and tracing-opentelemetry turns such a field into text:
//! `annotation.items = items.len()` could not be searched by `annotation.items > 5`. So two layers
//! around its own note these fields, and hand them over while the span closes, which is when the
//! exporter sees it, on the same thread.

use std::cell::RefCell;

use opentelemetry::{KeyValue, Value};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

thread_local! {
    static CLOSING: RefCell<UnsignedFields> = const { RefCell::new(UnsignedFields(Vec::new())) };
}

/// A span's unsigned fields.
#[derive(Debug, Default)]
struct UnsignedFields(Vec<(&'static str, u64)>);

impl Visit for UnsignedFields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Notes unsigned fields. Goes before the layer of tracing-opentelemetry.
#[derive(Debug)]
pub(super) struct Note;

impl Note {
    fn note<S>(fields: UnsignedFields, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        if !fields.0.is_empty()
            && let Some(span) = context.span(id)
        {
            let mut extensions = span.extensions_mut();
            match extensions.get_mut::<UnsignedFields>() {
                Some(earlier) => earlier.0.extend(fields.0),
                None => extensions.insert(fields),
            }
        }
    }
}

impl<S> Layer<S> for Note
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = UnsignedFields::default();
        attributes.record(&mut fields);
        Self::note(fields, id, &context);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut fields = UnsignedFields::default();
        record.record(&mut fields);
        Self::note(fields, id, &context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(fields) = span.extensions_mut().remove()
        {
            CLOSING.replace(fields);
        }
    }
}

/// Forgets the fields of a span that was not exported. Goes after the layer of
/// tracing-opentelemetry.
#[derive(Debug)]
pub(super) struct Forget;

impl<S: Subscriber> Layer<S> for Forget {
    fn on_close(&self, _: Id, _: Context<'_, S>) {
        CLOSING.take();
    }
}

/// Turns the text of the closing span's unsigned fields into numbers again.
pub(super) fn restore(attributes: &mut [KeyValue]) {
    for (name, number) in CLOSING.take().0 {
        let text = number.to_string();
        let attribute = attributes.iter_mut().find(|it| {
            it.key.as_str() == name && matches!(&it.value, Value::String(it) if it.as_str() == text)
        });
        if let Some(attribute) = attribute {
            attribute.value = to_value(number);
        }
    }
}

/// Returns a number as OpenTelemetry knows it, beyond its integers the nearest float.
pub(super) fn to_value(number: u64) -> Value {
    i64::try_from(number).map_or(Value::F64(number as f64), Value::I64)
}
