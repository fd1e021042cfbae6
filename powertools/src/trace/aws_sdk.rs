use std::{error::Error as StdError, iter};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
                Error, FinalizerInterceptorContextRef, InterceptorContext,
            },
            dyn_dispatch_hint,
        },
        orchestrator::{Metadata, OrchestratorError},
        retries::{
            RequestAttempts,
            classifiers::{ClassifyRetry, RetryAction, RetryReason},
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{
    config_bag::{ConfigBag, Layer, Storable, StoreReplace},
    error::ErrorMetadata,
    retry::ErrorKind,
    telemetry::{CapturedTelemetryAttributes, RequestedTelemetryAttributes},
};
use aws_types::{region::Region, request_id::RequestId};
use opentelemetry::KeyValue;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    TraceHeader,
    attributes::{
        HTTP_STATUS, OPERATION, QUEUE_URL, REGION, REQUEST_ID, RETRIES, RPC_SYSTEM, RPC_SYSTEM_AWS,
        TABLE_NAMES,
    },
    client::{ClientSpan, X_AMZN_TRACE_ID, is_recorded},
};
use crate::classify::Outcome;

/// What a document shows of a request: the member of it that names the resource.
struct Resource {
    service: &'static str,
    member: &'static str,
    attribute: &'static str,
}

const RESOURCES: [Resource; 2] = [
    Resource {
        service: "DynamoDB",
        member: "TableName",
        attribute: TABLE_NAMES,
    },
    Resource {
        service: "SQS",
        member: "QueueUrl",
        attribute: QUEUE_URL,
    },
];

/// The interceptor by which the SDK signs a request without sending it; that is no call.
/// Source: <https://github.com/awslabs/aws-sdk-rust/blob/main/sdk/s3/src/presigning_interceptors.rs>
const PRESIGNING: &str = "SigV4PresigningInterceptor";

