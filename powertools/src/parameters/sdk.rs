//! What failed calls of the AWS SDK become: an error by kind, without what a request or an answer
//! held. An [`SdkError`] is never kept: its `Debug` text shows the whole answer, and the errors of the
//! SDK's JSON reader quote parts of it.

use std::fmt;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{ErrorMetadata, metadata::ProvideErrorMetadata};

use super::{ProviderError, ProviderErrorKind};

/// The key by which the SDK keeps a request's id.
const REQUEST_ID: &str = "aws_request_id";

/// What a service said about a call, or a part of one, that it refused.
#[derive(Debug)]
struct Refusal {
    code: String,
    message: Option<String>,
    request_id: Option<String>,
}

/// The answer is not what the API is known to answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer, of status {status}, is not understood")]
struct Unreadable {
    status: u16,
}

impl Refusal {
    fn new(meta: &ErrorMetadata) -> Self {
        Self {
            code: meta.code().unwrap_or("an error without a code").to_owned(),
            message: meta.message().map(str::to_owned),
            request_id: meta.extra(REQUEST_ID).map(str::to_owned),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request id {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// Makes an error of a call that reads: its request holds names only, and so do messages about it.
#[cfg(any(
    feature = "parameters-appconfig",
    feature = "parameters-dynamodb",
    feature = "parameters-ssm"
))]
pub(super) fn read_failed<E>(error: SdkError<E, HttpResponse>) -> ProviderError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    failed(error, refused)
}

/// Makes an error of a call that writes. What a service says about a request may quote it, the value
/// included; what it says about the caller's rights and the moment does not.
#[cfg(any(feature = "parameters-secrets-manager", feature = "parameters-ssm"))]
pub(super) fn write_failed<E>(error: SdkError<E, HttpResponse>) -> ProviderError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    failed(error, |meta| {
        let kind = kind(meta);
        let mut refusal = Refusal::new(meta);
        if !matches!(
            kind,
            ProviderErrorKind::AccessDenied | ProviderErrorKind::Throttled
        ) {
            refusal.message = None;
        }
        ProviderError::new(kind).with_source(refusal)
    })
}

/// Makes an error of any call, by what `refused` makes of what the service says.
pub(super) fn failed<E>(
    error: SdkError<E, HttpResponse>,
    refused: impl FnOnce(&ErrorMetadata) -> ProviderError,
) -> ProviderError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let failure = match &error {
        SdkError::ServiceError(answer) if answer.err().meta().code().is_some() => {
            return refused(answer.err().meta());
        }
        SdkError::ServiceError(answer) => return unreadable_with(answer.raw()),
        SdkError::ResponseError(answer) => return unreadable_with(answer.raw()),
        SdkError::TimeoutError(_) => ProviderError::timed_out(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ProviderError::timed_out(),
        _ => ProviderError::other(),
    };
    // No answer has come, so what is behind it is about time, connections or credentials.
    match error.into_source() {
        Ok(source) => failure.with_source(source),
        Err(_) => failure,
    }
}

/// Makes an error of what a service says about a read, or about one name of many.
pub(super) fn refused(meta: &ErrorMetadata) -> ProviderError {
    refused_as(kind(meta), meta)
}

/// Makes an error of this kind of what a service says.
pub(super) fn refused_as(kind: ProviderErrorKind, meta: &ErrorMetadata) -> ProviderError {
    ProviderError::new(kind).with_source(Refusal::new(meta))
}

/// Makes an error of an answer that says something else than what was asked for.
#[cfg(any(
    feature = "parameters-appconfig",
    feature = "parameters-secrets-manager",
    feature = "parameters-ssm"
))]
pub(super) fn unreadable() -> ProviderError {
    ProviderError::other().with_source(Unreadable { status: 200 })
}

fn unreadable_with(answer: &HttpResponse) -> ProviderError {
    let status = answer.status().as_u16();
    ProviderError::other().with_source(Unreadable { status })
}

