//! Projections: what the events add up to, kept ready for reading.
//!
//! Each projection is a function of the events alone and may be thrown away and built again. It
//! takes an event only if that is newer than what it holds, in the same conditional write that
//! stores it; so events that come twice, or late, change nothing.

mod dynamodb;
mod memory;
mod order_summary;
mod processor;

pub use dynamodb::DynamoDbOrderSummaryStore;
pub use memory::MemoryOrderSummaryStore;
pub use order_summary::{
    Change, OrderSummaries, OrderSummary, OrderSummaryStore, Projected, ProjectionError,
};
pub use processor::OrderStreamProcessor;
