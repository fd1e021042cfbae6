//! JSON texts into values.
//!
//! `serde_json` checks the text; what it would lose is read here: a float to the nearest without
//! its feature `float_roundtrip`, the order of members without `preserve_order`, and strings stay
//! where they are.

use serde_json::value::RawValue;

use super::{
    Undecodable,
    number::Number,
    value::{Object, Text, Value},
};

/// How deep arrays and objects may be nested: as deep as `serde_json` goes.
const MAX_DEPTH: usize = 128;

/// Reads a value whose strings stay in the text.
pub(super) fn borrowed(json: &RawValue) -> Result<Value<'_>, Undecodable> {
    Reader::new(json.get(), Text::Borrowed).value()
}

/// Reads a value that does not need the text any more.
pub(super) fn shared(json: &RawValue) -> Result<Value<'static>, Undecodable> {
    Reader::new(json.get(), |text| Text::Shared(text.into())).value()
}

struct Reader<'t, 'v> {
    text: &'t str,
    at: usize,
    depth: usize,
    make_text: fn(&'t str) -> Text<'v>,
}

impl<'t, 'v> Reader<'t, 'v> {
    fn new(text: &'t str, make_text: fn(&'t str) -> Text<'v>) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            make_text,
        }
    }

    fn value(&mut self) -> Result<Value<'v>, Undecodable> {
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => Ok(Value::String(self.string()?)),
            b't' => Ok(self.word("true", Value::Bool(true))),
            b'f' => Ok(self.word("false", Value::Bool(false))),
            b'n' => Ok(self.word("null", Value::Null)),
            _ => self.number(),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value<'v>, Undecodable>,
    ) -> Result<Value<'v>, Undecodable> {
        if self.depth == MAX_DEPTH {
            return Err(Undecodable::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value<'v>, Undecodable> {
        let mut members = Object::default();
        while !self.ends_with(b'}')? {
            let name = self.string()?;
            self.peek()?;
            self.at += ":".len();
            members.insert(name, self.value()?);
        }
        Ok(Value::object(members))
    }

    fn array(&mut self) -> Result<Value<'v>, Undecodable> {
        let mut elements = Vec::new();
        while !self.ends_with(b']')? {
            elements.push(self.value()?);
        }
        Ok(Value::array(elements))
    }

    /// Goes to the next element or member, or behind the closing bracket.
    fn ends_with(&mut self, bracket: u8) -> Result<bool, Undecodable> {
        if self.peek()? == b',' {
            self.at += 1;
        }
        let ends = self.peek()? == bracket;
        self.at += usize::from(ends);
        Ok(ends)
    }

    fn string(&mut self) -> Result<Text<'v>, Undecodable> {
        self.peek()?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            self.at += 1;
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 1;
                }
                Some(_) => {}
                None => return Err(Undecodable::Json),
            }
        }
        self.at += 1;
        if is_escaped {
            // Fails for half of a surrogate pair, which the check of the text lets through.
            let text: String =
                serde_json::from_str(&self.text[start..self.at]).map_err(|_| Undecodable::Json)?;
            Ok(Text::Shared(text.into()))
        } else {
            Ok((self.make_text)(&self.text[start + 1..self.at - 1]))
        }
    }

    fn word(&mut self, word: &str, value: Value<'v>) -> Value<'v> {
        self.at += word.len();
        value
    }

    fn number(&mut self) -> Result<Value<'v>, Undecodable> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        Number::parse(&rest[..end])
            .map(Value::Number)
            .ok_or(Undecodable::Json)
    }

    /// Skips white space and returns what comes then.
    fn peek(&mut self) -> Result<u8, Undecodable> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let blanks = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        self.at += blanks.ok_or(Undecodable::Json)?;
        Ok(self.text.as_bytes()[self.at])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<String, Undecodable> {
        let json: &RawValue = serde_json::from_str(json).unwrap();
        let borrowed = borrowed(json).map(|value| value.to_json());
        assert_eq!(shared(json).map(|value| value.to_json()), borrowed);
        borrowed
    }

    #[test]
    fn what_json_allows_but_cannot_be_a_value_is_an_error() {
        assert_eq!(read(r#"["\ud800"]"#), Err(Undecodable::Json));
        assert_eq!(read("[1e999]"), Err(Undecodable::Json));
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&deep(129)), Err(Undecodable::TooDeep));
        assert_eq!(read(&deep(100_000)), Err(Undecodable::TooDeep));
        assert_eq!(read(&deep(128)), Ok(deep(128)));
    }

    #[test]
    fn members_keep_their_order_and_the_last_of_two_counts() {
        assert_eq!(
            read(r#" { "z" : 1 , "a" : [ ] , "z" : { "b" : null } } "#).unwrap(),
            r#"{"z":{"b":null},"a":[]}"#
        );
    }

    #[test]
    fn a_string_is_unescaped_and_otherwise_stays_in_the_text() {
        let json = serde_json::from_str(r#"["plain", "\u00e9\ud83d\ude00\"\n"]"#).unwrap();
        let Value::Array(elements) = borrowed(json).unwrap() else {
            panic!("an array");
        };
        assert!(matches!(
            elements[0],
            Value::String(Text::Borrowed("plain"))
        ));
        assert!(matches!(&elements[1], Value::String(text) if &**text == "é😀\"\n"));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::vec((".{0,4}", inner), 0..8)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(json in json()) {
            prop_assert_eq!(read(&json.to_string()).unwrap(), json.to_string());
            let pretty = serde_json::to_string_pretty(&json).unwrap();
            prop_assert_eq!(read(&pretty).unwrap(), json.to_string());
        }
    }
}
