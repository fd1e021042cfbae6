use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use lambda_runtime::Context;
use tracing::level_filters::LevelFilter;

use super::{buffer::HeldBack, fields::Fields, sampling::Sampler};
use crate::{Invocation, json};

/// What the log lines of one invocation carry.
#[derive(Default)]
pub(crate) struct State {
    /// Rendered by the invocation's first line: a silent invocation pays nothing.
    context: OnceLock<ContextKeys>,
    /// The correlation id and the appended keys.
    keys: Mutex<Fields>,
    /// The level that the request asked for.
    requested: OnceLock<LevelFilter>,
    /// Whether the invocation was drawn; by its first event that asks.
    sampled: OnceLock<bool>,
    held_back: Mutex<HeldBack>,
    /// How many calls of the layer's service are under way: more than one if the layer is there
    /// twice. With none, nobody would bring out what is held back.
    calls: AtomicUsize,
}

struct ContextKeys {
    fields: Fields,
    /// The trace's id as JSON.
    trace_id: Option<Vec<u8>>,
}

/// The key of the id that everything caused by one request shares.
const CORRELATION_ID: &str = "correlation_id";
const QUOTED_CORRELATION_ID: &[u8] = br#""correlation_id""#;

impl State {
    pub(super) fn correlation_id(&self) -> Option<String> {
        let keys = self.keys();
        let mut members = keys.iter();
        let id = members.find(|member| member.name == QUOTED_CORRELATION_ID)?;
        serde_json::from_slice(id.value).ok()
    }

    pub(super) fn set_correlation_id(&self, id: &str) {
        let mut keys = self.keys();
        keys.insert_text(CORRELATION_ID, id);
        keys.collect_garbage();
    }

    pub(super) fn append(&self, keys: &Fields) {
        let mut state = self.keys();
        state.extend(keys);
        state.collect_garbage();
    }

    pub(super) fn remove(&self, name: &str) {
        self.keys().remove(name);
    }

    pub(super) fn clear(&self) {
        let mut keys = self.keys();
        *keys = keys.only(CORRELATION_ID);
    }

    /// Appends a key and returns what it replaced.
    pub(super) fn replace(&self, name: &str, key: &Fields) -> Fields {
        let mut keys = self.keys();
        let replaced = keys.only(name);
        keys.extend(key);
        keys.collect_garbage();
        replaced
    }

    /// Takes a key back and restores what it had replaced.
    pub(super) fn restore(&self, name: &str, replaced: &Fields) {
        let mut keys = self.keys();
        if replaced.is_empty() {
            keys.remove(name);
        } else {
            keys.extend(replaced);
            keys.collect_garbage();
        }
    }

    /// Has this invocation log up to a level, if that is more than the logger's own.
    pub(super) fn request_level(&self, level: LevelFilter) {
        // The outermost layer's word counts.
        let _ = self.requested.set(level);
    }

    /// Returns the level that this invocation is logged at beyond the logger's own.
    pub(super) fn verbosity(&self, sampler: Option<&Sampler>) -> LevelFilter {
        let requested = self.requested.get().copied().unwrap_or(LevelFilter::OFF);
        let is_sampled = sampler.is_some_and(|sampler| {
            // Drawn outside of the cell: the source of chance is the user's own code, and may log.
            self.sampled.get().copied().unwrap_or_else(|| {
                let drawn = sampler.draw();
                *self.sampled.get_or_init(|| drawn)
            })
        });
        if is_sampled {
            requested.max(LevelFilter::DEBUG)
        } else {
            requested
        }
    }

    pub(super) fn enter(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a call, and returns whether it was the last.
    pub(super) fn leave(&self) -> bool {
        self.calls.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether a call is under way.
    pub(super) fn is_running(&self) -> bool {
        self.calls.load(Ordering::Acquire) > 0
    }

    pub(super) fn held_back(&self) -> MutexGuard<'_, HeldBack> {
        self.held_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> MutexGuard<'_, Fields> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the invocation's keys to a line and returns its trace's id as JSON.
pub(super) fn extend<'a>(line: &mut Fields, invocation: &'a Invocation) -> Option<&'a [u8]> {
    let state = invocation.logging();
    let context = state
        .context
        .get_or_init(|| ContextKeys::new(invocation.context(), invocation.is_cold_start()));
    line.extend(&context.fields);
    line.extend(&state.keys());
    context.trace_id.as_deref()
}

/// What the invocation's own keys hardly ever exceed.
const CONTEXT_BYTES: usize = 512;
const CONTEXT_KEYS: usize = 6;

impl ContextKeys {
    fn new(context: &Context, cold_start: bool) -> Self {
        let mut fields = Fields::with_capacity(CONTEXT_BYTES, CONTEXT_KEYS);
        // Without an id it is no request of Lambda's, and neither cold nor warm.
        if !context.request_id.is_empty() {
            fields.insert("cold_start", cold_start);
        }
        let config = &context.env_config;
        insert_known(&mut fields, "function_name", &config.function_name);
        if config.memory > 0 {
            fields.insert("function_memory_size", config.memory);
        }
        insert_known(&mut fields, "function_arn", &context.invoked_function_arn);
        insert_known(&mut fields, "function_request_id", &context.request_id);
        let tenant_id = context.tenant_id.as_deref().unwrap_or_default();
        insert_known(&mut fields, "tenant_id", tenant_id);
        Self {
            fields,
            trace_id: context.xray_trace_id.as_deref().and_then(trace_id),
        }
    }
}

fn insert_known(fields: &mut Fields, name: &str, value: &str) {
    if !value.is_empty() {
        fields.insert_text(name, value);
    }
}

/// Returns the `Root` of an X-Ray trace header as JSON.
pub(super) fn trace_id(header: &str) -> Option<Vec<u8>> {
    let root = header
        .split(';')
        .find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut quoted = Vec::with_capacity(root.len() + 2);
    json::write_text(&mut quoted, root);
    Some(quoted)
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
    fn the_draw_holds_for_the_whole_invocation() {
        let state = State::default();
        let draws = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&draws);
        let sampler = Sampler::new(0.5).unwrap().with_random(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            0.0
        });
        for _ in 0..3 {
            assert_eq!(state.verbosity(Some(&sampler)), LevelFilter::DEBUG);
        }
        assert_eq!(draws.load(Ordering::Relaxed), 1);
        state.request_level(LevelFilter::TRACE);
        assert_eq!(state.verbosity(Some(&sampler)), LevelFilter::TRACE);
    }
}
