#![cfg(feature = "testing")]

use std::{
    borrow::Cow,
    convert::Infallible,
    future::ready,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Instant,
};

use lambda_runtime::LambdaEvent;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
    common::v1::any_value::Value,
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use proptest::prelude::*;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use super::*;
use crate::{
    Env, Invocation,
    trace::{TraceLayer, Tracer, exporter},
};

fn span(name: impl Into<Cow<'static, str>>, attributes: Vec<KeyValue>) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(1),
            SpanId::from(2),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::from(3),
        parent_span_is_remote: true,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: UNIX_EPOCH,
        end_time: UNIX_EPOCH,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("powertools").build(),
    }
}

fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.flat_map(|it| &it.spans)
}

fn resource() -> Vec<KeyValue> {
    vec![KeyValue::new("service.name", "orders")]
}

#[test]
fn a_datagram_is_marked_and_holds_the_spans_and_the_function() {
    let requests = to_requests(
        vec![span("a", vec![]), span("b", vec![])],
        &resource(),
        1 << 16,
    );
    assert_eq!(requests.len(), 1);
    let datagram = to_datagram(&requests[0]);
    let base64 = datagram
        .strip_prefix(b"{\"format\":\"json\",\"version\":1}\nT1S")
        .unwrap();
    let bytes = BASE64.decode(base64).unwrap();
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    assert_eq!(request, requests[0]);
    let names: Vec<_> = spans(&request).map(|span| &*span.name).collect();
    assert_eq!(names, ["a", "b"]);
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
}

#[test]
fn what_is_private_stays_here() {
    let attributes = vec![
        KeyValue::new("powertools.fault", true),
        KeyValue::new("powertools.metadata.basket", "[1]"),
        KeyValue::new("annotation.OrderId", "a1"),
        KeyValue::new("http.request.method", "GET"),
    ];
    let requests = to_requests(vec![span("a", attributes)], &[], 1 << 16);
    let span = spans(&requests[0]).next().unwrap();
    let names: Vec<_> = span.attributes.iter().map(|it| &*it.key).collect();
    assert_eq!(
        names,
        [
            "metadata.basket",
            "annotation.OrderId",
            "http.request.method"
        ]
    );
}

#[test]
fn a_url_leaves_without_what_is_secret() {
    let url = "https://me:secret@shop.example/orders?token=secret";
    let attributes = vec![KeyValue::new("url.full", url)];
    let requests = to_requests(vec![span("a", attributes)], &[], 1 << 16);
    let span = spans(&requests[0]).next().unwrap();
    let value = span.attributes[0].value.as_ref().unwrap();
    let expected = Value::StringValue("https://shop.example/orders".to_owned());
    assert_eq!(value.value.as_ref(), Some(&expected));
}

#[test]
fn a_span_that_is_too_large_loses_its_long_attributes_or_itself_but_no_sibling() {
    let long = |length| KeyValue::new("metadata.body", "x".repeat(length));
    let batch = vec![
        span("before", vec![]),
        span(
            "trimmed",
            vec![long(70_000), KeyValue::new("annotation.kept", 1)],
        ),
        span("x".repeat(70_000), vec![]),
        span("after", vec![]),
    ];
    let requests = to_requests(batch, &resource(), DATAGRAM_REQUEST_LENGTH);
    let spans: Vec<_> = requests.iter().flat_map(spans).collect();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["before", "trimmed", "after"]);
    assert_eq!(spans[1].attributes.len(), 1);
    assert_eq!(spans[1].dropped_attributes_count, 1);
}

proptest! {
    #[test]
    fn spans_are_packed_within_the_limit_and_stay_in_order(
        lengths in proptest::collection::vec(0_usize..20_000, 1..60),
    ) {
        let batch = lengths.iter().enumerate().map(|(number, &length)| {
            span(number.to_string(), vec![KeyValue::new("metadata.text", "x".repeat(length))])
        });
        let requests = to_requests(batch.collect(), &resource(), DATAGRAM_REQUEST_LENGTH);
        for request in &requests {
            prop_assert!(to_datagram(request).len() <= DATAGRAM_LENGTH);
        }
        let names: Vec<usize> = requests.iter().flat_map(spans).map(|it| it.name.parse().unwrap()).collect();
        prop_assert_eq!(names, (0..lengths.len()).collect::<Vec<_>>());
        // No two neighbours would have gone into one.
        for pair in requests.windows(2) {
            let next = spans(&pair[1]).next().unwrap().encoded_len();
            let slack = (spans(&pair[0]).count() + 5) * FIELD;
            prop_assert!(pair[0].encoded_len() + next + slack > DATAGRAM_REQUEST_LENGTH);
        }
    }
}

