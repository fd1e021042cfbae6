//! JSON texts into what the rules are made of.
//!
//! `serde_json` checks the text and takes it apart; what it would lose is kept here: the order of
//! members without its feature `preserve_order`, and numbers to the nearest `f64` without
//! `float_roundtrip`.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Number, Value, value::RawValue};

use super::{FlagDocument, problem::ProblemKind, value::Kind};

/// The members of an object in the order of the text. Of two with one name the last counts, in the
/// place of the first.
pub(super) type Members<'t> = IndexMap<String, &'t RawValue>;

/// Checks that a text is JSON and of a size that is worth the while.
pub(super) fn document(text: &str) -> Result<&RawValue, ProblemKind> {
    let (bytes, limit) = (text.len(), FlagDocument::MAX_BYTES);
    if bytes > limit {
        return Err(ProblemKind::TooLarge { bytes, limit });
    }
    // This skips over what is nested without recursion, however deep it is.
    serde_json::from_str(text).map_err(|error| ProblemKind::Syntax {
        line: error.line(),
        column: error.column(),
    })
}

pub(super) fn object(raw: &RawValue) -> Result<Members<'_>, ProblemKind> {
    read(raw, Kind::Object)
}

pub(super) fn array(raw: &RawValue) -> Result<Vec<&RawValue>, ProblemKind> {
    read(raw, Kind::Array)
}

pub(super) fn string(raw: &RawValue) -> Result<String, ProblemKind> {
    read(raw, Kind::String)
}

pub(super) fn boolean(raw: &RawValue) -> Result<bool, ProblemKind> {
    read(raw, Kind::Boolean)
}

pub(super) fn value(raw: &RawValue) -> Result<Value, ProblemKind> {
    nested(raw, FlagDocument::MAX_DEPTH)
}

pub(super) fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes() {
        [b'{', ..] => Kind::Object,
        [b'[', ..] => Kind::Array,
        [b'"', ..] => Kind::String,
        [b't' | b'f', ..] => Kind::Boolean,
        [b'n', ..] => Kind::Null,
        _ => Kind::Number,
    }
}

fn read<'t, T: Deserialize<'t>>(raw: &'t RawValue, expected: Kind) -> Result<T, ProblemKind> {
    let found = kind(raw);
    if found != expected {
        return Err(ProblemKind::WrongType {
            expected: expected.name(),
            found: found.name(),
        });
    }
    // The text has been checked but for halves of surrogate pairs.
    serde_json::from_str(raw.get()).map_err(|_| ProblemKind::NotUnicode)
}

fn nested(raw: &RawValue, depth: usize) -> Result<Value, ProblemKind> {
    let deeper = || {
        depth.checked_sub(1).ok_or(ProblemKind::TooDeep {
            limit: FlagDocument::MAX_DEPTH,
        })
    };
    match kind(raw) {
        Kind::Object => {
            let depth = deeper()?;
            let members = object(raw)?.into_iter();
            let members = members.map(|(name, raw)| Ok((name, nested(raw, depth)?)));
            members.collect::<Result<_, _>>().map(Value::Object)
        }
        Kind::Array => {
            let depth = deeper()?;
            let elements = array(raw)?.into_iter().map(|raw| nested(raw, depth));
            elements.collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::String => string(raw).map(Value::String),
        Kind::Boolean => boolean(raw).map(Value::Bool),
        Kind::Number => number(raw.get()).ok_or(ProblemKind::NumberOutOfRange),
        Kind::Null => Ok(Value::Null),
    }
}

/// Whole numbers are exact as far as 64 bits go; others are the nearest `f64`.
fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Value, ProblemKind> {
        value(document(text)?)
    }

    #[test]
    fn numbers_are_exact_or_the_nearest_float() {
        for text in [
            "0",
            "-1",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
        ] {
            assert_eq!(read_text(text).unwrap().to_string(), text);
        }
        assert_eq!(read_text("1.0").unwrap().to_string(), "1.0");
        assert_eq!(read_text("-0").unwrap().as_i64(), Some(0));
        // Without its feature `float_roundtrip`, serde_json makes the neighbours of these.
        for text in ["0.9042169454893371", "1.2345678901234567e-7"] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(read_text(text).unwrap().as_f64(), Some(expected), "{text}");
        }
        assert_eq!(
            read_text("18446744073709551616").unwrap().as_f64(),
            Some(18446744073709551616.0)
        );
        assert_eq!(read_text("1e999"), Err(ProblemKind::NumberOutOfRange));
    }

    #[test]
    fn members_keep_their_order_and_the_last_of_two_counts() {
        let members = object(document(r#"{ "z": 1, "a": 2, "z": [3] }"#).unwrap()).unwrap();
        let members: Vec<_> = members
            .iter()
            .map(|(name, raw)| (&**name, raw.get()))
            .collect();
        assert_eq!(members, [("z", "[3]"), ("a", "2")]);
    }

    #[test]
    fn half_of_a_surrogate_pair_is_no_text() {
        assert_eq!(read_text(r#""\ud800""#), Err(ProblemKind::NotUnicode));
        assert_eq!(
            read_text(r#"[{"\udfff": 1}]"#),
            Err(ProblemKind::NotUnicode)
        );
        assert_eq!(read_text(r#""\ud83d\ude00""#), Ok("😀".into()));
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_without_a_large_stack() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let limit = FlagDocument::MAX_DEPTH;
        assert!(read_text(&deep(limit)).is_ok());
        for depth in [limit + 1, 100_000] {
            assert_eq!(read_text(&deep(depth)), Err(ProblemKind::TooDeep { limit }));
        }
        let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        assert_eq!(read_text(&objects), Err(ProblemKind::TooDeep { limit }));
    }

    #[test]
    fn what_is_not_json_names_the_place_and_nothing_else() {
        let error = read_text("{\n \"a\": hush }").unwrap_err();
        assert_eq!(error, ProblemKind::Syntax { line: 2, column: 7 });
        assert!(!error.to_string().contains("hush"));
        for text in ["", " ", "{", "{}{}", "\u{feff}{}", "nul"] {
            assert!(
                matches!(read_text(text), Err(ProblemKind::Syntax { .. })),
                "{text}"
            );
        }
    }
}
