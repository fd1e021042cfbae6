//! X-Ray's form of a span.
//!
//! Source of fields and limits:
//! <https://docs.aws.amazon.com/xray/latest/devguide/aws-xray-interface-api.html>

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Array, KeyValue, StringValue, Value,
    trace::{Event, Link, SpanId, Status, TraceId},
};
use opentelemetry_sdk::trace::SpanData;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::names::{ANNOTATION, METADATA, SERVICE_UNDEFINED};

use super::{
    failure::{EXCEPTION, EXCEPTION_CHAIN, EXCEPTION_MESSAGE, EXCEPTION_TYPE, UNKNOWN_TYPE},
    header::Root,
};

/// What the name of an attribute begins with that becomes metadata and is JSON already; no field of
/// a span is named so by chance.
pub(super) const JSON_METADATA: &str = "powertools.metadata.";

const NAME_LENGTH: usize = 200;
const ANNOTATIONS: usize = 50;
const ANNOTATION_KEY_LENGTH: usize = 500;
const ANNOTATION_VALUE_LENGTH: usize = 1000;

/// The most exceptions a document shows of a chain, and the most characters of a message. These
/// limits are ours: they leave room for the rest of the 64 KB that X-Ray takes.
const EXCEPTIONS: usize = 10;
const MESSAGE_LENGTH: usize = 1000;

/// Where fields go that are neither annotation nor metadata: the X-Ray SDKs' own default.
const DEFAULT_NAMESPACE: &str = "default";

/// A subsegment that is sent by itself.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    id: Id,
    name: Cow<'a, str>,
    start_time: f64,
    end_time: f64,
    parent_id: Id,
    in_progress: bool,
    #[serde(skip_serializing_if = "is_false")]
    fault: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<Cow<'a, str>, Annotation<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, BTreeMap<&'a str, Metadata<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<SpanLink<'a>>,
    trace_id: Trace,
    #[serde(rename = "type")]
    kind: &'static str,
    namespace: &'static str,
}

impl<'a> Document<'a> {
    pub(super) fn new(span: &'a SpanData, service: Option<&'a str>) -> Self {
        let id = span.span_context.span_id();
        let cause = Cause::new(id, span);
        let mut document = Self {
            id: Id(id),
            name: clean_name(&span.name),
            start_time: seconds(span.start_time),
            end_time: seconds(span.end_time.max(span.start_time)),
            parent_id: Id(span.parent_span_id),
            in_progress: false,
            fault: cause.is_some() || matches!(span.status, Status::Error { .. }),
            cause,
            annotations: BTreeMap::new(),
            metadata: BTreeMap::new(),
            links: span.links.iter().map(SpanLink::new).collect(),
            trace_id: Trace(span.span_context.trace_id()),
            kind: "subsegment",
            namespace: "local",
        };
        for attribute in &span.attributes {
            document.add(attribute, service.unwrap_or(SERVICE_UNDEFINED));
        }
        document
    }

    fn add(&mut self, attribute: &'a KeyValue, service: &'a str) {
        let (name, value) = (attribute.key.as_str(), &attribute.value);
        if let Some(key) = name.strip_prefix(ANNOTATION) {
            let key = clean_key(key);
            let is_full = self.annotations.len() == ANNOTATIONS;
            if !key.is_empty() && (!is_full || self.annotations.contains_key(&key)) {
                self.annotations.insert(key, Annotation::new(value));
            }
        } else if let Some(key) = name.strip_prefix(METADATA) {
            self.add_metadata(service, key, Metadata::new(value));
        } else if let Some(key) = name.strip_prefix(JSON_METADATA) {
            self.add_metadata(service, key, Metadata::from_json(value));
        } else {
            self.add_metadata(DEFAULT_NAMESPACE, name, Metadata::new(value));
        }
    }

    fn add_metadata(&mut self, namespace: &'a str, key: &'a str, value: Metadata<'a>) {
        self.metadata
            .entry(namespace)
            .or_default()
            .insert(key, value);
    }

    /// Leaves the metadata out, and says whether there was any.
    pub(super) fn drop_metadata(&mut self) -> bool {
        !std::mem::take(&mut self.metadata).is_empty()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Serialize)]
struct Cause<'a> {
    exceptions: Vec<Exception<'a>>,
}

