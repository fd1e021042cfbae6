//! The embedded metric format: a log line that CloudWatch Logs turns into metrics.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::fmt;

use serde::Serialize;

use super::{
    Metric,
    batch::{Flushed, Metadata, Series},
    dimension::{Dimension, DimensionSet, DimensionSets},
    limits::is_plain,
};

/// What a member of an EMF object is. All are members of one object, so a name is of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Member {
    /// A metric's values.
    Metric,
    /// A dimension's value.
    Dimension,
    /// Metadata.
    Metadata,
    /// A metric that the layer records of each invocation, because it was asked to.
    Layer,
    /// `_aws`, which says what the others are.
    Aws,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metric => "a metric",
            Self::Dimension => "a dimension",
            Self::Metadata => "metadata",
            Self::Layer => "a metric of the layer",
            Self::Aws => "the format itself",
        })
    }
}

/// Integers up to here are exact in a 64-bit float, and are written as integers.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The parts of an object that depend on nothing but its namespace and dimensions.
#[derive(Debug)]
pub(super) struct Frame {
    /// Everything between the timestamp and the metrics' directives.
    head: Vec<u8>,
    /// The dimensions as members.
    members: Vec<u8>,
}

impl Frame {
    pub(super) fn new(namespace: &str, sets: DimensionSets<'_>) -> Self {
        let (mut head, mut members) = (Vec::new(), Vec::new());
        write_head(&mut head, namespace, sets);
        write_dimensions(&mut members, sets);
        Self { head, members }
    }
}

/// Writes an object.
pub(super) fn write(line: &mut Vec<u8>, flushed: &Flushed<'_>, frame: Option<&Frame>) {
    write_start(line, flushed.timestamp);
    match frame {
        Some(frame) => line.extend_from_slice(&frame.head),
        None => write_head(line, flushed.namespace, flushed.sets),
    }
    write_directives(line, flushed.series);
    match frame {
        Some(frame) => line.extend_from_slice(&frame.members),
        None => write_dimensions(line, flushed.sets),
    }
    write_metadata(line, flushed.metadata);
    for series in flushed.series {
        write_metric_key(line, &series.metric);
        write_values(line, series);
    }
    line.push(b'}');
}

