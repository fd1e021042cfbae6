//! Spans as OTLP, OpenTelemetry's own form.
//!
//! The spans of an invocation leave as one batch when it ends: over UDP at once, as many datagrams as
//! it takes; over HTTP as one request that the invocation's answer waits for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use lambda_runtime::Context;
use opentelemetry::{InstrumentationScope, KeyValue, Value, trace::SpanId};
use opentelemetry_proto::{
    tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        resource::v1 as resource_v1,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    },
    transform::common::tonic::Attributes,
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tracing::warn;

use super::{Flush, daemon::Daemon, lock, open::Batch};
use crate::{
    names::METADATA,
    trace::{
        attributes::{JSON_METADATA, PRIVATE, URL},
        document::{DATAGRAM_LENGTH, PREFIX, public_url},
    },
};

mod collector;
mod endpoint;
mod http;
mod resource;

pub(in crate::trace) use endpoint::Endpoint;
pub(in crate::trace) use resource::Resource;

use http::Http;

/// Marks a datagram as OTLP in base64, of spans that are sampled. AWS has not written it down; it is
/// what its own OpenTelemetry layers for Lambda send.
/// Source: <https://github.com/aws-observability/aws-otel-python-instrumentation/blob/main/aws-opentelemetry-distro/src/amazon/opentelemetry/distro/otlp_udp_exporter.py>
const SAMPLED: &[u8] = b"T1S";

/// The most bytes of a request over HTTP; AWS's endpoint takes 5 MB.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html>
const HTTP_REQUEST_LENGTH: usize = 4 << 20;

/// The most bytes of a request that a datagram carries as base64.
const DATAGRAM_REQUEST_LENGTH: usize = (DATAGRAM_LENGTH - PREFIX.len() - SAMPLED.len()) / 4 * 3;

/// The most that a span takes of a message beside its own bytes: a tag and its length.
const FIELD: usize = 6;

/// The most bytes of an attribute that is kept of a span which is too large.
const SHORT_ATTRIBUTE: usize = 1024;

/// How long before its deadline an invocation stops waiting for its spans, so that its answer leaves.
const ANSWER_TIME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Otlp {
    resource: Vec<KeyValue>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Udp(Daemon),
    Http(Http),
}

impl Otlp {
    pub(super) const fn udp(daemon: Daemon, resource: Vec<KeyValue>) -> Self {
        let way = Way::Udp(daemon);
        Self { resource, way }
    }

    pub(super) fn http(endpoint: Endpoint, resource: Vec<KeyValue>) -> Self {
        let way = Way::Http(Http::new(endpoint));
        Self { resource, way }
    }

    /// Sends spans. Over HTTP a task does so; a span that outlived its invocation goes with the next.
    pub(super) fn send(&self, batch: Batch) {
        if batch.spans.is_empty() {
            return;
        }
        match &self.way {
            Way::Udp(daemon) => {
                for request in to_requests(batch.spans, &self.resource, DATAGRAM_REQUEST_LENGTH) {
                    daemon.send(&to_datagram(&request));
                }
            }
            Way::Http(http) => {
                http.keep(batch.spans);
                if let Some(group) = batch.group {
                    http.send(group, &self.resource);
                }
            }
        }
    }

    /// Returns what has to be awaited until the spans of an invocation, which are of these groups, are
    /// out, as long as it has time.
    pub(super) fn flush(&self, groups: &[SpanId], context: &Context) -> Option<Flush> {
        let Way::Http(http) = &self.way else {
            return None;
        };
        // What has ended where there was no runtime.
        http.send(*groups.last()?, &self.resource);
        let limit = remaining(context.deadline, SystemTime::now());
        http.take_requests(groups, limit)
    }

    pub(super) fn reset(&self) {
        match &self.way {
            Way::Udp(daemon) => daemon.reset(),
            Way::Http(http) => http.reset(),
        }
    }
}

/// Returns how long an invocation can wait for its spans; `None` without a deadline.
fn remaining(deadline: u64, now: SystemTime) -> Option<Duration> {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline);
    let remaining = deadline.duration_since(now).unwrap_or_default();
    (deadline > UNIX_EPOCH).then(|| remaining.saturating_sub(ANSWER_TIME))
}

/// Puts spans into as few requests as hold them, each no longer than `limit` bytes.
fn to_requests(
    batch: Vec<SpanData>,
    resource: &[KeyValue],
    limit: usize,
) -> Vec<ExportTraceServiceRequest> {
    let Some(scope) = batch.first().map(|span| span.instrumentation_scope.clone()) else {
        return Vec::new();
    };
    let empty = to_request(Vec::new(), resource, &scope);
    // The lengths of the messages around grow with what is in them.
    let room = limit.saturating_sub(empty.encoded_len() + 4 * FIELD);
    let mut requests = Vec::new();
    let (mut spans, mut length) = (Vec::new(), 0);
    for span in batch.into_iter().filter_map(|span| to_span(span, room)) {
        let own = span.encoded_len() + FIELD;
        if length + own > room {
            requests.push(to_request(std::mem::take(&mut spans), resource, &scope));
            length = 0;
        }
        length += own;
        spans.push(span);
    }
    if !spans.is_empty() {
        requests.push(to_request(spans, resource, &scope));
    }
    requests
}

fn to_request(
    spans: Vec<Span>,
    resource: &[KeyValue],
    scope: &InstrumentationScope,
) -> ExportTraceServiceRequest {
    let resource = resource_v1::Resource {
        attributes: Attributes::from(resource.to_vec()).0,
        ..Default::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some((scope, None).into()),
        spans,
        schema_url: String::new(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        }],
    }
}

/// Makes a span that is no longer than `room` bytes, or warns that it cannot.
fn to_span(mut span: SpanData, room: usize) -> Option<Span> {
    span.attributes = span.attributes.into_iter().filter_map(to_public).collect();
    let mut span = Span::from(span);
    let bytes = span.encoded_len() + FIELD;
    if bytes > room {
        let count = span.attributes.len();
        span.attributes
            .retain(|attribute| attribute.encoded_len() <= SHORT_ATTRIBUTE);
        let dropped = count - span.attributes.len();
        span.dropped_attributes_count += u32::try_from(dropped).unwrap_or(u32::MAX);
        if span.encoded_len() + FIELD > room {
            warn!(
                span = span.name,
                bytes,
                limit = room,
                "span left out: too large"
            );
            return None;
        }
        warn!(
            span = span.name,
            bytes,
            limit = room,
            "trace metadata left out: too large"
        );
    }
    Some(span)
}

/// Gives an attribute the name that it has outside, if it has one.
fn to_public(attribute: KeyValue) -> Option<KeyValue> {
    let name = attribute.key.as_str();
    if let Some(key) = name.strip_prefix(JSON_METADATA) {
        return Some(KeyValue::new(format!("{METADATA}{key}"), attribute.value));
    }
    if let (URL, Value::String(url)) = (name, &attribute.value) {
        return Some(KeyValue::new(URL, public_url(url.as_str()).into_owned()));
    }
    (!name.starts_with(PRIVATE)).then_some(attribute)
}

fn to_datagram(request: &ExportTraceServiceRequest) -> Vec<u8> {
    let mut datagram = [PREFIX, SAMPLED].concat();
    datagram.extend_from_slice(BASE64.encode(request.encode_to_vec()).as_bytes());
    datagram
}

#[cfg(test)]
mod tests;
