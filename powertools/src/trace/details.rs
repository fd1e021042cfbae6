use std::error::Error as StdError;

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

/// What a [`TraceLayer`](super::TraceLayer) shows of errors whose type it does not know.
///
/// Nothing but the type's name, unless it was told to by
/// [`TraceLayer::capture_source`](super::TraceLayer::capture_source). The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "the trace does not show errors of type `{Error}`",
    note = "`TraceLayer::capture_source` asks for `std::error::Error`"
)]
pub trait ErrorDetails<Error>: sealed::Sealed {
    /// Returns the error as one whose message and sources may be shown.
    #[doc(hidden)]
    fn as_error<'a>(&self, _: &'a Error) -> Option<&'a (dyn StdError + 'static)> {
        None
    }
}

impl<Request> RequestDetails<Request> for () {
    fn on_request(&self, _: &Request, _: &Span) {}
}

impl<Response> ResponseDetails<Response> for () {
    fn on_response(&self, _: &Response, _: &str, _: &SpanRef<'_>) {}
}

impl<Error> ErrorDetails<Error> for () {}

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

/// The first that shows anything.
impl<Error, A: ErrorDetails<Error>, B: ErrorDetails<Error>> ErrorDetails<Error> for (A, B) {
    fn as_error<'a>(&self, error: &'a Error) -> Option<&'a (dyn StdError + 'static)> {
        let first = self.0.as_error(error);
        first.or_else(|| self.1.as_error(error))
    }
}

pub(super) mod sealed {
    pub trait Sealed {}

    impl Sealed for () {}
    impl<A: Sealed, B: Sealed> Sealed for (A, B) {}
}
