#![cfg(feature = "testing")]

use std::{convert::Infallible, mem, thread};

use lambda_runtime::LambdaEvent;
use tokio::sync::Barrier;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer as _;
use tracing::{Instrument, dispatcher, info_span};

use super::*;
use crate::{
    Env,
    testing::{CapturedTraces, capture_traces, sampled_context},
    trace::{SpanExt, TraceHeader, TraceLayer, Tracer},
};

const PRODUCER: &str = "Root=1-5759e989-000000000000000000000001;Parent=00000000000000ab;Sampled=1";

fn tracer() -> Tracer {
    Tracer::from_env(&Env::default()).service("orders")
}

/// Runs `f` as a handler in an invocation that is traced.
async fn invoke<F: Future<Output = ()>>(f: impl Fn() -> F) {
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let handler = f();
        async {
            handler.await;
            Ok::<_, Infallible>(())
        }
    }));
    let event = LambdaEvent::new((), sampled_context("52fdfc07"));
    service.oneshot(event).await.unwrap();
}

fn emit() {
    emit_in_progress(&Invocation::current().unwrap());
}

/// Returns the names of documents in the order they came, those in progress with `…`.
fn names(traces: &CapturedTraces) -> Vec<String> {
    let names = traces.documents().into_iter().map(|document| {
        let mark = if document["in_progress"] == true {
            "…"
        } else {
            ""
        };
        format!("{}{mark}", document["name"].as_str().unwrap())
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn is_anything_kept() -> bool {
    dispatcher::get_default(|dispatch| {
        let exporter = dispatch.downcast_ref::<Exporter>().unwrap();
        !exporter.inner.open().is_empty()
    })
}

#[tokio::test]
async fn open_spans_leave_in_progress_and_complete_under_the_same_ids() {
    let (traces, _guard) = capture_traces(tracer());
    invoke(|| async {
        let outer = info_span!("outer", annotation.order = "a1").entered();
        info_span!("done").in_scope(|| {});
        emit();
        assert_eq!(names(&traces), ["## my-function…", "done", "outer…"]);
        let in_progress = traces.named("outer");
        assert!(in_progress.is_in_progress());
        assert_eq!(in_progress.document().get("end_time"), None);
        assert_eq!(in_progress.annotation("order").unwrap(), "a1");
        assert_eq!(
            traces
                .named("## my-function")
                .child("outer")
                .children()
                .len(),
            1
        );
        // X-Ray takes a span in progress once.
        emit();
        assert_eq!(traces.documents().len(), 3);
        drop(outer);
        // The time is nearly over: nothing waits.
        assert!(!traces.named("outer").is_in_progress());
    })
    .await;
    assert_eq!(traces.documents().len(), 5);
    assert_eq!(traces.spans().len(), 3);
    assert!(traces.spans().iter().all(|span| !span.is_in_progress()));
    let handler = traces.named("## my-function");
    let _ = handler.child("outer").child("done");
}

#[tokio::test]
async fn a_watchdogs_thread_knows_no_dispatcher_and_needs_none() {
    let (traces, _guard) = capture_traces(tracer());
    invoke(|| async {
        let invocation = Invocation::current().unwrap();
        let watchdog = thread::spawn(move || emit_in_progress(&invocation));
        watchdog.join().unwrap();
        assert_eq!(names(&traces), ["## my-function…"]);
    })
    .await;
}

#[tokio::test]
async fn only_the_spans_of_the_invocation_leave_in_progress() {
    let (traces, _guard) = capture_traces(tracer());
    let both = Barrier::new(2);
    let first = invoke(|| async {
        both.wait().await;
        emit();
        both.wait().await;
        both.wait().await;
    });
    let second = invoke(|| {
        let inner = async {
            both.wait().await;
            both.wait().await;
            let second = Invocation::current().unwrap();
            let [first] = &traces.documents()[..] else {
                panic!("{traces:?}");
            };
            let own = second.context().xray_trace_id.as_deref().unwrap();
            assert!(!own.contains(first["trace_id"].as_str().unwrap()));
            both.wait().await;
        };
        inner.instrument(info_span!("second"))
    });
    tokio::join!(first, second);
    assert_eq!(traces.spans().len(), 3);
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn spans_in_other_traces_are_the_invocations_too() {
    let (traces, _guard) = capture_traces(tracer());
    invoke(|| async {
        let message = info_span!("message");
        message.continue_trace(&PRODUCER.parse::<TraceHeader>().unwrap());
        let _message = message.entered();
        emit();
        let message = traces.named("message");
        assert!(message.is_in_progress());
        assert_eq!(message.trace_id(), "1-5759e989-000000000000000000000001");
    })
    .await;
    assert!(!traces.named("message").is_in_progress());
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn nothing_waits_for_a_span_that_never_ends() {
    let (traces, _guard) = capture_traces(tracer());
    invoke(|| async {
        let leaked = info_span!("leaked");
        leaked.in_scope(|| info_span!("inner").in_scope(|| {}));
        assert!(traces.documents().is_empty());
        mem::forget(leaked);
    })
    .await;
    assert_eq!(names(&traces), ["## my-function", "inner"]);
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn an_invocation_that_is_not_traced_has_nothing_in_progress() {
    let (traces, _guard) = capture_traces(tracer());
    let invocation = Invocation::new(crate::testing::context("52fdfc07"), false);
    emit_in_progress(&invocation);
    assert!(flush(&invocation).is_none());
    assert!(traces.documents().is_empty());
}

/// Runs `f` as a handler of an invocation that is not sampled.
async fn invoke_unsampled<F: Future<Output = ()>>(f: impl Fn() -> F) {
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let handler = f();
        async {
            handler.await;
            Ok::<_, Infallible>(())
        }
    }));
    let event = LambdaEvent::new((), crate::testing::context("52fdfc07"));
    service.oneshot(event).await.unwrap();
}

fn message() -> tracing::Span {
    let message = info_span!("message");
    message.continue_trace(&PRODUCER.parse::<TraceHeader>().unwrap());
    message
}

#[tokio::test]
async fn messages_of_an_invocation_that_is_not_sampled_leave_in_progress_too() {
    let (traces, _guard) = capture_traces(tracer());
    invoke_unsampled(|| async {
        let one = message().entered();
        info_span!("done").in_scope(|| {});
        assert!(traces.documents().is_empty());
        emit();
        assert!(traces.named("message").is_in_progress());
        assert!(!traces.named("done").is_in_progress());
        drop(one);
        assert!(!traces.named("message").is_in_progress());
        // The time is nearly over: nothing waits for a message that starts now, either.
        let _two = message().entered();
        let count = traces.documents().len();
        info_span!("late").in_scope(|| {});
        assert_eq!(traces.documents().len(), count + 1);
    })
    .await;
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn nothing_waits_for_a_message_that_outlives_an_invocation_that_is_not_sampled() {
    let (traces, _guard) = capture_traces(tracer());
    invoke_unsampled(|| async {
        let leaked = message();
        leaked.in_scope(|| info_span!("inner").in_scope(|| {}));
        assert!(traces.documents().is_empty());
        mem::forget(leaked);
    })
    .await;
    assert_eq!(names(&traces), ["inner"]);
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn a_handler_that_is_dropped_ends_its_messages_although_it_is_not_sampled() {
    let (traces, _guard) = capture_traces(tracer());
    let invocation = invoke_unsampled(|| async {
        let leaked = message();
        leaked.in_scope(|| info_span!("inner").in_scope(|| {}));
        mem::forget(leaked);
        std::future::pending::<()>().await;
    });
    let mut invocation = Box::pin(invocation);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(invocation.as_mut().poll(&mut context).is_pending());
    assert!(traces.documents().is_empty());
    drop(invocation);
    assert_eq!(names(&traces), ["inner"]);
    assert!(!is_anything_kept());
}

#[tokio::test]
async fn what_is_sent_by_udp_needs_no_flush() {
    let (_traces, _guard) = capture_traces(tracer());
    invoke(|| async { assert!(flush(&Invocation::current().unwrap()).is_none()) }).await;
}

#[test]
fn a_reset_reaches_the_tracer_of_the_running_code_and_nobody_else() {
    reset();
    let (_traces, _guard) = capture_traces(tracer());
    reset();
}
