use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};

use super::{EventStream, Message, Rejected};
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
    async fn put(&self, messages: &[&Message]) -> Result<Vec<Result<(), Rejected>>, StoreError> {
        let entries = messages.iter().map(|message| {
            PutRecordsRequestEntry::builder()
                .partition_key(&message.partition_key)
                .data(Blob::new(message.data.clone()))
                .build()
                .map_err(aws::failed)
        });
        let output = self
            .client
            .put_records()
            .stream_name(self.name.as_str())
            .set_records(Some(entries.collect::<Result<_, _>>()?))
            .send()
            .await
            .map_err(aws::store_error)?;
        let outcomes: Vec<_> = output.records().iter().map(outcome).collect();
        if outcomes.len() == messages.len() {
            Ok(outcomes)
        } else {
            Err(aws::failed("the stream did not answer for every message"))
        }
    }
}

fn outcome(entry: &PutRecordsResultEntry) -> Result<(), Rejected> {
    entry.error_code().map_or(Ok(()), |code| {
        Err(Rejected {
            code: code.to_owned(),
        })
    })
}
