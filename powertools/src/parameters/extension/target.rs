use std::fmt::Write as _;

/// The path and the query of a request, encoded as they are built.
#[derive(Debug)]
pub(super) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// Begins with a path that needs no encoding.
    pub(super) fn new(path: &str) -> Self {
        Self {
            text: path.to_owned(),
            has_query: false,
        }
    }

    /// Adds a part of the path that is no name, and one that is.
    pub(super) fn segment(mut self, part: &str, name: &str) -> Self {
        self.text.push('/');
        self.text.push_str(part);
        self.text.push('/');
        self.push(name);
        self
    }

    /// Adds a parameter to the query. Its name needs no encoding.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.push(value);
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Encodes all but the characters that never have a meaning of their own.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
    fn push(&mut self, value: &str) {
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.text.push(char::from(byte));
                }
                // Writing to a string does not fail.
                _ => drop(write!(self.text, "%{byte:02X}")),
            }
        }
    }
}
