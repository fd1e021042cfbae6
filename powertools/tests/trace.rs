//! Traces as the X-Ray daemon receives them.
#![cfg(all(feature = "testing", feature = "trace"))]

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    future::pending,
    io,
    net::{SocketAddr, UdpSocket},
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Env, Invocation, env,
    testing::{Captured, context},
    trace::{self, SpanExt, TraceHeader, TraceLayer, Tracer},
};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{
    Instrument, Level, Span, debug_span, error, info, info_span, subscriber::DefaultGuard,
};
use tracing_subscriber::{Registry, filter::Targets, prelude::*};

mod subscriber;

const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
const PARENT: &str = "53995c3f42cd8ad8";
const SAMPLED: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

/// The header of the message that a consumer handles.
const PRODUCER: &str = "Root=1-5759e989-000000000000000000000001;Parent=00000000000000ab;Sampled=1";

/// Plays the X-Ray daemon. Over loopback a datagram has arrived when it has been sent.
struct Daemon {
    socket: UdpSocket,
    schema: jsonschema::Validator,
}

impl Daemon {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let schema = serde_json::from_str(include_str!("schemas/xray-segment.schema.json"));
        Self {
            socket,
            schema: jsonschema::validator_for(&schema.unwrap()).unwrap(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn env(&self) -> Env {
        let address = self.address().to_string();
        Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::XRAY_DAEMON_ADDRESS, &address),
        ])
    }

    fn tracer(&self) -> Tracer {
        Tracer::from_env(&self.env()).service("orders")
    }

    /// Sends the spans of this thread here.
    fn listen(&self) -> DefaultGuard {
        subscriber::registry()
            .with(self.tracer().subscriber_layer())
            .set_default()
    }

    /// Returns what has arrived, after a check that X-Ray would take it.
    fn documents(&self) -> Vec<Value> {
        let mut datagram = vec![0; 1 << 16];
        let mut documents = Vec::new();
        loop {
            let length = match self.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return documents,
                Err(error) => panic!("{error}"),
            };
            let datagram = std::str::from_utf8(&datagram[..length]).unwrap();
            let (prefix, document) = datagram.split_once('\n').unwrap();
            assert_eq!(prefix, r#"{"format":"json","version":1}"#);
            let document: Value = serde_json::from_str(document).unwrap();
            if let Err(error) = self.schema.validate(&document) {
                panic!("{error}: {document}");
            }
            for field in ["trace_id", "parent_id"] {
                assert!(document[field].is_string(), "{field} of {document}");
            }
            unnest(document, &mut documents);
        }
    }
}

/// Takes documents apart into one for each span, as if it had been sent by itself: in the order that
/// they ended.
fn unnest(mut document: Value, documents: &mut Vec<Value>) {
    if let Some(Value::Array(subsegments)) = document.as_object_mut().unwrap().remove("subsegments")
    {
        for mut subsegment in subsegments {
            subsegment["trace_id"] = document["trace_id"].clone();
            subsegment["parent_id"] = document["id"].clone();
            subsegment["type"] = "subsegment".into();
            unnest(subsegment, documents);
        }
    }
    documents.push(document);
}

fn event(header: impl Into<Option<&'static str>>) -> LambdaEvent<()> {
    let mut context = context("52fdfc07");
    context.xray_trace_id = header.into().map(str::to_owned);
    LambdaEvent::new((), context)
}

/// Runs `handler` in an invocation that came with `header`, and returns the documents.
async fn trace<F, E>(header: impl Into<Option<&'static str>>, handler: impl Fn() -> F) -> Vec<Value>
where
    F: Future<Output = Result<(), E>>,
    E: fmt::Debug + 'static,
{
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service_fn(|_: LambdaEvent<()>| handler());
    let _ = service.oneshot(event(header)).await;
    daemon.documents()
}

async fn ok() -> Result<(), Infallible> {
    Ok(())
}

fn named<'a>(documents: &'a [Value], name: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["name"] == name);
    let document = found.next();
    assert!(found.next().is_none(), "more than one {name}");
    document.unwrap_or_else(|| panic!("no {name} among {documents:?}"))
}

