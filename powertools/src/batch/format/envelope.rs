//! Messages within messages: what SNS and EventBridge have put into a queue.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Data, DecodeError, DecodeErrorKind, Format, Json};

/// What SNS has sent to a queue: its notification, with the message in another format.
///
/// The payload is an [`SnsMessage`]. A subscription with raw message delivery has no notification
/// around the message, and needs no `Sns`.
///
/// ```json
/// {
///     "Type": "Notification",
///     "MessageId": "dc1e94d9-56c5-5e96-808d-cc7f68faa162",
///     "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
///     "Message": "{\"id\":\"a1\"}",
///     "Timestamp": "2026-11-25T08:00:00.000Z"
/// }
/// ```
///
/// Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use powertools::batch::{Data, Format, Sns, SnsMessage};
/// use serde_json::Value;
///
/// let body = r#"{
///     "Type": "Notification",
///     "MessageId": "dc1e94d9",
///     "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
///     "Message": "{\"id\":\"a1\"}"
/// }"#;
/// let order: SnsMessage<Value> = Sns::json().decode(Data::text(body)).await?;
/// assert_eq!(order.message_id, "dc1e94d9");
/// assert_eq!(order.payload["id"], "a1");
/// # Ok::<_, powertools::batch::DecodeError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Sns<F = Json>(pub F);

impl Sns {
    /// Makes a format of messages in JSON.
    #[must_use]
    pub const fn json() -> Self {
        Self(Json)
    }
}

/// A message that has come through a topic of SNS.
#[derive(Clone)]
#[non_exhaustive]
pub struct SnsMessage<T> {
    /// The message, decoded.
    pub payload: T,
    /// SNS's id of the message, the same in all subscriptions.
    pub message_id: String,
    /// The topic's ARN.
    pub topic_arn: String,
    /// The subject, where the publisher gave one.
    pub subject: Option<String>,
    /// When it was published, as ISO 8601.
    pub timestamp: Option<String>,
    /// The place in the topic, of a FIFO topic.
    pub sequence_number: Option<String>,
    /// The attributes that the publisher gave it, by name.
    pub attributes: BTreeMap<String, SnsAttribute>,
}

/// An attribute of a message of SNS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SnsAttribute {
    /// `String`, `String.Array`, `Number` or `Binary`.
    #[serde(rename = "Type")]
    pub data_type: String,
    /// The value as SNS writes it; binary ones are base64.
    #[serde(rename = "Value")]
    pub value: String,
}

impl<T> SnsMessage<T> {
    /// Makes a message, for the tests of a handler.
    #[must_use]
    pub fn new(payload: T, message_id: impl Into<String>, topic_arn: impl Into<String>) -> Self {
        Self {
            payload,
            message_id: message_id.into(),
            topic_arn: topic_arn.into(),
            subject: None,
            timestamp: None,
            sequence_number: None,
            attributes: BTreeMap::new(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for SnsMessage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnsMessage")
            .field("payload", &self.payload)
            .field("message_id", &self.message_id)
            .field("topic_arn", &self.topic_arn)
            .finish_non_exhaustive()
    }
}

const SNS: &str = "SNS notification";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    message_id: String,
    topic_arn: String,
    #[serde(borrow)]
    message: Cow<'a, str>,
    subject: Option<String>,
    timestamp: Option<String>,
    sequence_number: Option<String>,
    message_attributes: Option<BTreeMap<String, SnsAttribute>>,
}

impl<'a> Notification<'a> {
    fn read(data: &'a Data<'_>) -> Result<Self, DecodeError> {
        let this: Self = read(SNS, data)?;
        if this.r#type == "Notification" {
            Ok(this)
        } else {
            // A subscription to be confirmed, say.
            Err(DecodeError::new(SNS, DecodeErrorKind::Unsupported).at("Type", 0, 0))
        }
    }

    fn message(&self) -> Data<'_> {
        let mut attributes = self.message_attributes.iter().flatten();
        let is_pointer = attributes.any(|(name, _)| Data::is_pointer_attribute(name));
        Data::text(&*self.message).with_pointer(is_pointer)
    }
}

impl<T, F> Format<SnsMessage<T>> for Sns<F>
where
    T: Send + 'static,
    F: Format<T>,
{
    const AFTER_SUCCESS: bool = F::AFTER_SUCCESS;

    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<SnsMessage<T>, DecodeError> {
        let notification = Notification::read(&data)?;
        let payload = self.0.decode(notification.message()).await?;
        Ok(SnsMessage {
            payload,
            message_id: notification.message_id,
            topic_arn: notification.topic_arn,
            subject: notification.subject,
            timestamp: notification.timestamp,
            sequence_number: notification.sequence_number,
            attributes: notification.message_attributes.unwrap_or_default(),
        })
    }

    async fn after_success<'a>(&'a self, data: Data<'a>) {
        if let Ok(notification) = Notification::read(&data) {
            self.0.after_success(notification.message()).await;
        }
    }
}

