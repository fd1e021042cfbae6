//! JSON as it goes into a line.

use serde::Serialize;

/// Appends a value as compact JSON on one line, or `null` where it cannot be serialised.
pub(crate) fn write(bytes: &mut Vec<u8>, value: impl Serialize) {
    let start = bytes.len();
    if serde_json::to_writer(&mut *bytes, &value).is_err() {
        bytes.truncate(start);
        bytes.extend_from_slice(b"null");
    }
    put_on_one_line(&mut bytes[start..]);
}

/// JSON that is passed through as it is (a `RawValue`) may have line breaks between its tokens;
/// inside of strings there are none.
pub(crate) fn put_on_one_line(json: &mut [u8]) {
    for byte in json {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_json_is_put_on_one_line() {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str("{\"a\":\r\n  \"b\\n\"}").unwrap();
        let mut bytes = b"x".to_vec();
        write(&mut bytes, raw);
        assert_eq!(bytes, b"x{\"a\":    \"b\\n\"}");
    }
}
