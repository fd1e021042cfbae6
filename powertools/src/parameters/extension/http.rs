use std::{fmt, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use super::target::Target;
use crate::{
    Env,
    parameters::{ProviderError, ProviderErrorKind},
};

/// How long an extension may take for an answer, as the other toolkits wait for it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes of an answer that are read. The largest is a configuration, which AWS lets have up to
/// 4000 KB.
///
/// Source: <https://docs.aws.amazon.com/general/latest/gr/appconfig.html>
const ANSWER_SIZE: usize = 4 << 20;

/// The most characters of a refusal that an error shows.
const REFUSAL_LENGTH: usize = 300;

/// An extension beside the function, to which requests never leave the execution environment.
#[derive(Clone)]
pub(super) struct Extension {
    port: u16,
    timeout: Duration,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What an extension has answered.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Extension {
    pub(super) fn new(port: u16) -> Self {
        // No connection outlives its request: the next one may come after a snapshot, from another
        // runtime, or hours later.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build_http();
        Self {
            port,
            timeout: TIMEOUT,
            client,
        }
    }

    /// Makes an extension that listens where a variable says, or else where it does by default.
    pub(super) fn from_env(env: &Env, variable: &str, default: u16) -> Self {
        let port = env.get(variable).map(|port| (port, port.parse()));
        Self::new(match port {
            None => default,
            Some((_, Ok(port))) => port,
            Some((port, Err(_))) => {
                tracing::warn!(port, default, "`{variable}` is no port");
                default
            }
        })
    }

    pub(super) const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    pub(super) const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks for a path, and shows a token, if one is asked for.
    pub(super) async fn get(
        &self,
        target: &Target,
        token: Option<(&'static str, &HeaderValue)>,
    ) -> Result<Answer, ProviderError> {
        let uri = format!(
            "http://{}:{}{}",
            Ipv4Addr::LOCALHOST,
            self.port,
            target.as_str()
        );
        let mut request = Request::get(uri);
        if let Some((name, token)) = token {
            request = request.header(name, token);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| ProviderError::invalid_request().with_source(error))?;
        match timeout(self.timeout, self.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProviderError::timed_out().with_source(TooSlow(self.timeout))),
        }
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Answer, ProviderError> {
        let failed = |error| failed(self.port, error);
        let (head, body) = self
            .client
            .request(request)
            .await
            .map_err(failed)?
            .into_parts();
        let body = Limited::new(body, ANSWER_SIZE)
            .collect()
            .await
            .map_err(cut_off)?;
        let body = body.to_bytes();
        if head.status != StatusCode::OK {
            return Err(refused(head.status, &body));
        }
        Ok(Answer {
            headers: head.headers,
            body: body.into(),
        })
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("port", &self.port)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What an extension has answered instead.
#[derive(Debug, thiserror::Error)]
#[error("the extension answered {status}: {text}")]
struct Refusal {
    status: StatusCode,
    text: String,
}

#[derive(Debug, thiserror::Error)]
#[error("no extension can be reached at port {port}")]
struct Unreachable {
    port: u16,
    source: legacy::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("the extension did not answer within {} ms", .0.as_millis())]
struct TooSlow(Duration);

#[derive(Debug, thiserror::Error)]
#[error("the extension's answer has more than {ANSWER_SIZE} bytes")]
struct TooLarge;

fn failed(port: u16, source: legacy::Error) -> ProviderError {
    if source.is_connect() {
        ProviderError::other().with_source(Unreachable { port, source })
    } else {
        ProviderError::other().with_source(source)
    }
}

fn cut_off(error: Box<dyn std::error::Error + Send + Sync>) -> ProviderError {
    if error.is::<LengthLimitError>() {
        ProviderError::other().with_source(TooLarge)
    } else {
        ProviderError::other().with_source(error)
    }
}

fn refused(status: StatusCode, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.chars().filter(|char| !char.is_control());
    let text: String = text.take(REFUSAL_LENGTH).collect();
    ProviderError::new(kind(status, &text)).with_source(Refusal { status, text })
}

/// The kinds by what is in a refusal: an extension may answer one status for whatever its service
/// has said.
const KINDS: [(&str, ProviderErrorKind); 8] = [
    ("AccessDenied", ProviderErrorKind::AccessDenied),
    ("not authorized", ProviderErrorKind::AccessDenied),
    ("NotFound", ProviderErrorKind::NotFound),
    ("Throttling", ProviderErrorKind::Throttled),
    ("TooManyRequests", ProviderErrorKind::Throttled),
    ("Rate exceeded", ProviderErrorKind::Throttled),
    ("not ready", ProviderErrorKind::Other),
    ("unexpected error", ProviderErrorKind::Other),
];

fn kind(status: StatusCode, text: &str) -> ProviderErrorKind {
    if let Some((_, kind)) = KINDS.iter().find(|(part, _)| text.contains(part)) {
        return *kind;
    }
    match status {
        StatusCode::BAD_REQUEST => ProviderErrorKind::InvalidRequest,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderErrorKind::AccessDenied,
        StatusCode::NOT_FOUND => ProviderErrorKind::NotFound,
        StatusCode::TOO_MANY_REQUESTS => ProviderErrorKind::Throttled,
        StatusCode::GATEWAY_TIMEOUT => ProviderErrorKind::TimedOut,
        _ => ProviderErrorKind::Other,
    }
}
