//! The loop over the records of a stream, written once for all consumers.
//!
//! # How a batch is answered
//!
//! The event source mappings have `ReportBatchItemFailures`: a function answers with the sequence
//! numbers of the records that failed. Lambda sets its checkpoint at the *lowest* of them and
//! delivers that record and **everything after it** again, also what had succeeded, until the
//! record succeeds or, bisected and out of attempts, goes to the dead-letter queue. So
//!
//! - handlers are idempotent: an event that was handled before changes nothing;
//! - one bad record doesn't stop its neighbours: they are handled now, and again later;
//! - order per aggregate is kept: after a record that failed, later ones of its aggregate are held
//!   back, that is reported without being tried. Only of a record whose envelope cannot be read is
//!   the aggregate not known;
//! - after a store was unavailable, all that is left is held back: it would only wait in vain;
//! - so is what the invocation has no time left for, see [`last_start`].
//!
//! A record without a sequence number is reported with an empty one, which Lambda reads as the
//! failure of the whole batch; and so it should, as it cannot be told where to go on.
//!
//! # What a record's log lines and spans carry
//!
//! Every record is handled in a span of its own. The trace header in the event's envelope is its
//! parent, so that it belongs to the trace of the request that caused the event, and it links to
//! the trace of the consumer's own invocation. The span's fields are on all log lines within it:
//! that is how each line has its *record's* `correlation_id`, although one invocation handles the
//! records of many requests. The field is written `annotation.correlation_id`, which also makes it
//! a searchable annotation of the span.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime},
};

use aws_lambda_events::streams::{
    DynamoDbBatchItemFailure, DynamoDbEventResponse, KinesisEventResponse,
};
use lambda_runtime::Context;
use powertools::trace::{SpanExt, TraceHeader};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::{
    aws,
    event::StoredEvent,
    store::{BoxError, StoreError},
};

/// What an invocation needs after its last call, to answer and to hand over its telemetry.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// Returns until when a call to a store or stream may be begun, so that it ends, and its outcome is
/// told, before Lambda ends the invocation: an invocation that times out has failed as a whole.
///
/// With 9 s of an invocation left nothing is begun. A consumer's timeout is better a minute.
pub fn last_start(context: &Context) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now());
    Instant::now()
        + left
            .unwrap_or_default()
            .saturating_sub(aws::OPERATION_TIMEOUT + TIME_TO_ANSWER)
}

/// Handles one event; the same one may come again.
pub trait EventHandler: Sync {
    /// Handles an event, with at most one call to a store.
    fn handle(&self, event: &StoredEvent) -> impl Future<Output = Result<(), RecordError>> + Send;
}

/// Why a record was not handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is no event in the record.
    #[error("the record is malformed")]
    Malformed(#[source] BoxError),
    /// A store is unavailable, for this record as for those after it.
    #[error("the record could not be handled now")]
    Unavailable(#[source] BoxError),
    /// The event, or the store's answer to it, is not what it should be.
    #[error("the record was not handled")]
    Failed(#[source] BoxError),
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.into()),
            StoreError::Conflict | StoreError::Failed(_) => Self::Failed(error.into()),
        }
    }
}

/// A record of a stream.
#[derive(Debug)]
pub struct Record {
    /// What the record is reported by.
    pub sequence_number: String,
    /// An event's envelope as JSON, or why there is none.
    pub json: Result<Vec<u8>, BoxError>,
}

/// A record whose event has been read, with the span in which it is handled.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) sequence_number: String,
    pub(crate) json: Vec<u8>,
    pub(crate) event: StoredEvent,
    pub(crate) span: Span,
}

