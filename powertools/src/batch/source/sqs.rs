use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{Span, error_span};

use super::{
    AfterFailure, Keys, Order, Parsed, Source, Str, TARGET, first, from_millis, has_source, hash,
    internal, members, text_id,
};
use crate::batch::{Data, DecodeError, DecodeErrorKind, ItemIdentifier, event::BatchEvent};

/// What an event of SQS calls its source.
const EVENT_SOURCE: &str = "aws:sqs";

/// A standard queue of SQS: messages are in no order.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Sqs {}

/// A FIFO queue of SQS: the messages of a group are in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqsFifo {
    pub(in crate::batch) skip_group_on_error: bool,
}

/// What a message of SQS says of itself.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqsMessage {
    /// The id, which the answer names a failed message by.
    pub message_id: String,
    /// What the message is deleted or made visible by.
    pub receipt_handle: String,
    /// The queue's ARN.
    pub queue_arn: String,
    /// How often the message has been received, this time included; 0 if it is not known.
    pub receive_count: u32,
    /// When it was sent.
    pub sent: Option<SystemTime>,
    /// When it was first received.
    pub first_received: Option<SystemTime>,
    /// Who sent it.
    pub sender_id: Option<String>,
    /// The group within which messages are in order, of a FIFO queue.
    pub group_id: Option<String>,
    /// What duplicates are known by, of a FIFO queue.
    pub deduplication_id: Option<String>,
    /// The place in its group, of a FIFO queue.
    pub sequence_number: Option<String>,
    /// The queue whose dead-letter queue the message has come to.
    pub dead_letter_source_arn: Option<String>,
    /// X-Ray's trace header of its producer.
    pub trace_header: Option<String>,
    /// The attributes that its producer gave it, by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
}

/// An attribute that a message's producer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, maybe with a `.` and a name of the producer's own.
    pub data_type: String,
    /// The text of a `String` or a `Number`.
    pub string_value: Option<String>,
    /// The bytes of a `Binary`.
    pub binary_value: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    message_id: Option<Str<'a>>,
    #[serde(borrow)]
    receipt_handle: Option<Str<'a>>,
    #[serde(borrow)]
    body: Option<Str<'a>>,
    #[serde(borrow, default)]
    attributes: Attributes<'a>,
    #[serde(borrow)]
    message_attributes: Option<BTreeMap<Cow<'a, str>, Attribute<'a>>>,
    #[serde(borrow, rename = "eventSourceARN")]
    event_source_arn: Option<Str<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes<'a> {
    #[serde(borrow)]
    approximate_receive_count: Option<Str<'a>>,
    #[serde(borrow)]
    sent_timestamp: Option<Str<'a>>,
    #[serde(borrow)]
    approximate_first_receive_timestamp: Option<Str<'a>>,
    #[serde(borrow)]
    sender_id: Option<Str<'a>>,
    #[serde(borrow)]
    message_group_id: Option<Str<'a>>,
    #[serde(borrow)]
    message_deduplication_id: Option<Str<'a>>,
    #[serde(borrow)]
    sequence_number: Option<Str<'a>>,
    #[serde(borrow)]
    dead_letter_queue_source_arn: Option<Str<'a>>,
    #[serde(borrow, rename = "AWSTraceHeader")]
    trace_header: Option<Str<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute<'a> {
    #[serde(borrow)]
    data_type: Option<Str<'a>>,
    #[serde(borrow)]
    string_value: Option<Str<'a>>,
    #[serde(borrow)]
    binary_value: Option<Str<'a>>,
}

impl SqsMessage {
    /// Reads a message as it is in an event, and returns its body with it.
    ///
    /// # Errors
    ///
    /// Fails where it is no message of SQS.
    pub fn parse(raw: &RawValue) -> Result<(Self, Cow<'_, str>), DecodeError> {
        parse(raw)
    }
}

