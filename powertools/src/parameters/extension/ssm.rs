use std::time::Duration;

use serde::Deserialize;

use super::{parameters_secrets::ParametersSecrets, target::Target};
use crate::{
    Env,
    parameters::{Fetched, Get, ParameterProvider, ProviderError},
};

/// Parameters of Systems Manager that the AWS Parameters and Secrets extension holds. See the
/// [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct SsmExtensionProvider {
    extension: ParametersSecrets,
}

/// What decides on a parameter's value beside its name. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct SsmExtensionOptions {
    with_decryption: bool,
    version: Option<u64>,
    label: Option<String>,
}

impl SsmExtensionProvider {
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

impl Default for SsmExtensionProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl SsmExtensionOptions {
    /// Sets whether a `SecureString` is decrypted. Other types are the same either way.
    ///
    /// Defaults to `false`: the value of a `SecureString` is its ciphertext then.
    pub fn with_decryption(mut self, with_decryption: bool) -> Self {
        self.with_decryption = with_decryption;
        self
    }

    /// Sets the version.
    ///
    /// Defaults to the latest.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the label of the version.
    ///
    /// Defaults to none, so to the latest version.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

impl Get<'_, SsmExtensionProvider> {
    /// Decrypts the parameter, if it is a `SecureString`.
    ///
    /// By default it stays encrypted.
    pub fn decrypt(self) -> Self {
        self.with(|options| options.with_decryption(true))
    }

    /// Takes this version.
    pub fn version(self, version: u64) -> Self {
        self.with(|options| options.version(version))
    }

    /// Takes the version that has this label.
    pub fn label(self, label: impl Into<String>) -> Self {
        self.with(|options| options.label(label))
    }
}

/// What is read of GetParameter's answer.
///
/// Source: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetParameter {
    parameter: Parameter,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    value: String,
    version: Option<u64>,
}

impl ParameterProvider for SsmExtensionProvider {
    type Options = SsmExtensionOptions;

    async fn get(
        &self,
        name: &str,
        options: &SsmExtensionOptions,
    ) -> Result<Fetched, ProviderError> {
        let mut target = Target::new("/systemsmanager/parameters/get").query("name", name);
        if let Some(version) = options.version {
            target = target.query("version", &version.to_string());
        }
        if let Some(label) = &options.label {
            target = target.query("label", label);
        }
        if options.with_decryption {
            target = target.query("withDecryption", "true");
        }
        let GetParameter { parameter } = self.extension.get(&target).await?;
        let value = Fetched::text(parameter.value);
        Ok(match parameter.version {
            Some(version) => value.version(version.to_string()),
            None => value,
        })
    }
}
