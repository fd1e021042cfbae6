//! What records carry, and what becomes of it in a batch.
#![cfg(all(
    feature = "batch-avro",
    feature = "batch-protobuf",
    feature = "testing"
))]

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use apache_avro::{Schema, to_avro_datum, types::Value as AvroValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_runtime::{Error, LambdaEvent};
use md5::{Digest, Md5};
use powertools::{
    batch::{
        Avro, BatchEvent, BatchLayer, BatchResponse, Data, DecodeError, DecodeErrorKind,
        EventBridge, EventBridgeEvent, Format, Json, Kafka, KafkaRecord, Kinesis, KinesisRecord,
        Nullable, Protobuf, Record, RecordError, Registry, Sns, SnsMessage, Text,
    },
    testing::context,
};
use proptest::prelude::*;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Order {
    id: String,
}

const SCHEMA: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}"#;

fn avro(id: &str) -> Vec<u8> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let order = AvroValue::Record(vec![("id".to_owned(), AvroValue::String(id.to_owned()))]);
    to_avro_datum(&schema, order).unwrap()
}

fn event(event: &Value) -> LambdaEvent<BatchEvent> {
    let event = serde_json::from_value(event.clone()).unwrap();
    LambdaEvent::new(event, context("52fdfc07"))
}

fn failures(response: &BatchResponse) -> Vec<String> {
    response.failures().map(ToString::to_string).collect()
}

/// What handlers have been given, in their order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The kinds of errors that records could not be decoded for.
#[derive(Clone, Default)]
struct Kinds(Arc<Mutex<Vec<DecodeErrorKind>>>);

impl Kinds {
    fn classify(
        &self,
    ) -> impl Fn(&RecordError<Error>) -> powertools::batch::Disposition + Send + Sync + 'static
    {
        let kinds = self.clone();
        move |error| {
            if let RecordError::Decode(error) = error {
                kinds.0.lock().unwrap().push(error.kind());
            }
            powertools::batch::Disposition::Retry
        }
    }

    fn all(&self) -> Vec<DecodeErrorKind> {
        self.0.lock().unwrap().clone()
    }
}

mod kinesis {
    use super::*;

    const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

    /// Records as the Kinesis Producer Library puts them into one, with a key for all.
    fn aggregate(records: &[&str]) -> Vec<u8> {
        let mut message = b"\x0a\x03key".to_vec();
        for record in records {
            let length = u8::try_from(record.len()).unwrap();
            assert!(length < 0x70);
            message.extend([0x1a, length + 4, 0x08, 0x00, 0x1a, length]);
            message.extend(record.as_bytes());
        }
        let checksum = Md5::digest(&message);
        [&MAGIC, &message[..], &checksum].concat()
    }

    fn record(number: &str, data: &[u8]) -> Value {
        json!({
            "kinesis": {
                "partitionKey": "outer",
                "sequenceNumber": number,
                "data": BASE64_STANDARD.encode(data),
                "approximateArrivalTimestamp": 1_545_084_650.5,
            },
            "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/orders",
        })
    }

    async fn run(records: &[Value], deaggregate: bool) -> (Vec<String>, Vec<String>) {
        let seen = Seen::default();
        let handler = {
            let seen = seen.clone();
            service_fn(move |record: Record<Vec<u8>, KinesisRecord>| {
                let text = String::from_utf8_lossy(&record.payload).into_owned();
                seen.add(format!("{} {text}", record.source.partition_key));
                async move {
                    if text == "bad" {
                        Err("bad order")
                    } else {
                        Ok(())
                    }
                }
            })
        };
        let batch = BatchLayer::<Vec<u8>, Kinesis>::kinesis()
            .format(powertools::batch::Bytes)
            .deaggregate(deaggregate)
            .layer(handler);
        let response = batch
            .oneshot(event(&json!({ "Records": records })))
            .await
            .unwrap();
        (failures(&response), seen.all())
    }

    #[tokio::test]
    async fn a_record_of_several_fails_as_one_if_one_of_them_fails() {
        let records = [
            record("1", &aggregate(&["a", "b"])),
            record("2", b"alone"),
            record("3", &aggregate(&["c", "bad", "d"])),
        ];
        let (failed, seen) = run(&records, true).await;
        assert_eq!(failed, ["3"]);
        assert_eq!(
            seen,
            ["key a", "key b", "outer alone", "key c", "key bad", "key d"]
        );
    }

