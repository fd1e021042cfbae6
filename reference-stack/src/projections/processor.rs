use jiff::Timestamp;
use lambda_runtime::LambdaEvent;
use powertools::batch::{
    AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, KinesisRecord, Record,
};
use tower::{Service, ServiceBuilder};

use super::{Change, OrderSummaries, OrderSummaryStore, ProjectionError};
use crate::{
    event::StoredEvent,
    metrics::ORDER_PROCESSING_TIME,
    stream::{EventError, in_span},
};

/// How many events of one batch are projected at the same time.
const CONCURRENCY: usize = 8;

type EventRecord = Record<StoredEvent, KinesisRecord>;

/// The consumer of the Kinesis stream `order-events`.
#[derive(Clone, Debug)]
pub struct OrderStreamProcessor<S> {
    summaries: OrderSummaries<S>,
    now: fn() -> Timestamp,
}

impl<S: OrderSummaryStore + Clone> OrderStreamProcessor<S> {
    /// Makes a processor that keeps one projection.
    pub const fn new(summaries: OrderSummaries<S>) -> Self {
        Self {
            summaries,
            now: Timestamp::now,
        }
    }

    /// Returns the service for a batch of the stream: it projects the events, those of one order in
    /// their order, and answers with the records that failed.
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
        let batch = BatchLayer::kinesis()
            .concurrency(CONCURRENCY)
            .after_failure(AfterFailure::Stop)
            .with_trace_header(|record: &EventRecord| record.payload.trace_header.clone())
            .metrics(true);
        ServiceBuilder::new()
            .layer(batch)
            .service_fn(move |record: EventRecord| {
                let processor = self.clone();
                // Boxed, or the types of all that awaits it nest deeper than the compiler looks.
                Box::pin(async move {
                    let event = &record.payload;
                    in_span(event, processor.project(event)).await
                })
            })
    }

    async fn project(&self, event: &StoredEvent) -> Result<(), EventError> {
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
                return Err(EventError::Failed(missing.into()));
            }
        }
        Ok(())
    }
}

impl From<ProjectionError> for EventError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unreadable(error) => Self::Failed(error.into()),
            ProjectionError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
