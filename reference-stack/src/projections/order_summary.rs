use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::{EventId, StoredEvent, UnreadablePayload},
    orders::{Amount, Currency, CustomerId, OrderEvent, OrderId, OrderPlaced, Status},
    store::StoreError,
};

/// An order in short.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderSummary {
    /// The order.
    pub order_id: OrderId,
    /// The order's version that this tells of.
    pub version: u64,
    /// How far the order has come.
    pub status: Status,
    /// Who ordered.
    pub customer_id: CustomerId,
    /// How many pieces were ordered, of all items together.
    pub pieces: u64,
    /// What they cost.
    pub total: Amount,
    /// The currency of the total.
    pub currency: Currency,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The event that made it what it is.
    pub last_event_id: EventId,
}

impl OrderSummary {
    fn placed(event: &StoredEvent, placed: OrderPlaced) -> Self {
        Self {
            order_id: placed.order_id,
            version: event.aggregate_version,
            status: Status::Placed,
            customer_id: placed.customer_id,
            pieces: placed
                .items
                .iter()
                .map(|item| u64::from(item.quantity.get()))
                .sum(),
            total: placed.total,
            currency: placed.currency,
            placed_at: event.occurred_at,
            last_event_id: event.event_id,
        }
    }
}

/// What a conditional write did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It wrote.
    Applied,
    /// It left what was there, which is as new or newer.
    Stale,
    /// It left what was there, or nothing: a version in between is missing.
    Gap,
}

impl Change {
    /// Says why `version`, which is not the next one, was not written.
    pub(super) fn refused(stored: Option<u64>, version: u64) -> Self {
        if stored.is_some_and(|stored| version <= stored) {
            Self::Stale
        } else {
            Self::Gap
        }
    }
}

/// Where order summaries are kept.
pub trait OrderSummaryStore: Send + Sync + 'static {
    /// Stores a summary if its version is the next one: [`FIRST_VERSION`] where there is none, or
    /// one more than what is there.
    ///
    /// [`FIRST_VERSION`]: crate::event::FIRST_VERSION
    fn put_if_next(
        &self,
        summary: &OrderSummary,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;
}

/// Why an event was not projected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The event cannot be read.
    #[error("the event cannot be read")]
    Unreadable(#[from] UnreadablePayload),
    /// The projection could not be stored.
    #[error("the projection was not stored")]
    Store(#[from] StoreError),
}

/// The projection `order-summary`.
#[derive(Clone, Debug)]
pub struct OrderSummaries<S> {
    store: S,
}

impl<S: OrderSummaryStore> OrderSummaries<S> {
    /// Makes a projection that is kept in `store`.
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Takes an event into the projection.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the event or the store.
    pub async fn project(&self, event: &StoredEvent) -> Result<Change, ProjectionError> {
        let OrderEvent::Placed(placed) = OrderEvent::read(event)?;
        let summary = OrderSummary::placed(event, placed);
        Ok(self.store.put_if_next(&summary).await?)
    }
}
