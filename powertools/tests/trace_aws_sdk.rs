//! How calls of the AWS SDK appear in traces: the SDK's own client, against a service on loopback.
#![cfg(all(feature = "testing", feature = "trace-aws-sdk"))]

use std::{
    cell::Cell,
    collections::BTreeSet,
    future::pending,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::{
    Client,
    config::{
        self, BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
        interceptors::{
            BeforeSerializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
            BeforeTransmitInterceptorContextMut,
        },
        retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{
    interceptors::context::{Input, InterceptorContext},
    orchestrator::Metadata,
};
use aws_smithy_types::telemetry::{CapturedTelemetryAttributes, RequestedTelemetryAttributes};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env,
    testing::{CapturedSpan, CapturedTraces, capture_traces, context, sampled_context},
    trace::{AwsSdkInterceptor, SpanExt, TraceHeader, TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};
use tracing::{Instrument, Level, info_span};
use tracing_subscriber::{filter::filter_fn, prelude::*};

mod subscriber;

const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

/// Plays SQS.
struct Sqs {
    endpoint: String,
    received: Arc<Mutex<Vec<Received>>>,
}

#[derive(Clone)]
struct Received {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Received {
    fn trace_header(&self) -> Option<&str> {
        self.headers.get("x-amzn-trace-id")?.to_str().ok()
    }
}

/// Decides on the answer to a request by its number.
type Answer = fn(usize) -> Option<(StatusCode, Value)>;

#[derive(Clone)]
struct Answering {
    answer: Answer,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Sqs {
    async fn start(answer: Answer) -> Self {
        let received = Arc::default();
        let state = Answering {
            answer,
            received: Arc::clone(&received),
        };
        let app = Router::new().fallback(respond).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, received }
    }

    fn client(&self) -> Client {
        client(&self.endpoint, |config| config)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn trace_headers(&self) -> Vec<String> {
        let received = self.received();
        let headers = received.iter().filter_map(Received::trace_header);
        headers.map(str::to_owned).collect()
    }
}

async fn respond(State(state): State<Answering>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let number = {
        let mut received = state.received.lock().unwrap();
        let headers = parts.headers;
        received.push(Received { headers, body });
        received.len()
    };
    match (state.answer)(number) {
        Some((status, body)) => {
            let id = format!("request-{number}");
            (
                status,
                [("x-amzn-requestid", id)],
                Body::from(body.to_string()),
            )
                .into_response()
        }
        None => pending().await,
    }
}

fn client(endpoint: &str, configure: impl FnOnce(config::Builder) -> config::Builder) -> Client {
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let config = without_credentials(endpoint).credentials_provider(credentials);
    let config = configure(config).interceptor(AwsSdkInterceptor::new());
    Client::from_conf(config.build())
}

fn without_credentials(endpoint: &str) -> config::Builder {
    config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .endpoint_url(endpoint)
}

fn accepted(_: usize) -> Option<(StatusCode, Value)> {
    let md5 = "5d41402abc4b2a76b9719d911017c592";
    Some((
        StatusCode::OK,
        json!({"MessageId": "m1", "MD5OfMessageBody": md5}),
    ))
}

fn refused(status: StatusCode, code: &str, message: &str) -> Option<(StatusCode, Value)> {
    let kind = format!("com.amazonaws.sqs#{code}");
    Some((status, json!({"__type": kind, "message": message})))
}

async fn send(client: &Client) -> Result<(), Error> {
    let message = client.send_message().queue_url(QUEUE);
    message.message_body("top secret").send().await?;
    Ok(())
}

fn capture() -> (CapturedTraces, tracing::subscriber::DefaultGuard) {
    capture_traces(Tracer::from_env(&Env::default()).service("orders"))
}

/// Runs `handler` under a trace layer.
async fn invoke<F, T>(context: lambda_runtime::Context, handler: impl FnOnce() -> F) -> T
where
    F: Future<Output = T>,
{
    let handler = Cell::new(Some(handler));
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let future = handler.take().unwrap()();
        async { Ok::<_, Error>(future.await) }
    }));
    let answer = service.oneshot(LambdaEvent::new((), context)).await;
    answer.unwrap()
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

#[track_caller]
fn exceptions(span: &CapturedSpan) -> Vec<(&str, &str)> {
    let exceptions = span.document()["cause"]["exceptions"].as_array();
    let exceptions = exceptions.map_or(&[][..], Vec::as_slice).iter();
    exceptions
        .map(|it| {
            (
                it["type"].as_str().unwrap(),
                it["message"].as_str().unwrap(),
            )
        })
        .collect()
}

fn unsampled_context() -> lambda_runtime::Context {
    let mut context = context("52fdfc07");
    context.xray_trace_id = Some(UNSAMPLED.to_owned());
    context
}

fn throttled_once(number: usize) -> Option<(StatusCode, Value)> {
    match number {
        1 => refused(StatusCode::BAD_REQUEST, "RequestThrottled", "slow down"),
        number => accepted(number),
    }
}

#[tokio::test]
async fn a_call_is_the_subsegment_that_the_docs_show() {
    let sqs = Sqs::start(throttled_once).await;
    let client = sqs.client();
    let traces = trace(|| async { send(&client).await.unwrap() }).await;

    let docs = include_str!("../src/trace/aws_sdk.rs").lines();
    let shown = docs
        .filter_map(|line| line.strip_prefix("/// {"))
        .map(|line| serde_json::from_str::<Value>(&format!("{{{line}")).unwrap());
    let mut shown: Vec<_> = shown.collect();
    assert_eq!(shown.len(), 1);
    let mut call = traces
        .named("## my-function")
        .child("SQS")
        .document()
        .clone();
    assert_eq!(call["aws"]["request_id"], "request-2");
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
        call["aws"].as_object_mut().unwrap().remove("request_id");
    }
    assert_eq!(call, shown[0]);
}

#[tokio::test]
async fn a_call_without_retries_has_none_and_the_span_around_it_as_its_parent() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let traces = trace(|| send(&client).instrument(info_span!("place"))).await;
    let call = traces.named("## my-function").child("place").child("SQS");
    assert_eq!(
        call.document()["aws"],
        json!({
            "operation": "SendMessage",
            "region": "eu-central-1",
            "request_id": "request-1",
            "queue_url": QUEUE,
        })
    );
    assert!(!call.is_fault() && !call.is_error() && !call.is_throttle());
    assert_eq!(call.exceptions(), [""; 0]);
}

#[tokio::test]
async fn the_service_continues_the_calls_subsegment_in_every_attempt() {
    let sqs = Sqs::start(throttled_once).await;
    let client = sqs.client();
    let traces = trace(|| send(&client)).await;
    let call = traces.named("SQS");
    let expected = format!("Root={};Parent={};Sampled=1", call.trace_id(), call.id());
    assert_eq!(sqs.trace_headers(), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_lineage_is_passed_on_so_that_lambda_finds_loops() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    for header in ["Sampled=1", "Sampled=0"] {
        let (traces, _guard) = capture();
        let mut context = context("52fdfc07");
        let header = format!("Root={ROOT};Parent=53995c3f42cd8ad8;{header};Lineage=1:a87bd80c:3");
        context.xray_trace_id = Some(header);
        invoke(context, || send(&client)).await.unwrap();
        let header = sqs.trace_headers().pop().unwrap();
        assert!(header.ends_with(";Lineage=1:a87bd80c:3"), "{header}");
        check(&traces);
    }
}

/// Signs a request as it came again, with what its `Authorization` names.
fn signature(received: &Received, endpoint: &str) -> String {
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };

    let header = |name: &str| received.headers[name].to_str().unwrap();
    let authorization = header("authorization");
    let signed = authorization.split("SignedHeaders=").nth(1).unwrap();
    let signed = signed.split(',').next().unwrap().split(';');
    let identity = Credentials::new("id", "secret", None, None, "test").into();
    let date = header("x-amz-date");
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("sqs")
        .time(parse_date(date))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = signed
        .filter(|&name| name != "host" && name != "x-amz-date")
        .map(|name| (name, header(name)));
    let request = SignableRequest::new(
        "POST",
        format!("{endpoint}/"),
        headers,
        SignableBody::Bytes(&received.body),
    );
    sign(request.unwrap(), &params).unwrap().into_parts().1
}

fn parse_date(date: &str) -> SystemTime {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    time.in_tz("UTC").unwrap().timestamp().into()
}

#[tokio::test]
async fn the_signature_is_valid_for_the_request_as_it_arrives() {
    let sqs = Sqs::start(throttled_once).await;
    let client = sqs.client();
    trace(|| send(&client)).await;
    for received in sqs.received() {
        assert!(received.trace_header().is_some());
        let authorization = received.headers["authorization"].to_str().unwrap();
        let signature = signature(&received, &sqs.endpoint);
        assert!(authorization.ends_with(&format!("Signature={signature}")));
    }
    assert_eq!(sqs.received().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_the_services_code_and_message() {
    for (answer, code, message, status) in [
        (
            (|_| {
                refused(
                    StatusCode::BAD_REQUEST,
                    "QueueDoesNotExist",
                    "no such queue",
                )
            }) as Answer,
            "QueueDoesNotExist",
            "no such queue",
            400,
        ),
        // The operation's model does not have it.
        (
            |_| refused(StatusCode::FORBIDDEN, "AccessDenied", "not allowed: orders"),
            "AccessDenied",
            "not allowed: orders",
            403,
        ),
        (
            |_| {
                Some((
                    StatusCode::BAD_REQUEST,
                    json!({"__type": "com.amazonaws.sqs#InvalidMessageContents"}),
                ))
            },
            "InvalidMessageContents",
            "InvalidMessageContents",
            400,
        ),
        (
            |_| Some((StatusCode::NOT_FOUND, json!({}))),
            "ServiceError",
            "ServiceError",
            404,
        ),
    ] {
        let sqs = Sqs::start(answer).await;
        let client = sqs.client();
        let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
        let call = traces.named("SQS");
        assert_eq!(exceptions(&call), [(code, message)]);
        assert!(
            call.is_error() && !call.is_throttle() && !call.is_fault(),
            "{code}"
        );
        assert_eq!(call.document()["http"]["response"]["status"], status);
        assert_eq!(call.document()["aws"]["request_id"], "request-1");
    }
}

#[tokio::test]
async fn a_service_that_fails_to_the_end_is_a_fault_with_its_retries() {
    let sqs =
        Sqs::start(|_| refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "oh")).await;
    let client = sqs.client();
    let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
    let call = traces.named("SQS");
    assert!(call.is_fault() && !call.is_error() && !call.is_throttle());
    assert_eq!(exceptions(&call), [("InternalError", "oh")]);
    assert_eq!(call.document()["aws"]["retries"], 2);
    assert_eq!(call.document()["aws"]["request_id"], "request-3");
}

#[tokio::test]
async fn what_the_sdk_takes_for_throttling_is_a_throttle_whatever_its_status() {
    for answer in [
        (|_| refused(StatusCode::BAD_REQUEST, "RequestThrottled", "slow down")) as Answer,
        |_| refused(StatusCode::BAD_REQUEST, "ThrottlingException", "slow down"),
        |_| refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "slow down"),
        |_| refused(StatusCode::TOO_MANY_REQUESTS, "Whatever", "slow down"),
    ] {
        let sqs = Sqs::start(answer).await;
        let client = sqs.client();
        let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
        let call = traces.named("SQS");
        assert!(
            call.is_throttle() && call.is_error() && !call.is_fault(),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_fault() {
    let sqs = Sqs::start(|_| Some((StatusCode::OK, json!("not an object")))).await;
    let client = sqs.client();
    let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
    let call = traces.named("SQS");
    assert!(call.is_fault() && !call.is_error());
    assert_eq!(call.document()["http"]["response"]["status"], 200);
    assert!(!call.exceptions().is_empty());
}

#[tokio::test]
async fn a_service_that_is_not_reached_is_a_fault_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(&format!("http://{address}"), |it| it);
    let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
    let call = traces.named("SQS");
    assert!(call.is_fault() && !call.is_error());
    assert_eq!(exceptions(&call)[0].0, "DispatchFailure");
    let messages = call.exceptions().join("\n");
    assert!(messages.contains("refused"), "{messages}");
    assert_eq!(call.document().get("http"), None);
    assert_eq!(call.document()["aws"]["operation"], "SendMessage");
    assert_eq!(call.document()["aws"].get("request_id"), None);
}

#[tokio::test]
async fn a_call_that_the_sdk_gives_up_is_a_time_out() {
    let sqs = Sqs::start(|_| None).await;
    let timeout = Duration::from_millis(50);
    for timeouts in [
        TimeoutConfig::builder().operation_timeout(timeout),
        TimeoutConfig::builder().operation_attempt_timeout(timeout),
    ] {
        let client = client(&sqs.endpoint, |it| it.timeout_config(timeouts.build()));
        let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
        let call = traces.named("SQS");
        assert!(call.is_fault() && !call.is_error());
        assert_eq!(exceptions(&call)[0].0, "TimeoutError");
        assert!(!call.is_in_progress());
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_and_sent() {
    let sqs = Sqs::start(|_| None).await;
    let client = sqs.client();
    let timeout = Duration::from_millis(50);
    let traces = trace(|| tokio::time::timeout(timeout, send(&client))).await;
    let call = traces.named("## my-function").child("SQS");
    assert!(call.is_fault() && !call.is_in_progress());
    let message = "the call was dropped before it was answered";
    assert_eq!(exceptions(&call), [("cancelled", message)]);
    assert_eq!(call.document()["aws"]["queue_url"], QUEUE);
}

#[tokio::test]
async fn a_call_without_credentials_is_a_fault() {
    let sqs = Sqs::start(accepted).await;
    let config = without_credentials(&sqs.endpoint).interceptor(AwsSdkInterceptor::new());
    let client = Client::from_conf(config.build());
    let traces = trace(|| async { send(&client).await.unwrap_err() }).await;
    let call = traces.named("SQS");
    assert!(call.is_fault());
    assert_eq!(exceptions(&call)[0].0, "SdkError");
    assert_eq!(sqs.received().len(), 0);
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_goes_on_as_such() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let (traces, _guard) = capture();
    let around = || send(&client).instrument(info_span!("place"));
    invoke(unsampled_context(), around).await.unwrap();
    assert_eq!(traces.documents().len(), 0);
    assert_eq!(sqs.trace_headers(), [UNSAMPLED]);
}

#[tokio::test]
async fn a_trace_goes_on_although_no_tracer_listens() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let context = sampled_context("52fdfc07");
    let header = context.xray_trace_id.clone().unwrap();
    invoke(context, || send(&client)).await.unwrap();
    assert_eq!(sqs.trace_headers(), [header]);
}

#[tokio::test]
async fn a_call_below_the_tracers_level_belongs_to_the_span_around_it() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let (traces, _guard) = capture_traces(Tracer::from_env(&Env::default()).level(Level::WARN));
    invoke(sampled_context("52fdfc07"), || send(&client))
        .await
        .unwrap();
    assert_eq!(traces.spans().len(), 1);
    let header: TraceHeader = sqs.trace_headers()[0].parse().unwrap();
    assert_eq!(
        header.parent().as_deref(),
        Some(traces.named("## my-function").id())
    );
}

#[tokio::test]
async fn outside_of_an_invocation_nothing_is_traced() {
    let sqs = Sqs::start(accepted).await;
    let (traces, _guard) = capture();
    send(&sqs.client()).await.unwrap();
    assert_eq!(traces.spans().len(), 0);
    assert_eq!(sqs.received().len(), 1);
    assert_eq!(sqs.trace_headers(), [""; 0]);
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_costs_no_allocation_before_the_header() {
    let (_traces, _guard) = capture();
    for (context, is_free) in [(unsampled_context(), true), (sampled_context("1"), false)] {
        let allocations = invoke(context, || async {
            let input = InterceptorContext::new(Input::erase("input"));
            let input = BeforeSerializationInterceptorContextRef::from(&input);
            let mut cfg = ConfigBag::base();
            allocation_counter::measure(|| {
                let interceptor = AwsSdkInterceptor::new();
                interceptor.read_before_execution(&input, &mut cfg).unwrap();
            })
        })
        .await;
        assert_eq!(allocations.count_total == 0, is_free);
    }
}

#[tokio::test]
async fn the_environments_trace_is_that_of_no_invocation() {
    const OTHER: &str =
        "Root=1-00000001-000000000000000000000001;Parent=0000000000000001;Sampled=1";

    // The SDK reads the process's own environment: the test is run again in one that has it set.
    if std::env::var_os("_X_AMZN_TRACE_ID").is_none() {
        let test = std::thread::current().name().unwrap().to_owned();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env("AWS_LAMBDA_FUNCTION_NAME", "my-function")
            .env("_X_AMZN_TRACE_ID", OTHER)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let (traces, _guard) = capture();
    // Outside of an invocation it is the SDK's own doing.
    send(&client).await.unwrap();
    invoke(unsampled_context(), || send(&client)).await.unwrap();
    invoke(sampled_context("52fdfc07"), || send(&client))
        .await
        .unwrap();
    let call = traces.named("SQS");
    let expected = format!("Root={};Parent={};Sampled=1", call.trace_id(), call.id());
    assert_eq!(sqs.trace_headers(), [OTHER, UNSAMPLED, &expected]);
}

#[tokio::test]
async fn a_header_that_the_caller_sets_stays() {
    const OWN: &str = "Root=1-00000001-000000000000000000000001";

    #[derive(Debug)]
    struct Own;

    impl Intercept for Own {
        fn name(&self) -> &'static str {
            "Own"
        }

        fn modify_before_retry_loop(
            &self,
            context: &mut BeforeTransmitInterceptorContextMut<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            context
                .request_mut()
                .headers_mut()
                .insert("X-Amzn-Trace-Id", OWN);
            Ok(())
        }
    }

    let sqs = Sqs::start(accepted).await;
    // Before ours, and after it.
    let before = client(&sqs.endpoint, |it| it.interceptor(Own));
    let traces = trace(|| async {
        send(&before).await.unwrap();
        let message = sqs
            .client()
            .send_message()
            .queue_url(QUEUE)
            .message_body("hello")
            .customize();
        let message = message.mutate_request(|it| {
            it.headers_mut().insert("X-Amzn-Trace-Id", OWN);
        });
        message.send().await.unwrap();
    })
    .await;
    assert_eq!(sqs.trace_headers(), [OWN, OWN]);
    assert_eq!(traces.named("## my-function").children().len(), 2);
}

#[tokio::test]
async fn a_client_with_two_interceptors_has_one_subsegment_a_call() {
    let sqs = Sqs::start(accepted).await;
    let client = client(&sqs.endpoint, |it| it.interceptor(AwsSdkInterceptor::new()));
    let traces = trace(|| async { send(&client).await.unwrap() }).await;
    assert_eq!(traces.named("## my-function").children().len(), 1);
    assert_eq!(traces.named("SQS").document()["aws"].get("retries"), None);
}

#[tokio::test]
async fn a_request_that_is_only_signed_is_no_call() {
    /// By which the SDK's clients that can presign requests do so.
    #[derive(Debug)]
    struct Presigning;

    impl Intercept for Presigning {
        fn name(&self) -> &'static str {
            "SigV4PresigningInterceptor"
        }
    }

    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let traces = trace(|| async {
        let message = client.send_message().queue_url(QUEUE).message_body("hello");
        message
            .customize()
            .interceptor(Presigning)
            .send()
            .await
            .unwrap();
    })
    .await;
    assert_eq!(traces.named("## my-function").children().len(), 0);
}

#[tokio::test]
async fn a_table_of_dynamodb_is_shown_and_not_told_to_the_sdks_metrics() {
    /// What the operations of DynamoDB do by themselves.
    #[derive(Debug)]
    struct Table;

    impl Intercept for Table {
        fn name(&self) -> &'static str {
            "Table"
        }

        fn modify_before_serialization(
            &self,
            _: &mut BeforeSerializationInterceptorContextMut<'_>,
            _: &RuntimeComponents,
            cfg: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            let requested = cfg.load::<RequestedTelemetryAttributes>().unwrap();
            assert!(requested.should_capture("TableName"));
            assert!(!requested.should_emit("TableName"));
            // What the application itself has asked for is still asked for.
            assert!(requested.should_emit("MessageGroupId"));
            let mut captured = CapturedTelemetryAttributes::new();
            captured.insert("TableName", "orders");
            let operation = Metadata::new("GetItem", "DynamoDB");
            cfg.interceptor_state()
                .store_put(captured)
                .store_put(operation);
            Ok(())
        }
    }

    let sqs = Sqs::start(accepted).await;
    let client = client(&sqs.endpoint, |it| {
        it.emit_input_attributes(["MessageGroupId"])
    });
    let traces = trace(|| async {
        let message = client.send_message().queue_url(QUEUE).message_body("hello");
        message.customize().interceptor(Table).send().await.unwrap();
    })
    .await;
    let call = traces.named("DynamoDB");
    assert_eq!(call.document()["aws"]["table_name"], "orders");
    assert_eq!(call.document()["aws"].get("queue_url"), None);
}

#[tokio::test]
async fn what_an_operation_itself_asks_for_is_asked_for() {
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<RequestedTelemetryAttributes>>);

    impl Intercept for &'static Asked {
        fn name(&self) -> &'static str {
            "Asked"
        }

        fn modify_before_serialization(
            &self,
            _: &mut BeforeSerializationInterceptorContextMut<'_>,
            _: &RuntimeComponents,
            cfg: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            let requested = cfg.load::<RequestedTelemetryAttributes>().cloned();
            self.0.lock().unwrap().extend(requested);
            Ok(())
        }
    }

    let asked: &Asked = Box::leak(Box::default());
    let sqs = Sqs::start(accepted).await;
    let client = client(&sqs.endpoint, |it| it.interceptor(asked));
    trace(|| async {
        let message = client.send_message().queue_url(QUEUE).message_body("hello");
        let own = config::Builder::new().emit_input_attributes(["MessageGroupId"]);
        message
            .customize()
            .config_override(own)
            .send()
            .await
            .unwrap();
    })
    .await;
    let asked = asked.0.lock().unwrap();
    assert_eq!(
        *asked,
        [RequestedTelemetryAttributes::new(["MessageGroupId"])]
    );
}

