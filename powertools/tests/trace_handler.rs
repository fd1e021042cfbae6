//! What a trace shows of a handler: its outcome, its error and its response.
#![cfg(all(feature = "testing", feature = "trace"))]

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    classify::Outcome,
    env,
    testing::{Captured, context},
    trace::{self, SpanExt, TraceHeader, TraceLayer},
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::{Instrument, Span, error, info_span, instrument::WithSubscriber};
use tracing_subscriber::prelude::*;

mod daemon;
mod subscriber;

use daemon::{
    Daemon, PARENT, ROOT, SAMPLED, UNSAMPLED, catch_panic, documents_of, event, layer, named,
};

const SECRET: &str = "4111111111111111";

#[derive(Debug, thiserror::Error)]
#[error("payment refused")]
struct Refused(#[source] io::Error);

fn refused() -> Error {
    Refused(io::Error::other("connection reset")).into()
}

/// Runs one invocation of `service` and returns the handler's document.
async fn document<S, T>(service: S, payload: T) -> Value
where
    S: Service<LambdaEvent<T>>,
{
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let _ = service.oneshot(event(payload, SAMPLED)).await;
    let mut documents = daemon.documents();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn flags(document: &Value) -> [bool; 3] {
    ["error", "throttle", "fault"].map(|flag| document.get(flag).is_some_and(|it| it == true))
}

#[tokio::test]
async fn an_error_is_also_metadata_under_the_handlers_name() {
    let service = layer()
        .name("place_order")
        .layer(service_fn(|_: LambdaEvent<()>| async {
            Err::<(), _>(refused())
        }));
    let document = document(service, ()).await;
    assert_eq!(
        document["metadata"],
        json!({"orders": {"place_order error": {
            "type": "Error", "message": "payment refused", "causes": ["connection reset"],
        }}})
    );
    assert_eq!(flags(&document), [false, false, true]);
    assert_eq!(
        document["cause"]["exceptions"][0]["message"],
        "payment refused"
    );
}

#[tokio::test]
async fn an_error_that_is_not_captured_leaves_its_flag_and_no_word() {
    for (variable, code, is_captured) in [
        (None, None, true),
        (Some("false"), None, false),
        (Some("true"), None, true),
        (Some("maybe"), None, true),
        (Some("false"), Some(true), true),
        (Some("true"), Some(false), false),
    ] {
        let env: Env = variable
            .map(|it| (env::TRACER_CAPTURE_ERROR, it))
            .into_iter()
            .collect();
        let mut layer = TraceLayer::from_env(&env);
        if let Some(code) = code {
            layer = layer.capture_error(code);
        }
        let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
            Err::<(), _>(Error::from(format!("card {SECRET} refused")))
        }));
        let document = document(service, ()).await;
        assert_eq!(flags(&document), [false, false, true]);
        let text = document.to_string();
        assert_eq!(text.contains(SECRET), is_captured, "{variable:?} {code:?}");
        assert_eq!(document.get("cause").is_some(), is_captured);
        assert_eq!(document.get("metadata").is_some(), is_captured);
    }
}

