//! Which datagrams traces leave in, and that nothing is lost on the way.
#![cfg(all(feature = "testing", feature = "trace"))]

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_runtime::{Context, LambdaEvent};
use powertools::{
    Env, env,
    testing::{Captured, CapturedSpan, CapturedTraces, capture_traces, sampled_context},
    trace::{self, TraceLayer, Tracer},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn};
use tracing::{Instrument, Span, info_span};
use tracing_subscriber::prelude::*;

mod subscriber;

/// The most that a datagram carries.
const DATAGRAM_LENGTH: usize = 65_507;

fn tracer() -> Tracer {
    Tracer::from_env(&Env::default()).service("orders")
}

/// Runs `f` as a handler.
fn invoke(context: Context, f: impl FnOnce()) {
    let f = std::cell::Cell::new(Some(f));
    let service = TraceLayer::new().layer(service_fn(|_: LambdaEvent<()>| {
        if let Some(f) = f.take() {
            f();
        }
        std::future::ready(Ok::<_, Infallible>(()))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = runtime.block_on(service.oneshot(LambdaEvent::new((), context)));
    answer.unwrap();
}

/// Runs `f` as a handler, and returns what it sent.
fn capture(f: impl FnOnce()) -> CapturedTraces {
    let (traces, _guard) = capture_traces(tracer());
    invoke(sampled_context("52fdfc07"), f);
    traces
}

fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(include_str!("schemas/xray-segment.schema.json"));
    jsonschema::validator_for(&schema.unwrap()).unwrap()
}

/// Checks that X-Ray would take every document.
fn check(traces: &CapturedTraces, schema: &jsonschema::Validator) {
    for document in traces.documents() {
        if let Err(error) = schema.validate(&document) {
            panic!("{error}: {document}");
        }
        for field in ["trace_id", "parent_id", "type"] {
            assert!(document[field].is_string(), "{field} of {document}");
        }
        let length = serde_json::to_string(&document).unwrap().len();
        assert!(length < DATAGRAM_LENGTH, "{length} bytes");
    }
}

#[test]
fn an_invocation_with_few_spans_is_one_document() {
    let traces = capture(|| {
        info_span!("outer").in_scope(|| info_span!("inner").in_scope(|| {}));
        info_span!("sibling").in_scope(|| {});
    });
    let documents = traces.documents();
    assert_eq!(documents.len(), 1);
    check(&traces, &schema());
    let handler = &documents[0];
    assert_eq!(handler["name"], "## my-function");
    assert_eq!(handler["subsegments"][0]["name"], "outer");
    assert_eq!(handler["subsegments"][0]["subsegments"][0]["name"], "inner");
    assert_eq!(handler["subsegments"][1]["name"], "sibling");
    // Their place says what the fields would.
    let outer = handler["subsegments"][0].as_object().unwrap();
    assert!(!outer.contains_key("parent_id") && !outer.contains_key("trace_id"));
}

#[test]
fn a_hundred_spans_arrive_complete_whatever_their_size() {
    for (length, datagrams) in [
        (0, 1..=1),
        (100, 1..=1),
        (2_000, 2..=80),
        (60_000, 100..=101),
    ] {
        let traces = capture(|| {
            for number in 0..100_u8 {
                let text = "x".repeat(length);
                info_span!("work", annotation.number = number, text).in_scope(|| {});
            }
        });
        assert!(
            datagrams.contains(&traces.documents().len()),
            "{length}: {}",
            traces.documents().len()
        );
        check(&traces, &schema());
        let mut numbers: Vec<_> = traces
            .named("## my-function")
            .children()
            .iter()
            .map(|it| it.annotation("number").unwrap().as_i64().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_hundred_spans_arrive_over_udp() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_nonblocking(true).unwrap();
    let address = daemon.local_addr().unwrap().to_string();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, &address),
    ]);
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .set_default();
    invoke(sampled_context("52fdfc07"), || {
        for number in 0..100_u8 {
            info_span!("work", annotation.number = number).in_scope(|| {});
        }
    });
    let mut datagram = vec![0; 1 << 16];
    let length = daemon.recv(&mut datagram).unwrap();
    let (head, document) = std::str::from_utf8(&datagram[..length])
        .unwrap()
        .split_once('\n')
        .unwrap();
    assert_eq!(head, r#"{"format":"json","version":1}"#);
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["subsegments"].as_array().unwrap().len(), 100);
    let error = daemon.recv(&mut datagram).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_span_of_70_kb_loses_only_itself() {
    let traces = capture(|| {
        info_span!("before").in_scope(|| {});
        info_span!("huge").in_scope(|| {
            info_span!("inside").in_scope(|| {});
            for number in 0..50 {
                trace::annotate(&format!("k{number}"), "\u{1}".repeat(1000));
            }
        });
        info_span!("after").in_scope(|| {});
    });
    check(&traces, &schema());
    let mut names: Vec<_> = traces
        .spans()
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["## my-function", "after", "before", "inside"]);
    let children: Vec<_> = traces.named("## my-function").children();
    assert_eq!(children.len(), 2);
}

#[test]
fn a_parent_without_room_sends_its_children_alone_the_longest_first() {
    let traces = capture(|| {
        let parent = info_span!("parent", body = "x".repeat(60_000));
        parent.in_scope(|| {
            info_span!("short").in_scope(|| {});
            info_span!("long", body = "x".repeat(10_000)).in_scope(|| {});
        });
    });
    check(&traces, &schema());
    let alone: Vec<_> = traces
        .documents()
        .iter()
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(alone, ["long", "## my-function"]);
    let parent = traces.named("## my-function").child("parent");
    assert_eq!(parent.children().len(), 2);
}

#[test]
fn metadata_that_is_too_large_is_left_out_with_a_warning_and_children_stay() {
    let output = Captured::default();
    let traces = CapturedTraces::default();
    let _guard = subscriber::registry()
        .with(tracer().with_receiver(traces.clone()).subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    invoke(sampled_context("52fdfc07"), || {
        info_span!("trimmed", annotation.kept = 1).in_scope(|| {
            trace::add_metadata("body", "x".repeat(70_000));
            info_span!("inside").in_scope(|| {});
        });
    });
    check(&traces, &schema());
    let trimmed = traces.named("## my-function").child("trimmed");
    assert_eq!(trimmed.annotation("kept"), Some(&json!(1)));
    assert_eq!(trimmed.document().get("metadata"), None);
    let _ = trimmed.child("inside");
    let lines = output.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("trace metadata left out"), "{lines:?}");
}

#[test]
fn spans_far_inside_each_other_arrive_in_documents_that_anyone_can_read() {
    fn nest(depth: u8) {
        if depth > 0 {
            info_span!("nested", annotation.depth = depth).in_scope(|| nest(depth - 1));
        }
    }

    let traces = capture(|| nest(200));
    check(&traces, &schema());
    let mut span = traces.named("## my-function");
    for depth in (1..=200).rev() {
        span = span.child("nested");
        assert_eq!(span.annotation("depth"), Some(&json!(depth)));
    }
    assert!(traces.documents().len() < 10);
}

#[test]
fn a_span_that_ends_after_its_parent_is_sent_alone_under_it() {
    let traces = capture(|| {
        let parent = info_span!("parent");
        let child = parent.in_scope(|| info_span!("child"));
        child.in_scope(|| info_span!("grandchild").in_scope(|| {}));
        // It has left its parent's hands, who has to have started.
        let context = child.clone();
        end(&parent);
        drop(context);
        drop(child);
    });
    let _ = traces
        .named("## my-function")
        .child("parent")
        .child("child")
        .child("grandchild");
}

/// Ends a span for the tracer, although clones of it are held.
fn end(span: &Span) {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    span.context().span().end();
}

#[test]
fn an_annotation_that_x_ray_would_not_take_is_told_once() {
    let output = Captured::default();
    let traces = CapturedTraces::default();
    let _guard = subscriber::registry()
        .with(tracer().with_receiver(traces.clone()).subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    for _ in 0..3 {
        invoke(sampled_context("52fdfc07"), || {
            trace::annotate("order id", 1);
            trace::annotate("größe", "ß".repeat(1001));
            trace::annotate(&"k".repeat(501), 1);
            trace::annotate("fine", "\u{7}");
        });
    }
    check(&traces, &schema());
    let lines = output.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (key, problem) in [
        ("order id", "renamed"),
        ("größe", "renamed"),
        ("größe", "shortened"),
        (&*"k".repeat(100), "renamed"),
    ] {
        let is_told = |line: &String| line.contains(key) && line.contains(problem);
        assert!(lines.iter().any(is_told), "{key}: {lines:?}");
    }
    for handler in traces.spans() {
        let value = handler.annotation("gr__e").and_then(Value::as_str).unwrap();
        assert_eq!(value.chars().count(), 1000);
        assert_eq!(handler.annotation("fine"), Some(&json!("\u{7}")));
    }
}

/// Without the feature, no collector can be used; with it, none by TLS.
#[test]
fn a_collector_that_cannot_be_used_is_told_once_and_documents_go_to_the_daemon() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_nonblocking(true).unwrap();
    let address = daemon.local_addr().unwrap().to_string();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, &address),
        (env::OTLP_ENDPOINT, "https://collector:4318"),
    ]);
    let output = Captured::default();
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    for _ in 0..2 {
        invoke(sampled_context("52fdfc07"), || {});
        assert!(daemon.recv(&mut [0; 1 << 12]).is_ok());
    }
    let lines = output.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(env::OTLP_ENDPOINT), "{lines:?}");
    let reason = if cfg!(feature = "trace-otlp") {
        "TLS"
    } else {
        "trace-otlp"
    };
    assert!(lines[0].contains(reason), "{lines:?}");
}

