//! The business metrics of all functions.

use powertools::metrics::{Metric, Unit};

/// Orders that were placed.
pub const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

/// The time from an order's event to its projection, in milliseconds. Counted when the event first
/// changes the projection: a record that is delivered again adds nothing.
pub const ORDER_PROCESSING_TIME: Metric = Metric::new("OrderProcessingTime", Unit::Milliseconds);
