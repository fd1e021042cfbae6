//! Calling the function.

use std::fmt;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{Config, StalledStreamProtectionConfig};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::primitives::Blob;

use super::answer::Answer;
use crate::error::BoxError;

/// Whatever runs the function.
pub(super) trait Invoker: fmt::Debug + Send + Sync + 'static {
    /// Invokes the function and waits for its answer.
    fn invoke(&self, payload: Vec<u8>) -> impl Future<Output = Result<Answer, InvokeError>> + Send;
}

/// Why there is no answer of the function.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvokeError {
    /// It runs too often at once.
    #[error("the function is throttled")]
    Throttled,
    /// It would be too much for one invocation.
    #[error("the event is too large for the function")]
    TooLarge,
    /// The service failed, or could not be reached.
    #[error("could not invoke the function")]
    Service(#[source] BoxError),
}

/// A Lambda function.
#[derive(Debug)]
pub(super) struct LambdaFunction {
    pub(super) client: Client,
    pub(super) name: String,
}

impl Invoker for LambdaFunction {
    async fn invoke(&self, payload: Vec<u8>) -> Result<Answer, InvokeError> {
        // The mapping itself tries again, and a function may take its time.
        let patient = Config::builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let request = self
            .client
            .invoke()
            .function_name(&self.name)
            .payload(Blob::new(payload));
        let answer = request
            .customize()
            .config_override(patient)
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(refused) if refused.is_too_many_requests_exception() => InvokeError::Throttled,
                Some(refused) if refused.is_request_too_large_exception() => InvokeError::TooLarge,
                _ => InvokeError::Service(error.into()),
            })?;
        Ok(Answer {
            status: u16::try_from(answer.status_code).unwrap_or_default(),
            request_id: answer.request_id().map(str::to_owned),
            executed_version: answer.executed_version,
            function_error: answer.function_error,
            payload: answer.payload.map(Blob::into_inner).unwrap_or_default(),
        })
    }
}
