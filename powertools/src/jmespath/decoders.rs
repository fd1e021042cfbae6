//! What `powertools_json`, `powertools_base64` and `powertools_base64_gzip` do.

use std::io::Read;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use super::{
    Undecodable, read,
    value::{Text, Value},
};

/// The padding is asked for, as in the other toolkits; bits that hold nothing may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

pub(super) fn json<'a>(text: &Text<'a>) -> Result<Value<'a>, Undecodable> {
    fn check(text: &str) -> Result<&RawValue, Undecodable> {
        serde_json::from_str(text).map_err(|_| Undecodable::Json)
    }
    match text {
        Text::Borrowed(text) => read::borrowed(check(text)?),
        Text::Shared(text) => read::shared(check(text)?),
    }
}

pub(super) fn base64(text: &str) -> Result<Value<'static>, Undecodable> {
    utf8(bytes(text)?)
}

/// Decompresses no more than `budget`, in bytes, and takes what it used from it.
pub(super) fn base64_gzip(text: &str, budget: &mut usize) -> Result<Value<'static>, Undecodable> {
    let compressed = bytes(text)?;
    let one_too_many = u64::try_from(*budget).map_or(u64::MAX, |budget| budget.saturating_add(1));
    let mut decompressed = Vec::new();
    MultiGzDecoder::new(compressed.as_slice())
        .take(one_too_many)
        .read_to_end(&mut decompressed)
        .map_err(|_| Undecodable::Gzip)?;
    *budget = budget
        .checked_sub(decompressed.len())
        .ok_or(Undecodable::TooLarge)?;
    utf8(decompressed)
}

fn bytes(text: &str) -> Result<Vec<u8>, Undecodable> {
    let decoded = if text.contains(|c: char| c.is_ascii_whitespace()) {
        BASE64.decode(text.split_ascii_whitespace().collect::<String>())
    } else {
        BASE64.decode(text)
    };
    decoded.map_err(|_| Undecodable::Base64)
}

fn utf8(bytes: Vec<u8>) -> Result<Value<'static>, Undecodable> {
    String::from_utf8(bytes)
        .map(Value::text)
        .map_err(|_| Undecodable::Utf8)
}
