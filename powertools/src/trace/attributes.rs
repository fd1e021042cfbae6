//! The attributes of a span that its document has a place of its own for.
//!
//! Every part of this module speaks to the exporter by them: they are fields of a `tracing` span,
//! or are set on its OpenTelemetry span. Where OpenTelemetry has a name for a thing it is taken, so
//! that spans of any library come out well, and so do those that leave as OTLP.
//! Source: <https://opentelemetry.io/docs/specs/semconv/registry/attributes/>
//!
//! | attribute | becomes, of the document |
//! |---|---|
//! | [`ERROR`], [`THROTTLE`], [`FAULT`] | `error`, `throttle` (and `error`), `fault`; one of them, also as `false`, decides alone: neither the status nor an exception makes a fault then |
//! | [`NAMESPACE`] | `namespace`: `aws`, `remote` or `local`; unset, `aws` for a span with `rpc.system = "aws-api"`, `remote` for one of kind `client`, otherwise `local` |
//! | [`HTTP_METHOD`], [`URL`], [`USER_AGENT`], [`CLIENT_ADDRESS`] | `http.request`: `method`, `url`, `user_agent`, `client_ip` |
//! | [`HTTP_STATUS`], [`HTTP_CONTENT_LENGTH`] | `http.response`: `status`, `content_length`; a status of 400 and more also makes `error`, `throttle` or `fault` where no flag is set |
//! | [`OPERATION`], [`REGION`], [`REQUEST_ID`], [`RETRIES`] | `aws`: `operation`, `region`, `request_id`, `retries`, of a span whose namespace is `aws` |
//! | [`TABLE_NAMES`], [`QUEUE_URL`] | `aws`: `table_name` (several: `table_names`), `queue_url`, likewise |
//! | [`SEGMENT`] | a segment around the span's subsegment, which has the span's links |
//! | [`FORWARDED`] | `http.request.x_forwarded_for`, beside a `client_ip` |
//! | `annotation.<key>` | `annotations` |
//! | `metadata.<key>` | `metadata`, under the service's name |
//! | [`JSON_METADATA`]`<key>` | the same; the attribute is a text that is JSON already |
//! | any other | `metadata`, under `default` |
//!
//! What begins with `powertools.` is private: it does not leave as OTLP.

/// The caller's mistake; a boolean.
pub(super) const ERROR: &str = "powertools.error";
/// The caller asked too often; a boolean.
pub(super) const THROTTLE: &str = "powertools.throttle";
/// The function's own failure; a boolean.
pub(super) const FAULT: &str = "powertools.fault";

/// Whom a subsegment shows: `aws` (a call of an AWS service), `remote` (of another one) or `local`.
pub(super) const NAMESPACE: &str = "powertools.namespace";

/// Whether the span is where this function takes over a trace that another one began, as the
/// consumer of a message does; a boolean.
///
/// Its document is a *segment*, named after the function, that holds the span's own subsegment:
/// a subsegment alone would pass for work of the producer, and X-Ray shows links of segments only.
/// Source: <https://github.com/open-telemetry/opentelemetry-collector-contrib/issues/25177>
pub(super) const SEGMENT: &str = "powertools.segment";

/// Whether [`CLIENT_ADDRESS`] is of the header `X-Forwarded-For`, which others may have written; a
/// boolean.
pub(super) const FORWARDED: &str = "powertools.x_forwarded_for";

/// What the name of an attribute begins with that becomes metadata and is JSON already; no field of
/// a span is named so by chance.
pub(super) const JSON_METADATA: &str = "powertools.metadata.";

/// What the name of every attribute begins with that does not leave as OTLP.
#[cfg(feature = "trace-otlp")]
pub(super) const PRIVATE: &str = "powertools.";

pub(super) const HTTP_METHOD: &str = "http.request.method";
pub(super) const URL: &str = "url.full";
pub(super) const USER_AGENT: &str = "user_agent.original";
pub(super) const CLIENT_ADDRESS: &str = "client.address";
/// A number from 100 to 599.
pub(super) const HTTP_STATUS: &str = "http.response.status_code";
/// A number of bytes.
pub(super) const HTTP_CONTENT_LENGTH: &str = "http.response.body.size";

/// What kind of call a span shows; only [`RPC_SYSTEM_AWS`] matters here.
pub(super) const RPC_SYSTEM: &str = "rpc.system";
/// The [`RPC_SYSTEM`] of calls of AWS services, also on the spans of the AWS SDK itself.
pub(super) const RPC_SYSTEM_AWS: &str = "aws-api";
/// The operation as the service's API names it, `GetItem`.
pub(super) const OPERATION: &str = "rpc.method";
pub(super) const REGION: &str = "cloud.region";
pub(super) const REQUEST_ID: &str = "aws.request_id";
/// How often the call was sent again; a number.
pub(super) const RETRIES: &str = "http.request.resend_count";
/// The tables of DynamoDB that are asked; a list of texts, or one text.
pub(super) const TABLE_NAMES: &str = "aws.dynamodb.table_names";
/// The queue of SQS.
pub(super) const QUEUE_URL: &str = "aws.sqs.queue.url";
