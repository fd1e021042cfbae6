use std::fmt;

use lambda_runtime::Error as BoxError;

/// Why a record could not be decoded.
///
/// Neither its message nor its `Debug` text has anything of the record's content, but for the keys
/// of maps, which are part of [`path`](Self::path).
#[derive(thiserror::Error)]
pub struct DecodeError {
    format: &'static str,
    kind: DecodeErrorKind,
    place: Option<Box<Place>>,
    source: Option<BoxError>,
}

struct Place {
    path: String,
    line: usize,
    column: usize,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not base64.
    Base64,
    /// Not UTF-8.
    Utf8,
    /// Not of the format's form: JSON that breaks off, say.
    Syntax,
    /// Of the format's form, but not what the handler takes.
    Schema,
    /// Nothing is there.
    Missing,
    /// Not what the format is for.
    Unsupported,
    /// Larger than it may be.
    TooLarge,
    /// It points at something that may not be fetched.
    Refused,
    /// It points at something that could not be fetched.
    Fetch,
    /// Its checksum is another.
    Checksum,
}

impl DecodeErrorKind {
    const fn says(self) -> &'static str {
        match self {
            Self::Base64 => "it is not base64",
            Self::Utf8 => "it is not UTF-8",
            Self::Syntax => "it is malformed",
            Self::Schema => "it does not fit the handler's type",
            Self::Missing => "nothing is there",
            Self::Unsupported => "it is of another kind",
            Self::TooLarge => "it is too large",
            Self::Refused => "what it points at may not be fetched",
            Self::Fetch => "what it points at could not be fetched",
            Self::Checksum => "its checksum is another",
        }
    }
}

impl DecodeError {
    /// Makes an error of a format by the format's name, such as `JSON`.
    #[must_use]
    pub const fn new(format: &'static str, kind: DecodeErrorKind) -> Self {
        Self {
            format,
            kind,
            place: None,
            source: None,
        }
    }

    /// Names the place: the field, and in text the line and the column, both from 1, or 0 for none.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>, line: usize, column: usize) -> Self {
        self.place = Some(Box::new(Place {
            path: path.into(),
            line,
            column,
        }));
        self
    }

    /// Adds the cause, which must not quote the record.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Returns the format that was expected, such as `JSON`.
    #[must_use]
    pub const fn format(&self) -> &'static str {
        self.format
    }

    /// Returns the field that does not fit, such as `items[0].quantity`, if it is known.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.path.as_str())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot decode {}", self.format)?;
        if let Some(place) = &self.place {
            write!(f, " at `{}`", place.path)?;
            if place.line > 0 {
                write!(f, " (line {}, column {})", place.line, place.column)?;
            }
        }
        write!(f, ": {}", self.kind.says())
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("DecodeError");
        it.field("format", &self.format).field("kind", &self.kind);
        if let Some(place) = &self.place {
            it.field("path", &place.path)
                .field("line", &place.line)
                .field("column", &place.column);
        }
        if let Some(source) = &self.source {
            it.field("source", source);
        }
        it.finish()
    }
}
