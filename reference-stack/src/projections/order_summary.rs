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
    pub pieces: u32,
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
            pieces: placed.items.iter().map(|item| item.quantity.get()).sum(),
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
}

/// Where order summaries are kept.
pub trait OrderSummaryStore: Send + Sync + 'static {
    /// Stores a summary, unless one of the same or a later version is there.
    fn put_if_newer(
        &self,
        summary: &OrderSummary,
    ) -> impl Future<Output = Result<Change, StoreError>> + Send;
}

/// What an event did to a projection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Projected {
    /// The event is in the projection now.
    Applied,
    /// It was there before.
    Stale,
    /// It is none of the types that the projection is made of.
    Ignored,
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
    pub async fn project(&self, event: &StoredEvent) -> Result<Projected, ProjectionError> {
        let Some(OrderEvent::Placed(placed)) = OrderEvent::read(event)? else {
            return Ok(Projected::Ignored);
        };
        let summary = OrderSummary::placed(event, placed);
        Ok(match self.store.put_if_newer(&summary).await? {
            Change::Applied => Projected::Applied,
            Change::Stale => Projected::Stale,
        })
    }
}
