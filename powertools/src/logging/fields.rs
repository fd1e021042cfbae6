use std::{error::Error, fmt, ops::Range};

use serde::{Serialize, Serializer};
use tracing::field::{Field, Visit};

/// Keys the line itself owns: a field of that name is left out.
const RESERVED: [&str; 6] = [
    "level",
    "location",
    "message",
    "timestamp",
    "sampling_rate",
    "xray_trace_id",
];

/// The members of a JSON object, each serialised once and kept as bytes.
///
/// A name that comes again replaces the value and keeps its place, as in the other toolkits.
#[derive(Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    members: Vec<Member>,
}

/// Where in the bytes a member's quoted name and its value stand.
#[derive(Clone)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.members.clear();
    }

    /// Adds a member; what cannot be serialised becomes `null`, for a line is never lost.
    pub(super) fn insert(&mut self, name: &str, value: impl Serialize) {
        if !RESERVED.contains(&name) {
            self.insert_reserved(name, value);
        }
    }

    fn insert_reserved(&mut self, name: &str, value: impl Serialize) {
        let start = self.bytes.len();
        write_json(&mut self.bytes, name);
        let name_end = self.bytes.len();
        write_json(&mut self.bytes, value);
        self.place(start..name_end, name_end..self.bytes.len());
    }

    /// Removes a member; an unknown name is no error.
    pub(super) fn remove(&mut self, name: &str) {
        let mut quoted = Vec::new();
        write_json(&mut quoted, name);
        let bytes = &self.bytes;
        self.members
            .retain(|member| bytes[member.name.clone()] != *quoted);
    }

    /// Adds all members of another object.
    pub(super) fn extend(&mut self, other: &Self) {
        for member in &other.members {
            let start = self.bytes.len();
            self.bytes
                .extend_from_slice(&other.bytes[member.name.clone()]);
            let name_end = self.bytes.len();
            self.bytes
                .extend_from_slice(&other.bytes[member.value.clone()]);
            self.place(start..name_end, name_end..self.bytes.len());
        }
    }

    fn place(&mut self, name: Range<usize>, value: Range<usize>) {
        let bytes = &self.bytes;
        let same_name = |member: &&mut Member| bytes[member.name.clone()] == bytes[name.clone()];
        match self.members.iter_mut().find(same_name) {
            Some(member) => member.value = value,
            None => self.members.push(Member { name, value }),
        }
    }

    pub(super) fn contains(&self, quoted_name: &[u8]) -> bool {
        self.members
            .iter()
            .any(|member| self.bytes[member.name.clone()] == *quoted_name)
    }

    /// Appends `,"name":value` for every member.
    pub(super) fn write(&self, line: &mut Vec<u8>) {
        for member in &self.members {
            line.push(b',');
            line.extend_from_slice(&self.bytes[member.name.clone()]);
            line.push(b':');
            line.extend_from_slice(&self.bytes[member.value.clone()]);
        }
    }
}

/// Appends a value as compact JSON, or `null` where it cannot be serialised.
pub(super) fn write_json(bytes: &mut Vec<u8>, value: impl Serialize) {
    let start = bytes.len();
    if serde_json::to_writer(&mut *bytes, &value).is_err() {
        bytes.truncate(start);
        bytes.extend_from_slice(b"null");
    }
}

/// Collects the fields of a `tracing` event or span.
pub(super) struct FieldVisitor<'a> {
    fields: &'a mut Fields,
    /// Where an event's message goes; a span has none.
    message: Option<&'a mut Vec<u8>>,
}

impl<'a> FieldVisitor<'a> {
    pub(super) fn event(fields: &'a mut Fields, message: &'a mut Vec<u8>) -> Self {
        Self {
            fields,
            message: Some(message),
        }
    }

    pub(super) fn span(fields: &'a mut Fields) -> Self {
        Self {
            fields,
            message: None,
        }
    }

    fn insert(&mut self, field: &Field, value: impl Serialize) {
        match (field.name(), &mut self.message) {
            ("message", Some(message)) => {
                message.clear();
                write_json(message, value);
            }
            (name, _) => {
                if let Some(name) = key_of(name) {
                    self.fields.insert(name, value);
                }
            }
        }
    }
}

