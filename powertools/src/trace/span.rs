use std::fmt;

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{SpanContext, TraceContextExt},
};
use serde::Serialize;
use tracing::{Span, warn};
use tracing_opentelemetry::{OpenTelemetrySpanExt, get_otel_context};
use tracing_subscriber::{Registry, registry::LookupSpan};

use super::{
    TraceHeader,
    attributes::{ERROR, FAULT, JSON_METADATA, SEGMENT, THROTTLE},
    unsigned,
};
use crate::{Invocation, classify::Outcome, names::ANNOTATION};

/// What tracing's spans learn from this module. Implemented for [`tracing::Span`] only.
pub trait SpanExt: sealed::Sealed {
    /// Makes the span a part of the trace that `header` names, instead of its own invocation's.
    ///
    /// For the consumer of messages, whose batch belongs to many traces: each record's span takes
    /// the header that came with the record as its parent, and links to the invocation's trace.
    /// Call it before the span is entered; once it has been, it stays where it is.
    ///
    /// In the trace of the messages' producer this function then has a segment of its own, as any
    /// service has in a trace that goes through it; the span is in it, and the link on it. The segment
    /// is called after the function, by `AWS_LAMBDA_FUNCTION_NAME`.
    ///
    /// SQS carries the header by itself, in a message's attribute `AWSTraceHeader`. Where nobody does,
    /// the producer puts `TraceHeader::current().map(|header| header.to_string())` into the message.
    ///
    /// `header` alone decides whether the span is recorded, and with it the spans inside: a record
    /// of a sampled trace is recorded also in an invocation that is not, and the other way about.
    /// A link is only made to a trace that is sampled, as nothing would be found at its other end.
    /// A header without a parent names no span to continue; it changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use powertools::trace::{SpanExt, TraceHeader};
    /// use tracing::{Instrument, info_span};
    ///
    /// struct Message { trace_header: Option<String> }
    ///
    /// async fn handle(message: Message) {
    ///     let span = info_span!("message");
    ///     // A header that cannot be read costs the connection of two traces, not the message.
    ///     if let Some(Ok(header)) = message.trace_header.as_deref().map(str::parse::<TraceHeader>) {
    ///         span.continue_trace(&header);
    ///     }
    ///     async { /* work in the trace of the message's producer */ }.instrument(span).await;
    /// }
    /// ```
    fn continue_trace(&self, header: &TraceHeader);

    /// Links the span to the one that `header` names, of another trace as a rule.
    ///
    /// For work that has many causes, as a window over many messages: it can continue one trace
    /// only, and links to the others. Does nothing where `header` names no span, or is of a trace that
    /// is not sampled: nothing would be found at its other end.
    fn link_to(&self, header: &TraceHeader);

    /// Says how the work that the span covers ended: the flags `error`, `throttle` and `fault` of its
    /// document.
    ///
    /// The last call counts, also against events at `ERROR`, which else make a fault; what they told
    /// stays in the document. The handler's own span takes it only as long as its result is classified
    /// as a success.
    ///
    /// ```
    /// use powertools::{classify::Outcome, trace::SpanExt};
    /// use tracing::info_span;
    ///
    /// let span = info_span!("reserve");
    /// // The stock was asked too often.
    /// span.record_outcome(Outcome::Throttle);
    /// ```
    fn record_outcome(&self, outcome: Outcome);
}

impl SpanExt for Span {
    fn continue_trace(&self, header: &TraceHeader) {
        let own = Invocation::current()
            .and_then(|invocation| TraceHeader::from_context(invocation.context()));
        let Some(parent) = header.span_context_within(own.as_ref().unwrap_or(header)) else {
            return;
        };
        let within = current().map(|context| context.span().span_context().clone());
        let link = invocation_span(own.as_ref(), within.as_ref())
            .filter(|link| link.trace_id() != header.trace_id());
        // What is under the function's segment, or the span that this one is in, is ours already.
        let is_ours = own.as_ref().is_some_and(|own| {
            own.trace_id() == parent.trace_id() && own.parent_id() == Some(parent.span_id())
        }) || within.is_some_and(|within| {
            within.trace_id() == parent.trace_id() && within.span_id() == parent.span_id()
        });
        // An error says that no tracer listens, or that the span has been entered.
        if self
            .set_parent(Context::new().with_remote_span_context(parent))
            .is_ok()
        {
            if !is_ours {
                self.set_attribute(SEGMENT, true);
            }
            if let Some(link) = link {
                self.add_link(link);
            }
        }
    }

    fn link_to(&self, header: &TraceHeader) {
        if let Some(span) = header.span_context().filter(SpanContext::is_sampled) {
            self.add_link(span);
        }
    }

