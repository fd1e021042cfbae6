//! How a line looks, and what values may be in it.
#![cfg(all(feature = "logging", feature = "testing"))]

use std::{convert::Infallible, error::Error, io};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Invocation,
    logging::{
        self, EcsFormat, Format, JsonFormat, Line, Logger, LoggerError, LoggingLayer, PrettyFormat,
        RawEvent, compat::PythonFormat,
    },
    testing::{Captured, capture_logs, context},
};
use serde_json::{Value, json, value::RawValue};
use tower::{ServiceBuilder, ServiceExt};
use tracing::{error, info};
use tracing_subscriber::prelude::*;

mod subscriber;

fn logger() -> Logger {
    Logger::from_env(&Env::default()).service("orders")
}

/// Returns the top-level keys of a line in their order.
fn keys(line: &str) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Keys>(line).unwrap().0
}

#[test]
fn keys_are_ordered_renamed_and_suppressed() {
    let format = JsonFormat::new()
        .key_order(["message", "missing", "total", "level"])
        .rename_key("timestamp", "@timestamp")
        .rename_key("total", "sum \"total\"")
        .suppress_key("location");
    let (output, _guard) = capture_logs(logger().key("stage", "prod").with_format(format));
    info!(total = 1, "placed");
    let line = &output.lines()[0];
    assert_eq!(
        keys(line),
        [
            "message",
            "sum \"total\"",
            "level",
            "@timestamp",
            "service",
            "stage"
        ]
    );
}

#[test]
fn a_time_zone_is_an_offset_or_a_name_that_is_known() {
    let (output, _guard) =
        capture_logs(logger().with_format(JsonFormat::new().time_zone("+05:30").unwrap()));
    info!("placed");
    assert!(
        output.json()[0]["timestamp"]
            .as_str()
            .unwrap()
            .ends_with("+05:30")
    );
    for (variable, expected) in [
        ("+05:30", "+05:30"),
        (":UTC", "Z"),
        (":/etc/localtime", "Z"),
    ] {
        let (output, _guard) = capture_logs(Logger::from_env(&Env::from([("TZ", variable)])));
        info!("placed");
        let timestamp = output.json()[0]["timestamp"].clone();
        assert!(
            timestamp.as_str().unwrap().ends_with(expected),
            "{timestamp}"
        );
    }
    let unknown = JsonFormat::new().time_zone("Mars/Olympus");
    assert!(matches!(unknown, Err(LoggerError::TimeZone { .. })));
}

#[test]
fn a_field_stands_in_for_the_service_in_its_place() {
    let (output, _guard) = capture_logs(logger().key("a", 1));
    info!(service = "other", "placed");
    let line = &output.lines()[0];
    assert_eq!(
        keys(line),
        ["level", "location", "message", "timestamp", "service", "a"]
    );
    assert_eq!(output.json()[0]["service"], "other");
}

