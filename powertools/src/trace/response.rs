use std::io;

use opentelemetry::{KeyValue, trace::SpanRef};
use serde::Serialize;
use tracing::{Span, warn};

use super::{
    attributes::JSON_METADATA,
    details::{ErrorDetails, RequestDetails, ResponseDetails, sealed::Sealed},
};

/// The most bytes of a response that is captured, as JSON: a quarter of what X-Ray takes for a whole
/// document.
pub(super) const RESPONSE_LENGTH: usize = 16 * 1024;

/// Shows responses in traces, made by [`TraceLayer::capture_response`](super::TraceLayer::capture_response).
#[derive(Clone, Debug)]
pub struct CaptureResponse {
    is_enabled: bool,
}

impl CaptureResponse {
    pub(super) const fn new(is_enabled: bool) -> Self {
        Self { is_enabled }
    }
}

impl Sealed for CaptureResponse {}

impl<Request> RequestDetails<Request> for CaptureResponse {
    fn on_request(&self, _: &Request, _: &Span) {}
}

impl<Error> ErrorDetails<Error> for CaptureResponse {}

impl<Response: Serialize> ResponseDetails<Response> for CaptureResponse {
    fn on_response(&self, response: &Response, handler: &str, span: &SpanRef<'_>) {
        if !self.is_enabled {
            return;
        }
        let mut json = Limited(Vec::new());
        match serde_json::to_writer(&mut json, response) {
            Ok(()) => {}
            // A part of a response would be no JSON, and its cost is that of the limit only.
            Err(error) if error.is_io() => {
                let limit = RESPONSE_LENGTH;
                warn!(handler, limit, "response left out of its trace: too large");
                return;
            }
            Err(error) => {
                warn!(handler, %error, "response left out of its trace: it could not be serialised");
                return;
            }
        }
        // What `serde_json` has written is UTF-8.
        if json.0 != b"null"
            && let Ok(json) = String::from_utf8(json.0)
        {
            let key = format!("{JSON_METADATA}{handler} response");
            span.set_attribute(KeyValue::new(key, json));
        }
    }
}

/// Takes no more than [`RESPONSE_LENGTH`].
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > RESPONSE_LENGTH - self.0.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