#[tokio::test]
async fn an_invocation_joins_the_trace_of_its_header() {
    let documents = trace(SAMPLED, ok).await;
    assert_eq!(documents.len(), 1);
    let handler = &documents[0];
    assert_eq!(handler["name"], "## my-function");
    assert_eq!(handler["trace_id"], ROOT);
    assert_eq!(handler["parent_id"], PARENT);
    assert_eq!(handler["annotations"]["Service"], "orders");
    assert!(handler["annotations"]["ColdStart"].is_boolean());
    assert_eq!(handler.get("fault"), None);
    assert_eq!(handler.get("metadata"), None);
    assert!(handler["start_time"].as_f64() <= handler["end_time"].as_f64());
}

#[tokio::test]
async fn spans_inside_are_subsegments_of_each_other_and_leave_first() {
    let documents = trace(SAMPLED, || {
        async {
            info_span!("inner").in_scope(|| info!("no event of a lower level is a document"));
            Ok::<_, Infallible>(())
        }
        .instrument(info_span!("outer", sku = "x1"))
    })
    .await;
    let names: Vec<_> = documents.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["inner", "outer", "## my-function"]);
    assert_eq!(documents[0]["parent_id"], documents[1]["id"]);
    assert_eq!(documents[1]["parent_id"], documents[2]["id"]);
    assert!(documents.iter().all(|it| it["trace_id"] == ROOT));
    assert_eq!(documents[1]["metadata"], json!({"default": {"sku": "x1"}}));
    assert_eq!(documents[0].get("annotations"), None);
}

#[tokio::test]
async fn the_runtimes_own_span_is_no_part_of_the_trace() {
    let documents = trace(SAMPLED, || async {
        info_span!("Lambda runtime invoke", requestId = "52fdfc07").in_scope(|| {
            info_span!("inner").in_scope(|| {});
        });
        Ok::<_, Infallible>(())
    })
    .await;
    let names: Vec<_> = documents.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["inner", "## my-function"]);
    assert_eq!(documents[0]["parent_id"], documents[1]["id"]);
}

#[tokio::test]
async fn nothing_is_sent_for_a_trace_that_is_not_sampled() {
    for header in [
        Some(UNSAMPLED),
        Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8"),
        Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?"),
        Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
        Some("Root=garbage;Parent=53995c3f42cd8ad8;Sampled=1"),
        Some("garbage"),
        Some(""),
        None,
    ] {
        let documents = trace(header, || async {
            info_span!("inner").in_scope(|| trace::annotate("key", 1));
            error!("not a fault of anything");
            Err::<(), _>("refused")
        })
        .await;
        assert!(documents.is_empty(), "{header:?}: {documents:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_by_a_tracer_that_is_disabled() {
    let daemon = Daemon::start();
    let address = daemon.address().to_string();
    for env in [
        Env::from([(env::XRAY_DAEMON_ADDRESS, &*address)]),
        Env::from([(env::FUNCTION_NAME, "my-function")]),
        Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::XRAY_DAEMON_ADDRESS, &address),
            (env::TRACE_DISABLED, "true"),
        ]),
    ] {
        let _guard = subscriber::registry()
            .with(Tracer::from_env(&env).subscriber_layer())
            .set_default();
        let service =
            ServiceBuilder::new()
                .layer(TraceLayer::new())
                .service_fn(|_: LambdaEvent<()>| async {
                    info_span!("inner").in_scope(|| {});
                    Ok::<_, Infallible>(TraceHeader::current())
                });
        let header = service.oneshot(event(SAMPLED)).await.unwrap();
        // What comes after this function still belongs to the trace.
        assert_eq!(header.unwrap().to_string(), SAMPLED);
    }
    assert!(daemon.documents().is_empty());
}

#[tokio::test]
async fn spans_outside_of_an_invocation_are_not_sent() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    info_span!("start-up").in_scope(|| {
        info_span!("configuration").in_scope(|| {
            trace::annotate("key", 1);
            assert_eq!(TraceHeader::current(), None);
        });
    });
    assert!(daemon.documents().is_empty());
}