#[test]
fn a_collector_that_cannot_be_used_is_told_also_where_there_is_no_daemon() {
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::OTLP_ENDPOINT, "https://collector:4318"),
    ]);
    let output = Captured::default();
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    invoke(sampled_context("52fdfc07"), || {});
    invoke(sampled_context("52fdfc07"), || {});
    let lines = output.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no traces are sent"), "{lines:?}");
    assert!(lines[0].contains(env::OTLP_ENDPOINT), "{lines:?}");
}

#[tokio::test]
async fn ten_thousand_invocations_at_once_never_mix() {
    const INVOCATIONS: usize = 10_000;

    let (traces, _guard) = capture_traces(tracer());
    let all_running = Arc::new(Barrier::new(INVOCATIONS));
    let service = TraceLayer::new().layer(service_fn(move |event: LambdaEvent<usize>| {
        let all_running = Arc::clone(&all_running);
        async move {
            trace::annotate("number", event.payload as i64);
            let work = async {
                all_running.wait().await;
                trace::annotate("number", event.payload as i64);
            };
            work.instrument(info_span!("work")).await;
            Ok::<_, Infallible>(())
        }
    }));
    let mut calls = JoinSet::new();
    for number in 0..INVOCATIONS {
        let mut context = sampled_context(format!("request-{number}"));
        let header = format!("Root={};Parent=53995c3f42cd8ad8;Sampled=1", root(number));
        context.xray_trace_id = Some(header);
        calls.spawn(service.clone().oneshot(LambdaEvent::new(number, context)));
    }
    for result in calls.join_all().await {
        result.unwrap();
    }

    let mut spans = HashMap::<_, Vec<_>>::new();
    for span in traces.spans() {
        spans
            .entry(span.trace_id().to_owned())
            .or_default()
            .push(span);
    }
    assert_eq!(spans.len(), INVOCATIONS);
    for number in 0..INVOCATIONS {
        let own = &spans[&root(number)];
        assert_eq!(own.len(), 2);
        assert!(
            own.iter()
                .all(|it| it.annotation("number") == Some(&json!(number)))
        );
    }
}

