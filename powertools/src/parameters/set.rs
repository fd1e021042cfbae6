use std::sync::Arc;

use super::{
    ParameterProvider, Parameters, ProviderError, ProviderErrorKind, provider::SharedError,
};

/// Why a parameter was not set.
///
/// Each names the parameter, and none holds the value or a part of it. Of what the service says about
/// the request only the code is kept: the message may quote the value.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// There is one already, and nothing was said of overwriting it; or there is a version with the
    /// same token and another value.
    #[error("parameter `{name}` exists already")]
    #[non_exhaustive]
    AlreadyExists {
        /// The parameter's name.
        name: Arc<str>,
        /// What the service said.
        source: Option<SharedError>,
    },
    /// There is none, and none can be made by what it is named by.
    #[error("parameter `{name}` does not exist")]
    #[non_exhaustive]
    NotFound {
        /// The parameter's name.
        name: Arc<str>,
        /// What the service said.
        source: Option<SharedError>,
    },
    /// The function may not write the parameter, or not use the key.
    #[error("access to parameter `{name}` is denied")]
    #[non_exhaustive]
    AccessDenied {
        /// The parameter's name.
        name: Arc<str>,
        /// What the service said.
        source: Option<SharedError>,
    },
    /// The service was asked too often.
    #[error("setting parameter `{name}` was throttled")]
    #[non_exhaustive]
    Throttled {
        /// The parameter's name.
        name: Arc<str>,
        /// What the service said.
        source: Option<SharedError>,
    },
    /// The service does not take this name, value or setting.
    #[error("the service does not take what parameter `{name}` was to be set to")]
    #[non_exhaustive]
    InvalidRequest {
        /// The parameter's name.
        name: Arc<str>,
        /// What the service said.
        source: Option<SharedError>,
    },
    /// The service failed, or could not be reached. Whether the parameter was set is not known.
    #[error("parameter `{name}` could not be set")]
    #[non_exhaustive]
    Provider {
        /// The parameter's name.
        name: Arc<str>,
        /// What went wrong.
        source: Option<SharedError>,
    },
    /// The value could not be written as JSON.
    #[error("the value of parameter `{name}` has no JSON")]
    #[non_exhaustive]
    Json {
        /// The parameter's name.
        name: Arc<str>,
    },
}

impl SetError {
    /// Returns the parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::AlreadyExists { name, .. }
            | Self::NotFound { name, .. }
            | Self::AccessDenied { name, .. }
            | Self::Throttled { name, .. }
            | Self::InvalidRequest { name, .. }
            | Self::Provider { name, .. }
            | Self::Json { name } => name,
        }
    }

    /// Returns whether there is a parameter of that name already.
    #[must_use]
    pub const fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. })
    }

    pub(super) fn already_exists(name: Arc<str>, error: ProviderError) -> Self {
        Self::AlreadyExists {
            name,
            source: error.into_source(),
        }
    }

    pub(super) fn of_provider(name: Arc<str>, error: ProviderError) -> Self {
        let kind = error.kind();
        let source = error.into_source();
        match kind {
            ProviderErrorKind::NotFound => Self::NotFound { name, source },
            ProviderErrorKind::AccessDenied => Self::AccessDenied { name, source },
            ProviderErrorKind::Throttled => Self::Throttled { name, source },
            ProviderErrorKind::InvalidRequest | ProviderErrorKind::Unsupported => {
                Self::InvalidRequest { name, source }
            }
            ProviderErrorKind::TimedOut | ProviderErrorKind::Other => {
                Self::Provider { name, source }
            }
        }
    }
}

/// Forgets what is cached of a parameter that is being set, also if nobody waits for the end.
pub(super) struct Forget<'a, P: ParameterProvider> {
    pub(super) parameters: &'a Parameters<P>,
    pub(super) name: &'a str,
}

impl<P: ParameterProvider> Drop for Forget<'_, P> {
    fn drop(&mut self) {
        self.parameters.forget(self.name);
    }
}
