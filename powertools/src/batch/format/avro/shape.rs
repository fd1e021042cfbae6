//! How values of a schema are laid out, to see whether bytes can be one before memory is set aside
//! for it.
//!
//! [`apache_avro`] believes what the bytes say of their length: a count of items in a record of ten
//! bytes makes it ask for gigabytes, a list within a list within a list overflows its stack, and where
//! the bytes end too early it reads nulls. None of that passes here.

use std::collections::HashMap;

use apache_avro::schema::{Name, Namespace, Schema};

use crate::batch::format::varint;

/// How deep values may be within each other. A build that is not optimised takes some 16 KiB of the stack
/// for each, and a thread of tokio's has 2 MiB.
const DEPTH: usize = 64;

/// The layout of a schema's values.
#[derive(Debug)]
pub(super) struct Shape {
    /// The first is the whole; the others are within it, or within each other.
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    /// A number of variable length, or the index of a symbol.
    Number,
    /// So many bytes.
    Fixed(usize),
    /// A length, and as many bytes.
    Bytes,
    /// The same, and in it bytes and a number: of the digits, and the scale.
    BigDecimal,
    /// Blocks of items.
    Array(usize),
    /// Blocks of keys and values.
    Map(usize),
    /// An index, and the value of that variant.
    Union(Vec<usize>),
    /// The values of the fields.
    Record(Vec<usize>),
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// They end too early or too late, or say what cannot be.
    Malformed,
    /// Values are too deep within each other, or have more items than bytes.
    TooLarge,
}

impl Shape {
    /// Lays a schema out; `None` if it refers to a type that it does not have.
    pub(super) fn of(schema: &Schema) -> Option<Self> {
        let mut builder = Builder::default();
        builder.add(schema, &None)?;
        Some(Self {
            nodes: builder.nodes,
        })
    }

    /// Checks that the bytes are one value, all of them.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), Misfit> {
        let mut walk = Walk {
            nodes: &self.nodes,
            rest: bytes,
            items: bytes.len(),
        };
        walk.value(0, DEPTH)?;
        if walk.rest.is_empty() {
            Ok(())
        } else {
            Err(Misfit::Malformed)
        }
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    /// The nodes of named types, which others may refer to.
    names: HashMap<Name, usize>,
}

