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

/// Appends a text as a JSON string. In nearly all of them nothing is escaped.
pub(crate) fn write_text(bytes: &mut Vec<u8>, text: &str) {
    let is_plain = |byte| !matches!(byte, 0..b' ' | b'"' | b'\\');
    // To the end in any case, as that goes many bytes at a time.
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        bytes.reserve(text.len() + 2);
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        write(bytes, text);
    }
}

/// JSON that is passed through as it is (a `RawValue`) may have line breaks between its tokens;
/// inside of strings there are none.
#[inline(never)] // It grows when it is optimised, and would into every type that is written.
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
    fn texts_are_written_as_serde_json_writes_them() {
        let characters = (0..=0x7f).chain([0x80, 0x2028, 0x1f980]);
        for character in characters.filter_map(char::from_u32) {
            let text = format!("a{character}b");
            let mut bytes = Vec::new();
            write_text(&mut bytes, &text);
            assert_eq!(bytes, serde_json::to_vec(&text).unwrap());
        }
    }

    #[test]
    fn raw_json_is_put_on_one_line() {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str("{\"a\":\r\n  \"b\\n\"}").unwrap();
        let mut bytes = b"x".to_vec();
        write(&mut bytes, raw);
        assert_eq!(bytes, b"x{\"a\":    \"b\\n\"}");
    }
}
