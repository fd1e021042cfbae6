use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue,
        MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
        SendMessageBatchRequestEntry,
    },
};
use futures_util::{StreamExt as _, future::join, stream};
use serde_json::value::RawValue;
use tracing::warn;

use super::{Disposition, FailedRecord, FailureSink, Settlement, SqsMessage};

/// The most entries of one request.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const ENTRIES: usize = 10;

/// The largest message, and the largest request of several, in bytes.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const SIZE: usize = 1024 * 1024;

/// The most attributes of a message.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const ATTRIBUTES: usize = 10;

/// The longest that a message can be invisible, counted from when it was received.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
const INVISIBLE: Duration = Duration::from_hours(12);

/// The longest that a message may have been with Lambda by now: the longest batching window and the
/// longest timeout. An event does not say when its messages were received this time.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const ELAPSED: Duration = Duration::from_secs(300 + 900);

/// How much of a reason is kept, in bytes.
const REASON: usize = 1024;

/// How many requests are on their way at once.
const REQUESTS: usize = 8;

/// What a dead-letter queue is told of a message, by attributes.
const REASON_ATTRIBUTE: &str = "DeadLetterReason";
const QUEUE_ATTRIBUTE: &str = "DeadLetterSourceArn";
const ID_ATTRIBUTE: &str = "DeadLetterMessageId";

/// Does with messages of SQS what was decided: delays those that are to be tried again later, and sends
/// those that are given up to a dead-letter queue.
///
/// # Messages to be tried later
///
/// [`Disposition::RetryAfter`] changes the message's visibility timeout, and the message is reported as
/// failed, so that Lambda leaves it in the queue until then. The time is rounded up to seconds; more than
/// 11 hours and 40 minutes become that, as SQS counts its limit of 12 hours from when the message was
/// received, which was up to 20 minutes ago. In a FIFO queue the rest of the message's group waits as
/// long.
///
/// Where that fails it is a warning: the message comes again after the queue's own visibility timeout.
/// The function needs the right `sqs:ChangeMessageVisibility`.
///
/// # Messages that are given up
///
/// [`Disposition::GiveUp`] sends the message to the queue of
/// [`dead_letter_queue`](Self::dead_letter_queue), and only once SQS has taken it does it count as
/// handled, so that Lambda deletes it. Without that queue, or where SQS does not take it, the message is
/// reported as failed, as any other that fails. It may arrive twice, should the function end before it
/// has answered Lambda.
///
/// The body, the attributes, the group and the trace header are as they were. Added are, as far as the ten
/// attributes and the 1 MiB of a message have room for them:
///
/// | attribute | holds |
/// |---|---|
/// | `DeadLetterReason` | the reason, of which 1 KiB is kept |
/// | `DeadLetterSourceArn` | the ARN of the queue that the message comes from |
/// | `DeadLetterMessageId` | the id that the message had there |
///
/// To a FIFO queue, whose URL ends in `.fifo`, messages are sent in their order, with the group and the
/// deduplication id that they had; those of a standard queue have neither, and get their message id for
/// both. The function needs the right `sqs:SendMessage`.
///
/// # Examples
///
/// ```
/// use aws_sdk_sqs::Client;
/// use powertools::batch::SqsActions;
///
/// fn actions(client: Client) -> SqsActions {
///     SqsActions::new(client)
///         .dead_letter_queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders-failed")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SqsActions {
    client: Client,
    queue_url: Option<String>,
    dead_letter_queue: Option<String>,
}

