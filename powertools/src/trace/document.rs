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
    KeyValue, Value,
    trace::{Link, SpanId, SpanKind, Status, TraceId},
};
use opentelemetry_sdk::trace::SpanData;
use serde::{Serialize, Serializer};

use super::{attributes, header::Root};
use crate::names::{ANNOTATION, METADATA, SERVICE_UNDEFINED};

mod blocks;
mod cause;
mod flags;
mod subsegment;
mod text;
mod value;

pub(super) use super::attributes::JSON_METADATA;
#[cfg(feature = "trace-otlp")]
pub(super) use subsegment::PREFIX;
pub(super) use subsegment::{DATAGRAM_LENGTH, Subsegment, Waiting};
#[cfg(feature = "trace-otlp")]
pub(super) use text::public_url;

use blocks::{Aws, Http};
use cause::Cause;
use flags::Flags;
use text::{clean_key, clean_name, shorten};
use value::{Annotation, Metadata};

/// The most annotations of a document: as many as X-Ray indexes of a whole trace.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/xray.html>
const ANNOTATIONS: usize = 50;

/// What kind of resource the segments are of.
const ORIGIN: &str = "AWS::Lambda::Function";

/// Where fields go that are neither annotation nor metadata: the X-Ray SDKs' own default.
const DEFAULT_NAMESPACE: &str = "default";

/// What the documents of one function have in common.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) service: Option<String>,
}

/// A subsegment, but for its place: [`Subsegment`] adds the trace, the parent and the children.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    id: Id,
    name: Cow<'a, str>,
    start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
    in_progress: bool,
    #[serde(skip_serializing_if = "is_false")]
    error: bool,
    #[serde(skip_serializing_if = "is_false")]
    throttle: bool,
    #[serde(skip_serializing_if = "is_false")]
    fault: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause<'a>>,
    #[serde(skip_serializing_if = "Http::is_empty")]
    http: Http<'a>,
    #[serde(skip_serializing_if = "Aws::is_empty")]
    aws: Aws<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<Cow<'a, str>, Annotation<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, BTreeMap<&'a str, Metadata<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<SpanLink<'a>>,
    namespace: Namespace,
    #[serde(skip)]
    segment: Option<Segment<'a>>,
    #[serde(skip)]
    flags: Flags,
    #[serde(skip)]
    trace_id: TraceId,
    #[serde(skip)]
    parent_id: SpanId,
    #[serde(skip)]
    complaints: Vec<Complaint<'a>>,
}

impl<'a> Document<'a> {
    /// Makes the document of a span that has ended.
    pub(super) fn new(span: &'a SpanData, function: &'a Function) -> Self {
        let mut document = Self::start(span, function);
        document.end_time = Some(seconds(span.end_time.max(span.start_time)));
        document.in_progress = false;
        if let Some(segment) = &mut document.segment {
            segment.end_time = document.end_time;
            segment.in_progress = false;
        }
        document
    }

    /// Makes the document of a span that is still open.
    pub(super) fn start(span: &'a SpanData, function: &'a Function) -> Self {
        let id = span.span_context.span_id();
        let mut document = Self {
            id: Id(id),
            name: clean_name(&span.name),
            start_time: seconds(span.start_time),
            end_time: None,
            in_progress: true,
            error: false,
            throttle: false,
            fault: false,
            cause: Cause::new(id, span),
            http: Http::default(),
            aws: Aws::default(),
            annotations: BTreeMap::new(),
            metadata: BTreeMap::new(),
            links: span.links.iter().map(SpanLink::new).collect(),
            namespace: Namespace::of(span),
            segment: None,
            flags: Flags::default(),
            trace_id: span.span_context.trace_id(),
            parent_id: span.parent_span_id,
            complaints: Vec::new(),
        };
        let service = function.service.as_deref().unwrap_or(SERVICE_UNDEFINED);
        for attribute in &span.attributes {
            document.add(attribute, service);
        }
        let has_failed = document.cause.is_some() || matches!(span.status, Status::Error { .. });
        let flags = document.flags.decide(document.http.status(), has_failed);
        (document.error, document.throttle, document.fault) = flags;
        if is_segment(span) {
            document.segment = Some(Segment {
                id: id_of_segment(id),
                name: clean_name(&function.name),
                start_time: document.start_time,
                end_time: None,
                in_progress: true,
                error: document.error,
                throttle: document.throttle,
                fault: document.fault,
                origin: ORIGIN,
                links: std::mem::take(&mut document.links),
            });
        }
        document
    }

