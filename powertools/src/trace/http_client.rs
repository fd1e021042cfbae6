use std::{
    fmt::{self, Debug},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use opentelemetry::trace::SpanContext;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    TraceHeader,
    client::{ClientSpan, X_AMZN_TRACE_ID},
    details::{RequestDetails, ResponseDetails},
    failure::Failure,
    http::Http,
};
use crate::{Env, classify::Outcome, env};

/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of a call that does not say whom it calls.
const UNKNOWN_HOST: &str = "http";

/// Puts the trace header into the headers of a request, so that the called service's work becomes a
/// part of the span that the code runs in.
///
/// It is `X-Amzn-Trace-Id`, with [`TraceHeader::current`]: also where nothing is recorded, as then
/// the called service is not to record either. Headers that have one keep it. Does nothing where there
/// is no current header.
///
/// For clients that are no `tower` services; for others there is [`HttpClientLayer`]. A client with
/// the types of the crate `http`, as reqwest, takes the headers as they are
/// (`client.get(url).headers(headers)`); its call becomes a subsegment by a span around it. Whatever
/// fields the span has, those of these names are the document's `http` block, and with `otel.kind`
/// the subsegment is one of a call:
///
/// ```
/// use http::HeaderMap;
/// use powertools::trace;
/// use tracing::{Instrument, Span, field::Empty, info_span};
///
/// # struct Client;
/// # impl Client { async fn send(&self, _: &str, _: HeaderMap) -> Result<http::Response<()>, std::io::Error> { Ok(http::Response::new(())) } }
/// async fn stock(client: &Client) -> Result<http::Response<()>, std::io::Error> {
///     let url = "https://stock.example.com/items/1";
///     let span = info_span!(
///         "stock.example.com",
///         otel.kind = "client",
///         http.request.method = "GET",
///         url.full = url,
///         http.response.status_code = Empty,
///     );
///     async {
///         let mut headers = HeaderMap::new();
///         trace::inject(&mut headers);
///         let response = client.send(url, headers).await?;
///         Span::current().record("http.response.status_code", response.status().as_u16());
///         Ok(response)
///     }
///     .instrument(span)
///     .await
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(stock(&Client)).unwrap();
/// ```
pub fn inject(headers: &mut HeaderMap) {
    if let Some(header) = TraceHeader::current() {
        inject_xray(headers, &header);
    }
}

/// Puts the trace into the headers of a request in W3C's form, for services that speak OpenTelemetry.
///
/// As [`inject`], with the header `traceparent`. Does nothing where the trace has no span to continue.
///
/// ```
/// use http::HeaderMap;
/// use powertools::trace;
///
/// let mut headers = HeaderMap::new();
/// trace::inject(&mut headers);
/// trace::inject_w3c(&mut headers);
/// // Outside of an invocation there is no trace.
/// assert!(headers.is_empty());
/// ```
pub fn inject_w3c(headers: &mut HeaderMap) {
    if let Some(span) = TraceHeader::current().and_then(|header| header.span_context()) {
        inject_traceparent(headers, &span);
    }
}

fn inject_xray(headers: &mut HeaderMap, header: &TraceHeader) {
    insert(headers, HeaderName::from_static(X_AMZN_TRACE_ID), || {
        header.to_string()
    });
}

fn inject_traceparent(headers: &mut HeaderMap, span: &SpanContext) {
    insert(headers, TRACEPARENT, || {
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
        format!("00-{trace}-{id}-{flags:02x}")
    });
}

/// Leaves alone what the caller has set.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl FnOnce() -> String) {
    if headers.contains_key(&name) {
        return;
    }
    // What the values are made of is no more than a header takes.
    if let Ok(value) = HeaderValue::try_from(value()) {
        headers.insert(name, value);
    }
}

