use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::error::Error;

/// How long an answer may take: longer than a function behind the REST API may run.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A customer's HTTP client.
#[derive(Clone, Debug)]
pub struct HttpClient(Client<HttpConnector, Full<Bytes>>);

/// An answer, read to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpClient {
    /// A client with its own connections.
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// No answer came; an answer of whatever status is none.
    pub async fn get(&self, url: &str) -> Result<Response, Error> {
        self.send(Method::GET, url, Bytes::new()).await
    }

    /// Sends JSON, or what pretends to be.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, url: &str, body: impl Into<Bytes>) -> Result<Response, Error> {
        self.send(Method::POST, url, body.into()).await
    }

    async fn send(&self, method: Method, url: &str, body: Bytes) -> Result<Response, Error> {
        let failed = |source: crate::BoxError| Error::Http {
            url: url.to_owned(),
            source,
        };
        let mut request = Request::builder().method(method).uri(url);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| failed(error.into()))?;
        let answer = async {
            let (parts, body) = self.0.request(request).await?.into_parts();
            Ok(Response {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        timeout(TIMEOUT, answer)
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(failed)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl Response {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::chain;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_accepts_and_never_answers_is_an_error() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", server.local_addr().unwrap());
        let error = HttpClient::new().get(&url).await.unwrap_err();
        assert_eq!(
            chain(&error),
            format!("no answer from {url}: deadline has elapsed")
        );
    }
}
