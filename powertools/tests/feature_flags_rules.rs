//! Flag documents and their rules, as who writes them sees it.
#![cfg(feature = "feature-flags")]

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use powertools::feature_flags::{
    EvaluationContext, FlagDocument, Problem, ProblemKind, Reason, SchemaErrors, validate,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

/// A moment, of RFC 3339.
fn at(time: &str) -> SystemTime {
    time.parse::<jiff::Timestamp>().unwrap().into()
}

fn noon() -> SystemTime {
    at("2026-11-23T12:00:00Z")
}

fn parse(document: &Value) -> FlagDocument {
    FlagDocument::parse(&document.to_string()).unwrap()
}

fn errors(text: &str) -> SchemaErrors {
    FlagDocument::parse(text).unwrap_err()
}

/// The problems of a document, each with its path.
fn problems(document: &Value) -> Vec<String> {
    let errors = errors(&document.to_string());
    errors.problems().iter().map(Problem::to_string).collect()
}

/// A document with the flag `beta`, which is on if a condition holds.
fn with_condition(condition: &Value) -> Value {
    json!({"beta": {"default": false, "rules": {"it": {"when_match": true, "conditions": [condition]}}}})
}

fn condition(action: &str, value: &Value) -> Value {
    let key = match action {
        "SCHEDULE_BETWEEN_TIME_RANGE" => "CURRENT_TIME",
        "SCHEDULE_BETWEEN_DATETIME_RANGE" => "CURRENT_DATETIME",
        "SCHEDULE_BETWEEN_DAYS_OF_WEEK" => "CURRENT_DAY_OF_WEEK",
        _ => "key",
    };
    json!({"action": action, "key": key, "value": value})
}

/// Whether a condition holds; `None` if its comparison makes no sense.
fn compare(action: &str, condition_value: &Value, context_value: &Value) -> Option<bool> {
    let document = parse(&with_condition(&condition(action, condition_value)));
    let context = EvaluationContext::new().with("key", context_value.clone());
    let evaluation = document.evaluate("beta", &context, noon()).unwrap();
    match evaluation.mismatches() {
        [] => Some(evaluation.is_enabled()),
        [mismatch] => {
            assert!(!evaluation.is_enabled());
            assert_eq!((mismatch.rule(), mismatch.key()), ("it", "key"));
            assert_eq!(mismatch.action(), action);
            None
        }
        more => panic!("{more:?}"),
    }
}

/// Whether a condition about the time holds then.
fn holds_at(action: &str, value: &Value, now: &str) -> bool {
    let document = parse(&with_condition(&condition(action, value)));
    let context = EvaluationContext::new();
    let evaluation = document.evaluate("beta", &context, at(now)).unwrap();
    evaluation.is_enabled()
}

const ACTIONS: [&str; 22] = [
    "EQUALS",
    "NOT_EQUALS",
    "KEY_GREATER_THAN_VALUE",
    "KEY_GREATER_THAN_OR_EQUAL_VALUE",
    "KEY_LESS_THAN_VALUE",
    "KEY_LESS_THAN_OR_EQUAL_VALUE",
    "STARTSWITH",
    "ENDSWITH",
    "IN",
    "NOT_IN",
    "KEY_IN_VALUE",
    "KEY_NOT_IN_VALUE",
    "VALUE_IN_KEY",
    "VALUE_NOT_IN_KEY",
    "ALL_IN_VALUE",
    "ANY_IN_VALUE",
    "NONE_IN_VALUE",
    "SCHEDULE_BETWEEN_TIME_RANGE",
    "SCHEDULE_BETWEEN_DATETIME_RANGE",
    "SCHEDULE_BETWEEN_DAYS_OF_WEEK",
    "MODULO_RANGE",
    "ROLLOUT_PERCENTAGE",
];

/// A value that a condition of this action may have.
fn some_value(action: &str) -> Value {
    match action {
        "SCHEDULE_BETWEEN_TIME_RANGE" => json!({"START": "09:00", "END": "17:00"}),
        "SCHEDULE_BETWEEN_DATETIME_RANGE" => json!({"START": "2026-01-01", "END": "2027-01-01"}),
        "SCHEDULE_BETWEEN_DAYS_OF_WEEK" => json!({"DAYS": ["MONDAY"]}),
        "MODULO_RANGE" => json!({"BASE": 10, "START": 0, "END": 9}),
        "ROLLOUT_PERCENTAGE" => json!({"PERCENTAGE": 100}),
        _ => json!(["a"]),
    }
}

#[test]
fn the_first_rule_whose_conditions_all_hold_gives_the_value() {
    let document = FlagDocument::parse(
        r#"{
            "discount": {
                "default": 0,
                "boolean_type": false,
                "rules": {
                    "z: big orders of members": {
                        "when_match": {"percent": 20},
                        "conditions": [
                            {"action": "EQUALS", "key": "member", "value": true},
                            {"action": "KEY_GREATER_THAN_VALUE", "key": "total", "value": 100}
                        ]
                    },
                    "a: members": {
                        "when_match": {"percent": 5},
                        "conditions": [{"action": "EQUALS", "key": "member", "value": true}]
                    }
                }
            }
        }"#,
    )
    .unwrap();
    let decide = |context: &EvaluationContext| {
        let evaluation = document.evaluate("discount", context, noon()).unwrap();
        let rule = evaluation.reason().rule().map(str::to_owned);
        (evaluation.value().clone(), rule)
    };

    let member = EvaluationContext::new().with("member", true);
    let big = member.clone().with("total", 100.5);
    let guest = EvaluationContext::new().with("total", 500);
    let first = Some("z: big orders of members".to_owned());
    assert_eq!(decide(&big), (json!({"percent": 20}), first));
    let second = Some("a: members".to_owned());
    assert_eq!(decide(&member), (json!({"percent": 5}), second));
    assert_eq!(decide(&guest), (json!(0), None));
}

#[test]
fn an_evaluation_says_why() {
    let document = parse(&json!({
        "plain": {"default": true},
        "ruled": with_condition(&condition("EQUALS", &json!(1)))["beta"],
        "rolled": with_condition(&condition("ROLLOUT_PERCENTAGE", &json!({"PERCENTAGE": 100})))["beta"],
    }));
    let context = EvaluationContext::new().with("key", 1);
    let reason = |flag, context: &EvaluationContext| {
        let evaluation = document.evaluate(flag, context, noon());
        evaluation.map(|it| format!("{:?}", it.reason()))
    };
    let nothing = EvaluationContext::new();
    assert_eq!(reason("plain", &context).unwrap(), "Static");
    assert_eq!(reason("ruled", &nothing).unwrap(), "Default");
    assert_eq!(
        reason("ruled", &context).unwrap(),
        r#"RuleMatch { rule: "it" }"#
    );
    assert_eq!(
        reason("rolled", &context).unwrap(),
        r#"Rollout { rule: "it" }"#
    );
    assert_eq!(reason("unknown", &context), None);
}