/// An event that EventBridge has sent to a queue or a stream, its detail in another format.
///
/// The payload is an [`EventBridgeEvent`].
///
/// ```json
/// {
///     "version": "0",
///     "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
///     "detail-type": "order placed",
///     "source": "shop.orders",
///     "account": "123456789012",
///     "time": "2026-11-25T08:00:00Z",
///     "region": "eu-central-1",
///     "resources": [],
///     "detail": { "id": "a1" }
/// }
/// ```
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use powertools::batch::{Data, EventBridge, EventBridgeEvent, Format};
/// use serde_json::Value;
///
/// let body = r#"{
///     "id": "6a7e8feb",
///     "detail-type": "order placed",
///     "source": "shop.orders",
///     "detail": { "id": "a1" }
/// }"#;
/// let event: EventBridgeEvent<Value> = EventBridge::json().decode(Data::text(body)).await?;
/// assert_eq!(event.detail_type, "order placed");
/// assert_eq!(event.detail["id"], "a1");
/// # Ok::<_, powertools::batch::DecodeError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EventBridge<F = Json>(pub F);

impl EventBridge {
    /// Makes a format of details in JSON.
    #[must_use]
    pub const fn json() -> Self {
        Self(Json)
    }
}

/// An event of EventBridge.
#[derive(Clone)]
#[non_exhaustive]
pub struct EventBridgeEvent<T> {
    /// What has happened, decoded.
    pub detail: T,
    /// The event's id.
    pub id: String,
    /// Which kind of event it is.
    pub detail_type: String,
    /// Who says so.
    pub source: String,
    /// The account it comes from.
    pub account: Option<String>,
    /// The region it comes from.
    pub region: Option<String>,
    /// When it happened, as RFC 3339.
    pub time: Option<String>,
    /// The ARNs of the resources it is about.
    pub resources: Vec<String>,
}

impl<T> EventBridgeEvent<T> {
    /// Makes an event, for the tests of a handler.
    #[must_use]
    pub fn new(detail: T, source: impl Into<String>, detail_type: impl Into<String>) -> Self {
        Self {
            detail,
            id: String::new(),
            detail_type: detail_type.into(),
            source: source.into(),
            account: None,
            region: None,
            time: None,
            resources: Vec::new(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for EventBridgeEvent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBridgeEvent")
            .field("detail", &self.detail)
            .field("id", &self.id)
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .finish_non_exhaustive()
    }
}

const EVENT_BRIDGE: &str = "EventBridge event";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope<'a> {
    id: String,
    detail_type: String,
    source: String,
    account: Option<String>,
    region: Option<String>,
    time: Option<String>,
    resources: Option<Vec<String>>,
    #[serde(borrow)]
    detail: &'a RawValue,
}

impl Envelope<'_> {
    fn detail(&self) -> Data<'_> {
        Data::text(self.detail.get())
    }
}

impl<T, F> Format<EventBridgeEvent<T>> for EventBridge<F>
where
    T: Send + 'static,
    F: Format<T>,
{
    const AFTER_SUCCESS: bool = F::AFTER_SUCCESS;

    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<EventBridgeEvent<T>, DecodeError> {
        let envelope: Envelope<'_> = read(EVENT_BRIDGE, &data)?;
        let detail = self.0.decode(envelope.detail()).await?;
        Ok(EventBridgeEvent {
            detail,
            id: envelope.id,
            detail_type: envelope.detail_type,
            source: envelope.source,
            account: envelope.account,
            region: envelope.region,
            time: envelope.time,
            resources: envelope.resources.unwrap_or_default(),
        })
    }

    async fn after_success<'a>(&'a self, data: Data<'a>) {
        if let Ok(envelope) = read::<Envelope<'_>>(EVENT_BRIDGE, &data) {
            self.0.after_success(envelope.detail()).await;
        }
    }
}

/// Reads an envelope, and keeps of serde_json's error what does not quote the text.
fn read<'a, T: Deserialize<'a>>(
    format: &'static str,
    data: &'a Data<'_>,
) -> Result<T, DecodeError> {
    serde_json::from_str(data.as_str()?).map_err(|error| {
        let kind = if error.is_data() {
            DecodeErrorKind::Schema
        } else {
            DecodeErrorKind::Syntax
        };
        DecodeError::new(format, kind).at(".", error.line(), error.column())
    })
}
