//! How the requests of HTTP clients appear in traces: a client of hyper, against a server on loopback.
#![cfg(all(feature = "http", feature = "testing", feature = "trace"))]

use std::{
    cell::Cell,
    collections::BTreeSet,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::IntoResponse};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env, env,
    testing::{CapturedSpan, CapturedTraces, capture_traces, context, sampled_context},
    trace::{self, HttpClientLayer, HttpClientService, TraceHeader, TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Instrument, Span, field::Empty, info_span};

const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

type HyperClient = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn hyper_client() -> HyperClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn layer() -> HttpClientLayer {
    HttpClientLayer::from_env(&Env::default())
}

/// A server that answers with the status that the path asks for, and never to `/hang`.
struct Server {
    url: String,
    received: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Server {
    async fn start() -> Self {
        let received: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let app = Router::new()
            .fallback(respond)
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, received }
    }

    fn request(&self, path: &str) -> Request<Full<Bytes>> {
        Request::get(format!("{}{path}", self.url))
            .body(Full::default())
            .unwrap()
    }

    fn received(&self, header: &str) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let values = received.iter().filter_map(|it| it.get(header));
        values.map(|it| it.to_str().unwrap().to_owned()).collect()
    }
}

async fn respond(
    State(received): State<Arc<Mutex<Vec<HeaderMap>>>>,
    request: Request<Body>,
) -> impl IntoResponse {
    received.lock().unwrap().push(request.headers().clone());
    let status = request.uri().path().trim_start_matches('/').parse();
    match status {
        Ok(status) => (StatusCode::from_u16(status).unwrap(), "hello"),
        Err(_) => pending().await,
    }
}

fn capture() -> (CapturedTraces, tracing::subscriber::DefaultGuard) {
    capture_traces(Tracer::from_env(&Env::default()).service("orders"))
}

/// Runs `handler` under a trace layer.
async fn invoke<F: Future>(
    context: lambda_runtime::Context,
    handler: impl FnOnce() -> F,
) -> F::Output {
    let handler = Cell::new(Some(handler));
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let future = handler.take().unwrap()();
        async { Ok::<_, Error>(future.await) }
    }));
    service
        .oneshot(LambdaEvent::new((), context))
        .await
        .unwrap()
}

/// Runs `handler` in a sampled invocation, and returns what it sent, after it was checked.
async fn trace<F: Future>(handler: impl FnOnce() -> F) -> CapturedTraces {
    let (traces, _guard) = capture();
    invoke(sampled_context("52fdfc07"), handler).await;
    check(&traces);
    traces
}

#[track_caller]
fn check(traces: &CapturedTraces) {
    let schema = serde_json::from_str(include_str!("schemas/xray-segment.schema.json"));
    let schema = jsonschema::validator_for(&schema.unwrap()).unwrap();
    for document in traces.documents() {
        if let Err(error) = schema.validate(&document) {
            panic!("{error}: {document}");
        }
        assert!(!document.to_string().contains("secret"), "{document}");
    }
}

fn only_child(traces: &CapturedTraces) -> CapturedSpan {
    let mut children = traces.named("## my-function").children();
    assert_eq!(children.len(), 1, "{traces:?}");
    children.remove(0)
}

fn unsampled_context() -> lambda_runtime::Context {
    let mut context = context("52fdfc07");
    context.xray_trace_id = Some(UNSAMPLED.to_owned());
    context
}

/// A client that answers every request with `200`, at once.
fn stub<B>() -> impl Service<Request<B>, Response = Response<()>, Error = Infallible> + Clone {
    service_fn(|_: Request<B>| std::future::ready(Ok(Response::new(()))))
}

