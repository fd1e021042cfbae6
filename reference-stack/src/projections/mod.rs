//! Projections: what the events add up to, kept ready for reading.
//!
//! Each projection is a function of the events alone and may be thrown away and built again. It
//! takes an event only if that is the next one of its aggregate, which the conditional write that
//! stores it checks: an event that comes twice changes nothing, and one that comes before its
//! predecessor fails until that is there.

mod dynamodb;
mod memory;
mod order_summary;
mod processor;

pub use dynamodb::DynamoDbOrderSummaryStore;
pub use memory::MemoryOrderSummaryStore;
pub use order_summary::{Change, OrderSummaries, OrderSummary, OrderSummaryStore, ProjectionError};
pub use processor::OrderStreamProcessor;