fn root(number: usize) -> String {
    format!("1-5759e988-{:024x}", number + 1)
}

/// Spans as OTLP, over UDP.
#[cfg(feature = "trace-otlp")]
#[test]
fn spans_leave_as_otlp_in_one_datagram_when_the_invocation_ends() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_nonblocking(true).unwrap();
    let address = daemon.local_addr().unwrap().to_string();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, &address),
    ]);
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).otlp_udp().subscriber_layer())
        .set_default();
    invoke(sampled_context("52fdfc07"), || {
        info_span!("inner", annotation.items = 3_u64).in_scope(|| {});
        assert!(
            daemon.recv(&mut [0; 1 << 12]).is_err(),
            "it waits for the end"
        );
    });
    let mut datagram = vec![0; 1 << 16];
    let length = daemon.recv(&mut datagram).unwrap();
    let (head, base64) = datagram[..length].split_at(33);
    assert_eq!(head, b"{\"format\":\"json\",\"version\":1}\nT1S");
    let bytes = STANDARD.decode(base64).unwrap();
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["inner", "## my-function"]);
    assert_eq!(spans[0].parent_span_id, spans[1].span_id);
    assert_eq!(spans[0].attributes[0].key, "annotation.items");
    assert!(daemon.recv(&mut datagram).is_err());
}

#[test]
fn a_daemon_that_is_absent_costs_nothing() {
    let absent = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, &absent.to_string()),
    ]);
    let output = Captured::default();
    let _guard = subscriber::registry()
        .with(Tracer::from_env(&env).subscriber_layer())
        .with(Lines(output.clone()))
        .set_default();
    let start = Instant::now();
    for _ in 0..50 {
        invoke(sampled_context("52fdfc07"), || {
            info_span!("inner").in_scope(|| {});
        });
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(output.lines().is_empty(), "{output:?}");
}

