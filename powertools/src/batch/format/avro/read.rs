//! Values by their layout, read by serde.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess,
        SeqAccess, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::layout::{Layout, Node, Place};
use crate::batch::format::{DecodeError, DecodeErrorKind, varint};

/// How deep values may be within each other.
const DEPTH: usize = 128;

/// Reads bytes that are one value, all of them.
pub(super) fn read<T: DeserializeOwned>(
    format: &'static str,
    layout: &Layout,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let mut input = Input::of(bytes);
    match T::deserialize(input.whole(layout)) {
        Ok(value) if input.rest.is_empty() => Ok(value),
        Ok(_) => Err(DecodeError::new(format, DecodeErrorKind::Syntax)),
        Err(_) => {
            // To keep track of the path costs, so only where it is to be told.
            let mut input = Input::of(bytes);
            let value: Result<T, _> = serde_path_to_error::deserialize(input.whole(layout));
            Err(match value {
                Ok(_) => DecodeError::new(format, DecodeErrorKind::Schema),
                Err(error) => {
                    DecodeError::new(format, error.inner().0).at(error.path().to_string(), 0, 0)
                }
            })
        }
    }
}

/// Why bytes are no value, or not one of the handler's type. What serde says of that may quote the
/// value, so it is not kept.
#[derive(Debug)]
struct Error(DecodeErrorKind);

impl Error {
    const fn malformed() -> Self {
        Self(DecodeErrorKind::Syntax)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl de::StdError for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(DecodeErrorKind::Schema)
    }
}

/// What is left of the bytes.
struct Input<'de> {
    rest: &'de [u8],
    /// How many more items of arrays and maps there may be. An item has a byte or more, unless it is
    /// null: then the length of the whole is as good a limit as any.
    items: usize,
}

impl<'de> Input<'de> {
    const fn of(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            items: bytes.len(),
        }
    }

    const fn whole<'a>(&'a mut self, layout: &'a Layout) -> Value<'a, 'de> {
        Value {
            input: self,
            layout,
            place: Layout::WHOLE,
            depth: DEPTH,
        }
    }

    fn take(&mut self, length: u64) -> Result<&'de [u8], Error> {
        varint::bytes(&mut self.rest, length).ok_or(Error::malformed())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Error::malformed())?;
        self.rest = rest;
        Ok(*array)
    }

    fn long(&mut self) -> Result<i64, Error> {
        varint::signed(&mut self.rest).ok_or(Error::malformed())
    }

    fn int(&mut self) -> Result<i32, Error> {
        i32::try_from(self.long()?).map_err(|_| Error::malformed())
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::malformed()),
        }
    }

    fn bytes(&mut self) -> Result<&'de [u8], Error> {
        let length = u64::try_from(self.long()?).map_err(|_| Error::malformed())?;
        self.take(length)
    }

    fn string(&mut self) -> Result<&'de str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error(DecodeErrorKind::Utf8))
    }

    /// Returns which of so many it is.
    fn index(&mut self, of: usize) -> Result<usize, Error> {
        let index = usize::try_from(self.long()?).ok();
        let index = index.filter(|index| *index < of);
        index.ok_or(Error::malformed())
    }

    fn one_of<'a, T>(&mut self, several: &'a [T]) -> Result<&'a T, Error> {
        Ok(&several[self.index(several.len())?])
    }

    /// Returns how many items a block has: none if it is the last. A block whose count is negative has
    /// its length in bytes too, for those that skip it.
    ///
    /// Source: <https://avro.apache.org/docs/1.12.0/specification/#arrays-1>
    fn block(&mut self) -> Result<usize, Error> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        let count = usize::try_from(count.unsigned_abs()).ok();
        let count = count.filter(|count| *count <= self.items);
        let count = count.ok_or(Error(DecodeErrorKind::TooLarge))?;
        self.items -= count;
        Ok(count)
    }
}

