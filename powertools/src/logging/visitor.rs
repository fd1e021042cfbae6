use std::{error::Error, fmt};

use serde::Serialize;
use tracing::field::{Field, Visit};

use super::{
    fields::Fields,
    value::{self, ErrorRecord, Formatted},
};
use crate::{
    json,
    names::{ANNOTATION, METADATA},
};

/// An `ERROR` event with this field set has the level `FATAL`, which `tracing` does not know.
pub(super) const FATAL: &str = "fatal";

/// Collects the fields of a `tracing` event or span.
pub(super) struct FieldVisitor<'a> {
    fields: &'a mut Fields,
    /// What values that are formatted are put together in.
    text: &'a mut String,
    event: Option<EventParts<'a>>,
}

/// What an event has and a span has not.
struct EventParts<'a> {
    message: &'a mut Vec<u8>,
    is_fatal: &'a mut bool,
}

impl<'a> FieldVisitor<'a> {
    pub(super) const fn event(
        fields: &'a mut Fields,
        text: &'a mut String,
        message: &'a mut Vec<u8>,
        is_fatal: &'a mut bool,
    ) -> Self {
        Self {
            fields,
            text,
            event: Some(EventParts { message, is_fatal }),
        }
    }

    pub(super) const fn span(fields: &'a mut Fields, text: &'a mut String) -> Self {
        Self {
            fields,
            text,
            event: None,
        }
    }

    fn insert(&mut self, field: &Field, value: impl Serialize) {
        self.insert_with(field, |bytes| json::write(bytes, value));
    }

    fn insert_text(&mut self, field: &Field, text: &str) {
        self.insert_with(field, |bytes| json::write_text(bytes, text));
    }

    fn insert_with(&mut self, field: &Field, write: impl FnOnce(&mut Vec<u8>)) {
        match (&mut self.event, field.name()) {
            (Some(event), "message") => {
                event.message.clear();
                write(event.message);
            }
            (_, name) => {
                if let Some(name) = key_of(name) {
                    self.fields.insert_with(name, false, write);
                }
            }
        }
    }

    fn insert_error(&mut self, field: &Field, error: &ErrorRecord) {
        if self.event.is_some() && field.name() == "message" {
            self.insert_text(field, &error.message);
        } else if let Some(name) = key_of(field.name()) {
            self.fields.insert_error(name, error);
        }
    }
}

/// Returns the log key of a `tracing` field, or `None` for one that speaks to the tracer only.
///
/// `annotation.order_id` becomes `order_id`: what indexes a trace is worth searching logs by.
fn key_of(field: &str) -> Option<&str> {
    if ["otel.", METADATA, "log."]
        .iter()
        .any(|prefix| field.starts_with(prefix))
    {
        return None;
    }
    let field = field.strip_prefix(ANNOTATION).unwrap_or(field);
    Some(field.strip_prefix("r#").unwrap_or(field))
}

impl Visit for FieldVisitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.insert(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match &mut self.event {
            Some(event) if field.name() == FATAL => *event.is_fatal = value,
            _ => self.insert(field, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert_error(field, &ErrorRecord::new(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Taken while in use: the value's own code may come back here.
        let mut text = std::mem::take(self.text);
        match value::format(value, &mut text) {
            Formatted::Text => self.insert_text(field, &text),
            Formatted::Error(error) => self.insert_error(field, &error),
            Formatted::Json => match (&mut self.event, field.name()) {
                (Some(event), "message") => {
                    event.message.clear();
                    event.message.extend_from_slice(text.as_bytes());
                    json::put_on_one_line(event.message);
                }
                (_, name) => {
                    if let Some(name) = key_of(name) {
                        self.fields.insert_json(name, &text);
                    }
                }
            },
        }
        *self.text = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_for_the_tracer_are_left_out() {
        assert_eq!(key_of("otel.name"), None);
        assert_eq!(key_of("metadata.cart"), None);
        assert_eq!(key_of("log.target"), None);
        assert_eq!(key_of("annotation.order_id"), Some("order_id"));
        assert_eq!(key_of("r#type"), Some("type"));
    }
}
