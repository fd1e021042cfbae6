use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_appconfigdata::Client;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    AppConfigOptions,
    session::{Profile, Session},
};
use crate::{
    Env,
    clock::Clock,
    env,
    parameters::{Fetched, ParameterProvider, ProviderError},
};

/// Configurations of AppConfig. See the [module docs](super).
///
/// Cloning is cheap; clones share their sessions.
#[derive(Clone)]
#[must_use]
pub struct AppConfigProvider {
    client: Client,
    application: Option<String>,
    environment: String,
    poll_interval: Option<Duration>,
    clock: Clock,
    sessions: Arc<Mutex<Sessions>>,
}

/// Sessions, each behind a lock of its own: one that is slow keeps no other waiting.
type Sessions = HashMap<Profile, Arc<AsyncMutex<Session>>>;

impl AppConfigProvider {
    /// Makes a provider of an application's configurations in an environment, both by name or id.
    ///
    /// Nothing is fetched before the first configuration is asked for.
    pub fn new(
        client: Client,
        application: impl Into<String>,
        environment: impl Into<String>,
    ) -> Self {
        Self::of(client, Some(application.into()), environment.into())
    }

    /// Makes a provider of the application that has the service's name, `POWERTOOLS_SERVICE_NAME`.
    ///
    /// If that is not set, each configuration has to be asked for with
    /// [its application](AppConfigOptions::application).
    pub fn from_env(client: Client, environment: impl Into<String>, env: &Env) -> Self {
        let application = env.get(env::SERVICE_NAME).map(str::to_owned);
        Self::of(client, application, environment.into())
    }

    fn of(client: Client, application: Option<String>, environment: String) -> Self {
        Self {
            client,
            application,
            environment,
            poll_interval: None,
            clock: Clock::default(),
            sessions: Arc::default(),
        }
    }

    /// Sets how long AppConfig is not asked again, from 15 s to a day, in whole seconds.
    ///
    /// Defaults to what AppConfig says. It refuses what is shorter or longer, and may ask for more.
    ///
    /// Source: <https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_appconfigdata_StartConfigurationSession.html>
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// Sets the clock that tells when AppConfig may be asked again.
    ///
    /// Defaults to the system's.
    #[cfg(feature = "testing")]
    pub fn with_clock(mut self, clock: &crate::testing::Clock) -> Self {
        self.clock = Clock::Settable(clock.clone());
        self
    }

    fn profile(&self, name: &str, options: &AppConfigOptions) -> Result<Profile, ProviderError> {
        let application = options.application.as_ref().or(self.application.as_ref());
        let environment = options.environment.as_ref();
        Ok(Profile {
            application: application.ok_or_else(no_application)?.clone(),
            environment: environment.unwrap_or(&self.environment).clone(),
            name: name.to_owned(),
            poll_interval: options.poll_interval.or(self.poll_interval),
        })
    }

    fn session(&self, profile: &Profile) -> Arc<AsyncMutex<Session>> {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.get(profile) {
            return Arc::clone(session);
        }
        Arc::clone(sessions.entry(profile.clone()).or_default())
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ParameterProvider for AppConfigProvider {
    type Options = AppConfigOptions;

    async fn get(&self, name: &str, options: &AppConfigOptions) -> Result<Fetched, ProviderError> {
        let profile = self.profile(name, options)?;
        let shared = self.session(&profile);
        let mut session = shared.lock().await;
        let latest = session.latest(&self.client, &profile, &self.clock).await;
        if session.is_blank() {
            let mut sessions = self.sessions();
            // Somebody may have begun another since this one was removed.
            let is_same = |other: &Arc<_>| Arc::ptr_eq(other, &shared);
            if sessions.get(&profile).is_some_and(is_same) {
                sessions.remove(&profile);
            }
        }
        latest
    }
}

fn no_application() -> ProviderError {
    let problem = format!(
        "neither an application is given nor `{}`",
        env::SERVICE_NAME
    );
    ProviderError::invalid_request().with_source(problem)
}

/// Without the sessions, which hold tokens.
impl fmt::Debug for AppConfigProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppConfigProvider")
            .field("application", &self.application)
            .field("environment", &self.environment)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}