#[test]
fn a_function_is_described_by_its_environment() {
    let env = Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        ("AWS_REGION", "eu-west-1"),
    ]);
    let attributes = |env: &Env, service| {
        let attributes = Resource::from_env(env).attributes(service);
        let attributes = attributes
            .iter()
            .map(|it| format!("{}={}", it.key, it.value));
        attributes.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        attributes(&env, None),
        "cloud.provider=aws cloud.platform=aws_lambda cloud.region=eu-west-1 \
         faas.name=my-function service.name=my-function"
    );
    assert!(attributes(&env, Some("orders")).ends_with("service.name=orders"));
    let env = Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        ("OTEL_SERVICE_NAME", "shop"),
    ]);
    assert!(attributes(&env, None).ends_with("service.name=shop"));
}

#[test]
fn an_invocation_waits_until_its_answer_has_to_leave() {
    let now = UNIX_EPOCH + Duration::from_secs(100);
    assert_eq!(remaining(0, now), None);
    assert_eq!(remaining(103_000, now), Some(Duration::from_millis(2900)));
    assert_eq!(remaining(100_050, now), Some(Duration::ZERO));
    assert_eq!(remaining(99_000, now), Some(Duration::ZERO));
}

/// A request as a collector gets it.
struct Received {
    head: String,
    request: ExportTraceServiceRequest,
}

/// Plays a collector that answers every request with `status` and `body`, or none if it is 0.
fn collector(status: u16, body: Vec<u8>) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).unwrap();
            }
            let head = head.to_ascii_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).unwrap();
            let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
            if sender.send(Received { head, request }).is_err() {
                return;
            }
            if status == 0 {
                kept.push(stream);
                continue;
            }
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.get_mut().write_all(head.as_bytes()).unwrap();
            stream.get_mut().write_all(&body).unwrap();
        }
    });
    (uri, receiver)
}

fn to(uri: &str, more: &[(&str, &str)]) -> Otlp {
    let endpoint = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", uri)];
    let env: Env = endpoint.iter().chain(more).copied().collect();
    Otlp::http(Endpoint::from_env(&env).unwrap().unwrap(), resource())
}

fn context(remaining: Duration) -> Context {
    let mut context = Context::default();
    let deadline = SystemTime::now() + remaining;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
    context.deadline = deadline.try_into().unwrap();
    context
}

/// Collects the messages of warnings on this thread.
fn warnings() -> (crate::testing::Captured, tracing::subscriber::DefaultGuard) {
    struct Warnings(crate::testing::Captured);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
        fn on_event(
            &self,
            event: &tracing::Event<'_>,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            struct Line(String);

            impl tracing::field::Visit for Line {
                fn record_debug(
                    &mut self,
                    field: &tracing::field::Field,
                    value: &dyn std::fmt::Debug,
                ) {
                    self.0.push_str(&format!("{field}={value:?} "));
                }
            }

            if event.metadata().target().starts_with("powertools") {
                let mut line = Line(String::new());
                event.record(&mut line);
                writeln!(self.0.clone(), "{}", line.0).unwrap();
            }
        }
    }

    // `tracing` remembers for the whole process where nobody listens; so somebody always does.
    static LISTENS: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    std::sync::LazyLock::force(&LISTENS);
    let output = crate::testing::Captured::default();
    let layer = Warnings(output.clone());
    (
        output,
        tracing_subscriber::registry().with(layer).set_default(),
    )
}