/// A span of a random trace.
#[derive(Clone, Debug)]
struct Node {
    /// How many bytes of metadata it has.
    size: usize,
    /// Whether the span before it, instead of the one around it, is held until the end.
    is_held: bool,
    children: Vec<Node>,
}

fn node() -> impl Strategy<Value = Node> {
    let size = prop_oneof![
        6 => 0_usize..300,
        2 => 1_000_usize..9_000,
        1 => 30_000_usize..64_000,
    ];
    let leaf = (size, proptest::bool::weighted(0.2)).prop_map(|(size, is_held)| Node {
        size,
        is_held,
        children: Vec::new(),
    });
    leaf.clone().prop_recursive(6, 60, 8, move |inner| {
        (leaf.clone(), proptest::collection::vec(inner, 0..8))
            .prop_map(|(node, children)| Node { children, ..node })
    })
}

/// Makes the spans of a trace, and notes the parent of each.
fn run(node: &Node, parent: Option<usize>, parents: &mut Vec<Option<usize>>, held: &mut Vec<Span>) {
    let number = parents.len();
    parents.push(parent);
    let span = info_span!(
        "node",
        annotation.number = number as i64,
        body = "x".repeat(node.size)
    );
    span.in_scope(|| {
        for child in &node.children {
            run(child, Some(number), parents, held);
        }
    });
    if node.is_held {
        held.push(span);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_tree_of_spans_arrives_as_it_was(
        roots in proptest::collection::vec(node(), 0..4),
        is_held_beyond_the_invocation: bool,
        seed: u64,
    ) {
        let (traces, _guard) = capture_traces(tracer());
        let mut parents = Vec::new();
        let mut held = Vec::new();
        let context = sampled_context("52fdfc07");
        let header = context.xray_trace_id.clone().unwrap();
        invoke(context, || {
            for root in &roots {
                run(root, None, &mut parents, &mut held);
            }
            // In any order: also after their parents have ended, and before their children.
            shuffle(&mut held, seed);
            if !is_held_beyond_the_invocation {
                for span in held.drain(..) {
                    end(&span);
                }
            }
        });
        drop(held);

        check(&traces, &schema());
        let spans = traces.spans();
        prop_assert_eq!(spans.len(), parents.len() + 1);
        let handler = traces.named("## my-function");
        let place = format!("Root={};Parent={};", handler.trace_id(), handler.parent_id());
        prop_assert!(header.starts_with(&place));
        let number = |span: &CapturedSpan| span.annotation("number").and_then(Value::as_u64);
        let ids: HashMap<_, _> = spans
            .iter()
            .filter_map(|span| Some((number(span)? as usize, span.id())))
            .collect();
        prop_assert_eq!(ids.len(), parents.len());
        for span in &spans {
            prop_assert_eq!(span.trace_id(), handler.trace_id());
            if let Some(number) = number(span) {
                let parent = parents[number as usize].map_or(handler.id(), |parent| ids[&parent]);
                prop_assert_eq!(span.parent_id(), parent);
            }
        }
    }

    #[test]
    fn no_text_makes_a_document_that_x_ray_refuses(
        names in proptest::collection::vec("\\PC{0,300}|.{0,20}", 1..4),
        annotations in proptest::collection::vec((".{0,600}", "\\PC{0,1100}|.{0,20}"), 0..60),
        metadata in proptest::collection::vec((".{0,20}", ".{0,50}"), 0..5),
        number: f64,
    ) {
        let traces = capture(|| {
            for name in &names {
                let span = info_span!("text", otel.name = name, number);
                span.in_scope(|| {
                    for (key, value) in &annotations {
                        trace::annotate(key, value);
                    }
                    trace::annotate("number", number);
                    for (key, value) in &metadata {
                        trace::add_metadata(key, value);
                    }
                });
            }
        });
        check(&traces, &schema());
        prop_assert_eq!(traces.spans().len(), names.len() + 1);
    }
}

/// Puts spans into an order that `seed` decides.
fn shuffle(spans: &mut [Span], mut seed: u64) {
    for last in (1..spans.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        spans.swap(last, (seed >> 33) as usize % (last + 1));
    }
}

/// A layer that writes the fields of each event as a line.
struct Lines(Captured);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Visitor(String);

        impl tracing::field::Visit for Visitor {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }

        let mut line = Visitor(String::new());
        event.record(&mut line);
        io::Write::write_fmt(&mut self.0.clone(), format_args!("{}\n", line.0)).unwrap();
    }
}