#[tokio::test]
async fn the_address_may_name_both_protocols_or_a_host() {
    let daemon = Daemon::start();
    let port = daemon.address().port();
    for address in [
        format!("tcp:127.0.0.2:1 udp:127.0.0.1:{port}"),
        format!("udp:127.0.0.1:{port} tcp:127.0.0.2:1"),
        format!("localhost:{port}"),
    ] {
        let env = Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::XRAY_DAEMON_ADDRESS, &address),
        ]);
        let _guard = subscriber::registry()
            .with(Tracer::from_env(&env).subscriber_layer())
            .set_default();
        let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| ok()));
        service.oneshot(event(SAMPLED)).await.unwrap();
        assert_eq!(daemon.documents().len(), 1, "{address}");
    }
}

#[tokio::test]
async fn an_address_that_is_garbage_is_reported_once_and_fails_nothing() {
    let output = Captured::default();
    let writer = output.clone();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, "not an address"),
    ]);
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .with(Lines(writer))
        .set_default();
    let mut service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| ok()));
    for _ in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(event(SAMPLED))
            .await
            .unwrap();
    }
    let lines = output.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no X-Ray daemon") && lines[0].contains("not an address"));
}

#[tokio::test]
async fn a_daemon_that_is_away_costs_only_what_was_sent_meanwhile() {
    let daemon = Daemon::start();
    let address = daemon.address();
    let _guard = daemon.listen();
    drop(daemon);
    let mut service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| ok()));
    for _ in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(event(SAMPLED))
            .await
            .unwrap();
    }
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    service
        .ready()
        .await
        .unwrap()
        .call(event(SAMPLED))
        .await
        .unwrap();
    assert!(socket.recv(&mut [0; 1 << 10]).is_ok());
}

#[tokio::test]
async fn a_handlers_error_is_a_fault_with_its_sources_and_passes_untouched() {
    #[derive(Debug, thiserror::Error)]
    #[error("payment refused")]
    struct Refused(#[source] io::Error);

    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service =
        ServiceBuilder::new()
            .layer(TraceLayer::new())
            .service_fn(|_: LambdaEvent<()>| async {
                Err::<(), _>(Error::from(Refused(io::Error::other("connection reset"))))
            });
    let error = service.oneshot(event(SAMPLED)).await.unwrap_err();
    assert!(error.is::<Refused>());

    let documents = daemon.documents();
    let handler = &documents[0];
    assert_eq!(handler["fault"], true);
    let exceptions = &handler["cause"]["exceptions"];
    assert_eq!(exceptions[0]["message"], "payment refused");
    assert_eq!(exceptions[0]["cause"], exceptions[1]["id"]);
    assert_eq!(exceptions[1]["message"], "connection reset");
    assert_eq!(handler["annotations"]["Service"], "orders");
}

#[tokio::test]
async fn every_error_the_runtime_takes_is_told_as_well_as_it_can_be() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only `Debug` would show it")]
    enum Own {
        NotFound { id: u8 },
    }

    async fn exception<E: fmt::Debug + 'static>(error: fn() -> E) -> (String, String) {
        let mut documents = trace(SAMPLED, || async { Err::<(), _>(error()) }).await;
        let exception = documents[0]["cause"]["exceptions"][0].take();
        let text = |field: &str| exception[field].as_str().unwrap().to_owned();
        (text("type"), text("message"))
    }

    fn expected(kind: &str, message: &str) -> (String, String) {
        (kind.to_owned(), message.to_owned())
    }

    assert_eq!(exception(|| Error::from("a")).await, expected("Error", "a"));
    assert_eq!(
        exception(|| Box::<dyn std::error::Error>::from("a")).await,
        expected("Error", "a")
    );
    assert_eq!(exception(|| "a").await, expected("Error", "a"));
    assert_eq!(exception(|| "a".to_owned()).await, expected("Error", "a"));
    assert_eq!(
        exception(|| io::Error::other("a")).await,
        expected("std::io::error::Error", "a")
    );
    let diagnostic = || Diagnostic {
        error_type: "orders.Refused".to_owned(),
        error_message: "a".to_owned(),
    };
    assert_eq!(exception(diagnostic).await, expected("orders.Refused", "a"));
    let (kind, message) = exception(|| Own::NotFound { id: 1 }).await;
    assert!(kind.ends_with("::Own"), "{kind}");
    // Its `Debug` text may show what nobody meant to.
    assert_eq!(message, "not shown here, see the log of the function");
}