#[test]
fn json_is_nested_and_stays_on_one_line() {
    let (output, _guard) = capture_logs(logger());
    let raw: Box<RawValue> = serde_json::from_str("{\n  \"b\": 18446744073709551615\n}").unwrap();
    info!(
        basket = logging::json(json!({"items": [1, 2.5, null]})),
        raw = logging::json(&raw),
        text = ?Some(logging::json("a")),
        "placed"
    );
    info!(message = logging::json(json!({"event": "placed"})));
    Invocation::current_or_open(None).sync_scope(|| {
        logging::append_key("raw", &raw);
        info!("appended");
    });

    let lines = output.json();
    assert_eq!(lines.len(), 3, "{:?}", output.lines());
    assert_eq!(lines[0]["basket"], json!({"items": [1, 2.5, null]}));
    assert_eq!(lines[0]["raw"], json!({"b": u64::MAX}));
    assert_eq!(lines[0]["text"], r#"Some("a")"#);
    assert_eq!(lines[1]["message"], json!({"event": "placed"}));
    assert_eq!(lines[2]["raw"], json!({"b": u64::MAX}));
}

#[derive(Debug, thiserror::Error)]
#[error("order cannot be stored")]
struct NotStored(#[source] io::Error);

fn not_stored() -> NotStored {
    NotStored(io::Error::other("connection reset"))
}

#[test]
fn an_error_tells_its_type_chain_and_place() {
    let (output, _guard) = capture_logs(logger());
    error!(error = logging::error(&not_stored()), "failed");
    let line = &output.json()[0]["error"];
    assert_eq!(line["type"], "NotStored");
    assert_eq!(line["message"], "order cannot be stored");
    assert_eq!(line["chain"], json!(["connection reset"]));
    let location = line["location"].as_str().unwrap();
    assert!(location.contains("logging_formats.rs:"), "{location}");

    error!(error = &not_stored() as &(dyn Error + 'static), "failed");
    let line = &output.json()[1]["error"];
    assert_eq!(
        *line,
        json!({"message": "order cannot be stored", "chain": ["connection reset"]})
    );
}

#[test]
fn an_error_with_the_field_fatal_is_fatal() {
    let (output, _guard) = capture_logs(logger());
    error!(fatal = true, "out of money");
    error!(fatal = false, "short of money");
    info!(fatal = true, "a disease");
    let lines = output.json();
    assert_eq!(
        (&lines[2]["level"], &lines[2]["fatal"]),
        (&json!("INFO"), &json!(true))
    );
    assert_eq!(
        (&lines[0]["level"], &lines[1]["level"]),
        (&json!("FATAL"), &json!("ERROR"))
    );
    assert_eq!(lines[0].get("fatal"), None);
}

#[test]
fn the_python_line_has_its_words_and_exception_keys() {
    let (output, _guard) = capture_logs(logger().with_format(PythonFormat::new()));
    tracing::warn!(
        missing = logging::json(None::<u8>),
        message = r#"{"event": "placed"}"#
    );
    error!(
        error = logging::error(&not_stored()),
        fatal = true,
        "failed"
    );
    info!("null");

    let lines = output.json();
    assert_eq!(lines[0]["level"], "WARNING");
    assert_eq!(lines[0]["message"], json!({"event": "placed"}));
    assert_eq!(lines[0].get("missing"), None);
    let timestamp = lines[0]["timestamp"].as_str().unwrap();
    assert_eq!(
        (&timestamp[19..20], &timestamp[23..]),
        (",", "+0000"),
        "{timestamp}"
    );
    assert_eq!(lines[1]["level"], "CRITICAL");
    assert_eq!(
        keys(&output.lines()[1])[5..],
        ["exception", "exception_name", "stack_trace"]
    );
    assert_eq!(lines[1]["exception_name"], "NotStored");
    assert_eq!(lines[1]["stack_trace"]["value"], "order cannot be stored");
    assert_eq!(lines[2].get("message"), None);
}

#[tokio::test]
async fn the_ecs_line_has_the_names_of_the_schema() {
    let (output, _guard) = capture_logs(logger().with_format(EcsFormat::new()));
    let service =
        ServiceBuilder::new()
            .layer(LoggingLayer::new())
            .service_fn(|_: LambdaEvent<()>| async {
                error!(total = 1, error = logging::error(&not_stored()), "failed");
                Ok::<_, Infallible>(())
            });
    service
        .oneshot(LambdaEvent::new((), context("one")))
        .await
        .unwrap();
    let line = &output.json()[0];
    for (key, value) in [
        ("log.level", json!("ERROR")),
        ("message", json!("failed")),
        ("service.name", json!("orders")),
        ("faas.name", json!("my-function")),
        ("faas.execution", json!("one")),
        ("total", json!(1)),
        ("error.type", json!("NotStored")),
        ("error.message", json!("order cannot be stored")),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
}

#[test]
fn a_line_for_people_is_text() {
    let env = Env::from([("POWERTOOLS_DEV", "true")]);
    for logger in [
        Logger::from_env(&env),
        logger().with_format(PrettyFormat::new()),
    ] {
        let (output, _guard) = capture_logs(logger);
        info!(total = 1, name = "ada lovelace", "placed\nand paid");
        let line = &output.lines()[0];
        assert!(line.contains(r#" INFO logging_formats:"#), "{line}");
        assert!(
            line.ends_with(r#""placed\nand paid"  total=1 name="ada lovelace""#),
            "{line}"
        );
        assert!(!line[..24].contains('"'), "{line}");
    }
}

#[test]
fn a_format_of_ones_own_gets_all_that_is_known() {
    #[derive(Debug)]
    struct Short;
    impl Format for Short {
        fn write(&self, line: &Line<'_>, output: &mut Vec<u8>) {
            let fields: Vec<_> = line
                .fields()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let text = format!(
                "{} {} {} {} {:?} {}",
                line.level(),
                line.message(),
                line.service(),
                fields.join(","),
                line.trace_id(),
                line.location().to_string().starts_with("logging_formats:")
            );
            output.extend_from_slice(text.as_bytes());
        }
    }

    let (output, _guard) = capture_logs(logger().with_format(Short));
    info!(total = 1, "placed");
    assert_eq!(
        output.lines(),
        [r#"INFO "placed" "orders" "total"=1 None true"#]
    );
}

#[test]
fn named_fields_are_never_written() {
    let (output, _guard) = capture_logs(logger().key("token", "t").redact(["password", "token"]));
    info!(
        password = "p",
        user = logging::json(json!({"name": "ada", "password": {"hash": "p"}})),
        message = logging::json(json!({"token": "t"}))
    );
    let line = &output.json()[0];
    assert_eq!(line["password"], "*****");
    assert_eq!(line["token"], "*****");
    assert_eq!(line["user"], json!({"name": "ada", "password": "*****"}));
    assert_eq!(line["message"], json!({"token": "*****"}));
}

#[test]
fn a_scoped_key_gives_way_to_what_it_replaced() {
    let (output, _guard) = capture_logs(logger());
    Invocation::current_or_open(None).sync_scope(|| {
        logging::append_key("a", "outer");
        {
            let _a = logging::scoped_key("a", "inner");
            let _b = logging::scoped_key("b", "inner");
            info!("inside");
        }
        info!("outside");
        logging::append_key("correlation_id", "c1");
        assert_eq!(logging::correlation_id().as_deref(), Some("c1"));
        logging::clear_keys();
        info!("cleared");
    });
    let lines = output.json();
    assert_eq!(
        (&lines[0]["a"], &lines[0]["b"]),
        (&json!("inner"), &json!("inner"))
    );
    assert_eq!((&lines[1]["a"], lines[1].get("b")), (&json!("outer"), None));
    assert_eq!(
        (lines[2].get("a"), &lines[2]["correlation_id"]),
        (None, &json!("c1"))
    );
}

#[tokio::test]
async fn the_event_is_logged_when_asked_for() {
    let event = |json: &str| {
        LambdaEvent::new(
            RawValue::from_string(json.to_owned()).unwrap(),
            context("one"),
        )
    };
    let env = Env::from([("POWERTOOLS_LOGGER_LOG_EVENT", "true")]);
    let (output, _guard) = capture_logs(logger().redact(["password"]));
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::from_env(&env).with_event(RawEvent::new()))
        .service_fn(|_: LambdaEvent<Box<RawValue>>| async { Ok::<_, Infallible>(()) });
    service
        .oneshot(event("{\"b\": 1,\n \"password\": 2}"))
        .await
        .unwrap();

    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().log_event(true))
        .service_fn(|_: LambdaEvent<Box<RawValue>>| async { Ok::<_, Infallible>(()) });
    service.oneshot(event("1")).await.unwrap();

    let lines = output.json();
    assert_eq!(lines[0]["event"], json!({"b": 1, "password": "*****"}));
    assert_eq!(lines[0]["function_request_id"], "one");
    assert_eq!((lines.len(), &lines[1]["level"]), (2, &json!("WARN")));
}

#[test]
fn two_loggers_stand_beside_each_other() {
    let (first, second) = (Captured::default(), Captured::default());
    let _guard = subscriber::registry()
        .with(logger().with_writer(first.clone()).subscriber_layer())
        .with(logger().with_writer(second.clone()).subscriber_layer())
        .set_default();
    tracing::info_span!("span", a = 1).in_scope(|| info!("both"));
    let a: Vec<Value> = [&first, &second]
        .map(|output| output.json()[0]["a"].clone())
        .into();
    assert_eq!(a, [1, 1]);
}
