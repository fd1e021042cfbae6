use std::error::Error as StdError;

use opentelemetry::trace::SpanRef;
use tracing::Span;

use super::details::{ErrorDetails, RequestDetails, ResponseDetails, sealed::Sealed};

/// Shows errors in traces, made by [`TraceLayer::capture_source`](super::TraceLayer::capture_source).
#[derive(Clone, Debug)]
pub struct CaptureSource(());

impl CaptureSource {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Sealed for CaptureSource {}

impl<Request> RequestDetails<Request> for CaptureSource {
    fn on_request(&self, _: &Request, _: &Span) {}
}

impl<Response> ResponseDetails<Response> for CaptureSource {
    fn on_response(&self, _: &Response, _: &str, _: &SpanRef<'_>) {}
}

impl<E: StdError + 'static> ErrorDetails<E> for CaptureSource {
    fn as_error<'a>(&self, error: &'a E) -> Option<&'a (dyn StdError + 'static)> {
        Some(error)
    }
}