    fn add(&mut self, attribute: &'a KeyValue, service: &'a str) {
        let (name, value) = (attribute.key.as_str(), &attribute.value);
        if let Some(key) = name.strip_prefix(ANNOTATION) {
            self.annotate(key, value);
        } else if let Some(key) = name.strip_prefix(METADATA) {
            self.add_metadata(service, key, Metadata::new(value));
        } else if let Some(key) = name.strip_prefix(JSON_METADATA) {
            self.add_metadata(service, key, Metadata::from_json(value));
        } else if !self.add_to_block(name, value) {
            self.add_metadata(DEFAULT_NAMESPACE, name, Metadata::new(value));
        }
    }

    /// Puts an attribute where the document has a place for it, and says whether it has.
    fn add_to_block(&mut self, name: &'a str, value: &'a Value) -> bool {
        let is_aws = self.namespace == Namespace::Aws;
        self.flags.add(name, value)
            || self.http.add(name, value)
            || (is_aws && self.aws.add(name, value))
            || name == attributes::NAMESPACE
            || name == attributes::SEGMENT
            || (is_aws && name == attributes::RPC_SYSTEM)
    }

    fn annotate(&mut self, key: &'a str, value: &'a Value) {
        let mut complain = |problem| self.complaints.push(Complaint { key, problem });
        let clean = clean_key(key);
        if clean.is_empty() {
            complain("left out, its key is empty");
            return;
        }
        if self.annotations.len() == ANNOTATIONS && !self.annotations.contains_key(&clean) {
            complain("left out, 50 of a span are kept");
            return;
        }
        if clean != key {
            complain("renamed, X-Ray takes keys of 500 characters `A-Z a-z 0-9 _`");
        }
        let (annotation, is_shortened) = Annotation::new(value);
        if is_shortened {
            complain("shortened, X-Ray takes values of 1000 characters");
        }
        self.annotations.insert(clean, annotation);
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

    /// Returns what X-Ray would not have taken as it was.
    pub(super) fn complaints(&self) -> &[Complaint<'a>] {
        &self.complaints
    }
}

/// The segment around a subsegment with which this function takes a trace over.
#[derive(Serialize)]
struct Segment<'a> {
    id: Id,
    name: Cow<'a, str>,
    start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
    in_progress: bool,
    #[serde(skip_serializing_if = "is_false")]
    error: bool,
    #[serde(skip_serializing_if = "is_false")]
    throttle: bool,
    #[serde(skip_serializing_if = "is_false")]
    fault: bool,
    origin: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<SpanLink<'a>>,
}

fn is_segment(span: &SpanData) -> bool {
    let mut attributes = span.attributes.iter().rev();
    let segment = attributes.find(|it| it.key.as_str() == attributes::SEGMENT);
    span.parent_span_is_remote && segment.is_some_and(|it| it.value == Value::Bool(true))
}

/// The span's own predecessor, as the ids of its exceptions are its successors.
fn id_of_segment(span: SpanId) -> Id {
    let before = u64::from_be_bytes(span.to_bytes()).wrapping_sub(1);
    Id(SpanId::from(if before == 0 { u64::MAX } else { before }))
}

/// An annotation that does not leave as it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Complaint<'a> {
    pub(super) key: &'a str,
    pub(super) problem: &'static str,
}

impl<'a> Complaint<'a> {
    /// Returns as much of the key as a log line needs.
    pub(super) fn short_key(&self) -> Cow<'a, str> {
        shorten(self.key, 100)
    }
}

/// Whom a subsegment shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Namespace {
    Aws,
    Remote,
    Local,
}

impl Namespace {
    fn of(span: &SpanData) -> Self {
        // The last one counts, as with every attribute.
        let attribute = |name: &str| {
            let mut attributes = span.attributes.iter().rev();
            let found = attributes.find(|it| it.key.as_str() == name)?;
            Some(found.value.as_str())
        };
        match attribute(attributes::NAMESPACE).as_deref() {
            Some("aws") => Self::Aws,
            Some("remote") => Self::Remote,
            Some("local") => Self::Local,
            _ if attribute(attributes::RPC_SYSTEM).as_deref()
                == Some(attributes::RPC_SYSTEM_AWS) =>
            {
                Self::Aws
            }
            _ if span.span_kind == SpanKind::Client => Self::Remote,
            _ => Self::Local,
        }
    }
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

#[derive(Clone, Copy)]
struct Id(SpanId);

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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
