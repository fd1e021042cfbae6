//! Documents as they leave: nested into each other, one of them in each datagram.

use std::io::Write;

use opentelemetry::trace::{SpanId, TraceId};

use super::{Document, Id};
use crate::trace::header::Root;

/// What every datagram begins with.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon>
pub(in crate::trace) const PREFIX: &[u8] = b"{\"format\":\"json\",\"version\":1}\n";

/// The most that a datagram over IPv4 carries, just under the 64 KB that X-Ray takes for a segment.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/xray.html>
pub(in crate::trace) const DATAGRAM_LENGTH: usize = 65_507;

/// What a document ends with that is sent by itself; all are of one length.
const PLACE: &str = r#","parent_id":"0000000000000000","trace_id":"1-00000000-000000000000000000000000","type":"subsegment"}"#;

/// The most bytes of JSON, its children included, that may still be sent by themselves.
const LENGTH: usize = DATAGRAM_LENGTH - PREFIX.len() - PLACE.len();

const CHILDREN: &[u8] = b",\"subsegments\":[";
const CHILDREN_END: &[u8] = b"]}";

/// How many documents are inside each other at the most. This limit is ours: whoever reads JSON has
/// one for its depth, 128 as a rule, and each document takes two.
const DEPTH: usize = 32;

/// A document that is either sent by itself, or nested into its parent's.
#[derive(Debug)]
pub(in crate::trace) struct Subsegment {
    /// One JSON object.
    json: Vec<u8>,
    /// The segment to be put around, one JSON object.
    segment: Option<Vec<u8>>,
    trace_id: TraceId,
    parent_id: SpanId,
    /// How many documents are inside each other here, this one included.
    depth: usize,
}

impl Subsegment {
    pub(in crate::trace) fn new(document: &Document<'_>) -> serde_json::Result<Self> {
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, document)?;
        let segment = document.segment.as_ref();
        Ok(Self {
            json,
            segment: segment.map(serde_json::to_vec).transpose()?,
            trace_id: document.trace_id,
            parent_id: document.parent_id,
            depth: 1,
        })
    }

    /// Returns whether X-Ray takes it.
    pub(in crate::trace) fn fits(&self) -> bool {
        self.length() <= LENGTH
    }

    pub(in crate::trace) fn datagram_length(&self) -> usize {
        self.length() + (DATAGRAM_LENGTH - LENGTH)
    }

    /// Takes those in that waited for this one, and returns those for which there is no room.
    pub(in crate::trace) fn nest(&mut self, mut children: Waiting) -> Vec<Self> {
        let room = LENGTH.saturating_sub(self.length() + CHILDREN.len() + CHILDREN_END.len());
        let without_room = children.shrink(room);
        if !children.subsegments.is_empty() {
            let depths = children.subsegments.iter().map(|child| child.depth + 1);
            self.depth = depths.fold(self.depth, usize::max);
            let children = children.subsegments.iter().map(|child| &*child.json);
            append(&mut self.json, children);
        }
        without_room
    }

    /// Makes the datagram that carries this document.
    pub(in crate::trace) fn into_datagram(self) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(self.datagram_length());
        datagram.extend_from_slice(PREFIX);
        let kind = match self.segment {
            Some(segment) => {
                datagram.extend_from_slice(&segment);
                append(&mut datagram, [&*self.json]);
                ""
            }
            None => {
                datagram.extend_from_slice(&self.json);
                r#","type":"subsegment""#
            }
        };
        datagram.pop();
        let (parent, trace) = (Id(self.parent_id), Root(self.trace_id));
        // Writing into a `Vec` does not fail.
        let _ = write!(
            datagram,
            r#","parent_id":"{parent}","trace_id":"{trace}"{kind}}}"#
        );
        datagram
    }

    fn length(&self) -> usize {
        let around = self.segment.as_ref();
        let around = around.map(|it| it.len() + CHILDREN.len() + CHILDREN_END.len());
        self.json.len() + around.unwrap_or_default()
    }
}

/// Puts documents into the one that `json` ends with.
fn append<'a>(json: &mut Vec<u8>, children: impl IntoIterator<Item = &'a [u8]>) {
    json.pop();
    json.extend_from_slice(CHILDREN);
    for (number, child) in children.into_iter().enumerate() {
        if number > 0 {
            json.push(b',');
        }
        json.extend_from_slice(child);
    }
    json.extend_from_slice(CHILDREN_END);
}

/// Subsegments that wait for their parent, no more than it can take in.
#[derive(Debug, Default)]
pub(in crate::trace) struct Waiting {
    subsegments: Vec<Subsegment>,
    /// Of their JSON and the commas between.
    length: usize,
}

impl Waiting {
    /// Adds one, and returns those that cannot wait: so deep that they are not nested any further,
    /// or, the longest first, more than a document holds.
    pub(in crate::trace) fn push(&mut self, subsegment: Subsegment) -> Vec<Subsegment> {
        if subsegment.depth == DEPTH {
            return vec![subsegment];
        }
        self.length += subsegment.json.len() + 1;
        self.subsegments.push(subsegment);
        self.shrink(LENGTH)
    }

    /// Takes the longest out until the rest has room.
    fn shrink(&mut self, room: usize) -> Vec<Subsegment> {
        let mut out = Vec::new();
        while self.length > room {
            let lengths = self.subsegments.iter().map(|it| it.json.len());
            let Some((longest, _)) = lengths.enumerate().max_by_key(|&(_, length)| length) else {
                break;
            };
            let longest = self.subsegments.remove(longest);
            self.length -= longest.json.len() + 1;
            out.push(longest);
        }
        out
    }

    pub(in crate::trace) fn into_subsegments(self) -> Vec<Subsegment> {
        self.subsegments
    }
}
