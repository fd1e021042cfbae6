//! Log lines as a function's author and its log queries see them.
#![cfg(all(feature = "logging", feature = "testing"))]

use std::{convert::Infallible, fmt, future::pending, io, time::Duration};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    logging::{self, Logger, LoggingLayer},
    testing::{self, capture_logs, context},
};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Instrument, Level, info, info_span, warn};

const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

fn logger() -> Logger {
    Logger::from_env(&Env::default()).service("orders")
}

fn event(request_id: &str) -> LambdaEvent<&'static str> {
    LambdaEvent::new("a1", context(request_id))
}

#[expect(clippy::unnecessary_wraps, reason = "what a layer asks for")]
fn payload(event: &LambdaEvent<&'static str>) -> Option<String> {
    Some(event.payload.to_owned())
}

/// Runs a handler under the layer and returns the lines it wrote.
async fn lines<F: Future<Output = ()>>(handler: impl Fn() -> F) -> Vec<Value> {
    let (output, _guard) = capture_logs(logger());
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(payload))
        .service_fn(|_: LambdaEvent<&str>| async {
            handler().await;
            Ok::<_, Infallible>(())
        });
    service.oneshot(event("one")).await.unwrap();
    output.json()
}

#[tokio::test]
async fn a_line_has_the_keys_of_the_other_toolkits_in_their_order() {
    let (output, _guard) = capture_logs(logger());
    let mut event = event("52fdfc07");
    event.context.tenant_id = Some("acme".to_owned());
    event.context.xray_trace_id = Some(HEADER.to_owned());
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(payload))
        .service_fn(|_: LambdaEvent<&str>| async {
            logging::append_key("customer", 7);
            info_span!("request", path = "/orders")
                .in_scope(|| info!(total = 12.5, paid = false, "order placed"));
            Ok::<_, Infallible>(())
        });
    service.oneshot(event).await.unwrap();

    let line = &output.json()[0];
    let timestamp = line["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-11-23T06:58:19.081Z".len());
    assert!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok());
    let location = line["location"].as_str().unwrap();
    assert!(location.starts_with("logging:"), "{location}");
    let cold_start = line["cold_start"].as_bool().unwrap();
    let expected = format!(
        concat!(
            r#"{{"level":"INFO","location":"{}","message":"order placed","timestamp":"{}","#,
            r#""service":"orders","cold_start":{},"function_name":"my-function","#,
            r#""function_memory_size":128,"#,
            r#""function_arn":"arn:aws:lambda:eu-west-1:123456789012:function:my-function","#,
            r#""function_request_id":"52fdfc07","tenant_id":"acme","correlation_id":"a1","#,
            r#""customer":7,"path":"/orders","total":12.5,"paid":false,"#,
            r#""xray_trace_id":"1-5759e988-bd862e3fe1be46a994272793"}}"#
        ),
        location, timestamp, cold_start,
    );
    assert_eq!(output.lines()[0], expected);
}

#[tokio::test]
async fn the_line_is_as_the_docs_show_it() {
    const DOCS: &str = include_str!("../src/logging/mod.rs");

    let shown = DOCS
        .lines()
        .find_map(|line| line.strip_prefix(r#"//! {"level""#))
        .map(|rest| format!(r#"{{"level"{rest}"#))
        .unwrap();
    let (output, _guard) = capture_logs(logger());
    let mut event = event("52fdfc07");
    event.context.xray_trace_id = Some(HEADER.to_owned());
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(payload))
        .service_fn(|event: LambdaEvent<&'static str>| async move {
            logging::append_key("order", event.payload);
            info!(total = 2500, "order placed");
            Ok::<_, Infallible>(())
        });
    service.oneshot(event).await.unwrap();

    // What differs from run to run is taken from the docs.
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let mut line = output.lines().remove(0);
    let written = &output.json()[0];
    for key in ["location", "timestamp", "cold_start"] {
        line = line.replacen(&written[key].to_string(), &shown[key].to_string(), 1);
    }
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), shown);
    assert!(DOCS.contains(&format!("//! {line}\n")), "{line}");
}

#[tokio::test]
async fn a_line_outside_of_an_invocation_has_no_context_keys() {
    let (output, _guard) = capture_logs(logger());
    info!("starting");
    let line = &output.json()[0];
    assert_eq!(line["service"], "orders");
    assert_eq!(line.as_object().unwrap().len(), 5);
}

#[test]
fn a_call_without_a_context_is_no_cold_start_and_takes_none_away() {
    let (output, _guard) = capture_logs(logger());
    Invocation::current_or_open(None).sync_scope(|| info!("warming up"));
    testing::invocation(context("one"), true).sync_scope(|| info!("first"));
    let lines = output.json();
    assert_eq!(lines[0].get("cold_start"), None);
    assert_eq!(lines[1]["cold_start"], true);
}

