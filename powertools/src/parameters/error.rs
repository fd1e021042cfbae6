use std::sync::Arc;

use serde_json::error::Category;

use super::provider::{ProviderError, ProviderErrorKind, SharedError};

/// Why a parameter could not be had.
///
/// Each names the parameter, and none holds a value or a part of one. Many who waited for one fetch
/// get clones of the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// There is no such parameter.
    #[error("parameter `{name}` does not exist")]
    #[non_exhaustive]
    NotFound {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The function may not read the parameter.
    #[error("access to parameter `{name}` is denied")]
    #[non_exhaustive]
    AccessDenied {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The provider was asked too often.
    #[error("fetching parameter `{name}` was throttled")]
    #[non_exhaustive]
    Throttled {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The provider did not answer in time.
    #[error("fetching parameter `{name}` took too long")]
    #[non_exhaustive]
    TimedOut {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got, if it was the provider that gave up.
        source: Option<SharedError>,
    },
    /// The provider cannot do what it was asked for.
    #[error("the provider does not support what was asked of parameter `{name}`")]
    #[non_exhaustive]
    Unsupported {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The name or the options are none that the provider takes.
    #[error("parameter `{name}` was asked for by a name or options that the provider refuses")]
    #[non_exhaustive]
    InvalidRequest {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The provider failed in another way.
    #[error("parameter `{name}` could not be fetched")]
    #[non_exhaustive]
    Provider {
        /// The parameter's name.
        name: Arc<str>,
        /// What the provider got.
        source: Option<SharedError>,
    },
    /// The provider panicked. What it said is not repeated: it may hold a value.
    #[error("the provider panicked while it fetched parameter `{name}`")]
    #[non_exhaustive]
    Panicked {
        /// The parameter's name.
        name: Arc<str>,
    },
    /// The value has more bytes than is allowed.
    #[error("parameter `{name}` has {size} bytes, more than the {limit} that are allowed")]
    #[non_exhaustive]
    TooLarge {
        /// The parameter's name.
        name: Arc<str>,
        /// The value's bytes.
        size: usize,
        /// The most bytes of a value.
        limit: usize,
    },
    /// The value is not the text that was asked for.
    #[error("parameter `{name}` is not text")]
    #[non_exhaustive]
    NotText {
        /// The parameter's name.
        name: Arc<str>,
    },
    /// No layer around the running code declares the parameter.
    #[error("no layer around declares a parameter `{name}`")]
    #[non_exhaustive]
    NotDeclared {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The value cannot be transformed.
    #[error("parameter `{name}` could not be transformed")]
    #[non_exhaustive]
    Transform {
        /// The parameter's name.
        name: Arc<str>,
        /// What is wrong with it.
        source: TransformError,
    },
}

/// Why a value cannot be transformed, without a word of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The value is no JSON, or JSON of another type than was asked for.
    #[error("{} at line {line} column {column}", describe(*category))]
    #[non_exhaustive]
    Json {
        /// What is wrong: the JSON itself ([`Syntax`](Category::Syntax), [`Eof`](Category::Eof)), or
        /// its type ([`Data`](Category::Data)).
        category: Category,
        /// The line, counted from 1.
        line: usize,
        /// The column in bytes, counted from 1.
        column: usize,
    },
    /// The value is not base64.
    #[error("not base64")]
    Base64,
}

/// Why [`with_secret`](super::Parameters::with_secret) has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError<E> {
    /// There is no secret to begin with.
    #[error("no secret to begin with")]
    Parameter(#[from] ParameterError),
    /// What was done with the secret failed. After `?` into a boxed error it is in there as a
    /// `SecretError<E>`.
    #[error("{0}")]
    Operation(E),
}

impl ParameterError {
    /// Returns the parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::NotFound { name, .. }
            | Self::AccessDenied { name, .. }
            | Self::Throttled { name, .. }
            | Self::TimedOut { name, .. }
            | Self::Unsupported { name, .. }
            | Self::InvalidRequest { name, .. }
            | Self::Provider { name, .. }
            | Self::Panicked { name }
            | Self::TooLarge { name, .. }
            | Self::NotText { name }
            | Self::NotDeclared { name }
            | Self::Transform { name, .. } => name,
        }
    }

    /// Returns whether there is no such parameter.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns whether the function may not read the parameter.
    #[must_use]
    pub const fn is_access_denied(&self) -> bool {
        matches!(self, Self::AccessDenied { .. })
    }

    /// Returns whether the provider is out of order, so that a later read may succeed and an older
    /// value may do until then. Otherwise the parameter, or the right to it, is gone.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. }
                | Self::TimedOut { .. }
                | Self::Provider { .. }
                | Self::Panicked { .. }
        )
    }

    pub(super) fn of_provider(name: Arc<str>, error: ProviderError) -> Self {
        let kind = error.kind();
        let source = error.into_source();
        match kind {
            ProviderErrorKind::NotFound => Self::NotFound { name, source },
            ProviderErrorKind::AccessDenied => Self::AccessDenied { name, source },
            ProviderErrorKind::Throttled => Self::Throttled { name, source },
            ProviderErrorKind::TimedOut => Self::TimedOut { name, source },
            ProviderErrorKind::Unsupported => Self::Unsupported { name, source },
            ProviderErrorKind::InvalidRequest => Self::InvalidRequest { name, source },
            ProviderErrorKind::Other => Self::Provider { name, source },
        }
    }
}

impl TransformError {
    /// Keeps of an error of serde_json what holds nothing of the value.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self::Json {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        }
    }
}

const fn describe(category: Category) -> &'static str {
    match category {
        Category::Data => "JSON of another type than asked for",
        Category::Eof => "JSON that ends too early",
        Category::Syntax | Category::Io => "broken JSON",
    }
}
