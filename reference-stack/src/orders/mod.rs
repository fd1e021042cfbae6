//! Orders: placing and reading them.
//!
//! [`Orders`] is what can be done, [`OrderStore`] what that needs. Around them: [`http`] speaks to
//! customers, [`DynamoDbOrderStore`] to the tables.

mod dynamodb;
pub mod http;
mod memory;
mod order;
mod service;
mod store;

pub use dynamodb::DynamoDbOrderStore;
pub use memory::MemoryOrderStore;
pub use order::{
    Amount, Currency, CustomerId, Item, MAX_AMOUNT, MAX_CODE_LENGTH, MAX_ITEMS, MAX_QUANTITY,
    Order, OrderEvent, OrderId, OrderPlaced, PlaceOrder, PlaceOrderItem, Quantity, Sku, Status,
};
pub use service::{Orders, PlaceOrderError};
pub use store::OrderStore;
