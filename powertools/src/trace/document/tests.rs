use std::time::Duration;

use opentelemetry::{
    InstrumentationScope,
    trace::{SpanContext, SpanKind, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use serde_json::{Value as Json, json};

use super::*;

const TRACE: u128 = 0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793;

fn span_context(trace: u128, span: u64) -> SpanContext {
    SpanContext::new(
        TraceId::from(trace),
        SpanId::from(span),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

fn span(attributes: Vec<KeyValue>) -> SpanData {
    let start_time = UNIX_EPOCH + Duration::from_millis(1_763_881_099_081);
    SpanData {
        span_context: span_context(TRACE, 0x2ad5_b3a5_f0f4_d4a1),
        parent_span_id: SpanId::from(0x5399_5c3f_42cd_8ad8),
        parent_span_is_remote: true,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed("## place_order"),
        start_time,
        end_time: start_time + Duration::from_millis(419),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn event(name: &'static str, attributes: Vec<KeyValue>) -> Event {
    Event::new(name, UNIX_EPOCH, attributes, 0)
}

fn texts(texts: impl IntoIterator<Item = &'static str>) -> Value {
    let texts: Vec<StringValue> = texts.into_iter().map(Into::into).collect();
    Value::Array(texts.into())
}

fn json(span: &SpanData) -> Json {
    serde_json::to_value(Document::new(span, Some("orders"))).unwrap()
}

fn exceptions(events: Vec<Event>, status: Status) -> (Json, Json) {
    let mut span = span(Vec::new());
    span.events.events = events;
    span.status = status;
    let mut json = json(&span);
    (json["fault"].take(), json["cause"]["exceptions"].take())
}

#[test]
fn a_bare_span_has_the_fields_of_the_other_toolkits() {
    let span = span(Vec::new());
    let document = Document::new(&span, None);
    assert_eq!(
        serde_json::to_string(&document).unwrap(),
        concat!(
            r###"{"id":"2ad5b3a5f0f4d4a1","name":"## place_order","start_time":1763881099.081,"###,
            r#""end_time":1763881099.5,"parent_id":"53995c3f42cd8ad8","in_progress":false,"#,
            r#""trace_id":"1-5759e988-bd862e3fe1be46a994272793","type":"subsegment","#,
            r#""namespace":"local"}"#
        )
    );
}

#[test]
fn the_document_of_the_module_docs_is_what_leaves() {
    let mut span = span(vec![
        KeyValue::new("annotation.ColdStart", true),
        KeyValue::new("annotation.Service", "orders"),
        KeyValue::new("annotation.OrderId", "a1"),
        KeyValue::new("powertools.metadata.basket", r#"{"items":[1,2]}"#),
        KeyValue::new("card", "visa"),
    ]);
    span.events.events.push(event(
        EXCEPTION,
        vec![
            KeyValue::new(EXCEPTION_TYPE, "Error"),
            KeyValue::new(EXCEPTION_MESSAGE, "payment refused"),
            KeyValue::new(EXCEPTION_CHAIN, texts(["connection reset"])),
        ],
    ));
    span.links.links.push(Link::with_context(span_context(
        TRACE + 1,
        0x5399_5c3f_42cd_8ad9,
    )));
    let leaves = serde_json::to_string(&Document::new(&span, Some("orders"))).unwrap();

    let docs = include_str!("../mod.rs");
    let (_, block) = docs.split_once("//! ```json\n//! ").unwrap();
    let (shown, _) = block.split_once('\n').unwrap();
    assert_eq!(shown, leaves);
}

#[test]
fn annotations_keep_their_type_and_metadata_its_json() {
    let json = json(&span(vec![
        KeyValue::new("annotation.text", "a"),
        KeyValue::new("annotation.integer", -1),
        KeyValue::new("annotation.float", 0.5),
        KeyValue::new("annotation.infinite", f64::INFINITY),
        KeyValue::new("annotation.list", texts(["a", "b"])),
        KeyValue::new("annotation.again", 1),
        KeyValue::new("annotation.again", false),
        KeyValue::new("metadata.text", r#"{"not":"parsed"}"#),
        KeyValue::new("metadata.nan", f64::NAN),
        KeyValue::new("powertools.metadata.json", r#"{"a":[1,null]}"#),
        KeyValue::new("powertools.metadata.broken", "{"),
        KeyValue::new("list", texts(["a", "b"])),
        KeyValue::new("integers", Value::Array(vec![1_i64, 2].into())),
    ]));
    assert_eq!(
        json["annotations"],
        json!({
            "text": "a", "integer": -1, "float": 0.5, "infinite": "inf", "list": r#"["a","b"]"#,
            "again": false,
        })
    );
    assert_eq!(
        json["metadata"],
        json!({
            "orders": {
                "text": r#"{"not":"parsed"}"#, "nan": null, "json": {"a": [1, null]}, "broken": "{",
            },
            "default": {"list": ["a", "b"], "integers": [1, 2]},
        })
    );
}

#[test]
fn metadata_without_a_service_goes_where_the_other_toolkits_put_it() {
    let span = span(vec![KeyValue::new("metadata.a", 1)]);
    let json = serde_json::to_value(Document::new(&span, None)).unwrap();
    assert_eq!(json["metadata"], json!({"service_undefined": {"a": 1}}));
}

#[test]
fn names_and_keys_are_brought_into_x_rays_alphabet() {
    for (name, clean) in [
        ("GET /orders/{id}?x=1", "GET /orders/idx=1"),
        ("bestellung größe №7", "bestellung größe 7"),
        ("a\tb\nc", "a b c"),
        ("*?!", "unnamed"),
        ("", "unnamed"),
    ] {
        assert_eq!(clean_name(name), clean);
    }
    assert_eq!(clean_name(&"ß".repeat(300)).chars().count(), NAME_LENGTH);

    assert_eq!(clean_key("order.id ß-1"), "order_id___1");
    assert_eq!(clean_key(&"k".repeat(501)).len(), ANNOTATION_KEY_LENGTH);
}

#[test]
fn annotations_stay_within_x_rays_limits() {
    let mut attributes: Vec<_> = (0..60)
        .map(|number| KeyValue::new(format!("annotation.k{number}"), number))
        .collect();
    attributes.push(KeyValue::new("annotation.k0", "ß".repeat(1001)));
    attributes.push(KeyValue::new("annotation.", 1));
    let json = json(&span(attributes));
    let annotations = json["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), ANNOTATIONS);
    assert_eq!(annotations["k49"], 49);
    assert_eq!(annotations["k0"].as_str().unwrap().chars().count(), 1000);
}

#[test]
fn a_chain_of_sources_becomes_a_chain_of_exceptions() {
    let attributes = vec![
        KeyValue::new(EXCEPTION_TYPE, "orders::PaymentError"),
        KeyValue::new(EXCEPTION_MESSAGE, "refused"),
        KeyValue::new(EXCEPTION_CHAIN, texts(["timed out", "no route"])),
    ];
    let (fault, exceptions) = exceptions(vec![event(EXCEPTION, attributes)], Status::Unset);
    assert_eq!(fault, true);
    assert_eq!(
        exceptions,
        json!([
            {"id": "2ad5b3a5f0f4d4a2", "message": "refused", "type": "orders::PaymentError",
                "remote": false, "cause": "2ad5b3a5f0f4d4a3"},
            {"id": "2ad5b3a5f0f4d4a3", "message": "timed out", "type": "Error", "remote": false,
                "cause": "2ad5b3a5f0f4d4a4"},
            {"id": "2ad5b3a5f0f4d4a4", "message": "no route", "type": "Error", "remote": false},
        ])
    );
}

#[test]
fn a_long_chain_is_cut_and_so_is_a_long_message() {
    let attributes = vec![
        KeyValue::new(EXCEPTION_MESSAGE, "ß".repeat(5000)),
        KeyValue::new(EXCEPTION_CHAIN, texts(["source"; 20])),
    ];
    let (_, exceptions) = exceptions(vec![event(EXCEPTION, attributes)], Status::Unset);
    let exceptions = exceptions.as_array().unwrap();
    assert_eq!(exceptions.len(), EXCEPTIONS);
    assert_eq!(exceptions[9].get("cause"), None);
    let message = exceptions[0]["message"].as_str().unwrap();
    assert_eq!(message.chars().count(), MESSAGE_LENGTH);
}

#[test]
fn an_event_at_error_is_an_exception_and_another_is_none() {
    let level = |level: &'static str| KeyValue::new("level", level);
    let events = vec![
        event("only told", vec![level("WARN")]),
        event(
            "order lost",
            vec![
                level("ERROR"),
                KeyValue::new(EXCEPTION_MESSAGE, "disk full"),
            ],
        ),
    ];
    let (fault, exceptions) = exceptions(events, Status::error(""));
    assert_eq!(fault, true);
    let messages: Vec<_> = exceptions.as_array().unwrap().iter().collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["message"], "order lost");
    assert_eq!(messages[0]["cause"], messages[1]["id"]);
    assert_eq!(messages[1]["message"], "disk full");
}

#[test]
fn a_status_marks_the_span_also_without_an_event() {
    assert_eq!(
        exceptions(Vec::new(), Status::error("")),
        (json!(true), json!(null))
    );
    let (fault, exceptions) = exceptions(Vec::new(), Status::error("refused"));
    assert_eq!(fault, true);
    assert_eq!(exceptions[0]["message"], "refused");
    assert_eq!(
        self::exceptions(Vec::new(), Status::Ok),
        (json!(null), json!(null))
    );
}

#[test]
fn a_link_carries_its_attributes() {
    let mut span = span(Vec::new());
    span.links.links.push(Link::new(
        span_context(TRACE, 1),
        vec![KeyValue::new("records", 2)],
        0,
    ));
    assert_eq!(
        json(&span)["links"],
        json!([{
            "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "id": "0000000000000001",
            "attributes": {"records": 2},
        }])
    );
}

#[test]
fn a_clock_that_was_set_back_makes_no_negative_duration() {
    let mut span = span(Vec::new());
    span.end_time = UNIX_EPOCH;
    let json = json(&span);
    assert_eq!(json["end_time"], json["start_time"]);
}