#[tokio::test]
async fn a_panic_and_a_cancellation_are_told_whatever_is_captured() {
    async fn panics() -> Result<(), Infallible> {
        panic!("card {SECRET}")
    }

    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let layer = layer().capture_error(false);
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| panics()));
    let mut call = Box::pin(service.oneshot(event((), SAMPLED)));
    assert!(catch_panic(&mut call).await);
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| {
        std::future::pending::<Result<(), Infallible>>()
    }));
    let mut call = Box::pin(service.oneshot(event((), SAMPLED)));
    std::future::poll_fn(|cx| {
        assert!(call.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(call);

    let documents = daemon.documents();
    for (document, kind) in documents.iter().zip(["panic", "cancelled"]) {
        assert_eq!(flags(document), [false, false, true]);
        assert_eq!(document["cause"]["exceptions"][0]["type"], kind);
        assert!(!document.to_string().contains(SECRET));
    }
    assert_eq!(documents.len(), 2);
}

#[tokio::test]
async fn a_classifier_says_whose_mistake_it_was() {
    for (outcome, expected) in [
        (Outcome::Success, [false, false, false]),
        (Outcome::Error, [true, false, false]),
        (Outcome::Throttle, [true, true, false]),
        (Outcome::Fault, [false, false, true]),
    ] {
        let layer = layer().classify_with(move |_: Result<&u8, &Error>| outcome);
        let service = layer.layer(service_fn(|event: LambdaEvent<bool>| async move {
            if event.payload { Ok(1) } else { Err(refused()) }
        }));
        let answered = document(service.clone(), true).await;
        assert_eq!(flags(&answered), expected);
        assert_eq!(answered.get("cause"), None);

        let failed = document(service, false).await;
        assert_eq!(flags(&failed), expected);
        // What counts as a success has no error to show.
        let is_shown = outcome != Outcome::Success;
        assert_eq!(failed.get("cause").is_some(), is_shown);
        assert_eq!(failed.get("metadata").is_some(), is_shown);
    }
}

#[tokio::test]
async fn a_classifier_is_asked_for_sampled_traces_only() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let layer = layer().classify_with(move |_: Result<&(), &Infallible>| {
        count.fetch_add(1, Ordering::Relaxed);
        Outcome::Success
    });
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async { Ok(()) }));
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    for (header, times) in [(UNSAMPLED, 0), (SAMPLED, 1)] {
        service.clone().oneshot(event((), header)).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), times);
    }
}

#[tokio::test]
async fn a_span_says_how_its_own_work_ended() {
    let documents = documents_of(SAMPLED, || async {
        for (name, outcomes) in [
            ("none", &[][..]),
            ("error", &[Outcome::Error]),
            ("throttle", &[Outcome::Throttle]),
            ("fault", &[Outcome::Fault]),
            ("last", &[Outcome::Fault, Outcome::Throttle, Outcome::Error]),
            ("mended", &[Outcome::Fault, Outcome::Success]),
        ] {
            let span = info_span!("work", otel.name = name);
            for outcome in outcomes {
                span.record_outcome(*outcome);
                // Before and after the span has started.
                span.in_scope(|| {});
            }
        }
        info_span!("told", otel.name = "retried").in_scope(|| {
            error!("first try failed");
            Span::current().record_outcome(Outcome::Success);
        });
        Ok::<_, Infallible>(())
    })
    .await;
    for (name, expected) in [
        ("none", [false, false, false]),
        ("error", [true, false, false]),
        ("throttle", [true, true, false]),
        ("fault", [false, false, true]),
        ("last", [true, false, false]),
        ("mended", [false, false, false]),
        ("retried", [false, false, false]),
    ] {
        let document = named(&documents, name);
        assert_eq!(flags(document), expected, "{document}");
        assert_eq!(document.get("metadata"), None, "{document}");
    }
    let told = &named(&documents, "retried")["cause"]["exceptions"][0]["message"];
    assert_eq!(told, "first try failed");
}

#[tokio::test]
async fn what_the_handler_says_of_its_span_stays_until_its_result_says_worse() {
    for (is_ok, expected) in [(true, [true, false, false]), (false, [false, false, true])] {
        let service = layer().layer(service_fn(|_: LambdaEvent<()>| async move {
            Span::current().record_outcome(Outcome::Error);
            if is_ok { Ok(()) } else { Err("refused") }
        }));
        assert_eq!(flags(&document(service, ()).await), expected);
    }
}

async fn response_document<R: Serialize>(env: Env, response: impl Fn() -> R) -> Value {
    let layer = TraceLayer::from_env(&env)
        .name("place_order")
        .capture_response();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        Ok::<_, Infallible>(response())
    }));
    document(service, ()).await
}