impl<'a> Cause<'a> {
    fn new(span: SpanId, span_data: &'a SpanData) -> Option<Self> {
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
                let id = Id::of_exception(span, exceptions.len());
                let is_cause_shown = depth < last && exceptions.len() + 1 < EXCEPTIONS;
                exceptions.push(Exception {
                    id,
                    message: shorten(message, MESSAGE_LENGTH),
                    kind: if depth == 0 { kind } else { UNKNOWN_TYPE },
                    remote: false,
                    cause: is_cause_shown.then(|| Id::of_exception(span, exceptions.len() + 1)),
                });
            }
        }
        if exceptions.is_empty()
            && let Status::Error { description } = &span_data.status
            && !description.is_empty()
        {
            exceptions.push(Exception {
                id: Id::of_exception(span, 0),
                message: shorten(description, MESSAGE_LENGTH),
                kind: UNKNOWN_TYPE,
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
    kind: &'a str,
    remote: bool,
    /// The exception that this one was caused by.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Id>,
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

/// A link to a span, of another trace as a rule.
/// Source: <https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/main/internal/aws/xray/tracesegment.go>
#[derive(Serialize)]
struct SpanLink<'a> {
    trace_id: Trace,
    id: Id,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, Metadata<'a>>,
}

impl<'a> SpanLink<'a> {
    fn new(link: &'a Link) -> Self {
        let attributes = link.attributes.iter();
        Self {
            trace_id: Trace(link.span_context.trace_id()),
            id: Id(link.span_context.span_id()),
            attributes: attributes
                .map(|it| (it.key.as_str(), Metadata::new(&it.value)))
                .collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Annotation<'a> {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Annotation<'a> {
    fn new(value: &'a Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::I64(value) => Self::Integer(*value),
            Value::F64(value) if value.is_finite() => Self::Float(*value),
            Value::String(value) => Self::Text(shorten(value.as_str(), ANNOTATION_VALUE_LENGTH)),
            // JSON knows no infinity, and X-Ray no list: both are searched for by their text.
            other => {
                let text = other.to_string();
                Self::Text(Cow::Owned(
                    shorten(&text, ANNOTATION_VALUE_LENGTH).into_owned(),
                ))
            }
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Metadata<'a> {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bools(&'a [bool]),
    Integers(&'a [i64]),
    Floats(&'a [f64]),
    Texts(Vec<&'a str>),
    Json(&'a RawValue),
}

impl<'a> Metadata<'a> {
    fn new(value: &'a Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::I64(value) => Self::Integer(*value),
            Value::F64(value) => Self::Float(*value),
            Value::String(value) => Self::Text(Cow::Borrowed(value.as_str())),
            Value::Array(Array::Bool(values)) => Self::Bools(values),
            Value::Array(Array::I64(values)) => Self::Integers(values),
            Value::Array(Array::F64(values)) => Self::Floats(values),
            Value::Array(Array::String(values)) => {
                Self::Texts(values.iter().map(StringValue::as_str).collect())
            }
            other => Self::Text(Cow::Owned(other.to_string())),
        }
    }

    fn from_json(value: &'a Value) -> Self {
        match value {
            Value::String(json) => {
                serde_json::from_str(json.as_str()).map_or_else(|_| Self::new(value), Self::Json)
            }
            other => Self::new(other),
        }
    }
}

#[derive(Clone, Copy)]
struct Id(SpanId);

impl Id {
    /// X-Ray wants an id for each exception; the span's own successors are as unique as it is.
    fn of_exception(span: SpanId, number: usize) -> Self {
        let span = u64::from_be_bytes(span.to_bytes());
        Self(SpanId::from(span.wrapping_add(number as u64 + 1)))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0.to_bytes()))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Clone, Copy)]
struct Trace(TraceId);

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Root(self.0))
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Keeps letters, numbers, spaces and the marks that X-Ray allows in a name.
fn clean_name(name: &str) -> Cow<'_, str> {
    let is_allowed = |character: char| {
        character == ' ' || character.is_alphanumeric() || "_.:/%&#=+\\-@".contains(character)
    };
    // Length in bytes is no less than in characters.
    if !name.is_empty() && name.len() <= NAME_LENGTH && name.chars().all(is_allowed) {
        return Cow::Borrowed(name);
    }
    let allowed = name.chars().filter_map(|character| {
        let character = if character.is_whitespace() {
            ' '
        } else {
            character
        };
        is_allowed(character).then_some(character)
    });
    let name: String = allowed.take(NAME_LENGTH).collect();
    if name.is_empty() {
        Cow::Borrowed("unnamed")
    } else {
        Cow::Owned(name)
    }
}

fn clean_key(key: &str) -> Cow<'_, str> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if key.len() <= ANNOTATION_KEY_LENGTH && key.chars().all(is_allowed) {
        return Cow::Borrowed(key);
    }
    let characters = key.chars().take(ANNOTATION_KEY_LENGTH);
    Cow::Owned(
        characters
            .map(|character| {
                if is_allowed(character) {
                    character
                } else {
                    '_'
                }
            })
            .collect(),
    )
}

fn shorten(text: &str, characters: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(characters).map(|(end, _)| end);
    Cow::Borrowed(&text[..end.unwrap_or(text.len())])
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