#[test]
fn flags_are_on_when_their_value_is_neither_false_nor_null_nor_zero_nor_empty() {
    let flag = |value: Value| json!({"default": value, "boolean_type": false});
    let document = parse(&json!({
        "b": {"default": true},
        "a": flag(json!("text")),
        "ä": flag(json!([0])),
        "Z": flag(json!(-0.5)),
        "object": flag(json!({"a": null})),
        "off": {"default": false},
        "zero": flag(json!(0)),
        "minus zero": flag(json!(-0.0)),
        "no text": flag(json!("")),
        "no elements": flag(json!([])),
        "no members": flag(json!({})),
        "null": {"default": 1, "boolean_type": false, "rules": {"it": {
            "conditions": [condition("NOT_EQUALS", &json!(5))],
        }}},
    }));
    let context = EvaluationContext::new().with("key", 1);
    assert_eq!(
        document.enabled(&context, noon()),
        ["Z", "a", "b", "object", "ä"]
    );
    assert_eq!(document.names().len(), 12);
    let null = document.evaluate("null", &context, noon()).unwrap();
    assert_eq!(null.value(), &Value::Null);
}

#[test]
fn a_key_that_is_not_there_never_matches() {
    for action in ACTIONS {
        let document = parse(&with_condition(&condition(action, &some_value(action))));
        let context = EvaluationContext::new().with("another", "a");
        let evaluation = document.evaluate("beta", &context, noon()).unwrap();
        let is_about_time = action.starts_with("SCHEDULE");
        assert_eq!(evaluation.is_enabled(), is_about_time, "{action}");
        assert!(evaluation.mismatches().is_empty());
    }
}

#[test]
fn null_is_a_value_like_any_other() {
    let null = json!(null);
    assert_eq!(compare("EQUALS", &json!("a"), &null), Some(false));
    assert_eq!(compare("NOT_EQUALS", &json!("a"), &null), Some(true));
    assert_eq!(compare("IN", &json!(["a", null]), &null), Some(true));
    assert_eq!(compare("NOT_IN", &json!(["a"]), &null), Some(true));
    assert_eq!(compare("STARTSWITH", &json!("a"), &null), None);
}

#[test]
fn values_are_compared_as_their_types_allow() {
    let yes = Some(true);
    let no = Some(false);
    for (action, condition, context, expected) in [
        ("EQUALS", json!("pro"), json!("pro"), yes),
        ("EQUALS", json!("pro"), json!("Pro"), no),
        ("EQUALS", json!(265.0), json!(265), yes),
        ("EQUALS", json!(5), json!("5"), no),
        ("EQUALS", json!(false), json!(false), yes),
        (
            "EQUALS",
            json!({"a": [1, 2.0]}),
            json!({"a": [1.0, 2]}),
            yes,
        ),
        ("NOT_EQUALS", json!("pro"), json!("Pro"), yes),
        ("NOT_EQUALS", json!([1]), json!([1.0]), no),
        ("KEY_GREATER_THAN_VALUE", json!(100), json!(100.5), yes),
        ("KEY_GREATER_THAN_VALUE", json!(100), json!(100), no),
        (
            "KEY_GREATER_THAN_OR_EQUAL_VALUE",
            json!(100),
            json!(100.0),
            yes,
        ),
        ("KEY_LESS_THAN_VALUE", json!("b"), json!("a"), yes),
        ("KEY_LESS_THAN_VALUE", json!("😀"), json!("\u{ffff}"), yes),
        ("KEY_LESS_THAN_OR_EQUAL_VALUE", json!("a"), json!("a"), yes),
        ("KEY_LESS_THAN_OR_EQUAL_VALUE", json!("a"), json!("aa"), no),
        ("KEY_LESS_THAN_VALUE", json!(266), json!("265"), None),
        ("KEY_LESS_THAN_VALUE", json!([2]), json!([1]), None),
        ("KEY_LESS_THAN_VALUE", json!(true), json!(false), None),
        ("STARTSWITH", json!("eu-"), json!("eu-west-1"), yes),
        ("STARTSWITH", json!("EU-"), json!("eu-west-1"), no),
        ("STARTSWITH", json!(""), json!(""), yes),
        ("STARTSWITH", json!("4"), json!(4711), None),
        ("STARTSWITH", json!(["eu-"]), json!("eu-west-1"), None),
        ("ENDSWITH", json!("@x.com"), json!("zoë@x.com"), yes),
        ("ENDSWITH", json!("zoë"), json!("zoë@x.com"), no),
        ("ENDSWITH", json!(1), json!("a1"), None),
        ("IN", json!(["a", "b"]), json!("b"), yes),
        ("IN", json!([1, 2]), json!(2.0), yes),
        ("IN", json!([[1], {"a": 1}]), json!({"a": 1.0}), yes),
        ("IN", json!([628]), json!("628"), no),
        ("IN", json!("x-indigo-y"), json!("indigo"), yes),
        ("IN", json!("x"), json!(""), yes),
        ("IN", json!("12"), json!(1), None),
        ("IN", json!({"a": 1}), json!("a"), yes),
        ("IN", json!({"1": 1}), json!(1), no),
        ("IN", json!({"a": 1}), json!(["a"]), None),
        ("IN", json!(265), json!(265), None),
        ("KEY_IN_VALUE", json!(["a"]), json!("a"), yes),
        ("NOT_IN", json!(["a"]), json!("A"), yes),
        ("NOT_IN", json!("abc"), json!("b"), no),
        ("NOT_IN", json!({"a": 1}), json!(1), yes),
        ("NOT_IN", json!(265), json!("a"), None),
        ("NOT_IN", json!("12"), json!(3), None),
        ("KEY_NOT_IN_VALUE", json!([]), json!("a"), yes),
        (
            "VALUE_IN_KEY",
            json!("admin"),
            json!(["user", "admin"]),
            yes,
        ),
        ("VALUE_IN_KEY", json!(1), json!([1.0]), yes),
        ("VALUE_IN_KEY", json!("solar"), json!("hazel/solar"), yes),
        ("VALUE_IN_KEY", json!("a"), json!({"a": null}), yes),
        ("VALUE_IN_KEY", json!("a"), json!(null), None),
        ("VALUE_NOT_IN_KEY", json!("97"), json!([97, 669]), yes),
        ("VALUE_NOT_IN_KEY", json!("a"), json!("abc"), no),
        ("VALUE_NOT_IN_KEY", json!("a"), json!(265), None),
        ("VALUE_NOT_IN_KEY", json!(5), json!("abc"), None),
        (
            "ALL_IN_VALUE",
            json!(["a", "b"]),
            json!(["a", "b", "a"]),
            yes,
        ),
        ("ALL_IN_VALUE", json!(["a", "b"]), json!(["a", "c"]), no),
        ("ALL_IN_VALUE", json!(["a"]), json!([]), yes),
        ("ALL_IN_VALUE", json!(["a"]), json!("a"), None),
        ("ANY_IN_VALUE", json!([1, "b"]), json!([3, 1.0]), yes),
        ("ANY_IN_VALUE", json!(["a"]), json!([]), no),
        ("ANY_IN_VALUE", json!(["a"]), json!({"a": 1}), None),
        ("NONE_IN_VALUE", json!(["a"]), json!(["b", "c"]), yes),
        ("NONE_IN_VALUE", json!(["a"]), json!(["b", "a"]), no),
        ("NONE_IN_VALUE", json!(["a"]), json!([]), yes),
        ("NONE_IN_VALUE", json!(["a"]), json!("b"), None),
    ] {
        let compared = compare(action, &condition, &context);
        assert_eq!(compared, expected, "{context} {action} {condition}");
    }
}

