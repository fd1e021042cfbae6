//! The spans that have started and not ended, and what waits for them.

use std::collections::{HashMap, HashSet};

use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;

use crate::trace::document::{Document, Function, Subsegment, Waiting};

/// The most spans that are known at once. A span that starts beyond them is sent alone, and so are
/// those inside: only spans that never end, of as many traces, can keep the others out.
const SPANS: usize = 16_384;

/// The most spans that wait for their invocation to end, where they leave together: as many as the
/// batch processor of OpenTelemetry's SDK queues.
#[cfg(feature = "trace-otlp")]
const BATCH: usize = 2048;

/// All open spans of one exporter.
///
/// They come in groups: a span whose parent is elsewhere, as an invocation's is, and the spans
/// inside. When that span ends its group does, and whatever is open still is forgotten: nothing
/// waits for a span that may never end.
#[derive(Debug, Default)]
pub(super) struct OpenSpans {
    spans: HashMap<SpanId, OpenSpan>,
    groups: HashMap<SpanId, Group>,
}

#[derive(Debug)]
struct OpenSpan {
    /// The span as it was when it started.
    start: SpanData,
    group: SpanId,
    waiting: Waiting,
    /// Whether it has left as a span in progress: X-Ray takes that once.
    is_announced: bool,
}

#[derive(Debug, Default)]
struct Group {
    members: HashSet<SpanId>,
    /// Whether the time is nearly over, so that nothing waits any more.
    is_hurried: bool,
    /// Spans that leave together when the group ends.
    #[cfg(feature = "trace-otlp")]
    ended: Vec<SpanData>,
}

/// Spans that leave together.
#[cfg(feature = "trace-otlp")]
#[derive(Debug)]
pub(super) struct Batch {
    /// `None` for a span that outlived its invocation.
    pub(super) group: Option<SpanId>,
    pub(super) spans: Vec<SpanData>,
}

impl OpenSpans {
    /// Takes note of a span that has started. Without a parent that is open it goes to the group of
    /// `handler`, the span of the invocation that the code runs in; and without that one it begins a
    /// group, which is returned.
    pub(super) fn start(
        &mut self,
        span: SpanData,
        handler: Option<SpanId>,
        is_hurried: bool,
    ) -> Option<SpanId> {
        if self.spans.len() >= SPANS {
            return None;
        }
        let id = span.span_context.span_id();
        let group = local_parent(&span)
            .and_then(|parent| Some(self.spans.get(&parent)?.group))
            .or_else(|| handler.filter(|handler| self.groups.contains_key(handler)))
            .unwrap_or(id);
        let members = self.groups.entry(group).or_default();
        members.members.insert(id);
        members.is_hurried |= is_hurried;
        let open = OpenSpan {
            start: span,
            group,
            waiting: Waiting::default(),
            is_announced: false,
        };
        self.spans.insert(id, open);
        (group == id).then_some(group)
    }

    /// Takes the document of a span that has ended, if it has one, and returns what leaves now.
    pub(super) fn end(&mut self, span: &SpanData, document: Option<Subsegment>) -> Vec<Subsegment> {
        let id = span.span_context.span_id();
        let open = self.spans.remove(&id);
        let (waiting, group) = match open {
            Some(open) => (open.waiting, Some(open.group)),
            None => (Waiting::default(), None),
        };
        let mut leaving = Vec::new();
        let document = match document {
            Some(mut document) => {
                leaving.extend(document.nest(waiting));
                Some(document)
            }
            None => {
                leaving.extend(waiting.into_subsegments());
                None
            }
        };
        if let Some(group) = group {
            self.leave(id, group, &mut leaving);
        }
        if let Some(document) = document {
            match local_parent(span).and_then(|parent| self.spans.get_mut(&parent)) {
                Some(parent) if !is_hurried(&self.groups, parent.group) => {
                    leaving.extend(parent.waiting.push(document));
                }
                _ => leaving.push(document),
            }
        }
        leaving
    }

    /// Takes a span that has ended, and returns those that leave now, together.
    #[cfg(feature = "trace-otlp")]
    pub(super) fn end_in_batch(&mut self, span: SpanData) -> Batch {
        let id = span.span_context.span_id();
        let open = self.spans.remove(&id);
        let group = open.and_then(|open| Some((open.group, self.groups.get_mut(&open.group)?)));
        let Some((group_id, group)) = group else {
            return Batch {
                group: None,
                spans: vec![span],
            };
        };
        group.ended.push(span);
        let is_due = group_id == id || group.is_hurried || group.ended.len() >= BATCH;
        let spans = if is_due {
            std::mem::take(&mut group.ended)
        } else {
            Vec::new()
        };
        self.leave(id, group_id, &mut Vec::new());
        Batch {
            group: Some(group_id),
            spans,
        }
    }

    /// Takes a span out of its group, or ends the group if it is the span's own.
    fn leave(&mut self, id: SpanId, group: SpanId, leaving: &mut Vec<Subsegment>) {
        if id != group {
            if let Some(group) = self.groups.get_mut(&group) {
                group.members.remove(&id);
            }
            return;
        }
        leaving.extend(self.end_group(id));
    }

    /// Forgets the open spans of a group, and returns what waits for them.
    pub(super) fn end_group(&mut self, group: SpanId) -> Vec<Subsegment> {
        let mut leaving = Vec::new();
        let members = self.groups.remove(&group).map(|group| group.members);
        for member in members.into_iter().flatten() {
            if let Some(open) = self.spans.remove(&member) {
                leaving.extend(open.waiting.into_subsegments());
            }
        }
        leaving
    }

    /// Forgets the open spans of a group, and returns those that have ended.
    #[cfg(feature = "trace-otlp")]
    pub(super) fn end_group_in_batch(&mut self, group: SpanId) -> Batch {
        let batch = self.hurry_batch(group);
        self.end_group(group);
        batch
    }

    /// Returns a group's spans in progress and what waits for them, and lets nothing of the group
    /// wait any more.
    pub(super) fn hurry(&mut self, group: SpanId, function: &Function) -> Vec<Subsegment> {
        let Some(group) = self.groups.get_mut(&group) else {
            return Vec::new();
        };
        group.is_hurried = true;
        let mut leaving = Vec::new();
        for member in &group.members {
            let Some(open) = self.spans.get_mut(member) else {
                continue;
            };
            if !open.is_announced {
                open.is_announced = true;
                let start = Document::start(&open.start, function);
                leaving.extend(Subsegment::new(&start).ok().filter(Subsegment::fits));
            }
            leaving.extend(std::mem::take(&mut open.waiting).into_subsegments());
        }
        leaving
    }

    /// Returns the spans of a group that have ended, and lets none wait any more.
    #[cfg(feature = "trace-otlp")]
    pub(super) fn hurry_batch(&mut self, group: SpanId) -> Batch {
        let ended = self.groups.get_mut(&group).map(|group| {
            group.is_hurried = true;
            std::mem::take(&mut group.ended)
        });
        Batch {
            group: Some(group),
            spans: ended.unwrap_or_default(),
        }
    }

    #[cfg(all(test, feature = "testing"))]
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.groups.is_empty()
    }
}

fn is_hurried(groups: &HashMap<SpanId, Group>, group: SpanId) -> bool {
    groups.get(&group).is_some_and(|group| group.is_hurried)
}

/// Returns the parent of a span if it is one of this process.
fn local_parent(span: &SpanData) -> Option<SpanId> {
    (!span.parent_span_is_remote && span.parent_span_id != SpanId::INVALID)
        .then_some(span.parent_span_id)
}
