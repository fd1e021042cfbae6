use super::SecretsManagerProvider;
use crate::parameters::{ByName, Get};

/// What, beside its name, decides on the value of a secret.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[must_use]
pub struct SecretsManagerOptions {
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
}

impl SecretsManagerOptions {
    /// Makes the default options.
    pub const fn new() -> Self {
        Self {
            version_id: None,
            version_stage: None,
        }
    }

    /// Sets the version by its id.
    ///
    /// Defaults to the version with the [stage](Self::version_stage). If both are set, the version has
    /// to have the stage.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Sets the version by its staging label, such as `AWSPREVIOUS` or `AWSPENDING`.
    ///
    /// Defaults to `AWSCURRENT`, unless there is a version's [id](Self::version_id).
    pub fn version_stage(mut self, version_stage: impl Into<String>) -> Self {
        self.version_stage = Some(version_stage.into());
        self
    }

    /// Returns whether the current version is asked for, without more words.
    pub(super) const fn is_current(&self) -> bool {
        self.version_id.is_none() && self.version_stage.is_none()
    }
}

impl Get<'_, SecretsManagerProvider> {
    /// Asks for the version with this id.
    ///
    /// Defaults to the version with the [stage](Self::version_stage).
    pub fn version_id(self, version_id: impl Into<String>) -> Self {
        self.with(|options| options.version_id(version_id))
    }

    /// Asks for the version with this staging label, such as `AWSPREVIOUS` or `AWSPENDING`.
    ///
    /// Defaults to `AWSCURRENT`, unless there is a version's [id](Self::version_id).
    pub fn version_stage(self, version_stage: impl Into<String>) -> Self {
        self.with(|options| options.version_stage(version_stage))
    }
}

impl ByName<SecretsManagerOptions> {
    /// Asks for the version with this id, by a request of its own.
    pub fn version_id(self, version_id: impl Into<String>) -> Self {
        self.with(|options| options.version_id(version_id))
    }

    /// Asks for the version with this staging label, by a request of its own.
    pub fn version_stage(self, version_stage: impl Into<String>) -> Self {
        self.with(|options| options.version_stage(version_stage))
    }
}
