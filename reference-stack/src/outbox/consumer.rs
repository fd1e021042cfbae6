use lambda_runtime::LambdaEvent;
use powertools::batch::{
    AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, Change, DecodeError,
    DynamoDbRecord, EventName, Record, UndecodableRecord,
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

use super::{EventStream, Message};
use crate::{
    event_store::EventItem,
    stream::{EventError, in_span},
};

type ItemRecord = Record<Change<EventItem>, DynamoDbRecord>;

/// The consumer of the event store's stream.
#[derive(Clone, Debug)]
pub struct Outbox<S> {
    stream: S,
}

impl<S: EventStream + Clone> Outbox<S> {
    /// Makes an outbox that sends to `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Returns the service for a batch of the event store's stream: it sends the new events, one
    /// after the other, and answers with the records that failed.
    ///
    /// See [`crate::stream`] for what that leads to.
    pub fn into_service(
        self,
    ) -> impl Service<
        LambdaEvent<BatchEvent>,
        Response = BatchResponse,
        Error = BatchError<EventError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static {
        // No concurrency: the layer would keep the order of each item, and here every event is one.
        let batch = BatchLayer::dynamodb()
            .after_failure(AfterFailure::Stop)
            .on_undecodable(pass_over_unless_new)
            .with_trace_header(|record: &ItemRecord| {
                let item = record.payload.new.as_ref()?;
                item.event.envelope.trace_header.clone()
            })
            .metrics(true);
        ServiceBuilder::new()
            .layer(batch)
            .service_fn(move |record| {
                let outbox = self.clone();
                // Boxed, or the types of all that awaits it nest deeper than the compiler looks.
                Box::pin(async move { outbox.send(record).await })
            })
    }

    /// Sends an item's event on, if it is new. It is when its item is: events are never changed, and
    /// one that is deleted (an operator's correction, say) was sent long ago.
    async fn send(&self, record: ItemRecord) -> Result<(), EventError> {
        let (EventName::Insert, Some(item)) = (record.source.event_name, record.payload.new) else {
            tracing::debug!(event_name = ?record.source.event_name, "record ignored");
            return Ok(());
        };
        let event = &item.event.envelope;
        let message = Message {
            partition_key: event.aggregate_id.clone(),
            data: item.event.json.into_bytes(),
        };
        in_span(event, async {
            self.stream.put(message).await?;
            tracing::info!("event published");
            Ok(())
        })
        .await
    }
}

/// What is in an item that is no new event does not matter: least of all when it is deleted because
/// nobody can read it.
async fn pass_over_unless_new(record: UndecodableRecord) -> Result<(), DecodeError> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(rename = "eventName")]
        event_name: EventName,
    }
    match serde_json::from_str(record.raw.get()) {
        Ok(Raw {
            event_name: EventName::Modify | EventName::Remove,
        }) => Ok(()),
        _ => Err(record.error),
    }
}

#[cfg(test)]
mod tests;
