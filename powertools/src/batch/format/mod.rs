//! What a record carries, and how it becomes what the handler takes.

use std::borrow::Cow;

#[cfg(feature = "batch-avro")]
mod avro;
mod envelope;
mod error;
mod json;
mod kpl;
mod nullable;
mod plain;
#[cfg(feature = "batch-protobuf")]
mod protobuf;
#[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
mod registry;
mod varint;

pub(super) use kpl::{UserRecord, deaggregate};

#[cfg(feature = "batch-avro")]
pub use avro::{Avro, AvroSchemaError};
pub use envelope::{EventBridge, EventBridgeEvent, Sns, SnsAttribute, SnsMessage};
pub use error::{DecodeError, DecodeErrorKind};
pub use json::Json;
pub use nullable::Nullable;
pub use plain::{Bytes, Images, Text};
#[cfg(feature = "batch-protobuf")]
pub use protobuf::Protobuf;
#[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
pub use registry::Registry;

/// Makes a payload of what a record carries.
///
/// Implemented by [`Json`], [`Text`] and [`Bytes`], and by formats that unwrap one layer and leave
/// the rest to another. One of your own decodes what it likes:
///
/// ```
/// use powertools::batch::{Data, DecodeError, DecodeErrorKind, Format};
///
/// /// Numbers, as text.
/// #[derive(Clone, Copy, Debug)]
/// struct Number;
///
/// impl Format<u64> for Number {
///     async fn decode<'a>(&'a self, data: Data<'a>) -> Result<u64, DecodeError> {
///         let error = |_| DecodeError::new("number", DecodeErrorKind::Schema);
///         data.as_str()?.trim().parse().map_err(error)
///     }
/// }
/// ```
pub trait Format<T>: Send + Sync + 'static {
    /// Whether [`after_success`](Self::after_success) is to be called.
    const AFTER_SUCCESS: bool = false;

    /// Makes a payload.
    ///
    /// # Errors
    ///
    /// Fails where the record does not carry a `T`; the record fails alone.
    fn decode<'a>(
        &'a self,
        data: Data<'a>,
    ) -> impl Future<Output = Result<T, DecodeError>> + Send + 'a;

    /// Does what is to be done when the handler has succeeded with the record: removes what the
    /// record only pointed at, say.
    fn after_success<'a>(&'a self, data: Data<'a>) -> impl Future<Output = ()> + Send + 'a {
        drop(data);
        async {}
    }
}

/// What a record carries: text, bytes, or nothing.
///
/// It has no `Debug` text of its content.
#[derive(Clone)]
pub struct Data<'a> {
    content: Content<'a>,
    schema: Option<SchemaMetadata<'a>>,
    pointer: bool,
}

#[derive(Clone)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Null,
}

/// What the attribute is called that the extended clients of SQS and SNS give a message whose body they
/// have put into S3. The second is the older name.
///
/// Source: <https://github.com/awslabs/amazon-sqs-java-extended-client-lib>
const POINTER_ATTRIBUTES: [&str; 2] = ["ExtendedPayloadSize", "SQSLargePayloadSize"];

/// What a schema registry says about a record of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaMetadata<'a> {
    /// The format of the data: `AVRO`, `PROTOBUF` or `JSON`.
    pub data_format: Cow<'a, str>,
    /// The schema's id in its registry.
    pub schema_id: Option<Cow<'a, str>>,
}

impl<'a> SchemaMetadata<'a> {
    /// Names a format, of no schema.
    pub fn new(data_format: impl Into<Cow<'a, str>>) -> Self {
        Self {
            data_format: data_format.into(),
            schema_id: None,
        }
    }

    /// Names the schema.
    #[must_use]
    pub fn schema_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.schema_id = Some(id.into());
        self
    }
}

impl<'a> Data<'a> {
    /// Data that is text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(Content::Text(text.into()))
    }

    /// Data that is bytes.
    pub fn bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::new(Content::Bytes(bytes.into()))
    }

    /// No data at all: what Kafka has for a key that was deleted.
    #[must_use]
    pub const fn null() -> Self {
        Self::new(Content::Null)
    }

    const fn new(content: Content<'a>) -> Self {
        Self {
            content,
            schema: None,
            pointer: false,
        }
    }

    /// Sets what a schema registry says.
    #[must_use]
    pub fn with_schema(mut self, schema: Option<SchemaMetadata<'a>>) -> Self {
        self.schema = schema;
        self
    }

    /// Returns what a schema registry says about the data, if it says anything.
    #[must_use]
    pub const fn schema(&self) -> Option<&SchemaMetadata<'a>> {
        self.schema.as_ref()
    }

    /// Sets whether an attribute of the message says that its body is elsewhere, and that this only
    /// points at it.
    #[must_use]
    pub const fn with_pointer(mut self, pointer: bool) -> Self {
        self.pointer = pointer;
        self
    }

    /// Returns whether an attribute of the message says that its body is elsewhere.
    #[must_use]
    pub const fn is_pointer(&self) -> bool {
        self.pointer
    }

    /// Returns whether a message with an attribute of this name only points at its body.
    pub(super) fn is_pointer_attribute(name: &str) -> bool {
        POINTER_ATTRIBUTES.contains(&name)
    }

    /// Returns whether there is no data at all.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// Returns the bytes; there are none where there is no data.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.content {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
            Content::Null => &[],
        }
    }

    /// Returns the text; there is none where there is no data.
    ///
    /// # Errors
    ///
    /// Fails where the bytes are not UTF-8.
    pub fn as_str(&self) -> Result<&str, DecodeError> {
        match &self.content {
            Content::Text(text) => Ok(text),
            Content::Bytes(bytes) => std::str::from_utf8(bytes)
                .map_err(|_| DecodeError::new("text", DecodeErrorKind::Utf8)),
            Content::Null => Ok(""),
        }
    }

    /// Returns the bytes as their own, without a copy where they are already.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self.content {
            Content::Text(text) => text.into_owned().into_bytes(),
            Content::Bytes(bytes) => bytes.into_owned(),
            Content::Null => Vec::new(),
        }
    }

    /// Returns the text as its own, without a copy where it is already.
    ///
    /// # Errors
    ///
    /// Fails where the bytes are not UTF-8.
    pub fn into_string(self) -> Result<String, DecodeError> {
        match self.content {
            Content::Text(text) => Ok(text.into_owned()),
            Content::Bytes(bytes) => String::from_utf8(bytes.into_owned())
                .map_err(|_| DecodeError::new("text", DecodeErrorKind::Utf8)),
            Content::Null => Ok(String::new()),
        }
    }
}

impl std::fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("length", &self.as_bytes().len())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
