//! How a handler that did not answer appears in its document.

use std::{
    any::{Any, type_name},
    borrow::Cow,
    error::Error as StdError,
    fmt::Debug,
    io,
};

use lambda_runtime::{Diagnostic, Error};
use opentelemetry::{
    KeyValue, StringValue, Value,
    trace::{SpanRef, Status},
};

#[cfg(feature = "decode")]
use crate::decode::DecodeError;

/// The event that stands for an exception, and its attributes.
/// Source: <https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/>
pub(super) const EXCEPTION: &str = "exception";
pub(super) const EXCEPTION_TYPE: &str = "exception.type";
pub(super) const EXCEPTION_MESSAGE: &str = "exception.message";
/// Holds the messages of the sources, outermost first, as tracing-opentelemetry writes them.
pub(super) const EXCEPTION_CHAIN: &str = "exception.stacktrace";

/// The type of an error whose own is not known: a boxed one has lost it.
pub(super) const UNKNOWN_TYPE: &str = "Error";

#[derive(Debug)]
pub(super) struct Failure {
    kind: Cow<'static, str>,
    message: Cow<'static, str>,
    chain: Vec<String>,
}

impl Failure {
    /// Describes a handler's error.
    ///
    /// The runtime asks an error for nothing but `Debug` and `Into<Diagnostic>`, which would use it
    /// up. So the types that functions return most are recognised and shown with their message and
    /// sources, and any other by its `Debug` text.
    pub(super) fn from_error<E: Debug + 'static>(error: &E) -> Self {
        let error_as_any: &dyn Any = error;
        #[cfg(feature = "decode")]
        if let Some(error) = error_as_any.downcast_ref::<DecodeError<Error>>() {
            return match error {
                DecodeError::Handler(error) => Self::from_error(error),
                // Without its source, which may quote the event.
                error => Self::new("DecodeError", error.to_string()),
            };
        }
        if let Some(error) = error_as_any.downcast_ref::<Error>() {
            Self::with_sources(UNKNOWN_TYPE, &**error)
        } else if let Some(error) = error_as_any.downcast_ref::<Box<dyn StdError>>() {
            Self::with_sources(UNKNOWN_TYPE, &**error)
        } else if let Some(error) = error_as_any.downcast_ref::<io::Error>() {
            Self::with_sources(type_name::<E>(), error)
        } else if let Some(diagnostic) = error_as_any.downcast_ref::<Diagnostic>() {
            Self::new(
                diagnostic.error_type.clone(),
                diagnostic.error_message.clone(),
            )
        } else if let Some(message) = error_as_any.downcast_ref::<String>() {
            Self::new(UNKNOWN_TYPE, message.clone())
        } else if let Some(message) = error_as_any.downcast_ref::<&'static str>() {
            Self::new(UNKNOWN_TYPE, *message)
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
            message: message.into(),
            chain: Vec::new(),
        }
    }

    fn with_sources(kind: &'static str, error: &(dyn StdError + 'static)) -> Self {
        let mut failure = Self::new(kind, error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            failure.chain.push(error.to_string());
            source = error.source();
        }
        failure
    }

    /// Marks `span` as failed.
    pub(super) fn record(self, span: &SpanRef<'_>) {
        let mut attributes = vec![
            KeyValue::new(EXCEPTION_TYPE, self.kind),
            KeyValue::new(EXCEPTION_MESSAGE, self.message),
        ];
        if !self.chain.is_empty() {
            let chain: Vec<StringValue> = self.chain.into_iter().map(Into::into).collect();
            attributes.push(KeyValue::new(EXCEPTION_CHAIN, Value::Array(chain.into())));
        }
        span.set_status(Status::error(""));
        span.add_event(EXCEPTION, attributes);
    }
}