impl Delivery {
    /// Reads a record's event and opens its span. A malformed record leaves a line in the log, and
    /// its sequence number.
    pub(crate) fn open(record: Record) -> Result<Self, String> {
        let Record {
            sequence_number,
            json,
        } = record;
        let read = json.and_then(|json| {
            let event: StoredEvent = serde_json::from_slice(&json)?;
            Ok((json, event))
        });
        match read {
            Ok((json, event)) => {
                let span = span(&sequence_number, &event);
                Ok(Self {
                    sequence_number,
                    json,
                    event,
                    span,
                })
            }
            Err(error) => {
                let error = RecordError::Malformed(error);
                tracing::info_span!("handle event", sequence_number).in_scope(|| report(&error));
                Err(sequence_number)
            }
        }
    }
}

fn span(sequence_number: &str, event: &StoredEvent) -> Span {
    let span = tracing::info_span!(
        "handle event",
        annotation.correlation_id = event.correlation_id.as_deref(),
        annotation.event_type = event.event_type,
        annotation.aggregate_id = event.aggregate_id,
        aggregate_version = event.aggregate_version,
        event_id = %event.event_id,
        sequence_number,
    );
    // A header that cannot be read costs the link between two traces, not the event.
    if let Some(header) = event
        .trace_header
        .as_deref()
        .and_then(|it| it.parse::<TraceHeader>().ok())
    {
        span.continue_trace(&header);
    }
    span
}

/// Leaves the one line of a failed record, in its span.
pub(crate) fn report(error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error, "record failed");
}

/// Handles records one after the other; see the [module docs](self).
pub async fn for_each<H: EventHandler>(
    records: Vec<Record>,
    last_start: Instant,
    handler: &H,
) -> Failures {
    let mut failures = Failures::default();
    let mut failed_aggregates = HashSet::new();
    let mut is_unavailable = false;
    for record in records {
        let Delivery {
            sequence_number,
            event,
            span,
            ..
        } = match Delivery::open(record) {
            Ok(delivery) => delivery,
            Err(sequence_number) => {
                failures.push(sequence_number);
                continue;
            }
        };
        let held_back = if is_unavailable {
            Some("a store is unavailable")
        } else if Instant::now() > last_start {
            Some("the invocation's time is running out")
        } else if failed_aggregates.contains(&event.aggregate_id) {
            Some("an earlier record of the aggregate failed")
        } else {
            None
        };
        if let Some(reason) = held_back {
            span.in_scope(|| tracing::warn!(reason, "record held back"));
            failures.push(sequence_number);
            continue;
        }
        let handled = async {
            let handled = catch_panic(handler.handle(&event)).await;
            handled.inspect_err(|error| report(error))
        };
        if let Err(error) = handled.instrument(span).await {
            failures.push(sequence_number);
            failed_aggregates.insert(event.aggregate_id);
            is_unavailable |= matches!(error, RecordError::Unavailable(_));
        }
    }
    failures
}

/// Makes a panic the failure of one record. The handler is not polled again, and what it shares
/// with the next record, clients and locks that cannot be poisoned, stays sound.
async fn catch_panic<F>(future: F) -> Result<(), RecordError>
where
    F: Future<Output = Result<(), RecordError>>,
{
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or(Poll::Ready(Err(RecordError::Panicked)))
    })
    .await
}

/// The sequence numbers of the records that failed, in the order of the batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Failures {
    sequence_numbers: Vec<String>,
}

impl Failures {
    pub(crate) fn push(&mut self, sequence_number: String) {
        self.sequence_numbers.push(sequence_number);
    }
}

impl From<Failures> for KinesisEventResponse {
    fn from(failures: Failures) -> Self {
        let mut response = Self::default();
        response.set_failures(failures.sequence_numbers);
        response
    }
}

impl From<Failures> for DynamoDbEventResponse {
    fn from(failures: Failures) -> Self {
        let failure = |sequence_number| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_number);
            failure
        };
        let mut response = Self::default();
        response.batch_item_failures = failures.sequence_numbers.into_iter().map(failure).collect();
        response
    }
}

#[cfg(test)]
pub(crate) mod tests;
