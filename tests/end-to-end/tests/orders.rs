//! One order, from HTTP to its projection, and what can go wrong on the way.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::{primitives::Blob, types::PutRecordsRequestEntry};
use end_to_end_tests::{eventually, on_the_cloud};
use local_cloud::{Cloud, HttpClient, LogLine, Response, xray::Node};
use serde_json::{Value, json};

const EMF: &str = include_str!("../../../powertools/tests/schemas/emf.schema.json");
const XRAY: &str = include_str!("../../../powertools/tests/schemas/xray-segment.schema.json");

const CONSUMERS: [&str; 2] = ["dynamodb-stream-processor", "order-stream-processor"];

fn order() -> Value {
    json!({
        "customer_id": "customer-1",
        "currency": "EUR",
        "items": [
            { "sku": "tea", "quantity": 2, "unit_price": 1250 },
            { "sku": "pot", "quantity": 1, "unit_price": 3999 },
        ],
    })
}

async fn post(cloud: &Cloud, body: impl Into<String>) -> Response {
    let url = format!("{}/orders", cloud.api_url());
    HttpClient::new().post(&url, body.into()).await.unwrap()
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

async fn logs(cloud: &Cloud, function: &str) -> Vec<LogLine> {
    cloud.logs(function).await.unwrap()
}

/// Returns a function's log lines in which a key has a value.
async fn lines(cloud: &Cloud, function: &str, key: &str, value: &str) -> Vec<LogLine> {
    let mut lines = logs(cloud, function).await;
    lines.retain(|line| line.field(key) == Some(value));
    lines
}

async fn item(cloud: &Cloud, table: &str, keys: [(&str, AttributeValue); 2]) -> Option<Item> {
    let [(partition, partition_value), (sort, sort_value)] = keys;
    let output = cloud
        .clients()
        .dynamodb
        .get_item()
        .table_name(table)
        .key(partition, partition_value)
        .key(sort, sort_value)
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    output.item.map(Item)
}

struct Item(std::collections::HashMap<String, AttributeValue>);

impl Item {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_s().unwrap()
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_n().unwrap().parse().unwrap()
    }
}

async fn summary(cloud: &Cloud, order_id: &str) -> Item {
    eventually(&format!("the summary of order {order_id}"), || async {
        let keys = [
            ("projection", AttributeValue::S("order-summary".to_owned())),
            ("id", AttributeValue::S(order_id.to_owned())),
        ];
        item(cloud, "projections", keys).await
    })
    .await
}

/// The envelope that the API stored.
async fn envelope(cloud: &Cloud, order_id: &str) -> Value {
    let keys = [
        ("aggregate_id", AttributeValue::S(order_id.to_owned())),
        ("version", AttributeValue::N("1".to_owned())),
    ];
    let item = item(cloud, "event-store", keys).await.unwrap();
    serde_json::from_str(item.text("event")).unwrap()
}

fn assert_valid(schema: &str, document: &Value) {
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    if let Err(error) = validator.validate(document) {
        panic!("{error}: {document:#}");
    }
}

#[test]
fn an_order_is_one_story_from_http_to_its_projection() {
    on_the_cloud(|cloud| async move {
        let response = post(cloud, order().to_string()).await;
        assert_eq!(response.status, 201, "{response:?}");
        let placed = json_of(&response);
        let order_id = placed["order_id"].as_str().unwrap();
        assert_eq!(placed["total"], 6499);
        assert_eq!(placed["status"], "placed");

        let url = format!("{}/orders/{order_id}", cloud.api_url());
        let read = HttpClient::new().get(&url).await.unwrap();
        assert_eq!(
            (read.status.as_u16(), json_of(&read)),
            (200, placed.clone())
        );

        let summary = summary(cloud, order_id).await;
        assert_eq!(summary.number("total"), 6499);
        assert_eq!(summary.number("version"), 1);

        let envelope = envelope(cloud, order_id).await;
        let correlation_id = envelope["correlation_id"].as_str().unwrap();
        let metrics = its_lines_and_metrics(cloud, correlation_id).await;
        assert_eq!(metrics["OrdersCreated"], 1);
        its_trace(
            cloud,
            correlation_id,
            envelope["trace_header"].as_str().unwrap(),
        )
        .await;
    });
}

