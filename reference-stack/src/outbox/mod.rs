//! The outbox: sends what the event store holds to the streams.
//!
//! An event is stored in the same transaction as the state that it changes, and nothing else is
//! written there. The event store's own stream then says what is new, and this function sends each
//! new event on, as it was stored, at least once and in the order of its aggregate. An event that
//! was not stored is never sent.
//!
//! An event that cannot be sent is tried again for as long as the event source mapping allows: the
//! mapping should have no limit on attempts, and a maximum age well below the 24 h for which the
//! stream keeps its records. What an outage outlasts goes to the dead-letter queue, stays in the
//! event store, and has to be sent from there by hand.

mod consumer;
mod kinesis;
mod memory;
mod stream;

pub use consumer::Outbox;
pub use kinesis::KinesisEventStream;
pub use memory::MemoryEventStream;
pub use stream::{EventStream, Message};