#[tokio::test]
async fn a_response_is_captured_when_it_is_asked_for() {
    let response = || json!({"order": "a1", "card": SECRET});
    let document = response_document(Env::default(), response).await;
    assert_eq!(
        document["metadata"],
        json!({"orders": {"place_order response": {"order": "a1", "card": SECRET}}})
    );
}

#[tokio::test]
async fn a_response_is_no_metadata_unless_it_is_asked_for_and_allowed() {
    let response = || json!({"card": SECRET});
    for value in ["false", "0", "no"] {
        let env = Env::from([(env::TRACER_CAPTURE_RESPONSE, value)]);
        assert_eq!(response_document(env, response).await.get("metadata"), None);
    }

    let env = Env::from([(env::TRACER_CAPTURE_RESPONSE, "true")]);
    let layer = TraceLayer::from_env(&env);
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        Ok::<_, Infallible>(response())
    }));
    assert_eq!(document(service, ()).await.get("metadata"), None);
}

#[tokio::test]
async fn a_response_without_anything_in_it_is_not_stored() {
    assert_eq!(
        response_document(Env::default(), || ())
            .await
            .get("metadata"),
        None
    );
    let nothing = || None::<u8>;
    assert_eq!(
        response_document(Env::default(), nothing)
            .await
            .get("metadata"),
        None
    );
    // Empty is not nothing.
    let document = response_document(Env::default(), Vec::<u8>::new).await;
    assert_eq!(
        document["metadata"]["orders"]["place_order response"],
        json!([])
    );
}

/// Runs an invocation whose response is captured, and returns its document and what was logged.
async fn warned<R: Serialize + 'static>(response: fn() -> R) -> (Value, Vec<String>) {
    let daemon = Daemon::start();
    let output = Captured::default();
    let _guard = subscriber::registry()
        .with(daemon.tracer().subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    let service = layer()
        .capture_response()
        .layer(service_fn(|_: LambdaEvent<()>| async move {
            Ok::<_, Infallible>(response())
        }));
    assert!(service.oneshot(event((), SAMPLED)).await.is_ok());
    (daemon.documents().remove(0), output.lines())
}

#[tokio::test]
async fn a_response_that_is_too_large_is_left_out_with_one_warning() {
    let (fits, lines) = warned(|| "x".repeat(16 * 1024 - 2)).await;
    assert!(fits.get("metadata").is_some());
    assert!(lines.is_empty(), "{lines:?}");

    for response in [
        || json!("x".repeat(16 * 1024 - 1)),
        || json!({"order": "a1", "items": vec![0_u8; 50_000_000 / 100]}),
    ] {
        let (document, lines) = warned(response).await;
        assert_eq!(document.get("metadata"), None);
        assert_eq!(flags(&document), [false; 3]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("too large"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_serialised_costs_a_warning_and_nothing_else() {
    struct Unserialisable;

    impl Serialize for Unserialisable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    let (document, lines) = warned(|| Unserialisable).await;
    assert_eq!(document.get("metadata"), None);
    assert_eq!(flags(&document), [false; 3]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("could not be serialised"), "{lines:?}");
}

#[tokio::test]
async fn a_panic_of_what_shows_the_answer_is_one_of_the_handler() {
    struct Panics;

    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("no")
        }
    }

    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = layer()
        .capture_response()
        .layer(service_fn(|_: LambdaEvent<()>| async {
            Ok::<_, Infallible>(Panics)
        }));
    let mut call = Box::pin(service.oneshot(event((), SAMPLED)));
    assert!(catch_panic(&mut call).await);
    drop(call);
    let documents = daemon.documents();
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["cause"]["exceptions"][0]["type"], "panic");
}

#[cfg(feature = "decode")]
#[tokio::test]
async fn an_error_is_told_through_the_errors_of_other_layers() {
    use powertools::decode::DecodeError;

    async fn exception<E: fmt::Debug + 'static>(error: fn() -> E) -> Value {
        let mut documents = documents_of(SAMPLED, || async { Err::<(), _>(error()) }).await;
        documents[0]["cause"]["exceptions"][0].take()
    }

    let bare = exception(refused).await;
    let wrapped = exception(|| DecodeError::Handler(refused())).await;
    assert_eq!(wrapped["message"], "payment refused");
    assert_eq!(wrapped["type"], bare["type"]);
    assert!(wrapped["cause"].is_string());
    let text = exception(|| DecodeError::Handler("refused".to_owned())).await;
    assert_eq!(
        (&text["type"], &text["message"]),
        (&json!("Error"), &json!("refused"))
    );
    let io = exception(|| DecodeError::Handler(io::Error::other("full"))).await;
    assert_eq!(io["type"], "std::io::error::Error");
    let own = exception(|| DecodeError::Handler(card_refused())).await;
    assert_eq!(own["type"], format!("DecodeError<{OF_CARD_REFUSED}>"));

    let service = tower::ServiceBuilder::new()
        .layer(layer())
        .layer(powertools::decode::DecodeLayer::<u8>::new())
        .service_fn(|_: LambdaEvent<u8>| async { Ok::<_, Error>(()) });
    let raw = serde_json::value::RawValue::from_string(format!("\"{SECRET}\"")).unwrap();
    let document = document(service, raw).await;
    let exception = &document["cause"]["exceptions"][0];
    assert_eq!(exception["type"], "DecodeError");
    assert!(
        exception["message"]
            .as_str()
            .unwrap()
            .starts_with("cannot decode the event")
    );
    assert!(!document.to_string().contains(SECRET), "{document}");
}

