use std::time::Duration;

use super::{http::Extension, target::Target};
use crate::{
    Env, env,
    parameters::{Fetched, Get, ParameterProvider, ProviderError},
};

/// Source: <https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-lambda-extensions-config.html>
const PORT: u16 = 2772;

/// Source: <https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-containers-agent-retrieving-data.html>
const VERSION: &str = "configuration-version";

/// Configurations that the AWS AppConfig extension holds. See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct AppConfigExtensionProvider {
    extension: Extension,
    application: Option<String>,
    environment: String,
}

/// What decides on a configuration beside the name of its profile. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct AppConfigExtensionOptions {
    application: Option<String>,
    environment: Option<String>,
    flags: Vec<String>,
}

impl AppConfigExtensionProvider {
    /// Makes a provider of an application's configurations in an environment, both by name or id.
    ///
    /// The environment variable `AWS_APPCONFIG_EXTENSION_HTTP_PORT` tells the port.
    pub fn new(application: impl Into<String>, environment: impl Into<String>) -> Self {
        Self::from_env(environment, &Env::process()).application(application)
    }

    /// Makes a provider that takes what is not said by the code from these variables.
    ///
    /// | variable | setter | default |
    /// |---|---|---|
    /// | `POWERTOOLS_SERVICE_NAME` | [`application`](Self::application) | none: each configuration has to be asked for with its application |
    /// | `AWS_APPCONFIG_EXTENSION_HTTP_PORT` | [`port`](Self::port) | 2772 |
    pub fn from_env(environment: impl Into<String>, env: &Env) -> Self {
        Self {
            extension: Extension::from_env(env, env::APPCONFIG_EXTENSION_PORT, PORT),
            application: env.get(env::SERVICE_NAME).map(str::to_owned),
            environment: environment.into(),
        }
    }

    /// Sets the application, by its name or id.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// Sets the port of the loopback interface at which the extension listens.
    ///
    /// Defaults to `AWS_APPCONFIG_EXTENSION_HTTP_PORT`, then to 2772.
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

    fn target(
        &self,
        name: &str,
        options: &AppConfigExtensionOptions,
    ) -> Result<Target, ProviderError> {
        let application = options.application.as_ref().or(self.application.as_ref());
        let environment = options.environment.as_ref();
        let target = Target::new("")
            .segment("applications", application.ok_or_else(no_application)?)
            .segment("environments", environment.unwrap_or(&self.environment))
            .segment("configurations", name);
        let flags = options.flags.iter();
        Ok(flags.fold(target, |target, flag| target.query("flag", flag)))
    }
}

impl AppConfigExtensionOptions {
    /// Sets the application, by its name or id.
    ///
    /// Defaults to the provider's.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// Sets the environment, by its name or id.
    ///
    /// Defaults to the provider's.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Adds a flag of a profile of feature flags, so that the value is this one and those added before.
    /// The value is the flag's own object if there is one, and an object of the flags by their names
    /// if there are more.
    ///
    /// Defaults to all flags.
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }
}

impl Get<'_, AppConfigExtensionProvider> {
    /// Takes the configuration of another application than the provider's, by its name or id.
    pub fn application(self, application: impl Into<String>) -> Self {
        self.with(|options| options.application(application))
    }

    /// Takes the configuration of another environment than the provider's, by its name or id.
    pub fn environment(self, environment: impl Into<String>) -> Self {
        self.with(|options| options.environment(environment))
    }

    /// Adds a flag: see [`AppConfigExtensionOptions::flag`].
    pub fn flag(self, flag: impl Into<String>) -> Self {
        self.with(|options| options.flag(flag))
    }
}

impl ParameterProvider for AppConfigExtensionProvider {
    type Options = AppConfigExtensionOptions;

    async fn get(
        &self,
        name: &str,
        options: &AppConfigExtensionOptions,
    ) -> Result<Fetched, ProviderError> {
        let target = self.target(name, options)?;
        let answer = self.extension.get(&target, None).await?;
        let version = answer.headers.get(VERSION).and_then(|it| it.to_str().ok());
        let value = match String::from_utf8(answer.body) {
            Ok(text) => Fetched::text(text),
            Err(error) => Fetched::binary(error.into_bytes()),
        };
        Ok(match version {
            Some(version) => value.version(version),
            None => value,
        })
    }
}

fn no_application() -> ProviderError {
    let problem = format!(
        "neither an application is given nor `{}`",
        env::SERVICE_NAME
    );
    ProviderError::invalid_request().with_source(problem)
}
