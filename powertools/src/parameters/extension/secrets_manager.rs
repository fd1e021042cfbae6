use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{parameters_secrets::ParametersSecrets, target::Target};
use crate::{
    Env,
    parameters::{Fetched, Get, ParameterProvider, ProviderError},
};

/// Secrets of Secrets Manager that the AWS Parameters and Secrets extension holds. See the
/// [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct SecretsManagerExtensionProvider {
    extension: ParametersSecrets,
}

/// What decides on a secret's value beside its name. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct SecretsManagerExtensionOptions {
    version_id: Option<String>,
    version_stage: Option<String>,
}

impl SecretsManagerExtensionProvider {
    /// Makes a provider that takes port and token from the process's environment.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a provider that takes port and token from these variables.
    ///
    /// | variable | default |
    /// |---|---|
    /// | `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT` | 2773 |
    /// | `AWS_SESSION_TOKEN` | none: every read fails |
    pub fn from_env(env: &Env) -> Self {
        Self {
            extension: ParametersSecrets::from_env(env),
        }
    }

    /// Sets the port of the loopback interface at which the extension listens.
    ///
    /// Defaults to `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`, then to 2773.
    pub fn port(mut self, port: u16) -> Self {
        self.extension = self.extension.port(port);
        self
    }

    /// Sets how long the extension may take for an answer.
    ///
    /// Defaults to 3 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.extension = self.extension.timeout(timeout);
        self
    }
}

impl Default for SecretsManagerExtensionProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl SecretsManagerExtensionOptions {
    /// Sets the version, by its id.
    ///
    /// Defaults to none, so to the one of the stage.
    pub fn version_id(mut self, id: impl Into<String>) -> Self {
        self.version_id = Some(id.into());
        self
    }

    /// Sets the stage of the version.
    ///
    /// Defaults to `AWSCURRENT`.
    pub fn version_stage(mut self, stage: impl Into<String>) -> Self {
        self.version_stage = Some(stage.into());
        self
    }
}

impl Get<'_, SecretsManagerExtensionProvider> {
    /// Takes the version of this id.
    pub fn version_id(self, id: impl Into<String>) -> Self {
        self.with(|options| options.version_id(id))
    }

    /// Takes the version of this stage.
    ///
    /// Defaults to `AWSCURRENT`.
    pub fn version_stage(self, stage: impl Into<String>) -> Self {
        self.with(|options| options.version_stage(stage))
    }
}

/// What is read of GetSecretValue's answer.
///
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_string: Option<String>,
    secret_binary: Option<String>,
    version_id: Option<String>,
}

impl ParameterProvider for SecretsManagerExtensionProvider {
    type Options = SecretsManagerExtensionOptions;

    async fn get(
        &self,
        name: &str,
        options: &SecretsManagerExtensionOptions,
    ) -> Result<Fetched, ProviderError> {
        let mut target = Target::new("/secretsmanager/get").query("secretId", name);
        if let Some(id) = &options.version_id {
            target = target.query("versionId", id);
        }
        if let Some(stage) = &options.version_stage {
            target = target.query("versionStage", stage);
        }
        let secret: GetSecretValue = self.extension.get(&target).await?;
        let binary = secret.secret_binary.map(Zeroizing::new);
        let value = match (secret.secret_string, binary) {
            (Some(text), _) => Fetched::text(text),
            // The error quotes the text.
            (None, Some(text)) => {
                let bytes = BASE64_STANDARD.decode(text.as_bytes());
                Fetched::binary(bytes.map_err(|_| no_secret())?)
            }
            (None, None) => return Err(no_secret()),
        };
        Ok(match secret.version_id {
            Some(id) => value.version(id),
            None => value,
        })
    }
}

fn no_secret() -> ProviderError {
    ProviderError::other().with_source("the extension's answer holds no secret")
}