#[tokio::test]
async fn a_call_belongs_to_the_trace_that_its_record_continues() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let handle = |header: &str| {
        let record = info_span!("record");
        record.continue_trace(&header.parse().unwrap());
        send(&client).instrument(record)
    };
    for context in [sampled_context("52fdfc07"), unsampled_context()] {
        let (traces, _guard) = capture();
        invoke(context, || async {
            for sampled in ["1", "0"] {
                let root = format!("Root=1-00000001-00000000000000000000000{sampled}");
                handle(&format!("{root};Parent=0000000000000001;Sampled={sampled}"))
                    .await
                    .unwrap();
            }
        })
        .await;
        let call = traces.named("record").child("SQS");
        assert_eq!(call.trace_id(), "1-00000001-000000000000000000000001");
        let headers = sqs.trace_headers();
        let [.., sampled, unsampled] = &headers[..] else {
            panic!("{headers:?}")
        };
        assert!(sampled.contains(call.id()), "{sampled}");
        assert!(unsampled.starts_with("Root=1-00000001-000000000000000000000000;Parent="));
        assert!(unsampled.contains(";Sampled=0"), "{unsampled}");
    }
}

#[cfg(feature = "deadline")]
#[tokio::test]
async fn a_call_that_hangs_near_the_deadline_is_shown_in_progress() {
    use powertools::deadline::DeadlineLayer;

    let sqs = Sqs::start(|_| None).await;
    let client = sqs.client();
    let (traces, _guard) = capture();
    let mut context = sampled_context("52fdfc07");
    let deadline = SystemTime::now() + Duration::from_millis(300);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    context.deadline = deadline.as_millis().try_into().unwrap();
    let service = (
        TraceLayer::new(),
        DeadlineLayer::new().margin(Duration::from_millis(200)),
    );
    let service = service.layer(service_fn(|_: LambdaEvent<()>| send(&client)));
    let answer = service.oneshot(LambdaEvent::new((), context));
    let timeout = tokio::time::timeout(Duration::from_millis(250), answer).await;
    assert!(timeout.is_err());

    let documents = traces.documents();
    let early = documents.iter().find(|it| it["name"] == "SQS").unwrap();
    assert_eq!(early["in_progress"], true);
    assert_eq!(early["namespace"], "aws");
    let aws = json!({"operation": "SendMessage", "region": "eu-central-1", "queue_url": QUEUE});
    assert_eq!(early["aws"], aws);
    let call = traces.named("SQS");
    assert_eq!(exceptions(&call)[0].0, "cancelled");
}

