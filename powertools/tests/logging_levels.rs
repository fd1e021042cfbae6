//! Which events become lines: levels of the logger, of targets, of requests, of drawn invocations.
#![cfg(all(feature = "logging", feature = "testing"))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    logging::{Buffer, Logger, LoggerError, LoggingLayer},
    testing::{Captured, capture_logs, context},
};
use serde_json::Value;
use tower::{Service, ServiceBuilder, ServiceExt};
use tracing::{Instrument, Level, debug, info, trace, warn};

fn logger() -> Logger {
    Logger::from_env(&Env::default())
}

fn messages(output: &Captured) -> Vec<Value> {
    output
        .json()
        .into_iter()
        .map(|mut line| line["message"].take())
        .collect()
}

/// Logs one line at every level.
async fn handler(_: LambdaEvent<bool>) -> Result<(), Infallible> {
    trace!("trace");
    debug!("debug");
    debug!(target: "quiet::inside", "quiet debug");
    info!("info");
    Ok(())
}

fn event(verbose: bool) -> LambdaEvent<bool> {
    LambdaEvent::new(verbose, context("one"))
}

#[tokio::test]
async fn an_invocation_that_is_drawn_is_logged_at_debug_and_no_other() {
    let hit = Arc::new(AtomicBool::new(true));
    let next = Arc::clone(&hit);
    let logger = logger()
        .target_level("quiet", Level::INFO)
        .sample_rate(0.25)
        .unwrap()
        .with_random(move || {
            if next.load(Ordering::Relaxed) {
                0.2
            } else {
                0.3
            }
        });
    let (output, _guard) = capture_logs(logger);
    let mut service = ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .service_fn(handler);

    for (drawn, expected) in [(true, &["debug", "info"][..]), (false, &["info"])] {
        hit.store(drawn, Ordering::Relaxed);
        let before = output.lines().len();
        service
            .ready()
            .await
            .unwrap()
            .call(event(false))
            .await
            .unwrap();
        assert_eq!(messages(&output)[before..], *expected);
    }
    debug!("outside of an invocation");
    assert_eq!(output.lines().len(), 3);
    for line in output.json() {
        assert_eq!(line["sampling_rate"], 0.25);
    }
}

#[tokio::test]
async fn lambdas_own_level_wins_over_the_draw_and_the_request() {
    let env = Env::from([
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("POWERTOOLS_LOGGER_SAMPLE_RATE", "1"),
    ]);
    let (output, _guard) = capture_logs(Logger::from_env(&env).buffer(Buffer::new()));
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().request_level(|_: &LambdaEvent<bool>| Some(Level::TRACE)))
        .service_fn(handler);
    service.oneshot(event(true)).await.unwrap();
    let messages = messages(&output);
    assert!(
        messages[0]
            .as_str()
            .unwrap()
            .contains("AWS_LAMBDA_LOG_LEVEL"),
        "{messages:?}"
    );
    assert_eq!(messages[1..], ["info"]);
}

#[tokio::test]
async fn a_request_can_ask_for_more_lines_and_not_for_fewer() {
    let (output, _guard) = capture_logs(logger().target_level("quiet", Level::INFO));
    let mut service = ServiceBuilder::new()
        .layer(
            LoggingLayer::new().request_level(|event: &LambdaEvent<bool>| {
                Some(if event.payload {
                    Level::TRACE
                } else {
                    Level::ERROR
                })
            }),
        )
        .service_fn(handler);
    service
        .ready()
        .await
        .unwrap()
        .call(event(false))
        .await
        .unwrap();
    assert_eq!(messages(&output), ["info"]);
    service
        .ready()
        .await
        .unwrap()
        .call(event(true))
        .await
        .unwrap();
    assert_eq!(messages(&output)[1..], ["trace", "debug", "info"]);
}

#[tokio::test]
async fn an_instrumented_task_has_the_level_of_its_invocation() {
    let (output, _guard) = capture_logs(logger());
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().request_level(|_: &LambdaEvent<bool>| Some(Level::DEBUG)))
        .service_fn(|_: LambdaEvent<bool>| async {
            let task = async { debug!("in a task") }.instrument(tracing::info_span!("work"));
            tokio::spawn(task).await.unwrap();
            Ok::<_, Infallible>(())
        });
    service.oneshot(event(true)).await.unwrap();
    assert_eq!(messages(&output), ["in a task"]);
}

