use super::{Order, OrderEvent, OrderId};
use crate::{event::Envelope, store::StoreError};

/// Where orders and their events are kept.
pub trait OrderStore: Send + Sync + 'static {
    /// Stores a new order together with the event that begins it: both, or neither.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the order or the event exists already.
    fn create(
        &self,
        event: &Envelope<OrderEvent>,
        order: &Order,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns an order as it is now: what was stored before is seen.
    fn find(&self, id: OrderId) -> impl Future<Output = Result<Option<Order>, StoreError>> + Send;
}