#[tokio::test]
async fn a_request_is_the_subsegment_that_the_docs_show() {
    let client = layer().layer(service_fn(|_: Request<()>| async {
        Response::builder().status(429).body(())
    }));
    let request = Request::get("https://ann:secret@stock.example.com:443/items/1?key=secret")
        .header("authorization", "secret")
        .header("x-forwarded-for", "192.0.2.1");
    let traces = trace(|| client.oneshot(request.body(()).unwrap())).await;

    let docs = include_str!("../src/trace/http_client.rs").lines();
    let shown = docs
        .filter_map(|line| line.strip_prefix("/// {"))
        .map(|line| serde_json::from_str::<Value>(&format!("{{{line}")).unwrap());
    let mut shown: Vec<_> = shown.collect();
    assert_eq!(shown.len(), 1);
    let mut call = only_child(&traces).document().clone();
    for call in [&mut shown[0], &mut call] {
        for field in [
            "id",
            "start_time",
            "end_time",
            "trace_id",
            "parent_id",
            "type",
        ] {
            call.as_object_mut().unwrap().remove(field);
        }
    }
    call["http"]["request"]["url"] = json!("https://stock.example.com/items/1");
    assert_eq!(call, shown[0]);
}

#[tokio::test]
async fn a_status_says_whose_mistake_it_is() {
    let server = Server::start().await;
    for (status, error, throttle, fault) in [
        (200, false, false, false),
        (204, false, false, false),
        (302, false, false, false),
        (404, true, false, false),
        (429, true, true, false),
        (500, false, false, true),
        (503, false, false, true),
    ] {
        let client = layer().layer(hyper_client());
        let request = server.request(&format!("/{status}?token=secret"));
        let traces = trace(|| async { client.oneshot(request).await.unwrap() }).await;
        let call = only_child(&traces);
        assert_eq!(call.name(), "127.0.0.1");
        let document = call.document();
        assert_eq!(document["namespace"], "remote");
        assert_eq!(document["http"]["request"]["method"], "GET");
        assert_eq!(
            document["http"]["request"]["url"],
            format!("{}/{status}", server.url)
        );
        assert_eq!(document["http"]["response"]["status"], status);
        if status != 204 {
            assert_eq!(document["http"]["response"]["content_length"], 5);
        }
        let flags = (call.is_error(), call.is_throttle(), call.is_fault());
        assert_eq!(flags, (error, throttle, fault), "{status}");
        assert_eq!(call.exceptions(), [""; 0]);
    }
}

#[tokio::test]
async fn the_called_service_continues_the_subsegment() {
    let server = Server::start().await;
    let client = layer().layer(hyper_client());
    let request = server.request("/200");
    let traces = trace(|| client.oneshot(request).instrument(info_span!("place"))).await;
    let call = traces
        .named("## my-function")
        .child("place")
        .child("127.0.0.1");
    let expected = format!("Root={};Parent={};Sampled=1", call.trace_id(), call.id());
    assert_eq!(server.received("x-amzn-trace-id"), [expected]);
    assert_eq!(server.received("traceparent"), [""; 0]);
}

#[tokio::test]
async fn w3cs_header_names_the_same_span() {
    let server = Server::start().await;
    let client = layer().propagate_w3c(true).layer(hyper_client());
    let traces = trace(|| client.clone().oneshot(server.request("/200"))).await;
    let call = only_child(&traces);
    let trace_id: String = call.trace_id()[1..].split('-').collect();
    let expected = format!("00-{trace_id}-{}-01", call.id());
    assert_eq!(server.received("traceparent"), [expected]);

    invoke(unsampled_context(), || {
        client.oneshot(server.request("/200"))
    })
    .await
    .unwrap();
    let expected = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00";
    assert_eq!(server.received("traceparent")[1], expected);
}