/// A value that is about to be read.
struct Value<'a, 'de> {
    input: &'a mut Input<'de>,
    layout: &'a Layout,
    place: Place,
    /// How many more values may be around the next.
    depth: usize,
}

impl<'a, 'de> Value<'a, 'de> {
    fn node(&self) -> &'a Node {
        self.layout.node(self.place)
    }

    /// A value within this one.
    fn inner(&mut self, place: Place) -> Result<Value<'_, 'de>, Error> {
        let depth = self.depth.checked_sub(1);
        Ok(Value {
            input: self.input,
            layout: self.layout,
            place,
            depth: depth.ok_or(Error(DecodeErrorKind::TooLarge))?,
        })
    }

    /// The value itself, if this is a union.
    fn resolve(mut self) -> Result<Self, Error> {
        while let Node::Union(variants) = self.node() {
            self.place = *self.input.one_of(variants)?;
            let depth = self.depth.checked_sub(1);
            self.depth = depth.ok_or(Error(DecodeErrorKind::TooLarge))?;
        }
        Ok(self)
    }

    fn visit_bytes_as_seq<V: Visitor<'de>>(bytes: &[u8], visitor: V) -> Result<V::Value, Error> {
        let mut bytes = SeqDeserializer::<_, Error>::new(bytes.iter().copied());
        let value = visitor.visit_seq(&mut bytes)?;
        bytes.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolve()?;
        match this.node() {
            Node::Null => visitor.visit_unit(),
            Node::Boolean => visitor.visit_bool(this.input.boolean()?),
            Node::Int => visitor.visit_i32(this.input.int()?),
            Node::Long => visitor.visit_i64(this.input.long()?),
            Node::Float => visitor.visit_f32(f32::from_le_bytes(this.input.array()?)),
            Node::Double => visitor.visit_f64(f64::from_le_bytes(this.input.array()?)),
            Node::Fixed(length) => visitor.visit_borrowed_bytes(this.input.take(*length as u64)?),
            Node::Bytes => visitor.visit_borrowed_bytes(this.input.bytes()?),
            Node::String => visitor.visit_borrowed_str(this.input.string()?),
            Node::Enum(symbols) => visitor.visit_str(this.input.one_of(symbols)?),
            Node::Array(place) => {
                let mut items = Items::of(this, *place);
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Node::Map(place) => {
                let mut entries = Items::of(this, *place);
                let value = visitor.visit_map(&mut entries)?;
                entries.end()?;
                Ok(value)
            }
            Node::Record(fields) => {
                let mut fields = Fields::of(this, fields);
                let value = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(value)
            }
            // Resolved above.
            Node::Union(_) => Err(Error::malformed()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolve()?;
        match this.node() {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(this),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Bytes are a sequence too, for a `Vec<u8>`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let this = self.resolve()?;
        match this.node() {
            Node::Bytes => Self::visit_bytes_as_seq(this.input.bytes()?, visitor),
            Node::Fixed(length) => {
                Self::visit_bytes_as_seq(this.input.take(*length as u64)?, visitor)
            }
            _ => this.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    /// A union that is no option is an enum with a variant for each of the union's, in their order.
    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node() {
            Node::Enum(symbols) => {
                let symbol = self.input.one_of(symbols)?;
                visitor.visit_enum(symbol.as_str().into_deserializer())
            }
            Node::String => visitor.visit_enum(self.input.string()?.into_deserializer()),
            Node::Union(places) => {
                let index = self.input.index(places.len())?;
                let name = names.get(index).ok_or(Error(DecodeErrorKind::Schema))?;
                let value = self.inner(places[index])?;
                visitor.visit_enum(Variant { name, value })
            }
            _ => Err(Error(DecodeErrorKind::Schema)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct map struct identifier ignored_any
    }
}

/// The items of an array, or the keys and values of a map.
struct Items<'a, 'de> {
    around: Value<'a, 'de>,
    place: Place,
    /// How many are left of the block.
    left: usize,
    is_over: bool,
}

impl<'a, 'de> Items<'a, 'de> {
    const fn of(around: Value<'a, 'de>, place: Place) -> Self {
        Self {
            around,
            place,
            left: 0,
            is_over: false,
        }
    }

    /// Returns whether there is another.
    fn next(&mut self) -> Result<bool, Error> {
        if self.left == 0 && !self.is_over {
            self.left = self.around.input.block()?;
            self.is_over = self.left == 0;
        }
        if !self.is_over {
            self.left -= 1;
        }
        Ok(!self.is_over)
    }

    /// Fails if the handler's type has not taken all.
    fn end(mut self) -> Result<(), Error> {
        if self.next()? {
            return Err(Error(DecodeErrorKind::Schema));
        }
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(self.around.inner(self.place)?).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.next()? {
            return Ok(None);
        }
        let key = BorrowedStrDeserializer::new(self.around.input.string()?);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.around.inner(self.place)?)
    }
}

/// The fields of a record.
struct Fields<'a, 'de> {
    around: Value<'a, 'de>,
    left: std::slice::Iter<'a, (String, Place)>,
    /// The one whose value comes next.
    place: Place,
}

impl<'a, 'de> Fields<'a, 'de> {
    fn of(around: Value<'a, 'de>, fields: &'a [(String, Place)]) -> Self {
        Self {
            around,
            left: fields.iter(),
            place: Layout::WHOLE,
        }
    }

    /// Fails if the handler's type has not taken all.
    fn end(self) -> Result<(), Error> {
        if self.left.len() > 0 {
            return Err(Error(DecodeErrorKind::Schema));
        }
        Ok(())
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, place)) = self.left.next() else {
            return Ok(None);
        };
        self.place = *place;
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.around.inner(self.place)?)
    }
}

/// A variant of a union, as that of an enum.
struct Variant<'a, 'de> {
    name: &'static str,
    value: Value<'a, 'de>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = Error;
    type Variant = Value<'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Error> {
        let name = StrDeserializer::<Error>::new(self.name);
        Ok((seed.deserialize(name)?, self.value))
    }
}

