use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Change, OrderSummary, OrderSummaryStore};
use crate::{orders::OrderId, store::StoreError};

/// Keeps order summaries in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryOrderSummaryStore {
    summaries: Arc<Mutex<HashMap<OrderId, OrderSummary>>>,
}

impl MemoryOrderSummaryStore {
    /// Returns the summary of an order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<OrderSummary> {
        self.summaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }
}

impl OrderSummaryStore for MemoryOrderSummaryStore {
    async fn put_if_newer(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        let mut summaries = self
            .summaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match summaries.entry(summary.order_id) {
            Entry::Occupied(stored) if stored.get().version >= summary.version => {
                return Ok(Change::Stale);
            }
            Entry::Occupied(mut stored) => {
                stored.insert(summary.clone());
            }
            Entry::Vacant(free) => {
                free.insert(summary.clone());
            }
        }
        Ok(Change::Applied)
    }
}
