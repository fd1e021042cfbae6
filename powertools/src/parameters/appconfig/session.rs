use std::{mem, time::Duration};

use aws_sdk_appconfigdata::{
    Client,
    error::SdkError,
    operation::get_latest_configuration::{
        GetLatestConfigurationError, GetLatestConfigurationOutput,
    },
    types::{BadRequestDetails, InvalidParameterProblem},
};

use crate::{
    clock::{Clock, Moment},
    parameters::{
        Fetched, ProviderError, ProviderErrorKind,
        freshness::generation,
        sdk::{read_failed, unreadable},
    },
};

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Profile {
    pub(super) application: String,
    pub(super) environment: String,
    pub(super) name: String,
    pub(super) poll_interval: Option<Duration>,
}

/// What AppConfig knows of us, and we of a configuration.
#[derive(Default)]
pub(super) struct Session {
    /// What the next request has to show. AppConfig takes a token once, so the request takes it out
    /// of here, and the answer brings another. While there is none, be it that an answer was lost or
    /// that nobody waited for it, the next request begins a new session.
    token: Option<String>,
    poll: Option<Poll>,
    value: Option<Fetched>,
    /// How often the process had been restored from a snapshot.
    generation: u64,
}

/// The last answer, and how long AppConfig wants to be left alone after it.
struct Poll {
    at: Moment,
    interval: Duration,
}

impl Session {
    /// Returns the latest configuration: until AppConfig may be asked again, that of the last time.
    pub(super) async fn latest(
        &mut self,
        client: &Client,
        profile: &Profile,
        clock: &Clock,
    ) -> Result<Fetched, ProviderError> {
        let generation = generation();
        if mem::replace(&mut self.generation, generation) != generation {
            // Whatever was restored from the same snapshot has the same token.
            self.token = None;
            self.poll = None;
        }
        if self.wait(clock).is_some() {
            return self.current(clock);
        }
        if let Some(token) = self.token.take() {
            match poll(client, &token).await {
                Ok(answer) => {
                    self.take(answer, clock);
                    return self.current(clock);
                }
                Err(error) if is_early(&error) => {
                    self.token = Some(token);
                    if let Some(poll) = &mut self.poll {
                        poll.at = clock.now();
                    }
                    return self.current(clock);
                }
                // It has expired, or was taken by a request whose answer got lost.
                Err(error) if is_bad_request(&error) => {}
                Err(error) => {
                    let error = read_failed(error);
                    if was_turned_away(&error) {
                        self.token = Some(token);
                    }
                    return Err(error);
                }
            }
        }
        let token = start(client, profile).await?;
        let answer = poll(client, &token).await.map_err(read_failed)?;
        // A new session is told everything. If that is nothing, nothing is deployed any more.
        self.value = None;
        self.take(answer, clock);
        self.current(clock)
    }

    /// Tells whether nothing is known that a later request could use.
    pub(super) const fn is_blank(&self) -> bool {
        self.token.is_none() && self.poll.is_none() && self.value.is_none()
    }

    /// Returns for how long AppConfig must not be asked.
    fn wait(&self, clock: &Clock) -> Option<Duration> {
        let poll = self.poll.as_ref()?;
        let wait = poll.interval.saturating_sub(clock.now().since(&poll.at));
        (!wait.is_zero()).then_some(wait)
    }

    /// Returns the value of the last answer that had one. If there was none, nothing is deployed.
    fn current(&self, clock: &Clock) -> Result<Fetched, ProviderError> {
        let value = self
            .value
            .clone()
            .ok_or_else(|| ProviderError::not_found().with_source("nothing has been deployed"))?;
        Ok(value.current_for(self.wait(clock).unwrap_or_default()))
    }

    /// Takes over an answer. An empty one says that nothing has changed in this session.
    fn take(&mut self, answer: GetLatestConfigurationOutput, clock: &Clock) {
        let interval = u64::try_from(answer.next_poll_interval_in_seconds).unwrap_or_default();
        self.token = answer.next_poll_configuration_token;
        self.poll = Some(Poll {
            at: clock.now(),
            interval: Duration::from_secs(interval),
        });
        let content = answer.configuration.unwrap_or_default().into_inner();
        if !content.is_empty() {
            self.value = Some(fetched(content, answer.version_label));
        }
    }
}

/// Begins a session, and returns its first token.
async fn start(client: &Client, profile: &Profile) -> Result<String, ProviderError> {
    let answer = client
        .start_configuration_session()
        .application_identifier(&profile.application)
        .environment_identifier(&profile.environment)
        .configuration_profile_identifier(&profile.name)
        .set_required_minimum_poll_interval_in_seconds(profile.poll_interval.map(seconds))
        .send()
        .await
        .map_err(read_failed)?;
    answer.initial_configuration_token.ok_or_else(unreadable)
}

/// Returns the whole seconds that are at least as long.
fn seconds(interval: Duration) -> i32 {
    let seconds = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

async fn poll(
    client: &Client,
    token: &str,
) -> Result<GetLatestConfigurationOutput, SdkError<GetLatestConfigurationError>> {
    let request = client.get_latest_configuration();
    request.configuration_token(token).send().await
}

/// Tells whether a token was shown before AppConfig wanted to see it again. It is still good then.
fn is_early(error: &SdkError<GetLatestConfigurationError>) -> bool {
    let Some(GetLatestConfigurationError::BadRequestException(refusal)) = error.as_service_error()
    else {
        return false;
    };
    let parameters = refusal
        .details()
        .map(BadRequestDetails::as_invalid_parameters);
    let Some(Ok(parameters)) = parameters else {
        return false;
    };
    let early = Some(&InvalidParameterProblem::PollIntervalNotSatisfied);
    parameters.values().any(|detail| detail.problem() == early)
}

fn is_bad_request(error: &SdkError<GetLatestConfigurationError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(GetLatestConfigurationError::is_bad_request_exception)
}

/// Tells whether AppConfig has not looked at what it was shown.
fn was_turned_away(error: &ProviderError) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ProviderErrorKind::AccessDenied | ProviderErrorKind::Throttled
    )
}

/// Makes a value of a configuration: text, if it is one.
fn fetched(content: Vec<u8>, version: Option<String>) -> Fetched {
    let value = match String::from_utf8(content) {
        Ok(text) => Fetched::text(text),
        Err(error) => Fetched::binary(error.into_bytes()),
    };
    match version {
        Some(version) => value.version(version),
        None => value,
    }
}