    #[tokio::test]
    async fn a_record_of_several_that_is_damaged_fails_alone() {
        let mut damaged = aggregate(&["a", "b"]);
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let records = [
            record("1", &aggregate(&["a"])),
            record("2", &damaged),
            record("3", &damaged[..10]),
            record("4", b"alone"),
        ];
        let (failed, seen) = run(&records, true).await;
        assert_eq!(failed, ["2", "3"]);
        assert_eq!(seen, ["key a", "outer alone"]);
    }

    #[tokio::test]
    async fn by_default_records_are_left_as_they_are() {
        let (failed, seen) = run(&[record("1", &aggregate(&["a", "bad"]))], false).await;
        assert_eq!(failed, [""; 0]);
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test]
    async fn a_record_of_none_is_handled() {
        let (failed, seen) = run(&[record("1", &aggregate(&[]))], true).await;
        assert_eq!((failed, seen), (Vec::new(), Vec::new()));
    }
}

mod kafka {
    use super::*;

    fn record(offset: i64, value: Option<&[u8]>, schema: Option<(&str, &str)>) -> Value {
        let mut record = json!({
            "topic": "orders",
            "partition": 0,
            "offset": offset,
            "timestamp": 1_545_084_650_987_u64,
            "timestampType": "CREATE_TIME",
            "key": BASE64_STANDARD.encode(avro("key")),
            "value": value.map(|value| BASE64_STANDARD.encode(value)),
            "headers": [],
        });
        if let Some((data_format, id)) = schema {
            record["valueSchemaMetadata"] = json!({"dataFormat": data_format, "schemaId": id});
        }
        record
    }

    fn records(records: &[Value]) -> LambdaEvent<BatchEvent> {
        event(&json!({
            "eventSource": "aws:kafka",
            "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/shop/1",
            "records": {"orders-0": records},
        }))
    }

    #[tokio::test]
    async fn records_of_avro_fail_one_by_one() {
        let seen = Seen::default();
        let handler = {
            let seen = seen.clone();
            service_fn(move |record: Record<Order, KafkaRecord>| {
                seen.add(record.payload.id);
                async { Ok::<_, Error>(()) }
            })
        };
        let kinds = Kinds::default();
        let batch = BatchLayer::<Order, Kafka>::kafka()
            .format(Avro::new(SCHEMA).unwrap())
            .classify(kinds.classify())
            .layer(handler);
        let event = records(&[
            record(1, Some(&avro("a1")), Some(("AVRO", "7"))),
            record(2, Some(&avro("a2")), Some(("PROTOBUF", "7"))),
            record(3, Some(&avro("a3")[..2]), Some(("AVRO", "7"))),
            record(4, None, None),
            record(5, Some(&avro("a5")), None),
        ]);
        let response = batch.oneshot(event).await.unwrap();
        assert_eq!(seen.all(), ["a1", "a5"]);
        assert_eq!(
            failures(&response),
            ["orders-0@2", "orders-0@3", "orders-0@4"]
        );
        let expected = [
            DecodeErrorKind::Unsupported,
            DecodeErrorKind::Syntax,
            DecodeErrorKind::Missing,
        ];
        assert_eq!(kinds.all(), expected);
    }

    #[tokio::test]
    async fn records_of_protobuf_are_read_as_their_registry_frames_them() {
        let seen = Seen::default();
        let handler = {
            let seen = seen.clone();
            service_fn(move |record: Record<Option<String>, KafkaRecord>| {
                seen.add(record.payload.unwrap_or("deleted".to_owned()));
                async { Ok::<_, Error>(()) }
            })
        };
        let batch = BatchLayer::<Option<String>, Kafka>::kafka()
            .format(Nullable(Protobuf::new()))
            .layer(handler);
        let plain = "plain".to_owned().encode_to_vec();
        let confluent = [&b"\x02\x02"[..], &"confluent".to_owned().encode_to_vec()].concat();
        let glue = [&b"\x00"[..], &"glue".to_owned().encode_to_vec()].concat();
        let id = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63";
        let event = records(&[
            record(1, Some(&plain), None),
            record(2, Some(&confluent), Some(("PROTOBUF", "7"))),
            record(3, Some(&glue), Some(("PROTOBUF", id))),
            record(4, None, None),
            record(5, Some(&plain), Some(("JSON", "7"))),
        ]);
        let response = batch.oneshot(event).await.unwrap();
        assert_eq!(seen.all(), ["plain", "confluent", "glue", "deleted"]);
        assert_eq!(failures(&response), ["orders-0@5"]);
    }

