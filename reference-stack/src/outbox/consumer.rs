use aws_lambda_events::{
    dynamodb::{Event, EventRecord},
    streams::DynamoDbEventResponse,
};
use lambda_runtime::LambdaEvent;

use super::{EventStream, Message, publish};
use crate::{
    event_store,
    stream::{Delivery, Failures, Record, last_start, report},
};

/// The consumer of the event store's stream.
#[derive(Clone, Debug)]
pub struct Outbox<S> {
    stream: S,
}

impl<S: EventStream> Outbox<S> {
    /// Makes an outbox that sends to `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends the new events of a batch, and answers with the records that failed.
    ///
    /// See [`crate::stream`] for what that leads to.
    pub async fn handle(&self, batch: LambdaEvent<Event>) -> DynamoDbEventResponse {
        let last_start = last_start(&batch.context);
        let opened: Vec<_> = batch
            .payload
            .records
            .into_iter()
            .filter_map(record)
            .map(Delivery::open)
            .collect();
        let messages: Vec<_> = opened.iter().flatten().map(message).collect();
        let outcomes = publish(&self.stream, &messages, last_start).await;
        let mut outcomes = outcomes.into_iter();

        let mut failures = Failures::default();
        for opened in opened {
            let Delivery {
                sequence_number,
                span,
                ..
            } = match opened {
                Ok(delivery) => delivery,
                Err(sequence_number) => {
                    failures.push(sequence_number);
                    continue;
                }
            };
            let outcome = outcomes.next().expect("every message has an outcome");
            span.in_scope(|| match outcome {
                Ok(()) => tracing::info!("event published"),
                Err(error) => {
                    report(&error);
                    failures.push(sequence_number);
                }
            });
        }
        failures.into()
    }
}

fn message(delivery: &Delivery) -> Message {
    Message {
        partition_key: delivery.event.aggregate_id.clone(),
        data: delivery.json.clone(),
    }
}

/// An event is new when its item is: events are never changed, and one that is deleted (an
/// operator's correction, say) was sent long ago.
fn record(record: EventRecord) -> Option<Record> {
    if record.event_name != "INSERT" {
        tracing::debug!(event_name = record.event_name, "record ignored");
        return None;
    }
    Some(Record {
        sequence_number: record.change.sequence_number.unwrap_or_default(),
        json: event_store::envelope(record.change.new_image),
    })
}

#[cfg(test)]
mod tests;