#[test]
fn a_remainder_is_never_negative_and_its_range_inclusive() {
    let in_range = |context: Value| {
        compare(
            "MODULO_RANGE",
            &json!({"BASE": 40, "START": 35, "END": 37}),
            &context,
        )
    };
    assert_eq!(in_range(json!(35)), Some(true));
    assert_eq!(in_range(json!(77)), Some(true));
    assert_eq!(in_range(json!(78)), Some(false));
    assert_eq!(in_range(json!(-3)), Some(true));
    assert_eq!(in_range(json!(-43.5)), Some(true));
    assert_eq!(in_range(json!(37.5)), Some(false));
    // 2^64 - 1 is 15 modulo 40: as a float it would be 16.
    let exactly = json!({"BASE": 40, "START": 15, "END": 15});
    assert_eq!(
        compare("MODULO_RANGE", &exactly, &json!(u64::MAX)),
        Some(true)
    );
    for context in [json!("35"), json!(true), json!(null), json!([35])] {
        assert_eq!(in_range(context), None);
    }
}

#[test]
fn a_mismatch_says_what_the_context_had() {
    let document = parse(&with_condition(&condition("ENDSWITH", &json!("x"))));
    let context = EvaluationContext::new().with("key", json!({"secret": "hush"}));
    let evaluation = document.evaluate("beta", &context, noon()).unwrap();
    let [mismatch] = evaluation.mismatches() else {
        panic!("{evaluation:?}");
    };
    assert_eq!(mismatch.found(), "an object");
    assert!(!format!("{evaluation:?}").contains("hush"));
}

#[test]
fn a_time_range_goes_by_whole_minutes() {
    let day = json!({"START": "09:00", "END": "17:00"});
    for (time, expected) in [
        ("08:59:59.999999999", false),
        ("09:00:00", true),
        ("17:00:59.999999999", true),
        ("17:01:00", false),
    ] {
        let now = format!("2026-11-23T{time}Z");
        assert_eq!(
            holds_at("SCHEDULE_BETWEEN_TIME_RANGE", &day, &now),
            expected,
            "{now}"
        );
    }
    let minute = json!({"START": "12:30", "END": "12:30", "TIMEZONE": null});
    assert!(holds_at(
        "SCHEDULE_BETWEEN_TIME_RANGE",
        &minute,
        "2026-11-23T12:30:59Z"
    ));
    assert!(!holds_at(
        "SCHEDULE_BETWEEN_TIME_RANGE",
        &minute,
        "2026-11-23T12:31:00Z"
    ));
}

#[test]
fn a_time_range_whose_end_is_before_its_start_crosses_midnight() {
    let night = json!({"START": "22:00", "END": "06:00"});
    let almost_always = json!({"START": "23:30", "END": "23:00"});
    for (time, expected) in [
        ("21:59:59", false),
        ("22:00:00", true),
        ("00:00:00", true),
        ("06:00:59.999", true),
        ("06:01:00", false),
    ] {
        let now = format!("2026-11-23T{time}Z");
        assert_eq!(
            holds_at("SCHEDULE_BETWEEN_TIME_RANGE", &night, &now),
            expected,
            "{now}"
        );
    }
    assert!(holds_at(
        "SCHEDULE_BETWEEN_TIME_RANGE",
        &almost_always,
        "2026-11-23T23:00:59Z"
    ));
    assert!(!holds_at(
        "SCHEDULE_BETWEEN_TIME_RANGE",
        &almost_always,
        "2026-11-23T23:29:59Z"
    ));
}

#[test]
fn the_clock_on_the_wall_counts_while_it_is_changed() {
    let berlin =
        |start: &str, end: &str| json!({"START": start, "END": end, "TIMEZONE": "Europe/Berlin"});
    let at = |value: &Value, now| holds_at("SCHEDULE_BETWEEN_TIME_RANGE", value, now);

    // On this day there is no time between 02:00 and 03:00.
    let missing = berlin("02:00", "02:59");
    assert!(!at(&missing, "2026-03-29T00:59:59Z"));
    assert!(!at(&missing, "2026-03-29T01:00:00Z"));
    let around = berlin("01:30", "03:30");
    assert!(at(&around, "2026-03-29T00:30:00Z"));
    assert!(at(&around, "2026-03-29T01:30:00Z"));
    assert!(!at(&around, "2026-03-29T01:31:00Z"));

    // And on this one the hour passes twice.
    let twice = berlin("02:00", "02:59");
    assert!(!at(&twice, "2026-10-24T23:59:59Z"));
    assert!(at(&twice, "2026-10-25T00:00:00Z"));
    assert!(at(&twice, "2026-10-25T01:59:59Z"));
    assert!(!at(&twice, "2026-10-25T02:00:00Z"));

    // Half an hour, on Lord Howe Island.
    let lord_howe = json!({"START": "01:30", "END": "01:59", "TIMEZONE": "Australia/Lord_Howe"});
    assert!(at(&lord_howe, "2026-04-04T14:45:00Z"));
    assert!(at(&lord_howe, "2026-04-04T15:15:00Z"));
    assert!(!at(&lord_howe, "2026-04-04T15:45:00Z"));
}