#[tokio::test]
async fn w3cs_header_goes_along_where_spans_go_to_a_collector() {
    for (variable, is_sent) in [
        (env::OTLP_ENDPOINT, cfg!(feature = "trace-otlp")),
        (env::OTLP_TRACES_ENDPOINT, cfg!(feature = "trace-otlp")),
        (env::XRAY_DAEMON_ADDRESS, false),
    ] {
        let env = Env::from([(variable, "http://127.0.0.1:4318")]);
        let client =
            HttpClientLayer::from_env(&env).layer(service_fn(|it: Request<()>| async move {
                Ok::<_, Infallible>(Response::new(it.headers().contains_key("traceparent")))
            }));
        let request = Request::get("http://example.com/").body(()).unwrap();
        let response = invoke(sampled_context("1"), || client.oneshot(request)).await;
        assert_eq!(response.unwrap().into_body(), is_sent, "{variable}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_a_fault_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let client = layer().layer(hyper_client());
    let request = || Request::get(&url).body(Full::default()).unwrap();
    let traces = trace(|| async { client.clone().oneshot(request()).await.unwrap_err() }).await;
    let call = only_child(&traces);
    assert!(call.is_fault() && !call.is_error());
    assert!(
        call.exceptions()[0].contains("ConnectionRefused"),
        "{call:?}"
    );
    assert_eq!(call.document()["http"].get("response"), None);

    // A boxed error tells its sources.
    let client = ServiceBuilder::new()
        .layer(layer())
        .map_err(Error::from)
        .service(hyper_client());
    let client = layer().layer(client.map_err(Error::from));
    let traces = trace(|| async { client.oneshot(request()).await.unwrap_err() }).await;
    let call = only_child(&traces);
    assert!(
        call.exceptions().last().unwrap().contains("refused"),
        "{call:?}"
    );
    // Each layer has a subsegment, one in the other.
    assert_eq!(call.child("127.0.0.1").children().len(), 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_cancelled_and_sent() {
    let server = Server::start().await;
    let client = layer().layer(hyper_client());
    let request = client.oneshot(server.request("/hang"));
    let traces = trace(|| tokio::time::timeout(Duration::from_millis(50), request)).await;
    let call = only_child(&traces);
    assert!(call.is_fault() && !call.is_in_progress());
    assert_eq!(
        call.exceptions(),
        ["the call was dropped before it was answered"]
    );
}

#[tokio::test]
async fn a_client_that_panics_is_a_fault() {
    let client = layer().layer(service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        if true {
            panic!("oh");
        }
        Ok::<_, Infallible>(Response::new(()))
    }));
    let (traces, _guard) = capture();
    let request = Request::get("http://example.com/").body(()).unwrap();
    let handler = tokio::task::LocalSet::new();
    let panic = handler
        .run_until(async {
            let task = invoke(sampled_context("1"), || client.oneshot(request));
            tokio::task::spawn_local(task).await.unwrap_err()
        })
        .await;
    assert!(panic.is_panic());
    let call = traces.named("example.com");
    assert!(call.is_fault());
    assert_eq!(call.exceptions(), ["the call panicked"]);
}

#[tokio::test]
async fn spans_of_the_client_are_inside_and_leave_with_it() {
    let client = layer().layer(service_fn(|_: Request<()>| {
        let at_once = info_span!("at once");
        let kept = info_span!("kept");
        async move {
            drop(at_once);
            tokio::task::yield_now().await;
            info_span!("later").in_scope(|| {});
            let response = Ok::<_, Infallible>(Response::new(()));
            drop(kept);
            response
        }
    }));
    let request = Request::get("http://example.com/").body(()).unwrap();
    let traces = trace(|| client.oneshot(request)).await;
    assert_eq!(traces.documents().len(), 1);
    let call = only_child(&traces);
    let children = call.children();
    let children: BTreeSet<_> = children.iter().map(CapturedSpan::name).collect();
    assert_eq!(children, BTreeSet::from(["at once", "kept", "later"]));
}

#[tokio::test]
async fn what_the_clients_future_holds_to_its_end_goes_before_the_subsegment() {
    for is_answered in [true, false] {
        let client = layer().layer(service_fn(move |_: Request<()>| {
            let answer = async move {
                if !is_answered {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(()))
            };
            answer.instrument(info_span!("held"))
        }));
        let request = Request::get("http://example.com/").body(()).unwrap();
        let answer = client.oneshot(request);
        let traces = trace(|| tokio::time::timeout(Duration::from_millis(1), answer)).await;
        assert_eq!(traces.documents().len(), 1, "{is_answered}");
        assert_eq!(only_child(&traces).children().len(), 1);
        assert_eq!(only_child(&traces).is_fault(), !is_answered);
    }
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_goes_on_as_such() {
    let server = Server::start().await;
    let client = layer().layer(hyper_client());
    let (traces, _guard) = capture();
    let request = server.request("/200");
    invoke(unsampled_context(), || {
        client.oneshot(request).instrument(info_span!("place"))
    })
    .await
    .unwrap();
    assert_eq!(traces.documents().len(), 0);
    assert_eq!(server.received("x-amzn-trace-id"), [UNSAMPLED]);
}

#[tokio::test]
async fn a_trace_goes_on_although_no_tracer_listens() {
    let server = Server::start().await;
    let client = layer().layer(hyper_client());
    let context = sampled_context("52fdfc07");
    let header = context.xray_trace_id.clone().unwrap();
    let request = server.request("/200");
    invoke(context, || client.oneshot(request)).await.unwrap();
    assert_eq!(server.received("x-amzn-trace-id"), [header]);
}

#[tokio::test]
async fn outside_of_an_invocation_nothing_is_traced() {
    let server = Server::start().await;
    let client = layer().propagate_w3c(true).layer(hyper_client());
    let (traces, _guard) = capture();
    client.oneshot(server.request("/200")).await.unwrap();
    assert_eq!(traces.spans().len(), 0);
    assert_eq!(server.received("x-amzn-trace-id"), [""; 0]);
    assert_eq!(server.received("traceparent"), [""; 0]);
}

#[tokio::test]
async fn a_request_that_is_skipped_is_neither_shown_nor_told_of_the_trace() {
    let server = Server::start().await;
    let client = layer()
        .propagate_w3c(true)
        .skip(|uri| uri.path() == "/204")
        .layer(hyper_client());
    let traces = trace(|| async {
        client
            .clone()
            .oneshot(server.request("/204"))
            .await
            .unwrap();
        client
            .clone()
            .oneshot(server.request("/200"))
            .await
            .unwrap();
    })
    .await;
    only_child(&traces);
    assert_eq!(server.received("host").len(), 2);
    assert_eq!(server.received("x-amzn-trace-id").len(), 1);
    assert_eq!(server.received("traceparent").len(), 1);
}

#[tokio::test]
async fn headers_that_the_caller_sets_stay() {
    let server = Server::start().await;
    let client = layer().propagate_w3c(true).layer(hyper_client());
    let mut request = server.request("/200");
    for header in ["x-amzn-trace-id", "traceparent"] {
        request.headers_mut().insert(header, "own".parse().unwrap());
    }
    let traces = trace(|| client.oneshot(request)).await;
    only_child(&traces);
    assert_eq!(server.received("x-amzn-trace-id"), ["own"]);
    assert_eq!(server.received("traceparent"), ["own"]);
}

#[tokio::test]
async fn other_clients_take_the_headers_and_a_span_with_the_fields_of_http() {
    let mut headers = HeaderMap::new();
    let traces = trace(|| {
        let span = info_span!(
            "stock.example.com",
            otel.kind = "client",
            http.request.method = "GET",
            url.full = "https://stock.example.com/items/1",
            http.response.status_code = Empty,
        );
        let headers = &mut headers;
        async move {
            trace::inject(headers);
            trace::inject_w3c(headers);
            Span::current().record(
                "http.response.status_code",
                StatusCode::BAD_GATEWAY.as_u16(),
            );
        }
        .instrument(span)
    })
    .await;
    let call = only_child(&traces);
    assert!(call.is_fault());
    let document = call.document();
    assert_eq!(document["namespace"], "remote");
    assert_eq!(document.get("metadata"), None);
    assert_eq!(
        document["http"],
        json!({
            "request": {"method": "GET", "url": "https://stock.example.com/items/1"},
            "response": {"status": 502},
        })
    );
    let header: TraceHeader = headers["x-amzn-trace-id"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(header.parent().as_deref(), Some(call.id()));
    assert!(headers["traceparent"].to_str().unwrap().contains(call.id()));
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_costs_no_more_than_its_header() {
    let mut client = layer().layer(stub::<()>());
    let (_traces, _guard) = capture();
    let bare = allocation_counter::measure(|| {
        let mut headers = HeaderMap::new();
        let header: TraceHeader = UNSAMPLED.parse().unwrap();
        let name = HeaderName::from_static("x-amzn-trace-id");
        headers.insert(name, header.to_string().try_into().unwrap());
    });
    let ours = invoke(unsampled_context(), || async {
        let request = Request::new(());
        let mut response = None;
        let ours = allocation_counter::measure(|| response = Some(client.call(request)));
        response.unwrap().await.unwrap();
        ours
    })
    .await;
    assert_eq!(ours.count_total, bare.count_total);
}

#[tokio::test]
async fn the_requests_of_many_invocations_never_mix() {
    const INVOCATIONS: usize = 200;

    let seen: Mutex<BTreeSet<(String, String)>> = Mutex::default();
    let client = layer().layer(service_fn(|request: Request<()>| async {
        let request = request;
        tokio::task::yield_now().await;
        let header = request.headers()["x-amzn-trace-id"]
            .to_str()
            .unwrap()
            .to_owned();
        seen.lock()
            .unwrap()
            .insert((request.uri().path().to_owned(), header));
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(()))
    }));
    let (traces, _guard) = capture();
    let invocations = (0..INVOCATIONS).map(|number| {
        let client = &client;
        invoke(sampled_context(number.to_string()), move || async move {
            trace::annotate("number", number.to_string());
            let get = |name| {
                let url = format!("http://{name}.example.com/{number}/{name}");
                client.clone().oneshot(Request::get(url).body(()).unwrap())
            };
            let (a, b) = tokio::join!(get("a"), get("b"));
            a.unwrap();
            b.unwrap();
            get("c").await.unwrap();
        })
    });
    join_all(invocations).await;
    check(&traces);

    let mut seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 3 * INVOCATIONS);
    for handler in traces
        .spans()
        .iter()
        .filter(|it| it.name() == "## my-function")
    {
        let number = handler.annotation("number").unwrap().as_str().unwrap();
        for name in ["a", "b", "c"] {
            let call = handler.child(&format!("{name}.example.com"));
            let header = format!("Root={};Parent={};Sampled=1", handler.trace_id(), call.id());
            assert!(seen.remove(&(format!("/{number}/{name}"), header)));
        }
    }
    assert!(seen.is_empty());
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|it| it.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn the_clients_readiness_is_its_own() {
    let (mut client, mut handle) = tower_test::mock::spawn_with(|inner| layer().layer(inner));
    let _: &HttpClientService<tower_test::mock::Mock<Request<()>, Response<()>>> = client.get_ref();
    handle.allow(0);
    assert!(client.poll_ready().is_pending());
    handle.allow(1);
    assert!(client.poll_ready().is_ready());
    let answer = client.call(Request::new(()));
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response(Response::new(()));
    answer.await.unwrap();
}

#[test]
fn the_layer_goes_everywhere_and_shows_no_closure() {
    fn check<T: Clone + Send + Sync + 'static>(_: &T) {}
    let layer = layer().skip(|_| true);
    check(&layer);
    check(&layer.layer(hyper_client()));
    assert_eq!(
        format!("{:?}", layer.layer(())),
        "HttpClientService { inner: (), propagates_w3c: false, skips: true }"
    );
    fn is_send<F: Future + Send>(_: F) {}
    let request = Request::get("http://example.com/")
        .body(Full::default())
        .unwrap();
    is_send(layer.layer(hyper_client()).call(request));
}