#[tokio::test]
async fn the_documented_filter_leaves_the_sdks_own_spans_out() {
    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    for (is_filtered, names) in [
        (true, &["## my-function", "SQS"][..]),
        (false, &["SQS.SendMessage"]),
    ] {
        let traces = CapturedTraces::default();
        let tracer = Tracer::from_env(&Env::default()).level(Level::DEBUG);
        let layer = tracer.with_receiver(traces.clone()).subscriber_layer();
        let filter = filter_fn(move |it| !(is_filtered && it.target().starts_with("aws_")));
        let _guard = subscriber::registry()
            .with(layer.with_filter(filter))
            .set_default();
        invoke(sampled_context("52fdfc07"), || send(&client))
            .await
            .unwrap();
        check(&traces);
        let spans = traces.spans();
        let spans: BTreeSet<_> = spans.iter().map(CapturedSpan::name).collect();
        // Those of the connection's own crates may be among them.
        assert!(names.iter().all(|it| spans.contains(it)), "{spans:?}");
        assert_eq!(spans.contains("SQS.SendMessage"), !is_filtered, "{spans:?}");
        let header = sqs.trace_headers().pop().unwrap();
        assert!(header.contains(traces.named("SQS").id()));
    }
}

#[tokio::test]
async fn the_calls_of_many_invocations_never_mix() {
    const INVOCATIONS: usize = 100;

    let sqs = Sqs::start(accepted).await;
    let client = sqs.client();
    let (traces, _guard) = capture();
    let invocations = (0..INVOCATIONS).map(|number| {
        let client = &client;
        invoke(sampled_context(number.to_string()), move || async move {
            powertools::trace::annotate("number", number.to_string());
            let send = |name| {
                let queue = format!("{QUEUE}-{number}-{name}");
                client
                    .send_message()
                    .queue_url(queue)
                    .message_body("hello")
                    .send()
            };
            let (a, b) = tokio::join!(send("a"), send("b"));
            a.unwrap();
            b.unwrap();
            send("c").await.unwrap();
        })
    });
    join_all(invocations).await;
    check(&traces);

    let handlers = traces.spans();
    let handlers = handlers.iter().filter(|it| it.name() == "## my-function");
    let mut headers: BTreeSet<_> = sqs.trace_headers().into_iter().collect();
    assert_eq!(headers.len(), 3 * INVOCATIONS);
    for handler in handlers {
        let number = handler.annotation("number").unwrap().as_str().unwrap();
        let calls = handler.children();
        let queues: BTreeSet<_> = calls
            .iter()
            .map(|it| {
                it.document()["aws"]["queue_url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let expected = ["a", "b", "c"].map(|name| format!("{QUEUE}-{number}-{name}"));
        assert_eq!(queues, BTreeSet::from(expected));
        for call in calls {
            let header = format!("Root={};Parent={};Sampled=1", handler.trace_id(), call.id());
            assert!(headers.remove(&header), "{header}");
        }
    }
    assert!(headers.is_empty());
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|it| it.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[test]
fn the_interceptor_goes_everywhere() {
    fn check<T: Intercept + Clone + Send + Sync + std::fmt::Debug + Default + 'static>() {}
    check::<AwsSdkInterceptor>();
}
