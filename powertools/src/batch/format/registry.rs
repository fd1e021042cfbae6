//! What the schema registries for Kafka put before the data.

use super::{DecodeError, DecodeErrorKind, SchemaMetadata};

/// A schema registry, whose serializer puts a header before the data.
///
/// Where Lambda's event source mapping has the registry it takes the header away; without, it is for
/// the function to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Registry {
    /// Confluent: a zero, and the schema's id in four bytes.
    ///
    /// Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>
    Confluent,
    /// AWS Glue: the version 3, the compression, and the schema version's id in sixteen bytes. Of the
    /// compressions none is supported.
    ///
    /// Source: <https://github.com/awslabs/aws-glue-schema-registry>
    Glue,
}

const CONFLUENT_MAGIC: u8 = 0;
const CONFLUENT_ID: usize = 4;
const GLUE_VERSION: u8 = 3;
const GLUE_ID: usize = 16;
const GLUE_UNCOMPRESSED: u8 = 0;

impl Registry {
    /// Returns the data after the header.
    pub(super) fn strip<'a>(
        self,
        format: &'static str,
        data: &'a [u8],
    ) -> Result<&'a [u8], DecodeError> {
        let error = |kind| DecodeError::new(format, kind);
        let rest = match self {
            Self::Confluent => data
                .strip_prefix(&[CONFLUENT_MAGIC])
                .and_then(|rest| rest.get(CONFLUENT_ID..)),
            Self::Glue => match data.strip_prefix(&[GLUE_VERSION]) {
                Some([GLUE_UNCOMPRESSED, rest @ ..]) => rest.get(GLUE_ID..),
                Some([_, ..]) => return Err(error(DecodeErrorKind::Unsupported)),
                _ => None,
            },
        };
        rest.ok_or_else(|| error(DecodeErrorKind::Syntax))
    }
}

/// Fails where a registry says that the data is of another format.
pub(super) fn expect(
    data_format: &str,
    format: &'static str,
    schema: Option<&SchemaMetadata<'_>>,
) -> Result<(), DecodeError> {
    match schema {
        Some(schema) if !schema.data_format.eq_ignore_ascii_case(data_format) => {
            Err(DecodeError::new(format, DecodeErrorKind::Unsupported))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(registry: Registry, data: &[u8]) -> Result<&[u8], DecodeErrorKind> {
        registry.strip("Avro", data).map_err(|error| error.kind())
    }

    #[test]
    fn headers_are_taken_away() {
        let confluent = strip(Registry::Confluent, b"\x00\x00\x00\x00\x07data");
        assert_eq!(confluent, Ok(&b"data"[..]));
        assert_eq!(strip(Registry::Confluent, &[0; 5]), Ok(&[][..]));
        let glue = [&[3, 0], &[9; 16][..], b"data"].concat();
        assert_eq!(strip(Registry::Glue, &glue), Ok(&b"data"[..]));
    }

    #[test]
    fn data_without_its_header_fails() {
        for data in [
            &b""[..],
            b"\x00",
            b"\x00\x00\x00\x00",
            b"\x01\x00\x00\x00\x07data",
        ] {
            assert_eq!(
                strip(Registry::Confluent, data),
                Err(DecodeErrorKind::Syntax)
            );
        }
        for data in [
            &b""[..],
            b"\x03",
            b"\x03\x00",
            b"\x02\x000123456789abcdef",
            &[3, 0, 7],
        ] {
            assert_eq!(strip(Registry::Glue, data), Err(DecodeErrorKind::Syntax));
        }
    }

    #[test]
    fn what_is_compressed_is_not_supported() {
        let data = [&[3, 5], &[9; 20][..]].concat();
        assert_eq!(
            strip(Registry::Glue, &data),
            Err(DecodeErrorKind::Unsupported)
        );
    }
}
