//! Functions under `BatchLayer`, mapped to queues and streams: what the event source mappings make of
//! their answers.
//!
//! Of queues they are the emulator's own, of streams [`local_cloud::mapping`].

use std::{collections::HashMap, path::Path, time::Duration};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_kinesis::{primitives::Blob, types::PutRecordsRequestEntry};
use aws_sdk_lambda::types::FunctionResponseType;
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use backend_tests::{emulator, eventually};
use local_cloud::{
    Clients, Emulator,
    mapping::{Mapping, StartingPosition, Status},
    stack::{ACCOUNT, REGION},
};
use serde_json::{Value, json};

const FUNCTION: &str = env!("CARGO_BIN_EXE_batch-function");

/// How long a message stays invisible after it was received: longer than any invocation takes, and
/// not longer than a test may wait.
const VISIBILITY: Duration = Duration::from_secs(3);

/// A function that handles tasks and keeps a journal of them, and what it is tested with. All names
/// are its own.
struct Tested {
    name: &'static str,
    emulator: &'static Emulator,
    clients: Clients,
}

impl Tested {
    async fn new(name: &'static str) -> Self {
        let emulator = emulator().await;
        let clients = emulator.clients();
        let tested = Self {
            name,
            emulator,
            clients,
        };
        tested.create_table(&tested.journal(), "group", None).await;
        tested
    }

    fn journal(&self) -> String {
        format!("{}-journal", self.name)
    }

    /// Deploys the function, and waits until it runs: a cold start takes time from its first batch.
    async fn deploy(&self, source: &str, environment: &[(&str, &str)]) {
        let journal = self.journal();
        let mut variables = vec![("SOURCE", source), ("JOURNAL_TABLE", &journal)];
        variables.extend(environment);
        let deployed = self
            .emulator
            .deploy(self.name, Path::new(FUNCTION), &variables);
        deployed.await.unwrap();
        let lambda = &self.clients.lambda;
        let empty = Blob::new(r#"{"Records":[]}"#);
        let request = lambda.invoke().function_name(self.name).payload(empty);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.function_error, None, "{answer:?}");
    }

    /// Has the emulator give the messages of a queue to the function.
    async fn map(&self, queue: &Queue) {
        let lambda = &self.clients.lambda;
        lambda
            .create_event_source_mapping()
            .event_source_arn(&queue.arn)
            .function_name(self.name)
            .batch_size(10)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .send()
            .await
            .unwrap();
    }

    /// Makes a queue. Messages that failed twice go to another, if there is one.
    async fn create_queue(&self, suffix: &str, dead_letters: Option<&Queue>) -> Queue {
        let mut attributes = HashMap::from([(
            QueueAttributeName::VisibilityTimeout,
            VISIBILITY.as_secs().to_string(),
        )]);
        if let Some(Queue { arn, .. }) = dead_letters {
            let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 2 });
            attributes.insert(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        if suffix.ends_with(".fifo") {
            attributes.insert(QueueAttributeName::FifoQueue, "true".to_owned());
        }
        let sqs = &self.clients.sqs;
        let name = format!("{}-{suffix}", self.name);
        let queue = sqs
            .create_queue()
            .queue_name(&name)
            .set_attributes(Some(attributes))
            .send()
            .await
            .unwrap();
        Queue {
            arn: format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            url: queue.queue_url.unwrap(),
            sqs: sqs.clone(),
        }
    }

    /// Makes a table with this text as its key, and returns its stream's ARN if it is to have one.
    async fn create_table(
        &self,
        name: &str,
        key: &str,
        stream: Option<StreamViewType>,
    ) -> Option<String> {
        let definition = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder()
            .attribute_name(key)
            .key_type(KeyType::Hash);
        let stream = stream.map(|view| {
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(view)
                .build()
                .unwrap()
        });
        let created = self
            .clients
            .dynamodb
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(definition.build().unwrap())
            .key_schema(element.build().unwrap())
            .set_stream_specification(stream)
            .send()
            .await
            .unwrap();
        created.table_description?.latest_stream_arn
    }

