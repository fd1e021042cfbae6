use std::ops::Range;

use serde::Serialize;

use crate::json;

/// Keys the line itself owns: a field of that name is left out.
const RESERVED: [&str; 6] = [
    "level",
    "location",
    "message",
    "timestamp",
    "sampling_rate",
    "xray_trace_id",
];

/// How many bytes are made room for with a name: for its quotes, and for a value that is a number.
const ROOM: usize = 24;

/// How many bytes of replaced values are kept before they are given back.
const MAX_GARBAGE: usize = 1024;

/// The members of a JSON object, each serialised once and kept as bytes.
///
/// A name that comes again replaces the value and keeps its place, as in the other toolkits.
#[derive(Clone, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    members: Vec<Member>,
}

/// Where in the bytes a member's quoted name and its value stand.
#[derive(Clone)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
    is_error: bool,
}

/// A member as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberRef<'a> {
    /// The name as a JSON string.
    pub(super) name: &'a [u8],
    /// The value as JSON.
    pub(super) value: &'a [u8],
    /// Whether the value is an [`ErrorRecord`](super::value::ErrorRecord).
    pub(super) is_error: bool,
}

impl Fields {
    pub(super) fn with_capacity(bytes: usize, members: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            members: Vec::with_capacity(members),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.members.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a member; what cannot be serialised becomes `null`, for a line is never lost.
    pub(super) fn insert(&mut self, name: &str, value: impl Serialize) {
        self.insert_with(name, false, |bytes| json::write(bytes, value));
    }

    /// Adds a member whose value is a text.
    pub(super) fn insert_text(&mut self, name: &str, text: &str) {
        self.insert_with(name, false, |bytes| json::write_text(bytes, text));
    }

    /// Adds a member whose value is an [`ErrorRecord`](super::value::ErrorRecord).
    pub(super) fn insert_error(&mut self, name: &str, error: impl Serialize) {
        self.insert_with(name, true, |bytes| json::write(bytes, error));
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn insert_json(&mut self, name: &str, json: &str) {
        self.insert_with(name, false, |bytes| {
            let start = bytes.len();
            bytes.extend_from_slice(json.as_bytes());
            json::put_on_one_line(&mut bytes[start..]);
        });
    }

    /// Adds a member whose value `write` appends as JSON.
    pub(super) fn insert_with(
        &mut self,
        name: &str,
        is_error: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if RESERVED.contains(&name) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.reserve(name.len() + ROOM);
        json::write_text(&mut self.bytes, name);
        let name_end = self.bytes.len();
        write(&mut self.bytes);
        self.place(Member {
            name: start..name_end,
            value: name_end..self.bytes.len(),
            is_error,
        });
    }

    /// Removes a member; an unknown name is no error.
    pub(super) fn remove(&mut self, name: &str) {
        let mut quoted = Vec::new();
        json::write_text(&mut quoted, name);
        let bytes = &self.bytes;
        self.members
            .retain(|member| bytes[member.name.clone()] != *quoted);
        self.collect_garbage();
    }

    /// Returns one member as an object of its own, empty if there is none of that name.
    pub(super) fn only(&self, name: &str) -> Self {
        let mut quoted = Vec::new();
        json::write_text(&mut quoted, name);
        let mut only = Self::default();
        if let Some(member) = self.iter().find(|member| member.name == quoted) {
            only.push(member);
        }
        only
    }

    /// Adds all members of another object.
    pub(super) fn extend(&mut self, other: &Self) {
        for member in other.iter() {
            self.push(member);
        }
    }

    pub(super) fn push(&mut self, member: MemberRef<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(member.name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(member.value);
        self.place(Member {
            name: start..name_end,
            value: name_end..self.bytes.len(),
            is_error: member.is_error,
        });
    }

    fn place(&mut self, added: Member) {
        let bytes = &self.bytes;
        let same_name =
            |member: &&mut Member| bytes[member.name.clone()] == bytes[added.name.clone()];
        match self.members.iter_mut().find(same_name) {
            Some(member) => {
                member.value = added.value;
                member.is_error = added.is_error;
            }
            None => self.members.push(added),
        }
    }

    /// Gives back what replaced and removed values take, once it is worth it: a key that a loop
    /// sets again and again stays one key.
    pub(super) fn collect_garbage(&mut self) {
        let used: usize = self
            .members
            .iter()
            .map(|member| member.name.len() + member.value.len())
            .sum();
        if self.bytes.len() > 2 * used + MAX_GARBAGE {
            let mut compact = Self::default();
            compact.extend(self);
            *self = compact;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = MemberRef<'_>> {
        self.members.iter().map(|member| MemberRef {
            name: &self.bytes[member.name.clone()],
            value: &self.bytes[member.value.clone()],
            is_error: member.is_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> String {
        let members = fields.iter().map(|member| {
            let text = |bytes| str::from_utf8(bytes).unwrap();
            format!("{}:{}", text(member.name), text(member.value))
        });
        members.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_name_that_comes_again_replaces_the_value_and_keeps_its_place() {
        let mut fields = Fields::default();
        fields.insert("a", 1);
        fields.insert("b", "x");
        fields.insert("a", 2.5);
        assert_eq!(written(&fields), r#""a":2.5,"b":"x""#);
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
        assert_eq!(written(&outer), r#""a":1,"b":2,"c":2"#);
    }

    #[test]
    fn the_keys_of_the_line_itself_are_protected() {
        let mut fields = Fields::default();
        for name in RESERVED {
            fields.insert(name, "mine");
        }
        assert!(fields.is_empty());
    }

    #[test]
    fn names_and_values_are_escaped() {
        let mut fields = Fields::default();
        fields.insert("a\"b", "c\nd");
        assert_eq!(written(&fields), r#""a\"b":"c\nd""#);
        fields.remove("a\"b");
        assert_eq!(written(&fields), "");
    }

    #[test]
    fn a_key_that_is_set_again_and_again_takes_no_more_memory() {
        let mut fields = Fields::default();
        fields.insert("kept", "as it is");
        for progress in 0..100_000 {
            fields.insert("progress", progress);
            fields.collect_garbage();
        }
        assert!(
            fields.bytes.len() <= 2 * MAX_GARBAGE,
            "{}",
            fields.bytes.len()
        );
        assert_eq!(written(&fields), r#""kept":"as it is","progress":99999"#);
    }
}
