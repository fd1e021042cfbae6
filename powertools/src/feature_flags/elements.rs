use std::collections::HashSet;

use serde_json::Value;

use super::value::{Number, equal};

/// The elements of a list, for looking whether a value is one of them.
///
/// Strings and numbers, which long lists are made of, are found at once; whatever else there is is
/// compared one by one.
pub(super) struct Elements {
    strings: HashSet<String>,
    /// In their order: equal numbers can be written in more than one way.
    numbers: Vec<Number>,
    others: Vec<Value>,
}

impl Elements {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let mut elements = Self {
            strings: HashSet::new(),
            numbers: Vec::new(),
            others: Vec::new(),
        };
        for value in values {
            match value {
                Value::String(text) => drop(elements.strings.insert(text)),
                Value::Number(number) => match Number::of(&number) {
                    Some(number) => elements.numbers.push(number),
                    None => elements.others.push(Value::Number(number)),
                },
                other => elements.others.push(other),
            }
        }
        elements.numbers.sort_unstable();
        elements
    }

    /// Whether a value equals one of the elements.
    pub(super) fn contain(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.strings.contains(text),
            Value::Number(number) => match Number::of(number) {
                Some(number) => self.numbers.binary_search(&number).is_ok(),
                None => self.others.contains(value),
            },
            value => self.others.iter().any(|other| equal(other, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-3..3_i64).prop_map(Value::from),
            (-6..6_i32).prop_map(|half| json!(f64::from(half) / 2.0)),
            prop_oneof![Just(u64::MAX), Just((1 << 53) + 1)].prop_map(Value::from),
            prop_oneof![Just(9_007_199_254_740_992.0), Just(1e30)].prop_map(|float| json!(float)),
            "[ab]{0,2}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                inner.prop_map(|value| json!({ "a": value })),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_found_if_it_equals_one_of_them(list in vec(value(), 0..20), value in value()) {
            let expected = list.iter().any(|element| equal(element, &value));
            prop_assert_eq!(Elements::new(list).contain(&value), expected);
        }

        #[test]
        fn every_element_is_found(list in vec(value(), 1..20)) {
            let elements = Elements::new(list.clone());
            prop_assert!(list.iter().all(|element| elements.contain(element)));
        }
    }
}
