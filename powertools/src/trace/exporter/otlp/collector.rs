use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::time::timeout;
use tracing::warn;

use super::{Endpoint, lock};

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// The most bytes of an answer that are read.
const ANSWER_LENGTH: usize = 64 << 10;

/// A collector of OpenTelemetry, over HTTP/1.1.
#[derive(Debug)]
pub(super) struct Collector {
    endpoint: Endpoint,
    /// Made for the first request: its connections belong to the runtime that this one is in.
    client: Mutex<Option<HttpClient>>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Collector {
    pub(super) const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            client: Mutex::new(None),
        }
    }

    /// Sends a request. Tracing never fails an invocation: a failure is a warning.
    pub(super) async fn send(&self, request: Bytes) {
        let limit = self.endpoint.timeout;
        match timeout(limit, self.post(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = &*error as &(dyn std::error::Error + 'static);
                warn!(error, "spans lost: the collector did not take them");
            }
            Err(_) => warn!(?limit, "spans lost: the collector did not answer in time"),
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), BoxError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.uri.clone())
            .body(Full::new(body))?;
        *request.headers_mut() = self.endpoint.headers.clone();
        let protobuf = http::HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(CONTENT_TYPE, protobuf);
        let response = self.client().request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("status {status}").into());
        }
        let answer = Limited::new(response.into_body(), ANSWER_LENGTH);
        let answer = answer.collect().await?.to_bytes();
        // An answer that says something else than the protocol asks for is one of 200 all the same.
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        match answer.partial_success {
            Some(partial) if partial.rejected_spans > 0 => Err(format!(
                "{} spans refused: {}",
                partial.rejected_spans, partial.error_message
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Forgets the connections that are open.
    pub(super) fn reset(&self) {
        *lock(&self.client) = None;
    }

    fn client(&self) -> HttpClient {
        let mut client = lock(&self.client);
        let client = client.get_or_insert_with(|| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build_http()
        });
        client.clone()
    }
}