impl Builder {
    fn add(&mut self, schema: &Schema, namespace: &Namespace) -> Option<usize> {
        if let Schema::Ref { name } = schema {
            let name = name.fully_qualified_name(namespace);
            return self.names.get(&name).copied();
        }
        let this = self.nodes.len();
        self.nodes.push(Node::Fixed(0));
        if let Some(name) = schema.name() {
            let name = name.fully_qualified_name(namespace);
            self.names.insert(name, this);
        }
        let node = match schema {
            Schema::Null => Node::Fixed(0),
            Schema::Boolean => Node::Fixed(1),
            Schema::Float => Node::Fixed(4),
            Schema::Double => Node::Fixed(8),
            Schema::Duration => Node::Fixed(12),
            Schema::Fixed(fixed) => Node::Fixed(fixed.size),
            Schema::Bytes | Schema::String | Schema::Uuid => Node::Bytes,
            Schema::BigDecimal => Node::BigDecimal,
            Schema::Int
            | Schema::Long
            | Schema::Enum(_)
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Number,
            // As what it is kept in.
            Schema::Decimal(decimal) => Node::Record(vec![self.add(&decimal.inner, namespace)?]),
            Schema::Array(array) => Node::Array(self.add(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.add(&map.types, namespace)?),
            Schema::Union(union) => {
                let variants = union.variants().iter();
                Node::Union(
                    variants
                        .map(|variant| self.add(variant, namespace))
                        .collect::<Option<_>>()?,
                )
            }
            Schema::Record(record) => {
                let namespace = record.name.fully_qualified_name(namespace).namespace;
                let fields = record.fields.iter();
                Node::Record(
                    fields
                        .map(|field| self.add(&field.schema, &namespace))
                        .collect::<Option<_>>()?,
                )
            }
            // Looked up above.
            Schema::Ref { .. } => return None,
        };
        self.nodes[this] = node;
        Some(this)
    }
}

struct Walk<'a> {
    nodes: &'a [Node],
    rest: &'a [u8],
    /// How many more items there may be. An item has a byte or more, unless it is null: then the
    /// length of the whole is as good a limit as any.
    items: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, node: usize, depth: usize) -> Result<(), Misfit> {
        let depth = depth.checked_sub(1).ok_or(Misfit::TooLarge)?;
        match &self.nodes[node] {
            Node::Number => self.number().map(drop),
            Node::Fixed(length) => self.take(*length as u64).map(drop),
            Node::Bytes => self.bytes().map(drop),
            Node::BigDecimal => {
                let rest = self.bytes()?;
                let mut inner = Walk { rest, ..*self };
                inner.bytes()?;
                inner.number().map(drop)
            }
            Node::Array(items) => self.blocks(|walk| walk.value(*items, depth)),
            Node::Map(values) => self.blocks(|walk| {
                walk.bytes()?;
                walk.value(*values, depth)
            }),
            Node::Union(variants) => {
                let index = self.length()?;
                let variant = usize::try_from(index)
                    .ok()
                    .and_then(|index| variants.get(index));
                self.value(*variant.ok_or(Misfit::Malformed)?, depth)
            }
            Node::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.value(*field, depth)),
        }
    }

    /// Blocks until an empty one: a count, or its negative and the length in bytes, and the items.
    ///
    /// Source: <https://avro.apache.org/docs/1.12.0/specification/#arrays>
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Misfit>,
    ) -> Result<(), Misfit> {
        loop {
            let count = self.number()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.length()?;
            }
            let count = usize::try_from(count.unsigned_abs()).map_err(|_| Misfit::TooLarge)?;
            self.items = self.items.checked_sub(count).ok_or(Misfit::TooLarge)?;
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], Misfit> {
        let length = self.length()?;
        self.take(length)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Misfit> {
        varint::bytes(&mut self.rest, length).ok_or(Misfit::Malformed)
    }

    fn length(&mut self) -> Result<u64, Misfit> {
        u64::try_from(self.number()?).map_err(|_| Misfit::Malformed)
    }

    fn number(&mut self) -> Result<i64, Misfit> {
        varint::signed(&mut self.rest).ok_or(Misfit::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(schema: &str) -> Shape {
        Shape::of(&Schema::parse_str(schema).unwrap()).unwrap()
    }

    #[test]
    fn all_bytes_are_one_value() {
        let text = shape(r#""string""#);
        assert_eq!(text.check(b"\x04ab"), Ok(()));
        assert_eq!(text.check(b"\x04a"), Err(Misfit::Malformed));
        assert_eq!(text.check(b"\x04abc"), Err(Misfit::Malformed));
        assert_eq!(text.check(b"\x01"), Err(Misfit::Malformed));
        assert_eq!(text.check(b""), Err(Misfit::Malformed));
    }

    #[test]
    fn a_union_has_a_variant_for_its_index() {
        let union = shape(r#"["null", "boolean"]"#);
        assert_eq!(union.check(b"\x00"), Ok(()));
        assert_eq!(union.check(b"\x02\x01"), Ok(()));
        for bytes in [&b""[..], b"\x02", b"\x04", b"\x01"] {
            assert_eq!(union.check(bytes), Err(Misfit::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn blocks_end_with_an_empty_one() {
        for schema in [
            r#"{"type":"array","items":"int"}"#,
            r#"{"type":"map","values":"null"}"#,
        ] {
            let items = shape(schema);
            assert_eq!(items.check(b"\x00"), Ok(()));
            assert_eq!(items.check(b"\x04\x00\x00\x00"), Ok(()));
            // The count as a negative, with a length.
            assert_eq!(items.check(b"\x03\x04\x00\x00\x00"), Ok(()));
            assert_eq!(items.check(b"\x04\x00\x00"), Err(Misfit::Malformed));
        }
    }

    #[test]
    fn there_are_not_more_items_than_bytes() {
        let nulls = shape(r#"{"type":"array","items":{"type":"array","items":"null"}}"#);
        assert_eq!(nulls.check(b"\x02\x06\x00\x00"), Ok(()));
        // 2³⁰ nulls, and as many as there can be.
        let many = [&b"\x02"[..], b"\x80\x80\x80\x80\x08", b"\x00\x00"].concat();
        assert_eq!(nulls.check(&many), Err(Misfit::TooLarge));
        let most = [&b"\x02"[..], &[0xff; 9], b"\x01\x00\x00\x00"].concat();
        assert_eq!(nulls.check(&most), Err(Misfit::TooLarge));
    }

    #[test]
    fn a_list_within_a_list_ends_somewhere() {
        let list = shape(
            r#"{"type":"record","name":"shop.Node","fields":[{"name":"next","type":["null","Node"]}]}"#,
        );
        assert_eq!(list.check(b"\x02\x02\x00"), Ok(()));
        assert_eq!(list.check(&[2; 1_000_000]), Err(Misfit::TooLarge));
    }

    #[test]
    fn a_decimal_is_not_longer_than_its_bytes() {
        let decimal = shape(r#"{"type":"bytes","logicalType":"big-decimal"}"#);
        assert_eq!(decimal.check(b"\x06\x02\x07\x04"), Ok(()));
        assert_eq!(decimal.check(b"\x06\x04\x07\x04"), Err(Misfit::Malformed));
    }

    #[test]
    fn names_are_found_in_their_namespaces() {
        let schema = r#"{"type":"record","name":"a.Outer","fields":[
            {"name":"one","type":{"type":"record","name":"b.Inner","fields":[
                {"name":"id","type":{"type":"fixed","name":"Id","size":2}}]}},
            {"name":"two","type":"b.Inner"},
            {"name":"three","type":"b.Id"},
            {"name":"four","type":{"type":"bytes","logicalType":"decimal","precision":4}}]}"#;
        assert_eq!(shape(schema).check(b"112233\x02a"), Ok(()));
        assert_eq!(shape(schema).check(b"112233\x04a"), Err(Misfit::Malformed));
    }
}