#[tokio::test]
async fn a_panic_is_a_fault_also_when_the_runtime_keeps_the_future() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service =
        ServiceBuilder::new()
            .layer(TraceLayer::new())
            .service_fn(|_: LambdaEvent<()>| async {
                let _inner = info_span!("inner").entered();
                tokio::task::yield_now().await;
                panic!("went wrong");
                #[expect(unreachable_code, reason = "gives the block its type")]
                Ok::<(), Infallible>(())
            });
    let mut call = Box::pin(service.oneshot(event(SAMPLED)));
    let caught = futures_catch(&mut call).await;
    assert!(caught, "the handler panicked");
    let documents = daemon.documents();
    let handler = named(&documents, "## my-function");
    assert_eq!(handler["fault"], true);
    assert_eq!(handler["cause"]["exceptions"][0]["type"], "panic");
    drop(call);
    assert!(daemon.documents().is_empty());
}

/// Polls `future` to its end as the runtime does, and returns whether it panicked.
async fn futures_catch<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        let poll = || std::pin::Pin::new(&mut *future).poll(cx);
        match std::panic::catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(|_| false),
            Err(_) => std::task::Poll::Ready(true),
        }
    })
    .await
}

#[tokio::test]
async fn a_panic_before_the_first_await_is_a_fault_too() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let mut service = ServiceBuilder::new().layer(TraceLayer::new()).service_fn(
        |_: LambdaEvent<()>| -> std::future::Ready<Result<(), Infallible>> { panic!("went wrong") },
    );
    let call = || drop(service.call(event(SAMPLED)));
    assert!(std::panic::catch_unwind(AssertUnwindSafe(call)).is_err());
    let documents = daemon.documents();
    assert_eq!(documents[0]["cause"]["exceptions"][0]["type"], "panic");
}

#[tokio::test]
async fn a_handler_that_is_dropped_is_a_fault_and_its_spans_are_sent() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service_fn(|_: LambdaEvent<()>| {
            pending::<Result<(), Infallible>>().instrument(info_span!("inner"))
        });
    let call = service.oneshot(event(SAMPLED));
    let cut_off = tokio::time::timeout(Duration::from_millis(1), call).await;
    assert!(cut_off.is_err());
    let documents = daemon.documents();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0]["name"], "inner");
    assert_eq!(documents[1]["fault"], true);
    assert_eq!(documents[1]["cause"]["exceptions"][0]["type"], "cancelled");
}

#[tokio::test]
async fn the_document_leaves_before_the_answer_although_a_task_keeps_the_span() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let kept = Rc::new(RefCell::new(None));
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service_fn(|_: LambdaEvent<()>| {
            kept.replace(Some(info_span!("straggler")));
            ok()
        });
    service.oneshot(event(SAMPLED)).await.unwrap();
    let documents = daemon.documents();
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["name"], "## my-function");

    kept.replace(None);
    let late = daemon.documents();
    assert_eq!(late[0]["name"], "straggler");
    assert_eq!(late[0]["parent_id"], documents[0]["id"]);
}

#[tokio::test]
async fn spans_that_the_handlers_future_holds_to_its_end_leave_first() {
    let documents = trace(SAMPLED, || {
        let span = info_span!("held");
        std::future::poll_fn(move |_| {
            assert!(!span.is_disabled());
            std::task::Poll::Ready(Ok::<_, Infallible>(()))
        })
    })
    .await;
    let names: Vec<_> = documents.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["held", "## my-function"]);
}

#[tokio::test]
async fn an_event_at_error_marks_its_span_and_no_other() {
    #[tracing::instrument(err)]
    async fn charge() -> Result<(), io::Error> {
        Err(io::Error::other("card expired"))
    }

    let documents = trace(SAMPLED, || async {
        let _ = charge().await;
        let error = io::Error::other("disk full");
        info_span!("store").in_scope(|| {
            error!(error = &error as &dyn std::error::Error, "order lost");
        });
        Ok::<_, Infallible>(())
    })
    .await;
    let charge = named(&documents, "charge");
    assert_eq!(charge["fault"], true);
    assert_eq!(charge["cause"]["exceptions"][0]["message"], "card expired");
    let store = named(&documents, "store");
    let exceptions = &store["cause"]["exceptions"];
    assert_eq!(exceptions[0]["message"], "order lost");
    assert_eq!(exceptions[1]["message"], "disk full");
    assert_eq!(store.get("metadata"), None);
    assert_eq!(named(&documents, "## my-function").get("fault"), None);
}

