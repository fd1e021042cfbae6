//! The outbox: sends what the event store holds to the streams.
//!
//! An event is stored in the same transaction as the state that it changes, and nothing else is
//! written there. The event store's own stream then says what is new, and this function sends each
//! new event on, as it was stored. An event that was stored is sent at least once, in the order of
//! its aggregate; an event that was not stored is never sent.

mod consumer;
mod kinesis;
mod memory;
mod publish;
mod stream;

pub use consumer::Outbox;
pub use kinesis::KinesisEventStream;
pub use memory::MemoryEventStream;
pub use publish::{PublishError, publish};
pub use stream::{EventStream, MAX_PUT_BYTES, MAX_PUT_MESSAGES, Message, Rejected};

/// The attribute of an event store's item that holds the envelope, as JSON text.
pub const EVENT_ATTRIBUTE: &str = "event";