/// An error whose fields only `Debug` shows.
#[derive(Debug, thiserror::Error)]
#[error("card refused")]
struct CardRefused {
    card: &'static str,
    source: io::Error,
}

fn card_refused() -> CardRefused {
    CardRefused {
        card: SECRET,
        source: io::Error::other("connection reset"),
    }
}

const OF_CARD_REFUSED: &str = "trace_handler::CardRefused";

#[tokio::test]
async fn of_an_error_of_an_unknown_type_the_name_is_shown_and_never_its_debug_text() {
    let service = layer().layer(service_fn(|_: LambdaEvent<()>| async {
        Err::<(), _>(card_refused())
    }));
    let document = document(service, ()).await;
    let exception = &document["cause"]["exceptions"][0];
    assert_eq!(exception["type"], OF_CARD_REFUSED);
    assert_eq!(
        exception["message"],
        "not shown here, see the log of the function"
    );
    assert_eq!(flags(&document), [false, false, true]);
    assert!(!document.to_string().contains(SECRET), "{document}");
}

#[tokio::test]
async fn an_error_of_an_unknown_type_has_its_message_and_sources_where_that_is_asked_for() {
    for is_captured in [true, false] {
        let layer = layer().capture_source().capture_error(is_captured);
        let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
            Err::<(), _>(card_refused())
        }));
        let document = document(service, ()).await;
        assert_eq!(document.get("cause").is_some(), is_captured);
        assert!(!document.to_string().contains(SECRET), "{document}");
        if is_captured {
            assert_eq!(
                document["metadata"],
                json!({"orders": {"my-function error": {
                    "type": OF_CARD_REFUSED, "message": "card refused",
                    "causes": ["connection reset"],
                }}})
            );
        }
    }
    // Next to what else is shown, and for an error that is known better.
    let layer = layer().capture_response().capture_source();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| async {
        Err::<(), _>(io::Error::other("full"))
    }));
    let document = document(service, ()).await;
    let exception = &document["cause"]["exceptions"][0];
    assert_eq!(exception["type"], "std::io::error::Error");
    assert_eq!(exception["message"], "full");
}

