//! Messages whose bodies are in S3: the client is the real one, and what is behind it answers from
//! memory.
#![cfg(all(feature = "batch-large-messages", feature = "testing"))]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region,
        http::{HttpRequest, HttpResponse},
        retry::RetryConfig,
    },
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    batch::{
        BatchEvent, BatchLayer, BatchResponse, Data, DecodeError, DecodeErrorKind, Format,
        LargeMessages, Record, Sns, SnsMessage, Text,
    },
    testing::context,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tracing_subscriber::prelude::*;

mod subscriber;

const CLASS: &str = "software.amazon.payloadoffloading.PayloadS3Pointer";
const OLD_CLASS: &str = "com.amazon.sqs.javamessaging.MessageS3Pointer";

/// S3, in memory; its clones share what it has.
#[derive(Clone, Default)]
struct S3 {
    /// By bucket and key, as in a request's path.
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// The methods and paths of all requests.
    requests: Arc<Mutex<Vec<String>>>,
    /// The owners that requests expected.
    owners: Arc<Mutex<Vec<String>>>,
    /// What it answers instead.
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy)]
enum Trouble {
    Unreachable,
    Answers(u16, &'static str),
    /// Says that a body is longer than it is.
    CutsOff,
}

impl S3 {
    fn with(objects: &[(&str, &[u8])]) -> Self {
        let objects = objects.iter();
        let objects = objects.map(|(path, body)| ((*path).to_owned(), body.to_vec()));
        Self {
            objects: Arc::new(Mutex::new(objects.collect())),
            ..Self::default()
        }
    }

    fn in_trouble(mut self, trouble: Trouble) -> Self {
        self.trouble = Some(trouble);
        self
    }

    fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    fn format(&self) -> LargeMessages {
        LargeMessages::new(self.client(), ["large-orders"])
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, request: &HttpRequest) -> (u16, Vec<u8>) {
        let url = request.uri().split_once("amazonaws.com/").unwrap().1;
        let path = url.split('?').next().unwrap();
        let mut requests = self.requests.lock().unwrap();
        requests.push(format!("{} {path}", request.method()));
        if let Some(owner) = request.headers().get("x-amz-expected-bucket-owner") {
            self.owners.lock().unwrap().push(owner.to_owned());
        }
        if let Some(Trouble::Answers(status, code)) = self.trouble {
            return (status, refusal(code, path));
        }
        let mut objects = self.objects.lock().unwrap();
        match request.method() {
            "DELETE" => {
                objects.remove(path);
                (204, Vec::new())
            }
            _ => match objects.get(path) {
                Some(body) => (200, body.clone()),
                None => (404, refusal("NoSuchKey", path)),
            },
        }
    }
}

fn refusal(code: &str, path: &str) -> Vec<u8> {
    format!("<Error><Code>{code}</Code><Message>no</Message><Key>{path}</Key></Error>").into_bytes()
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3")
    }
}

impl HttpConnector for S3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = self.answer(&request);
        if matches!(self.trouble, Some(Trouble::Unreachable)) {
            return HttpConnectorFuture::ready(Err(ConnectorError::io("nobody there".into())));
        }
        let length = match self.trouble {
            Some(Trouble::CutsOff) => body.len() + 1,
            _ => body.len(),
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
        response
            .headers_mut()
            .insert("content-length", length.to_string());
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Order {
    id: String,
}

fn pointer(class: &str, bucket: &str, key: &str) -> String {
    json!([class, {"s3BucketName": bucket, "s3Key": key}]).to_string()
}

fn marked(body: &str) -> Data<'_> {
    Data::text(body).with_pointer(true)
}

async fn decode(format: &LargeMessages, data: Data<'_>) -> Result<Order, DecodeError> {
    Format::<Order>::decode(format, data).await
}

fn message(id: &str, body: &str, attribute: Option<&str>) -> Value {
    let mut message = json!({
        "messageId": id,
        "receiptHandle": "handle",
        "body": body,
        "attributes": {},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
    });
    if let Some(name) = attribute {
        message["messageAttributes"][name] = json!({"stringValue": "300000", "dataType": "Number"});
    }
    message
}

fn event(messages: &[Value]) -> LambdaEvent<BatchEvent> {
    let event = serde_json::from_value(json!({ "Records": messages })).unwrap();
    LambdaEvent::new(event, context("52fdfc07"))
}

