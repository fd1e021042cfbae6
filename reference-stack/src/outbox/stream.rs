use crate::store::StoreError;

/// The most messages of one [`EventStream::put`].
///
/// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub const MAX_PUT_MESSAGES: usize = 500;

/// The most bytes of one [`EventStream::put`], partition keys counted.
///
/// No message comes near the limit of its own (1 MiB): an item of DynamoDB has at most 400 kB.
///
/// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub const MAX_PUT_BYTES: usize = 5 * 1024 * 1024;

/// What is put on a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Messages of one key are read in the order in which they were put.
    pub partition_key: String,
    /// The message itself.
    pub data: Vec<u8>,
}

impl Message {
    pub(super) const fn size(&self) -> usize {
        self.partition_key.len() + self.data.len()
    }
}

/// Why the stream did not take one message of several.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}")]
pub struct Rejected {
    /// The stream's word for it, such as `ProvisionedThroughputExceededException`.
    pub code: String,
}

/// A stream that messages are put on.
pub trait EventStream: Send + Sync + 'static {
    /// Puts up to [`MAX_PUT_MESSAGES`] messages of up to [`MAX_PUT_BYTES`] in all, with one request.
    ///
    /// Returns one outcome for each message, in their order. The stream takes or rejects each for
    /// itself, so messages of one key in one request may end up in another order.
    ///
    /// # Errors
    ///
    /// Returns why the request as a whole failed.
    fn put(
        &self,
        messages: &[&Message],
    ) -> impl Future<Output = Result<Vec<Result<(), Rejected>>, StoreError>> + Send;
}
