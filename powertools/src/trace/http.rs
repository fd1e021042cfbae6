use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use opentelemetry::{KeyValue, trace::SpanRef};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    attributes::{
        CLIENT_ADDRESS, FORWARDED, HTTP_CONTENT_LENGTH, HTTP_METHOD, HTTP_STATUS, URL, USER_AGENT,
    },
    details::{ErrorDetails, RequestDetails, ResponseDetails, sealed::Sealed},
    span,
};
use crate::classify::Outcome;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most characters of a URL or user agent that are shown. The limit is ours: both are written by
/// clients.
const TEXT_LENGTH: usize = 1024;

/// Shows requests and responses of HTTP in traces, made by [`TraceLayer::http`](super::TraceLayer::http).
#[derive(Clone, Debug)]
pub struct Http(());

impl Http {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Sealed for Http {}

impl<B> RequestDetails<Request<B>> for Http {
    fn on_request(&self, request: &Request<B>, span: &Span) {
        span.set_attribute(HTTP_METHOD, request.method().as_str().to_owned());
        span.set_attribute(URL, url(request.uri()));
        let user_agent = request.headers().get(header::USER_AGENT);
        if let Some(user_agent) = user_agent.and_then(|it| it.to_str().ok()) {
            span.set_attribute(USER_AGENT, shorten(user_agent));
        }
        if let Some(address) = forwarded_for(request.headers()) {
            span.set_attribute(CLIENT_ADDRESS, address.to_string());
            span.set_attribute(FORWARDED, true);
        }
    }
}

impl<Error> ErrorDetails<Error> for Http {}

impl<B> ResponseDetails<Response<B>> for Http {
    fn on_response(&self, response: &Response<B>, _: &str, span: &SpanRef<'_>) {
        let status = response.status().as_u16();
        span.set_attribute(KeyValue::new(HTTP_STATUS, i64::from(status)));
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = length.and_then(|it| i64::try_from(it).ok()) {
            span.set_attribute(KeyValue::new(HTTP_CONTENT_LENGTH, length));
        }
        if status >= 400 {
            // A document goes by the status unless it is told otherwise; whether it is a failure is
            // for the classifier to say, which comes next.
            for flag in span::flags(Outcome::Success) {
                span.set_attribute(flag);
            }
        }
    }
}

/// Returns what a URL names: without its query and without a user's name and password, which hold
/// tokens.
fn url(uri: &Uri) -> String {
    let mut url = String::new();
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        let (host, port) = (authority.host(), authority.port());
        url.push_str(scheme);
        url.push_str("://");
        url.push_str(host);
        if let Some(port) = port {
            url.push(':');
            url.push_str(port.as_str());
        }
    }
    url.push_str(uri.path());
    shorten(&url)
}

/// Returns the address that the last proxy was called from.
///
/// API Gateway, load balancers and function URLs put it behind what the client has sent, so the
/// last entry is the one that no client writes.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(X_FORWARDED_FOR).iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    let without_port = || last.parse().ok().map(|it: std::net::SocketAddr| it.ip());
    last.parse().ok().or_else(without_port)
}

fn shorten(text: &str) -> String {
    text.chars().take(TEXT_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (uri, shown) in [
            (
                "https://api.example.com/orders/1?token=secret",
                "https://api.example.com/orders/1",
            ),
            (
                "http://ann:secret@localhost:3000/a",
                "http://localhost:3000/a",
            ),
            ("http://[::1]:3000/", "http://[::1]:3000/"),
            ("/orders?token=secret", "/orders"),
            ("*", "*"),
        ] {
            assert_eq!(url(&uri.parse().unwrap()), shown);
        }
        let long = format!("/{}", "a".repeat(5000));
        assert_eq!(url(&long.parse().unwrap()).len(), TEXT_LENGTH);
    }

    #[test]
    fn of_the_addresses_that_a_request_was_forwarded_for_the_last_counts() {
        for (values, address) in [
            (&[][..], None),
            (&["192.0.2.1"], Some("192.0.2.1")),
            (&["10.0.0.1, 192.0.2.1"], Some("192.0.2.1")),
            (&["10.0.0.1", "10.0.0.2,192.0.2.1 "], Some("192.0.2.1")),
            (&["10.0.0.1, 2001:db8::1"], Some("2001:db8::1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["192.0.2.1, <script>"], None),
            (&["192.0.2.1", ""], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
            }
            let expected: Option<IpAddr> = address.map(|it: &str| it.parse().unwrap());
            assert_eq!(forwarded_for(&headers), expected, "{values:?}");
        }
    }
}
