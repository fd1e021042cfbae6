//! AppConfig, in memory: the client of the SDK is the real one, and the service behind it hands out
//! tokens that it takes once, and tells its own time.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use aws_sdk_appconfigdata::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region,
        http::{HttpRequest, HttpResponse},
        retry::RetryConfig,
    },
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use powertools::{
    parameters::{Parameters, appconfig::AppConfigProvider},
    testing::Clock,
};
use serde_json::{Value as Json, json};

/// How long AppConfig wants to be left alone.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// How long a token serves.
///
/// Source: <https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_appconfigdata_GetLatestConfiguration.html>
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of one request instead of an answer.
pub(crate) enum Failure {
    /// It is refused by a status, a code and further members.
    Refused(u16, &'static str, Json),
    /// The connection breaks before the request is there.
    Broken,
    /// The request is there, and its answer gets lost.
    Lost,
    /// The request is there, and its answer never comes.
    Hanging,
    /// The answer is one of the API but for its headers.
    Garbage,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    /// What a session was begun with.
    Start(Json),
    Poll,
}

#[derive(Clone)]
pub(crate) struct AppConfig {
    pub(crate) clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The label and the content of each configuration, by application, environment and profile.
    deployed: HashMap<[String; 3], (Option<&'static str>, Vec<u8>)>,
    tokens: HashMap<String, Token>,
    issued: usize,
    failures: VecDeque<Failure>,
    calls: Vec<Call>,
}

/// What a token stands for.
#[derive(Clone)]
struct Token {
    profile: [String; 3],
    interval: Duration,
    has: Option<Vec<u8>>,
    issued: SystemTime,
    is_first: bool,
}

impl AppConfig {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::new(),
            state: Arc::default(),
        }
    }

    /// Makes one that has a configuration `limits` of `shop` in `prod`.
    pub(crate) fn with(content: &str) -> Self {
        let service = Self::new();
        service.deploy("limits", "v1", content);
        service
    }

    pub(crate) fn deploy(&self, profile: &str, label: &'static str, content: impl AsRef<[u8]>) {
        self.deploy_to(["shop", "prod", profile], label, content);
    }

    pub(crate) fn deploy_to(
        &self,
        profile: [&str; 3],
        label: &'static str,
        content: impl AsRef<[u8]>,
    ) {
        let content = (
            Some(label).filter(|it| !it.is_empty()),
            content.as_ref().to_vec(),
        );
        self.lock()
            .deployed
            .insert(profile.map(str::to_owned), content);
    }

    /// Takes back everything that is deployed.
    pub(crate) fn undeploy(&self) {
        self.lock().deployed.clear();
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.lock().failures.push_back(failure);
    }