#[tokio::test]
async fn values_keep_their_type() {
    let lines = lines(|| async {
        let error = io::Error::other("connection reset");
        info!(
            unsigned = u64::MAX,
            signed = -1,
            float = 0.1,
            flag = true,
            text = "a\"b",
            debug = ?Some(1),
            display = %5,
            missing = None::<u64>,
            error = &error as &(dyn std::error::Error + 'static),
        );
    })
    .await;
    let line = &lines[0];
    assert_eq!(line["unsigned"], json!(u64::MAX));
    assert_eq!(line["signed"], json!(-1));
    assert_eq!(line["float"], json!(0.1));
    assert_eq!(line["flag"], json!(true));
    assert_eq!(line["text"], json!("a\"b"));
    assert_eq!(line["debug"], json!("Some(1)"));
    assert_eq!(line["display"], json!("5"));
    assert_eq!(line.get("missing"), None);
    assert_eq!(line["error"], json!({"message": "connection reset"}));
    assert_eq!(line["message"], "");
}

#[tokio::test]
async fn an_event_overrides_a_span_and_a_span_an_appended_key() {
    let lines = lines(|| async {
        logging::append_key("a", "key");
        let span = info_span!("span", a = "span", b = "span", correlation_id = "record");
        span.in_scope(|| info!(b = "event", level = "mine", "x"));
    })
    .await;
    let line = &lines[0];
    assert_eq!((&line["a"], &line["b"]), (&json!("span"), &json!("event")));
    assert_eq!(line["correlation_id"], "record");
    assert_eq!(line["level"], "INFO");
}

#[tokio::test]
async fn a_field_recorded_later_is_on_the_lines_after_it() {
    let lines = lines(|| async {
        let span = info_span!("span", order = tracing::field::Empty);
        span.in_scope(|| info!("before"));
        span.record("order", "a1");
        span.in_scope(|| info!("after"));
    })
    .await;
    assert_eq!(lines[0].get("order"), None);
    assert_eq!(lines[1]["order"], "a1");
}

#[tokio::test]
async fn keys_are_appended_and_removed_for_one_invocation() {
    let (output, _guard) = capture_logs(logger());
    let mut service = ServiceBuilder::new().layer(LoggingLayer::new()).service_fn(
        |event: LambdaEvent<&str>| async move {
            if event.context.request_id == "one" {
                logging::append_key("cart", json!({"items": [1, 2]}));
                logging::set_correlation_id("c1");
            }
            info!("first");
            logging::remove_key("cart");
            logging::remove_key("correlation_id");
            info!("second");
            Ok::<_, Infallible>(())
        },
    );
    for request_id in ["one", "two"] {
        service
            .ready()
            .await
            .unwrap()
            .call(event(request_id))
            .await
            .unwrap();
    }
    let lines = output.json();
    assert_eq!(lines[0]["cart"], json!({"items": [1, 2]}));
    assert_eq!(lines[0]["correlation_id"], "c1");
    for line in &lines[1..] {
        assert_eq!((line.get("cart"), line.get("correlation_id")), (None, None));
    }
}

#[tokio::test]
async fn span_keys_are_on_a_warning_also_when_the_level_is_warn() {
    let (output, _guard) = capture_logs(logger().level(Level::WARN));
    info_span!("request", path = "/orders").in_scope(|| {
        info!("not written");
        warn!("written");
    });
    let lines = output.json();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["message"], "written");
    assert_eq!(lines[0]["path"], "/orders");
}

#[test]
fn the_level_of_lambda_wins_over_code_and_environment() {
    let env = Env::from([
        ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
        ("POWERTOOLS_LOG_LEVEL", "DEBUG"),
    ]);
    let (output, _guard) = capture_logs(Logger::from_env(&env).level(Level::TRACE));
    info!("not written");
    warn!("written");
    let messages: Vec<_> = output
        .json()
        .into_iter()
        .map(|line| line["message"].clone())
        .collect();
    // After the warning that more was asked for.
    assert_eq!(messages[1..], ["written"]);
}

#[test]
fn code_wins_over_the_environment_and_the_environment_over_the_default() {
    let env = Env::from([
        ("POWERTOOLS_LOG_LEVEL", "ERROR"),
        ("POWERTOOLS_SERVICE_NAME", "payment"),
    ]);
    {
        let (output, _guard) = capture_logs(Logger::from_env(&env));
        warn!("not written");
        tracing::error!("written");
        assert_eq!(output.lines().len(), 1);
        assert_eq!(output.json()[0]["service"], "payment");
    }
    let (output, _guard) =
        capture_logs(Logger::from_env(&env).level(Level::INFO).service("orders"));
    info!("written");
    assert_eq!(output.json()[0]["service"], "orders");
}

