use std::sync::Arc;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{TransformError, Value};

/// Padded base64. Bits after the last byte do not matter, as with the other toolkits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A value that was transformed by the end of its name: what follows the last `.`, or the whole name
/// if it has none.
///
/// | end | becomes |
/// |---|---|
/// | `json` | [`Json`](Self::Json) |
/// | `binary` | [`Binary`](Self::Binary) |
/// | anything else | [`Unchanged`](Self::Unchanged) |
#[derive(Debug)]
#[non_exhaustive]
pub enum Transformed<T> {
    /// The value parsed as JSON.
    Json(Arc<T>),
    /// The value's base64 decoded.
    Binary(Value),
    /// The value itself.
    Unchanged(Value),
}

impl<T> Clone for Transformed<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Json(json) => Self::Json(Arc::clone(json)),
            Self::Binary(value) => Self::Binary(value.clone()),
            Self::Unchanged(value) => Self::Unchanged(value.clone()),
        }
    }
}

/// What the end of a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    Json,
    Binary,
    Other,
}

impl Suffix {
    pub(super) fn of(name: &str) -> Self {
        match name.rsplit_once('.').map_or(name, |(_, suffix)| suffix) {
            "json" => Self::Json,
            "binary" => Self::Binary,
            _ => Self::Other,
        }
    }
}

pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TransformError> {
    serde_json::from_slice(bytes).map_err(|error| TransformError::json(&error))
}

pub(super) fn base64(text: &str) -> Result<Zeroizing<Vec<u8>>, TransformError> {
    let without_blanks;
    let digits = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        // Its length is known, so that it never grows and leaves a copy behind.
        let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
        digits.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        without_blanks = digits;
        without_blanks.as_slice()
    } else {
        text.as_bytes()
    };
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(digits.len())]);
    // The error quotes the text.
    let length = BASE64
        .decode_slice(digits, &mut bytes)
        .map_err(|_| TransformError::Base64)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, error::Category, json};

    use super::*;

    #[test]
    fn the_end_of_a_name_is_what_follows_its_last_dot() {
        for (name, suffix) in [
            ("a.json", Suffix::Json),
            ("/a/b.c.binary", Suffix::Binary),
            ("json", Suffix::Json),
            ("binary", Suffix::Binary),
            ("a.JSON", Suffix::Other),
            ("a.json.", Suffix::Other),
            ("a.json/b", Suffix::Other),
            ("/json", Suffix::Other),
            ("", Suffix::Other),
        ] {
            assert_eq!(Suffix::of(name), suffix, "{name}");
        }
    }

    #[test]
    fn base64_needs_its_padding_and_nothing_but_its_digits() {
        assert_eq!(*base64("aGk=").unwrap(), b"hi");
        assert_eq!(*base64(" aG\r\nk=\t\n").unwrap(), b"hi");
        // Bits after the last byte.
        assert_eq!(*base64("aGl=").unwrap(), b"hi");
        assert_eq!(*base64("").unwrap(), b"");
        for broken in ["aGk", "a", "aGk=aGk=", "a-_=", "====", "hünt"] {
            assert_eq!(
                base64(broken).unwrap_err(),
                TransformError::Base64,
                "{broken}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_json_is_said_without_quoting_it() {
        let wrong = |text: &str| json::<u16>(text.as_bytes()).unwrap_err();
        for (text, category, message) in [
            (
                r#""hunter2""#,
                Category::Data,
                "JSON of another type than asked for at line 1 column 9",
            ),
            (
                "\nhunter2",
                Category::Syntax,
                "broken JSON at line 2 column 1",
            ),
            (
                r#""hunter2"#,
                Category::Eof,
                "JSON that ends too early at line 1 column 8",
            ),
        ] {
            let error = wrong(text);
            assert!(
                matches!(error, TransformError::Json { category: is, .. } if is == category),
                "{error:?}"
            );
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(json::<Json>(br#"{"a":[1]}"#).unwrap(), json!({ "a": [1] }));
        assert!(json::<Json>("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
