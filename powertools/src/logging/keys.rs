use std::fmt;

use serde::Serialize;
use tracing::level_filters::LevelFilter;

use super::fields::Fields;
use crate::Invocation;

/// Adds a key to every further line of the running invocation; one of the same name is replaced.
///
/// The value may be anything serialisable; what cannot be serialised becomes `null`. The keys of
/// the line itself (`level`, `location`, `message`, `timestamp`, `sampling_rate`, `xray_trace_id`)
/// are protected. Outside of an invocation nothing happens; what belongs on every line of the
/// process goes into [`Logger::key`](super::Logger::key).
pub fn append_key(name: &str, value: impl Serialize) {
    let key = key(name, value);
    Invocation::with_current(|invocation| invocation.logging().append(&key));
}

/// Adds a key until the guard is dropped; then what it replaced comes back.
///
/// # Examples
///
/// ```
/// use powertools::logging;
///
/// fn charge(attempts: u32) {
///     for attempt in 1..=attempts {
///         let _key = logging::scoped_key("attempt", attempt);
///         tracing::info!("charging");
///     }
/// }
/// ```
#[must_use = "the key is taken back when the guard is dropped"]
pub fn scoped_key(name: impl Into<String>, value: impl Serialize) -> KeyGuard {
    let name = name.into();
    let key = key(&name, value);
    let invocation = Invocation::current();
    let replaced = invocation
        .as_ref()
        .map(|invocation| invocation.logging().replace(&name, &key))
        .unwrap_or_default();
    KeyGuard {
        invocation,
        name,
        replaced,
    }
}

/// Removes a key that [`append_key`] added; an unknown one is no error.
pub fn remove_key(name: &str) {
    Invocation::with_current(|invocation| invocation.logging().remove(name));
}

/// Removes all keys that [`append_key`] added. The correlation id stays.
pub fn clear_keys() {
    Invocation::with_current(|invocation| invocation.logging().clear());
}

/// Returns the running invocation's correlation id.
#[must_use]
pub fn correlation_id() -> Option<String> {
    Invocation::with_current(|invocation| invocation.logging().correlation_id()).flatten()
}

/// Sets the running invocation's correlation id, the key `correlation_id` of every further line.
///
/// Outside of an invocation nothing happens.
pub fn set_correlation_id(id: impl Into<String>) {
    let id = id.into();
    Invocation::with_current(|invocation| invocation.logging().set_correlation_id(&id));
}

pub(super) fn request_level(level: LevelFilter) {
    Invocation::with_current(|invocation| invocation.logging().request_level(level));
}

/// Serialised before the invocation is looked for: the value's own code may log.
fn key(name: &str, value: impl Serialize) -> Fields {
    let mut key = Fields::default();
    key.insert(name, value);
    key
}

/// Takes a key back when it is dropped; returned by [`scoped_key`].
pub struct KeyGuard {
    invocation: Option<Invocation>,
    name: String,
    replaced: Fields,
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        if let Some(invocation) = &self.invocation {
            invocation.logging().restore(&self.name, &self.replaced);
        }
    }
}

impl fmt::Debug for KeyGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGuard")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_outside_of_an_invocation_change_nothing() {
        append_key("a", 1);
        set_correlation_id("one");
        drop(scoped_key("b", 2));
        remove_key("a");
        clear_keys();
        assert_eq!(correlation_id(), None);
    }
}