pub(super) fn write_start(line: &mut Vec<u8>, timestamp: u64) {
    line.extend_from_slice(br#"{"_aws":{"Timestamp":"#);
    write_number(line, timestamp);
}

/// Writes what comes between the timestamp and the metrics' directives.
pub(super) fn write_head(line: &mut Vec<u8>, namespace: &str, sets: DimensionSets<'_>) {
    line.extend_from_slice(br#","CloudWatchMetrics":[{"Namespace":"#);
    write_text(line, namespace);
    line.extend_from_slice(br#","Dimensions":["#);
    let write_set = |line: &mut Vec<u8>, set: DimensionSet<'_>| {
        line.push(b'[');
        separated(line, set.iter(), |line, dimension| {
            write_text(line, &dimension.name);
        });
        line.push(b']');
    };
    if sets.more.is_empty() {
        write_set(line, sets.primary());
    } else {
        separated(line, sets.iter(), write_set);
    }
    line.extend_from_slice(br#"],"Metrics":["#);
}

/// Writes which of the members are metrics, and ends the directives.
pub(super) fn write_directives(line: &mut Vec<u8>, series: &[Series]) {
    separated(line, series, |line, Series { metric, .. }| {
        line.extend_from_slice(br#"{"Name":"#);
        write_name(line, metric);
        line.extend_from_slice(br#","Unit":""#);
        line.extend_from_slice(metric.unit().as_str().as_bytes());
        line.extend_from_slice(if metric.is_high_resolution() {
            br#"","StorageResolution":1}"#
        } else {
            br#""}"#
        });
    });
    line.extend_from_slice(b"]}]}");
}

/// Writes the dimensions as members.
pub(super) fn write_dimensions(line: &mut Vec<u8>, sets: DimensionSets<'_>) {
    let write = |line: &mut Vec<u8>, dimension: &Dimension| {
        write_key(line, &dimension.name);
        write_text(line, &dimension.value);
    };
    if sets.more.is_empty() {
        sets.primary()
            .iter()
            .for_each(|dimension| write(line, dimension));
    } else {
        sets.members()
            .into_iter()
            .for_each(|dimension| write(line, dimension));
    }
}

/// Writes the metadata as members.
pub(super) fn write_metadata(line: &mut Vec<u8>, metadata: &[Metadata]) {
    for Metadata { key, json } in metadata {
        write_key(line, key);
        line.extend_from_slice(json.as_bytes());
    }
}

/// Writes one value as a number, several as an array.
pub(super) fn write_values(line: &mut Vec<u8>, series: &Series) {
    if series.more.is_empty() {
        write_value(line, series.first);
        return;
    }
    line.push(b'[');
    separated(line, series.values(), write_value);
    line.push(b']');
}

fn write_value(line: &mut Vec<u8>, value: f64) {
    let integer = value as i64;
    if integer as f64 == value && value.abs() <= EXACT_INTEGERS {
        write_number(line, integer);
    } else {
        write_number(line, value);
    }
}

/// Begins a member.
pub(super) fn write_key(line: &mut Vec<u8>, name: &str) {
    line.push(b',');
    write_text(line, name);
    line.push(b':');
}

pub(super) fn separated<T>(
    line: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        write(line, item);
    }
}

/// Begins a metric's member.
pub(super) fn write_metric_key(line: &mut Vec<u8>, metric: &Metric) {
    line.push(b',');
    write_name(line, metric);
    line.push(b':');
}

fn write_name(line: &mut Vec<u8>, metric: &Metric) {
    if metric.has_plain_name() {
        write_plain(line, metric.name());
    } else {
        write_escaped(line, metric.name());
    }
}

/// Writes a string. In nearly all of them nothing is escaped.
fn write_text(line: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        write_plain(line, text);
    } else {
        write_escaped(line, text);
    }
}

fn write_plain(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

fn write_escaped(line: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(line, text).expect("strings are JSON");
}

/// Writing to memory cannot fail, and no number that gets here is infinite.
pub(super) fn write_number(line: &mut Vec<u8>, number: impl Serialize) {
    serde_json::to_writer(line, &number).expect("numbers are JSON");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
    const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds).high_resolution();

    fn dimension(name: &'static str, value: &str) -> Dimension {
        Dimension::new(name, &value).unwrap()
    }

    fn series(metric: Metric, values: &[f64]) -> Series {
        Series {
            metric,
            first: values[0],
            more: values[1..].to_vec(),
            is_sum: false,
        }
    }

    fn text(
        namespace: &str,
        dimensions: &[Dimension],
        metadata: &[Metadata],
        series: &[Series],
    ) -> String {
        let sets = DimensionSets {
            configured: dimensions,
            ..DimensionSets::default()
        };
        text_of(namespace, sets, metadata, series)
    }

    fn text_of(
        namespace: &str,
        sets: DimensionSets<'_>,
        metadata: &[Metadata],
        series: &[Series],
    ) -> String {
        let flushed = Flushed {
            timestamp: 1_795_392_000_000,
            namespace,
            sets,
            metadata,
            series,
        };
        let mut line = Vec::new();
        write(&mut line, &flushed, None);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn the_objects_of_the_docs_are_what_leaves() {
        let docs = include_str!("mod.rs").lines();
        let blocks = docs.clone().zip(docs.skip(1));
        let shown: Vec<_> = blocks
            .filter(|(line, _)| *line == "//! ```json")
            .map(|(_, object)| object.strip_prefix("//! ").unwrap())
            .collect();
        let metadata = Metadata {
            key: "order_id".into(),
            json: r#""a1""#.to_owned(),
        };
        let first = [dimension("stage", "prod"), dimension("service", "orders")];
        let object = text(
            "Shop",
            &first,
            &[metadata],
            &[
                series(ORDERS_CREATED, &[1.0]),
                series(LATENCY, &[12.5, 7.0]),
            ],
        );
        let [stage, service] = first;
        let sets = DimensionSets {
            configured: &[stage],
            service: Some(&service),
            more: &[vec![dimension("tenant", "t1")]],
            ..DimensionSets::default()
        };
        let with_sets = text_of("Shop", sets, &[], &[series(ORDERS_CREATED, &[1.0])]);
        assert_eq!([object, with_sets], *shown);
    }

    #[test]
    fn an_object_begins_with_its_frame() {
        let dimensions = [dimension("stage", "prod")];
        let flushed = Flushed {
            timestamp: 7,
            namespace: "Shop",
            sets: DimensionSets {
                configured: &dimensions,
                ..DimensionSets::default()
            },
            metadata: &[],
            series: &[series(LATENCY, &[1.0])],
        };
        let frame = Frame::new("Shop", flushed.sets);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        write(&mut with, &flushed, Some(&frame));
        write(&mut without, &flushed, None);
        assert_eq!(with, without);
    }

    #[test]
    fn without_dimensions_there_is_one_empty_set() {
        assert_eq!(
            text("Shop", &[], &[], &[series(ORDERS_CREATED, &[3.0])]),
            concat!(
                r#"{"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","#,
                r#""Dimensions":[[]],"Metrics":[{"Name":"OrdersCreated","Unit":"Count"}]}]},"#,
                r#""OrdersCreated":3}"#
            )
        );
    }

    #[test]
    fn names_and_values_are_escaped() {
        let metric = Metric::new(r#"a"b\c"#, Unit::None);
        assert_eq!(
            text(
                "N\"S",
                &[dimension("d\"", "\\v")],
                &[],
                &[series(metric, &[1.0])]
            ),
            concat!(
                r#"{"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"N\"S","#,
                r#""Dimensions":[["d\""]],"Metrics":[{"Name":"a\"b\\c","Unit":"None"}]}]},"#,
                r#""d\"":"\\v","a\"b\\c":1}"#
            )
        );
    }

    #[test]
    fn whole_numbers_are_written_as_integers() {
        let written = |value| {
            let mut line = Vec::new();
            write_value(&mut line, value);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(written(0.0), "0");
        assert_eq!(written(-0.0), "0");
        assert_eq!(written(-3.0), "-3");
        assert_eq!(written(0.1), "0.1");
        assert_eq!(written(9_007_199_254_740_992.0), "9007199254740992");
        assert_eq!(written(1e21), "1e+21");
        assert_eq!(written(-2.5e-7), "-2.5e-7");
    }
}
