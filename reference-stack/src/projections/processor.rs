use aws_lambda_events::{
    kinesis::{KinesisEvent, KinesisEventRecord},
    streams::KinesisEventResponse,
};
use jiff::Timestamp;
use lambda_runtime::LambdaEvent;

use super::{Change, OrderSummaries, OrderSummaryStore, ProjectionError};
use crate::{
    event::StoredEvent,
    metrics::ORDER_PROCESSING_TIME,
    stream::{EventHandler, Record, RecordError, for_each, last_start},
};

/// The consumer of the Kinesis stream `order-events`.
#[derive(Clone, Debug)]
pub struct OrderStreamProcessor<S> {
    summaries: OrderSummaries<S>,
    now: fn() -> Timestamp,
}

impl<S: OrderSummaryStore> OrderStreamProcessor<S> {
    /// Makes a processor that keeps one projection.
    pub const fn new(summaries: OrderSummaries<S>) -> Self {
        Self {
            summaries,
            now: Timestamp::now,
        }
    }

    /// Projects the events of a batch, and answers with the records that failed.
    ///
    /// See [`crate::stream`] for what that leads to.
    pub async fn handle(&self, batch: LambdaEvent<KinesisEvent>) -> KinesisEventResponse {
        let last_start = last_start(&batch.context);
        let records = batch.payload.records.into_iter().map(record).collect();
        for_each(records, last_start, self).await.into()
    }
}

impl<S: OrderSummaryStore> EventHandler for OrderStreamProcessor<S> {
    async fn handle(&self, event: &StoredEvent) -> Result<(), RecordError> {
        match self.summaries.project(event).await? {
            Change::Applied => {
                let took = (self.now)().duration_since(event.occurred_at);
                // The clocks of two machines may differ by more than an event takes.
                let milliseconds = took.as_secs_f64().max(0.0) * 1000.0;
                ORDER_PROCESSING_TIME.record(milliseconds);
                tracing::info!(processing_time_ms = milliseconds, "order summary updated");
            }
            Change::Stale => tracing::info!("order summary is as new already"),
            Change::Gap => {
                let missing = "an earlier event of the order is not in its summary";
                return Err(RecordError::Failed(missing.into()));
            }
        }
        Ok(())
    }
}

impl From<ProjectionError> for RecordError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unreadable(error) => Self::Failed(error.into()),
            ProjectionError::Store(error) => error.into(),
        }
    }
}

fn record(record: KinesisEventRecord) -> Record {
    Record {
        sequence_number: record.kinesis.sequence_number,
        json: Ok(record.kinesis.data.0),
    }
}

#[cfg(test)]
mod tests;