/// Every function has lines with the order's correlation id; returns the API's EMF object.
async fn its_lines_and_metrics(cloud: &Cloud, correlation_id: &str) -> Value {
    for consumer in CONSUMERS {
        let lines = eventually(&format!("the line of {consumer}"), || async {
            let lines = lines(cloud, consumer, "correlation_id", correlation_id).await;
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert!(
            lines
                .iter()
                .all(|line| line.field("service") == Some(consumer)),
            "{lines:#?}"
        );
    }
    let placed = lines(cloud, "orders", "correlation_id", correlation_id).await;
    assert!(!placed.is_empty());
    let request_id = placed[0].field("function_request_id").unwrap();

    let mut objects: Vec<Value> = logs(cloud, "orders")
        .await
        .into_iter()
        .filter(|line| line.request_id == request_id)
        .filter_map(|line| line.json)
        .filter(|json| json.get("OrdersCreated").is_some())
        .collect();
    assert_eq!(objects.len(), 1, "{objects:#?}");
    let object = objects.remove(0);
    assert_valid(EMF, &object);
    assert_eq!(object["service"], "orders");
    assert_eq!(
        object["_aws"]["CloudWatchMetrics"][0]["Namespace"],
        "ReferenceStack"
    );
    object
}

/// One tree: the consumers' spans have the header in the envelope as parent, and each links to the
/// trace of its own invocation.
async fn its_trace(cloud: &Cloud, correlation_id: &str, header: &str) {
    let field = |name: &str| {
        header
            .split(';')
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            .unwrap()
            .to_owned()
    };
    let (root, parent) = (field("Root"), field("Parent"));

    // A stream delivers a record at least once, so there may be more spans than consumers: each links
    // to the trace of an invocation that logged about the order, and no consumer is missing.
    let (tree, linked) = eventually("the spans of both consumers", || async {
        let tree = cloud.xray().trace(&root);
        let cause = tree.nodes().find(|node| node.id == parent)?;
        let consumed = cause.children.iter().filter_map(|it| it.segment.as_ref());
        let links = consumed.flat_map(|segment| &segment.links);
        let linked: BTreeSet<_> = links.map(|link| link.trace_id.clone()).collect();
        (linked.len() >= CONSUMERS.len()).then_some((tree, linked))
    })
    .await;
    let mut own_traces = BTreeSet::new();
    for consumer in CONSUMERS {
        let lines = lines(cloud, consumer, "correlation_id", correlation_id).await;
        let traces: BTreeSet<_> = lines
            .iter()
            .map(|line| line.field("xray_trace_id").unwrap().to_owned())
            .collect();
        assert!(
            !traces.is_disjoint(&linked),
            "{consumer}: {traces:?}, {linked:?}"
        );
        own_traces.extend(traces);
    }
    assert!(linked.is_subset(&own_traces), "{linked:?}, {own_traces:?}");
    assert!(!linked.contains(&root));

    // The parent itself is a span of the API's invocation, which is under Lambda's own segment.
    let [lambda] = &tree.roots[..] else {
        panic!("one root: {tree}")
    };
    assert!(lambda.segment.is_none(), "{tree}");
    let names: Vec<_> = segments_of(&lambda.children).collect();
    assert_eq!(names, ["## orders"], "{tree}");
    let cause = tree.nodes().find(|node| node.id == parent).unwrap();
    assert!(cause.segment.is_some(), "{tree}");
    // What a consumer does with a record is a segment of its own there, by the consumer's name.
    let segments = cause.children.iter().filter(|node| has_links(node));
    for segment in segments {
        let name = &segment.segment.as_ref().unwrap().name;
        assert!(CONSUMERS.contains(&name.as_str()), "{tree}");
        let spans: Vec<_> = segments_of(&segment.children).collect();
        assert_eq!(spans, ["record"], "{tree}");
    }
    for segment in cloud.xray().segments() {
        assert_valid(XRAY, &segment.document);
    }
    assert_eq!(cloud.xray().refused(), 0);
}

fn segments_of(nodes: &[Node]) -> impl Iterator<Item = &str> {
    let segments = nodes.iter().filter_map(|node| node.segment.as_ref());
    segments.map(|segment| segment.name.as_str())
}

fn has_links(node: &Node) -> bool {
    let segment = node.segment.as_ref();
    segment.is_some_and(|segment| !segment.links.is_empty())
}

#[test]
fn a_poisoned_record_fails_alone_and_nothing_is_counted_twice() {
    on_the_cloud(|cloud| async move {
        let neighbours: Vec<String> = {
            let mut ids = Vec::new();
            for _ in 0..2 {
                let placed = json_of(&post(cloud, order().to_string()).await);
                ids.push(placed["order_id"].as_str().unwrap().to_owned());
            }
            ids
        };
        for id in &neighbours {
            summary(cloud, id).await;
        }
        // The same events again, as a stream may deliver them, with one between that is none.
        let mut records = Vec::new();
        for id in &neighbours {
            records.push(envelope(cloud, id).await.to_string());
        }
        records.insert(1, "{\"event_id\":".to_owned());
        let entries = records.iter().map(|record| {
            PutRecordsRequestEntry::builder()
                .partition_key("one-shard")
                .data(Blob::new(record.as_bytes()))
                .build()
                .unwrap()
        });
        let output = cloud
            .clients()
            .kinesis
            .put_records()
            .stream_name("order-events")
            .set_records(Some(entries.collect()))
            .send()
            .await
            .unwrap();
        assert_eq!(output.failed_record_count, Some(0));
        let poisoned = output.records[1].sequence_number.clone().unwrap();
        let after = output.records[2].sequence_number.clone().unwrap();

        settled(cloud).await;
        let letter = only_dead_letter(cloud, "order-events-dlq").await;
        assert_eq!(
            letter["KinesisBatchInfo"]["startSequenceNumber"], *poisoned,
            "{letter:#}"
        );
        let batch = &letter["KinesisBatchInfo"];
        assert_eq!(batch["endSequenceNumber"], *poisoned, "{letter:#}");
        assert_eq!(batch["batchSize"], 1, "{letter:#}");
        assert_eq!(
            letter["requestContext"]["condition"], "RetryAttemptsExhausted",
            "{letter:#}"
        );

        // What follows the poison gets through, and finds that it had been projected before.
        eventually("the record after the poison", || async {
            let lines = lines(cloud, "order-stream-processor", "sequence_number", &after).await;
            lines
                .iter()
                .any(|line| line.field("level") == Some("INFO"))
                .then_some(())
        })
        .await;

        let lines = logs(cloud, "order-stream-processor").await;
        for id in &neighbours {
            let updated = lines.iter().filter(|line| {
                line.field("message") == Some("order summary updated")
                    && line.field("aggregate_id") == Some(id)
            });
            assert_eq!(updated.count(), 1, "order {id} is counted once");
        }
        let measured: usize = lines
            .iter()
            .filter_map(|line| line.json.as_ref()?.get("OrderProcessingTime"))
            .map(|value| value.as_array().map_or(1, Vec::len))
            .sum();
        let updated = lines
            .iter()
            .filter(|line| line.field("message") == Some("order summary updated"));
        assert_eq!(measured, updated.count());
        for object in lines
            .iter()
            .filter(|line| !line.is_log())
            .filter_map(|line| line.json.as_ref())
        {
            assert_valid(EMF, object);
        }
    });
}

/// Waits until everything that has been stored is projected or given up.
async fn settled(cloud: &Cloud) {
    for consumer in CONSUMERS {
        let mapping = cloud.mapping(consumer).unwrap();
        tokio::time::timeout(Duration::from_secs(60), mapping.settled())
            .await
            .unwrap_or_else(|_| panic!("{consumer} is not done: {:#?}", mapping.status()))
            .unwrap();
    }
}

async fn dead_letters(cloud: &Cloud, queue: &str) -> Vec<Value> {
    let sqs = &cloud.clients().sqs;
    let queue = sqs.get_queue_url().queue_name(queue).send().await.unwrap();
    let messages = sqs
        .receive_message()
        .set_queue_url(queue.queue_url)
        .max_number_of_messages(10)
        .visibility_timeout(0)
        .send()
        .await
        .unwrap();
    let bodies = messages.messages.unwrap_or_default().into_iter();
    bodies
        .map(|message| serde_json::from_str(&message.body.unwrap()).unwrap())
        .collect()
}

async fn only_dead_letter(cloud: &Cloud, queue: &str) -> Value {
    let letters = dead_letters(cloud, queue).await;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(dead_letters(cloud, "event-store-dlq").await.is_empty());
    letters.into_iter().next().unwrap()
}

#[test]
fn bad_input_is_answered_with_a_problem_that_names_the_field() {
    on_the_cloud(|cloud| async move {
        let with = |pointer: &str, value: Value| {
            let mut order = order();
            *order.pointer_mut(pointer).unwrap() = value;
            order.to_string()
        };
        let mut unknown = order();
        unknown["colour"] = json!("blue");
        let cases = [
            (400, None, "{\"customer_id\":".to_owned()),
            (422, Some("#/colour"), unknown.to_string()),
            (
                422,
                Some("#/items/0/quantity"),
                with("/items/0/quantity", json!(-1)),
            ),
            (
                422,
                Some("#/items/1/unit_price"),
                with("/items/1/unit_price", json!("cheap")),
            ),
            (422, Some("#/currency"), with("/currency", json!(null))),
        ];
        for (status, pointer, body) in cases {
            let response = post(cloud, body.clone()).await;
            let problem = assert_problem(&response, status);
            if let Some(pointer) = pointer {
                assert_eq!(
                    problem["errors"][0]["pointer"], pointer,
                    "{body}: {problem:#}"
                );
            }
        }

        for (status, path) in [
            (404, "/orders/01938000-0000-7000-8000-000000000000"),
            (400, "/orders/7"),
            (405, "/orders"),
            (404, "/nothing/here"),
        ] {
            let url = format!("{}{path}", cloud.api_url());
            let response = HttpClient::new().get(&url).await.unwrap();
            assert_problem(&response, status);
        }
    });
}

/// Makes sure that an answer is a problem document.
fn assert_problem(response: &Response, status: u16) -> Value {
    let problem = json_of(response);
    assert_eq!(response.status.as_u16(), status, "{problem:#}");
    assert_eq!(response.headers["content-type"], "application/problem+json");
    assert_eq!(problem["status"], status);
    assert!(
        problem["title"].is_string() && problem["type"].is_string(),
        "{problem:#}"
    );
    problem
}

#[test]
fn each_refused_request_leaves_one_warning_and_no_metric() {
    on_the_cloud(|cloud| async move {
        // Wrong in so many fields that its line is found among those of the other tests.
        let response = post(cloud, json!({ "customer_id": "no spaces" }).to_string()).await;
        assert_eq!(response.status, 422);
        let problem = json_of(&response);
        let pointers: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(pointers, ["#/customer_id", "#/currency", "#/items"]);

        let warnings = eventually("the warning", || async {
            let mut lines = lines(cloud, "orders", "level", "WARN").await;
            lines.retain(|line| pointers.iter().all(|pointer| line.text.contains(pointer)));
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        let request_id = &warnings[0].request_id;
        let of_request: Vec<_> = logs(cloud, "orders")
            .await
            .into_iter()
            .filter(|line| line.request_id == *request_id)
            .collect();
        let above_info = of_request
            .iter()
            .filter(|line| matches!(line.field("level"), Some("WARN" | "ERROR")));
        assert_eq!(above_info.count(), 1, "{of_request:#?}");
        assert!(
            of_request
                .iter()
                .all(|line| !line.text.contains("OrdersCreated"))
        );
    });
}
