use serde::de::DeserializeOwned;

use super::{Data, DecodeError, DecodeErrorKind, Format};

const FORMAT: &str = "JSON";

/// JSON, by serde. No data at all is taken for `null`.
///
/// The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: DeserializeOwned + Send + 'static> Format<T> for Json {
    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<T, DecodeError> {
        decode(&data)
    }
}

fn decode<T: DeserializeOwned>(data: &Data<'_>) -> Result<T, DecodeError> {
    let text = if data.is_null() {
        "null"
    } else {
        data.as_str()?
    };
    serde_json::from_str(text).map_err(|_| {
        // To keep track of the path costs as much again, so only where it is to be told.
        let json = &mut serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(json) {
            Err(error) => self::error(&error),
            // It is what it should be, and more follows it.
            Ok(_) => DecodeError::new(FORMAT, DecodeErrorKind::Syntax),
        }
    })
}

/// Keeps of serde_json's error what does not quote the text.
fn error(error: &serde_path_to_error::Error<serde_json::Error>) -> DecodeError {
    let kind = if error.inner().is_data() {
        DecodeErrorKind::Schema
    } else {
        DecodeErrorKind::Syntax
    };
    let (line, column) = (error.inner().line(), error.inner().column());
    DecodeError::new(FORMAT, kind).at(error.path().to_string(), line, column)
}
