//! Messages of Protobuf, as the schema registries for Kafka frame them.

use prost::Message;

use super::{
    Data, DecodeError, DecodeErrorKind, Format, SchemaMetadata,
    registry::{Registry, expect},
    varint,
};

const FORMAT: &str = "Protobuf";

/// Protobuf, by [`prost`].
///
/// The payload is a [`prost::Message`]. What Kafka's records have before it depends on who has
/// written them:
///
/// | the record | before the message |
/// |---|---|
/// | without schema metadata | nothing, or what [`with_header`](Self::with_header) says |
/// | with metadata of a Confluent registry, whose ids are numbers | the message's indexes |
/// | with metadata of a Glue registry, whose ids are UUIDs | one number |
///
/// Lambda adds the metadata, and takes the rest of the header away, where the event source mapping
/// has a schema registry. Metadata of another format than Protobuf make the record fail. So does a
/// record without data, which would otherwise be the message with all its defaults;
/// [`Nullable`](super::Nullable) takes these.
///
/// The indexes say which of a schema's messages it is; they are skipped, as the handler's type says
/// so too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf {
    header: Option<Registry>,
}

impl Protobuf {
    /// Makes the format.
    #[must_use]
    pub const fn new() -> Self {
        Self { header: None }
    }

    /// Expects the header of this registry's serializer in records that come without schema metadata.
    ///
    /// Defaults to none.
    #[must_use]
    pub const fn with_header(mut self, registry: Registry) -> Self {
        self.header = Some(registry);
        self
    }

    /// Returns the message without what is before it.
    fn message<'d>(&self, data: &'d Data<'_>) -> Result<&'d [u8], DecodeError> {
        if data.is_null() {
            return Err(DecodeError::new(FORMAT, DecodeErrorKind::Missing));
        }
        expect("PROTOBUF", FORMAT, data.schema())?;
        let mut bytes = data.as_bytes();
        let framed = match (data.schema(), self.header) {
            (Some(schema), _) => wrote(schema),
            (None, Some(registry)) => {
                bytes = registry.strip(FORMAT, bytes)?;
                Some(registry)
            }
            (None, None) => None,
        };
        match framed {
            Some(Registry::Confluent) => skip_indexes(&mut bytes),
            Some(Registry::Glue) => varint::unsigned(&mut bytes).map(drop),
            None => Some(()),
        }
        .ok_or_else(|| DecodeError::new(FORMAT, DecodeErrorKind::Syntax))?;
        Ok(bytes)
    }
}

impl<T: Message + Default + 'static> Format<T> for Protobuf {
    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<T, DecodeError> {
        let message = self.message(&data)?;
        T::decode(message).map_err(|_| DecodeError::new(FORMAT, DecodeErrorKind::Syntax))
    }
}

/// Returns whose serializer has written a record with this schema, by the form of the schema's id.
fn wrote(schema: &SchemaMetadata<'_>) -> Option<Registry> {
    let id = schema.schema_id.as_deref().filter(|id| !id.is_empty())?;
    if id.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(Registry::Confluent)
    } else {
        Some(Registry::Glue)
    }
}

