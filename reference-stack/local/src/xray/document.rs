use serde::Deserialize;
use serde_json::{Map, Value};

/// A segment or subsegment, as a function sent it.
///
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Segment {
    /// What it is called.
    pub name: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// The trace; a subsegment inside a segment has none of its own.
    pub trace_id: Option<String>,
    /// The segment above.
    pub parent_id: Option<String>,
    /// Seconds since the epoch.
    pub start_time: f64,
    /// Seconds since the epoch; missing while it is in progress.
    pub end_time: Option<f64>,
    /// Whether another document with the same id will complete it.
    #[serde(default)]
    pub in_progress: bool,
    /// `aws` for calls of AWS, `remote` for others.
    pub namespace: Option<String>,
    /// A client's mistake (4xx).
    #[serde(default)]
    pub error: bool,
    /// A failure (5xx).
    #[serde(default)]
    pub fault: bool,
    /// Too many requests (429).
    #[serde(default)]
    pub throttle: bool,
    /// Indexed values.
    #[serde(default)]
    pub annotations: Map<String, Value>,
    /// Other values, by namespace.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Segments of other traces that have to do with this one.
    #[serde(default)]
    pub links: Vec<Link>,
    /// What happened inside.
    #[serde(default)]
    pub subsegments: Vec<Segment>,
    /// The whole document.
    #[serde(skip)]
    pub document: Value,
}

/// A segment of another trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// Its trace.
    pub trace_id: String,
    /// Its id; X-Ray writes it as `id`.
    #[serde(alias = "span_id")]
    pub id: String,
}

/// Why a datagram was not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// No header line before the document.
    #[error("the datagram has no header line")]
    NoHeader,
    /// A header that is not the daemon's.
    #[error("the header is not `{{\"format\": \"json\", \"version\": 1}}`")]
    Header,
    /// The document is no segment.
    #[error("the document is no segment")]
    Document(#[source] serde_json::Error),
    /// A document that was sent alone belongs to no trace.
    #[error("the document has no trace_id")]
    NoTrace,
}

impl Segment {
    /// Reads a datagram: a header line, and the document of one segment.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(datagram: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Header {
            format: String,
            version: u32,
        }
        let end = datagram
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(DocumentError::NoHeader)?;
        let header: Header =
            serde_json::from_slice(&datagram[..end]).map_err(|_| DocumentError::Header)?;
        if header.format != "json" || header.version != 1 {
            return Err(DocumentError::Header);
        }
        let document: Value =
            serde_json::from_slice(&datagram[end + 1..]).map_err(DocumentError::Document)?;
        let mut segment = Self::deserialize(&document).map_err(DocumentError::Document)?;
        if segment.trace_id.is_none() {
            return Err(DocumentError::NoTrace);
        }
        segment.document = document;
        Ok(segment)
    }

    /// The annotation of this name.
    pub fn annotation(&self, name: &str) -> Option<&Value> {
        self.annotations.get(name)
    }

    /// How long it took, in milliseconds; `None` while it is in progress.
    pub fn milliseconds(&self) -> Option<f64> {
        Some((self.end_time? - self.start_time) * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"format": "json", "version": 1}"#;

    fn parse(document: &str) -> Result<Segment, DocumentError> {
        Segment::parse(format!("{HEADER}\n{document}").as_bytes())
    }

    #[test]
    fn a_datagram_becomes_a_segment() {
        let segment = parse(
            r###"{"name":"## orders","id":"aaaaaaaaaaaaaaaa","trace_id":"1-6b064423-11ee80087845ae3bc48fbea9",
                "parent_id":"206214bed8248cea","type":"subsegment","start_time":1.5,"end_time":1.75,
                "annotations":{"ColdStart":true},
                "links":[{"trace_id":"1-6b064423-cdb805773ee8a9bd1237c15f","id":"5cefef1dd14063f5"}],
                "subsegments":[{"name":"DynamoDB","id":"bbbbbbbbbbbbbbbb","namespace":"aws","start_time":1.6,"in_progress":true}]}"###,
        )
        .unwrap();
        assert_eq!(segment.milliseconds(), Some(250.0));
        assert_eq!(segment.annotation("ColdStart"), Some(&Value::Bool(true)));
        assert_eq!(segment.links[0].id, "5cefef1dd14063f5");
        assert!(segment.subsegments[0].in_progress);
        assert_eq!(segment.document["type"], "subsegment");
    }

    #[test]
    fn other_datagrams_are_refused_each_for_its_reason() {
        assert!(matches!(
            Segment::parse(b"garbage"),
            Err(DocumentError::NoHeader)
        ));
        assert!(matches!(
            Segment::parse(b"garbage\n{}"),
            Err(DocumentError::Header)
        ));
        assert!(matches!(
            Segment::parse(b"{\"format\":\"json\",\"version\":2}\n{}"),
            Err(DocumentError::Header)
        ));
        assert!(matches!(parse("{"), Err(DocumentError::Document(_))));
        assert!(matches!(
            parse(r#"{"name":"x"}"#),
            Err(DocumentError::Document(_))
        ));
        assert!(matches!(
            parse(r#"{"name":"x","id":"a","start_time":1}"#),
            Err(DocumentError::NoTrace)
        ));
    }
}
