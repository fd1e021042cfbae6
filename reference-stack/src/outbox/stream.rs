use crate::store::StoreError;

/// What is put on a stream.
///
/// It never comes near the limit of a message (1 MiB): an item of DynamoDB has at most 400 kB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Messages of one key are read in the order in which they were put.
    pub partition_key: String,
    /// The message itself.
    pub data: Vec<u8>,
}

/// A stream that messages are put on.
pub trait EventStream: Send + Sync + 'static {
    /// Puts a message.
    ///
    /// # Errors
    ///
    /// Returns why it was not put, or, where an answer was lost, why it may not have been.
    fn put(&self, message: Message) -> impl Future<Output = Result<(), StoreError>> + Send;
}