/// Traces the requests of an HTTP client.
///
/// The client is a `tower` service of `http::Request`s, such as the one of hyper-util. Every request
/// becomes a subsegment named after its host, with the namespace `remote`; and the header
/// `X-Amzn-Trace-Id` makes what the called service does a part of it.
///
/// # Examples
///
/// The default use:
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use powertools::trace::HttpClientLayer;
/// use tower::ServiceBuilder;
///
/// let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
/// let client = ServiceBuilder::new().layer(HttpClientLayer::new()).service(client);
/// # drop(client);
/// ```
///
/// The configured use; and what comes of it:
///
/// ```
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use http::{Request, Response, StatusCode};
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::trace::{HttpClientLayer, TraceLayer};
/// # use powertools::{Env, testing, trace::Tracer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// // Stands for a client of HTTP.
/// let client = service_fn(|request: Request<()>| async move {
///     assert_eq!(request.headers().contains_key("traceparent"), request.uri().host() != Some("localhost"));
///     Response::builder().status(StatusCode::TOO_MANY_REQUESTS).body(())
/// });
/// let layer = HttpClientLayer::new()
///     .propagate_w3c(true)
///     .skip(|uri| uri.host() == Some("localhost"));
/// let client = ServiceBuilder::new().layer(layer).service(client);
///
/// let handler = service_fn(|_: LambdaEvent<()>| {
///     let client = client.clone();
///     async move {
///         for url in ["http://localhost/", "https://stock.example.com/items/1?key=secret"] {
///             client.clone().oneshot(Request::get(url).body(())?).await?;
///         }
///         Ok::<_, Error>(())
///     }
/// });
/// let service = ServiceBuilder::new().layer(TraceLayer::new()).service(handler);
/// # let (traces, _guard) = testing::capture_traces(Tracer::from_env(&Env::default()));
/// # let event = LambdaEvent::new((), testing::sampled_context("52fdfc07"));
/// # service.oneshot(event).await?;
/// # let children = traces.named("## my-function").children();
/// # assert_eq!(children.len(), 1);
/// # assert_eq!(children[0].name(), "stock.example.com");
/// # assert!(children[0].is_throttle());
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
///
/// # The subsegment
///
/// ```json
/// {"id":"2ad5b3a5f0f4d4a1","name":"stock.example.com","start_time":1763881099.081,"end_time":1763881099.5,"in_progress":false,"error":true,"throttle":true,"http":{"request":{"method":"GET","url":"https://stock.example.com/items/1"},"response":{"status":429}},"namespace":"remote"}
/// ```
///
/// | field | from |
/// |---|---|
/// | `name` | the host of the request's URL or of its header `Host`, without the port |
/// | `http` | the request's method and URL, without query, user and password, which may be secret; the response's status and `Content-Length` |
/// | `error`, `throttle`, `fault` | the status: from 400, 429, and from 500; a request that is not answered is a fault |
/// | `cause` | the error of the client as a [handler's](super::TraceLayer) is shown: boxed ones with their messages and sources, others by their `Debug` text |
///
/// It ends when the response's head has come; the body comes later. One whose future is dropped before
/// is a fault with the exception `cancelled`.
///
/// # The header
///
/// As with [`inject`], requests that have a trace header keep it, and where nothing is recorded the
/// header of the running code is passed on. Whoever is not to know the trace is
/// [skipped](Self::skip).
///
/// Next to the client, under a layer that repeats requests, each attempt is a subsegment; around such a
/// layer all of them are one.
#[derive(Clone)]
#[must_use]
pub struct HttpClientLayer {
    config: Config,
}

#[derive(Clone)]
struct Config {
    propagates_w3c: bool,
    skip: Option<Arc<Skip>>,
}

type Skip = dyn Fn(&Uri) -> bool + Send + Sync;

impl HttpClientLayer {
    /// Makes a layer that is configured by the environment of the process.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a layer that is configured by `env`.
    ///
    /// That decides about [W3C's header](Self::propagate_w3c).
    pub fn from_env(env: &Env) -> Self {
        let endpoint = env
            .get(env::OTLP_TRACES_ENDPOINT)
            .or_else(|| env.get(env::OTLP_ENDPOINT));
        Self {
            config: Config {
                propagates_w3c: cfg!(feature = "trace-otlp") && endpoint.is_some(),
                skip: None,
            },
        }
    }

    /// Sets whether requests also have W3C's header `traceparent`, for services that speak
    /// OpenTelemetry.
    ///
    /// Defaults to whether spans go to a collector: the feature `trace-otlp` is there, and
    /// [`OTEL_EXPORTER_OTLP_ENDPOINT`](env::OTLP_ENDPOINT) or
    /// [`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`](env::OTLP_TRACES_ENDPOINT) is set.
    pub fn propagate_w3c(mut self, propagate: bool) -> Self {
        self.config.propagates_w3c = propagate;
        self
    }

    /// Leaves requests alone for whose URL `skip` returns true: they get no header, and no subsegment.
    ///
    /// By default none.
    pub fn skip<F>(mut self, skip: F) -> Self
    where
        F: Fn(&Uri) -> bool + Send + Sync + 'static,
    {
        self.config.skip = Some(Arc::new(skip));
        self
    }
}

impl Default for HttpClientLayer {
    /// As [`HttpClientLayer::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for HttpClientLayer {
    type Service = HttpClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpClientService {
            inner,
            config: self.config.clone(),
        }
    }
}

impl Debug for HttpClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpClientLayer");
        self.config.fmt_fields(&mut debug).finish()
    }
}