#[test]
fn a_date_and_time_range_includes_both_ends_to_the_microsecond() {
    let at = |value: &Value, now| holds_at("SCHEDULE_BETWEEN_DATETIME_RANGE", value, now);
    let range = json!({"START": "2026-11-23T12:00:00.000001", "END": "2026-11-24"});
    assert!(!at(&range, "2026-11-23T12:00:00.000000999Z"));
    assert!(at(&range, "2026-11-23T12:00:00.000001Z"));
    assert!(at(&range, "2026-11-24T00:00:00.000000999Z"));
    assert!(!at(&range, "2026-11-24T00:00:00.000001Z"));

    let kolkata = json!({"START": "2026-04-16 11:47:57", "END": "2026-04-16 12:47:57", "TIMEZONE": "Asia/Kolkata"});
    assert!(at(&kolkata, "2026-04-16T07:17:57Z"));
    assert!(!at(&kolkata, "2026-04-16T07:17:58Z"));
    let never = json!({"START": "2026-11-24", "END": "2026-11-23"});
    assert!(!at(&never, "2026-11-23T12:00:00Z"));

    // The hour that passes twice: what is in it by the clock on the wall is in it both times.
    let berlin = json!({"START": "2026-10-25T02:15", "END": "2026-10-25T02:45", "TIMEZONE": "Europe/Berlin"});
    for (now, expected) in [
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T01:00:00Z", false),
        ("2026-10-25T01:30:00Z", true),
        ("2026-10-25T01:46:00Z", false),
    ] {
        assert_eq!(at(&berlin, now), expected, "{now}");
    }
}

#[test]
fn days_of_the_week_are_those_of_the_zone() {
    let at = |value: &Value, now: &str| holds_at("SCHEDULE_BETWEEN_DAYS_OF_WEEK", value, now);
    let days = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    for (index, day) in days.iter().enumerate() {
        let now = format!("2026-11-{}T12:00:00Z", 23 + index);
        for other in days {
            let value = json!({"DAYS": [other]});
            assert_eq!(at(&value, &now), other == *day, "{now} {other}");
        }
    }
    let thursday = json!({"DAYS": ["THURSDAY", "THURSDAY"], "TIMEZONE": "Asia/Kolkata"});
    assert!(at(&thursday, "2025-10-15T19:31:23Z"));
    let nowhere = json!({"DAYS": []});
    assert!(!at(&nowhere, "2026-11-23T12:00:00Z"));
}

#[test]
fn times_before_1970_have_a_clock_too() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let value = json!({"START": "23:59", "END": "23:59"});
    let document = parse(&with_condition(&condition(
        "SCHEDULE_BETWEEN_TIME_RANGE",
        &value,
    )));
    let evaluation = document.evaluate("beta", &EvaluationContext::new(), before);
    assert!(evaluation.unwrap().is_enabled());
}

#[test]
fn every_problem_is_found_at_once_with_its_path() {
    let document = r#"{
        "list": [],
        "empty": {},
        "ok": {"default": true, "rules": null, "owner": "shop"},
        "beta": {
            "default": "yes",
            "rules": {
                "": {"when_match": true, "conditions": [{"action": "EQUALS", "key": "a", "value": 1}]},
                "pro in the EU": {
                    "when_match": 1,
                    "conditions": [
                        {"action": "LIKE", "key": "", "value": null},
                        {},
                        {"action": "NONE_IN_VALUE", "key": "roles", "value": "admin"}
                    ]
                },
                "none": {"conditions": []}
            }
        },
        "text": {"boolean_type": false, "rules": ["r"]}
    }"#;
    let errors = errors(document);
    let found: Vec<_> = errors.problems().iter().map(Problem::to_string).collect();
    let all_actions = ACTIONS.join(", ");
    assert_eq!(
        found,
        [
            "$.list: must be an object, not an array",
            "$.empty: must not be empty",
            "$.beta.default: must be a boolean, not a string",
            r#"$.beta.rules[""]: a rule must have a name"#,
            r#"$.beta.rules["pro in the EU"].when_match: must be a boolean, not a number"#,
            &*format!(
                r#"$.beta.rules["pro in the EU"].conditions[0].action: "LIKE" is no action; there are {all_actions}"#
            ),
            r#"$.beta.rules["pro in the EU"].conditions[0].key: must not be empty"#,
            r#"$.beta.rules["pro in the EU"].conditions[0].value: is missing"#,
            r#"$.beta.rules["pro in the EU"].conditions[1]: must not be empty"#,
            r#"$.beta.rules["pro in the EU"].conditions[2].value: must be an array, not a string"#,
            "$.beta.rules.none.when_match: is missing",
            "$.beta.rules.none.conditions: must not be empty",
            "$.text.default: is missing",
            "$.text.rules: must be an object, not an array",
        ]
    );
    assert_eq!(
        errors.to_string(),
        "invalid flag document: $.list: must be an object, not an array (and 13 more)"
    );
    assert_eq!(validate(document), Err(errors));
}