    /// What was called since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    pub(crate) fn starts(&self) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| **call != Call::Poll).count()
    }

    pub(crate) fn client(&self, retry: RetryConfig) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(retry)
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    pub(crate) fn provider(&self) -> AppConfigProvider {
        let client = self.client(RetryConfig::disabled());
        AppConfigProvider::new(client, "shop", "prod").with_clock(&self.clock)
    }

    pub(crate) fn parameters(&self) -> Parameters<AppConfigProvider> {
        Parameters::new(self.provider()).with_clock(&self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn respond(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let uri = request.uri().to_owned();
        let (_, path) = uri.split_once(".com").unwrap();
        let call = match path.split_once('?') {
            None => {
                assert_eq!(path, "/configurationsessions");
                Call::Start(serde_json::from_slice(request.body().bytes().unwrap()).unwrap())
            }
            Some(_) => Call::Poll,
        };
        let mut state = self.lock();
        state.calls.push(call.clone());
        let failure = state.failures.pop_front();
        match failure {
            Some(Failure::Broken) => return Err(ConnectorError::io("connection reset".into())),
            Some(Failure::Refused(status, code, more)) => return Ok(refusal(status, code, more)),
            _ => {}
        }
        let response = match call {
            Call::Start(input) => state.start(&input, &self.clock),
            Call::Poll => {
                let (_, token) = path.split_once("?configuration_token=").unwrap();
                state.poll(token, &self.clock)
            }
        };
        match failure {
            Some(Failure::Lost) => Err(ConnectorError::timeout("no answer".into())),
            Some(Failure::Garbage) => {
                let mut response = HttpResponse::new(200.try_into().unwrap(), "hunter2".into());
                let headers = response.headers_mut();
                headers.insert("next-poll-interval-in-seconds", "soon");
                Ok(response)
            }
            _ => Ok(response),
        }
    }
}

impl State {
    fn start(&mut self, input: &Json, clock: &Clock) -> HttpResponse {
        let name = |name: &str| {
            input[format!("{name}Identifier")]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let profile = ["Application", "Environment", "ConfigurationProfile"].map(name);
        if profile[2] == "missing" {
            return refusal(
                404,
                "ResourceNotFoundException",
                json!({"ResourceType": "ConfigurationProfile"}),
            );
        }
        let interval = input.get("RequiredMinimumPollIntervalInSeconds");
        let interval = interval.map_or(INTERVAL, |it| Duration::from_secs(it.as_u64().unwrap()));
        let token = self.issue(Token {
            profile,
            interval,
            has: None,
            issued: clock.now(),
            is_first: true,
        });
        let body = json!({"InitialConfigurationToken": token}).to_string();
        HttpResponse::new(201.try_into().unwrap(), body.into())
    }

    fn poll(&mut self, name: &str, clock: &Clock) -> HttpResponse {
        let Some(token) = self.tokens.get(name).cloned() else {
            return bad_token("Corrupted");
        };
        let age = clock.now().duration_since(token.issued).unwrap_or_default();
        if age >= DAY {
            return bad_token("Expired");
        }
        if !token.is_first && age < token.interval {
            return bad_token("PollIntervalNotSatisfied");
        }
        self.tokens.remove(name);
        let (label, content) = self
            .deployed
            .get(&token.profile)
            .cloned()
            .unwrap_or_default();
        let is_new = token.has.as_ref() != Some(&content);
        let interval = token.interval.as_secs();
        let next = self.issue(Token {
            has: Some(content.clone()),
            issued: clock.now(),
            is_first: false,
            ..token
        });
        let body = if is_new { content } else { Vec::new() };
        let mut response = HttpResponse::new(200.try_into().unwrap(), body.into());
        let headers = response.headers_mut();
        headers.insert("content-type", "application/json");
        headers.insert("next-poll-configuration-token", next);
        headers.insert("next-poll-interval-in-seconds", interval.to_string());
        if let Some(label) = label.filter(|_| is_new) {
            headers.insert("version-label", label);
        }
        response
    }

    fn issue(&mut self, token: Token) -> String {
        self.issued += 1;
        let name = format!("token-{}", self.issued);
        self.tokens.insert(name.clone(), token);
        name
    }
}

fn refusal(status: u16, code: &str, mut body: Json) -> HttpResponse {
    body["Message"] = json!("no");
    let mut response = HttpResponse::new(status.try_into().unwrap(), body.to_string().into());
    response
        .headers_mut()
        .insert("x-amzn-errortype", code.to_owned());
    response
}

fn bad_token(problem: &str) -> HttpResponse {
    refusal(400, "BadRequestException", token_problem(problem))
}

pub(crate) fn token_problem(problem: &str) -> Json {
    let details = json!({"InvalidParameters": {"ConfigurationToken": {"Problem": problem}}});
    json!({"Reason": "InvalidParameters", "Details": details})
}

impl fmt::Debug for AppConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppConfig")
    }
}

impl HttpConnector for AppConfig {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_hanging = matches!(self.lock().failures.front(), Some(Failure::Hanging));
        let response = self.respond(&request);
        HttpConnectorFuture::new(async move {
            if is_hanging {
                std::future::pending::<()>().await;
            }
            response
        })
    }
}