/// Traces the calls of a client of the AWS SDK.
///
/// Every operation becomes a subsegment named after its service, with the namespace `aws`; and the
/// header `X-Amzn-Trace-Id` makes what the service does a part of it, such as the function that is
/// invoked by a message. One interceptor is set for each client.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use aws_sdk_sqs::{Client, config};
/// use lambda_runtime::{Error, LambdaEvent};
/// # use powertools::{Env, testing, trace::Tracer};
/// use powertools::trace::{AwsSdkInterceptor, TraceLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// # #[derive(Debug)] struct Nobody;
/// # impl aws_smithy_runtime_api::client::http::HttpConnector for Nobody {
/// #     fn call(&self, request: aws_smithy_runtime_api::client::orchestrator::HttpRequest) -> aws_smithy_runtime_api::client::http::HttpConnectorFuture {
/// #         assert!(request.headers().get("x-amzn-trace-id").is_some());
/// #         let body = r#"{"MessageId":"m1","MD5OfMessageBody":"5d41402abc4b2a76b9719d911017c592"}"#;
/// #         let response = aws_smithy_runtime_api::client::orchestrator::HttpResponse::new(200.try_into().unwrap(), body.into());
/// #         aws_smithy_runtime_api::client::http::HttpConnectorFuture::ready(Ok(response))
/// #     }
/// # }
/// # fn configuration() -> aws_config::SdkConfig {
/// #     use aws_smithy_runtime_api::client::{http::{http_client_fn, SharedHttpConnector}, identity::http};
/// #     aws_config::SdkConfig::builder()
/// #         .behavior_version(config::BehaviorVersion::latest())
/// #         .region(config::Region::new("eu-central-1"))
/// #         .credentials_provider(config::SharedCredentialsProvider::new(config::Credentials::new("id", "key", None, None, "test")))
/// #         .http_client(http_client_fn(|_, _| SharedHttpConnector::new(Nobody)))
/// #         .build()
/// # }
///
/// // As `aws_config::load_from_env().await` makes it.
/// let sdk_config = configuration();
/// let sqs = Client::from_conf(
///     config::Builder::from(&sdk_config)
///         .interceptor(AwsSdkInterceptor::new())
///         .build(),
/// );
/// let handler = service_fn(|_: LambdaEvent<()>| async {
///     let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
///     sqs.send_message().queue_url(url).message_body("hello").send().await?;
///     Ok::<_, Error>(())
/// });
/// let service = ServiceBuilder::new().layer(TraceLayer::new()).service(handler);
/// # let (traces, _guard) = testing::capture_traces(Tracer::from_env(&Env::default()));
/// # let event = LambdaEvent::new((), testing::sampled_context("52fdfc07"));
/// # service.oneshot(event).await?;
/// # let call = traces.named("SQS");
/// # assert_eq!(call.document()["aws"]["operation"], "SendMessage");
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
///
/// # The subsegment
///
/// This is the call above, after one attempt was refused because there were too many:
///
/// ```json
/// {"id":"2ad5b3a5f0f4d4a1","name":"SQS","start_time":1763881099.081,"end_time":1763881099.5,"in_progress":false,"http":{"response":{"status":200}},"aws":{"operation":"SendMessage","region":"eu-central-1","request_id":"b5293cb5-d306-4a17-9048-b263635abe42","retries":1,"queue_url":"https://sqs.eu-central-1.amazonaws.com/123456789012/orders"},"namespace":"aws"}
/// ```
///
/// | field | from |
/// |---|---|
/// | `name`, `operation` | the service and the operation, as their API names them |
/// | `region` | the client's configuration |
/// | `request_id`, `status` | the last response; missing if none came |
/// | `retries` | the attempts after the first. They are no subsegments of their own, and the subsegment's time is that of all, with the pauses between them |
/// | `table_name`, `queue_url` | the request, where it names one table of DynamoDB or one queue of SQS. Nothing else of it is shown |
/// | `error`, `throttle`, `fault` | the last error: the caller's, one that the SDK takes for throttling, or any other, as for a service that was not reached |
/// | `cause` | its code and its message, as the service has sent them; of an error of the SDK itself the messages of its sources |
///
/// It ends when the operation's future does; of a response that is streamed, as an object of S3, the
/// body comes later. A call whose future is dropped, as by a time-out around it, is a fault with the
/// exception `cancelled`; one that the SDK's own time-outs end has `TimeoutError`.
///
/// # The header
///
/// The header's `Parent` is the subsegment. Where none is made, because the trace is not sampled or no
/// tracer listens, it is [that of the running code](TraceHeader::current), so that what the service
/// starts is not sampled either. A header that another interceptor has set is left alone.
///
/// On Lambda the SDK sends the header of the environment's `_X_AMZN_TRACE_ID` by itself, unless there
/// is one already. This one comes first, so that the environment, which knows only one invocation at
/// a time, is asked outside of invocations only. The header is not a part of what is signed.
///
/// # The SDK's own spans
///
/// The SDK makes spans of its calls itself, at `DEBUG`. At the tracer's default level they are not
/// sent; with [`Tracer::level`](super::Tracer::level) at `DEBUG` each call would be there twice. A
/// filter leaves them out:
///
/// ```
/// use powertools::trace::Tracer;
/// use tracing::Level;
/// use tracing_subscriber::{filter::filter_fn, prelude::*};
///
/// let tracer = Tracer::new().level(Level::DEBUG).subscriber_layer();
/// let not_of_the_sdk = filter_fn(|it| !it.target().starts_with("aws_"));
/// let subscriber = tracing_subscriber::registry().with(tracer.with_filter(not_of_the_sdk));
/// # drop(subscriber);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct AwsSdkInterceptor(());

impl AwsSdkInterceptor {
    /// Makes an interceptor.
    pub const fn new() -> Self {
        Self(())
    }
}