#[tokio::test]
async fn whether_the_handler_failed_is_said_by_its_result_alone() {
    let log = || {
        error!("order lost");
        debug_span!("below the tracer's level").in_scope(|| error!("order lost, too"));
    };
    let daemon = Daemon::start();
    let output = Captured::default();
    let _guard = subscriber::registry()
        .with(daemon.tracer().subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    for result in [Ok(()), Err("refused")] {
        let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| async {
            log();
            result
        }));
        assert_eq!(service.oneshot(event(SAMPLED)).await, result);
    }

    let documents = daemon.documents();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0].get("fault"), None, "{}", documents[0]);
    assert_eq!(documents[0].get("cause"), None, "{}", documents[0]);
    assert_eq!(documents[1]["fault"], true);
    let exceptions = documents[1]["cause"]["exceptions"].as_array().unwrap();
    assert_eq!(exceptions.len(), 1, "{}", documents[1]);
    assert_eq!(exceptions[0]["message"], "refused");
    // The layers beside the tracer see these events as ever.
    assert_eq!(output.lines().len(), 4);
}

#[tokio::test]
async fn a_filter_for_the_whole_subscriber_has_to_let_the_handlers_span_through() {
    let daemon = Daemon::start();
    let own = Targets::new().with_target("trace", Level::DEBUG);
    for (filter, sent) in [
        (own.clone(), 0),
        (own.with_target("powertools", Level::ERROR), 2),
    ] {
        let _guard = subscriber::registry()
            .with(filter)
            .with(daemon.tracer().subscriber_layer())
            .set_default();
        let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
            ok().instrument(info_span!("inner"))
        }));
        service.oneshot(event(SAMPLED)).await.unwrap();
        assert_eq!(daemon.documents().len(), sent);
    }
}

#[tokio::test]
async fn annotations_and_metadata_go_to_the_nearest_span_that_is_sent() {
    let documents = trace(SAMPLED, || async {
        trace::annotate("OrderId", "a1");
        trace::annotate("Items", 3_usize);
        trace::annotate("Huge", u64::MAX);
        info_span!("inner", annotation.paid = true, metadata.note = "by card").in_scope(|| {
            debug_span!("below").in_scope(|| {
                trace::annotate("total", 12.5);
                trace::add_metadata("basket", json!({"items": [1, 2]}));
                trace::add_metadata("unserialisable", Unserialisable);
            });
        });
        Ok::<_, Infallible>(())
    })
    .await;
    let handler = named(&documents, "## my-function");
    assert_eq!(handler["annotations"]["OrderId"], "a1");
    assert_eq!(handler["annotations"]["Items"], 3);
    assert_eq!(handler["annotations"]["Huge"], u64::MAX as f64);
    let inner = named(&documents, "inner");
    assert_eq!(inner["annotations"], json!({"paid": true, "total": 12.5}));
    assert_eq!(
        inner["metadata"],
        json!({"orders": {"note": "by card", "basket": {"items": [1, 2]}}})
    );
}

#[tokio::test]
async fn unsigned_fields_are_numbers_and_digits_in_a_text_are_not() {
    let documents = trace(SAMPLED, || async {
        let items = [(); 3];
        let span = info_span!(
            "inner",
            annotation.items = items.len(),
            annotation.order = "3",
            huge = u64::MAX,
            annotation.later = tracing::field::Empty,
        );
        span.record("annotation.later", 7_u32);
        drop(span);
        info_span!("other", annotation.items = "3", annotation.later = "7").in_scope(|| {});
        Ok::<_, Infallible>(())
    })
    .await;
    let inner = named(&documents, "inner");
    assert_eq!(
        inner["annotations"],
        json!({"items": 3, "order": "3", "later": 7})
    );
    assert_eq!(inner["metadata"]["default"]["huge"], u64::MAX as f64);
    assert_eq!(
        named(&documents, "other")["annotations"],
        json!({"items": "3", "later": "7"})
    );
}

