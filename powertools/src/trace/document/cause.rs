use std::borrow::Cow;

use opentelemetry::{
    Array, StringValue, Value,
    trace::{Event, SpanId, Status},
};
use opentelemetry_sdk::trace::SpanData;
use serde::Serialize;

use super::{
    Id,
    text::{TEXT_LENGTH, shorten},
};
use crate::trace::failure::{
    EXCEPTION, EXCEPTION_CHAIN, EXCEPTION_MESSAGE, EXCEPTION_TYPE, UNKNOWN_TYPE,
};

/// The most exceptions a document shows of a chain. This limit is ours, as is that of their texts.
pub(super) const EXCEPTIONS: usize = 10;

/// Why a span has failed.
#[derive(Serialize)]
pub(super) struct Cause<'a> {
    exceptions: Vec<Exception<'a>>,
}

impl<'a> Cause<'a> {
    pub(super) fn new(span: SpanId, span_data: &'a SpanData) -> Option<Self> {
        let mut exceptions = Vec::new();
        for event in span_data.events.iter() {
            let Some((kind, messages)) = read_exception(event) else {
                continue;
            };
            let last = messages.len().saturating_sub(1);
            for (depth, message) in messages.into_iter().enumerate() {
                if exceptions.len() == EXCEPTIONS {
                    break;
                }
                let id = id_of_exception(span, exceptions.len());
                let is_cause_shown = depth < last && exceptions.len() + 1 < EXCEPTIONS;
                exceptions.push(Exception {
                    id,
                    message: shorten(message, TEXT_LENGTH),
                    kind: shorten(if depth == 0 { kind } else { UNKNOWN_TYPE }, TEXT_LENGTH),
                    remote: false,
                    cause: is_cause_shown.then(|| id_of_exception(span, exceptions.len() + 1)),
                });
            }
        }
        if exceptions.is_empty()
            && let Status::Error { description } = &span_data.status
            && !description.is_empty()
        {
            exceptions.push(Exception {
                id: id_of_exception(span, 0),
                message: shorten(description, TEXT_LENGTH),
                kind: UNKNOWN_TYPE.into(),
                remote: false,
                cause: None,
            });
        }
        (!exceptions.is_empty()).then_some(Self { exceptions })
    }
}

#[derive(Serialize)]
struct Exception<'a> {
    id: Id,
    message: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    remote: bool,
    /// The exception that this one was caused by.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Id>,
}

/// X-Ray wants an id for each exception; the span's own successors are as unique as it is.
fn id_of_exception(span: SpanId, number: usize) -> Id {
    let span = u64::from_be_bytes(span.to_bytes());
    Id(SpanId::from(span.wrapping_add(number as u64 + 1)))
}

/// Returns an exception's type and the messages of its chain, outermost first.
///
/// An exception is an event of that name (`error!(error)`, `#[instrument(err)]`, a handler's
/// error) or any other event of level `ERROR`, whose own message comes first then.
fn read_exception(event: &Event) -> Option<(&str, Vec<&str>)> {
    let attribute = |name| {
        let mut attributes = event.attributes.iter();
        attributes
            .find(|it| it.key.as_str() == name)
            .map(|it| &it.value)
    };
    let text = |name| match attribute(name) {
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let mut messages = Vec::new();
    if event.name != EXCEPTION {
        if text("level") != Some("ERROR") {
            return None;
        }
        messages.push(&*event.name);
    }
    messages.extend(text(EXCEPTION_MESSAGE));
    if let Some(Value::Array(Array::String(chain))) = attribute(EXCEPTION_CHAIN) {
        messages.extend(chain.iter().map(StringValue::as_str));
    }
    Some((text(EXCEPTION_TYPE).unwrap_or(UNKNOWN_TYPE), messages))
}