fn failures(response: &BatchResponse) -> Vec<String> {
    response.failures().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_pointer_out_of_the_named_buckets_is_refused_before_s3_is_asked() {
    let s3 = S3::with(&[("secrets/key", br#"{"id":"a1"}"#)]);
    for format in [s3.format(), LargeMessages::new(s3.client(), [""; 0])] {
        let body = pointer(CLASS, "secrets", "key");
        let error = decode(&format, marked(&body)).await.unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Refused);
        // Nor is anything deleted there.
        let format = format.delete_after_success(true);
        Format::<Order>::after_success(&format, marked(&body)).await;
    }
    assert_eq!(s3.requests(), [""; 0]);
}

#[tokio::test]
async fn without_the_attribute_a_body_that_looks_like_a_pointer_is_a_body() {
    let s3 = S3::with(&[("large-orders/key", b"large")]);
    let format = s3.format().format(Text).delete_after_success(true);
    let body = pointer(CLASS, "large-orders", "key");
    let read: String = format.decode(Data::text(&*body)).await.unwrap();
    assert_eq!(read, body);
    Format::<String>::after_success(&format, Data::text(&*body)).await;
    assert_eq!(s3.requests(), [""; 0]);
}

#[tokio::test]
async fn with_the_attribute_a_body_that_is_no_pointer_fails() {
    let s3 = S3::default();
    let bodies = [
        "",
        "{}",
        r#"{"id":"a1"}"#,
        &pointer("another.Class", "large-orders", "key"),
        r#"["software.amazon.payloadoffloading.PayloadS3Pointer"]"#,
        r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3Key":"key"}]"#,
        r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"large-orders","s3Key":"key"},1]"#,
    ];
    for body in bodies {
        let error = decode(&s3.format(), marked(body)).await.unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Syntax, "{body}");
    }
    assert_eq!(s3.requests(), [""; 0]);
}