#[tokio::test]
async fn a_span_that_was_not_sent_leaves_no_numbers_behind() {
    let documents = trace(SAMPLED, || async {
        let span = info_span!("message", annotation.items = 3_u64);
        span.continue_trace(&UNSAMPLED.parse().unwrap());
        drop(span);
        trace::annotate("items", "3");
        Ok::<_, Infallible>(())
    })
    .await;
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["annotations"]["items"], "3");
}

struct Unserialisable;

impl serde::Serialize for Unserialisable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[tokio::test]
async fn an_oversized_span_loses_its_metadata_or_itself_but_no_sibling() {
    let documents = trace(SAMPLED, || async {
        info_span!("before").in_scope(|| {});
        info_span!("trimmed", annotation.kept = 1)
            .in_scope(|| trace::add_metadata("body", "x".repeat(70_000)));
        info_span!("dropped").in_scope(|| {
            for number in 0..50 {
                trace::annotate(&format!("k{number}"), "\u{1}".repeat(1000));
            }
        });
        info_span!("after").in_scope(|| {});
        Ok::<_, Infallible>(())
    })
    .await;
    let names: Vec<_> = documents.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["before", "trimmed", "after", "## my-function"]);
    assert_eq!(documents[1]["annotations"], json!({"kept": 1}));
    assert_eq!(documents[1].get("metadata"), None);
}

#[tokio::test]
async fn the_level_bounds_spans_but_not_the_handlers_own() {
    let daemon = Daemon::start();
    let spans = || async {
        debug_span!("debug").in_scope(|| info_span!("info").in_scope(|| {}));
        Ok::<_, Infallible>(())
    };
    for (level, names) in [
        (Level::ERROR, vec!["## my-function"]),
        (Level::INFO, vec!["info", "## my-function"]),
        (Level::DEBUG, vec!["info", "debug", "## my-function"]),
    ] {
        let _guard = subscriber::registry()
            .with(daemon.tracer().level(level).subscriber_layer())
            .set_default();
        let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| spans()));
        service.oneshot(event(SAMPLED)).await.unwrap();
        let documents = daemon.documents();
        let sent: Vec<_> = documents
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(sent, names);
    }
}

#[tokio::test]
async fn two_hundred_concurrent_invocations_never_mix() {
    const INVOCATIONS: usize = 200;

    let daemon = Rc::new(Daemon::start());
    let _guard = daemon.listen();
    let received = Rc::new(RefCell::new(Vec::new()));
    let all_running = Arc::new(Barrier::new(INVOCATIONS));
    let service = {
        let (daemon, received) = (Rc::clone(&daemon), Rc::clone(&received));
        ServiceBuilder::new().layer(TraceLayer::new()).service_fn(
            move |event: LambdaEvent<usize>| {
                let (daemon, received) = (Rc::clone(&daemon), Rc::clone(&received));
                let all_running = Arc::clone(&all_running);
                async move {
                    let number = event.payload as i64;
                    trace::annotate("number", number);
                    let work = async {
                        all_running.wait().await;
                        trace::annotate("number", number);
                        tokio::task::yield_now().await;
                        TraceHeader::current().unwrap().root()
                    };
                    let root = work.instrument(info_span!("work")).await;
                    assert_eq!(root, self::root(event.payload));
                    // So that the socket's buffer never runs over.
                    received.borrow_mut().extend(daemon.documents());
                    Ok::<_, Infallible>(())
                }
            },
        )
    };
    let local = tokio::task::LocalSet::new();
    for number in 0..INVOCATIONS {
        let mut context = context(format!("request-{number}"));
        let root = root(number);
        context.xray_trace_id = Some(format!("Root={root};Parent={PARENT};Sampled=1"));
        let call = service.clone().oneshot(LambdaEvent::new(number, context));
        local.spawn_local(async { call.await.unwrap() });
    }
    local.await;
    received.borrow_mut().extend(daemon.documents());

    let documents = received.borrow();
    assert_eq!(documents.len(), 2 * INVOCATIONS);
    for number in 0..INVOCATIONS {
        let root = root(number);
        let own: Vec<_> = documents
            .iter()
            .filter(|it| it["trace_id"] == root)
            .collect();
        assert_eq!(own.len(), 2);
        assert!(own.iter().all(|it| it["annotations"]["number"] == number));
        assert_eq!(own[0]["name"], "work");
        assert_eq!(own[0]["parent_id"], own[1]["id"]);
        assert_eq!(own[1]["parent_id"], PARENT);
    }
}

