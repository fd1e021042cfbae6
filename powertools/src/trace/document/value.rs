use std::borrow::Cow;

use opentelemetry::{Array, StringValue, Value};
use serde::Serialize;
use serde_json::value::RawValue;

use super::text::{ANNOTATION_VALUE_LENGTH, shorten};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Annotation<'a> {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Annotation<'a> {
    /// Makes an annotation, and says whether it had to be shortened.
    pub(super) fn new(value: &'a Value) -> (Self, bool) {
        let text = match value {
            Value::Bool(value) => return (Self::Bool(*value), false),
            Value::I64(value) => return (Self::Integer(*value), false),
            Value::F64(value) if value.is_finite() => return (Self::Float(*value), false),
            Value::String(value) => Cow::Borrowed(value.as_str()),
            // JSON knows no infinity, and X-Ray no list: both are searched for by their text.
            other => Cow::Owned(other.to_string()),
        };
        let short = match &text {
            Cow::Borrowed(text) => shorten(text, ANNOTATION_VALUE_LENGTH),
            Cow::Owned(text) => shorten(text, ANNOTATION_VALUE_LENGTH).into_owned().into(),
        };
        let is_shortened = short.len() < text.len();
        (Self::Text(short), is_shortened)
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Metadata<'a> {
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
    pub(super) fn new(value: &'a Value) -> Self {
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

    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::String(json) => {
                serde_json::from_str(json.as_str()).map_or_else(|_| Self::new(value), Self::Json)
            }
            other => Self::new(other),
        }
    }
}