    /// Gives the function the records of a stream, from the first on, until all are done with.
    async fn run_mapping(&self, stream_arn: &str, retries: u32, dead_letters: &Queue) -> Status {
        let running = Mapping::new(stream_arn, self.name, StartingPosition::TrimHorizon)
            .report_batch_item_failures(true)
            .bisect_on_error(true)
            .maximum_retry_attempts(retries)
            .on_failure(&dead_letters.arn)
            .start(&self.clients)
            .await
            .unwrap();
        let settled = tokio::time::timeout(Duration::from_secs(60), running.settled()).await;
        settled
            .unwrap_or_else(|_| panic!("not done: {:#?}", running.status()))
            .unwrap();
        running.stop().await
    }

    /// Reads a page of the journal: what was attempted, and what was handled.
    async fn page(&self, group: &str) -> (Vec<String>, Vec<String>) {
        let request = self.clients.dynamodb.get_item();
        let answer = request
            .table_name(self.journal())
            .key("group", AttributeValue::S(group.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        let item = answer.item.unwrap_or_default();
        let list = |name: &str| {
            let ids = item.get(name).and_then(|list| list.as_l().ok());
            let ids = ids.into_iter().flatten();
            ids.map(|id| id.as_s().unwrap().clone()).collect()
        };
        (list("attempted"), list("handled"))
    }
}

struct Queue {
    arn: String,
    url: String,
    sqs: aws_sdk_sqs::Client,
}

impl Queue {
    /// Sends messages, of a FIFO queue with the group that each names.
    async fn send(&self, messages: impl IntoIterator<Item = (&str, String)>) {
        let entries = messages.into_iter().zip(0..).map(|((group, body), id)| {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(format!("m{id}"))
                .message_body(body);
            let entry = if self.url.ends_with(".fifo") {
                entry
                    .message_group_id(group)
                    .message_deduplication_id(format!("d{id}"))
            } else {
                entry
            };
            entry.build().unwrap()
        });
        let request = self.sqs.send_message_batch().queue_url(&self.url);
        let answer = request.set_entries(Some(entries.collect())).send().await;
        assert_eq!(answer.unwrap().failed, []);
    }

    /// Waits until the queue has so many messages, and returns them.
    async fn messages(&self, count: usize) -> Vec<Message> {
        eventually(&format!("{count} messages in {}", self.arn), || async {
            (self.count(&[VISIBLE]).await >= count).then_some(())
        })
        .await;
        let request = self.sqs.receive_message().queue_url(&self.url);
        let answer = request
            .max_number_of_messages(10)
            .visibility_timeout(0)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap();
        let messages = answer.messages.unwrap_or_default();
        assert_eq!(messages.len(), count, "{messages:#?}");
        messages
    }

    /// Waits until the queue has none, not even invisible ones.
    async fn empty(&self) {
        eventually(&format!("the end of {}", self.arn), || async {
            (self.count(&[VISIBLE, INVISIBLE]).await == 0).then_some(())
        })
        .await;
    }

    async fn count(&self, kinds: &[QueueAttributeName]) -> usize {
        let request = self.sqs.get_queue_attributes().queue_url(&self.url);
        let request = request.set_attribute_names(Some(kinds.to_vec()));
        let attributes = request.send().await.unwrap().attributes.unwrap();
        kinds
            .iter()
            .map(|kind| attributes[kind].parse::<usize>().unwrap())
            .sum()
    }
}

const VISIBLE: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
const INVISIBLE: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;

const GARBAGE: &str = r#"{"group":"#;

fn task(group: &str, id: &str, act: &str) -> String {
    json!({ "group": group, "id": id, "act": act }).to_string()
}

#[track_caller]
fn assert_bodies<const N: usize>(messages: &[Message], mut expected: [&str; N]) {
    let mut bodies: Vec<_> = messages.iter().map(|it| it.body().unwrap()).collect();
    bodies.sort_unstable();
    expected.sort_unstable();
    assert_eq!(bodies, expected);
}

fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.message_attributes()?.get(name)?.string_value()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

fn count(ids: &[String], id: &str) -> usize {
    ids.iter().filter(|it| *it == id).count()
}

#[tokio::test]
async fn a_poisoned_message_comes_again_alone_and_ends_in_the_dead_letter_queue() {
    let tested = Tested::new("sqs").await;
    let dead_letters = tested.create_queue("dlq", None).await;
    let queue = tested.create_queue("tasks", Some(&dead_letters)).await;
    tested.deploy("sqs", &[]).await;
    let panics = task("g", "panics", "panic");
    let mut messages: Vec<_> = (0..6)
        .map(|number| ("g", task("g", &format!("good-{number}"), "succeed")))
        .collect();
    messages.insert(1, ("g", GARBAGE.to_owned()));
    messages.insert(3, ("g", panics.clone()));
    messages.insert(5, ("g", task("g", "second-time", "fail-once")));
    queue.send(messages).await;
    tested.map(&queue).await;

    let letters = dead_letters.messages(2).await;
    assert_bodies(&letters, [GARBAGE, &panics]);
    queue.empty().await;
    let (attempted, handled) = tested.page("g").await;
    let mut expected: Vec<_> = (0..6).map(|number| format!("good-{number}")).collect();
    expected.push("second-time".to_owned());
    assert_eq!(sorted(handled), expected);
    assert_eq!(count(&attempted, "good-0"), 1);
    assert_eq!(count(&attempted, "second-time"), 2);
    assert_eq!(count(&attempted, "panics"), 2);
}

#[tokio::test]
async fn the_messages_of_a_fifo_group_wait_for_the_one_that_failed() {
    let tested = Tested::new("fifo").await;
    let given_up = tested.create_queue("given-up.fifo", None).await;
    let dead_letters = tested.create_queue("dlq.fifo", None).await;
    let queue = tested.create_queue("tasks.fifo", Some(&dead_letters)).await;
    let environment = [("DEAD_LETTER_QUEUE_URL", given_up.url.as_str())];
    tested.deploy("sqs-fifo", &environment).await;
    let never = task("never", "n1", "fail");
    queue
        .send([
            ("waits", task("waits", "w1", "succeed")),
            ("waits", task("waits", "w2", "fail-once")),
            ("waits", task("waits", "w3", "succeed")),
            ("goes-on", task("goes-on", "g1", "succeed")),
            ("goes-on", task("goes-on", "g2", "succeed")),
            // What is given up keeps nobody waiting.
            ("rid", GARBAGE.to_owned()),
            ("rid", task("rid", "r2", "succeed")),
            ("never", never.clone()),
        ])
        .await;
    tested.map(&queue).await;

    assert_bodies(&dead_letters.messages(1).await, [&never]);
    queue.empty().await;
    let (attempted, handled) = tested.page("waits").await;
    assert_eq!(attempted, ["w1", "w2", "w2", "w3"]);
    assert_eq!(handled, ["w1", "w2", "w3"]);
    let (attempted, handled) = tested.page("goes-on").await;
    assert_eq!(attempted, ["g1", "g2"]);
    assert_eq!(handled, ["g1", "g2"]);
    assert_eq!(tested.page("rid").await.1, ["r2"]);
    assert_eq!(tested.page("never").await.0, ["n1", "n1"]);

    let letters = given_up.messages(1).await;
    assert_bodies(&letters, [GARBAGE]);
    let attributes = letters[0].attributes().unwrap();
    assert_eq!(
        attributes[&MessageSystemAttributeName::MessageGroupId],
        "rid"
    );
}

#[tokio::test]
async fn a_message_may_come_again_at_once_or_be_given_up_with_a_reason() {
    let tested = Tested::new("actions").await;
    let given_up = tested.create_queue("given-up", None).await;
    let queue = tested.create_queue("tasks", None).await;
    // Far longer than this test waits for anything.
    let attributes = HashMap::from([(QueueAttributeName::VisibilityTimeout, "600".to_owned())]);
    let request = queue.sqs.set_queue_attributes().queue_url(&queue.url);
    let set = request.set_attributes(Some(attributes)).send().await;
    set.unwrap();
    let environment = [("DEAD_LETTER_QUEUE_URL", given_up.url.as_str())];
    tested.deploy("sqs", &environment).await;
    let hopeless = task("g", "hopeless", "give-up");
    queue
        .send([
            ("g", task("g", "good", "succeed")),
            ("g", task("g", "again", "retry-at-once")),
            ("g", hopeless.clone()),
            ("g", GARBAGE.to_owned()),
        ])
        .await;
    tested.map(&queue).await;

    queue.empty().await;
    let (attempted, handled) = tested.page("g").await;
    assert_eq!(sorted(handled), ["again", "good"]);
    assert_eq!(sorted(attempted), ["again", "again", "good", "hopeless"]);

    let letters = given_up.messages(2).await;
    assert_bodies(&letters, [GARBAGE, &hopeless]);
    for letter in &letters {
        let reason = attribute(letter, "DeadLetterReason").unwrap();
        let is_garbage = letter.body() == Some(GARBAGE);
        assert_eq!(reason == "the task says so", !is_garbage, "{reason}");
        assert!(!reason.contains(GARBAGE), "{reason}");
        assert_eq!(
            attribute(letter, "DeadLetterSourceArn"),
            Some(queue.arn.as_str())
        );
        assert!(attribute(letter, "DeadLetterMessageId").is_some());
    }
}

#[tokio::test]
async fn a_large_message_is_fetched_and_its_object_goes_with_it() {
    const BUCKETS: [&str; 2] = ["large-tasks", "somebody-elses"];
    let tested = Tested::new("large").await;
    let given_up = tested.create_queue("given-up", None).await;
    let queue = tested.create_queue("tasks", None).await;
    let environment = [
        ("DEAD_LETTER_QUEUE_URL", given_up.url.as_str()),
        ("LARGE_MESSAGES_BUCKET", BUCKETS[0]),
    ];
    tested.deploy("sqs", &environment).await;
    let config = aws_sdk_s3::config::Builder::from(&tested.emulator.sdk_config());
    let s3 = aws_sdk_s3::Client::from_conf(config.force_path_style(true).build());
    let large =
        json!({ "group": "g", "id": "large", "act": "succeed", "text": "x".repeat(2 << 20) });
    for bucket in BUCKETS {
        let region = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(REGION))
            .build();
        let create = s3.create_bucket().bucket(bucket);
        let created = create.create_bucket_configuration(region).send().await;
        created.unwrap();
        let body = ByteStream::from(large.to_string().into_bytes());
        let put = s3.put_object().bucket(bucket).key("task").body(body);
        put.send().await.unwrap();
    }

    queue.send([("g", task("g", "small", "succeed"))]).await;
    let size = MessageAttributeValue::builder()
        .data_type("Number")
        .string_value(large.to_string().len().to_string())
        .build()
        .unwrap();
    for bucket in BUCKETS {
        let pointer = json!([
            "software.amazon.payloadoffloading.PayloadS3Pointer",
            { "s3BucketName": bucket, "s3Key": "task" },
        ]);
        let request = queue.sqs.send_message().queue_url(&queue.url);
        let sent = request
            .message_body(pointer.to_string())
            .message_attributes("ExtendedPayloadSize", size.clone())
            .send();
        sent.await.unwrap();
    }
    tested.map(&queue).await;

    queue.empty().await;
    let (attempted, handled) = tested.page("g").await;
    assert_eq!(sorted(attempted), ["large", "small"]);
    assert_eq!(sorted(handled), ["large", "small"]);
    let letters = given_up.messages(1).await;
    assert!(letters[0].body().unwrap().contains(BUCKETS[1]));
    for (bucket, objects) in BUCKETS.into_iter().zip([0, 1]) {
        let listed = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        assert_eq!(listed.contents().len(), objects, "{bucket}");
    }
}

#[tokio::test]
async fn a_stream_of_kinesis_gets_past_what_is_poisoned_and_handles_the_rest_once() {
    const RETRIES: u32 = 2;
    let tested = Tested::new("kinesis").await;
    let dead_letters = tested.create_queue("dlq", None).await;
    tested.deploy("kinesis", &[]).await;
    let kinesis = &tested.clients.kinesis;
    let create = kinesis.create_stream().stream_name("kinesis-tasks");
    create.shard_count(1).send().await.unwrap();
    let stream_arn = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/kinesis-tasks");
    eventually("the stream", || async {
        let request = kinesis.describe_stream_summary().stream_arn(&stream_arn);
        let stream = request.send().await.unwrap().stream_description_summary?;
        (stream.stream_status.as_str() == "ACTIVE").then_some(())
    })
    .await;
    let records = [
        task("g", "g0", "succeed"),
        task("g", "g1", "succeed"),
        GARBAGE.to_owned(),
        task("g", "g3", "succeed"),
        task("g", "g4", "panic"),
        task("g", "g5", "fail-once"),
        task("g", "g6", "succeed"),
        task("g", "g7", "fail"),
        task("g", "g8", "succeed"),
        task("g", "g9", "succeed"),
    ];
    let entries = records.iter().map(|record| {
        PutRecordsRequestEntry::builder()
            .partition_key("key")
            .data(Blob::new(record.as_bytes()))
            .build()
            .unwrap()
    });
    let request = kinesis.put_records().stream_arn(&stream_arn);
    let put = request.set_records(Some(entries.collect())).send().await;
    let put = put.unwrap();

    let status = tested
        .run_mapping(&stream_arn, RETRIES, &dead_letters)
        .await;
    assert_eq!(
        (status.records_delivered, status.records_discarded),
        (7, 3),
        "{status:#?}"
    );
    let mut letters = Vec::new();
    for letter in dead_letters.messages(3).await {
        let letter: Value = serde_json::from_str(letter.body().unwrap()).unwrap();
        let batch = &letter["KinesisBatchInfo"];
        assert_eq!(batch["batchSize"], 1, "{letter:#}");
        letters.push(batch["startSequenceNumber"].as_str().unwrap().to_owned());
    }
    let poisoned = [2, 4, 7].map(|index| put.records[index].sequence_number.clone().unwrap());
    assert_eq!(sorted(letters), sorted(poisoned.to_vec()));

    // Nothing is begun after a failure, so nothing is handled twice.
    let (attempted, handled) = tested.page("g").await;
    assert_eq!(handled, ["g0", "g1", "g3", "g5", "g6", "g8", "g9"]);
    for id in ["g0", "g1", "g3", "g6", "g8", "g9"] {
        assert_eq!(count(&attempted, id), 1, "{id}: {attempted:?}");
    }
    for id in ["g4", "g7"] {
        let attempts = u32::try_from(count(&attempted, id)).unwrap();
        assert!(attempts > RETRIES, "{id}: {attempted:?}");
    }
}

#[tokio::test]
async fn the_changes_of_one_item_wait_for_the_one_that_failed_and_others_do_not() {
    let tested = Tested::new("dynamodb").await;
    let dead_letters = tested.create_queue("dlq", None).await;
    tested.deploy("dynamodb", &[]).await;
    let images = Some(StreamViewType::NewAndOldImages);
    let stream_arn = tested.create_table("dynamodb-tasks", "key", images).await;
    for (key, id, act) in [
        ("first", "i0", "succeed"),
        ("second", "i1", "no such act"),
        ("changed", "i2", "fail"),
        ("third", "i3", "succeed"),
        ("changed", "i4", "succeed"),
        ("fourth", "i5", "fail-once"),
        ("fifth", "i6", "succeed"),
    ] {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = tested
            .clients
            .dynamodb
            .put_item()
            .table_name("dynamodb-tasks");
        let put = put.item("key", text(key)).item("group", text("g"));
        put.item("id", text(id))
            .item("act", text(act))
            .send()
            .await
            .unwrap();
    }

    let status = tested
        .run_mapping(&stream_arn.unwrap(), 1, &dead_letters)
        .await;
    assert_eq!(
        (status.records_delivered, status.records_discarded),
        (5, 2),
        "{status:#?}"
    );
    for letter in dead_letters.messages(2).await {
        let letter: Value = serde_json::from_str(letter.body().unwrap()).unwrap();
        assert_eq!(letter["DDBStreamBatchInfo"]["batchSize"], 1, "{letter:#}");
    }

    // What follows a failure in a stream comes again, so it may be handled twice.
    let (attempted, handled) = tested.page("g").await;
    assert_eq!(count(&handled, "i0"), 1);
    let mut handled = sorted(handled);
    handled.dedup();
    assert_eq!(handled, ["i0", "i3", "i4", "i5", "i6"]);
    let attempts: Vec<_> = (0..attempted.len())
        .filter(|place| attempted[*place] == "i2")
        .collect();
    let first = |id: &str| attempted.iter().position(|it| it == id).unwrap();
    assert!(attempts[attempts.len() - 1] < first("i4"), "{attempted:?}");
    assert!(first("i3") < attempts[1], "{attempted:?}");
}
