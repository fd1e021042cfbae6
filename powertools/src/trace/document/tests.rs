use std::time::Duration;

use opentelemetry::{
    InstrumentationScope, StringValue,
    trace::{Event, SpanContext, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use serde_json::{Value as Json, json};

use super::{
    cause::EXCEPTIONS,
    text::{ANNOTATION_KEY_LENGTH, NAME_LENGTH, TEXT_LENGTH},
    *,
};
use crate::trace::failure::{EXCEPTION, EXCEPTION_CHAIN, EXCEPTION_MESSAGE, EXCEPTION_TYPE};

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

fn function(service: impl Into<Option<&'static str>>) -> Function {
    Function {
        name: "my-function".to_owned(),
        service: service.into().map(str::to_owned),
    }
}

/// Returns the JSON of the datagram that carries a document.
fn leave(document: &Document<'_>) -> String {
    let datagram = Subsegment::new(document).unwrap().into_datagram();
    let datagram = String::from_utf8(datagram).unwrap();
    let (_, json) = datagram.split_once('\n').unwrap();
    json.to_owned()
}

fn json(span: &SpanData) -> Json {
    serde_json::from_str(&leave(&Document::new(span, &function("orders")))).unwrap()
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
    assert_eq!(
        leave(&Document::new(&span, &function(None))),
        concat!(
            r###"{"id":"2ad5b3a5f0f4d4a1","name":"## place_order","start_time":1763881099.081,"###,
            r#""end_time":1763881099.5,"in_progress":false,"namespace":"local","#,
            r#""parent_id":"53995c3f42cd8ad8","trace_id":"1-5759e988-bd862e3fe1be46a994272793","#,
            r#""type":"subsegment"}"#
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
    let leaves = leave(&Document::new(&span, &function("orders")));

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
    let json = serde_json::to_value(Document::new(&span, &function(None))).unwrap();
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
    assert_eq!(message.chars().count(), TEXT_LENGTH);
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

#[test]
fn flags_say_whose_mistake_it_was_and_decide_alone() {
    let flags = |attributes: Vec<KeyValue>, status: Status| {
        let mut span = span(attributes);
        span.status = status;
        let json = json(&span);
        ["error", "throttle", "fault"].map(|flag| json.get(flag) == Some(&json!(true)))
    };
    let flag = |name, value: bool| KeyValue::new(name, value);
    let status = |status: i64| KeyValue::new(attributes::HTTP_STATUS, status);
    for (attributes, expected) in [
        (vec![], [false, false, true]),
        (vec![flag(attributes::ERROR, true)], [true, false, false]),
        (vec![flag(attributes::THROTTLE, true)], [true, true, false]),
        (vec![flag(attributes::FAULT, true)], [false, false, true]),
        (vec![flag(attributes::FAULT, false)], [false, false, false]),
        (
            vec![flag(attributes::ERROR, true), status(500)],
            [true, false, false],
        ),
        (vec![status(200)], [false, false, true]),
        (vec![status(404)], [true, false, false]),
        (vec![status(429)], [true, true, false]),
        (vec![status(503)], [false, false, true]),
    ] {
        assert_eq!(
            flags(attributes.clone(), Status::error("")),
            expected,
            "{attributes:?}"
        );
    }
    assert_eq!(flags(vec![status(200)], Status::Unset), [false; 3]);
}

#[test]
fn a_call_over_http_has_a_request_and_a_response() {
    let mut span = span(vec![
        KeyValue::new(attributes::HTTP_METHOD, "GET"),
        KeyValue::new(attributes::URL, "https://example.com/orders?id=1"),
        KeyValue::new(attributes::USER_AGENT, "curl/8"),
        KeyValue::new(attributes::CLIENT_ADDRESS, "192.0.2.1"),
        KeyValue::new(attributes::FORWARDED, true),
        KeyValue::new(attributes::HTTP_STATUS, 200),
        KeyValue::new(attributes::HTTP_CONTENT_LENGTH, 12),
        // Not of the kind that the block shows.
        KeyValue::new(attributes::HTTP_STATUS, "teapot"),
        KeyValue::new(attributes::OPERATION, "GetItem"),
    ]);
    span.span_kind = SpanKind::Client;
    let json = json(&span);
    assert_eq!(json["namespace"], "remote");
    assert_eq!(
        json["http"],
        json!({
            "request": {
                "method": "GET", "url": "https://example.com/orders", "user_agent": "curl/8",
                "client_ip": "192.0.2.1", "x_forwarded_for": true,
            },
            "response": {"status": 200, "content_length": 12},
        })
    );
    assert_eq!(
        json["metadata"],
        json!({"default": {"http.response.status_code": "teapot", "rpc.method": "GetItem"}})
    );
    assert_eq!(json.get("aws"), None);
}

#[test]
fn a_call_of_an_aws_service_says_which_and_how() {
    for marker in [
        KeyValue::new(attributes::NAMESPACE, "aws"),
        KeyValue::new(attributes::RPC_SYSTEM, "aws-api"),
    ] {
        let json = json(&span(vec![
            marker,
            KeyValue::new(attributes::OPERATION, "GetItem"),
            KeyValue::new(attributes::REGION, "eu-west-1"),
            KeyValue::new(attributes::REQUEST_ID, "BR2DMTF1Q"),
            KeyValue::new(attributes::RETRIES, 2),
            KeyValue::new(attributes::TABLE_NAMES, texts(["orders"])),
            KeyValue::new(attributes::QUEUE_URL, "https://sqs/orders"),
        ]));
        assert_eq!(json["namespace"], "aws");
        assert_eq!(
            json["aws"],
            json!({
                "operation": "GetItem", "region": "eu-west-1", "request_id": "BR2DMTF1Q",
                "retries": 2, "table_name": "orders", "queue_url": "https://sqs/orders",
            })
        );
        assert_eq!(json.get("metadata"), None);
    }
    let json = json(&span(vec![
        KeyValue::new(attributes::NAMESPACE, "aws"),
        KeyValue::new(attributes::TABLE_NAMES, texts(["orders", "users"])),
    ]));
    assert_eq!(json["aws"], json!({"table_names": ["orders", "users"]}));
}

#[test]
fn a_trace_that_is_taken_over_goes_on_in_a_segment_of_the_function() {
    let mut span = span(vec![
        KeyValue::new(attributes::SEGMENT, true),
        KeyValue::new(attributes::ERROR, true),
        KeyValue::new("annotation.OrderId", "a1"),
    ]);
    span.links
        .links
        .push(Link::with_context(span_context(TRACE + 1, 7)));
    let json = json(&span);
    assert_eq!(
        json,
        json!({
            "id": "2ad5b3a5f0f4d4a0", "name": "my-function", "origin": "AWS::Lambda::Function",
            "start_time": 1_763_881_099.081, "end_time": 1_763_881_099.5, "in_progress": false,
            "error": true,
            "links": [{
                "trace_id": "1-5759e988-bd862e3fe1be46a994272794", "id": "0000000000000007",
            }],
            "subsegments": [{
                "id": "2ad5b3a5f0f4d4a1", "name": "## place_order", "namespace": "local",
                "start_time": 1_763_881_099.081, "end_time": 1_763_881_099.5, "in_progress": false,
                "error": true, "annotations": {"OrderId": "a1"},
            }],
            "parent_id": "53995c3f42cd8ad8", "trace_id": "1-5759e988-bd862e3fe1be46a994272793",
        })
    );

    span.parent_span_is_remote = false;
    assert_eq!(self::json(&span)["type"], "subsegment");
}

#[test]
fn a_span_in_progress_has_no_end() {
    let span = span(vec![KeyValue::new("annotation.OrderId", "a1")]);
    let json: Json =
        serde_json::from_str(&leave(&Document::start(&span, &function("orders")))).unwrap();
    assert_eq!(json["in_progress"], true);
    assert_eq!(json.get("end_time"), None);
    assert_eq!(json["annotations"], json!({"OrderId": "a1"}));
    assert_eq!(json["type"], "subsegment");
}

#[test]
fn what_is_changed_of_an_annotation_is_told() {
    let long = "k".repeat(501);
    let mut attributes = vec![
        KeyValue::new("annotation.order id", 1),
        KeyValue::new(format!("annotation.{long}"), 1),
        KeyValue::new("annotation.größe", 1),
        KeyValue::new("annotation.control\u{1}", "\u{1}"),
        KeyValue::new("annotation.", 1),
        KeyValue::new("annotation.text", "ß".repeat(1001)),
        KeyValue::new("annotation.fits", "ß".repeat(1000)),
    ];
    attributes.extend((0..50).map(|number| KeyValue::new(format!("annotation.k{number}"), 1)));
    let span = span(attributes);
    let function = function(None);
    let document = Document::new(&span, &function);
    let told: Vec<_> = document
        .complaints()
        .iter()
        .map(|it| (it.key, it.problem.split(',').next().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("order id", "renamed"),
            (&*long, "renamed"),
            ("größe", "renamed"),
            ("control\u{1}", "renamed"),
            ("", "left out"),
            ("text", "shortened"),
            ("k44", "left out"),
            ("k45", "left out"),
            ("k46", "left out"),
            ("k47", "left out"),
            ("k48", "left out"),
            ("k49", "left out"),
        ]
    );
}