fn root(number: usize) -> String {
    format!("1-5759e988-{:024x}", number + 1)
}

#[tokio::test]
async fn the_current_header_names_the_current_span() {
    let documents = trace(SAMPLED, || async {
        let header = |span: Span| span.in_scope(|| TraceHeader::current().unwrap().to_string());
        let outer = header(Span::current());
        let inner = header(info_span!("inner"));
        trace::add_metadata("headers", [outer, inner]);
        Ok::<_, Infallible>(())
    })
    .await;
    let handler = named(&documents, "## my-function");
    let header = |document: &Value| {
        let id = document["id"].as_str().unwrap();
        format!("Root={ROOT};Parent={id};Sampled=1")
    };
    assert_eq!(
        handler["metadata"]["orders"]["headers"],
        json!([header(handler), header(named(&documents, "inner"))])
    );
}

#[tokio::test]
async fn an_unsampled_header_is_passed_on() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    for (header, passed_on) in [(Some(UNSAMPLED), Some(UNSAMPLED)), (None, None)] {
        let service =
            ServiceBuilder::new()
                .layer(TraceLayer::new())
                .service_fn(|_: LambdaEvent<()>| async {
                    let current = || TraceHeader::current().map(|it| it.to_string());
                    Ok::<_, Infallible>([current(), info_span!("inner").in_scope(current)])
                });
        let headers = service.oneshot(event(header)).await.unwrap();
        assert_eq!(headers.map(|it| it.as_deref() == passed_on), [true, true]);
    }
}

/// Handles one message as a consumer does, and returns the header inside its span.
fn consume(header: &str) -> String {
    let span = info_span!("message");
    span.continue_trace(&header.parse().unwrap());
    span.in_scope(|| {
        info_span!("projection").in_scope(|| {});
        TraceHeader::current().unwrap().to_string()
    })
}

#[tokio::test]
async fn a_message_continues_its_producers_trace_and_links_to_the_invocation() {
    let documents = trace(SAMPLED, || async {
        assert!(consume(PRODUCER).starts_with("Root=1-5759e989-000000000000000000000001;"));
        Ok::<_, Infallible>(())
    })
    .await;
    let handler = named(&documents, "## my-function");
    assert_eq!(handler["trace_id"], ROOT);
    let message = named(&documents, "message");
    assert_eq!(message["trace_id"], "1-5759e989-000000000000000000000001");
    assert_eq!(message["annotations"], json!({"Service": "orders"}));
    let segment = named(&documents, "my-function");
    assert_eq!(message["parent_id"], segment["id"]);
    assert_eq!(segment["parent_id"], "00000000000000ab");
    assert_eq!(segment.get("type"), None);
    assert_eq!(
        segment["links"],
        json!([{"trace_id": ROOT, "id": handler["id"]}])
    );
    let projection = named(&documents, "projection");
    assert_eq!(projection["trace_id"], message["trace_id"]);
    assert_eq!(projection["parent_id"], message["id"]);
    assert_eq!(projection.get("links"), None);
}

#[tokio::test]
async fn the_messages_header_decides_whether_its_span_is_sent() {
    let documents = trace(UNSAMPLED, || async {
        consume(PRODUCER);
        Ok::<_, Infallible>(())
    })
    .await;
    assert_eq!(documents.len(), 3);
    assert_eq!(named(&documents, "my-function").get("links"), None);

    let documents = trace(SAMPLED, || async {
        let inside = consume(&PRODUCER.replace("Sampled=1", "Sampled=0"));
        assert!(inside.starts_with("Root=1-5759e989-000000000000000000000001;"));
        assert!(inside.ends_with(";Sampled=0"));
        Ok::<_, Infallible>(())
    })
    .await;
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["name"], "## my-function");
}