impl Config {
    /// Opens the span of a request, and puts the headers in.
    fn start<B>(&self, request: &mut Request<B>) -> Option<ClientSpan> {
        if self.skip.as_ref().is_some_and(|skip| skip(request.uri())) {
            return None;
        }
        let span = ClientSpan::open(host(request), |span| {
            // Without its headers, which tell of the function's own caller where it is a proxy.
            let mut shown = Request::new(());
            shown.method_mut().clone_from(request.method());
            shown.uri_mut().clone_from(request.uri());
            Http::new().on_request(&shown, span);
        });
        let header = match &span {
            Some(span) => span.header(),
            None => TraceHeader::current(),
        };
        if let Some(header) = header {
            inject_xray(request.headers_mut(), &header);
            if self.propagates_w3c
                && let Some(span) = header.span_context()
            {
                inject_traceparent(request.headers_mut(), &span);
            }
        }
        span
    }

    fn fmt_fields<'a, 'b, 'c>(
        &self,
        debug: &'a mut fmt::DebugStruct<'b, 'c>,
    ) -> &'a mut fmt::DebugStruct<'b, 'c> {
        debug
            .field("propagates_w3c", &self.propagates_w3c)
            .field("skips", &self.skip.is_some())
    }
}

fn host<B>(request: &Request<B>) -> &str {
    let header = || {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let authority = host.find('@').map_or(host, |at| &host[at + 1..]);
        let port = authority.rfind(':').filter(|_| !authority.ends_with(']'));
        port.map_or(Some(authority), |colon| authority.get(..colon))
    };
    let host = request.uri().host().or_else(header);
    host.filter(|it| !it.is_empty()).unwrap_or(UNKNOWN_HOST)
}

/// The service that [`HttpClientLayer`] makes.
#[derive(Clone)]
pub struct HttpClientService<S> {
    inner: S,
    config: Config,
}

impl<S, B, B2> Service<Request<B>> for HttpClientService<S>
where
    S: Service<Request<B>, Response = Response<B2>>,
    S::Error: Debug + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HttpClientFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let span = self.config.start(&mut request);
        let inner = in_scope(span.as_ref(), || self.inner.call(request));
        HttpClientFuture {
            inner: Some(inner),
            span,
        }
    }
}

impl<S: Debug> Debug for HttpClientService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpClientService");
        debug.field("inner", &self.inner);
        self.config.fmt_fields(&mut debug).finish()
    }
}

pin_project! {
    /// The future of [`HttpClientService`].
    pub struct HttpClientFuture<F> {
        // `None` once it is ready: what it holds belongs to the span, and goes before it ends.
        #[pin]
        inner: Option<F>,
        // `None` where nothing is recorded, and once it has ended.
        span: Option<ClientSpan>,
    }

    impl<F> PinnedDrop for HttpClientFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            in_scope(this.span.as_ref(), || this.inner.set(None));
        }
    }
}

impl<F, B, E> Future for HttpClientFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Debug + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        let inner = inner.expect("`HttpClientFuture` is not polled after it was ready");
        let result = ready!(in_scope(this.span.as_ref(), || inner.poll(cx)));
        in_scope(this.span.as_ref(), || this.inner.set(None));
        if let Some(span) = this.span.take() {
            show(&span, &result);
            span.end();
        }
        Poll::Ready(result)
    }
}

impl<F> Debug for HttpClientFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientFuture").finish_non_exhaustive()
    }
}

fn in_scope<R>(span: Option<&ClientSpan>, f: impl FnOnce() -> R) -> R {
    match span {
        Some(span) => span.in_scope(f),
        None => f(),
    }
}

fn show<B, E: Debug + 'static>(span: &ClientSpan, result: &Result<Response<B>, E>) {
    match result {
        Ok(response) => {
            Http::new().on_response(response, "", &span.otel());
            span.set_outcome(response.status().into());
        }
        Err(error) => {
            Failure::from_client_error(error).record(&span.otel());
            span.set_outcome(Outcome::Fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_after_the_host_without_port_and_user() {
        for (uri, header, name) in [
            ("https://api.example.com:8443/a", None, "api.example.com"),
            (
                "https://ann:secret@api.example.com/",
                None,
                "api.example.com",
            ),
            ("http://[::1]:3000/", None, "[::1]"),
            (
                "https://a.example.com/",
                Some("b.example.com"),
                "a.example.com",
            ),
            ("/a", Some("api.example.com"), "api.example.com"),
            ("/a", Some("api.example.com:8443"), "api.example.com"),
            ("/a", Some("ann:secret@api.example.com"), "api.example.com"),
            ("/a", Some("[::1]"), "[::1]"),
            ("/a", Some("[::1]:3000"), "[::1]"),
            ("/a", Some(""), UNKNOWN_HOST),
            ("/a", None, UNKNOWN_HOST),
        ] {
            let mut request = Request::get(uri);
            if let Some(header) = header {
                request = request.header(header::HOST, header);
            }
            assert_eq!(host(&request.body(()).unwrap()), name, "{uri} {header:?}");
        }
    }
}
