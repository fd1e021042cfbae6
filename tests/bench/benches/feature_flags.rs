//! Feature flags: one flag of 1, 20 and 1000 rules, beside the lookups in the context that its rules take
//! in any case; and a document that is compiled, beside `serde_json` reading the same text.

use std::{hint::black_box, time::SystemTime};

use bench::Table;
use powertools::feature_flags::{EvaluationContext, FlagDocument};
use serde_json::{Map, Value, json};

const FLAG: &str = "new-checkout";

/// The conditions that the rules take turns with; none of their rules applies, so that all are tried.
fn conditions(rule: usize) -> Value {
    let pair = match rule % 5 {
        0 => json!([
            {"action": "EQUALS", "key": "tier", "value": "pro"},
            {"action": "STARTSWITH", "key": "region", "value": "us-"},
        ]),
        1 => json!([
            {"action": "NOT_EQUALS", "key": "tier", "value": "free"},
            {"action": "KEY_GREATER_THAN_VALUE", "key": "age", "value": 99},
        ]),
        2 => json!([
            {"action": "ENDSWITH", "key": "email", "value": "@example.com"},
            {"action": "KEY_IN_VALUE", "key": "tenant", "value": (0..50).map(|id| format!("t{id}")).collect::<Vec<_>>()},
        ]),
        3 => json!([
            {"action": "ANY_IN_VALUE", "key": "roles", "value": ["editor", "author"]},
            {"action": "MODULO_RANGE", "key": "age", "value": {"BASE": 100, "START": 0, "END": 9}},
        ]),
        _ => json!([
            {"action": "VALUE_IN_KEY", "key": "roles", "value": "editor"},
            {"action": "EQUALS", "key": "region", "value": format!("eu-south-{rule}")},
        ]),
    };
    pair
}

fn document(rules: usize, conditions: impl Fn(usize) -> Value) -> String {
    let rules = (0..rules).map(|rule| {
        let value = json!({"when_match": true, "conditions": conditions(rule)});
        (format!("rule {rule}"), value)
    });
    json!({FLAG: {"default": false, "rules": rules.collect::<Map<_, _>>()}}).to_string()
}

fn context() -> Map<String, Value> {
    let context = json!({
        "tier": "pro",
        "region": "eu-west-1",
        "age": 42,
        "email": "zoe@example.com",
        "tenant": "t777",
        "roles": ["editor"],
    });
    match context {
        Value::Object(context) => context,
        _ => Map::new(),
    }
}

/// The keys of a document's conditions, all of which are looked up when no rule applies.
fn keys(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let rules = document[FLAG]["rules"].as_object().into_iter().flatten();
    let conditions = rules.filter_map(|(_, rule)| rule["conditions"].as_array());
    let keys = conditions
        .flatten()
        .filter_map(|condition| condition["key"].as_str());
    keys.map(str::to_owned).collect()
}

fn evaluate(text: &str, context: &EvaluationContext) -> impl FnMut() {
    let document = FlagDocument::parse(text).expect("a valid document");
    let now = SystemTime::now();
    move || {
        let evaluation = document.evaluate(black_box(FLAG), black_box(context), now);
        assert!(!evaluation.expect("the flag").is_enabled());
    }
}

fn main() {
    let values = context();
    let context = EvaluationContext::from(values.clone());
    for rules in [1, 20, 1000] {
        let text = document(rules, conditions);
        let keys = keys(&text);
        let mut table = Table::new(&format!(
            "a flag of {rules} rules, two conditions each, none applies"
        ));
        table.row("serde_json: the context's values looked up", || {
            for key in &keys {
                black_box(black_box(&values).get(key));
            }
        });
        table.row("powertools: evaluated", evaluate(&text, &context));
    }

    let mut table = Table::new("a flag of 20 rules, one condition each, none applies");
    let of = |action: &str, key: &str, value: Value| {
        document(
            20,
            |_| json!([{"action": action, "key": key, "value": value}]),
        )
    };
    let berlin = "Europe/Berlin";
    for (name, text) in [
        ("EQUALS", of("EQUALS", "tier", json!("free"))),
        (
            "IN, of 1000 strings",
            of(
                "IN",
                "tenant",
                (0..1000).map(|id| format!("u{id}")).collect(),
            ),
        ),
        (
            "ROLLOUT_PERCENTAGE",
            of("ROLLOUT_PERCENTAGE", "tenant", json!({"PERCENTAGE": 0})),
        ),
        (
            "SCHEDULE_BETWEEN_DATETIME_RANGE, UTC",
            of(
                "SCHEDULE_BETWEEN_DATETIME_RANGE",
                "CURRENT_DATETIME",
                json!({"START": "2001-01-01", "END": "2001-12-31"}),
            ),
        ),
        (
            "SCHEDULE_BETWEEN_DATETIME_RANGE, Europe/Berlin",
            of(
                "SCHEDULE_BETWEEN_DATETIME_RANGE",
                "CURRENT_DATETIME",
                json!({"START": "2001-01-01", "END": "2001-12-31", "TIMEZONE": berlin}),
            ),
        ),
    ] {
        table.row(name, evaluate(&text, &context));
    }

    for rules in [20, 1000] {
        let text = document(rules, conditions);
        let mut table = Table::new(&format!(
            "a document of {rules} rules, {} bytes",
            text.len()
        ));
        table.row("serde_json: read as a Value", || {
            let _ = black_box(serde_json::from_str::<Value>(black_box(&text)));
        });
        table.row("powertools: compiled", || {
            let _ = black_box(FlagDocument::parse(black_box(&text)));
        });
    }
}
