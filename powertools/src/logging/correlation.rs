use std::borrow::Cow;

use lambda_runtime::LambdaEvent;
use serde_json::value::RawValue;

#[cfg(feature = "jmespath")]
use crate::jmespath::{Expression, JmespathError};
use crate::raw;

/// Finds the correlation id in a request.
///
/// Implemented for closures `Fn(&Request) -> Option<String>`, for [`CorrelationPath`] over events
/// that have not been decoded yet, with feature `http` for `CorrelationHeader`, and for `()`, which
/// finds none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no correlation id in `{Request}`",
    note = "a `CorrelationPath` needs the event's JSON text: put a `DecodeLayer::<T>::new()` inside of \
            the logging layer, and give the stack `LambdaEvent<Box<RawValue>>`",
    note = "a closure takes a reference to the request: `|request: &LambdaEvent<T>| …`"
)]
pub trait CorrelationId<Request> {
    /// Returns the request's correlation id.
    fn correlation_id(&self, request: &Request) -> Option<String>;
}

impl<Request> CorrelationId<Request> for () {
    fn correlation_id(&self, _: &Request) -> Option<String> {
        None
    }
}

impl<F, Request> CorrelationId<Request> for F
where
    F: Fn(&Request) -> Option<String>,
{
    fn correlation_id(&self, request: &Request) -> Option<String> {
        self(request)
    }
}

/// The header of an HTTP request that holds the correlation id.
///
/// A header that is missing, or is no visible ASCII, gives none.
///
/// ```
/// use http::HeaderName;
/// use powertools::logging::{CorrelationHeader, LoggingLayer};
///
/// let name = HeaderName::from_static("x-correlation-id");
/// let layer = LoggingLayer::new().correlation_id(CorrelationHeader::new(name));
/// ```
///
/// A header is what the client writes; behind API Gateway,
/// `RequestExt::request_context` has the id that the gateway gave the request.
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
pub struct CorrelationHeader {
    name: http::HeaderName,
}

#[cfg(feature = "http")]
impl CorrelationHeader {
    /// Makes a finder of this header.
    #[must_use]
    pub const fn new(name: http::HeaderName) -> Self {
        Self { name }
    }
}

#[cfg(feature = "http")]
impl<B> CorrelationId<http::Request<B>> for CorrelationHeader {
    fn correlation_id(&self, request: &http::Request<B>) -> Option<String> {
        let value = request.headers().get(&self.name)?;
        value.to_str().ok().map(str::to_owned)
    }
}

/// Where a correlation id stands in the JSON text of an event.
///
/// The constants are the paths of the other Powertools toolkits; looking one up skips the rest of
/// the event. The text reaches the logging layer through a [`DecodeLayer`] inside of it:
///
/// ```
/// # #[cfg(all(feature = "decode", feature = "testing"))]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::{decode::DecodeLayer, logging::{self, CorrelationPath, LoggingLayer}, testing};
/// use serde::Deserialize;
/// use serde_json::value::RawValue;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// #[derive(Deserialize)]
/// struct Scheduled { source: String }
///
/// async fn handler(event: LambdaEvent<Scheduled>) -> Result<(), Error> {
///     assert_eq!(event.payload.source, "shop");
///     assert_eq!(logging::correlation_id().as_deref(), Some("6a7e8feb"));
///     Ok(())
/// }
///
/// let service = ServiceBuilder::new()
///     .layer(LoggingLayer::new().correlation_id(CorrelationPath::EVENT_BRIDGE))
///     .layer(DecodeLayer::<Scheduled>::new())
///     .service_fn(handler);
///
/// let event = RawValue::from_string(r#"{"id": "6a7e8feb", "source": "shop"}"#.to_owned())?;
/// service.oneshot(LambdaEvent::new(event, testing::context("52fdfc07"))).await.unwrap();
/// # Ok::<_, serde_json::Error>(())
/// # }).unwrap();
/// ```
///
/// An id that is not a string is logged as its JSON text; nothing or `null` is none.
///
/// [`DecodeLayer`]: crate::decode::DecodeLayer
#[derive(Clone, Debug)]
pub struct CorrelationPath {
    path: Path,
}

#[derive(Clone, Debug)]
enum Path {
    /// Names from member to member, for which the event need not be read as a whole.
    Members(&'static [&'static str]),
    #[cfg(feature = "jmespath")]
    Expression(Expression),
}

impl CorrelationPath {
    /// `requestContext.requestId` of an API Gateway REST API.
    pub const API_GATEWAY_REST: Self = Self::members(&["requestContext", "requestId"]);
    /// `requestContext.requestId` of an API Gateway HTTP API.
    pub const API_GATEWAY_HTTP: Self = Self::API_GATEWAY_REST;
    /// `requestContext.requestId` of an AppSync Lambda authorizer.
    pub const APPSYNC_AUTHORIZER: Self = Self::API_GATEWAY_REST;
    /// `request.headers."x-amzn-trace-id"` of an AppSync resolver.
    pub const APPSYNC_RESOLVER: Self = Self::members(&["request", "headers", "x-amzn-trace-id"]);
    /// `headers."x-amzn-trace-id"` of an Application Load Balancer.
    pub const APPLICATION_LOAD_BALANCER: Self = Self::members(&["headers", "x-amzn-trace-id"]);
    /// `id` of an EventBridge event.
    pub const EVENT_BRIDGE: Self = Self::members(&["id"]);
    /// `requestContext.requestId` of a Lambda function URL.
    pub const LAMBDA_FUNCTION_URL: Self = Self::API_GATEWAY_REST;
    /// `xAmzRequestId` of S3 Object Lambda.
    pub const S3_OBJECT_LAMBDA: Self = Self::members(&["xAmzRequestId"]);
    /// `headers."x-amzn-trace-id"` of VPC Lattice.
    pub const VPC_LATTICE: Self = Self::APPLICATION_LOAD_BALANCER;

