//! Lines that are held back until they matter.
#![cfg(all(feature = "logging", feature = "testing"))]

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    logging::{self, Buffer, EcsFormat, Logger, LoggingLayer},
    testing::{Captured, context},
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};
use tracing::{Level, debug, error, info, instrument::WithSubscriber, warn};
use tracing_subscriber::prelude::*;

struct Stack {
    output: Captured,
    logger: Logger,
}

impl Stack {
    fn new(buffer: Buffer) -> Self {
        let output = Captured::default();
        let logger = Logger::from_env(&Env::default())
            .buffer(buffer)
            .with_writer(output.clone());
        Self { output, logger }
    }

    async fn run<F, E>(&self, layer: LoggingLayer, handler: impl Fn() -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let subscriber = tracing_subscriber::registry().with(self.logger.subscriber_layer());
        let service = ServiceBuilder::new()
            .layer(layer)
            .service_fn(|_: LambdaEvent<()>| handler());
        service
            .oneshot(LambdaEvent::new((), context("one")))
            .with_subscriber(subscriber)
            .await
    }

    fn messages(&self) -> Vec<Value> {
        self.output
            .json()
            .into_iter()
            .map(|mut line| line["message"].take())
            .collect()
    }
}

#[tokio::test]
async fn debug_lines_come_out_before_an_error_and_only_then() {
    let stack = Stack::new(Buffer::new());
    let handler = |fails: bool| async move {
        debug!(step = 1, "one");
        info!("two");
        if fails {
            error!("three");
        }
        debug!("four");
        Ok::<_, Infallible>(())
    };
    stack
        .run(LoggingLayer::new(), || handler(false))
        .await
        .unwrap();
    assert_eq!(stack.messages(), ["two"]);

    stack
        .run(LoggingLayer::new(), || handler(true))
        .await
        .unwrap();
    assert_eq!(stack.messages()[1..], ["two", "one", "three"]);
    let line = &stack.output.json()[2];
    assert_eq!(
        (&line["level"], &line["step"]),
        (&json!("DEBUG"), &json!(1))
    );
    assert_eq!(line["function_request_id"], "one");
}

#[tokio::test]
async fn a_buffer_up_to_warn_holds_back_all_below_an_error() {
    let stack = Stack::new(
        Buffer::new()
            .level(Level::WARN)
            .unwrap()
            .flush_on_error(false),
    );
    let handler = || async {
        warn!("warn");
        info!("info");
        error!("error");
        logging::flush_buffer();
        Ok::<_, Infallible>(())
    };
    stack.run(LoggingLayer::new(), handler).await.unwrap();
    assert_eq!(stack.messages(), ["error", "warn", "info"]);
}

#[tokio::test]
async fn the_oldest_lines_go_when_the_buffer_is_full_and_a_warning_says_so() {
    let stack = Stack::new(Buffer::new().max_bytes(1000).unwrap());
    let handler = || async {
        for step in 0..10 {
            debug!(step, "step");
        }
        error!("failed");
        error!("failed again");
        Ok::<_, Infallible>(())
    };
    stack.run(LoggingLayer::new(), handler).await.unwrap();
    let messages = stack.messages();
    let kept = messages
        .iter()
        .filter(|message| **message == "step")
        .count();
    assert!(0 < kept && kept < 10, "{messages:?}");
    let lines = stack.output.json();
    assert_eq!(lines[kept - 1]["step"], 9);
    assert_eq!(lines[kept]["level"], "WARN");
    assert_eq!(lines[kept]["function_request_id"], "one");
    assert_eq!(messages[kept + 1..], ["failed", "failed again"]);
}

#[tokio::test]
async fn a_line_larger_than_the_buffer_is_written_at_once() {
    let stack = Stack::new(Buffer::new().max_bytes(400).unwrap());
    let handler = || async {
        debug!("small");
        debug!(text = "x".repeat(400), "large");
        Ok::<_, Infallible>(())
    };
    stack.run(LoggingLayer::new(), handler).await.unwrap();
    let lines = stack.output.json();
    assert_eq!(lines[0]["message"], "large");
    assert_eq!((lines.len(), &lines[1]["level"]), (2, &json!("WARN")));
}

#[tokio::test]
async fn a_failed_invocation_brings_out_its_lines_when_asked_to() {
    for (asked, expected) in [(false, &[][..]), (true, &["before"])] {
        let layer = move || LoggingLayer::new().flush_buffer_on_uncaught_error(asked);

        let stack = Stack::new(Buffer::new());
        let failed = stack.run(layer(), || async {
            debug!("before");
            Err(Error::from("refused"))
        });
        failed.await.unwrap_err();
        assert_eq!(stack.messages(), expected, "error");

        let stack = Arc::new(Stack::new(Buffer::new()));
        let panics = Arc::clone(&stack);
        let handler = || async {
            debug!("before");
            panic!("on purpose")
        };
        let panicked =
            tokio::spawn(async move { panics.run::<_, Infallible>(layer(), handler).await });
        assert!(panicked.await.unwrap_err().is_panic());
        assert_eq!(stack.messages(), expected, "panic");

        let stack = Stack::new(Buffer::new());
        let hangs = stack.run(layer(), || async {
            debug!("before");
            pending::<Result<(), Infallible>>().await
        });
        tokio::time::timeout(Duration::from_millis(1), hangs)
            .await
            .unwrap_err();
        assert_eq!(stack.messages(), expected, "cancel");
    }
}