#[test]
fn the_values_of_conditions_are_checked_for_their_actions() {
    let of = |action: &str, value: Value| problems(&with_condition(&condition(action, &value)));
    const VALUE: &str = "$.beta.rules.it.conditions[0].value";

    let range = |start, end| {
        of(
            "SCHEDULE_BETWEEN_TIME_RANGE",
            json!({"START": start, "END": end}),
        )
    };
    assert_eq!(
        range(json!("9:00"), json!(null)),
        [
            format!("{VALUE}.START: must be a time of the form HH:MM, from 00:00 to 23:59"),
            format!("{VALUE}.END: is missing"),
        ]
    );
    assert_eq!(
        of("SCHEDULE_BETWEEN_TIME_RANGE", json!("09:00")),
        [format!("{VALUE}: must be an object, not a string")]
    );
    assert_eq!(
        of(
            "SCHEDULE_BETWEEN_DATETIME_RANGE",
            json!({"START": "2026-01-01T00:00:00Z", "END": "2026-13-01", "TIMEZONE": "CEST-ish"})
        ),
        [
            format!("{VALUE}.START: must have neither Z nor an offset: TIMEZONE says the zone"),
            format!(
                "{VALUE}.END: must be a date or a date and time of ISO 8601, such as 2026-11-23T12:00:00"
            ),
            format!(r#"{VALUE}.TIMEZONE: "CEST-ish" is no time zone of the IANA database"#),
        ]
    );
    assert_eq!(
        of(
            "SCHEDULE_BETWEEN_DAYS_OF_WEEK",
            json!({"DAYS": ["MONDAY", "Friday", 1], "TIMEZONE": 2})
        ),
        [
            format!(
                r#"{VALUE}.DAYS[1]: "Friday" is no day of the week; there are MONDAY to SUNDAY"#
            ),
            format!("{VALUE}.DAYS[2]: must be a string, not a number"),
            format!("{VALUE}.TIMEZONE: must be a string, not a number"),
        ]
    );
    assert_eq!(
        of("SCHEDULE_BETWEEN_DAYS_OF_WEEK", json!({"TIMEZONE": "UTC"})),
        [format!("{VALUE}.DAYS: is missing")]
    );
    assert_eq!(
        of("MODULO_RANGE", json!({"BASE": 100.0, "START": "0"})),
        [
            format!("{VALUE}.BASE: must be a whole number, not a decimal number"),
            format!("{VALUE}.START: must be a whole number, not a string"),
            format!("{VALUE}.END: is missing"),
        ]
    );
    for (base, start, end) in [
        (100, 10, 5),
        (100, 0, 100),
        (100, -1, 5),
        (0, 0, 0),
        (-5, 0, 0),
    ] {
        assert_eq!(
            of(
                "MODULO_RANGE",
                json!({"BASE": base, "START": start, "END": end})
            ),
            [format!(
                "{VALUE}: must fulfil 0 <= START <= END <= BASE - 1"
            )]
        );
    }
    assert_eq!(
        of(
            "ROLLOUT_PERCENTAGE",
            json!({"PERCENTAGE": 100.5, "SALT": 1})
        ),
        [
            format!("{VALUE}.PERCENTAGE: must be from 0 to 100"),
            format!("{VALUE}.SALT: must be a string, not a number"),
        ]
    );
    assert_eq!(
        of("ROLLOUT_PERCENTAGE", json!(50)),
        [format!("{VALUE}: must be an object, not a number")]
    );
}

#[test]
fn rules_about_the_time_have_a_fixed_key() {
    for (action, key) in [
        ("SCHEDULE_BETWEEN_TIME_RANGE", "CURRENT_TIME"),
        ("SCHEDULE_BETWEEN_DATETIME_RANGE", "CURRENT_DATETIME"),
        ("SCHEDULE_BETWEEN_DAYS_OF_WEEK", "CURRENT_DAY_OF_WEEK"),
    ] {
        let mut condition = condition(action, &some_value(action));
        condition["key"] = json!("CURRENT_HOUR");
        assert_eq!(
            problems(&with_condition(&condition)),
            [format!(
                r#"$.beta.rules.it.conditions[0].key: must be "{key}" for {action}"#
            )]
        );
    }
}

#[test]
fn actions_are_spelled_exactly() {
    for action in ACTIONS {
        let value = some_value(action);
        assert!(validate(&with_condition(&condition(action, &value)).to_string()).is_ok());
        for other in [action.to_lowercase(), format!("{action} ")] {
            let mut condition = condition(action, &value);
            condition["action"] = json!(other);
            let errors = errors(&with_condition(&condition).to_string());
            let kind = errors.problems()[0].kind();
            assert!(
                matches!(kind, ProblemKind::UnknownAction { .. }),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn what_is_not_needed_may_be_missing_or_empty() {
    for document in [
        json!({}),
        json!({"a": {"default": true}}),
        json!({"": {"default": false, "rules": null}}),
        json!({"a": {"default": false, "rules": {}, "description": null}}),
        json!({"a": {"default": false, "rules": []}}),
        json!({"a": {"default": 1, "boolean_type": false}}),
        json!({"a": {"default": false, "boolean_type": true}}),
        json!({"a": {"default": {}, "boolean_type": null}}),
    ] {
        assert_eq!(validate(&document.to_string()), Ok(()), "{document}");
    }
    for document in [
        json!([]),
        json!("a"),
        json!(null),
        json!({"a": null}),
        json!({"a": true}),
        json!({"a": {"default": null, "boolean_type": false}}),
        json!({"a": {"default": 1}}),
        json!({"a": {"default": 1, "boolean_type": true}}),
        json!({"a": {"default": true, "rules": [1]}}),
        json!({"a": {"default": true, "rules": "r"}}),
        json!({"a": {"default": true, "rules": {"r": null}}}),
        json!({"a": {"default": true, "rules": {"r": {"when_match": true, "conditions": {}}}}}),
        json!({"a": {"default": true, "rules": {"r": {"when_match": null, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]}}}}),
    ] {
        assert!(validate(&document.to_string()).is_err(), "{document}");
    }
}

#[test]
fn a_mistake_in_one_flag_makes_the_document_unusable() {
    let document = json!({
        "good": {"default": true},
        "bad": with_condition(&condition("LIKE", &json!(1)))["beta"],
    });
    let [problem] = &*problems(&document) else {
        panic!("one problem");
    };
    assert!(
        problem.starts_with("$.bad.rules.it.conditions[0].action: "),
        "{problem}"
    );
}

#[test]
fn whatever_is_too_much_is_a_problem_of_its_own() {
    let huge = format!(
        r#"{{"a": {{"default": "{}"}}}}"#,
        "x".repeat(10 * 1024 * 1024)
    );
    let too_large = errors(&huge);
    let [problem] = too_large.problems() else {
        panic!("one problem");
    };
    assert!(
        matches!(problem.kind(), ProblemKind::TooLarge { bytes, limit, .. }
            if *bytes == huge.len() && *limit == FlagDocument::MAX_BYTES)
    );

    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (document, path) in [
        (deep.clone(), "$"),
        (format!(r#"{{"a": {deep}}}"#), "$.a"),
        (
            format!(r#"{{"a": {{"default": {deep}, "boolean_type": false}}}}"#),
            "$.a.default",
        ),
    ] {
        assert_eq!(errors(&document).problems()[0].path(), path);
    }
    // What means nothing is not read.
    let ignored = format!(r#"{{"a": {{"default": true, "notes": {deep}}}}}"#);
    assert_eq!(validate(&ignored), Ok(()));

    let conditions = vec![json!({}); 1_000];
    let many = json!({"a": {"default": true, "rules": {"r": {"when_match": true, "conditions": conditions}}}});
    let errors = errors(&many.to_string());
    assert_eq!((errors.problems().len(), errors.omitted()), (100, 900));
}

#[test]
fn numbers_of_a_document_are_not_rounded() {
    let document = FlagDocument::parse(
        r#"{
            "big": {"default": 9007199254740993, "boolean_type": false},
            "fraction": {"default": 0.9042169454893371, "boolean_type": false},
            "is it": {"default": false, "rules": {"r": {"when_match": true, "conditions": [
                {"action": "EQUALS", "key": "id", "value": 9007199254740993},
                {"action": "IN", "key": "share", "value": [0.9042169454893371]}
            ]}}}
        }"#,
    )
    .unwrap();
    let context = |text| EvaluationContext::from_json(text).unwrap();
    let value = |flag, context: &EvaluationContext| {
        document
            .evaluate(flag, context, noon())
            .unwrap()
            .value()
            .clone()
    };
    let exact = context(r#"{"id": 9007199254740993, "share": 0.9042169454893371}"#);
    assert_eq!(value("big", &exact).to_string(), "9007199254740993");
    assert_eq!(
        value("fraction", &exact).as_f64(),
        Some(0.904_216_945_489_337_1)
    );
    assert_eq!(value("is it", &exact), json!(true));
    let beside = context(r#"{"id": 9007199254740992, "share": 0.9042169454893371}"#);
    assert_eq!(value("is it", &beside), json!(false));
}

#[test]
fn of_two_members_with_one_name_the_last_counts() {
    let document = FlagDocument::parse(
        r#"{
            "a": {"default": true},
            "b": {"default": 1, "boolean_type": false, "rules": {
                "x": {"when_match": 2, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]},
                "y": {"when_match": 3, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]},
                "x": {"when_match": 4, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]}
            }},
            "a": {"default": false}
        }"#,
    )
    .unwrap();
    assert_eq!(document.names().collect::<Vec<_>>(), ["a", "b"]);
    let context = EvaluationContext::new().with("k", 1);
    assert_eq!(document.enabled(&context, noon()), ["b"]);
    let b = document.evaluate("b", &context, noon()).unwrap();
    assert_eq!((b.value(), b.reason().rule()), (&json!(4), Some("x")));
}

#[test]
fn nothing_of_a_value_is_in_a_message_or_debug_output() {
    let broken = r#"{"password": "hush-1", "nested": {"default": "hush-2", "rules": {"r": {"when_match": "hush-3"}}}, "x": {"default": hush-4}}"#;
    let secret = broken.replace("hush-4", "\"hush-4\"");
    for text in [broken, &secret] {
        let errors = errors(text);
        assert!(!format!("{errors} {errors:?}").contains("hush"));
    }
    let document = parse(&json!({"a": {"default": "hush", "boolean_type": false}}));
    assert_eq!(format!("{document:?}"), r#"FlagDocument { flags: ["a"] }"#);
    let context = EvaluationContext::new().with("email", "hush@example.com");
    assert_eq!(format!("{context:?}"), r#"{"email"}"#);
    let error = EvaluationContext::from_json(r#"{"a": "hush"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[test]
fn a_context_is_made_of_whatever_there_is() {
    let by_hand = EvaluationContext::new().with("tier", "pro").with("user", 1);
    let by_pairs: EvaluationContext = [("tier", json!("pro")), ("user", json!(1))]
        .into_iter()
        .collect();
    let by_text = EvaluationContext::from_json(r#" {"user": 1, "tier": "pro"} "#).unwrap();
    let Value::Object(map) = json!({"tier": "pro", "user": 1}) else {
        panic!("an object");
    };
    assert_eq!(by_hand, by_pairs);
    assert_eq!(by_hand, by_text);
    assert_eq!(by_hand, map.into());

    let problem = |text: &str| EvaluationContext::from_json(text).unwrap_err().to_string();
    assert_eq!(problem("[]"), "$: must be an object, not an array");
    assert_eq!(problem("{"), "$: not JSON at line 1, column 1");
    assert_eq!(problem(r#"{"a": 1e999}"#), "$.a: number out of range");
}

#[test]
fn a_rollout_is_stable_and_only_ever_grows() {
    let is_in = |percentage: f64, user: &str| {
        let value = json!({"PERCENTAGE": percentage, "SALT": "new-checkout"});
        compare("ROLLOUT_PERCENTAGE", &value, &json!(user)) == Some(true)
    };
    // As the documentation says.
    assert!(!is_in(51.92, "user-1") && is_in(51.93, "user-1"));
    assert!(!is_in(64.32, "4711") && is_in(64.33, "4711"));

    let users: Vec<String> = (0..200).map(|user| format!("user-{user}")).collect();
    let mut before = BTreeSet::new();
    for percentage in [0.0, 1.0, 12.5, 50.0, 99.5, 100.0] {
        let now: BTreeSet<_> = users
            .iter()
            .filter(|user| is_in(percentage, user))
            .collect();
        assert!(now.is_superset(&before), "{percentage}");
        before = now;
    }
    assert_eq!(before.len(), users.len());
}

#[test]
fn a_rollout_without_a_salt_takes_the_name_of_its_flag() {
    let document = parse(&json!({
        "new-checkout": with_condition(&condition("ROLLOUT_PERCENTAGE", &json!({"PERCENTAGE": 52})))["beta"],
        "another": with_condition(&condition("ROLLOUT_PERCENTAGE", &json!({"PERCENTAGE": 52, "SALT": "new-checkout"})))["beta"],
    }));
    for user in 0..100 {
        let context = EvaluationContext::new().with("key", format!("user-{user}"));
        let on = document.enabled(&context, noon());
        assert!(on.is_empty() || on == ["another", "new-checkout"]);
    }
}

#[test]
fn flags_of_the_native_type_are_booleans_with_attributes() {
    let document = FlagDocument::parse_native(
        r#"{
            "new_checkout": {"enabled": true, "limit": 20, "regions": ["eu-west-1"]},
            "banner": {"enabled": true, "_variant": "winter", "text": "Ho ho"},
            "version": {"enabled": false}
        }"#,
    )
    .unwrap();
    let nothing = EvaluationContext::new();
    assert_eq!(
        document.enabled(&nothing, noon()),
        ["banner", "new_checkout"]
    );

    let checkout = document.evaluate("new_checkout", &nothing, noon()).unwrap();
    assert_eq!(checkout.value(), &json!(true));
    assert_eq!(checkout.reason(), Reason::Static);
    assert_eq!(checkout.attribute("limit"), Some(&json!(20)));
    assert_eq!(checkout.attribute("regions"), Some(&json!(["eu-west-1"])));
    assert_eq!(checkout.attribute("enabled"), None);
    assert_eq!(checkout.variant(), None);
    let banner = document.evaluate("banner", &nothing, noon()).unwrap();
    assert_eq!(banner.variant(), Some("winter"));
}

#[test]
fn the_written_form_of_native_flags_is_read_as_well() {
    let document = FlagDocument::parse_native(
        r#"{
            "version": "1",
            "flags": {
                "new_checkout": {"name": "New checkout", "attributes": {"limit": {"constraints": {"type": "number"}}}}
            },
            "values": {"new_checkout": {"enabled": true, "limit": 20}}
        }"#,
    )
    .unwrap();
    let nothing = EvaluationContext::new();
    let checkout = document.evaluate("new_checkout", &nothing, noon()).unwrap();
    assert!(checkout.is_enabled());
    assert_eq!(checkout.attribute("limit"), Some(&json!(20)));
    assert_eq!(document.names().len(), 1);

    let without = FlagDocument::parse_native(r#"{"version": "1", "flags": {}}"#).unwrap();
    assert_eq!(without.names().len(), 0);
}

#[test]
fn problems_of_native_flags_have_their_paths_too() {
    let problems = |text: &str| {
        let errors = FlagDocument::parse_native(text).unwrap_err();
        errors
            .problems()
            .iter()
            .map(Problem::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        problems(r#"{"a": {"enabled": "yes"}, "b": {"limit": 1e999}, "c": true}"#),
        [
            "$.a.enabled: must be a boolean, not a string",
            "$.b.enabled: is missing",
            "$.b.limit: number out of range",
            "$.c: must be an object, not a boolean",
        ]
    );
    assert_eq!(
        problems(
            r#"{"version": "1", "values": {"a": {"_variants": [{"name": "x", "enabled": true}]}}}"#
        ),
        ["$.values.a: has variants, which only the AppConfig agent can choose from"]
    );
    assert_eq!(problems("[]"), ["$: must be an object, not an array"]);
    // A document of the other kind is not taken for one of this.
    let other = with_condition(&condition("EQUALS", &json!(1))).to_string();
    assert_eq!(problems(&other), ["$.beta.enabled: is missing"]);
}

#[test]
fn a_document_is_shared_by_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<FlagDocument>();
    is_shared::<EvaluationContext>();
    is_shared::<SchemaErrors>();
}

#[test]
fn an_evaluation_allocates_nothing() {
    for action in ACTIONS {
        let (condition_value, context_value) = match action {
            "MODULO_RANGE" => (some_value(action), json!(7)),
            "STARTSWITH" | "ENDSWITH" => (json!("a"), json!("a")),
            "ALL_IN_VALUE" | "ANY_IN_VALUE" | "NONE_IN_VALUE" => (json!(["a", 1]), json!([1, "a"])),
            _ if action.ends_with("THAN_VALUE") => (json!(1), json!(1.5)),
            _ if action.ends_with("THAN_OR_EQUAL_VALUE") => (json!("a"), json!("a")),
            _ if action.starts_with("VALUE") => (json!("a"), json!(["a"])),
            _ => (some_value(action), json!("a")),
        };
        let document = parse(&with_condition(&condition(action, &condition_value)));
        let context = EvaluationContext::new().with("key", context_value);
        let evaluate = || {
            let evaluation = document.evaluate("beta", &context, noon()).unwrap();
            assert!(evaluation.mismatches().is_empty(), "{action}");
        };
        // The first time may ask the system for its time zones.
        evaluate();
        let allocations = allocation_counter::measure(evaluate).count_total;
        assert_eq!(allocations, 0, "{action}");
    }
}

/// The rules once more, as plainly as they can be written down.
mod naive {
    use serde_json::Value;

    #[derive(Clone, Debug)]
    pub(crate) struct Condition {
        pub(crate) action: &'static str,
        pub(crate) key: String,
        pub(crate) value: Value,
    }

    /// Numbers are whole and within 64 bits, or fractions whose `f64` is exact.
    fn number(value: &Value) -> Option<f64> {
        value.as_f64()
    }

    fn equal(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(_), Value::Number(_)) => number(a) == number(b),
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && (0..a.len()).all(|index| equal(&a[index], &b[index]))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.keys().eq(b.keys()) && a.keys().all(|name| equal(&a[name], &b[name]))
            }
            _ => a == b,
        }
    }

    fn within(a: &Value, b: &Value) -> Result<bool, ()> {
        match (a, b) {
            (a, Value::Array(b)) => Ok(b.iter().any(|b| equal(a, b))),
            (Value::String(a), Value::String(b)) => Ok(b.contains(a.as_str())),
            (Value::Array(_) | Value::Object(_), Value::Object(_)) => Err(()),
            (a, Value::Object(b)) => Ok(a.as_str().is_some_and(|a| b.contains_key(a))),
            _ => Err(()),
        }
    }

    fn less(a: &Value, b: &Value) -> Result<bool, ()> {
        match (a, b) {
            (Value::Number(_), Value::Number(_)) => Ok(number(a) < number(b)),
            (Value::String(a), Value::String(b)) => Ok(a.chars().lt(b.chars())),
            _ => Err(()),
        }
    }

    fn elements(a: &Value) -> Result<&Vec<Value>, ()> {
        a.as_array().ok_or(())
    }

    fn compare(action: &str, a: &Value, b: &Value) -> Result<bool, ()> {
        match action {
            "EQUALS" => Ok(equal(a, b)),
            "NOT_EQUALS" => Ok(!equal(a, b)),
            "KEY_GREATER_THAN_VALUE" => less(b, a),
            "KEY_GREATER_THAN_OR_EQUAL_VALUE" => Ok(!less(a, b)?),
            "KEY_LESS_THAN_VALUE" => less(a, b),
            "KEY_LESS_THAN_OR_EQUAL_VALUE" => Ok(!less(b, a)?),
            "STARTSWITH" => match (a, b) {
                (Value::String(a), Value::String(b)) => Ok(a.starts_with(b.as_str())),
                _ => Err(()),
            },
            "ENDSWITH" => match (a, b) {
                (Value::String(a), Value::String(b)) => Ok(a.ends_with(b.as_str())),
                _ => Err(()),
            },
            "IN" | "KEY_IN_VALUE" => within(a, b),
            "NOT_IN" | "KEY_NOT_IN_VALUE" => Ok(!within(a, b)?),
            "VALUE_IN_KEY" => within(b, a),
            "VALUE_NOT_IN_KEY" => Ok(!within(b, a)?),
            "ALL_IN_VALUE" => Ok(elements(a)?.iter().all(|a| within(a, b) == Ok(true))),
            "ANY_IN_VALUE" => Ok(elements(a)?.iter().any(|a| within(a, b) == Ok(true))),
            "NONE_IN_VALUE" => Ok(elements(a)?.iter().all(|a| within(a, b) == Ok(false))),
            "MODULO_RANGE" => {
                let Value::Number(_) = a else { return Err(()) };
                let base = number(&b["BASE"]).unwrap();
                let a = number(a).unwrap();
                let remainder = a - base * (a / base).floor();
                Ok(number(&b["START"]).unwrap() <= remainder
                    && remainder <= number(&b["END"]).unwrap())
            }
            action => panic!("{action}"),
        }
    }

    /// The index of the first rule that applies, and how many comparisons made no sense.
    pub(crate) fn evaluate(rules: &[Vec<Condition>], context: &Value) -> (Option<usize>, usize) {
        let mut mismatches = 0;
        let mut holds = |condition: &Condition| match context.get(&condition.key) {
            None => false,
            Some(value) => {
                compare(condition.action, value, &condition.value).unwrap_or_else(|()| {
                    mismatches += 1;
                    false
                })
            }
        };
        let rule = rules
            .iter()
            .position(|conditions| conditions.iter().all(&mut holds));
        (rule, mismatches)
    }
}

/// Few different values, so that they often meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-3..4_i64).prop_map(Value::from),
        (-6..6_i32).prop_map(|half| json!(f64::from(half) / 2.0)),
        "[ab]{0,2}".prop_map(Value::from),
        prop_oneof![Just("\u{ffff}"), Just("😀")].prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn naive_condition() -> impl Strategy<Value = naive::Condition> {
    let compared = (
        0..14_usize,
        value().prop_filter("not null", |value| !value.is_null()),
    )
        .prop_map(|(action, value)| (ACTIONS[action], value));
    let listed = (14..17_usize, vec(value(), 0..8))
        .prop_map(|(action, list)| (ACTIONS[action], json!(list)));
    let modulo = (1..5_i64, 0..5_i64, 0..5_i64).prop_map(|(base, start, end)| {
        let (start, end) = (start % base, end % base);
        let value = json!({"BASE": base, "START": start.min(end), "END": start.max(end)});
        ("MODULO_RANGE", value)
    });
    ("[kl]", prop_oneof![6 => compared, 2 => listed, 1 => modulo])
        .prop_map(|(key, (action, value))| naive::Condition { action, key, value })
}

/// A document in the order of the rules: their names are not in the order of the alphabet.
fn rendered(rules: &[Vec<naive::Condition>]) -> String {
    let rules = rules.iter().enumerate().map(|(index, conditions)| {
        let conditions = conditions.iter().map(|condition| {
            json!({"action": condition.action, "key": condition.key, "value": condition.value})
        });
        let conditions: Vec<_> = conditions.collect();
        let rule = json!({"when_match": index, "conditions": conditions});
        format!("\"{}\": {rule}", 99 - index)
    });
    let rules = rules.collect::<Vec<_>>().join(", ");
    format!(r#"{{"flag": {{"default": "none", "boolean_type": false, "rules": {{{rules}}}}}}}"#)
}

/// Anything that looks like a document, if one does not look too closely.
fn any_document() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("default"),
        Just("boolean_type"),
        Just("rules"),
        Just("when_match"),
        Just("conditions"),
        Just("action"),
        Just("key"),
        Just("value"),
        Just("START"),
        Just("END"),
        Just("TIMEZONE"),
        Just("DAYS"),
        Just("BASE"),
        Just("PERCENTAGE"),
        Just("enabled"),
        Just("version"),
        Just("values"),
        Just(""),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..ACTIONS.len()).prop_map(|action| ACTIONS[action].into()),
        prop_oneof![
            Just("CURRENT_TIME"),
            Just("09:00"),
            Just("2026-11-23T12:00"),
            Just("UTC"),
            Just("MONDAY")
        ]
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(7, 64, 5, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => proptest::collection::btree_map(name.clone(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn the_compiled_rules_decide_as_the_plain_ones_do(
        rules in vec(vec(naive_condition(), 1..4), 0..5),
        k in proptest::option::of(value()),
        l in proptest::option::of(value()),
    ) {
        let document = FlagDocument::parse(&rendered(&rules)).unwrap();
        let members = [("k", k), ("l", l)].into_iter().filter_map(|(key, value)| Some((key, value?)));
        let context: serde_json::Map<_, _> = members.map(|(key, value)| (key.to_owned(), value)).collect();
        let (rule, mismatches) = naive::evaluate(&rules, &Value::Object(context.clone()));

        let context = context.into();
        let evaluation = document.evaluate("flag", &context, noon()).unwrap();
        let expected = rule.map_or_else(|| json!("none"), |index| json!(index));
        prop_assert_eq!(evaluation.value(), &expected);
        prop_assert_eq!(evaluation.mismatches().len(), mismatches);
        let name = rule.map(|index| (99 - index).to_string());
        prop_assert_eq!(evaluation.reason().rule(), name.as_deref());
        let is_on = !document.enabled(&context, noon()).is_empty();
        prop_assert_eq!(is_on, evaluation.is_enabled());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", json in r#"[\[\]{}:,"0-9a-z\\. -]{0,64}"#) {
        for text in [text, json] {
            let _ = FlagDocument::parse(&text);
            let _ = FlagDocument::parse_native(&text);
            let _ = EvaluationContext::from_json(&text);
        }
    }

    #[test]
    fn any_document_is_compiled_or_has_problems(document in any_document(), native in any::<bool>()) {
        let text = document.to_string();
        let parsed = if native { FlagDocument::parse_native(&text) } else { FlagDocument::parse(&text) };
        match parsed {
            Ok(document) => {
                let context = EvaluationContext::new().with("key", "a");
                let on = document.enabled(&context, noon()).len();
                prop_assert!(on <= document.names().len());
            }
            Err(errors) => {
                prop_assert!(!errors.problems().is_empty());
                prop_assert!(errors.problems().iter().all(|problem| problem.path().starts_with('$')));
            }
        }
    }

    #[test]
    fn any_moment_and_any_range_of_times_agree_on_the_clock(
        seconds in -4_000_000_000_i64..4_000_000_000,
        start in 0..1_440_u32,
        end in 0..1_440_u32,
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/St_Johns"), Just("Australia/Lord_Howe"), Just("Pacific/Apia")],
    ) {
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let value = json!({"START": clock(start), "END": clock(end), "TIMEZONE": zone});
        let now = jiff::Timestamp::from_second(seconds).unwrap();
        let zoned = now.in_tz(zone).unwrap();
        let minute = u32::try_from(60 * i32::from(zoned.hour()) + i32::from(zoned.minute())).unwrap();
        // As one goes on from the start minute by minute, the end is not passed before now.
        let since_start = (minute + 1_440 - start) % 1_440;
        let expected = since_start <= (end + 1_440 - start) % 1_440;
        prop_assert_eq!(holds_at("SCHEDULE_BETWEEN_TIME_RANGE", &value, &now.to_string()), expected);
    }
}
