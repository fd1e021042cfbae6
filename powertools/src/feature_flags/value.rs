//! How values compare.

use std::cmp::Ordering;

use serde_json::Value;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As mismatches and problems name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// Names the type of a value.
pub(super) const fn kind(value: &Value) -> &'static str {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    };
    kind.name()
}

/// Whether a flag with this value is on.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Deep equality, numbers by their value: `1` equals `1.0`, also inside of lists.
///
/// It goes no deeper than the less deep of the two.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || Number::of(a).is_some_and(|a| Number::of(b) == Some(a))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let has = |(name, a)| b.get(name).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(has)
        }
        (a, b) => a == b,
    }
}

/// The order of two numbers, or of two strings by code point; anything else has none.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(Number::of(a)?.cmp(&Number::of(b)?)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// A number of JSON: exact if it is whole and within 64 bits, otherwise the nearest `f64`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// `None` for what only serde_json's feature `arbitrary_precision` can hold.
    pub(super) fn of(number: &serde_json::Number) -> Option<Self> {
        let int = number.as_i64().map(i128::from);
        match int.or_else(|| number.as_u64().map(i128::from)) {
            Some(int) => Some(Self::Int(int)),
            None => number
                .as_f64()
                .filter(|float| float.is_finite())
                .map(Self::Float),
        }
    }

    /// The whole number that it is: of `1` and of `1.0`, but not of `1.5`.
    pub(super) fn whole(self) -> Option<i128> {
        const MIN: f64 = i64::MIN as f64;
        const MAX: f64 = u64::MAX as f64;
        match self {
            Self::Int(int) => Some(int),
            Self::Float(float) => {
                ((MIN..MAX).contains(&float) && float.fract() == 0.0).then_some(float as i128)
            }
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By value, and exactly so: 2^53 + 1 is another number than the float 2^53.
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => floats(a, b),
            (Self::Int(a), Self::Float(b)) => mixed(a, b),
            (Self::Float(a), Self::Int(b)) => mixed(b, a).reverse(),
        }
    }
}

/// JSON has no NaN.
fn floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn mixed(a: i128, b: f64) -> Ordering {
    // A float beyond the range saturates there, which compares right with anything within 64 bits.
    a.cmp(&(b.trunc() as i128))
        .then_with(|| floats(0.0, b.fract()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_by_value_and_exactly_so() {
        assert!(equal(&json!(1), &json!(1.0)));
        assert!(equal(&json!(-0.0), &json!(0)));
        assert!(!equal(
            &json!(9_007_199_254_740_993_u64),
            &json!(9_007_199_254_740_992.0)
        ));
        assert!(!equal(&json!(u64::MAX), &json!(1.8446744073709552e19)));
        assert!(equal(&json!(0.1), &json!(0.1)));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(!equal(&json!(1), &json!(true)));
        assert!(!equal(&json!(0), &json!(null)));
    }

    #[test]
    fn lists_and_objects_are_equal_by_what_they_hold() {
        assert!(equal(&json!([1, {"a": [2.0]}]), &json!([1.0, {"a": [2]}])));
        assert!(!equal(&json!([1, 2]), &json!([2, 1])));
        assert!(!equal(&json!([1]), &json!([1, 1])));
        assert!(equal(&json!({"a": 1, "b": 2}), &json!({"b": 2.0, "a": 1})));
        assert!(!equal(&json!({"a": null}), &json!({"b": null})));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!equal(&json!([]), &json!({})));
    }

    #[test]
    fn only_two_numbers_or_two_strings_have_an_order() {
        assert_eq!(order(&json!(2), &json!(1.5)), Some(Ordering::Greater));
        assert_eq!(order(&json!(-2), &json!(-1.5)), Some(Ordering::Less));
        assert_eq!(order(&json!(u64::MAX), &json!(1e30)), Some(Ordering::Less));
        assert_eq!(
            order(&json!(i64::MIN), &json!(-1e30)),
            Some(Ordering::Greater)
        );
        // UTF-16 would have it the other way round.
        assert_eq!(
            order(&json!("\u{ffff}"), &json!("😀")),
            Some(Ordering::Less)
        );
        assert_eq!(order(&json!("a"), &json!("a")), Some(Ordering::Equal));
        for other in [json!("1"), json!(true), json!(null), json!([1]), json!({})] {
            assert_eq!(order(&json!(1), &other), None);
        }
        assert_eq!(order(&json!([1]), &json!([2])), None);
        assert_eq!(order(&json!(false), &json!(true)), None);
    }

    #[test]
    fn a_float_is_whole_only_without_a_fraction_and_within_64_bits() {
        let whole = |value: Value| Number::of(value.as_number().unwrap()).unwrap().whole();
        assert_eq!(whole(json!(4711.0)), Some(4711));
        assert_eq!(whole(json!(-0.0)), Some(0));
        assert_eq!(whole(json!(u64::MAX)), Some(u64::MAX.into()));
        assert_eq!(whole(json!(i64::MIN as f64)), Some(i64::MIN.into()));
        assert_eq!(whole(json!(1.5)), None);
        assert_eq!(whole(json!(18446744073709551616.0)), None);
    }
}