#[tokio::test]
async fn a_layer_inside_another_drops_nothing_of_it() {
    let stack = Stack::new(Buffer::new());
    let subscriber = tracing_subscriber::registry().with(stack.logger.subscriber_layer());
    let service = ServiceBuilder::new()
        .layer(LoggingLayer::new().flush_buffer_on_uncaught_error(true))
        .map_future(|future| async move {
            debug!("before");
            future.await
        })
        .layer(LoggingLayer::new())
        .service_fn(|_: LambdaEvent<()>| async { Err::<(), _>(Error::from("refused")) });
    let call = service.oneshot(LambdaEvent::new((), context("one")));
    call.with_subscriber(subscriber).await.unwrap_err();
    assert_eq!(stack.messages(), ["before"]);
}

#[tokio::test]
async fn what_comes_after_the_end_is_written_at_once() {
    let stack = Stack::new(Buffer::new().level(Level::INFO).unwrap());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let task = std::cell::Cell::new(None);
    let ended = std::cell::Cell::new(Some(ended));
    let handler = || {
        let ended = ended.take().unwrap();
        let late = async move {
            ended.await.unwrap();
            info!("late");
        };
        let invocation = Invocation::current().unwrap();
        task.set(Some(tokio::spawn(
            invocation.scope(late).with_current_subscriber(),
        )));
        async { Ok::<_, Infallible>(()) }
    };
    stack.run(LoggingLayer::new(), handler).await.unwrap();
    end.send(()).unwrap();
    task.take().unwrap().await.unwrap();
    assert_eq!(stack.messages(), ["late"]);
}

#[tokio::test]
async fn each_logger_holds_back_its_own_lines() {
    let env = Env::default();
    let (plain, ecs) = (Captured::default(), Captured::default());
    let logger = || Logger::from_env(&env).buffer(Buffer::new());
    let subscriber = tracing_subscriber::registry()
        .with(logger().with_writer(plain.clone()).subscriber_layer())
        .with(
            logger()
                .with_format(EcsFormat::new())
                .with_writer(ecs.clone())
                .subscriber_layer(),
        );
    let service =
        ServiceBuilder::new()
            .layer(LoggingLayer::new())
            .service_fn(|_: LambdaEvent<()>| async {
                debug!("before");
                error!("failed");
                Ok::<_, Infallible>(())
            });
    let call = service.oneshot(LambdaEvent::new((), context("one")));
    call.with_subscriber(subscriber).await.unwrap();
    for (output, key) in [(plain, "level"), (ecs, "log.level")] {
        let levels: Vec<_> = output
            .json()
            .into_iter()
            .map(|mut line| line[key].take())
            .collect();
        assert_eq!(levels, ["DEBUG", "ERROR"], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_concurrent_invocations_never_leak_a_line_or_a_key() {
    const INVOCATIONS: usize = 10_000;

    let stack = Stack::new(Buffer::new());
    let subscriber = tracing_subscriber::registry().with(stack.logger.subscriber_layer());
    let dispatch = tracing::Dispatch::new(subscriber);
    let service = ServiceBuilder::new().layer(LoggingLayer::new()).service_fn(
        |event: LambdaEvent<usize>| async move {
            let number = event.payload;
            logging::append_key("mine", number);
            for step in 0..3 {
                debug!(number, step, "held back");
                tokio::task::yield_now().await;
            }
            if number.is_multiple_of(2) {
                error!(number, "failed");
            }
            Ok::<_, Infallible>(())
        },
    );
    let calls: Vec<_> = (0..INVOCATIONS)
        .map(|number| {
            let event = LambdaEvent::new(number, context(format!("request-{number}")));
            let call = service.clone().oneshot(event);
            tokio::spawn(call.with_subscriber(dispatch.clone()))
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }

    let lines = stack.output.json();
    assert_eq!(lines.len(), INVOCATIONS / 2 * 4);
    let mut seen = vec![0; INVOCATIONS];
    for line in lines {
        let number = line["number"].as_u64().unwrap();
        assert_eq!(line["mine"], number, "{line}");
        assert_eq!(
            line["function_request_id"],
            format!("request-{number}"),
            "{line}"
        );
        let seen = &mut seen[usize::try_from(number).unwrap()];
        let expected = if *seen == 3 {
            json!(null)
        } else {
            json!(*seen)
        };
        assert_eq!(
            line.get("step").cloned().unwrap_or_default(),
            expected,
            "{line}"
        );
        *seen += 1;
    }
    assert!(
        seen.iter()
            .enumerate()
            .all(|(number, seen)| *seen == 4 * usize::from(number % 2 == 0))
    );
}
