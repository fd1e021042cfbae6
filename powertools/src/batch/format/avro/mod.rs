//! Records of Avro, of one schema.

use std::{fmt, sync::Arc};

use apache_avro::{Schema, schema::ResolvedSchema};
use serde::de::DeserializeOwned;

use super::{
    Data, DecodeError, DecodeErrorKind, Format,
    registry::{Registry, expect},
};

mod layout;
mod read;

use layout::Layout;

const FORMAT: &str = "Avro";

/// Avro, by serde: values without a header of their own, as Kafka's records have them.
///
/// The schema is the one that the records were written with, and is read once. Bytes that are no value
/// of it from the first to the last make the record fail, also where they only end too early or too
/// late. So do schema metadata of another format than Avro.
///
/// A record may have a header of its registry's serializer before the value. Lambda takes it away and
/// adds the metadata where the event source mapping has the registry, so it is only looked for in
/// records without these: see [`with_header`](Self::with_header).
///
/// | Avro | serde |
/// |---|---|
/// | record, map | a struct, or a map |
/// | array | a sequence |
/// | enum | a unit variant, or text |
/// | union | what is in it; with null an `Option`; or an enum of as many variants, in the same order |
/// | fixed, bytes | bytes, or a sequence of them |
/// | logical types | what they are kept in: a timestamp is a number, a UUID text, a decimal bytes |
///
/// Fields that the payload does not have are skipped. A record without data is an error;
/// [`Nullable`](super::Nullable) takes these.
///
/// # Limits
///
/// 128 values within each other, and in arrays and maps not more items in all than the record has
/// bytes: what a record says of its own size costs no memory.
///
/// # Examples
///
/// ```
/// use powertools::batch::{Avro, Registry};
///
/// let schema = r#"{
///     "type": "record",
///     "name": "Order",
///     "fields": [{ "name": "id", "type": "string" }]
/// }"#;
/// let format = Avro::new(schema)?.with_header(Registry::Confluent);
/// # drop(format);
/// # Ok::<_, powertools::batch::AvroSchemaError>(())
/// ```
#[derive(Clone)]
pub struct Avro {
    name: Option<Arc<str>>,
    layout: Arc<Layout>,
    header: Option<Registry>,
}

/// Why a text is no schema of Avro.
#[derive(Debug, thiserror::Error)]
#[error("the text is not a schema of Avro")]
pub struct AvroSchemaError {
    source: Option<apache_avro::Error>,
}

impl Avro {
    /// Reads the schema, as JSON.
    ///
    /// # Errors
    ///
    /// Fails if it is not a schema of Avro, or refers to types that it does not define.
    pub fn new(schema: &str) -> Result<Self, AvroSchemaError> {
        let error = |source| AvroSchemaError {
            source: Some(source),
        };
        let schema = Schema::parse_str(schema).map_err(error)?;
        ResolvedSchema::try_from(&schema).map_err(error)?;
        let layout = Layout::of(&schema).ok_or(AvroSchemaError { source: None })?;
        Ok(Self {
            name: schema.name().map(|name| name.fullname(None).into()),
            layout: Arc::new(layout),
            header: None,
        })
    }

    /// Expects the header of this registry's serializer in records that come without schema metadata.
    ///
    /// Defaults to none.
    #[must_use]
    pub const fn with_header(mut self, registry: Registry) -> Self {
        self.header = Some(registry);
        self
    }