#[cfg(feature = "deadline")]
#[tokio::test(start_paused = true)]
async fn an_error_of_an_unknown_type_is_not_taken_for_that_of_the_layer_around_it() {
    use powertools::deadline::DeadlineLayer;

    async fn exception(answers: bool, is_captured: bool) -> Value {
        let deadline = DeadlineLayer::from_env(&Env::default()).cut_off();
        let handler = service_fn(move |_: LambdaEvent<()>| async move {
            if !answers {
                std::future::pending::<()>().await;
            }
            Err::<(), _>(card_refused())
        });
        let mut document = if is_captured {
            let service = layer().capture_source().layer(deadline.layer(handler));
            document_with_progress(service).await
        } else {
            document_with_progress(layer().layer(deadline.layer(handler))).await
        };
        document["cause"]["exceptions"][0].take()
    }

    /// Returns the handler's document, without that of its progress.
    async fn document_with_progress<S: Service<LambdaEvent<()>>>(service: S) -> Value {
        let daemon = Daemon::start();
        let _guard = daemon.listen();
        let _ = service.oneshot(event((), SAMPLED)).await;
        let mut documents = daemon.documents();
        documents.retain(|document| document.get("end_time").is_some());
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents.remove(0)
    }

    for is_captured in [false, true] {
        let exceeded = exception(false, is_captured).await;
        assert_eq!(exceeded["type"], "DeadlineError");
        let message = exceeded["message"].as_str().unwrap();
        assert!(
            message.starts_with("the handler had not answered"),
            "{message}"
        );
        let own = exception(true, is_captured).await;
        assert_eq!(own["type"], OF_CARD_REFUSED);
    }
}

#[tokio::test]
async fn the_errors_own_diagnostic_passes_untouched() {
    let diagnostic = || Diagnostic {
        error_type: "orders.Refused".to_owned(),
        error_message: "refused".to_owned(),
    };
    let service = layer().layer(service_fn(|_: LambdaEvent<()>| async {
        Err::<(), _>(diagnostic())
    }));
    let error = service.oneshot(event((), SAMPLED)).await.unwrap_err();
    assert_eq!(error, diagnostic());
}

/// A collector of OTLP that takes its time, and says when it has got something.
#[cfg(feature = "trace-otlp")]
mod collector {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
        time::Duration,
    };

    use powertools::{
        Env, env,
        trace::{TraceLayer, Tracer},
    };
    use tracing_subscriber::prelude::*;

    use super::*;

    fn start() -> (String, Arc<AtomicBool>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let received = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&received);
        thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            thread::sleep(Duration::from_millis(50));
            assert!(connection.read(&mut [0; 1 << 16]).unwrap() > 0);
            flag.store(true, Ordering::SeqCst);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            let _ = connection.read(&mut [0; 1]);
        });
        (endpoint, received)
    }

    #[tokio::test]
    async fn the_answer_waits_for_spans_that_leave_over_http() {
        let (endpoint, received) = start();
        let env = Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::OTLP_TRACES_ENDPOINT, &endpoint),
        ]);
        let _guard = subscriber::registry()
            .with(Tracer::from_env(&env).subscriber_layer())
            .set_default();
        for (header, waits) in [(UNSAMPLED, false), (SAMPLED, true)] {
            let service =
                TraceLayer::from_env(&env).layer(service_fn(|_: LambdaEvent<()>| async {
                    Ok::<_, Infallible>(7)
                }));
            assert_eq!(service.oneshot(event((), header)).await, Ok(7));
            assert_eq!(received.load(Ordering::SeqCst), waits);
        }
    }

    #[tokio::test]
    async fn spans_of_a_handler_that_was_dropped_leave_by_themselves() {
        let (endpoint, received) = start();
        let env = Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::OTLP_TRACES_ENDPOINT, &endpoint),
        ]);
        let _guard = subscriber::registry()
            .with(Tracer::from_env(&env).subscriber_layer())
            .set_default();
        let service = TraceLayer::from_env(&env).layer(service_fn(|_: LambdaEvent<()>| {
            std::future::pending::<Result<(), Infallible>>()
        }));
        let call = service.oneshot(event((), SAMPLED));
        assert!(
            tokio::time::timeout(Duration::from_millis(1), call)
                .await
                .is_err()
        );
        for _ in 0..500 {
            if received.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing came");
    }
}

