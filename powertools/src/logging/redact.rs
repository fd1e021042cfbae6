use serde_json::value::RawValue;

use super::fields::Fields;
use crate::json;

/// What stands in the place of a value that must not be logged.
const REDACTED: &[u8] = br#""*****""#;

/// The names of fields whose values are never written.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    /// Quoted, as they stand in JSON.
    names: Vec<Vec<u8>>,
}

impl Redaction {
    pub(super) fn add(&mut self, name: &str) {
        let mut quoted = Vec::new();
        json::write_text(&mut quoted, name);
        self.names.push(quoted);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn covers(&self, quoted: &[u8]) -> bool {
        // A name may be written in many ways: `\u0070assword`. Ours is the shortest.
        let mut shortest = Vec::new();
        let quoted = if quoted.contains(&b'\\') {
            match serde_json::from_slice::<String>(quoted) {
                Ok(name) => json::write_text(&mut shortest, &name),
                Err(_) => return false,
            }
            &shortest
        } else {
            quoted
        };
        self.names.iter().any(|name| name == quoted)
    }

    /// Returns the fields with what must not be seen replaced, at the top and at any depth.
    pub(super) fn fields(&self, fields: &Fields) -> Fields {
        let mut redacted = Fields::default();
        let mut value = Vec::new();
        for mut member in fields.iter() {
            value.clear();
            if self.covers(member.name) {
                member.is_error = false;
                value.extend_from_slice(REDACTED);
            } else {
                self.copy(member.value, &mut value);
            }
            member.value = &value;
            redacted.push(member);
        }
        redacted
    }

    /// Copies valid JSON. Works on the text, so that numbers and the order of keys stay as they are.
    pub(super) fn copy(&self, json: &[u8], output: &mut Vec<u8>) {
        let mut position = 0;
        while position < json.len() {
            if json[position] != b'"' {
                output.push(json[position]);
                position += 1;
                continue;
            }
            let end = end_of_string(json, position);
            let string = &json[position..end];
            let value = skip_spaces(json, end);
            // Only a key is followed by a colon.
            let is_key = json.get(value) == Some(&b':');
            position = end;
            match self.nested(string).filter(|_| !is_key) {
                Some(redacted) => json::write_text(output, &redacted),
                None => output.extend_from_slice(string),
            }
            if is_key && self.covers(string) {
                output.push(b':');
                output.extend_from_slice(REDACTED);
                position = end_of_value(json, skip_spaces(json, value + 1));
            }
        }
    }
}

impl Redaction {
    /// Returns what a string becomes that is itself the text of an object or array, such as the body
    /// of a request in an event.
    fn nested(&self, string: &[u8]) -> Option<String> {
        let first = string
            .iter()
            .skip(1)
            .find(|byte| !byte.is_ascii_whitespace());
        if !matches!(first, Some(b'{' | b'[')) {
            return None;
        }
        let text: String = serde_json::from_slice(string).ok()?;
        let _is_json: &RawValue = serde_json::from_str(&text).ok()?;
        let mut redacted = Vec::with_capacity(text.len());
        self.copy(text.as_bytes(), &mut redacted);
        String::from_utf8(redacted).ok()
    }
}

fn skip_spaces(json: &[u8], start: usize) -> usize {
    let spaces = json[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace());
    start + spaces.count()
}

/// Returns where the string ends that begins at `start`, its quotes included.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(byte) = json.get(position) {
        position += match byte {
            b'"' => return position + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    json.len()
}

fn end_of_value(json: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut position = start;
    while let Some(byte) = json.get(position) {
        match byte {
            b'"' => {
                position = end_of_string(json, position);
                if depth == 0 {
                    return position;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return position,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return position + 1;
                }
            }
            _ => {}
        }
        position += 1;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn redaction() -> Redaction {
        let mut redaction = Redaction::default();
        redaction.add("password");
        redaction.add("card \"number\"");
        redaction
    }

    fn copied(json: &str) -> String {
        let mut output = Vec::new();
        redaction().copy(json.as_bytes(), &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_named_field_is_hidden_at_any_depth() {
        let json = r#"{"password":"x","a":[{"password":{"b":[1,"}"]},"c":1}],"card \"number\"":4,"d":"password"}"#;
        assert_eq!(
            copied(json),
            r#"{"password":"*****","a":[{"password":"*****","c":1}],"card \"number\"":"*****","d":"password"}"#
        );
    }

    #[test]
    fn a_name_is_known_however_it_is_escaped() {
        let json = r#"{"p\u0061ssw\u006frd":"x","card \u0022number\u0022":1,"a\n":2}"#;
        assert_eq!(
            copied(json),
            r#"{"p\u0061ssw\u006frd":"*****","card \u0022number\u0022":"*****","a\n":2}"#
        );
    }

    #[test]
    fn numbers_and_order_stay_as_they_are() {
        let json = r#"{"z":1.50,"a":18446744073709551615,"s":"\\\"password\":1"}"#;
        assert_eq!(copied(json), json);
    }

    #[test]
    fn space_between_tokens_hides_nothing() {
        assert_eq!(
            copied("{ \"password\" : [ 1 , 2 ] , \"a\" : 1 }"),
            "{ \"password\":\"*****\" , \"a\" : 1 }"
        );
    }

    #[test]
    fn a_string_that_is_json_is_looked_into() {
        let body = json!({"body": r#"{"password":"x","a":"{\"password\":1}"}"#}).to_string();
        let expected = json!({"body": r#"{"password":"*****","a":"{\"password\":\"*****\"}"}"#});
        assert_eq!(
            serde_json::from_str::<Value>(&copied(&body)).unwrap(),
            expected
        );
        for other in [
            r#"{"body":"{password}"}"#,
            r#"{"body":"[1, 2"}"#,
            r#"{"body":" {} "}"#,
        ] {
            assert_eq!(copied(other), other);
        }
    }

    #[test]
    fn a_field_of_the_line_itself_is_hidden() {
        let mut fields = Fields::default();
        fields.insert("user", json!({"password": 1, "name": "ada"}));
        fields.insert("password", "x");
        let values: Vec<_> = redaction()
            .fields(&fields)
            .iter()
            .map(|it| String::from_utf8(it.value.to_vec()).unwrap())
            .collect();
        assert_eq!(
            values,
            [r#"{"name":"ada","password":"*****"}"#, r#""*****""#]
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\"\\\\{}:, ]{0,6}".prop_map(Value::from),
            " {0,1}[\\[{] {0,1}[\\]}] {0,1}".prop_map(Value::from),
            Just(Value::from("password")),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = prop_oneof![Just("password".to_owned()), "[a-c\"\\\\{}:, ]{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same by the book: on the parsed document.
    fn expected(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(expected).collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(key, value)| {
                    let value = if key == "password" {
                        json!("*****")
                    } else {
                        expected(value)
                    };
                    (key, value)
                })
                .collect(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn any_document_is_redacted_as_by_the_book(document in any_json()) {
            let copied: Value = serde_json::from_str(&copied(&document.to_string())).unwrap();
            prop_assert_eq!(copied, expected(document));
        }
    }
}
