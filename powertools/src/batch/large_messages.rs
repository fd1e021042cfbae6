use std::{borrow::Cow, fmt, sync::Arc};

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use serde::Deserialize;
use tracing::warn;

use super::{Data, DecodeError, DecodeErrorKind, Format, Json};

const FORMAT: &str = "large message";

/// The class names of the pointers that the extended clients of SQS and SNS write; the second is that
/// of older ones.
///
/// Source: <https://github.com/awslabs/payload-offloading-java-common-lib-for-aws>
const CLASSES: [&str; 2] = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
];

const MAX_SIZE: usize = 16 * 1024 * 1024;

/// Messages whose bodies were too large for SQS or SNS, and are in S3 ("claim check"). The body is
/// fetched, and left to another format.
///
/// It is what the extended client libraries of SQS and SNS send: a message with the attribute
/// `ExtendedPayloadSize`, or `SQSLargePayloadSize` of older ones, whose body says where the real one is:
///
/// ```json
/// [
///     "software.amazon.payloadoffloading.PayloadS3Pointer",
///     { "s3BucketName": "large-orders", "s3Key": "0b1f3c9e-5f0a-4d4e-8d8e-0a5a3a6c2d11" }
/// ]
/// ```
///
/// Messages without the attribute are left to the other format as they are. What has come by way of
/// SNS, without raw message delivery, has the attribute and the pointer in its notification: that is
/// [`Sns`](super::Sns) around this format.
///
/// # Which buckets
///
/// Who sends a message says what the function reads with its own rights, and, where it deletes, what
/// it deletes. So the buckets that it may be sent to are required; a pointer into any other
/// fails with [`DecodeErrorKind::Refused`] before S3 is asked for anything. Give the bucket to nothing
/// but large messages, and the function no more rights than `s3:GetObject` there, and
/// `s3:DeleteObject` if it deletes.
///
/// # Errors
///
/// | kind | why |
/// |---|---|
/// | [`Syntax`](DecodeErrorKind::Syntax) | the body is no pointer, although the attribute says so |
/// | [`Refused`](DecodeErrorKind::Refused) | the bucket is not one of those that were named |
/// | [`Missing`](DecodeErrorKind::Missing) | the bucket has no such object |
/// | [`TooLarge`](DecodeErrorKind::TooLarge) | the object is larger than [`max_size`](Self::max_size) |
/// | [`Fetch`](DecodeErrorKind::Fetch) | S3 could not be reached, or has refused: another time may do |
///
/// No text of an error has the pointer in it.
///
/// SQS's MD5 of the body is the pointer's. As nobody looks at it after the message has arrived, it is
/// left alone; S3's own checksum of the object is checked by the client.
///
/// # Examples
///
/// ```
/// use aws_sdk_s3::Client;
/// use powertools::batch::{LargeMessages, Sns};
///
/// fn formats(client: Client) {
///     // JSON from a queue:
///     let orders = LargeMessages::new(client.clone(), ["large-orders"]);
///     // JSON from a topic, through a queue, whose objects are of no use when they are handled:
///     let topic = Sns(LargeMessages::new(client, ["large-orders"]).delete_after_success(true));
/// #   drop((orders, topic));
/// }
/// ```
#[derive(Clone)]
pub struct LargeMessages<F = Json> {
    format: F,
    client: Client,
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
struct Config {
    buckets: Vec<String>,
    bucket_owner: Option<String>,
    max_size: usize,
    delete: bool,
}

impl LargeMessages {
    /// Fetches from these buckets and from no others. The bodies are JSON.
    pub fn new<B: Into<String>>(client: Client, buckets: impl IntoIterator<Item = B>) -> Self {
        Self {
            format: Json,
            client,
            config: Arc::new(Config {
                buckets: buckets.into_iter().map(Into::into).collect(),
                bucket_owner: None,
                max_size: MAX_SIZE,
                delete: false,
            }),
        }
    }
}

impl<F> LargeMessages<F> {
    /// Leaves the bodies to another format.
    ///
    /// Defaults to [`Json`].
    #[must_use]
    pub fn format<G>(self, format: G) -> LargeMessages<G> {
        LargeMessages {
            format,
            client: self.client,
            config: self.config,
        }
    }

    /// Sets how large a body may be, in bytes. It is in memory while its record is handled.
    ///
    /// Defaults to 16 MiB.
    #[must_use]
    pub fn max_size(self, bytes: usize) -> Self {
        self.with(|config| config.max_size = bytes)
    }

    /// Has S3 refuse buckets of other accounts than this one, should a bucket have been deleted and its
    /// name taken by somebody else.
    ///
    /// Defaults to any account.
    #[must_use]
    pub fn bucket_owner(self, account: impl Into<String>) -> Self {
        self.with(|config| config.bucket_owner = Some(account.into()))
    }