impl SqsActions {
    /// Does it with this client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self {
            client,
            queue_url: None,
            dead_letter_queue: None,
        }
    }

    /// Sets the URL of the queue that the messages come from.
    ///
    /// Defaults to what follows from the ARN in each message: that saves a request, and a right, for what
    /// SQS would answer too. It is needed in partitions other than `aws`, `aws-cn` and `aws-us-gov`.
    #[must_use]
    pub fn queue_url(mut self, url: impl Into<String>) -> Self {
        self.queue_url = Some(url.into());
        self
    }

    /// Sets the URL of the queue that messages which are given up are sent to.
    ///
    /// Defaults to none: they are reported as failed.
    #[must_use]
    pub fn dead_letter_queue(mut self, url: impl Into<String>) -> Self {
        self.dead_letter_queue = Some(url.into());
        self
    }

    /// Has messages come again after the time that was decided.
    async fn postpone(&self, messages: Vec<Later>) {
        let mut by_queue = BTreeMap::<String, Vec<Later>>::new();
        for later in messages {
            let url = self.queue_url.clone();
            match url.or_else(|| queue_url(&later.message.queue_arn)) {
                Some(url) => by_queue.entry(url).or_default().push(later),
                None => warn!(
                    message_id = later.message.message_id,
                    "a message is not delayed, as its queue's URL is not known"
                ),
            }
        }
        let mut requests = Vec::new();
        for (url, messages) in &by_queue {
            let chunks = messages.chunks(ENTRIES);
            requests.extend(chunks.map(|messages| self.change_visibility(url, messages)));
        }
        let requests = stream::iter(requests).buffer_unordered(REQUESTS);
        requests.collect::<()>().await;
    }

    async fn change_visibility(&self, url: &str, messages: &[Later]) {
        let entries = messages.iter().enumerate().map(|(id, later)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(&later.message.receipt_handle)
                .visibility_timeout(seconds(later.delay))
                .build()
                .expect("an id and a receipt handle are given")
        });
        let request = self.client.change_message_visibility_batch();
        let answer = request
            .queue_url(url)
            .set_entries(Some(entries.collect()))
            .send()
            .await;
        let text = "a message is not delayed, and comes again when its queue says so";
        match answer {
            Ok(answer) => {
                for (later, code) in failed(&answer.failed, messages) {
                    warn!(message_id = later.message.message_id, code, "{text}");
                }
            }
            Err(error) => {
                let (code, count) = (code(&error), messages.len());
                warn!(code, count, "{text}");
            }
        }
    }

    /// Sends messages to the dead-letter queue, and returns which of them it has taken.
    async fn give_up(&self, messages: Vec<GivenUp<'_>>) -> Vec<usize> {
        if messages.is_empty() {
            return Vec::new();
        }
        let Some(url) = &self.dead_letter_queue else {
            warn!("messages are given up, but there is no queue to send them to");
            return Vec::new();
        };
        let is_fifo = url.ends_with(".fifo");
        let requests = requests(messages, is_fifo);
        let requests = requests.into_iter().map(|request| self.send(url, request));
        // One after the other where they are to stay in order.
        let at_once = if is_fifo { 1 } else { REQUESTS };
        let requests = stream::iter(requests.collect::<Vec<_>>());
        requests.buffer_unordered(at_once).concat().await
    }

    async fn send(&self, url: &str, entries: Vec<Entry>) -> Vec<usize> {
        let messages = entries.iter().map(|entry| entry.index).collect::<Vec<_>>();
        let entries = entries.into_iter().enumerate().map(|(id, entry)| {
            let message = entry.message.id(id.to_string());
            message.build().expect("an id and a body are given")
        });
        let request = self.client.send_message_batch();
        let answer = request
            .queue_url(url)
            .set_entries(Some(entries.collect()))
            .send()
            .await;
        let text = "messages that are given up stay, as the dead-letter queue does not take them";
        match answer {
            Ok(answer) => {
                for (_, code) in failed(&answer.failed, &messages) {
                    warn!(code, count = 1, "{text}");
                }
                let taken = answer.successful.iter();
                taken
                    .filter_map(|entry| entry_of(&entry.id, &messages).copied())
                    .collect()
            }
            Err(error) => {
                let (code, count) = (code(&error), messages.len());
                warn!(code, count, "{text}");
                Vec::new()
            }
        }
    }
}

impl FailureSink for SqsActions {
    async fn settle<'a>(&'a self, records: &'a [FailedRecord<'a>]) -> Vec<Settlement> {
        let (mut later, mut given_up) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            let raw = serde_json::from_str::<&RawValue>(record.raw()).ok();
            let Some((message, body)) = raw.and_then(|raw| SqsMessage::parse(raw).ok()) else {
                warn!("a record is left to its source, as it is no message of SQS");
                continue;
            };
            match record.disposition() {
                Disposition::Retry => {}
                Disposition::RetryAfter(delay) => later.push(Later {
                    message,
                    delay: *delay,
                }),
                Disposition::GiveUp { reason } => given_up.push(GivenUp {
                    index,
                    message,
                    body,
                    reason,
                }),
            }
        }
        let ((), taken) = join(self.postpone(later), self.give_up(given_up)).await;
        let mut settlements = vec![Settlement::Reported; records.len()];
        for index in taken {
            settlements[index] = Settlement::Taken;
        }
        settlements
    }
}