/// The kinds by what is in an error's code. The first that fits holds; where none does, it is
/// [`Other`](ProviderErrorKind::Other), as with a session that has expired: the client gets another.
///
/// Sources: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html#API_PutParameter_Errors>,
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html#API_GetSecretValue_Errors>,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const KINDS: [(&str, ProviderErrorKind); 25] = [
    ("NotFound", ProviderErrorKind::NotFound),
    ("Throttl", ProviderErrorKind::Throttled),
    ("TooMany", ProviderErrorKind::Throttled),
    ("RequestLimitExceeded", ProviderErrorKind::Throttled),
    ("ThroughputExceeded", ProviderErrorKind::Throttled),
    ("SlowDown", ProviderErrorKind::Throttled),
    ("AccessDenied", ProviderErrorKind::AccessDenied),
    ("NotAuthorized", ProviderErrorKind::AccessDenied),
    ("UnrecognizedClient", ProviderErrorKind::AccessDenied),
    ("InvalidClientTokenId", ProviderErrorKind::AccessDenied),
    ("OptInRequired", ProviderErrorKind::AccessDenied),
    // A key that is disabled or denied takes back what it has encrypted.
    ("DecryptionFailure", ProviderErrorKind::AccessDenied),
    ("EncryptionFailure", ProviderErrorKind::AccessDenied),
    ("InvalidKeyId", ProviderErrorKind::AccessDenied),
    ("Signature", ProviderErrorKind::Other),
    ("AlreadyExists", ProviderErrorKind::InvalidRequest),
    ("ResourceExists", ProviderErrorKind::InvalidRequest),
    ("BadRequest", ProviderErrorKind::InvalidRequest),
    ("Hierarchy", ProviderErrorKind::InvalidRequest),
    ("Invalid", ProviderErrorKind::InvalidRequest),
    ("MaxVersionLimit", ProviderErrorKind::InvalidRequest),
    ("Pattern", ProviderErrorKind::InvalidRequest),
    ("Polic", ProviderErrorKind::InvalidRequest),
    ("Unsupported", ProviderErrorKind::InvalidRequest),
    ("Validation", ProviderErrorKind::InvalidRequest),
];

fn kind(meta: &ErrorMetadata) -> ProviderErrorKind {
    let code = meta.code().unwrap_or_default();
    let fits = KINDS.iter().find(|(part, _)| code.contains(part));
    fits.map_or(ProviderErrorKind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_the_kind() {
        for (code, expected) in [
            ("ParameterNotFound", ProviderErrorKind::NotFound),
            ("ParameterVersionNotFound", ProviderErrorKind::NotFound),
            ("ResourceNotFoundException", ProviderErrorKind::NotFound),
            ("AccessDeniedException", ProviderErrorKind::AccessDenied),
            (
                "UnrecognizedClientException",
                ProviderErrorKind::AccessDenied,
            ),
            ("InvalidKeyId", ProviderErrorKind::AccessDenied),
            ("DecryptionFailure", ProviderErrorKind::AccessDenied),
            ("ThrottlingException", ProviderErrorKind::Throttled),
            ("TooManyUpdates", ProviderErrorKind::Throttled),
            (
                "ProvisionedThroughputExceededException",
                ProviderErrorKind::Throttled,
            ),
            ("ValidationException", ProviderErrorKind::InvalidRequest),
            (
                "InvalidParameterException",
                ProviderErrorKind::InvalidRequest,
            ),
            (
                "HierarchyTypeMismatchException",
                ProviderErrorKind::InvalidRequest,
            ),
            ("ExpiredTokenException", ProviderErrorKind::Other),
            ("InvalidSignatureException", ProviderErrorKind::Other),
            ("InternalServerError", ProviderErrorKind::Other),
            ("LimitExceededException", ProviderErrorKind::Other),
            ("", ProviderErrorKind::Other),
        ] {
            let meta = ErrorMetadata::builder().code(code).build();
            assert_eq!(kind(&meta), expected, "{code}");
        }
    }

    #[test]
    fn a_refusal_is_shown_with_what_a_support_case_needs() {
        let meta = ErrorMetadata::builder()
            .code("AccessDeniedException")
            .message("no policy allows ssm:GetParameter")
            .custom(REQUEST_ID, "4f8e1c2a")
            .build();
        assert_eq!(
            Refusal::new(&meta).to_string(),
            "AccessDeniedException: no policy allows ssm:GetParameter (request id 4f8e1c2a)"
        );
        let nothing = Refusal::new(&ErrorMetadata::builder().build());
        assert_eq!(nothing.to_string(), "an error without a code");
    }
}