#[tokio::test]
async fn trouble_with_s3_is_told_by_kind_and_without_the_pointer() {
    let troubles = [
        (
            None,
            DecodeErrorKind::Missing,
            "S3 has answered `NoSuchKey` (status 404)",
        ),
        (
            Some(Trouble::Answers(403, "AccessDenied")),
            DecodeErrorKind::Fetch,
            "S3 has answered `AccessDenied` (status 403)",
        ),
        (
            Some(Trouble::Answers(503, "SlowDown")),
            DecodeErrorKind::Fetch,
            "S3 has answered `SlowDown` (status 503)",
        ),
        (
            Some(Trouble::Unreachable),
            DecodeErrorKind::Fetch,
            "S3 could not be reached",
        ),
    ];
    for (trouble, kind, source) in troubles {
        let s3 = S3 {
            trouble,
            ..S3::default()
        };
        let body = pointer(CLASS, "large-orders", "private-key");
        let error = decode(&s3.format(), marked(&body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{source}");
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            source
        );
        assert!(
            !format!("{error} {error:?}").contains("private-key"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_fails() {
    let s3 = S3::with(&[("large-orders/key", br#"{"id":"a1"}"#)]).in_trouble(Trouble::CutsOff);
    let body = pointer(CLASS, "large-orders", "key");
    let error = decode(&s3.format(), marked(&body)).await.unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::Fetch);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let body = br#"{"id":"a1"}"#;
    let s3 = S3::with(&[("large-orders/key", body)]);
    let pointer = pointer(CLASS, "large-orders", "key");
    let format = s3.format().max_size(body.len() - 1);
    let error = decode(&format, marked(&pointer)).await.unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::TooLarge);
    let format = s3.format().max_size(body.len());
    assert_eq!(decode(&format, marked(&pointer)).await.unwrap().id, "a1");
}

#[tokio::test]
async fn pointers_of_both_classes_are_followed() {
    let s3 = S3::with(&[("large-orders/a/b.json", br#"{"id":"a1"}"#)]);
    for class in [CLASS, OLD_CLASS] {
        let body = pointer(class, "large-orders", "a/b.json");
        assert_eq!(decode(&s3.format(), marked(&body)).await.unwrap().id, "a1");
    }
    assert_eq!(s3.requests(), ["GET large-orders/a/b.json"; 2]);
}

#[tokio::test]
async fn the_buckets_owner_is_checked_by_s3() {
    let s3 = S3::with(&[("large-orders/key", br#"{"id":"a1"}"#)]);
    let format = s3
        .format()
        .bucket_owner("123456789012")
        .delete_after_success(true);
    let body = pointer(CLASS, "large-orders", "key");
    decode(&format, marked(&body)).await.unwrap();
    Format::<Order>::after_success(&format, marked(&body)).await;
    assert_eq!(*s3.owners.lock().unwrap(), ["123456789012"; 2]);
}

#[tokio::test]
async fn an_error_of_the_body_is_that_of_its_own_format() {
    let s3 = S3::with(&[
        ("large-orders/key", br#"{"id":7}"#),
        ("large-orders/raw", b"\xff"),
    ]);
    for (key, kind) in [
        ("key", DecodeErrorKind::Schema),
        ("raw", DecodeErrorKind::Utf8),
    ] {
        let body = pointer(CLASS, "large-orders", key);
        let error = decode(&s3.format(), marked(&body)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn in_a_batch_only_what_has_succeeded_is_deleted() {
    let s3 = S3::with(&[
        ("large-orders/good", br#"{"id":"good"}"#),
        ("large-orders/bad", br#"{"id":"bad"}"#),
        ("large-orders/old", br#"{"id":"old"}"#),
        ("large-orders/broken", br#"{"id":7}"#),
    ]);
    let handler = service_fn(|record: Record<Order>| async move {
        if record.payload.id == "bad" {
            return Err("bad order");
        }
        Ok(())
    });
    let batch = BatchLayer::sqs()
        .format(s3.format().delete_after_success(true))
        .layer(handler);
    let to = |key| pointer(CLASS, "large-orders", key);
    let messages = [
        message("m1", &to("good"), Some("ExtendedPayloadSize")),
        message("m2", &to("bad"), Some("ExtendedPayloadSize")),
        message("m3", &to("old"), Some("SQSLargePayloadSize")),
        message("m4", &to("broken"), Some("ExtendedPayloadSize")),
        message("m5", r#"{"id":"small"}"#, None),
        message("m6", &to("gone"), Some("ExtendedPayloadSize")),
        message("m7", &to("good"), None),
    ];
    let response = batch.oneshot(event(&messages)).await.unwrap();
    assert_eq!(failures(&response), ["m2", "m4", "m6", "m7"]);
    let left = s3
        .objects
        .lock()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(left, ["large-orders/bad", "large-orders/broken"]);
}

#[tokio::test]
async fn by_default_nothing_is_deleted() {
    let s3 = S3::with(&[("large-orders/key", br#"{"id":"a1"}"#)]);
    let handler = service_fn(|_: Record<Order>| async { Ok::<_, Error>(()) });
    let batch = BatchLayer::sqs().format(s3.format()).layer(handler);
    let body = pointer(CLASS, "large-orders", "key");
    let messages = [message("m1", &body, Some("ExtendedPayloadSize"))];
    let response = batch.oneshot(event(&messages)).await.unwrap();
    assert_eq!(failures(&response), [""; 0]);
    assert_eq!(s3.requests(), ["GET large-orders/key"]);
}

#[tokio::test]
async fn an_object_that_cannot_be_deleted_is_a_warning() {
    let s3 = S3::default().in_trouble(Trouble::Answers(403, "AccessDenied"));
    let format = s3.format().delete_after_success(true);
    let body = pointer(CLASS, "large-orders", "private-key");
    let (warnings, guard) = Warnings::listen();
    Format::<Order>::after_success(&format, marked(&body)).await;
    drop(guard);
    let warnings = warnings.0.lock().unwrap().clone();
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains("S3 has answered `AccessDenied` (status 403)"),
        "{warning}"
    );
    assert!(!warning.contains("private-key"), "{warning}");
}

#[tokio::test]
async fn what_has_come_by_way_of_sns_has_its_pointer_in_the_notification() {
    let s3 = S3::with(&[("large-orders/key", br#"{"id":"a1"}"#)]);
    let notification = |attributes: Value| {
        json!({
            "Type": "Notification",
            "MessageId": "n1",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders",
            "Message": pointer(CLASS, "large-orders", "key"),
            "MessageAttributes": attributes,
        })
        .to_string()
    };
    let large = notification(json!({"ExtendedPayloadSize": {"Type": "Number", "Value": "300000"}}));
    let small = notification(json!({}));
    let handler = service_fn(|record: Record<SnsMessage<Order>>| async move {
        assert_eq!(record.payload.payload.id, "a1");
        assert_eq!(record.payload.message_id, "n1");
        Ok::<_, Error>(())
    });
    let format = Sns(s3.format().delete_after_success(true));
    let batch = BatchLayer::sqs().format(format).layer(handler);
    let messages = [
        message("m1", &large, None),
        // The attribute of the queue's message says nothing of what is in the notification.
        message("m2", &small, Some("ExtendedPayloadSize")),
    ];
    let response = batch.oneshot(event(&messages)).await.unwrap();
    assert_eq!(failures(&response), ["m2"]);
    assert_eq!(
        s3.requests(),
        ["GET large-orders/key", "DELETE large-orders/key"]
    );
}

#[test]
fn formats_and_clients_are_shared_by_services() {
    fn is_service_part<T: Send + Sync + Clone + fmt::Debug>() {}
    is_service_part::<LargeMessages>();
    is_service_part::<Sns<LargeMessages<Text>>>();
    let shown = format!("{:?}", S3::default().format());
    assert!(
        shown.contains("large-orders") && !shown.contains("secret"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in ".{0,80}", bucket in ".{0,5}", key in ".{0,5}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let s3 = S3::default();
        runtime.block_on(async {
            for body in [body, pointer(CLASS, &bucket, &key)] {
                assert!(decode(&s3.format(), marked(&body)).await.is_err());
            }
        });
        prop_assert!(s3.requests().is_empty());
    }
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let warnings = Self::default();
        let guard = subscriber::registry().with(warnings.clone()).set_default();
        (warnings, guard)
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        if event.metadata().target().starts_with("powertools") {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}
