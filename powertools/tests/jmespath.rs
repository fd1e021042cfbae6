//! JMESPath as a function's author sees it.
#![cfg(feature = "jmespath")]

use std::{collections::BTreeMap, io::Write, thread};

use base64::prelude::*;
use flate2::{Compression, write::GzEncoder};
use powertools::jmespath::{Expression, JmespathError, Output, Undecodable};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::{Value, json, value::RawValue};

fn compile_error(expression: &str) -> JmespathError {
    match Expression::new(expression) {
        Ok(_) => panic!("compiled: {expression}"),
        Err(error) => error,
    }
}

fn search<'a>(expression: &str, data: &'a str) -> Result<Output<'a>, JmespathError> {
    Expression::new(expression).unwrap().search_str(data)
}

fn found(expression: &str, data: &str) -> String {
    search(expression, data).unwrap().to_json()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Data whose member `data` is base64 of `bytes`.
fn encoded(bytes: &[u8]) -> Value {
    json!({ "data": BASE64_STANDARD.encode(bytes) })
}

#[test]
fn what_is_not_jmespath_fails_while_compiling_and_names_the_place() {
    for (expression, place) in [
        ("", 0),
        ("a.", 2),
        ("a..b", 2),
        ("{a: b,}", 6),
        ("length(", 7),
        ("items[?a", 8),
        ("'open", 0),
        ("a == `{]`", 5),
        ("words[::0]", 9),
        ("a.&b", 2),
    ] {
        let error = compile_error(expression);
        let message = error.to_string();
        assert!(
            matches!(error, JmespathError::Syntax { offset, .. } if offset == place),
            "{expression}: {message}"
        );
    }
}

#[test]
fn a_call_that_cannot_work_fails_while_compiling() {
    for (expression, message) in [
        ("a[?lower(@)]", "no JMESPath function `lower` at offset 3"),
        (
            "a | abs(@, b)",
            "function `abs` at offset 4 takes 1 arguments, not 2",
        ),
        (
            "merge()",
            "function `merge` at offset 0 takes 1 arguments, not 0",
        ),
        (
            "sort_by(a, b)",
            "argument 2 of function `sort_by` at offset 0 is of type value, not expression",
        ),
        (
            "length(&a)",
            "argument 1 of function `length` at offset 0 is of type expression, \
             not array, object or string",
        ),
    ] {
        assert_eq!(compile_error(expression).to_string(), message);
    }
}

#[test]
fn an_expression_as_deep_as_may_be_is_no_danger_to_the_stack() {
    let nested = |levels| {
        [
            format!("{}a", "!".repeat(levels)),
            format!("{}a{}", "(".repeat(levels), ")".repeat(levels)),
            format!("{}a{}", "[".repeat(levels), "]".repeat(levels)),
            format!("{}a{}", "{a:".repeat(levels), "}".repeat(levels)),
            format!("a{}", ".a".repeat(levels)),
            format!("a{}", "[*]".repeat(levels / 2)),
            format!("a{}", "|a".repeat(levels)),
            format!("{}a{}", "to_array(".repeat(levels), ")".repeat(levels)),
        ]
    };
    for expression in nested(128) {
        let expression = Expression::new(&expression).unwrap();
        expression.search_str(r#"{"a": {"a": [[[1]]]}}"#).unwrap();
    }
    for expression in nested(100_000) {
        assert!(matches!(
            compile_error(&expression),
            JmespathError::TooComplex { limit: 128, .. }
        ));
    }
}

#[test]
fn a_function_refuses_what_it_does_not_take() {
    for (expression, argument) in [
        ("abs('x')", 1),
        ("sort(@)", 1),
        ("sort_by(@, &@)", 2),
        ("join(',', @)", 2),
        ("length(`null`)", 1),
        ("powertools_json(`7`)", 1),
        ("max_by(@, &`null`)", 2),
    ] {
        let error = search(expression, r#"[1, "two"]"#).unwrap_err();
        assert!(
            matches!(error, JmespathError::ArgumentType { argument: a, .. } if a == argument),
            "{expression}: {error}"
        );
    }
}

#[test]
fn a_text_that_cannot_be_decoded_is_an_error_without_the_text() {
    const SECRET: &str = "hunter2";
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    let cases = [
        (
            "powertools_json(data)",
            json!({"data": format!("{{{SECRET}")}),
            Undecodable::Json,
        ),
        (
            "powertools_json(data)",
            json!({"data": ""}),
            Undecodable::Json,
        ),
        (
            "powertools_json(data)",
            json!({"data": deep}),
            Undecodable::TooDeep,
        ),
        (
            "powertools_json(data)",
            json!({"data": r#""\ud800""#}),
            Undecodable::Json,
        ),
        (
            "powertools_base64(data)",
            json!({"data": SECRET}),
            Undecodable::Base64,
        ),
        (
            "powertools_base64(data)",
            json!({"data": "aGk"}),
            Undecodable::Base64,
        ),
        (
            "powertools_base64(data)",
            encoded(b"\xff\xfe"),
            Undecodable::Utf8,
        ),
        (
            "powertools_base64_gzip(data)",
            json!({"data": "?"}),
            Undecodable::Base64,
        ),
        (
            "powertools_base64_gzip(data)",
            encoded(SECRET.as_bytes()),
            Undecodable::Gzip,
        ),
        (
            "powertools_base64_gzip(data)",
            encoded(&gzip(b"hello")[..20]),
            Undecodable::Gzip,
        ),
        (
            "powertools_base64_gzip(data)",
            encoded(&gzip(b"\xff\xfe")),
            Undecodable::Utf8,
        ),
    ];
    for (expression, data, expected) in cases {
        let error = Expression::new(expression)
            .unwrap()
            .search_value(&data)
            .unwrap_err();
        assert!(
            matches!(error, JmespathError::Decode { reason, offset: 0, .. } if reason == expected),
            "{expression} in {data}: {error}"
        );
        assert!(!format!("{error} {error:?}").contains(SECRET));
    }
}

#[test]
fn a_gzip_bomb_is_not_decompressed() {
    let expression = Expression::new("powertools_base64_gzip(data)").unwrap();
    let bomb = encoded(&gzip(&vec![b'0'; 64 << 20]));
    let error = expression.search_value(&bomb).unwrap_err();
    assert!(matches!(
        error,
        JmespathError::Decode {
            reason: Undecodable::TooLarge,
            ..
        }
    ));

    let ten = encoded(&gzip(b"0123456789"));
    let limited = expression.clone().max_decompressed(10);
    assert_eq!(
        limited.search_value(&ten).unwrap().as_str(),
        Some("0123456789")
    );
    assert!(expression.max_decompressed(9).search_value(&ten).is_err());
}

#[test]
fn many_small_bombs_share_one_limit() {
    let records = vec![encoded(&gzip(&[b'0'; 1000])); 10];
    let expression = Expression::new("[*].powertools_base64_gzip(data)").unwrap();
    let found = |bytes| {
        expression
            .clone()
            .max_decompressed(bytes)
            .search_value(&records)
    };
    assert!(found(10_000).is_ok());
    assert!(found(9_999).is_err());
    // The limit holds for a search, not for an expression.
    let expression = expression.clone().max_decompressed(10_000);
    assert!(expression.search_value(&records).is_ok());
    assert!(expression.search_value(&records).is_ok());
}

#[test]
fn data_that_cannot_be_read_is_an_error() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no"))
        }
    }

    let reason = |result: Result<Output<'_>, _>| match result {
        Err(JmespathError::Data { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(reason(search("a", "{")), Undecodable::Json);
    assert_eq!(reason(search("@", &deep)), Undecodable::TooDeep);
    assert_eq!(reason(search("@", r#"["\udc00"]"#)), Undecodable::Json);
    let all = Expression::new("@").unwrap();
    assert!(matches!(
        all.search_value(&Fails),
        Err(JmespathError::Serialize(_))
    ));
}

#[test]
fn a_sum_that_is_no_number_is_an_error() {
    for expression in ["sum(@)", "avg(@)"] {
        assert!(matches!(
            search(expression, "[1e308, 1e308]"),
            Err(JmespathError::Overflow { offset: 0, .. })
        ));
    }
}

#[test]
fn an_output_of_another_type_is_an_error() {
    let output = search("a", r#"{"a": ["x"]}"#).unwrap();
    assert!(matches!(
        output.deserialize::<Vec<u64>>(),
        Err(JmespathError::Deserialize(_))
    ));
    assert_eq!(output.as_str(), None);
}

#[test]
fn whole_numbers_are_exact_wherever_they_go() {
    let data = r#"{"a": [9007199254740992, 9007199254740993, -9223372036854775808, 18446744073709551615]}"#;
    assert_eq!(
        found("a[?@ == `9007199254740993`]", data),
        "[9007199254740993]"
    );
    assert_eq!(
        found("a[?@ > `9007199254740992`]", data),
        "[9007199254740993,18446744073709551615]"
    );
    assert_eq!(found("max(a)", data), "18446744073709551615");
    assert_eq!(found("abs(a[2])", data), "9223372036854775808");
    assert_eq!(found("sum(a[:2])", data), "18014398509481985");
    assert_eq!(
        found("sort(a)[1:3]", data),
        "[9007199254740992,9007199254740993]"
    );
    assert_eq!(found("contains(a, `9007199254740994`)", data), "false");
    assert_eq!(
        found("to_number('18446744073709551615')", data),
        "18446744073709551615"
    );
    assert_eq!(found("`9007199254740993`", data), "9007199254740993");
    let numbers: Vec<i128> = search("a", data).unwrap().deserialize().unwrap();
    assert_eq!(numbers[2..], [i64::MIN.into(), u64::MAX.into()]);
}

#[test]
fn floats_are_the_nearest_and_stay_floats() {
    let data = r#"{"a": [1.0, 10715086071862673e285, 1e2]}"#;
    assert_eq!(found("a", data), "[1.0,1.0715086071862673e+301,100.0]");
    assert_eq!(
        found("`10715086071862673e285`", data),
        "1.0715086071862673e+301"
    );
    assert_eq!(found("a[0] == `1`", data), "true");
    let floats: Vec<f64> = search("a", data).unwrap().deserialize().unwrap();
    assert_eq!(floats[1].to_bits(), 1.0715086071862673e301_f64.to_bits());
}

#[test]
fn members_keep_their_order() {
    let data = r#"{"z": {"b": 1, "a": 2}, "m": null, "a": 3}"#;
    assert_eq!(found("@", data), r#"{"z":{"b":1,"a":2},"m":null,"a":3}"#);
    assert_eq!(found("keys(@)", data), r#"["z","m","a"]"#);
    assert_eq!(
        found("{y: a, x: m, b: z}", data),
        r#"{"y":3,"x":null,"b":{"b":1,"a":2}}"#
    );
    assert_eq!(found("`{\"y\": 1, \"x\": 2}`", data), r#"{"y":1,"x":2}"#);
    assert_eq!(
        found("merge(z, {a: a, c: a})", data),
        r#"{"b":1,"a":3,"c":3}"#
    );
}

#[test]
fn what_events_wrap_is_unwrapped() {
    let inner = json!({"Records": [{"s3": {"object": {"key": "a/é.json", "size": u64::MAX}}}]});
    let event = json!({"records": [encoded(&gzip(inner.to_string().as_bytes()))]});
    let expression = Expression::new(
        "records[*].powertools_json(powertools_base64_gzip(data)).Records[].s3.object",
    )
    .unwrap();
    let found = expression.search_value(&event).unwrap();
    assert_eq!(
        found.to_json(),
        r#"[{"key":"a/é.json","size":18446744073709551615}]"#
    );
}

#[test]
fn a_line_break_in_base64_does_not_matter() {
    let data = json!({"data": "aGVs\r\nbG8="});
    let expression = Expression::new("powertools_base64(data)").unwrap();
    assert_eq!(
        expression.search_value(&data).unwrap().as_str(),
        Some("hello")
    );
}

#[test]
fn slices_and_indexes_go_as_far_as_there_are_elements() {
    let data = "[0, 1, 2, 3, 4]";
    for (expression, expected) in [
        ("[1:3]", "[1,2]"),
        ("[::-1]", "[4,3,2,1,0]"),
        ("[-2:]", "[3,4]"),
        ("[:-9]", "[]"),
        ("[9::-2]", "[4,2,0]"),
        ("[3:0:-1]", "[3,2,1]"),
        ("[0:2147483647:2147483647]", "[0]"),
        ("[::-2147483647]", "[4]"),
        ("[-1]", "4"),
        ("[-6]", "null"),
        ("[5]", "null"),
    ] {
        assert_eq!(found(expression, data), expected, "{expression}");
    }
    assert_eq!(found("[1:]", r#""text""#), "null");
}

#[test]
fn what_is_found_becomes_a_type_of_ones_own() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Placed,
        Paid { at: u64 },
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        id: Id,
        total: Option<f64>,
        note: Option<String>,
        history: Vec<Status>,
        tags: BTreeMap<String, char>,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Id(i64);

    let data = r#"{"order": {"id": -7, "total": 12.5, "note": null,
        "history": ["placed", {"paid": {"at": 3}}], "tags": {"a": "x"}}}"#;
    let order: Order = search("order", data).unwrap().deserialize().unwrap();
    assert_eq!(
        order,
        Order {
            id: Id(-7),
            total: Some(12.5),
            note: None,
            history: vec![Status::Placed, Status::Paid { at: 3 }],
            tags: BTreeMap::from([("a".to_owned(), 'x')]),
        }
    );
    assert_eq!(
        search("missing", data)
            .unwrap()
            .deserialize::<Option<u8>>()
            .unwrap(),
        None
    );
    assert!(search("missing", data).unwrap().is_null());
}

#[test]
fn an_expression_of_names_only_does_not_read_the_rest() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let data = format!(r#"{{"other": {deep}, "detail": {{"id": "a1"}}, "lone": "\ud800"}}"#);
    assert_eq!(search("detail.id", &data).unwrap().as_str(), Some("a1"));
    assert!(search("detail.id || detail", &data).is_err());
    assert!(search("detail.\"no such\"", &data).unwrap().is_null());
}

#[test]
fn an_output_can_outlive_all_but_its_text() {
    let text = r#"{"a": "plain"}"#.to_owned();
    let output = {
        let expression: Expression = "a".parse().unwrap();
        expression.search_str(&text).unwrap()
    };
    assert_eq!(output.to_string(), r#""plain""#);
    assert_eq!(format!("{output:?}"), r#"Output("plain")"#);
    assert_eq!(serde_json::to_value(&output).unwrap(), "plain");
}

#[test]
fn an_expression_is_shared_by_threads() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Expression>();
    is_shared::<Output<'static>>();

    let expression = Expression::new("powertools_json(body).id").unwrap();
    assert_eq!(expression.to_string(), "powertools_json(body).id");
    assert_eq!(
        format!("{expression:?}"),
        r#"Expression("powertools_json(body).id")"#
    );
    let threads: Vec<_> = (0..4)
        .map(|id| {
            let expression = expression.clone();
            thread::spawn(move || {
                let data = json!({"body": json!({"id": id}).to_string()});
                expression
                    .search_value(&data)
                    .unwrap()
                    .deserialize::<u8>()
                    .unwrap()
                    == id
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c]|.{0,3}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Expressions, most of them valid, over members `a`, `b` and `c`.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "@",
        "a",
        "b",
        "*",
        "[0]",
        "[-1]",
        "[1:]",
        "[::-1]",
        "[]",
        "[*]",
        "`1`",
        "`[1.5, 2]`",
        "'x'",
        "`null`",
        "`{\"c\": true}`",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (
                two.clone(),
                prop::sample::select(vec!["|", "||", "&&", "==", "!=", "<", ">=", "."])
            )
                .prop_map(|((a, b), operator)| format!("{a} {operator} {b}")),
            (
                inner.clone(),
                prop::sample::select(vec!["a", "[0]", "[*].b", "[?a == `1`]", "[].b"])
            )
                .prop_map(|(a, b)| format!("({a}) | {b}")),
            two.clone().prop_map(|(a, b)| format!("[{a}, {b}]")),
            two.clone().prop_map(|(a, b)| format!("{{a: {a}, b: {b}}}")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (
                inner,
                prop::sample::select(vec![
                    "keys",
                    "values",
                    "length",
                    "type",
                    "to_string",
                    "to_number",
                    "to_array",
                    "not_null",
                    "reverse",
                    "max",
                    "min",
                    "merge",
                ])
            )
                .prop_map(|(a, function)| format!("{function}({a})")),
            two.prop_map(|(a, b)| format!("map(&({a}), to_array({b}))")),
        ]
    })
}

proptest! {
    #[test]
    fn the_whole_is_found_as_it_was(data in any_json()) {
        let all = Expression::new("@").unwrap();
        let text = data.to_string();
        prop_assert_eq!(all.search_str(&text).unwrap().to_json(), &*text);
        prop_assert_eq!(all.search_value(&data).unwrap().to_json(), &*text);
        let raw = RawValue::from_string(text.clone()).unwrap();
        prop_assert_eq!(all.search(&raw).unwrap().to_json(), &*text);
        let wrapped = json!({"body": text});
        let unwrapped = Expression::new("powertools_json(body)").unwrap();
        prop_assert_eq!(unwrapped.search_value(&wrapped).unwrap().to_json(), &*text);
    }

    #[test]
    fn garbage_is_an_error_or_an_answer_but_never_a_panic(expression in ".{0,40}", data in any_json()) {
        if let Ok(expression) = Expression::new(&expression) {
            let _ = expression.search_value(&data);
        }
    }

    #[test]
    fn tokens_in_any_order_never_panic(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "a", ".", "[", "]", "[]", "[?", "(", ")", "{", "}", ":", ",", "|", "||", "&&", "!", "&",
                "@", "*", "0", "-1", "2147483647", "`1`", "`", "'x'", "'", "\"a\"", "\\", "==", "<", "=",
                "length(", "sort_by(", "powertools_json(", "é", " ",
            ]),
            0..24,
        ),
        data in any_json(),
    ) {
        if let Ok(expression) = Expression::new(&tokens.concat()) {
            let _ = expression.search_value(&data);
        }
    }

    #[test]
    fn bytes_that_were_compressed_come_back(text in ".*") {
        let expression = Expression::new("powertools_base64_gzip(data)").unwrap();
        let data = encoded(&gzip(text.as_bytes()));
        let found = expression.search_value(&data).unwrap();
        prop_assert_eq!(found.as_str(), Some(&*text));
    }

    /// Where whole numbers are small, the engine of the crate `jmespath` knows the right answer.
    #[test]
    fn another_engine_finds_the_same(expression in any_expression(), data in small_json()) {
        let theirs = jmespath::compile(&expression).and_then(|theirs| theirs.search(&data));
        let ours = Expression::new(&expression).and_then(|ours| ours.search_value(&data));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let ours: Value = serde_json::from_str(&ours.to_json()).unwrap();
                let theirs: Value = serde_json::to_value(&*theirs).unwrap();
                prop_assert_eq!(ours, theirs, "{}", expression);
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{expression}: {ours:?}, {theirs:?}"),
        }
    }
}

fn small_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3).prop_map(Value::from),
        "[a-c]?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}
