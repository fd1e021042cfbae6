use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Order, OrderEvent, OrderId, OrderStore};
use crate::{event::Envelope, store::StoreError};

/// Keeps orders in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryOrderStore {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    orders: HashMap<OrderId, Order>,
    events: Vec<Envelope<OrderEvent>>,
}

impl MemoryOrderStore {
    /// Returns all events in the order in which they were stored.
    #[must_use]
    pub fn events(&self) -> Vec<Envelope<OrderEvent>> {
        self.lock().events.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrderStore for MemoryOrderStore {
    async fn create(&self, event: &Envelope<OrderEvent>, order: &Order) -> Result<(), StoreError> {
        let mut tables = self.lock();
        let is_stored = |stored: &Envelope<OrderEvent>| {
            (&stored.aggregate_id, stored.aggregate_version)
                == (&event.aggregate_id, event.aggregate_version)
        };
        if tables.orders.contains_key(&order.order_id) || tables.events.iter().any(is_stored) {
            return Err(StoreError::Conflict);
        }
        tables.events.push(event.clone());
        tables.orders.insert(order.order_id, order.clone());
        Ok(())
    }

    async fn find(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        Ok(self.lock().orders.get(&id).cloned())
    }
}
