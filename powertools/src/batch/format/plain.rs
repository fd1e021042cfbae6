use super::{Data, DecodeError, Format};

/// Text as it is: the payload is a `String`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Format<String> for Text {
    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<String, DecodeError> {
        data.into_string()
    }
}

/// Bytes as they are: the payload is a `Vec<u8>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes;

impl Format<Vec<u8>> for Bytes {
    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<Vec<u8>, DecodeError> {
        Ok(data.into_bytes())
    }
}

/// The images of a DynamoDB record: the payload is a [`Change<T>`](super::super::Change).
///
/// The only format of [`DynamoDb`](super::super::DynamoDb), and the default there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Images;