fn parse(raw: &RawValue) -> Result<(SqsMessage, Cow<'_, str>), DecodeError> {
    let envelope: Envelope<'_> = members(Sqs::NAME, raw)?;
    let Some(Str(body)) = envelope.body else {
        return Err(DecodeError::new(Sqs::NAME, DecodeErrorKind::Missing).at("body", 0, 0));
    };
    let attributes = envelope.attributes;
    let message = SqsMessage {
        message_id: Str::owned(envelope.message_id),
        receipt_handle: Str::owned(envelope.receipt_handle),
        queue_arn: Str::owned(envelope.event_source_arn),
        receive_count: number(attributes.approximate_receive_count).unwrap_or(0),
        sent: number(attributes.sent_timestamp).and_then(from_millis),
        first_received: number(attributes.approximate_first_receive_timestamp)
            .and_then(from_millis),
        sender_id: owned(attributes.sender_id),
        group_id: owned(attributes.message_group_id),
        deduplication_id: owned(attributes.message_deduplication_id),
        sequence_number: owned(attributes.sequence_number),
        dead_letter_source_arn: owned(attributes.dead_letter_queue_source_arn),
        trace_header: owned(attributes.trace_header),
        attributes: envelope
            .message_attributes
            .into_iter()
            .flatten()
            .map(|(name, attribute)| Ok((name.into_owned(), attribute.read()?)))
            .collect::<Result<_, DecodeError>>()?,
    };
    Ok((message, body))
}

fn owned(text: Option<Str<'_>>) -> Option<String> {
    text.map(|Str(text)| text.into_owned())
}

/// SQS writes numbers as text.
fn number<N: std::str::FromStr>(text: Option<Str<'_>>) -> Option<N> {
    text?.0.parse().ok()
}

impl Attribute<'_> {
    fn read(self) -> Result<MessageAttribute, DecodeError> {
        let binary_value = self.binary_value.map(|Str(text)| {
            BASE64_STANDARD.decode(&*text).map_err(|_| {
                DecodeError::new(Sqs::NAME, DecodeErrorKind::Base64).at("messageAttributes", 0, 0)
            })
        });
        Ok(MessageAttribute {
            data_type: Str::owned(self.data_type),
            string_value: owned(self.string_value),
            binary_value: binary_value.transpose()?,
        })
    }
}

fn span(message: &SqsMessage) -> Span {
    error_span!(target: TARGET, "record", message_id = message.message_id)
}

macro_rules! impl_source {
    ($source:ty, $name:literal) => {
        impl Source for $source {
            type Record = SqsMessage;
        }

        impl internal::Source for $source {
            type Body<'a> = Data<'a>;
            type Part = std::convert::Infallible;

            const NAME: &'static str = $name;

            fn is_source_of(event: &BatchEvent) -> bool {
                has_source(event, EVENT_SOURCE)
            }

            fn order(&self) -> Order {
                self.own_order()
            }

            fn parse<'a>(raw: &'a RawValue) -> Result<Parsed<'a, Self>, DecodeError> {
                let (record, body) = parse(raw)?;
                let mut attributes = record.attributes.keys();
                let is_pointer = attributes.any(|name| Data::is_pointer_attribute(name));
                let body = Data::text(body).with_pointer(is_pointer);
                Ok(Parsed { record, body })
            }

            fn identify(raw: &RawValue) -> Option<ItemIdentifier> {
                text_id(raw, &["messageId"])
            }

            fn keys(&self, raw: &RawValue) -> Keys {
                let group: Option<Str<'_>> = first(raw, &["attributes", "MessageGroupId"]);
                Keys {
                    group: hash(group.as_ref().map(|Str(id)| &**id)),
                    shard: 0,
                }
            }

            fn parse_part<'a>(part: Self::Part) -> Parsed<'a, Self> {
                match part {}
            }

            fn span(record: &SqsMessage) -> Span {
                span(record)
            }

            fn trace_header(record: &SqsMessage) -> Option<&str> {
                record.trace_header.as_deref()
            }
        }
    };
}

impl_source!(Sqs, "SQS");
impl_source!(SqsFifo, "SQS FIFO");

impl Sqs {
    const NAME: &'static str = <Self as internal::Source>::NAME;

    const fn own_order(self) -> Order {
        Order::Any
    }
}

impl SqsFifo {
    const fn own_order(self) -> Order {
        Order::Groups(if self.skip_group_on_error {
            AfterFailure::SkipKey
        } else {
            AfterFailure::Stop
        })
    }
}
