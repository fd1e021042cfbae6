//! What the AWS adapters share: how clients are made, and how their errors are read.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use powertools::trace::AwsSdkInterceptor;

use crate::store::{BoxError, StoreError};

/// The longest that one call takes, with all its attempts. API Gateway waits 29 s, so that a caller
/// of the HTTP functions hears what failed.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 3;

/// Reads region, credentials and endpoint from the environment; nothing is sent.
pub async fn load_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .load()
        .await
}

/// Makes a client whose calls are seen in the trace.
#[must_use]
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config);
    aws_sdk_dynamodb::Client::from_conf(config.interceptor(AwsSdkInterceptor::new()).build())
}

/// Makes a client whose calls are seen in the trace.
#[must_use]
pub fn kinesis(config: &SdkConfig) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::config::Builder::from(config);
    aws_sdk_kinesis::Client::from_conf(config.interceptor(AwsSdkInterceptor::new()).build())
}

/// Whether an error code of DynamoDB or Kinesis says that the same request may succeed later.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
/// and <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub(crate) fn is_transient(code: &str) -> bool {
    matches!(
        code,
        "InternalFailure"
            | "InternalServerError"
            | "KMSThrottlingException"
            | "LimitExceededException"
            | "ProvisionedThroughputExceeded"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "ServiceUnavailable"
            | "ThrottlingError"
            | "ThrottlingException"
            | "TransactionConflict"
            | "TransactionConflictException"
            | "TransactionInProgressException"
    )
}

/// Reads what a failed call means for its caller.
pub(crate) fn store_error<E>(error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let is_transient = match &error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::ServiceError(service) => {
            service.raw().status().is_server_error()
                || service.err().code().is_some_and(is_transient)
        }
        _ => false,
    };
    if is_transient {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Failed(error.into())
    }
}

pub(crate) fn failed(error: impl Into<BoxError>) -> StoreError {
    StoreError::Failed(error.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_sdk_dynamodb::{
        config::http::HttpResponse, error::ErrorMetadata, operation::get_item::GetItemError,
    };

    use super::*;

    pub(crate) fn service_error<E>(error: E, status: u16) -> SdkError<E> {
        let status = http::StatusCode::from_u16(status).unwrap().into();
        SdkError::service_error(error, HttpResponse::new(status, "".into()))
    }

    fn read(code: &str, status: u16) -> StoreError {
        let error = GetItemError::generic(ErrorMetadata::builder().code(code).build());
        store_error(service_error(error, status))
    }

    #[test]
    fn a_throttled_call_may_succeed_later_and_a_refused_one_will_not() {
        for (code, status) in [
            ("ProvisionedThroughputExceededException", 400),
            ("ThrottlingException", 400),
            ("InternalServerError", 500),
            ("SomethingNew", 503),
        ] {
            let error = read(code, status);
            assert!(
                matches!(error, StoreError::Unavailable(_)),
                "{code}: {error:?}"
            );
        }
        for code in [
            "ResourceNotFoundException",
            "AccessDeniedException",
            "ValidationException",
        ] {
            let error = read(code, 400);
            assert!(matches!(error, StoreError::Failed(_)), "{code}: {error:?}");
        }
    }

    #[test]
    fn a_call_that_timed_out_may_succeed_later() {
        let error = SdkError::<GetItemError>::timeout_error("slow");
        assert!(matches!(store_error(error), StoreError::Unavailable(_)));
    }
}
