//! Where a source and a format meet.

use serde::de::DeserializeOwned;

use super::{
    Change, Data, DecodeError, DynamoDb, Format, Images, Kafka, Kinesis, Source, Sqs, SqsFifo,
};

/// A format that can decode what a source's records carry.
///
/// Implemented for every [`Format<T>`] on SQS, Kinesis and Kafka, and for [`Images`] on DynamoDB.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make `{T}` of a record of `{S}`",
    note = "JSON needs a `T` that is `DeserializeOwned`; the payload of a DynamoDB record is a `Change<T>`"
)]
pub trait Decode<S: Source, T>: Send + Sync + 'static {
    #[doc(hidden)]
    const AFTER_SUCCESS: bool;

    #[doc(hidden)]
    fn decode<'a>(
        &'a self,
        body: S::Body<'a>,
    ) -> impl Future<Output = Result<T, DecodeError>> + Send;

    #[doc(hidden)]
    fn after_success<'a>(&'a self, body: S::Body<'a>) -> impl Future<Output = ()> + Send;
}

macro_rules! impl_decode {
    ($source:ty, $data:expr) => {
        impl<F: Format<T>, T> Decode<$source, T> for F {
            const AFTER_SUCCESS: bool = <F as Format<T>>::AFTER_SUCCESS;

            async fn decode<'a>(
                &'a self,
                body: <$source as super::source::internal::Source>::Body<'a>,
            ) -> Result<T, DecodeError> {
                Format::decode(self, $data(body)?).await
            }

            async fn after_success<'a>(
                &'a self,
                body: <$source as super::source::internal::Source>::Body<'a>,
            ) {
                if let Ok(data) = $data(body) {
                    Format::<T>::after_success(self, data).await;
                }
            }
        }
    };
}

impl_decode!(Sqs, as_it_is);
impl_decode!(SqsFifo, as_it_is);
impl_decode!(Kinesis, super::source::KinesisBody::data);
impl_decode!(Kafka, super::source::KafkaBody::data);

const fn as_it_is(data: Data<'_>) -> Result<Data<'_>, DecodeError> {
    Ok(data)
}

impl<T: DeserializeOwned + Send + 'static> Decode<DynamoDb, Change<T>> for Images {
    const AFTER_SUCCESS: bool = false;

    async fn decode<'a>(
        &'a self,
        body: <DynamoDb as super::source::internal::Source>::Body<'a>,
    ) -> Result<Change<T>, DecodeError> {
        body.decode()
    }

    async fn after_success<'a>(
        &'a self,
        _: <DynamoDb as super::source::internal::Source>::Body<'a>,
    ) {
    }
}