#[tokio::test]
async fn the_lines_of_the_runtime_itself_carry_its_ids() {
    let (output, _guard) = capture_logs(logger());
    let span = info_span!(
        "Lambda runtime invoke",
        requestId = "one",
        xrayTraceId = HEADER,
        tenantId = "acme"
    );
    span.in_scope(|| tracing::error!("handler failed"));
    let line = &output.json()[0];
    assert_eq!(line["function_request_id"], "one");
    assert_eq!(line["tenant_id"], "acme");
    assert_eq!(line["xray_trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!(
        (line.get("requestId"), line.get("xrayTraceId")),
        (None, None)
    );
}

#[tokio::test]
async fn a_spawned_task_logs_for_its_invocation_by_scope_or_by_span() {
    let lines = lines(|| async {
        let scoped = Invocation::current()
            .unwrap()
            .scope(async { info!("scoped") });
        let instrumented = async { info!("instrumented") }.instrument(info_span!("work"));
        for task in [
            tokio::spawn(scoped),
            tokio::spawn(instrumented),
            tokio::spawn(async { info!("lost") }),
        ] {
            task.await.unwrap();
        }
    })
    .await;
    assert_eq!(lines[0]["function_request_id"], "one");
    assert_eq!(lines[1]["function_request_id"], "one");
    assert_eq!(lines[2].get("function_request_id"), None);
}

#[tokio::test]
async fn concurrent_invocations_never_mix() {
    let (output, _guard) = capture_logs(logger());
    let service = ServiceBuilder::new()
        .layer(
            LoggingLayer::new()
                .correlation_id(|event: &LambdaEvent<String>| Some(event.payload.clone())),
        )
        .service_fn(|event: LambdaEvent<String>| async move {
            logging::append_key("mine", &event.payload);
            for _ in 0..3 {
                tokio::task::yield_now().await;
                info!(expected = event.payload, "step");
            }
            Ok::<_, Infallible>(())
        });
    let calls = (0..500).map(|n| {
        let id = format!("request-{n}");
        tokio::spawn(
            service
                .clone()
                .oneshot(LambdaEvent::new(id.clone(), context(id))),
        )
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let lines = output.json();
    assert_eq!(lines.len(), 1500);
    for line in lines {
        for key in ["function_request_id", "correlation_id", "mine"] {
            assert_eq!(line[key], line["expected"], "{line}");
        }
    }
}

#[tokio::test]
async fn the_handlers_answer_and_error_pass_untouched() {
    let service = ServiceBuilder::new().layer(LoggingLayer::new()).service_fn(
        |event: LambdaEvent<&'static str>| async move {
            if event.context.request_id == "good" {
                Ok(event.payload)
            } else {
                Err(Error::from("refused"))
            }
        },
    );
    assert_eq!(service.clone().oneshot(event("good")).await.unwrap(), "a1");
    assert_eq!(
        service.oneshot(event("bad")).await.unwrap_err().to_string(),
        "refused"
    );
}

#[tokio::test]
async fn a_handler_that_is_dropped_still_logs_for_its_invocation() {
    struct LogsOnDrop;
    impl Drop for LogsOnDrop {
        fn drop(&mut self) {
            info!("dropped");
        }
    }

    let (output, _guard) = capture_logs(logger());
    let service =
        ServiceBuilder::new()
            .layer(LoggingLayer::new())
            .service_fn(|_: LambdaEvent<&str>| async {
                let _guard = LogsOnDrop;
                pending::<Result<(), Infallible>>().await
            });
    let cut_off =
        tokio::time::timeout(Duration::from_millis(1), service.oneshot(event("one"))).await;
    assert!(cut_off.is_err());
    assert_eq!(output.json()[0]["function_request_id"], "one");
}

#[tokio::test]
async fn the_service_is_ready_when_the_handler_is() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<LambdaEvent<()>, (), _>(LoggingLayer::new());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
}

#[test]
fn the_types_can_be_shared_and_cloned() {
    fn assert_shareable<T: Send + Sync + Clone + fmt::Debug + 'static>(_: &T) {}

    assert_shareable(&logger());
    assert_shareable(&LoggingLayer::new());
    assert_shareable(&LoggingLayer::new().correlation_id(payload).layer(0));
}

#[test]
fn the_stack_runs_under_the_runtime() {
    async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
        Ok(event.payload)
    }

    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .service(service_fn(handler));
    drop(lambda_runtime::run(service.clone()));
    drop(lambda_runtime::run_concurrent(service));
}

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_request_is_logged_with_its_context_and_the_id_in_its_header() {
    use http::{HeaderName, HeaderValue, Request};
    use powertools::logging::CorrelationHeader;

    let request = |id: &'static [u8]| {
        let mut request = Request::new(());
        let id = HeaderValue::from_bytes(id).unwrap();
        request.headers_mut().insert("x-correlation-id", id);
        request.extensions_mut().insert(context("one"));
        request
    };
    let (output, _guard) = capture_logs(logger());
    let name = HeaderName::from_static("x-correlation-id");
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().correlation_id(CorrelationHeader::new(name)))
        .service_fn(|_: Request<()>| async {
            info!("handled");
            Ok::<_, Infallible>(())
        });
    for id in [&b"c1"[..], b"\xff"] {
        service.clone().oneshot(request(id)).await.unwrap();
    }
    let lines = output.json();
    assert_eq!(lines[0]["function_request_id"], "one");
    assert_eq!(lines[0]["correlation_id"], "c1");
    assert_eq!(lines[1].get("correlation_id"), None);
}
