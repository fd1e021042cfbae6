use opentelemetry::trace::SpanRef;
use tracing::Span;

/// What a [`TraceLayer`](super::TraceLayer) shows of requests.
///
/// Nothing, unless it was told to by [`TraceLayer::http`](super::TraceLayer::http). The trait is
/// sealed.
#[diagnostic::on_unimplemented(
    message = "the trace does not show requests of type `{Request}`",
    note = "`TraceLayer::http` is for handlers of `http::Request`"
)]
pub trait RequestDetails<Request>: sealed::Sealed {
    /// Called before the handler, for a trace that is sampled.
    #[doc(hidden)]
    fn on_request(&self, request: &Request, span: &Span);
}

/// What a [`TraceLayer`](super::TraceLayer) shows of responses.
///
/// Nothing, unless it was told to by [`TraceLayer::http`](super::TraceLayer::http) or
/// [`TraceLayer::capture_response`](super::TraceLayer::capture_response). The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "the trace does not show responses of type `{Response}`",
    note = "`TraceLayer::capture_response` asks for `Serialize`, and `TraceLayer::http` for \
            `http::Response`"
)]
pub trait ResponseDetails<Response>: sealed::Sealed {
    /// Called after the handler of that name, for a trace that is sampled.
    #[doc(hidden)]
    fn on_response(&self, response: &Response, handler: &str, span: &SpanRef<'_>);
}

impl<Request> RequestDetails<Request> for () {
    fn on_request(&self, _: &Request, _: &Span) {}
}

impl<Response> ResponseDetails<Response> for () {
    fn on_response(&self, _: &Response, _: &str, _: &SpanRef<'_>) {}
}

/// Both, one after the other.
impl<Request, A: RequestDetails<Request>, B: RequestDetails<Request>> RequestDetails<Request>
    for (A, B)
{
    fn on_request(&self, request: &Request, span: &Span) {
        self.0.on_request(request, span);
        self.1.on_request(request, span);
    }
}

/// Both, one after the other.
impl<Response, A: ResponseDetails<Response>, B: ResponseDetails<Response>> ResponseDetails<Response>
    for (A, B)
{
    fn on_response(&self, response: &Response, handler: &str, span: &SpanRef<'_>) {
        self.0.on_response(response, handler, span);
        self.1.on_response(response, handler, span);
    }
}

pub(super) mod sealed {
    pub trait Sealed {}

    impl Sealed for () {}
    impl<A: Sealed, B: Sealed> Sealed for (A, B) {}
}
