//! Finds one value in a JSON text and skips the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Returns what is at the end of a path of member names, or `None` if there is no such member.
///
/// Of members with the same name the last counts, as everywhere in JSON.
pub(crate) fn find<'a, N: AsRef<str>>(
    json: &'a RawValue,
    path: &[N],
) -> serde_json::Result<Option<&'a RawValue>> {
    let mut found = json;
    for name in path {
        match member(found, name.as_ref())? {
            Some(member) => found = member,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn member<'a>(json: &'a RawValue, name: &str) -> serde_json::Result<Option<&'a RawValue>> {
    if !json.get().starts_with('{') {
        return Ok(None);
    }
    serde_json::Deserializer::from_str(json.get()).deserialize_map(Member { name })
}

struct Member<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is { name: self.name })? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a member's name where it stands, without copying it.
struct Is<'n> {
    name: &'n str,
}

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(json: &'a str, path: &[&str]) -> Option<&'a str> {
        let json = serde_json::from_str(json).unwrap();
        find(json, path).unwrap().map(RawValue::get)
    }

    #[test]
    fn a_path_leads_through_objects() {
        let json = r#"{"a": {"x": [1, {"b": 2}], "b": {"c" : 1.50 }}, "b": null}"#;
        assert_eq!(found(json, &["a", "b", "c"]), Some("1.50"));
        assert_eq!(found(json, &["b"]), Some("null"));
        assert_eq!(found(json, &[]), Some(json));
    }

    #[test]
    fn nothing_is_found_where_the_path_breaks_off() {
        let json = r#"{"a": "{\"b\": 1}", "c": [1], "B": 1}"#;
        for path in [&["a", "b"][..], &["c", "0"], &["b"], &["d", "e"]] {
            assert_eq!(found(json, path), None, "{path:?}");
        }
        assert_eq!(found("[]", &["a"]), None);
        assert_eq!(found("7", &["a"]), None);
    }

    #[test]
    fn a_name_is_compared_without_its_escapes_and_the_last_of_two_counts() {
        let json = r#"{"a": 1, "\u0061": 2}"#;
        assert_eq!(found(json, &["a"]), Some("2"));
    }

    #[test]
    fn what_is_skipped_may_be_nested_as_deep_as_it_likes() {
        let depth = 100_000;
        let json = format!(
            r#"{{"a": {}{}, "b": 1}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        assert_eq!(found(&json, &["b"]), Some("1"));
    }
}
