//! JSON as the protocol compares it: numbers by value and exactly, members in their order.

use std::{cmp::Ordering, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v),
            _ => None,
        }
    }

    /// Takes a member out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Self> {
        match self {
            Self::Object(members) => {
                let at = members.iter().rposition(|(n, _)| n == name)?;
                Some(members.remove(at).1)
            }
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => same_number(a, b),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| other.get(name) == Some(a))
            }
            _ => false,
        }
    }
}

/// Compares two numbers by value: whole numbers exactly, others as the nearest `f64`.
fn same_number(a: &str, b: &str) -> bool {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a), Ok(b)) => a == b,
        (Ok(whole), Err(_)) => is(whole, b),
        (Err(_), Ok(whole)) => is(whole, a),
        (Err(_), Err(_)) => float(a).partial_cmp(&float(b)) == Some(Ordering::Equal),
    }
}

fn is(whole: i128, number: &str) -> bool {
    let number = float(number);
    number.fract() == 0.0 && number as i128 == whole
}

fn float(number: &str) -> f64 {
    number.parse().expect("a number of JSON")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        read(json).map_err(serde::de::Error::custom)
    }
}

fn read(json: &RawValue) -> serde_json::Result<Json> {
    let text = json.get();
    Ok(match text.as_bytes()[0] {
        b'{' => Json::Object(serde_json::from_str::<Members>(text)?.0),
        b'[' => Json::Array(serde_json::from_str(text)?),
        b'"' => Json::String(serde_json::from_str(text)?),
        b't' | b'f' => Json::Bool(serde_json::from_str(text)?),
        b'n' => Json::Null,
        _ => Json::Number(text.to_owned()),
    })
}

struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[test]
fn numbers_are_compared_by_value_and_exactly() {
    let same = |a: &str, b: &str| Json::parse(a).unwrap() == Json::parse(b).unwrap();
    assert!(same("1", "1.0"));
    assert!(same("0.1", "1e-1"));
    assert!(same("18446744073709551615", "18446744073709551615"));
    assert!(!same("9007199254740993", "9007199254740992"));
    assert!(!same("9007199254740993", "9007199254740992.0"));
    assert!(!same("1", "true"));
    assert!(!same("1", "\"1\""));
    assert!(!same("0", "null"));
}

#[test]
fn the_order_of_members_does_not_count_but_that_of_elements_does() {
    let same = |a: &str, b: &str| Json::parse(a).unwrap() == Json::parse(b).unwrap();
    assert!(same(r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#));
    assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":null}"#));
    assert!(!same("[1,2]", "[2,1]"));
}