fn batch(group: Option<u64>, names: &[&'static str]) -> Batch {
    Batch {
        group: group.map(SpanId::from),
        spans: names.iter().map(|&name| span(name, vec![])).collect(),
    }
}

/// Waits for the spans of the invocation whose handler's span is `handler`.
async fn flush(otlp: &Otlp, handler: u64, remaining: Duration) {
    let flush = otlp.flush(&[SpanId::from(handler)], &context(remaining));
    flush.unwrap().await;
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_batch_is_one_request_with_the_headers_of_the_environment() {
    let (uri, receiver) = collector(200, Vec::new());
    let (warnings, _guard) = warnings();
    let otlp = to(&uri, &[("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")]);
    assert!(otlp.flush(&[SpanId::from(1)], &context(LONG)).is_none());
    otlp.send(batch(Some(1), &["a", "b"]));
    assert!(
        otlp.flush(&[SpanId::from(2)], &context(LONG)).is_none(),
        "another's"
    );
    flush(&otlp, 1, LONG).await;
    let received = receiver.try_recv().unwrap();
    let head = &received.head;
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf\r\n"),
        "{head}"
    );
    assert!(head.contains("x-key: secret\r\n"), "{head}");
    assert_eq!(spans(&received.request).count(), 2);
    assert!(otlp.flush(&[SpanId::from(1)], &context(LONG)).is_none());
    assert!(warnings.lines().is_empty(), "{warnings:?}");

    otlp.reset();
    otlp.send(batch(Some(3), &["c"]));
    flush(&otlp, 3, LONG).await;
    assert_eq!(spans(&receiver.try_recv().unwrap().request).count(), 1);
}

#[tokio::test]
async fn spans_go_on_although_nobody_waits_for_them() {
    let (uri, receiver) = collector(200, Vec::new());
    let otlp = to(&uri, &[]);
    otlp.send(batch(Some(1), &["a"]));
    drop(otlp.flush(&[SpanId::from(1)], &context(LONG)));
    let received = tokio::task::spawn_blocking(move || receiver.recv_timeout(LONG).unwrap());
    assert_eq!(spans(&received.await.unwrap().request).count(), 1);
}

#[tokio::test]
async fn what_outlived_its_invocation_or_ended_without_a_runtime_goes_with_the_next() {
    let (uri, receiver) = collector(200, Vec::new());
    let otlp = Arc::new(to(&uri, &[]));
    otlp.send(batch(None, &["straggler"]));
    let elsewhere = Arc::clone(&otlp);
    thread::spawn(move || elsewhere.send(batch(Some(1), &["a"])))
        .join()
        .unwrap();
    assert!(receiver.try_recv().is_err());
    flush(&otlp, 1, LONG).await;
    let received = receiver.try_recv().unwrap();
    let names: Vec<_> = spans(&received.request).map(|it| &*it.name).collect();
    assert_eq!(names, ["straggler", "a"]);
}

#[tokio::test]
async fn an_answer_does_not_miss_its_deadline_for_a_collector_that_is_slow() {
    let (uri, receiver) = collector(0, Vec::new());
    let otlp = to(&uri, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")]);
    otlp.send(batch(Some(1), &["a"]));
    let start = Instant::now();
    flush(&otlp, 1, Duration::from_millis(400)).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    let received = tokio::task::spawn_blocking(move || receiver.recv_timeout(LONG).unwrap());
    assert_eq!(spans(&received.await.unwrap().request).count(), 1);
}

#[tokio::test]
async fn spans_that_a_collector_does_not_take_are_a_warning() {
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for ((uri, _receiver), warned) in [
        (collector(503, Vec::new()), "503"),
        (
            collector(200, partial.encode_to_vec()),
            "1 spans refused: too old",
        ),
        (collector(0, Vec::new()), "in time"),
        ((closed, channel().1), "did not take them"),
    ] {
        let (warnings, _guard) = warnings();
        let otlp = to(&uri, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
        otlp.send(batch(Some(1), &["a"]));
        flush(&otlp, 1, LONG).await;
        let lines = warnings.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(warned), "{warned}: {lines:?}");
    }
}

#[test]
fn a_runtime_without_timers_is_told_once_and_nobody_waits() {
    let (uri, receiver) = collector(200, Vec::new());
    let otlp = to(&uri, &[]);
    let (warnings, _guard) = warnings();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        for group in 1..=2 {
            otlp.send(batch(Some(group), &["a"]));
            let groups = [SpanId::from(group)];
            assert!(otlp.flush(&groups, &context(LONG)).is_none());
        }
    });
    let lines = warnings.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("enable_time"), "{lines:?}");
    assert!(receiver.try_recv().is_err());
}

#[test]
fn spans_that_nobody_sends_are_bounded() {
    let otlp = to("http://127.0.0.1:9/v1/traces", &[]);
    let (warnings, _guard) = warnings();
    otlp.send(batch(Some(1), &["a"; 10_000]));
    assert!(warnings.lines().is_empty());
    otlp.send(batch(Some(1), &["a"; 2]));
    assert_eq!(warnings.lines().len(), 1);
    let Way::Http(http) = &otlp.way else {
        unreachable!("it was made so");
    };
    assert_eq!(http.pending(), 10_000);
}

#[test]
fn two_values_of_one_kind_keep_their_types() {
    let attributes = vec![
        KeyValue::new("annotation.items", 3),
        KeyValue::new("annotation.ok", true),
    ];
    let requests = to_requests(vec![span("a", attributes)], &[], usize::MAX);
    let values: Vec<_> = spans(&requests[0])
        .flat_map(|it| &it.attributes)
        .map(|it| it.value.as_ref().unwrap().value.as_ref().unwrap())
        .collect();
    assert_eq!(values, [&Value::IntValue(3), &Value::BoolValue(true)]);
}

/// Runs `f` as a handler whose spans go where `env` says, and returns the invocation.
async fn invoke(tracer: &Tracer, f: impl Fn()) -> Invocation {
    let _guard = tracing_subscriber::registry()
        .with(tracer.subscriber_layer())
        .set_default();
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        f();
        ready(Ok::<_, Infallible>(Invocation::current().unwrap()))
    }));
    let event = LambdaEvent::new((), crate::testing::sampled_context("52fdfc07"));
    service.oneshot(event).await.unwrap()
}

