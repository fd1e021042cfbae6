use std::{borrow::Cow, fmt, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use powertools::logging;
use serde::Serialize;
use uuid::Uuid;

use super::kind::{CONFLICT, INVALID_BODY, Kind};
use crate::{
    store::{BoxError, StoreError},
    validation::FieldError,
};

/// The type of a problem that its status says all about.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9457#section-4.2.1>
const NO_KIND: &str = "about:blank";

/// How many wrong fields are named in the log: a body may have hundreds.
const MAX_LOGGED: usize = 10;

/// When a client may try again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was refused or failed, as the client is told: a problem detail (RFC 9457).
///
/// See the [module docs](super).
#[derive(Debug)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    /// Nothing but the status, if there is none.
    kind: Option<&'static Kind>,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<BoxError>,
}

impl Problem {
    /// Makes a problem that its status says all about.
    pub const fn new(status: StatusCode) -> Self {
        Self {
            status,
            kind: None,
            detail: None,
            errors: Vec::new(),
            headers: Vec::new(),
            source: None,
        }
    }

    /// Makes a problem of a kind of its own.
    pub const fn of_kind(kind: &'static Kind) -> Self {
        let mut problem = Self::new(kind.status);
        problem.kind = Some(kind);
        problem
    }

    /// Makes the problem of a body with wrong fields.
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::of_kind(&INVALID_BODY);
        problem.detail = Some(match errors.len() {
            1 => "One field is wrong.".into(),
            count => format!("{count} fields are wrong.").into(),
        });
        problem.errors = errors;
        problem
    }

    /// Says what is wrong this time. Defaults to nothing.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Keeps the reason, for the log only.
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn uri(&self) -> &'static str {
        self.kind.map_or(NO_KIND, |kind| kind.uri)
    }

    fn title(&self) -> &'static str {
        // What RFC 9457 asks of `about:blank`.
        let phrase = || self.status.canonical_reason().unwrap_or("Error");
        self.kind.map_or_else(phrase, |kind| kind.title)
    }

    /// Writes the one line that a problem leaves in the log.
    pub(super) fn log(&self, method: &Method, path: &str) {
        let status = self.status.as_u16();
        let problem = self.uri();
        if self.status.is_server_error() {
            let error = self
                .source
                .as_deref()
                .map(|source| source as &(dyn std::error::Error + 'static));
            tracing::error!(%method, path, status, problem, error, "request failed");
        } else if self.errors.is_empty() {
            tracing::warn!(%method, path, status, problem, "request refused");
        } else {
            let pointers = Pointers(&self.errors);
            tracing::warn!(%method, path, status, problem, %pointers, "request refused");
        }
    }
}

struct Pointers<'a>(&'a [FieldError]);

impl fmt::Display for Pointers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(MAX_LOGGED).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", error.pointer)?;
        }
        match self.0.len().saturating_sub(MAX_LOGGED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::of_kind(&CONFLICT),
            StoreError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE)
                .header(header::RETRY_AFTER, RETRY_AFTER)
                .because(error),
            StoreError::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR).because(error),
        }
    }
}

/// The problem that a response tells of, left for the log.
#[derive(Clone, Debug)]
pub(super) struct Reported(pub(super) Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let document = Document {
            kind: self.uri(),
            title: self.title(),
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
            instance: instance(),
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&document).expect("a problem is strings and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
            .headers_mut()
            .extend(std::mem::take(&mut self.headers));
        response.extensions_mut().insert(Reported(Arc::new(self)));
        response
    }
}

/// A problem detail as the client sees it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// The URI of the request: API Gateway's request ids are UUIDs.
fn instance() -> Option<String> {
    let id: Uuid = logging::correlation_id()?.parse().ok()?;
    Some(id.urn().to_string())
}