    const fn members(names: &'static [&'static str]) -> Self {
        Self {
            path: Path::Members(names),
        }
    }

    /// Looks an id up by JMESPath.
    ///
    /// A search that fails, because `powertools_json` met something else for instance, finds none
    /// and is a warning.
    ///
    /// # Errors
    ///
    /// Returns an error if the expression cannot be [compiled](Expression::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use powertools::logging::{CorrelationPath, LoggingLayer};
    ///
    /// let path = CorrelationPath::jmespath(r#"headers."x-request-id" || requestContext.requestId"#)?;
    /// let layer = LoggingLayer::new().correlation_id(path);
    /// # Ok::<_, powertools::jmespath::JmespathError>(())
    /// ```
    #[cfg(feature = "jmespath")]
    pub fn jmespath(expression: &str) -> Result<Self, JmespathError> {
        Ok(Self {
            path: Path::Expression(Expression::new(expression)?),
        })
    }

    /// Returns what is at the path, of any type, as JSON; `None` for nothing or `null`.
    #[must_use]
    pub fn find<'a>(&self, event: &'a RawValue) -> Option<Cow<'a, RawValue>> {
        let found = match &self.path {
            Path::Members(names) => Cow::Borrowed(raw::find(event, names).ok().flatten()?),
            #[cfg(feature = "jmespath")]
            Path::Expression(expression) => match expression.search(event) {
                Ok(found) => Cow::Owned(RawValue::from_string(found.to_json()).ok()?),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &(dyn std::error::Error + 'static),
                        "no correlation id"
                    );
                    return None;
                }
            },
        };
        (found.get() != "null").then_some(found)
    }
}

impl CorrelationId<LambdaEvent<Box<RawValue>>> for CorrelationPath {
    fn correlation_id(&self, request: &LambdaEvent<Box<RawValue>>) -> Option<String> {
        let found = self.find(&request.payload)?;
        let json = found.get();
        if json.starts_with('"') {
            serde_json::from_str(json).ok()
        } else {
            Some(json.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> LambdaEvent<Box<RawValue>> {
        let json = RawValue::from_string(json.to_owned()).unwrap();
        LambdaEvent::new(json, lambda_runtime::Context::default())
    }

    fn id(path: &CorrelationPath, json: &str) -> Option<String> {
        path.correlation_id(&event(json))
    }

    #[test]
    fn an_event_of_another_kind_has_no_id() {
        for json in [
            "{}",
            "[]",
            "null",
            "7",
            r#"{"id": null}"#,
            r#"{"detail": {"id": "a"}}"#,
        ] {
            assert_eq!(id(&CorrelationPath::EVENT_BRIDGE, json), None, "{json}");
        }
        let elsewhere = r#"{"requestContext": "a", "headers": {"X-Amzn-Trace-Id": "b"}}"#;
        assert_eq!(id(&CorrelationPath::API_GATEWAY_REST, elsewhere), None);
        assert_eq!(id(&CorrelationPath::VPC_LATTICE, elsewhere), None);
    }

    #[test]
    fn half_of_a_surrogate_pair_is_no_id() {
        assert_eq!(
            id(&CorrelationPath::EVENT_BRIDGE, r#"{"id": "\ud800"}"#),
            None
        );
    }

    #[test]
    fn an_id_is_a_string_or_its_json_text() {
        for (json, expected) in [
            (r#"{"id": "a\"\u00e9"}"#, "a\"é"),
            (r#"{"id": ""}"#, ""),
            (r#"{"id": 9007199254740993}"#, "9007199254740993"),
            (r#"{"id": false}"#, "false"),
            (r#"{"id": [1.50, {"b": 2}]}"#, r#"[1.50, {"b": 2}]"#),
        ] {
            assert_eq!(
                id(&CorrelationPath::EVENT_BRIDGE, json).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn the_path_of_each_kind_of_event_is_known() {
        let rest = r#"{"requestContext": {"requestId": "r"}}"#;
        let trace = r#"{"headers": {"x-amzn-trace-id": "r"}}"#;
        let resolver = r#"{"request": {"headers": {"x-amzn-trace-id": "r"}}}"#;
        for (path, json) in [
            (CorrelationPath::API_GATEWAY_REST, rest),
            (CorrelationPath::API_GATEWAY_HTTP, rest),
            (CorrelationPath::APPSYNC_AUTHORIZER, rest),
            (CorrelationPath::LAMBDA_FUNCTION_URL, rest),
            (CorrelationPath::APPSYNC_RESOLVER, resolver),
            (CorrelationPath::APPLICATION_LOAD_BALANCER, trace),
            (CorrelationPath::VPC_LATTICE, trace),
            (CorrelationPath::EVENT_BRIDGE, r#"{"id": "r"}"#),
            (
                CorrelationPath::S3_OBJECT_LAMBDA,
                r#"{"xAmzRequestId": "r"}"#,
            ),
        ] {
            assert_eq!(id(&path, json).as_deref(), Some("r"), "{path:?}");
        }
    }

    #[cfg(feature = "jmespath")]
    #[test]
    fn an_id_is_found_by_jmespath() {
        let path = CorrelationPath::jmespath("missing || powertools_json(body).id").unwrap();
        assert_eq!(
            id(&path, r#"{"body": "{\"id\": \"a1\"}"}"#).as_deref(),
            Some("a1")
        );
        assert_eq!(id(&path, r#"{"body": "no JSON"}"#), None);
        assert!(CorrelationPath::jmespath("a..b").is_err());
    }
}
