use std::{any::type_name, error::Error, fmt, sync::Arc};

use lambda_runtime::Diagnostic;
use serde_json::Value;

use super::{SchemaErrors, value::kind};

/// Lambda's `errorType` of an invocation that was refused for want of flags.
const ERROR_TYPE: &str = "powertools::feature_flags::RequiredFlagsError";

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a store has no document.
///
/// It names the document, never what is in it; a store of your own sees to it that the sources do
/// not either.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlagStoreError {
    /// The document cannot be had now: it is not there, or whoever keeps it does not answer.
    #[error("flag document `{name}` is not available")]
    #[non_exhaustive]
    Unavailable {
        /// The document's name.
        name: String,
        /// What went wrong.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The function may not read the document.
    #[error("access to flag document `{name}` is denied")]
    #[non_exhaustive]
    AccessDenied {
        /// The document's name.
        name: String,
        /// Who denied it.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The document is not what a flag document has to be.
    #[error("flag document `{name}` is invalid")]
    #[non_exhaustive]
    Invalid {
        /// The document's name.
        name: String,
        /// Everything that is wrong with it.
        source: Arc<SchemaErrors>,
    },
    /// The document cannot be found in what it is wrapped in.
    #[error("flag document `{name}` cannot be taken out of its envelope")]
    #[non_exhaustive]
    Envelope {
        /// The document's name.
        name: String,
        /// What went wrong.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl FlagStoreError {
    /// Makes an error for a document that cannot be had now.
    pub fn unavailable(name: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Unavailable {
            name: name.into(),
            source: Arc::from(source.into()),
        }
    }

    /// Makes an error for a document that the function may not read.
    pub fn access_denied(name: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::AccessDenied {
            name: name.into(),
            source: Arc::from(source.into()),
        }
    }

    /// Makes an error for a document that is none.
    pub fn invalid(name: impl Into<String>, source: SchemaErrors) -> Self {
        Self::Invalid {
            name: name.into(),
            source: Arc::new(source),
        }
    }

    /// Makes an error for a document that cannot be found in what it is wrapped in.
    pub fn envelope(name: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Envelope {
            name: name.into(),
            source: Arc::from(source.into()),
        }
    }

    /// Returns the document's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unavailable { name, .. }
            | Self::AccessDenied { name, .. }
            | Self::Invalid { name, .. }
            | Self::Envelope { name, .. } => name,
        }
    }

    /// Whether there is a document, and it is of no use.
    pub(super) const fn is_broken(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Envelope { .. })
    }

    /// Whether both came of the same document.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Invalid { source: a, .. }, Self::Invalid { source: b, .. }) => {
                Arc::ptr_eq(a, b) || a == b
            }
            (Self::Envelope { source: a, .. }, Self::Envelope { source: b, .. }) => {
                Arc::ptr_eq(a, b) || a.to_string() == b.to_string()
            }
            _ => false,
        }
    }
}

/// Why a flag is not decided.
///
/// The messages name flags and types, never values.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureFlagsError {
    /// There is no document. One that is not available is an error
    /// [by choice](super::FeatureFlags::fail_when_unavailable) only.
    #[error(transparent)]
    Store(#[from] FlagStoreError),
    /// The document has no such flag, which is an error
    /// [by choice](super::FeatureFlags::fail_on_unknown_flag).
    #[error("there is no feature flag `{flag}`")]
    #[non_exhaustive]
    UnknownFlag {
        /// The name that was asked for.
        flag: String,
    },
    /// The flag's value is of another type than the code asks for.
    #[error("feature flag `{flag}` is {found}, which does not make a {expected}")]
    #[non_exhaustive]
    WrongType {
        /// The flag's name.
        flag: String,
        /// The type of its value in JSON, such as `a string`.
        found: &'static str,
        /// The type in Rust that was asked for.
        expected: &'static str,
    },
    /// No [`FeatureFlagsLayer`](super::FeatureFlagsLayer) is around the code that asks, as in a streamed
    /// body, which takes the [`Evaluator`](super::Evaluator) along.
    #[error(
        "feature flags were asked for where no `FeatureFlagsLayer` is around; in a streamed body, take \
         the `Evaluator` along"
    )]
    NoLayer,
}

impl FeatureFlagsError {
    pub(super) fn unknown_flag(flag: &str) -> Self {
        Self::UnknownFlag {
            flag: flag.to_owned(),
        }
    }

    pub(super) fn wrong_type<T>(flag: &str, value: &Value) -> Self {
        Self::WrongType {
            flag: flag.to_owned(),
            found: kind(value),
            expected: type_name::<T>(),
        }
    }
}

/// Why an invocation whose flags are [required](super::FeatureFlagsLayer::required) has no response.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RequiredFlagsError<E> {
    /// There is no document; the handler was not called.
    #[error(transparent)]
    Flags(FeatureFlagsError),
    /// The handler failed; its error passes through untouched.
    #[error("{0}")]
    Handler(E),
}

/// The runtime logs a failure by its `Debug` text: that shows the handler's own error as if it were
/// returned bare.
impl<E: fmt::Debug> fmt::Debug for RequiredFlagsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(error) => f.debug_tuple("Flags").field(error).finish(),
            Self::Handler(error) => error.fmt(f),
        }
    }
}

/// The handler's own diagnostic stays what it is.
impl<E: Into<Diagnostic>> From<RequiredFlagsError<E>> for Diagnostic {
    fn from(error: RequiredFlagsError<E>) -> Self {
        match error {
            RequiredFlagsError::Handler(error) => error.into(),
            RequiredFlagsError::Flags(error) => {
                let mut error_message = error.to_string();
                let mut source = error.source();
                // Lambda shows this text only, and "invalid" alone says too little.
                while let Some(error) = source {
                    error_message.push_str(": ");
                    error_message.push_str(&error.to_string());
                    source = error.source();
                }
                Self {
                    error_type: ERROR_TYPE.to_owned(),
                    error_message,
                }
            }
        }
    }
}