    fn record_outcome(&self, outcome: Outcome) {
        for flag in flags(outcome) {
            self.set_attribute(flag.key, flag.value);
        }
    }
}

/// Returns the attributes that tell an outcome: all of them, so that a later one is the only one.
pub(super) fn flags(outcome: Outcome) -> [KeyValue; 3] {
    let (error, throttle, fault) = match outcome {
        Outcome::Success => (false, false, false),
        Outcome::Error => (true, false, false),
        Outcome::Throttle => (true, true, false),
        Outcome::Fault => (false, false, true),
    };
    [
        KeyValue::new(ERROR, error),
        KeyValue::new(THROTTLE, throttle),
        KeyValue::new(FAULT, fault),
    ]
}

/// Returns the sampled span of the running invocation that the code is in: the nearest one of its
/// own trace, otherwise the function's.
fn invocation_span(own: Option<&TraceHeader>, within: Option<&SpanContext>) -> Option<SpanContext> {
    let span = match own {
        Some(own) => within
            .filter(|within| within.trace_id() == own.trace_id())
            .cloned()
            .or_else(|| own.span_context()),
        None => within.cloned(),
    };
    span.filter(SpanContext::is_sampled)
}

/// Annotates the current span: a value that traces can be searched by.
///
/// X-Ray keeps 50 annotations a trace, and keys of `[A-Za-z0-9_]`: other characters become `_`. The
/// field `annotation.<key>` on any `tracing` span does the same. Does nothing where no span is
/// recorded.
///
/// ```
/// powertools::trace::annotate("OrderId", "a1");
/// powertools::trace::annotate("Items", 3);
/// ```
pub fn annotate(key: &str, value: impl Into<AnnotationValue>) {
    on_current(|span| {
        let AnnotationValue(value) = value.into();
        span.set_attribute(KeyValue::new(format!("{ANNOTATION}{key}"), value));
    });
}

/// Adds metadata to the current span: a value that is shown, but cannot be searched by.
///
/// The value is serialised to JSON, at once and only where a span is recorded. The field
/// `metadata.<key>` on any `tracing` span does the same for plain values.
///
/// ```
/// use serde_json::json;
///
/// powertools::trace::add_metadata("basket", json!({"items": [{"sku": "x", "quantity": 2}]}));
/// ```
pub fn add_metadata(key: &str, value: impl Serialize) {
    on_current(|span| match serde_json::to_string(&value) {
        Ok(json) => span.set_attribute(KeyValue::new(format!("{JSON_METADATA}{key}"), json)),
        Err(error) => warn!(key, %error, "trace metadata could not be serialised"),
    });
}

fn on_current(f: impl FnOnce(opentelemetry::trace::SpanRef<'_>)) {
    if let Some(context) = current()
        && context.span().is_recording()
    {
        f(context.span());
    }
}

/// Returns the context of the nearest span around the running code that the tracer sees.
pub(super) fn current() -> Option<Context> {
    Span::current().with_subscriber(|(id, dispatch)| {
        // A span below the tracer's level has no context, so its ancestors are asked, too.
        match dispatch
            .downcast_ref::<Registry>()
            .and_then(|registry| registry.span(id))
        {
            Some(span) => span
                .scope()
                .find_map(|span| get_otel_context(&span.id(), dispatch)),
            None => get_otel_context(id, dispatch),
        }
    })?
}

/// The value of an annotation: a text, a number or a boolean.
#[derive(Clone, PartialEq)]
pub struct AnnotationValue(Value);

macro_rules! from {
    ($($type:ty),*) => {$(
        impl From<$type> for AnnotationValue {
            fn from(value: $type) -> Self {
                Self(Value::from(value))
            }
        }
    )*};
}

from!(bool, i64, f64, String);

macro_rules! from_number {
    ($($type:ty => $wide:ty),*) => {$(
        impl From<$type> for AnnotationValue {
            fn from(value: $type) -> Self {
                Self::from(<$wide>::from(value))
            }
        }
    )*};
}

from_number!(i8 => i64, i16 => i64, i32 => i64, u8 => i64, u16 => i64, u32 => i64, f32 => f64);

impl From<u64> for AnnotationValue {
    fn from(value: u64) -> Self {
        Self(unsigned::to_value(value))
    }
}

impl From<usize> for AnnotationValue {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<&str> for AnnotationValue {
    fn from(value: &str) -> Self {
        Self::from(value.to_owned())
    }
}

impl From<&String> for AnnotationValue {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl fmt::Debug for AnnotationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for tracing::Span {}
}
