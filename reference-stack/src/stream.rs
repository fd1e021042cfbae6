//! What the consumers of streams share.
//!
//! # How a batch is answered
//!
//! [`powertools::batch`] handles the records one by one and answers with the sequence numbers of
//! those that failed, which the event source mappings read (`ReportBatchItemFailures`). Lambda sets
//! its checkpoint at the *lowest* of them and delivers that record and **everything after it** again,
//! until the record succeeds or, bisected and out of attempts, goes to the dead-letter queue. So
//!
//! - after a failure no record is begun any more ([`AfterFailure::Stop`]): what follows comes again
//!   anyway, order is kept, and a store that is unavailable is not asked for each record in vain;
//! - handlers are idempotent all the same: of the records that were under way at that moment, and of
//!   an invocation whose answer was lost, events come twice, and the second time change nothing.
//!
//! [`AfterFailure::Stop`]: powertools::batch::AfterFailure::Stop
//!
//! # What a record's log lines and spans carry
//!
//! Every record is handled in a span of its own, `record`. The trace header in the event's envelope
//! is its parent, so that it belongs to the trace of the request that caused the event, and it links
//! to the trace of the consumer's own invocation. In it is the span `handle event`, whose fields are
//! on all log lines within: that is how each line has its *record's* `correlation_id`, although one
//! invocation handles the records of many requests. The field is written
//! `annotation.correlation_id`, which also makes it a searchable annotation of the span.

use lambda_runtime::Diagnostic;
use tracing::Instrument;

use crate::{
    event::StoredEvent,
    store::{BoxError, StoreError},
};

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A store is unavailable.
    #[error("the event could not be handled now")]
    Unavailable(#[source] BoxError),
    /// The event, or the store's answer to it, is not what it should be.
    #[error("the event was not handled")]
    Failed(#[source] BoxError),
}

impl From<StoreError> for EventError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.into()),
            StoreError::Conflict | StoreError::Failed(_) => Self::Failed(error.into()),
        }
    }
}

/// What Lambda is told of a batch of which all failed.
impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        let kind = match error {
            EventError::Unavailable(_) => "Unavailable",
            EventError::Failed(_) => "Failed",
        };
        Self {
            error_type: kind.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Handles an event in a span that says which it is. A failure leaves a line there.
pub(crate) async fn in_span(
    event: &StoredEvent,
    handled: impl Future<Output = Result<(), EventError>>,
) -> Result<(), EventError> {
    let span = tracing::info_span!(
        "handle event",
        annotation.correlation_id = event.correlation_id.as_deref(),
        annotation.event_type = event.event_type,
        annotation.aggregate_id = event.aggregate_id,
        aggregate_version = event.aggregate_version,
        event_id = %event.event_id,
    );
    let handled = async {
        handled.await.inspect_err(|error| {
            let error: &(dyn std::error::Error + 'static) = error;
            tracing::error!(error, "event failed");
        })
    };
    handled.instrument(span).await
}

#[cfg(test)]
pub(crate) mod tests;