    #[tokio::test]
    async fn keys_are_decoded_by_the_handler_in_a_format_of_their_own() {
        let keys = Avro::new(SCHEMA).unwrap();
        let handler = service_fn(move |record: Record<Value, KafkaRecord>| {
            let keys = keys.clone();
            async move {
                let key = record
                    .source
                    .key
                    .as_deref()
                    .map_or(Data::null(), Data::bytes);
                let key: Order = keys.decode(key).await?;
                assert_eq!(key.id, "key");
                Ok::<_, DecodeError>(())
            }
        });
        let batch = BatchLayer::<Value, Kafka>::kafka()
            .format(Json)
            .layer(handler);
        let response = batch
            .oneshot(records(&[record(1, Some(b"{}"), None)]))
            .await
            .unwrap();
        assert_eq!(failures(&response), [""; 0]);
    }

    #[tokio::test]
    async fn headers_of_registries_are_read_where_lambda_leaves_them() {
        let format = Avro::new(SCHEMA).unwrap().with_header(Registry::Glue);
        let framed = [&[3, 0][..], &[7; 16], &avro("a1")].concat();
        let order: Order = format.decode(Data::bytes(framed)).await.unwrap();
        assert_eq!(order.id, "a1");
    }
}

mod queues {
    use super::*;

    fn notification(message: &str) -> String {
        json!({
            "Type": "Notification",
            "MessageId": "n1",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders.fifo",
            "Subject": "an order",
            "Message": message,
            "Timestamp": "2026-11-25T08:00:00.000Z",
            "SequenceNumber": "10000000000000002000",
            "SignatureVersion": "1",
            "Signature": "x",
            "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/",
            "MessageAttributes": {"tenant": {"Type": "String", "Value": "t1"}},
        })
        .to_string()
    }

    fn of_event_bridge(detail: &Value) -> String {
        json!({
            "version": "0",
            "id": "e1",
            "detail-type": "order placed",
            "source": "shop.orders",
            "account": "123456789012",
            "time": "2026-11-25T08:00:00Z",
            "region": "eu-west-1",
            "resources": ["arn:aws:s3:::orders"],
            "detail": detail,
        })
        .to_string()
    }

    fn messages(bodies: &[String]) -> LambdaEvent<BatchEvent> {
        let records = bodies.iter().enumerate().map(|(index, body)| {
            json!({
                "messageId": format!("m{index}"),
                "receiptHandle": "handle",
                "body": body,
                "attributes": {},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
            })
        });
        event(&json!({ "Records": records.collect::<Vec<_>>() }))
    }

