use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::document::Segment;

/// What is known of one trace, as a tree.
///
/// On AWS the Lambda service itself sends the segments around an invocation; here nobody does. Where a segment's parent
/// is unknown, a node without a segment stands for it: segments of one invocation still hang together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TraceTree {
    /// The trace's id.
    pub trace_id: String,
    /// The uppermost nodes, in order of time.
    pub roots: Vec<Node>,
}

/// A segment and what hangs under it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// The segment's id.
    pub id: String,
    /// The segment; `None` where only its id is known.
    pub segment: Option<Segment>,
    /// What hangs under it, in order of time.
    pub children: Vec<Node>,
}

impl TraceTree {
    /// Joins the segments of one trace, whichever traces the others are of.
    pub fn new(trace_id: &str, segments: impl IntoIterator<Item = Segment>) -> Self {
        let mut known = BTreeMap::new();
        for segment in segments {
            if segment.trace_id.as_deref() == Some(trace_id) {
                flatten(segment, None, &mut known);
            }
        }
        let mut children: HashMap<Option<String>, Vec<Node>> = HashMap::new();
        let mut unknown = BTreeMap::new();
        for (id, (parent, segment)) in &known {
            if let Some(parent) = parent
                && !known.contains_key(parent)
            {
                unknown.insert(
                    parent.clone(),
                    Node {
                        id: parent.clone(),
                        segment: None,
                        children: Vec::new(),
                    },
                );
            }
            let node = Node {
                id: id.clone(),
                segment: Some(segment.clone()),
                children: Vec::new(),
            };
            children.entry(parent.clone()).or_default().push(node);
        }
        let mut roots = children.remove(&None).unwrap_or_default();
        roots.extend(unknown.into_values());
        for root in &mut roots {
            root.adopt(&mut children);
        }
        sort(&mut roots);
        Self {
            trace_id: trace_id.to_owned(),
            roots,
        }
    }

    /// Every node, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.roots.iter().flat_map(Node::nodes)
    }
}

impl Node {
    /// This node and everything under it, parents first.
    pub fn nodes(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        Box::new(std::iter::once(self).chain(self.children.iter().flat_map(Self::nodes)))
    }

    /// When it or the first thing under it began, in seconds since the epoch.
    fn start(&self) -> f64 {
        let own = self.segment.as_ref().map(|segment| segment.start_time);
        own.unwrap_or_else(|| {
            self.children
                .iter()
                .map(Self::start)
                .fold(f64::INFINITY, f64::min)
        })
    }

    /// Takes each child out of the map once, so that even a cycle of parents ends.
    fn adopt(&mut self, children: &mut HashMap<Option<String>, Vec<Self>>) {
        self.children = children.remove(&Some(self.id.clone())).unwrap_or_default();
        for child in &mut self.children {
            child.adopt(children);
        }
        sort(&mut self.children);
    }

    fn draw(
        &self,
        f: &mut fmt::Formatter<'_>,
        indent: &str,
        branch: &str,
        below: &str,
    ) -> fmt::Result {
        write!(f, "{indent}{branch}")?;
        match &self.segment {
            None => writeln!(f, "(AWS::Lambda function)  {}", self.id)?,
            Some(segment) => {
                write!(f, "{}  {}", segment.name, self.id)?;
                match segment.milliseconds() {
                    Some(milliseconds) => write!(f, "  {milliseconds:.1} ms")?,
                    None => write!(f, "  in progress")?,
                }
                for (set, word) in [
                    (segment.error, "error"),
                    (segment.fault, "fault"),
                    (segment.throttle, "throttle"),
                ] {
                    if set {
                        write!(f, "  {word}")?;
                    }
                }
                for link in &segment.links {
                    write!(f, "  → {}:{}", link.trace_id, link.id)?;
                }
                writeln!(f)?;
            }
        }
        let indent = format!("{indent}{below}");
        for (index, child) in self.children.iter().enumerate() {
            let (branch, below) = if index + 1 == self.children.len() {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            child.draw(f, &indent, branch, below)?;
        }
        Ok(())
    }
}

impl fmt::Display for TraceTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.trace_id)?;
        for root in &self.roots {
            root.draw(f, "", "", "")?;
        }
        Ok(())
    }
}

