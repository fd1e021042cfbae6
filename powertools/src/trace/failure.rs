//! How a handler that did not answer appears in its document.

use std::{
    any::{Any, type_name},
    borrow::Cow,
    error::Error as StdError,
    io,
};

use lambda_runtime::{Diagnostic, Error};
use opentelemetry::{KeyValue, StringValue, Value, trace::SpanRef};
use serde::Serialize;

use crate::Invocation;

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

/// The message of an error whose own is not known. The runtime logs every error.
const NOT_SHOWN: &str = "not shown here, see the log of the function";

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
    /// sources, also where a layer of this crate passes them through. Of any other, `shown` is what
    /// may be told; without it that is the type's name only, as a `Debug` text has fields that its
    /// author did not mean to show.
    #[cfg_attr(
        not(feature = "deadline"),
        expect(unused_variables, reason = "nothing cuts a handler off")
    )]
    pub(super) fn from_error<E: 'static>(
        error: &E,
        shown: Option<&(dyn StdError + 'static)>,
        invocation: &Invocation,
    ) -> Self {
        if let Some(failure) = Self::recognised(error) {
            return failure;
        }
        let full = type_name::<E>();
        #[cfg(feature = "deadline")]
        if let Some(remaining) = invocation.deadline().was_cut_off()
            && layers::is_of_deadline(full)
        {
            type Error = crate::deadline::DeadlineError<std::convert::Infallible>;
            return Self::new("DeadlineError", Error::Exceeded { remaining }.to_string());
        }
        match shown {
            Some(error) => Self::with_sources(layers::name(full), error),
            None => Self::new(layers::name(full), NOT_SHOWN),
        }
    }

    /// Describes an error of a client of HTTP: likewise, but one of an unknown type by its `Debug` text,
    /// as nobody else shows it.
    #[cfg(feature = "http")]
    pub(super) fn from_client_error<E: std::fmt::Debug + 'static>(error: &E) -> Self {
        Self::recognised(error).unwrap_or_else(|| Self::new(type_name::<E>(), format!("{error:?}")))
    }

    fn recognised(error: &dyn Any) -> Option<Self> {
        layers::look_inside(error).or_else(|| {
            let diagnostic = error.downcast_ref::<Diagnostic>()?;
            Some(Self::new(
                diagnostic.error_type.clone(),
                diagnostic.error_message.clone(),
            ))
        })
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

    fn with_sources(kind: impl Into<Cow<'static, str>>, error: &(dyn StdError + 'static)) -> Self {
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

/// An error that can be told with its message, whatever type the handler has for it.
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

    fn from_error<E: 'static>(error: &E) -> Failure {
        let invocation = Invocation::new(lambda_runtime::Context::default(), false);
        Failure::from_error(error, None, &invocation)
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters_and_a_long_chain_after_its_beginning() {
        #[derive(Debug, thiserror::Error)]
        #[error("deep")]
        struct Deep(#[source] Option<Box<Deep>>);

        let failure = from_error(&format!("x{}", "ß".repeat(MESSAGE_LENGTH)));
        assert_eq!(failure.message.len(), MESSAGE_LENGTH - 1);

        let deep = (0..100).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));
        assert_eq!(from_error(&Error::from(deep)).chain.len(), SOURCES);
    }
}
