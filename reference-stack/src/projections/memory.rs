use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Change, OrderSummary, OrderSummaryStore};
use crate::{event::FIRST_VERSION, orders::OrderId, store::StoreError};

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
    async fn put_if_next(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        let mut summaries = self
            .summaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stored = summaries.get(&summary.order_id).map(|it| it.version);
        if summary.version != stored.map_or(FIRST_VERSION, |version| version + 1) {
            return Ok(Change::refused(stored, summary.version));
        }
        summaries.insert(summary.order_id, summary.clone());
        Ok(Change::Applied)
    }
}