struct Later {
    message: SqsMessage,
    delay: Duration,
}

struct GivenUp<'a> {
    /// Which of the failed records it is.
    index: usize,
    message: SqsMessage,
    body: Cow<'a, str>,
    reason: &'a str,
}

/// A message as it is sent.
struct Entry {
    index: usize,
    message: aws_sdk_sqs::types::builders::SendMessageBatchRequestEntryBuilder,
    /// The size by which SQS counts, in bytes.
    size: usize,
}

impl GivenUp<'_> {
    fn into_entry(self, is_fifo: bool) -> Entry {
        let Self {
            index,
            message,
            body,
            reason,
        } = self;
        let (attributes, size) = attributes(&message, body.len(), reason);
        let id = &message.message_id;
        let mut entry = SendMessageBatchRequestEntry::builder()
            .message_body(body)
            .set_message_attributes(Some(attributes.into_iter().collect()));
        // A standard queue has groups too, but they are no order.
        entry = entry.set_message_group_id(match message.group_id {
            None if is_fifo => Some(id.clone()),
            group_id => group_id,
        });
        if is_fifo {
            entry = entry.message_deduplication_id(message.deduplication_id.as_ref().unwrap_or(id));
        }
        if let Some(header) = message.trace_header {
            let header = MessageSystemAttributeValue::builder()
                .data_type("String")
                .string_value(header)
                .build()
                .expect("a data type is given");
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            entry = entry.message_system_attributes(name, header);
        }
        Entry {
            index,
            message: entry,
            size,
        }
    }
}

/// Returns a message's attributes, with as many of ours as there is room for, and the size of all.
fn attributes(
    message: &SqsMessage,
    body: usize,
    reason: &str,
) -> (BTreeMap<String, MessageAttributeValue>, usize) {
    let mut attributes = BTreeMap::new();
    let mut size = body;
    for (name, attribute) in &message.attributes {
        let string = attribute.string_value.as_deref();
        let binary = attribute.binary_value.as_deref();
        let value = binary.or(string.map(str::as_bytes)).map_or(0, <[u8]>::len);
        size += name.len() + attribute.data_type.len() + value;
        let attribute = MessageAttributeValue::builder()
            .data_type(&attribute.data_type)
            .set_string_value(string.map(str::to_owned))
            .set_binary_value(binary.map(Blob::new))
            .build()
            .expect("a data type is given");
        attributes.insert(name.clone(), attribute);
    }
    let reason = reason_text(reason);
    let ours = [
        (REASON_ATTRIBUTE, reason.as_str()),
        (QUEUE_ATTRIBUTE, &message.queue_arn),
        (ID_ATTRIBUTE, &message.message_id),
    ];
    for (name, value) in ours {
        let earlier = attributes.remove(name);
        if let Some(earlier) = &earlier {
            // The message has been given up before.
            let value = earlier.string_value().unwrap_or_default();
            size -= name.len() + earlier.data_type().len() + value.len();
        }
        let added = name.len() + STRING.len() + value.len();
        if value.is_empty() || attributes.len() == ATTRIBUTES || size + added > SIZE {
            continue;
        }
        let value = MessageAttributeValue::builder()
            .data_type(STRING)
            .string_value(value)
            .build()
            .expect("a data type is given");
        attributes.insert(name.to_owned(), value);
        size += added;
    }
    (attributes, size)
}

const STRING: &str = "String";

/// Returns what SQS takes of a reason.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn reason_text(reason: &str) -> String {
    let is_taken = |char| match char {
        '\t' | '\n' | '\r' => true,
        char => char >= ' ' && !matches!(char, '\u{FFFE}' | '\u{FFFF}'),
    };
    let end = reason.floor_char_boundary(REASON);
    let chars = reason[..end].chars();
    chars
        .map(|char| if is_taken(char) { char } else { ' ' })
        .collect()
}

/// Makes requests of messages, in their order, with no more in each than SQS takes.
fn requests(messages: Vec<GivenUp<'_>>, is_fifo: bool) -> Vec<Vec<Entry>> {
    let mut requests = Vec::<Vec<Entry>>::new();
    let mut room = 0;
    for message in messages {
        let entry = message.into_entry(is_fifo);
        match requests.last_mut() {
            Some(request) if request.len() < ENTRIES && entry.size <= room => {
                room -= entry.size;
                request.push(entry);
            }
            _ => {
                room = SIZE.saturating_sub(entry.size);
                requests.push(vec![entry]);
            }
        }
    }
    requests
}