/// Skips the path to the message within its schema: how many indexes there are, and the indexes. A
/// single 0 stands for the first message, `[0]`.
///
/// Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>
fn skip_indexes(bytes: &mut &[u8]) -> Option<()> {
    let count = u64::try_from(varint::signed(bytes)?).ok()?;
    for _ in 0..count {
        varint::signed(bytes)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    // The message of a string in its field 1, which needs no derived type.
    type Order = String;

    const A1: &[u8] = b"\x0a\x02a1";

    fn decode(format: Protobuf, data: Data<'_>) -> Result<Order, DecodeErrorKind> {
        Format::<Order>::decode(&format, data)
            .now_or_never()
            .expect("nothing to wait for")
            .map_err(|error| error.kind())
    }

    fn with_id(prefix: &[u8], id: &'static str) -> Data<'static> {
        let schema = SchemaMetadata::new("PROTOBUF").schema_id(id);
        Data::bytes([prefix, A1].concat()).with_schema(Some(schema))
    }

    #[test]
    fn a_bare_message_is_read() {
        assert_eq!(decode(Protobuf::new(), Data::bytes(A1)).unwrap(), "a1");
        // Also where the registry has no id for it.
        let schema = Some(SchemaMetadata::new("PROTOBUF"));
        let data = Data::bytes(A1).with_schema(schema);
        assert_eq!(decode(Protobuf::new(), data).unwrap(), "a1");
    }

    #[test]
    fn the_indexes_of_confluent_are_skipped() {
        let indexes: [&[u8]; 5] = [
            b"\x00",         // [0], in short
            b"\x02\x00",     // [0]
            b"\x02\x02",     // [1]
            b"\x04\x02\x06", // [1, 3]
            b"\x02\xac\x02", // [150]
        ];
        for prefix in indexes {
            let read = decode(Protobuf::new(), with_id(prefix, "7"));
            assert_eq!(read.unwrap(), "a1", "{prefix:?}");
        }
    }

    #[test]
    fn indexes_without_end_fail() {
        for prefix in [
            &b"\x01"[..],
            b"\x7e",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x80",
        ] {
            let data = Data::bytes(prefix)
                .with_schema(Some(SchemaMetadata::new("PROTOBUF").schema_id("7")));
            assert_eq!(
                decode(Protobuf::new(), data),
                Err(DecodeErrorKind::Syntax),
                "{prefix:?}"
            );
        }
    }

    #[test]
    fn the_number_of_glue_is_skipped() {
        let id = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
        assert_eq!(decode(Protobuf::new(), with_id(b"\x01", id)).unwrap(), "a1");
        assert_eq!(
            decode(Protobuf::new(), with_id(b"\x80\x01", id)).unwrap(),
            "a1"
        );
    }

    #[test]
    fn headers_are_read_where_lambda_has_not_taken_them_away() {
        let confluent = Protobuf::new().with_header(Registry::Confluent);
        let data = [b"\x00\x00\x00\x00\x07\x00", A1].concat();
        assert_eq!(decode(confluent, Data::bytes(data)).unwrap(), "a1");
        assert_eq!(decode(confluent, with_id(b"\x00", "7")).unwrap(), "a1");
        assert_eq!(
            decode(confluent, Data::bytes(A1)),
            Err(DecodeErrorKind::Syntax)
        );

        let glue = Protobuf::new().with_header(Registry::Glue);
        let data = [&b"\x03\x00"[..], &[7; 16], b"\x01", A1].concat();
        assert_eq!(decode(glue, Data::bytes(data)).unwrap(), "a1");
    }

    #[test]
    fn another_format_is_refused() {
        for other in ["AVRO", "JSON", ""] {
            let data = Data::bytes(A1).with_schema(Some(SchemaMetadata::new(other)));
            assert_eq!(
                decode(Protobuf::new(), data),
                Err(DecodeErrorKind::Unsupported)
            );
        }
    }

    #[test]
    fn no_data_is_no_message_of_defaults() {
        assert_eq!(
            decode(Protobuf::new(), Data::null()),
            Err(DecodeErrorKind::Missing)
        );
        assert_eq!(decode(Protobuf::new(), Data::bytes(&[][..])).unwrap(), "");
    }

    #[test]
    fn an_error_shows_nothing_of_the_record() {
        let data = Data::bytes(&b"\x0a\x7fsecret"[..]);
        let error = Format::<Order>::decode(&Protobuf::new(), data)
            .now_or_never()
            .expect("nothing to wait for")
            .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("cannot decode Protobuf") && !shown.contains("secret"));
    }

    proptest! {
        #[test]
        fn messages_come_back(text in ".{0,40}", indexes in vec(0..200_i64, 0..5)) {
            let mut prefix = Vec::new();
            let mut write = |number: i64| prost::encoding::encode_varint(
                (number << 1).cast_unsigned(), &mut prefix);
            write(indexes.len() as i64);
            indexes.iter().copied().for_each(&mut write);
            let data = Data::bytes([prefix, Message::encode_to_vec(&text)].concat())
                .with_schema(Some(SchemaMetadata::new("PROTOBUF").schema_id("12")));
            prop_assert_eq!(decode(Protobuf::new(), data), Ok(text));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, id in "([0-9]|[a-f-]){0,3}") {
            let schema = SchemaMetadata::new("PROTOBUF").schema_id(id);
            drop(decode(Protobuf::new(), Data::bytes(bytes.clone()).with_schema(Some(schema))));
            for registry in [Registry::Confluent, Registry::Glue] {
                let format = Protobuf::new().with_header(registry);
                drop(decode(format, Data::bytes(bytes.clone())));
            }
        }
    }
}