#[test]
fn one_warning_says_that_lambda_leaves_out_what_was_asked_for() {
    let lambda = |asked: &[(&'static str, &'static str)]| {
        let variables = asked
            .iter()
            .copied()
            .chain([("AWS_LAMBDA_LOG_LEVEL", "INFO")]);
        let (output, _guard) = capture_logs(Logger::from_env(&variables.collect()));
        output.lines().len()
    };
    assert_eq!(lambda(&[]), 0);
    assert_eq!(lambda(&[("LOG_LEVEL", "INFO")]), 0);
    assert_eq!(lambda(&[("LOG_LEVEL", "DEBUG")]), 1);
    assert_eq!(lambda(&[("POWERTOOLS_LOGGER_SAMPLE_RATE", "0.1")]), 1);
}

#[test]
fn a_target_may_have_less_than_lambda_lets_pass_and_no_more() {
    let env = Env::from([
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("LOG_LEVEL", "INFO,quiet=WARN,loud=DEBUG"),
    ]);
    let (output, _guard) = capture_logs(Logger::from_env(&env));
    info!("info");
    info!(target: "quiet", "quiet");
    debug!(target: "loud", "loud");
    // After the warning that `loud` asks for more.
    assert_eq!(messages(&output)[1..], ["info"]);
}

#[test]
fn a_target_has_a_level_of_its_own() {
    let levels = Env::from([("POWERTOOLS_LOG_LEVEL", "WARN,logging_levels=DEBUG")]);
    let (output, _guard) = capture_logs(Logger::from_env(&levels));
    debug!("mine");
    info!(target: "hyper::client", "theirs");
    warn!(target: "hyper::client", "their warning");
    assert_eq!(messages(&output), ["mine", "their warning"]);
}

#[test]
fn a_level_of_fatal_leaves_out_errors_that_are_not() {
    for env in [
        Env::from([("LOG_LEVEL", "critical")]),
        Env::from([("AWS_LAMBDA_LOG_LEVEL", "FATAL")]),
    ] {
        let (output, _guard) = capture_logs(Logger::from_env(&env));
        warn!("warn");
        tracing::error!("error");
        tracing::error!(fatal = true, "fatal");
        assert_eq!(messages(&output), ["fatal"]);
    }
    let env = Env::from([("LOG_LEVEL", "FATAL,chatty=DEBUG")]);
    {
        let (output, _guard) = capture_logs(Logger::from_env(&env));
        tracing::error!("error");
        debug!(target: "chatty", "debug");
        tracing::error!(target: "chatty", "chatty error");
        assert_eq!(messages(&output), ["debug", "chatty error"]);
    }
    let env = Env::from([("LOG_LEVEL", "FATAL")]);
    let (output, _guard) = capture_logs(Logger::from_env(&env).level(Level::ERROR));
    tracing::error!("error");
    assert_eq!(messages(&output), ["error"]);
}

#[test]
fn settings_that_cannot_be_are_errors_in_code() {
    assert!(matches!(
        logger().levels("INFO,hyper=loud"),
        Err(LoggerError::Level { .. })
    ));
    for rate in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(
            logger().sample_rate(rate),
            Err(LoggerError::SampleRate { .. })
        ));
    }
    assert!(matches!(
        Buffer::new().max_bytes(0),
        Err(LoggerError::BufferSize { bytes: 0, .. })
    ));
}

#[test]
fn settings_that_cannot_be_are_one_warning_in_the_environment() {
    for (variable, value) in [
        ("POWERTOOLS_LOG_LEVEL", "loud"),
        ("LOG_LEVEL", "loud"),
        ("AWS_LAMBDA_LOG_LEVEL", "loud"),
        ("POWERTOOLS_LOGGER_SAMPLE_RATE", "2"),
        ("POWERTOOLS_LOGGER_SAMPLE_RATE", "often"),
        ("TZ", "Mars/Olympus"),
    ] {
        let (output, _guard) = capture_logs(Logger::from_env(&Env::from([(variable, value)])));
        debug!("not written");
        info!("written");
        let lines = output.json();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0]["level"], "WARN");
        let complaint = lines[0]["message"].as_str().unwrap();
        assert!(
            complaint.contains(variable) && complaint.contains(value),
            "{complaint}"
        );
        assert_eq!(lines[1]["message"], "written");
    }
}