#[dyn_dispatch_hint]
impl Intercept for AwsSdkInterceptor {
    fn name(&self) -> &'static str {
        "AwsSdkInterceptor"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_recorded() {
            request_members(cfg);
        }
        Ok(())
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A client may have two of these interceptors.
        if cfg.load::<Call>().is_none()
            && let Some(call) = Call::open(components, cfg)
        {
            cfg.interceptor_state().store_put(call);
        }
        Ok(())
    }

    /// Before the attempts: each starts with the request as it is here, and the interceptor that
    /// reads the environment runs in them.
    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        if headers.contains_key(X_AMZN_TRACE_ID) {
            return Ok(());
        }
        let header = match cfg.load::<Call>() {
            Some(Call(span)) => span.header(),
            None => TraceHeader::current(),
        };
        if let Some(header) = header {
            // What the header is made of is no more than a header takes.
            let _ = headers.try_insert(X_AMZN_TRACE_ID, header.to_string());
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = cfg.load::<Call>() {
            call.end(context, components, cfg);
        }
        Ok(())
    }
}

/// Asks the operation's own code, which alone knows the input's type, for what documents show of it.
///
/// What the application asks for is still asked for: it is in the client's configuration, and in an
/// operation's own, which comes later and counts alone.
fn request_members(cfg: &mut ConfigBag) {
    let requested = cfg.load::<RequestedTelemetryAttributes>();
    let mut requested = requested.cloned().unwrap_or_default();
    requested.capture_only(RESOURCES.map(|it| it.member));
    let mut layer = Layer::new("AwsSdkInterceptor");
    layer.store_put(requested);
    cfg.push_layer(layer);
}

/// A call that is under way. It goes when its operation's future does.
#[derive(Debug)]
struct Call(ClientSpan);

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

impl Call {
    fn open(components: &RuntimeComponents, cfg: &ConfigBag) -> Option<Self> {
        let metadata = cfg.load::<Metadata>()?;
        if !is_recorded() || components.interceptors().any(|it| it.name() == PRESIGNING) {
            return None;
        }
        let span = ClientSpan::open(metadata.service(), |span| {
            span.set_attribute(RPC_SYSTEM, RPC_SYSTEM_AWS);
            span.set_attribute(OPERATION, metadata.name().to_owned());
            if let Some(region) = cfg.load::<Region>() {
                span.set_attribute(REGION, region.to_string());
            }
            let captured = cfg.load::<CapturedTelemetryAttributes>();
            let resource = RESOURCES.iter().find(|it| it.service == metadata.service());
            if let Some(resource) = resource
                && let Some(value) = captured.and_then(|it| it.get(resource.member))
            {
                span.set_attribute(resource.attribute, value.to_owned());
            }
        });
        span.map(Self)
    }

    fn end(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        cfg: &ConfigBag,
    ) {
        let Self(span) = self;
        let attempts = cfg.load::<RequestAttempts>();
        let retries = attempts.map_or(0, |it| it.attempts().saturating_sub(1));
        if retries > 0 {
            let retries = KeyValue::new(RETRIES, i64::from(retries));
            span.otel().set_attribute(retries);
        }
        let status = context.response().map(|it| it.status().as_u16());
        if let Some(status) = status {
            let status = KeyValue::new(HTTP_STATUS, i64::from(status));
            span.otel().set_attribute(status);
        }
        if let Some(id) = context.response().and_then(RequestId::request_id) {
            let id = KeyValue::new(REQUEST_ID, id.to_owned());
            span.otel().set_attribute(id);
        }
        if let Some(Err(error)) = context.output_or_error() {
            match error.as_operation_error() {
                Some(error) => {
                    let ServiceError { code, message } = ServiceError::new(error);
                    span.add_cause(code, [message]);
                }
                None => {
                    let sources = iter::successors(error.source(), |&error| error.source());
                    span.add_cause(kind(error), sources.map(ToString::to_string));
                }
            }
            span.set_outcome(match status {
                _ if is_throttled(components, context.inner()) => Outcome::Throttle,
                Some(429) => Outcome::Throttle,
                Some(400..=499) => Outcome::Error,
                _ => Outcome::Fault,
            });
        }
        span.end();
    }
}