#[tokio::test]
async fn a_message_that_names_no_span_stays_in_the_invocations_trace() {
    let documents = trace(SAMPLED, || async {
        consume("Root=1-5759e989-000000000000000000000001;Sampled=1");
        Ok::<_, Infallible>(())
    })
    .await;
    let message = named(&documents, "message");
    assert_eq!(message["trace_id"], ROOT);
    assert_eq!(message.get("links"), None);
}

#[tokio::test]
async fn a_message_of_the_invocations_own_trace_has_no_link() {
    let documents = trace(SAMPLED, || async {
        consume(SAMPLED);
        Ok::<_, Infallible>(())
    })
    .await;
    let message = named(&documents, "message");
    assert_eq!(message["parent_id"], PARENT);
    assert_eq!(message.get("links"), None);
}

#[tokio::test]
async fn a_layer_inside_another_makes_a_child() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .layer(TraceLayer::new().name("inner"))
        .service_fn(|_: LambdaEvent<()>| ok());
    service.oneshot(event(SAMPLED)).await.unwrap();
    let documents = daemon.documents();
    let (inner, outer) = (
        named(&documents, "## inner"),
        named(&documents, "## my-function"),
    );
    assert_eq!(inner["parent_id"], outer["id"]);
}

#[tokio::test]
async fn a_spawned_task_belongs_to_its_span() {
    let documents = trace(SAMPLED, || async {
        let traced = async {}.instrument(info_span!("traced"));
        let untraced = async { info_span!("untraced").in_scope(|| {}) };
        tokio::spawn(traced).await.unwrap();
        tokio::spawn(untraced).await.unwrap();
        Ok::<_, Infallible>(())
    })
    .await;
    assert_eq!(documents.len(), 2);
    let handler = named(&documents, "## my-function");
    assert_eq!(named(&documents, "traced")["parent_id"], handler["id"]);
}

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_request_is_traced_by_the_context_that_it_carries() {
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service_fn(|_: http::Request<()>| ok());
    let mut request = http::Request::new(());
    service.clone().oneshot(request.clone()).await.unwrap();
    assert!(daemon.documents().is_empty());

    request.extensions_mut().insert(event(SAMPLED).context);
    service.oneshot(request).await.unwrap();
    assert_eq!(daemon.documents()[0]["parent_id"], PARENT);
}

#[tokio::test]
async fn the_handler_finds_its_invocation() {
    let request_id = || Invocation::current().unwrap().context().request_id.clone();
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        let in_call = request_id();
        async move { Ok::<_, Infallible>([in_call, request_id()]) }
    }));
    for header in [SAMPLED, UNSAMPLED] {
        let request_ids = service.clone().oneshot(event(header)).await.unwrap();
        assert_eq!(request_ids, ["52fdfc07", "52fdfc07"]);
    }
}

#[tokio::test]
async fn the_service_is_ready_when_the_handler_is() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<LambdaEvent<()>, (), _>(TraceLayer::new());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
}

#[test]
fn the_types_can_be_shared_and_cloned() {
    fn assert_shareable<T: Send + Sync + Clone + fmt::Debug + 'static>(_: &T) {}

    fn assert_sent<T: Send + Sync>(_: &T) {}

    let tracer = Tracer::from_env(&Env::default());
    assert_shareable(&tracer);
    assert_sent(&tracer.subscriber_layer::<Registry>());
    assert_shareable(&TraceLayer::new().name("place_order"));
    assert_shareable(&TraceLayer::new().layer(0));
    assert_shareable(&SAMPLED.parse::<TraceHeader>().unwrap());
}

#[test]
fn the_stack_is_what_the_runtime_asks_for() {
    async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
        Ok(event.payload)
    }

    let service = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service(service_fn(handler));
    drop(lambda_runtime::run(service.clone()));
    drop(lambda_runtime::run_concurrent(service));
}

/// A layer that writes the fields of each event as a line.
struct Lines(Captured);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Visitor(String);

        impl tracing::field::Visit for Visitor {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }

        let mut line = Visitor(String::new());
        event.record(&mut line);
        io::Write::write_fmt(&mut self.0.clone(), format_args!("{}\n", line.0)).unwrap();
    }
}