const PRODUCER: &str = "Root=1-5759e989-000000000000000000000001;Parent=00000000000000ab;Sampled=1";

#[tokio::test]
async fn a_span_links_to_any_number_of_others() {
    let documents = documents_of(SAMPLED, || async {
        let span = info_span!("window");
        for header in [
            PRODUCER,
            "Root=1-5759e989-000000000000000000000002;Parent=00000000000000ac;Sampled=1",
            // Not sampled, and without a span: nothing is there to link to.
            "Root=1-5759e989-000000000000000000000003;Parent=00000000000000ad;Sampled=0",
            "Root=1-5759e989-000000000000000000000004;Parent=00000000000000ae",
            "Root=1-5759e989-000000000000000000000005;Sampled=1",
        ] {
            span.link_to(&header.parse().unwrap());
            // Also once the span has started.
            span.in_scope(|| {});
        }
        Ok::<_, Infallible>(())
    })
    .await;
    assert_eq!(
        named(&documents, "window")["links"],
        json!([
            {"trace_id": "1-5759e989-000000000000000000000001", "id": "00000000000000ab"},
            {"trace_id": "1-5759e989-000000000000000000000002", "id": "00000000000000ac"},
        ])
    );
}

#[tokio::test]
async fn a_trace_that_is_taken_over_goes_on_in_a_segment_of_this_function() {
    let documents = documents_of(SAMPLED, || async {
        let span = info_span!("message");
        span.continue_trace(&PRODUCER.parse().unwrap());
        span.in_scope(|| {});
        Ok::<_, Infallible>(())
    })
    .await;
    let handler = named(&documents, "## my-function");
    let message = named(&documents, "message");
    let id = &message["parent_id"];
    let segment = documents.iter().find(|it| it["id"] == *id).unwrap();
    // A subsegment would pass for work of the producer.
    assert_eq!(segment.get("type"), None, "{segment}");
    assert_eq!(segment["parent_id"], "00000000000000ab");
    assert_eq!(segment["trace_id"], "1-5759e989-000000000000000000000001");
    assert_eq!(
        segment["links"],
        json!([{"trace_id": ROOT, "id": handler["id"]}])
    );
}

#[tokio::test]
async fn a_trace_that_is_this_functions_already_goes_on_without_a_segment() {
    let documents = documents_of(SAMPLED, || async {
        // As the header of the invocation says, and as the span around does.
        let headers = [SAMPLED.parse().unwrap(), TraceHeader::current().unwrap()];
        let around = info_span!("elsewhere");
        let inner = around.in_scope(|| TraceHeader::current().unwrap());
        for header in &headers {
            let span = info_span!("own");
            span.continue_trace(header);
        }
        around.in_scope(|| {
            let span = info_span!("inside");
            span.continue_trace(&inner);
        });
        Ok::<_, Infallible>(())
    })
    .await;
    assert!(
        documents
            .iter()
            .all(|it| it["type"] == "subsegment" && it["trace_id"] == ROOT),
        "{documents:?}"
    );
    let inside = named(&documents, "inside");
    assert_eq!(inside["parent_id"], named(&documents, "elsewhere")["id"]);
}

