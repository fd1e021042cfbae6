use std::sync::{Arc, Mutex, PoisonError};

use super::{EventStream, Message};
use crate::store::StoreError;

/// A stream in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryEventStream {
    messages: Arc<Mutex<Vec<Message>>>,
}

impl MemoryEventStream {
    /// Returns all messages in the order in which they were put.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl EventStream for MemoryEventStream {
    async fn put(&self, message: Message) -> Result<(), StoreError> {
        let mut stream = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        stream.push(message);
        Ok(())
    }
}