fn sort(nodes: &mut [Node]) {
    nodes.sort_by(|a, b| a.start().total_cmp(&b.start()));
}

/// Puts a segment and those inside it beside each other. A completed document replaces one in progress, never the
/// other way round: datagrams may overtake each other.
fn flatten(
    mut segment: Segment,
    outer: Option<String>,
    known: &mut BTreeMap<String, (Option<String>, Segment)>,
) {
    let id = segment.id.clone();
    for inner in std::mem::take(&mut segment.subsegments) {
        flatten(inner, Some(id.clone()), known);
    }
    let parent = segment.parent_id.clone().or(outer);
    match known.get(&id) {
        Some((_, earlier)) if segment.in_progress && !earlier.in_progress => {}
        _ => {
            known.insert(id, (parent, segment));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TRACE: &str = "1-6b064423-11ee80087845ae3bc48fbea9";

    fn segment(document: &Value) -> Segment {
        let datagram = format!("{{\"format\":\"json\",\"version\":1}}\n{document}");
        Segment::parse(datagram.as_bytes()).unwrap()
    }

    fn simple(name: &str, id: &str, parent: Option<&str>, start: f64) -> Segment {
        segment(
            &json!({"name": name, "id": id, "trace_id": TRACE, "parent_id": parent, "start_time": start, "end_time": start + 0.5}),
        )
    }

    #[test]
    fn segments_are_joined_in_whatever_order_they_arrive() {
        let tree = TraceTree::new(
            TRACE,
            [
                simple("record", "c3", Some("b2"), 3.0),
                simple("later", "d4", Some("f0"), 9.0),
                simple("write", "b2", Some("a1"), 2.0),
                simple("## orders", "a1", Some("f0"), 1.0),
                segment(
                    &json!({"name": "other", "id": "e5", "trace_id": "1-0-0", "start_time": 1, "end_time": 2}),
                ),
            ],
        );
        assert_eq!(
            tree.to_string(),
            "1-6b064423-11ee80087845ae3bc48fbea9\n\
             (AWS::Lambda function)  f0\n\
             ├─ ## orders  a1  500.0 ms\n\
             │  └─ write  b2  500.0 ms\n\
             │     └─ record  c3  500.0 ms\n\
             └─ later  d4  500.0 ms\n"
        );
    }

    #[test]
    fn nested_subsegments_and_links_are_shown() {
        let tree = TraceTree::new(
            TRACE,
            [segment(&json!({
                "name": "orders", "id": "a1", "trace_id": TRACE, "start_time": 1, "end_time": 2, "fault": true,
                "links": [{"trace_id": "1-0-0", "id": "e5"}],
                "subsegments": [{"name": "DynamoDB", "id": "b2", "start_time": 1, "in_progress": true}],
            }))],
        );
        assert_eq!(
            tree.to_string(),
            "1-6b064423-11ee80087845ae3bc48fbea9\n\
             orders  a1  1000.0 ms  fault  → 1-0-0:e5\n\
             └─ DynamoDB  b2  in progress\n"
        );
    }

    #[test]
    fn a_completed_segment_wins_over_one_in_progress() {
        let begun = segment(
            &json!({"name": "orders", "id": "a1", "trace_id": TRACE, "start_time": 1, "in_progress": true}),
        );
        let done = simple("orders", "a1", None, 1.0);
        for order in [[begun.clone(), done.clone()], [done, begun]] {
            let tree = TraceTree::new(TRACE, order);
            assert_eq!(tree.nodes().count(), 1);
            assert!(
                tree.roots[0]
                    .segment
                    .as_ref()
                    .is_some_and(|segment| !segment.in_progress)
            );
        }
    }

    #[test]
    fn a_segment_that_claims_to_be_its_own_ancestor_does_no_harm() {
        let tree = TraceTree::new(
            TRACE,
            [
                simple("a", "a1", Some("b2"), 1.0),
                simple("b", "b2", Some("a1"), 1.0),
            ],
        );
        assert!(tree.roots.is_empty());
    }
}
