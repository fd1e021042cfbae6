//! That who listens to the tracer's own warnings may have spans, and end them: alone in its process,
//! as the subscriber is the process's.
#![cfg(all(feature = "testing", feature = "trace"))]

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    testing::sampled_context,
    trace::{SpanExt, TraceHeader, TraceLayer, Tracer},
};
use tower::{Layer as _, ServiceExt, service_fn};
use tracing::{Event, Level, Subscriber, info_span};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

const PRODUCER: &str = "Root=1-5759e989-000000000000000000000001;Parent=00000000000000ab;Sampled=1";

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// Has a span for each warning, as a layer that sends it elsewhere may.
struct Spanned;

impl<S: Subscriber> Layer<S> for Spanned {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
            let span = info_span!("warning");
            span.continue_trace(&PRODUCER.parse::<TraceHeader>().unwrap());
            span.in_scope(|| {});
        }
    }
}

#[test]
fn a_notice_may_be_answered_by_a_span() {
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::OTLP_ENDPOINT, "https://collector:4318"),
        (env::XRAY_DAEMON_ADDRESS, "127.0.0.1:9"),
    ]);
    tracing_subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .with(Spanned)
        .init();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
            ready(Ok::<_, Infallible>(()))
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let event = LambdaEvent::new((), sampled_context("52fdfc07"));
        runtime.block_on(service.oneshot(event)).unwrap();
        sender.send(()).unwrap();
    });
    let answered = receiver.recv_timeout(Duration::from_secs(20));
    answered.expect("the invocation has ended");
    assert_eq!(WARNINGS.load(Ordering::Relaxed), 1);
}