    /// Returns the value without what is before it.
    fn value<'d>(&self, data: &'d Data<'_>) -> Result<&'d [u8], DecodeError> {
        if data.is_null() {
            return Err(DecodeError::new(FORMAT, DecodeErrorKind::Missing));
        }
        expect("AVRO", FORMAT, data.schema())?;
        match (self.header, data.schema()) {
            (Some(registry), None) => registry.strip(FORMAT, data.as_bytes()),
            _ => Ok(data.as_bytes()),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> Format<T> for Avro {
    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<T, DecodeError> {
        read::read(FORMAT, &self.layout, self.value(&data)?)
    }
}

impl fmt::Debug for Avro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avro")
            .field("schema", &self.name)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::to_avro_datum;
    use futures_util::FutureExt as _;
    use proptest::{collection::vec, option, prelude::*};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::batch::format::SchemaMetadata;

    const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
        {"name":"id","type":"string"},
        {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
            {"name":"sku","type":"string"},{"name":"quantity","type":"int"}]}}},
        {"name":"total","type":"double"},
        {"name":"note","type":["null","string"]},
        {"name":"status","type":{"type":"enum","name":"Status","symbols":["New","Paid"]}},
        {"name":"tags","type":{"type":"map","values":"long"}},
        {"name":"placed","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: String,
        items: Vec<Item>,
        total: f64,
        note: Option<String>,
        status: Status,
        tags: std::collections::HashMap<String, i64>,
        placed: i64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Item {
        sku: String,
        quantity: i32,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    enum Status {
        New,
        Paid,
    }

    fn format() -> Avro {
        Avro::new(ORDER).unwrap()
    }

    fn encode(order: &Order) -> Vec<u8> {
        let schema = Schema::parse_str(ORDER).unwrap();
        let value = apache_avro::to_value(order)
            .unwrap()
            .resolve(&schema)
            .unwrap();
        to_avro_datum(&schema, value).unwrap()
    }

    fn decode<T: DeserializeOwned + Send + 'static>(
        format: &Avro,
        data: Data<'_>,
    ) -> Result<T, DecodeError> {
        Format::<T>::decode(format, data)
            .now_or_never()
            .expect("nothing to wait for")
    }

    fn kind(format: &Avro, data: Data<'_>) -> DecodeErrorKind {
        decode::<Order>(format, data).unwrap_err().kind()
    }

    fn order() -> Order {
        Order {
            id: "a1".to_owned(),
            items: vec![Item {
                sku: "tea".to_owned(),
                quantity: -2,
            }],
            total: 12.5,
            note: None,
            status: Status::Paid,
            tags: [("n".to_owned(), 1)].into(),
            placed: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_text_that_is_no_schema_is_refused() {
        for text in [
            "",
            "{",
            r#""nonsense""#,
            r#"{"type":"array","items":"Missing"}"#,
        ] {
            let error = Avro::new(text).unwrap_err();
            assert_eq!(error.to_string(), "the text is not a schema of Avro");
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn a_value_that_is_cut_off_or_goes_on_fails() {
        let bytes = encode(&order());
        for end in 0..bytes.len() {
            assert_eq!(
                kind(&format(), Data::bytes(&bytes[..end])),
                DecodeErrorKind::Syntax
            );
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(
            kind(&format(), Data::bytes(longer)),
            DecodeErrorKind::Syntax
        );
    }

    #[test]
    fn a_value_that_is_not_the_handlers_type_fails() {
        let error = decode::<Vec<u64>>(&format(), Data::bytes(encode(&order()))).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Schema);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("tea") && !shown.contains("a1"), "{shown}");
    }

    #[test]
    fn an_error_names_the_field() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "it is never read")]
        struct Other {
            items: Vec<OtherItem>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "it is never read")]
        struct OtherItem {
            quantity: u8,
        }
        let error = decode::<Other>(&format(), Data::bytes(encode(&order()))).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Schema);
        assert_eq!(error.path(), Some("items[0].quantity"));
    }

    #[test]
    fn no_data_is_missing() {
        assert_eq!(kind(&format(), Data::null()), DecodeErrorKind::Missing);
    }

    #[test]
    fn another_format_is_refused() {
        let bytes = encode(&order());
        for (data_format, taken) in [("AVRO", true), ("PROTOBUF", false), ("JSON", false)] {
            let schema = SchemaMetadata::new(data_format).schema_id("7");
            let data = Data::bytes(&bytes[..]).with_schema(Some(schema));
            match decode::<Order>(&format(), data) {
                Ok(_) => assert!(taken),
                Err(error) => {
                    assert!(!taken);
                    assert_eq!(error.kind(), DecodeErrorKind::Unsupported);
                }
            }
        }
    }

    #[test]
    fn a_header_is_read_where_lambda_has_not_taken_it_away() {
        let (bytes, format) = (encode(&order()), format().with_header(Registry::Confluent));
        let framed = [b"\x00\x00\x00\x00\x07", &bytes[..]].concat();
        assert_eq!(
            decode::<Order>(&format, Data::bytes(framed)).unwrap(),
            order()
        );
        assert_eq!(
            kind(&format, Data::bytes(&bytes[..])),
            DecodeErrorKind::Syntax
        );
        let schema = Some(SchemaMetadata::new("AVRO").schema_id("7"));
        let stripped = Data::bytes(&bytes[..]).with_schema(schema);
        assert_eq!(decode::<Order>(&format, stripped).unwrap(), order());
    }

    #[test]
    fn debug_text_names_the_schema() {
        assert_eq!(
            format!("{:?}", format()),
            r#"Avro { schema: Some("shop.Order"), header: None, .. }"#
        );
    }

    prop_compose! {
        fn any_order()(
            id in ".{0,20}",
            items in vec(("[a-z]{0,5}", any::<i32>()), 0..5),
            total in -1e9..1e9,
            note in option::of(".{0,10}"),
            paid: bool,
            tags in proptest::collection::hash_map("[a-z]{1,3}", any::<i64>(), 0..4),
            placed: i64,
        ) -> Order {
            let items = items.into_iter().map(|(sku, quantity)| Item { sku, quantity });
            Order {
                id,
                items: items.collect(),
                total,
                note,
                status: if paid { Status::Paid } else { Status::New },
                tags,
                placed,
            }
        }
    }

    proptest! {
        #[test]
        fn records_come_back(order in any_order()) {
            let read: Order = decode(&format(), Data::bytes(encode(&order))).unwrap();
            prop_assert_eq!(read, order);
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes: Vec<u8>,
            order in any_order(),
            (at, byte) in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut changed = encode(&order);
            let at = at.index(changed.len());
            changed[at] = byte;
            for bytes in [bytes, changed] {
                drop(decode::<Order>(&format(), Data::bytes(bytes)));
            }
        }

        #[test]
        fn no_bytes_of_any_kind_of_value_make_it_panic(bytes in vec(any::<u8>(), 0..64)) {
            let schemas = [
                r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
                r#"{"type":"bytes","logicalType":"big-decimal"}"#,
                r#"{"type":"string","logicalType":"uuid"}"#,
                r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#,
                r#"{"type":"map","values":{"type":"array","items":["null","int","float"]}}"#,
                r#"{"type":"record","name":"N","fields":[
                    {"name":"next","type":{"type":"array","items":"N"}}]}"#,
            ];
            for schema in schemas {
                let format = Avro::new(schema).unwrap();
                drop(decode::<serde_json::Value>(&format, Data::bytes(bytes.clone())));
            }
        }
    }
}