/// Returns whether the SDK takes the error for throttling: each service has codes of its own for it,
/// most with a status of 400.
fn is_throttled(components: &RuntimeComponents, context: &InterceptorContext) -> bool {
    components.retry_classifiers().any(|it| {
        let action = it.classify_retry(context);
        matches!(
            action,
            RetryAction::RetryIndicated(RetryReason::RetryableError {
                kind: ErrorKind::ThrottlingError,
                ..
            })
        )
    })
}

/// Returns what an error that is not the service's is called, with the SDK's words for it.
fn kind(error: &OrchestratorError<Error>) -> &'static str {
    if error.is_timeout_error() {
        "TimeoutError"
    } else if error.is_connector_error() {
        "DispatchFailure"
    } else if error.is_response_error() {
        "ResponseError"
    } else if error.is_interceptor_error() {
        "InterceptorError"
    } else {
        "SdkError"
    }
}

/// What a service has said is wrong.
#[derive(Debug)]
struct ServiceError {
    code: String,
    message: String,
}

impl ServiceError {
    /// Reads what is left of an error whose type is erased: its texts.
    fn new(error: &Error) -> Self {
        let outermost: &(dyn StdError + 'static) = error;
        let mut errors = iter::successors(Some(outermost), |&error| error.source());
        // An error that the operation's model does not have.
        let unmodelled = errors.find_map(|it| it.downcast_ref::<ErrorMetadata>());
        if let Some(metadata) = unmodelled {
            return Self::from_parts(metadata.code(), metadata.message());
        }
        let text = error.to_string();
        let (code, message) = match text.split_once(": ") {
            Some((name, message)) => (code(name), Some(message)),
            None => (code(&text), None),
        };
        Self::from_parts(code, code.map_or(Some(&text), |_| message))
    }

    fn from_parts(code: Option<&str>, message: Option<&str>) -> Self {
        let code = code.unwrap_or("ServiceError");
        Self {
            code: code.to_owned(),
            message: message.unwrap_or(code).to_owned(),
        }
    }
}

/// Returns the code that an error of the SDK is named after: its name, or the one that it has in the
/// service's API where that is another, as in `NotFound [NotFoundException]`.
fn code(name: &str) -> Option<&str> {
    let of_the_api = name
        .split_once(" [")
        .and_then(|(_, it)| it.strip_suffix(']'));
    let code = of_the_api.unwrap_or(name);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    (!code.is_empty() && code.bytes().all(is_allowed)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_taken_from_the_text_of_an_error_where_it_has_one() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Text(&'static str);

        for (text, code, message) in [
            ("NoSuchKey: no such key: a", "NoSuchKey", "no such key: a"),
            ("NoSuchKey", "NoSuchKey", "NoSuchKey"),
            (
                "NotFound [NotFoundException]: no",
                "NotFoundException",
                "no",
            ),
            (
                "NotFound [NotFoundException]",
                "NotFoundException",
                "NotFoundException",
            ),
            (
                "unhandled error (NoSuchKey)",
                "ServiceError",
                "unhandled error (NoSuchKey)",
            ),
            ("a text: of words", "ServiceError", "a text: of words"),
            ("", "ServiceError", ""),
        ] {
            let error = ServiceError::new(&Error::erase(Text(text)));
            assert_eq!((&*error.code, &*error.message), (code, message));
        }
    }

    #[test]
    fn an_error_that_is_not_modelled_has_its_code_in_its_metadata() {
        #[derive(Debug, thiserror::Error)]
        #[error("unhandled error")]
        struct Unhandled(#[source] ErrorMetadata);

        let metadata = ErrorMetadata::builder()
            .code("AccessDenied")
            .message("no")
            .build();
        let error = ServiceError::new(&Error::erase(Unhandled(metadata)));
        assert_eq!((&*error.code, &*error.message), ("AccessDenied", "no"));
    }
}