impl<'de> VariantAccess<'de> for Value<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::Schema;
    use serde::{Deserialize, de::IgnoredAny};
    use serde_json::{Value as Json, json};

    use super::*;

    fn layout(schema: &str) -> Layout {
        Layout::of(&Schema::parse_str(schema).unwrap()).unwrap()
    }

    fn read<T: DeserializeOwned>(schema: &str, bytes: &[u8]) -> Result<T, DecodeErrorKind> {
        super::read("Avro", &layout(schema), bytes).map_err(|error| error.kind())
    }

    fn check(schema: &str, bytes: &[u8]) -> Result<(), DecodeErrorKind> {
        read::<IgnoredAny>(schema, bytes).map(drop)
    }

    const MALFORMED: Result<(), DecodeErrorKind> = Err(DecodeErrorKind::Syntax);
    const TOO_LARGE: Result<(), DecodeErrorKind> = Err(DecodeErrorKind::TooLarge);

    #[test]
    fn all_bytes_are_one_value() {
        let text = r#""string""#;
        assert_eq!(check(text, b"\x04ab"), Ok(()));
        for bytes in [&b""[..], b"\x04a", b"\x04abc", b"\x01"] {
            assert_eq!(check(text, bytes), MALFORMED, "{bytes:?}");
        }
        assert_eq!(check(text, b"\x02\xff"), Err(DecodeErrorKind::Utf8));
        assert_eq!(check(r#""boolean""#, b"\x02"), MALFORMED);
        assert_eq!(check(r#""float""#, b"\0\0\0"), MALFORMED);
        // More than 32 bits.
        assert_eq!(check(r#""int""#, b"\x80\x80\x80\x80\x20"), MALFORMED);
    }

    #[test]
    fn a_union_has_a_variant_for_its_index() {
        let union = r#"["null", "boolean"]"#;
        assert_eq!(check(union, b"\x00"), Ok(()));
        assert_eq!(check(union, b"\x02\x01"), Ok(()));
        for bytes in [&b""[..], b"\x02", b"\x04", b"\x01"] {
            assert_eq!(check(union, bytes), MALFORMED, "{bytes:?}");
        }
    }

    #[test]
    fn blocks_end_with_an_empty_one() {
        for schema in [
            r#"{"type":"array","items":"int"}"#,
            r#"{"type":"map","values":"null"}"#,
        ] {
            assert_eq!(check(schema, b"\x00"), Ok(()));
            assert_eq!(check(schema, b"\x04\x00\x00\x00"), Ok(()));
            // The count as a negative, with a length.
            assert_eq!(check(schema, b"\x03\x04\x00\x00\x00"), Ok(()));
            // Two blocks.
            assert_eq!(check(schema, b"\x02\x00\x02\x00\x00"), Ok(()));
            assert_eq!(check(schema, b"\x04\x00\x00"), MALFORMED);
        }
    }

    #[test]
    fn there_are_not_more_items_than_bytes() {
        let nulls = r#"{"type":"array","items":{"type":"array","items":"null"}}"#;
        assert_eq!(check(nulls, b"\x02\x06\x00\x00"), Ok(()));
        // 2³⁰ nulls, and as many as there can be.
        let many = [&b"\x02"[..], b"\x80\x80\x80\x80\x08", b"\x00\x00"].concat();
        assert_eq!(check(nulls, &many), TOO_LARGE);
        let most = [&b"\x02"[..], &[0xff; 9], b"\x01\x00\x00\x00"].concat();
        assert_eq!(check(nulls, &most), TOO_LARGE);
    }

    #[derive(Debug, Deserialize)]
    struct Node {
        next: Option<Box<Node>>,
    }

    const LIST: &str = r#"{"type":"record","name":"shop.Node","fields":[
        {"name":"next","type":["null","Node"]}]}"#;

    #[test]
    fn a_list_within_a_list_ends_somewhere() {
        assert_eq!(check(LIST, &[2; 1_000_000]), TOO_LARGE);
        // A node and the union in it are two values.
        let nodes = |nodes: usize| [vec![2; nodes - 1], vec![0]].concat();
        let longest: Node = read(LIST, &nodes(DEPTH / 2)).unwrap();
        let mut length = 0;
        let mut next = Some(Box::new(longest));
        while let Some(node) = next {
            length += 1;
            next = node.next;
        }
        assert_eq!(length, DEPTH / 2);
        assert!(read::<Node>(LIST, &nodes(DEPTH / 2 + 1)).is_err());
        // A record that has nothing but itself.
        let endless = r#"{"type":"record","name":"N","fields":[{"name":"n","type":"N"}]}"#;
        assert_eq!(check(endless, b""), TOO_LARGE);
    }

    #[test]
    fn names_are_found_in_their_namespaces() {
        let schema = r#"{"type":"record","name":"a.Outer","fields":[
            {"name":"one","type":{"type":"record","name":"b.Inner","fields":[
                {"name":"id","type":{"type":"fixed","name":"Id","size":2}}]}},
            {"name":"two","type":"b.Inner"},
            {"name":"three","type":"b.Id"},
            {"name":"four","type":{"type":"bytes","logicalType":"decimal","precision":4}}]}"#;
        assert_eq!(check(schema, b"112233\x02a"), Ok(()));
        assert_eq!(check(schema, b"112233\x04a"), MALFORMED);
    }

    #[test]
    fn each_kind_of_value_is_what_serde_has_for_it() {
        let kinds: [(&str, &[u8], Json); 9] = [
            (r#""null""#, b"", json!(null)),
            (r#""boolean""#, b"\x01", json!(true)),
            (r#""int""#, b"\x03", json!(-2)),
            (
                r#"{"type":"long","logicalType":"timestamp-millis"}"#,
                b"\x02",
                json!(1),
            ),
            (r#""double""#, &1.5_f64.to_le_bytes(), json!(1.5)),
            (
                r#"{"type":"string","logicalType":"uuid"}"#,
                b"\x04id",
                json!("id"),
            ),
            (
                r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
                b"\x02",
                json!("B"),
            ),
            (
                r#"{"type":"map","values":"int"}"#,
                b"\x02\x02a\x02\x00",
                json!({"a": 1}),
            ),
            (
                r#"["null",{"type":"array","items":"int"}]"#,
                b"\x02\x02\x02\x00",
                json!([1]),
            ),
        ];
        for (schema, bytes, expected) in kinds {
            assert_eq!(read::<Json>(schema, bytes).unwrap(), expected, "{schema}");
        }
        let bytes = [
            r#""bytes""#,
            r#"["null","bytes"]"#,
            r#"{"type":"bytes","logicalType":"decimal","precision":4}"#,
        ];
        for (schema, input) in bytes
            .into_iter()
            .zip([&b"\x04ab"[..], b"\x02\x04ab", b"\x04ab"])
        {
            assert_eq!(read::<Vec<u8>>(schema, input).unwrap(), b"ab");
        }
        let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
        assert_eq!(read::<[u8; 2]>(fixed, b"ab").unwrap(), *b"ab");
        assert_eq!(read::<[u8; 1]>(fixed, b"ab"), Err(DecodeErrorKind::Schema));
    }

    #[test]
    fn an_option_is_a_union_with_null_or_what_is_always_there() {
        let union = r#"["null","int"]"#;
        assert_eq!(read::<Option<u8>>(union, b"\x00"), Ok(None));
        assert_eq!(read::<Option<u8>>(union, b"\x02\x02"), Ok(Some(1)));
        assert_eq!(read::<Option<u8>>(r#"["int","null"]"#, b"\x02"), Ok(None));
        assert_eq!(read::<Option<u8>>(r#""int""#, b"\x02"), Ok(Some(1)));
        assert_eq!(read::<u8>(union, b"\x00"), Err(DecodeErrorKind::Schema));
    }

    #[test]
    fn an_enum_is_an_enum_or_a_union() {
        #[derive(Debug, Deserialize, PartialEq)]
        enum Payment {
            Cash,
            Card(String),
            Points { count: u32 },
        }
        let union = r#"["null","string",{"type":"record","name":"P","fields":[
            {"name":"count","type":"int"}]}]"#;
        assert_eq!(read(union, b"\x00"), Ok(Payment::Cash));
        assert_eq!(read(union, b"\x02\x02c"), Ok(Payment::Card("c".to_owned())));
        assert_eq!(read(union, b"\x04\x0e"), Ok(Payment::Points { count: 7 }));
        let symbols = r#"{"type":"enum","name":"E","symbols":["Other","Cash"]}"#;
        assert_eq!(read(symbols, b"\x02"), Ok(Payment::Cash));
        assert_eq!(
            read::<Payment>(symbols, b"\x00"),
            Err(DecodeErrorKind::Schema)
        );
        assert_eq!(
            read::<Payment>(symbols, b"\x04"),
            Err(DecodeErrorKind::Syntax)
        );
        let more = r#"["null","string","int","long"]"#;
        assert_eq!(
            read::<Payment>(more, b"\x06\x00"),
            Err(DecodeErrorKind::Schema)
        );
    }

    #[test]
    fn fields_that_the_handler_does_not_know_are_skipped() {
        #[derive(Debug, Deserialize)]
        struct Order {
            id: String,
        }
        let schema = r#"{"type":"record","name":"O","fields":[
            {"name":"tags","type":{"type":"map","values":"string"}},
            {"name":"id","type":"string"},
            {"name":"note","type":["null","string"]}]}"#;
        let order: Order = read(schema, b"\x02\x02a\x02b\x00\x04a1\x00").unwrap();
        assert_eq!(order.id, "a1");
    }
}
