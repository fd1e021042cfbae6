//! The parts of a document that tell of a call.

use std::borrow::Cow;

use opentelemetry::{Array, StringValue, Value};
use serde::Serialize;

use super::{
    attributes,
    text::{TEXT_LENGTH, public_url, shorten},
};

/// A request and its response, the handler's own or those of a call.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-http>
#[derive(Default, Serialize)]
pub(super) struct Http<'a> {
    #[serde(skip_serializing_if = "is_default")]
    request: Request<'a>,
    #[serde(skip_serializing_if = "is_default")]
    response: Response,
}

#[derive(Default, PartialEq, Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_forwarded_for: Option<bool>,
}

#[derive(Default, PartialEq, Serialize)]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_length: Option<u64>,
}

impl<'a> Http<'a> {
    /// Takes an attribute in if it is of a kind that the block shows, and says whether it is.
    pub(super) fn add(&mut self, name: &str, value: &'a Value) -> bool {
        match name {
            attributes::HTTP_METHOD => set(&mut self.request.method, text(value)),
            attributes::URL => set(&mut self.request.url, url(value)),
            attributes::USER_AGENT => set(&mut self.request.user_agent, text(value)),
            attributes::CLIENT_ADDRESS => set(&mut self.request.client_ip, text(value)),
            attributes::FORWARDED => set(&mut self.request.x_forwarded_for, boolean(value)),
            attributes::HTTP_STATUS => set(&mut self.response.status, number(value)),
            attributes::HTTP_CONTENT_LENGTH => {
                set(&mut self.response.content_length, number(value))
            }
            _ => false,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.response.status
    }

    pub(super) fn is_empty(&self) -> bool {
        is_default(&self.request) && is_default(&self.response)
    }
}

/// A call of an AWS service.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-aws>
#[derive(Default, PartialEq, Serialize)]
pub(super) struct Aws<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_url: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    table_names: Vec<&'a str>,
}

impl<'a> Aws<'a> {
    /// Takes an attribute in if it is of a kind that the block shows, and says whether it is.
    pub(super) fn add(&mut self, name: &str, value: &'a Value) -> bool {
        match name {
            attributes::OPERATION => set(&mut self.operation, text(value)),
            attributes::REGION => set(&mut self.region, text(value)),
            attributes::REQUEST_ID => set(&mut self.request_id, text(value)),
            attributes::RETRIES => set(&mut self.retries, number(value)),
            attributes::QUEUE_URL => set(&mut self.queue_url, text(value)),
            attributes::TABLE_NAMES => self.add_tables(value),
            _ => false,
        }
    }

    fn add_tables(&mut self, value: &'a Value) -> bool {
        match value {
            Value::Array(Array::String(tables)) => match &tables[..] {
                [table] => set(&mut self.table_name, Some(table.as_str().into())),
                tables => {
                    self.table_names = tables.iter().map(StringValue::as_str).collect();
                    true
                }
            },
            value => set(&mut self.table_name, text(value)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// Sets a field that there is a value for, and says whether there is.
fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let is_set = value.is_some();
    if is_set {
        *field = value;
    }
    is_set
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(shorten(text.as_str(), TEXT_LENGTH)),
        _ => None,
    }
}

fn url(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(url) => Some(match public_url(url.as_str()) {
            Cow::Borrowed(url) => shorten(url, TEXT_LENGTH),
            Cow::Owned(url) => Cow::Owned(shorten(&url, TEXT_LENGTH).into_owned()),
        }),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        _ => None,
    }
}

fn number<N: TryFrom<i64>>(value: &Value) -> Option<N> {
    match value {
        Value::I64(number) => N::try_from(*number).ok(),
        _ => None,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
