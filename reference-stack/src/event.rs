//! Events as they are stored and sent: what happened, wrapped in an envelope.
//!
//! The envelope is written once, by the function that stores the event, and travels unchanged
//! through the event store, its stream and Kinesis. None of them hands on an HTTP header or a trace
//! header, so the envelope carries what joins the parts of a story: the correlation id for the log
//! lines, the trace header for the trace.
//!
//! ```json
//! {"event_id":"0193a1b2-…","event_type":"OrderPlaced","event_version":1,"aggregate_id":"0193a1b2-…","aggregate_version":1,"occurred_at":"2026-11-23T06:58:19.081Z","correlation_id":"…","causation_id":"…","trace_header":"Root=1-…;Parent=…;Sampled=1","payload":{}}
//! ```
//!
//! # What may change
//!
//! - A producer may add members to the envelope or to a payload: readers ignore what they don't know.
//! - Anything else is a new `event_version` of the type. Its readers are deployed first.
//! - A new type, too, is first made known to the readers of its aggregate's events, if only to be
//!   passed over.
//! - A reader refuses a type or version that it doesn't know: to pass over it would leave its data
//!   wrong without a word. The record fails, and so does what follows in its aggregate; all of it
//!   ends in the dead-letter queue, and is sent again from the event store, in order, after the
//!   reader's update.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// An event's own id, a UUIDv7: ids of later events are greater.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Makes a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a newly created aggregate; each further event adds one.
pub const FIRST_VERSION: u64 = 1;

/// Why an event happened: what ties it to the request it comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cause {
    /// The id that everything caused by one request shares.
    pub correlation_id: Option<String>,
    /// The id of the invocation or event that led to this event directly.
    pub causation_id: Option<String>,
    /// The trace header of the span in which the event happened.
    pub trace_header: Option<String>,
}

/// An event with what its readers need to know about it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Envelope<P> {
    /// The event's own id.
    pub event_id: EventId,
    /// What happened: `OrderPlaced`.
    pub event_type: String,
    /// The version of the payload's form, from 1.
    pub event_version: u32,
    /// What it happened to.
    pub aggregate_id: String,
    /// The aggregate's version after the event, from [`FIRST_VERSION`].
    pub aggregate_version: u64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// See [`Cause::correlation_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// See [`Cause::causation_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// See [`Cause::trace_header`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<String>,
    /// The facts, in the form that type and version name.
    pub payload: P,
}

/// An event as a reader first meets it, its payload not yet read.
pub type StoredEvent = Envelope<Box<RawValue>>;

impl FromStr for StoredEvent {
    type Err = serde_json::Error;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(json)
    }
}

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadablePayload {
    /// The form is newer than this reader.
    #[error("version {version} of event type `{event_type}` is not known here")]
    #[non_exhaustive]
    UnknownForm {
        /// The type.
        event_type: String,
        /// Its version.
        version: u32,
    },
    /// The payload does not have the form that its type and version name.
    #[error("the payload of an event of type `{event_type}` is malformed")]
    #[non_exhaustive]
    Malformed {
        /// The type.
        event_type: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl StoredEvent {
    /// Reads the payload as the form of this event's type and version.
    pub(crate) fn read_payload<'a, P: Deserialize<'a>>(&'a self) -> Result<P, UnreadablePayload> {
        serde_json::from_str(self.payload.get()).map_err(|source| UnreadablePayload::Malformed {
            event_type: self.event_type.clone(),
            source,
        })
    }

    pub(crate) fn unknown_form(&self) -> UnreadablePayload {
        UnreadablePayload::UnknownForm {
            event_type: self.event_type.clone(),
            version: self.event_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event_id":"01938000-0000-7000-8000-000000000000","event_type":"Moved","event_version":2,"aggregate_id":"a","aggregate_version":3,"occurred_at":"2026-11-23T06:58:19.081Z","payload":{"x": 1}}"#;

    #[test]
    fn an_envelope_is_written_as_it_was_read() {
        let event: StoredEvent = EVENT.parse().unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), EVENT);
    }

    #[test]
    fn an_envelope_may_have_members_we_do_not_know() {
        let newer = EVENT.replacen('{', r#"{"tenant":"t1","#, 1);
        let event: StoredEvent = newer.parse().unwrap();
        assert_eq!(event.event_type, "Moved");
    }

    #[test]
    fn an_envelope_without_a_required_member_is_refused() {
        for member in [
            "event_id",
            "event_type",
            "event_version",
            "aggregate_id",
            "payload",
        ] {
            let broken = EVENT.replace(&format!("\"{member}\""), "\"other\"");
            let error = broken.parse::<StoredEvent>().unwrap_err();
            assert!(error.to_string().contains(member), "{error}");
        }
    }
}
