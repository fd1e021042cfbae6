//! How a handler that did not answer appears in its document.

use std::{
    any::{Any, type_name},
    borrow::Cow,
    error::Error as StdError,
    fmt::Debug,
    io,
};

use lambda_runtime::{Diagnostic, Error};
use opentelemetry::{KeyValue, StringValue, Value, trace::SpanRef};
use serde::Serialize;

mod layers;

/// The event that stands for an exception, and its attributes.
/// Source: <https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/>
pub(super) const EXCEPTION: &str = "exception";
pub(super) const EXCEPTION_TYPE: &str = "exception.type";
pub(super) const EXCEPTION_MESSAGE: &str = "exception.message";
/// Holds the messages of the sources, outermost first, as tracing-opentelemetry writes them.
pub(super) const EXCEPTION_CHAIN: &str = "exception.stacktrace";

/// The type of an error whose own is not known: a boxed one has lost it.
pub(super) const UNKNOWN_TYPE: &str = "Error";

/// The most bytes of a message that are kept, and the most sources of an error. These limits are
/// ours: they leave room for the rest of the 64 KB that X-Ray takes.
const MESSAGE_LENGTH: usize = 2048;
const SOURCES: usize = 9;

/// What is told of a failure, also as metadata.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    message: Cow<'static, str>,
    /// The messages of the sources, outermost first.
    #[serde(rename = "causes", skip_serializing_if = "Vec::is_empty")]
    chain: Vec<String>,
}

impl Failure {
    /// Describes a handler's error.
    ///
    /// The runtime asks an error for nothing but `Debug` and `Into<Diagnostic>`, which would use it
    /// up. So the types that functions return most are recognised and shown with their message and
    /// sources, also where a layer of this crate passes them through, and any other by its `Debug`
    /// text.
    pub(super) fn from_error<E: Debug + 'static>(error: &E) -> Self {
        let error_as_any: &dyn Any = error;
        if let Some(failure) = layers::look_inside(error_as_any) {
            failure
        } else if let Some(diagnostic) = error_as_any.downcast_ref::<Diagnostic>() {
            Self::new(
                diagnostic.error_type.clone(),
                diagnostic.error_message.clone(),
            )
        } else {
            Self::new(type_name::<E>(), format!("{error:?}"))
        }
    }

    /// The handler panicked; its message went to the panic hook.
    pub(super) fn panicked() -> Self {
        Self::new("panic", "the handler panicked")
    }

    /// The handler was dropped before it answered.
    pub(super) fn cancelled() -> Self {
        Self::new("cancelled", "the handler was dropped before it answered")
    }

    fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: kind.into(),
            message: shorten(message.into()),
            chain: Vec::new(),
        }
    }

    fn with_sources(kind: &'static str, error: &(dyn StdError + 'static)) -> Self {
        let sources = std::iter::successors(error.source(), |&error| error.source());
        Self {
            chain: sources
                .take(SOURCES)
                .map(|source| shorten(source.to_string().into()).into_owned())
                .collect(),
            ..Self::new(kind, error.to_string())
        }
    }

    /// Shows the failure as the exception of `span`.
    pub(super) fn record(self, span: &SpanRef<'_>) {
        let mut attributes = vec![
            KeyValue::new(EXCEPTION_TYPE, self.kind),
            KeyValue::new(EXCEPTION_MESSAGE, self.message),
        ];
        if !self.chain.is_empty() {
            let chain: Vec<StringValue> = self.chain.into_iter().map(Into::into).collect();
            attributes.push(KeyValue::new(EXCEPTION_CHAIN, Value::Array(chain.into())));
        }
        span.add_event(EXCEPTION, attributes);
    }
}

fn shorten(mut message: Cow<'static, str>) -> Cow<'static, str> {
    if message.len() > MESSAGE_LENGTH {
        let end = message.floor_char_boundary(MESSAGE_LENGTH);
        message.to_mut().truncate(end);
    }
    message
}

/// An error that can be told better than by its `Debug` text.
trait Told: Any {
    fn failure(&self) -> Failure;
}

impl Told for Error {
    fn failure(&self) -> Failure {
        Failure::with_sources(UNKNOWN_TYPE, &**self)
    }
}

impl Told for Box<dyn StdError> {
    fn failure(&self) -> Failure {
        Failure::with_sources(UNKNOWN_TYPE, &**self)
    }
}

impl Told for io::Error {
    fn failure(&self) -> Failure {
        Failure::with_sources(type_name::<Self>(), self)
    }
}

impl Told for String {
    fn failure(&self) -> Failure {
        Failure::new(UNKNOWN_TYPE, self.clone())
    }
}

impl Told for &'static str {
    fn failure(&self) -> Failure {
        Failure::new(UNKNOWN_TYPE, *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_two_characters_and_a_long_chain_after_its_beginning() {
        #[derive(Debug, thiserror::Error)]
        #[error("deep")]
        struct Deep(#[source] Option<Box<Deep>>);

        let failure = Failure::from_error(&format!("x{}", "ß".repeat(MESSAGE_LENGTH)));
        assert_eq!(failure.message.len(), MESSAGE_LENGTH - 1);

        let deep = (0..100).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));
        assert_eq!(Failure::from_error(&Error::from(deep)).chain.len(), SOURCES);
    }
}