/// A tool for batches, in small: every record is a request of the service inside.
async fn per_record<S>(service: S, records: Vec<LambdaEvent<String>>) -> Vec<Result<(), S::Error>>
where
    S: Service<LambdaEvent<String>, Response = ()> + Clone,
{
    let mut running: Vec<_> = records
        .into_iter()
        .map(|record| {
            let span = info_span!("record");
            span.continue_trace(&record.payload.parse().unwrap());
            Box::pin(service.clone().oneshot(record).instrument(span))
        })
        .collect();
    // All at once, in turns.
    let mut results = Vec::new();
    std::future::poll_fn(|cx| {
        running.retain_mut(|it| match it.as_mut().poll(cx) {
            Poll::Ready(result) => {
                results.push(result);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results
}

#[tokio::test]
async fn each_record_of_a_batch_is_traced_where_its_own_header_says() {
    const RECORDS: usize = 20;

    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = layer().layer(service_fn(|event: LambdaEvent<()>| async move {
        let records = (0..RECORDS).map(|number| {
            let sampled = u8::from(number % 2 == 0);
            let header = format!(
                "Root={};Parent={number:016x};Sampled={sampled}",
                root(number)
            );
            LambdaEvent::new(
                header.replace("Parent=0000000000000000", "Parent=00000000000000ff"),
                event.context.clone(),
            )
        });
        let project = service_fn(|record: LambdaEvent<String>| async move {
            let before = TraceHeader::current().unwrap();
            tokio::task::yield_now().await;
            info_span!("project").in_scope(|| {});
            assert_eq!(TraceHeader::current(), Some(before.clone()));
            assert!(
                record
                    .payload
                    .starts_with(&format!("Root={}", before.root()))
            );
            Ok::<_, Infallible>(())
        });
        assert_eq!(per_record(project, records.collect()).await.len(), RECORDS);
        Ok::<_, Infallible>(())
    }));
    service.oneshot(event((), SAMPLED)).await.unwrap();

    let documents = daemon.documents();
    let handler = named(&documents, "## my-function");
    for number in 0..RECORDS {
        let own: Vec<_> = documents
            .iter()
            .filter(|it| it["trace_id"] == root(number))
            .collect();
        if number % 2 == 1 {
            assert!(own.is_empty(), "{own:?}");
            continue;
        }
        let find = |name| own.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(find("project")["parent_id"], find("record")["id"]);
        // Whichever of the documents it is on: there is one link, to the invocation.
        let links: Vec<_> = own.iter().filter_map(|it| it.get("links")).collect();
        assert_eq!(links, [&json!([{"trace_id": ROOT, "id": handler["id"]}])]);
    }
}

fn root(number: usize) -> String {
    format!("1-5759e988-{:024x}", number + 1)
}

#[tokio::test]
async fn a_lineage_goes_on_to_whatever_the_function_calls() {
    const LINEAGE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;\
                           Sampled=1;Lineage=25:a87bd80c:1";

    let lineage = |header: Option<TraceHeader>| {
        let header = header.unwrap().to_string();
        header.split_once(";Lineage=").map(|(_, it)| it.to_owned())
    };
    let service = layer().layer(service_fn(|_: LambdaEvent<()>| async move {
        let record = info_span!("record");
        record.continue_trace(&PRODUCER.parse().unwrap());
        let spawned = async { TraceHeader::current() }.instrument(info_span!("spawned"));
        Ok::<_, Infallible>([
            TraceHeader::current(),
            info_span!("inner").in_scope(TraceHeader::current),
            record.in_scope(TraceHeader::current),
            // Not an invocation's any more, but its span's.
            tokio::spawn(spawned).await.unwrap(),
        ])
    }));
    for listens in [true, false] {
        let daemon = Daemon::start();
        let _guard = listens.then(|| daemon.listen());
        let headers = service.clone().oneshot(event((), LINEAGE)).await.unwrap();
        for header in headers.into_iter().take(if listens { 4 } else { 3 }) {
            assert_eq!(lineage(header).as_deref(), Some("25:a87bd80c:1"));
        }
    }
    let unsampled = LINEAGE.replace("Sampled=1", "Sampled=0").leak();
    let headers = service.oneshot(event((), &*unsampled)).await.unwrap();
    assert_eq!(
        lineage(headers[0].clone()).as_deref(),
        Some("25:a87bd80c:1")
    );
}

#[test]
fn ten_thousand_concurrent_invocations_never_mix() {
    const INVOCATIONS: usize = 10_000;

    let daemon = Daemon::start();
    let subscriber = subscriber::registry().with(daemon.tracer().subscriber_layer());
    let dispatch = tracing::Dispatch::new(subscriber);
    let received = Arc::new(Mutex::new((daemon, Vec::new())));
    // Every handler empties the socket's buffer, which is small, before it sends its own.
    let receive = {
        let received = Arc::clone(&received);
        move || {
            let (daemon, documents) = &mut *received.lock().unwrap();
            documents.extend(daemon.documents());
        }
    };
    let running = Arc::new(tokio::sync::Barrier::new(INVOCATIONS));
    let service = {
        let receive = receive.clone();
        layer().layer(service_fn(move |event: LambdaEvent<usize>| {
            let (running, receive) = (Arc::clone(&running), receive.clone());
            async move {
                let own = root(event.payload);
                let number = event.payload as i64;
                trace::annotate("number", number);
                let work = async {
                    running.wait().await;
                    assert_eq!(TraceHeader::current().unwrap().root(), own);
                    trace::annotate("number", number);
                    tokio::task::yield_now().await;
                };
                work.instrument(info_span!("work")).await;
                let id = Invocation::current().unwrap().context().request_id.clone();
                assert_eq!(id, format!("request-{number}"));
                receive();
                Ok::<_, Infallible>(())
            }
        }))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build();
    runtime.unwrap().block_on(async {
        let tasks: Vec<_> = (0..INVOCATIONS)
            .map(|number| {
                let mut context = context(format!("request-{number}"));
                let root = root(number);
                context.xray_trace_id = Some(format!("Root={root};Parent={PARENT};Sampled=1"));
                let call = service.clone().oneshot(LambdaEvent::new(number, context));
                tokio::spawn(call.with_subscriber(dispatch.clone()))
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    receive();

    let (_, documents) = &*received.lock().unwrap();
    assert_eq!(documents.len(), 2 * INVOCATIONS);
    let mut by_trace = HashMap::<_, Vec<_>>::new();
    for document in documents {
        let trace = document["trace_id"].as_str().unwrap();
        by_trace.entry(trace).or_default().push(document);
    }
    assert_eq!(by_trace.len(), INVOCATIONS);
    for (trace, own) in by_trace {
        let number = own[0]["annotations"]["number"].as_u64().unwrap();
        assert_eq!(trace, root(usize::try_from(number).unwrap()));
        let [work, handler] = own[..] else {
            panic!("{own:?}");
        };
        assert_eq!(work["annotations"]["number"], number);
        assert_eq!(handler["annotations"]["number"], number);
        assert_eq!(
            (&work["name"], &handler["name"]),
            (&json!("work"), &json!("## my-function"))
        );
        assert_eq!(work["parent_id"], handler["id"]);
        assert_eq!(handler["parent_id"], PARENT);
    }
}

#[test]
fn the_types_can_be_shared_and_cloned() {
    fn assert_shareable<T: Send + Sync + Clone + fmt::Debug + 'static>(_: &T) {}

    let layer = layer().capture_response();
    assert_shareable(&layer);
    assert_shareable(&layer.layer(0));
    assert_shareable(
        &layer
            .classify_with(|_: Result<&u8, &Error>| Outcome::Success)
            .layer(0),
    );
}

#[test]
fn the_configured_stack_is_what_the_runtime_asks_for() {
    async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
        Ok(event.payload)
    }

    let layer = TraceLayer::new()
        .capture_response()
        .classify_with(|_: Result<&Value, &Error>| Outcome::Success);
    let service = layer.layer(service_fn(handler));
    drop(lambda_runtime::run(service.clone()));
    drop(lambda_runtime::run_concurrent(service));
}

/// A layer that writes the message of each event as a line.
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
