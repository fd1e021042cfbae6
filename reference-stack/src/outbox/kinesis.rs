use aws_sdk_kinesis::{Client, primitives::Blob};

use super::{EventStream, Message};
use crate::{aws, config::ResourceName, store::StoreError};

/// The Kinesis stream `order-events`.
#[derive(Clone, Debug)]
pub struct KinesisEventStream {
    client: Client,
    name: ResourceName,
}

impl KinesisEventStream {
    /// Makes the stream of a name; nothing is sent.
    #[must_use]
    pub const fn new(client: Client, name: ResourceName) -> Self {
        Self { client, name }
    }
}

impl EventStream for KinesisEventStream {
    async fn put(&self, message: Message) -> Result<(), StoreError> {
        self.client
            .put_record()
            .stream_name(self.name.as_str())
            .partition_key(message.partition_key)
            .data(Blob::new(message.data))
            .send()
            .await
            .map_err(aws::store_error)?;
        Ok(())
    }
}
