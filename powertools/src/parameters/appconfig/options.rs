use std::time::Duration;

use super::AppConfigProvider;
use crate::parameters::Get;

/// What decides on a configuration beside the name of its profile. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct AppConfigOptions {
    pub(super) application: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) poll_interval: Option<Duration>,
}

impl AppConfigOptions {
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

    /// Sets how long AppConfig is not asked again, from 15 s to a day, in whole seconds.
    ///
    /// Defaults to the provider's [`poll_interval`](AppConfigProvider::poll_interval).
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }
}

impl Get<'_, AppConfigProvider> {
    /// Takes the configuration of another application than the provider's, by its name or id.
    pub fn application(self, application: impl Into<String>) -> Self {
        self.with(|options| options.application(application))
    }

    /// Takes the configuration of another environment than the provider's, by its name or id.
    pub fn environment(self, environment: impl Into<String>) -> Self {
        self.with(|options| options.environment(environment))
    }

    /// Sets how long AppConfig is not asked again: see [`AppConfigOptions::poll_interval`].
    pub fn poll_interval(self, interval: Duration) -> Self {
        self.with(|options| options.poll_interval(interval))
    }
}