/// Returns the URL of the queue with this ARN.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>
fn queue_url(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(partition), Some("sqs"), Some(region), Some(account), Some(name)) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return None;
    };
    let domain = match partition {
        "aws" | "aws-us-gov" => "amazonaws.com",
        "aws-cn" => "amazonaws.com.cn",
        _ => return None,
    };
    Some(format!("https://sqs.{region}.{domain}/{account}/{name}"))
}

/// Returns a delay in seconds, as SQS takes it.
fn seconds(delay: Duration) -> i32 {
    let begun = u64::from(delay.subsec_nanos() > 0);
    let seconds = delay.as_secs().saturating_add(begun);
    let most = INVISIBLE.saturating_sub(ELAPSED).as_secs();
    i32::try_from(seconds.min(most)).unwrap_or(i32::MAX)
}

/// Returns what an entry of an answer is about: its id is the place in the request.
fn entry_of<'a, T>(id: &str, entries: &'a [T]) -> Option<&'a T> {
    entries.get(id.parse::<usize>().ok()?)
}

/// Returns what SQS has not done, and the codes that say why.
fn failed<'a, T>(
    errors: &'a [BatchResultErrorEntry],
    entries: &'a [T],
) -> impl Iterator<Item = (&'a T, &'a str)> {
    errors
        .iter()
        .filter_map(|error| Some((entry_of(&error.id, entries)?, error.code.as_str())))
}

/// Returns the code of an error. The whole of it may show what was sent.
fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    match error {
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "unreachable",
        error => error.code().unwrap_or("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_queues_url_follows_from_its_arn() {
        let urls = [
            (
                "arn:aws:sqs:eu-central-1:123456789012:orders.fifo",
                Some("https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo"),
            ),
            (
                "arn:aws-cn:sqs:cn-north-1:123456789012:orders",
                Some("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders"),
            ),
            (
                "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:orders",
                Some("https://sqs.us-gov-west-1.amazonaws.com/123456789012/orders"),
            ),
            ("arn:aws-iso:sqs:us-iso-east-1:123456789012:orders", None),
            (
                "arn:aws:kinesis:eu-central-1:123456789012:stream/orders",
                None,
            ),
            ("arn:aws:sqs:eu-central-1", None),
            ("", None),
        ];
        for (arn, url) in urls {
            assert_eq!(queue_url(arn).as_deref(), url, "{arn}");
        }
    }

    #[test]
    fn delays_are_whole_seconds_within_what_sqs_takes() {
        for (delay, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 1),
            (Duration::from_secs(60), 60),
            (Duration::from_millis(60_001), 61),
            (Duration::from_secs(42_000), 42_000),
            (Duration::from_secs(42_001), 42_000),
            (Duration::MAX, 42_000),
        ] {
            assert_eq!(seconds(delay), expected, "{delay:?}");
        }
    }

    #[test]
    fn a_reason_is_what_sqs_takes() {
        assert_eq!(reason_text("no\0such\u{FFFF}order\n"), "no such order\n");
        assert_eq!(reason_text(&"é".repeat(1000)).len(), REASON);
        assert_eq!(
            reason_text(&format!("a{}", "é".repeat(1000))).len(),
            REASON - 1
        );
    }

    fn given_up(index: usize, body: usize) -> GivenUp<'static> {
        GivenUp {
            index,
            message: SqsMessage::default(),
            body: "b".repeat(body).into(),
            reason: "",
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn requests_are_within_the_limits_and_in_order(
            sizes in proptest::collection::vec(prop_oneof![1..2000_usize, 1..=SIZE], 0..40),
        ) {
            let messages = sizes.iter().enumerate();
            let messages = messages.map(|(index, size)| given_up(index, *size)).collect();
            let requests = requests(messages, true);
            let order = requests.iter().flatten().map(|entry| entry.index);
            prop_assert!(order.eq(0..sizes.len()));
            for request in requests {
                prop_assert!((1..=ENTRIES).contains(&request.len()));
                prop_assert!(request.iter().map(|entry| entry.size).sum::<usize>() <= SIZE);
            }
        }
    }
}