    #[tokio::test]
    async fn a_notification_that_is_none_fails_alone() {
        let confirmation =
            notification("{}").replace("\"Notification\"", "\"SubscriptionConfirmation\"");
        let bodies = [
            notification(r#"{"id":"a1"}"#),
            r#"{"id":"a2"}"#.to_owned(),
            "{".to_owned(),
            confirmation,
            notification("[secret"),
        ];
        let kinds = Kinds::default();
        let handler = service_fn(|record: Record<SnsMessage<Order>>| async move {
            let message = record.payload;
            assert_eq!(message.payload.id, "a1");
            assert_eq!(message.message_id, "n1");
            assert_eq!(
                message.topic_arn,
                "arn:aws:sns:eu-west-1:123456789012:orders.fifo"
            );
            assert_eq!(message.subject.as_deref(), Some("an order"));
            assert_eq!(
                message.timestamp.as_deref(),
                Some("2026-11-25T08:00:00.000Z")
            );
            assert_eq!(
                message.sequence_number.as_deref(),
                Some("10000000000000002000")
            );
            assert_eq!(message.attributes["tenant"].value, "t1");
            Ok::<_, Error>(())
        });
        let batch = BatchLayer::sqs()
            .format(Sns::json())
            .classify(kinds.classify())
            .layer(handler);
        let response = batch.oneshot(messages(&bodies)).await.unwrap();
        assert_eq!(failures(&response), ["m1", "m2", "m3", "m4"]);
        let expected = [
            DecodeErrorKind::Schema,
            DecodeErrorKind::Syntax,
            DecodeErrorKind::Unsupported,
            DecodeErrorKind::Syntax,
        ];
        assert_eq!(kinds.all(), expected);
    }

    #[tokio::test]
    async fn an_event_that_is_none_fails_alone() {
        let bodies = [
            of_event_bridge(&json!({"id": "a1"})),
            of_event_bridge(&json!({"id": 7})),
            r#"{"id":"a1"}"#.to_owned(),
            String::new(),
        ];
        let kinds = Kinds::default();
        let handler = service_fn(|record: Record<EventBridgeEvent<Order>>| async move {
            let event = record.payload;
            assert_eq!(event.detail.id, "a1");
            assert_eq!(event.id, "e1");
            assert_eq!(event.detail_type, "order placed");
            assert_eq!(event.source, "shop.orders");
            assert_eq!(event.account.as_deref(), Some("123456789012"));
            assert_eq!(event.region.as_deref(), Some("eu-west-1"));
            assert_eq!(event.time.as_deref(), Some("2026-11-25T08:00:00Z"));
            assert_eq!(event.resources, ["arn:aws:s3:::orders"]);
            Ok::<_, Error>(())
        });
        let batch = BatchLayer::sqs()
            .format(EventBridge::json())
            .classify(kinds.classify())
            .layer(handler);
        let response = batch.oneshot(messages(&bodies)).await.unwrap();
        assert_eq!(failures(&response), ["m1", "m2", "m3"]);
        let expected = [
            DecodeErrorKind::Schema,
            DecodeErrorKind::Schema,
            DecodeErrorKind::Syntax,
        ];
        assert_eq!(kinds.all(), expected);
    }

    #[tokio::test]
    async fn an_error_shows_nothing_of_an_envelope() {
        let bodies = [
            r#"{"Type":"secret","MessageId":"secret","TopicArn":"secret","Message":"secret"}"#,
            r#"{"Type":["secret"]}"#,
            r#""secret""#,
            &notification(r#"{"id":["secret"]}"#),
        ];
        for body in bodies {
            let format = Sns::json();
            let read = Format::<SnsMessage<Order>>::decode(&format, Data::text(body)).await;
            let error = read.unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );

            let format = EventBridge::json();
            let read = Format::<EventBridgeEvent<Order>>::decode(&format, Data::text(body)).await;
            let error = read.unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn envelopes_are_taken_off_one_after_the_other() {
        let body = notification(&of_event_bridge(&json!({"id": "a1"})));
        let format = Sns(EventBridge::json());
        let message: SnsMessage<EventBridgeEvent<Order>> =
            format.decode(Data::text(body)).await.unwrap();
        assert_eq!(message.payload.detail.id, "a1");
        assert_eq!(message.message_id, "n1");
        assert_eq!(message.payload.id, "e1");
    }

    #[test]
    fn formats_are_shared_by_services() {
        fn is_service_part<T: Send + Sync + Clone + fmt::Debug>() {}
        is_service_part::<Sns<EventBridge<Nullable<Avro>>>>();
        is_service_part::<Protobuf>();
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    proptest! {
        #[test]
        fn messages_come_back(text in any::<String>()) {
            let message: SnsMessage<String> =
                block_on(Sns(Text).decode(Data::text(notification(&text)))).unwrap();
            prop_assert_eq!(message.payload, text.clone());

            let detail = json!({ "id": text });
            let event: EventBridgeEvent<Value> =
                block_on(EventBridge::json().decode(Data::text(of_event_bridge(&detail)))).unwrap();
            prop_assert_eq!(event.detail, detail);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at in any::<prop::sample::Index>(), byte: u8) {
            let mut changed = notification(r#"{"id":"a1"}"#).into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            for bytes in [bytes, changed] {
                let data = Data::bytes(bytes);
                let (sns, events) = (Sns::json(), EventBridge::json());
                let sns: Result<SnsMessage<Order>, _> = block_on(sns.decode(data.clone()));
                let event: Result<EventBridgeEvent<Order>, _> = block_on(events.decode(data));
                drop((sns, event));
            }
        }
    }
}
