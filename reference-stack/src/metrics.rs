//! The business metrics of all functions.

use powertools::metrics::{Metric, Unit};

/// Orders that were placed.
pub const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

/// The time from an order's event to its projection, in milliseconds. Counted at most once an event,
/// when it changes the projection: a record that is delivered again adds nothing. Nor does a write
/// whose answer was lost, as its second attempt finds the change made.
pub const ORDER_PROCESSING_TIME: Metric = Metric::new("OrderProcessingTime", Unit::Milliseconds);