#[tokio::test]
async fn the_spans_of_an_invocation_are_out_when_its_flush_is() {
    let (uri, receiver) = collector(200, Vec::new());
    let env = Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &uri),
    ]);
    let tracer = Tracer::from_env(&env);
    let inner = || tracing::info_span!("inner").in_scope(|| {});
    let invocation = invoke(&tracer, inner).await;
    if let Some(flush) = exporter::flush(&invocation) {
        flush.await;
    }
    let request = receiver.try_recv().unwrap().request;
    let spans: Vec<_> = spans(&request).collect();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["inner", "## my-function"]);
    assert_eq!(spans[0].parent_span_id, spans[1].span_id);
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
}

#[tokio::test]
async fn when_the_time_is_nearly_over_spans_that_have_ended_leave() {
    let daemon = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_nonblocking(true).unwrap();
    let env = Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        (
            "AWS_XRAY_DAEMON_ADDRESS",
            &daemon.local_addr().unwrap().to_string(),
        ),
    ]);
    let is_there_one = || daemon.recv(&mut [0; 1 << 16]).is_ok();
    let tracer = Tracer::from_env(&env).otlp_udp();
    invoke(&tracer, || {
        tracing::info_span!("first").in_scope(|| {});
        assert!(!is_there_one());
        exporter::emit_in_progress(&Invocation::current().unwrap());
        assert!(is_there_one() && !is_there_one());
        tracing::info_span!("second").in_scope(|| {});
        assert!(is_there_one());
    })
    .await;
    assert!(is_there_one() && !is_there_one());
}

/// Runs `f` as a handler of an invocation that is not sampled, with a message's span that is.
async fn invoke_unsampled<F: Future<Output = ()>>(tracer: &Tracer, f: impl Fn() -> F) {
    let _guard = tracing_subscriber::registry()
        .with(tracer.subscriber_layer())
        .set_default();
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let work = f();
        async {
            work.await;
            Ok::<_, Infallible>(())
        }
    }));
    let event = LambdaEvent::new((), crate::testing::context("52fdfc07"));
    service.oneshot(event).await.unwrap();
}

fn message(name: &'static str) -> tracing::Span {
    use crate::trace::SpanExt;

    let span = tracing::info_span!("message", otel.name = name);
    let header = "Root=1-5759e989-000000000000000000000001;Parent=00000000000000ab;Sampled=1";
    span.continue_trace(&header.parse().unwrap());
    span
}

#[tokio::test]
async fn an_invocation_that_is_not_sampled_waits_for_its_messages_too() {
    let (uri, receiver) = collector(200, Vec::new());
    let env = Env::from([
        ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &uri),
    ]);
    let held = std::sync::Mutex::new(None);
    invoke_unsampled(&Tracer::from_env(&env), || async {
        message("one").in_scope(|| {});
        // It outlives the invocation; what ended inside does not wait for it.
        let two = message("two");
        two.in_scope(|| tracing::info_span!("inside").in_scope(|| {}));
        *held.lock().unwrap() = Some(two);
    })
    .await;
    let mut names: Vec<_> = receiver
        .try_iter()
        .flat_map(|it| {
            spans(&it.request)
                .map(|it| it.name.clone())
                .collect::<Vec<_>>()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["inside", "one"]);
}

#[test]
fn opentelemetrys_own_switch_counts_for_what_leaves_in_its_form() {
    let sends = |endpoint: Option<&str>, disabled: &str, to_udp: bool| {
        let daemon = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        daemon.set_nonblocking(true).unwrap();
        let address = daemon.local_addr().unwrap().to_string();
        let mut env = vec![
            ("AWS_LAMBDA_FUNCTION_NAME", "my-function"),
            ("AWS_XRAY_DAEMON_ADDRESS", &*address),
            ("OTEL_SDK_DISABLED", disabled),
        ];
        env.extend(endpoint.map(|it| ("OTEL_EXPORTER_OTLP_ENDPOINT", it)));
        let mut tracer = Tracer::from_env(&env.into_iter().collect());
        if to_udp {
            tracer = tracer.otlp_udp();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(invoke(&tracer, || {}));
        daemon.recv(&mut [0; 1 << 16]).is_ok()
    };
    assert!(sends(None, "false", true));
    assert!(!sends(None, "TRUE", true));
    assert!(sends(None, "true", false), "documents are not its form");

    let (uri, receiver) = collector(200, Vec::new());
    let base = uri.trim_end_matches("/v1/traces");
    assert!(!sends(Some(base), "true", false));
    assert!(receiver.try_recv().is_err());
    assert!(!sends(Some(base), "false", false));
    assert!(receiver.try_recv().is_ok());
}