    /// Sets whether the object is deleted once the handler has succeeded with its record.
    ///
    /// An object that cannot be deleted is a warning; the record has succeeded all the same. Should the
    /// record be delivered again, as SQS may do, it fails with [`DecodeErrorKind::Missing`]. Objects
    /// whose records never succeed stay: a lifecycle rule of the bucket is needed with this as without.
    ///
    /// Defaults to `false`.
    #[must_use]
    pub fn delete_after_success(self, delete: bool) -> Self {
        self.with(|config| config.delete = delete)
    }

    fn with(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(Arc::make_mut(&mut self.config));
        self
    }

    async fn fetch(&self, object: &Object<'_>) -> Result<Vec<u8>, DecodeError> {
        let too_large = || DecodeError::new(FORMAT, DecodeErrorKind::TooLarge);
        let max_size = self.config.max_size;
        let request = self.client.get_object();
        let mut found = request
            .bucket(&*object.bucket)
            .key(&*object.key)
            .set_expected_bucket_owner(self.config.bucket_owner.clone())
            .send()
            .await
            .map_err(|error| {
                let kind = match error.code() {
                    Some("NoSuchKey") => DecodeErrorKind::Missing,
                    _ => DecodeErrorKind::Fetch,
                };
                DecodeError::new(FORMAT, kind).with_source(S3Error::of(&error))
            })?;

        let length = found.content_length().unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(0);
        if length > max_size {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(length);
        loop {
            let chunk = found.body.try_next().await.map_err(|_| {
                DecodeError::new(FORMAT, DecodeErrorKind::Fetch).with_source(S3Error::cut_off())
            })?;
            let Some(chunk) = chunk else {
                return Ok(body);
            };
            if chunk.len() > max_size - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
    }

    async fn delete(&self, object: &Object<'_>) {
        let request = self.client.delete_object();
        let deleted = request
            .bucket(&*object.bucket)
            .key(&*object.key)
            .set_expected_bucket_owner(self.config.bucket_owner.clone())
            .send()
            .await;
        if let Err(error) = deleted {
            let error = S3Error::of(&error);
            warn!(%error, "the object of a large message that was handled stays in S3");
        }
    }
}

impl<T, F> Format<T> for LargeMessages<F>
where
    T: Send + 'static,
    F: Format<T>,
{
    const AFTER_SUCCESS: bool = true;

    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<T, DecodeError> {
        if !data.is_pointer() {
            return self.format.decode(data).await;
        }
        let body = {
            let object = Object::of(&data, &self.config.buckets)?;
            self.fetch(&object).await?
        };
        self.format.decode(Data::bytes(body)).await
    }

    async fn after_success<'a>(&'a self, data: Data<'a>) {
        if !data.is_pointer() {
            if F::AFTER_SUCCESS {
                self.format.after_success(data).await;
            }
        } else if self.config.delete
            && let Ok(object) = Object::of(&data, &self.config.buckets)
        {
            self.delete(&object).await;
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for LargeMessages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LargeMessages")
            .field("format", &self.format)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Pointer<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Object<'a>);

/// Where a body is.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, rename = "s3BucketName")]
    bucket: Cow<'a, str>,
    #[serde(borrow, rename = "s3Key")]
    key: Cow<'a, str>,
}

impl<'a> Object<'a> {
    /// Reads a pointer, and refuses one that leads elsewhere.
    fn of(data: &'a Data<'_>, buckets: &[String]) -> Result<Self, DecodeError> {
        let error = |kind| DecodeError::new(FORMAT, kind);
        match serde_json::from_str(data.as_str()?) {
            Ok(Pointer(class, object)) if CLASSES.contains(&&*class) => {
                if buckets.iter().any(|bucket| *bucket == object.bucket) {
                    Ok(object)
                } else {
                    Err(error(DecodeErrorKind::Refused))
                }
            }
            _ => Err(error(DecodeErrorKind::Syntax)),
        }
    }
}

/// What S3 has said. The client's own error shows the whole answer, and that has the key in it.
#[derive(Debug, thiserror::Error)]
enum S3Error {
    #[error("S3 has answered `{code}` (status {status})")]
    Answered { code: String, status: u16 },
    #[error("S3 has not answered in time")]
    TimedOut,
    #[error("S3 could not be reached")]
    Unreachable,
    #[error("the request could not be made")]
    Construction,
    #[error("the object could not be read to its end, or is not what its checksum says")]
    CutOff,
}

impl S3Error {
    fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => Self::Answered {
                code: answer.err().code().unwrap_or("nothing").to_owned(),
                status: answer.raw().status().as_u16(),
            },
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::ConstructionFailure(_) => Self::Construction,
            _ => Self::Unreachable,
        }
    }

    const fn cut_off() -> Self {
        Self::CutOff
    }
}
