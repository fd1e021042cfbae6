use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use lambda_runtime::Context;
use serde::Serialize;

use super::fields::{Fields, write_json};
use crate::Invocation;

/// What the log lines of one invocation carry.
#[derive(Default)]
pub(crate) struct State {
    /// Rendered by the invocation's first line: a silent invocation pays nothing.
    context: OnceLock<ContextKeys>,
    keys: Mutex<Keys>,
}

struct ContextKeys {
    fields: Fields,
    /// The trace's id as JSON.
    trace_id: Option<Vec<u8>>,
}

#[derive(Default)]
struct Keys {
    correlation_id: Option<String>,
    appended: Fields,
}

impl State {
    pub(super) fn correlation_id(&self) -> Option<String> {
        self.lock().correlation_id.clone()
    }

    pub(super) fn set_correlation_id(&self, id: String) {
        self.lock().correlation_id = Some(id);
    }

    fn append(&self, keys: &Fields) {
        self.lock().appended.extend(keys);
    }

    fn remove(&self, name: &str) {
        let mut keys = self.lock();
        keys.appended.remove(name);
        if name == CORRELATION_ID {
            keys.correlation_id = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CORRELATION_ID: &str = "correlation_id";

/// Adds the invocation's keys to a line and returns its trace's id as JSON.
pub(super) fn extend<'a>(line: &mut Fields, invocation: &'a Invocation) -> Option<&'a [u8]> {
    let state = invocation.logging();
    let context = state
        .context
        .get_or_init(|| ContextKeys::new(invocation.context(), invocation.is_cold_start()));
    line.extend(&context.fields);
    let keys = state.lock();
    if let Some(id) = &keys.correlation_id {
        line.insert(CORRELATION_ID, id);
    }
    line.extend(&keys.appended);
    context.trace_id.as_deref()
}

impl ContextKeys {
    fn new(context: &Context, cold_start: bool) -> Self {
        let mut fields = Fields::default();
        fields.insert("cold_start", cold_start);
        let config = &context.env_config;
        insert_known(&mut fields, "function_name", &config.function_name);
        if config.memory > 0 {
            fields.insert("function_memory_size", config.memory);
        }
        insert_known(&mut fields, "function_arn", &context.invoked_function_arn);
        insert_known(&mut fields, "function_request_id", &context.request_id);
        insert_known(
            &mut fields,
            "tenant_id",
            context.tenant_id.as_deref().unwrap_or_default(),
        );
        Self {
            fields,
            trace_id: context.xray_trace_id.as_deref().and_then(trace_id),
        }
    }
}

fn insert_known(fields: &mut Fields, name: &str, value: &str) {
    if !value.is_empty() {
        fields.insert(name, value);
    }
}

/// Returns the `Root` of an X-Ray trace header as JSON.
pub(super) fn trace_id(header: &str) -> Option<Vec<u8>> {
    let root = header
        .split(';')
        .find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut json = Vec::with_capacity(root.len() + 2);
    write_json(&mut json, root);
    Some(json)
}

/// Adds a key to every further line of the running invocation; one of the same name is replaced.
///
/// The value may be anything serialisable; what cannot be serialised becomes `null`. The keys of
/// the line itself (`level`, `location`, `message`, `timestamp`, `sampling_rate`, `xray_trace_id`)
/// are protected. Outside of an invocation nothing happens.
pub fn append_key(name: &str, value: impl Serialize) {
    // Serialised before the lock is taken: the value's own code may log.
    let mut keys = Fields::default();
    keys.insert(name, value);
    Invocation::with_current(|invocation| invocation.logging().append(&keys));
}

/// Removes a key that [`append_key`] added; an unknown one is no error.
pub fn remove_key(name: &str) {
    Invocation::with_current(|invocation| invocation.logging().remove(name));
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
    Invocation::with_current(|invocation| invocation.logging().set_correlation_id(id.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_of_a_trace_header_is_logged() {
        let id = |header| trace_id(header).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(
            id("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
                .as_deref(),
            Some(r#""1-5759e988-bd862e3fe1be46a994272793""#)
        );
        assert_eq!(id("Sampled=1; Root=1-a").as_deref(), Some(r#""1-a""#));
        assert_eq!(id("Parent=53995c3f42cd8ad8"), None);
    }

    #[test]
    fn keys_outside_of_an_invocation_change_nothing() {
        append_key("a", 1);
        set_correlation_id("one");
        remove_key("a");
        assert_eq!(correlation_id(), None);
    }
}