/// Returns the log key of a `tracing` field, or `None` for one that speaks to the tracer only.
///
/// `annotation.order_id` becomes `order_id`: what indexes a trace is worth searching logs by.
fn key_of(field: &str) -> Option<&str> {
    if field.starts_with("otel.") || field.starts_with("metadata.") {
        return None;
    }
    let field = field.strip_prefix("annotation.").unwrap_or(field);
    Some(field.strip_prefix("r#").unwrap_or(field))
}

impl Visit for FieldVisitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.insert(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert(field, ErrorChain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, DebugText(value));
    }
}

/// `Debug` output as a JSON string, written without a copy in between.
struct DebugText<'a>(&'a dyn fmt::Debug);

impl Serialize for DebugText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Unfailing(format_args!("{:?}", self.0)))
    }
}

/// Text that ends where its formatting fails: serde_json panics at such a failure.
struct Unfailing<'a>(fmt::Arguments<'a>);

impl fmt::Display for Unfailing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f.write_fmt(self.0);
        Ok(())
    }
}

/// `{"message":"…","chain":["…"]}`; the chain holds the sources, outermost first, if there are any.
struct ErrorChain<'a>(&'a (dyn Error + 'static));

impl Serialize for ErrorChain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", &DisplayText(self.0))?;
        if self.0.source().is_some() {
            map.serialize_entry("chain", &Sources(self.0))?;
        }
        map.end()
    }
}

struct Sources<'a>(&'a (dyn Error + 'static));

impl Serialize for Sources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = std::iter::successors(self.0.source(), |&error| error.source());
        serializer.collect_seq(sources.map(DisplayText))
    }
}

struct DisplayText<'a>(&'a (dyn Error + 'static));

impl Serialize for DisplayText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Unfailing(format_args!("{}", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> String {
        let mut line = Vec::new();
        fields.write(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_name_that_comes_again_replaces_the_value_and_keeps_its_place() {
        let mut fields = Fields::default();
        fields.insert("a", 1);
        fields.insert("b", "x");
        fields.insert("a", 2.5);
        assert_eq!(written(&fields), r#","a":2.5,"b":"x""#);
    }

    #[test]
    fn the_fields_of_an_inner_span_replace_those_of_an_outer() {
        let mut outer = Fields::default();
        outer.insert("a", 1);
        outer.insert("b", 1);
        let mut inner = Fields::default();
        inner.insert("b", 2);
        inner.insert("c", 2);
        outer.extend(&inner);
        assert_eq!(written(&outer), r#","a":1,"b":2,"c":2"#);
    }

    #[test]
    fn the_keys_of_the_line_itself_are_protected() {
        let mut fields = Fields::default();
        for name in RESERVED {
            fields.insert(name, "mine");
        }
        assert_eq!(written(&fields), "");
    }

    #[test]
    fn names_and_values_are_escaped() {
        let mut fields = Fields::default();
        fields.insert("a\"b", "c\nd");
        assert_eq!(written(&fields), r#","a\"b":"c\nd""#);
        fields.remove("a\"b");
        assert_eq!(written(&fields), "");
    }

    #[test]
    fn what_cannot_be_serialised_does_not_cost_the_line() {
        struct Broken;
        impl fmt::Debug for Broken {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }

        let mut fields = Fields::default();
        fields.insert("broken", DebugText(&Broken));
        fields.insert("infinite", f64::INFINITY);
        assert_eq!(written(&fields), r#","broken":"half","infinite":null"#);
    }

    #[test]
    fn an_error_shows_its_chain() {
        #[derive(Debug, thiserror::Error)]
        #[error("order cannot be stored")]
        struct Outer(#[source] std::io::Error);

        let error = Outer(std::io::Error::other("connection reset"));
        let mut fields = Fields::default();
        fields.insert("error", ErrorChain(&error));
        fields.insert("cause", ErrorChain(&error.0));
        assert_eq!(
            written(&fields),
            concat!(
                r#","error":{"message":"order cannot be stored","chain":["connection reset"]}"#,
                r#","cause":{"message":"connection reset"}"#
            )
        );
    }

    #[test]
    fn fields_for_the_tracer_are_left_out() {
        assert_eq!(key_of("otel.name"), None);
        assert_eq!(key_of("metadata.cart"), None);
        assert_eq!(key_of("annotation.order_id"), Some("order_id"));
        assert_eq!(key_of("r#type"), Some("type"));
    }
}
