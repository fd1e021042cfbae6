//! The embedded metric format: a log line that CloudWatch Logs turns into metrics.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::{fmt, io::Write};

use serde::Serialize;

use super::{
    batch::{Metadata, Series},
    dimension::Dimension,
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
    /// `_aws`, which says what the others are.
    Aws,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metric => "a metric",
            Self::Dimension => "a dimension",
            Self::Metadata => "metadata",
            Self::Aws => "the format itself",
        })
    }
}

/// Integers up to here are exact in a 64-bit float, and are written as integers.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// What an object takes besides its metrics, roughly, in bytes.
const ENVELOPE_SIZE: usize = 256;
/// What a metric takes, roughly, in bytes.
const METRIC_SIZE: usize = 64;

/// Writes an object as one line, its end included.
pub(super) fn line<'a>(
    timestamp: u64,
    namespace: &str,
    dimensions: impl Iterator<Item = &'a Dimension> + Clone,
    metadata: &[Metadata],
    series: &[Series],
) -> Vec<u8> {
    let mut line = Vec::with_capacity(ENVELOPE_SIZE + series.len() * METRIC_SIZE);
    line.extend_from_slice(br#"{"_aws":{"Timestamp":"#);
    write_json(&mut line, &timestamp);
    line.extend_from_slice(br#","CloudWatchMetrics":[{"Namespace":"#);
    write_json(&mut line, namespace);

    line.extend_from_slice(br#","Dimensions":[["#);
    separated(&mut line, dimensions.clone(), |line, dimension| {
        write_json(line, &dimension.name);
    });

    line.extend_from_slice(br#"]],"Metrics":["#);
    separated(&mut line, series, |line, Series { metric, .. }| {
        line.extend_from_slice(br#"{"Name":"#);
        write_json(line, metric.name());
        line.extend_from_slice(br#","Unit":""#);
        line.extend_from_slice(metric.unit().as_str().as_bytes());
        line.push(b'"');
        if metric.is_high_resolution() {
            line.extend_from_slice(br#","StorageResolution":1"#);
        }
        line.push(b'}');
    });
    line.extend_from_slice(b"]}]}");

    for dimension in dimensions {
        write_key(&mut line, &dimension.name);
        write_json(&mut line, &dimension.value);
    }
    for Metadata { key, json } in metadata {
        write_key(&mut line, key);
        line.extend_from_slice(json.as_bytes());
    }
    for series in series {
        write_key(&mut line, series.metric.name());
        write_values(&mut line, series);
    }
    line.extend_from_slice(b"}\n");
    line
}

/// Writes one value as a number, several as an array.
fn write_values(line: &mut Vec<u8>, series: &Series) {
    if series.more.is_empty() {
        write_value(line, series.first);
        return;
    }
    line.push(b'[');
    write_value(line, series.first);
    for value in &series.more {
        line.push(b',');
        write_value(line, *value);
    }
    line.push(b']');
}

fn write_value(line: &mut Vec<u8>, value: f64) {
    if value.fract() == 0.0 && value.abs() <= EXACT_INTEGERS {
        write_json(line, &(value as i64));
    } else {
        write_json(line, &value);
    }
}

fn write_key(line: &mut Vec<u8>, name: &str) {
    line.push(b',');
    write_json(line, name);
    line.push(b':');
}

fn separated<T>(
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

/// Strings and numbers only: their serialisation cannot fail, nor can writing to memory.
fn write_json<T: Serialize + ?Sized>(line: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(line.by_ref(), value).expect("strings and numbers are JSON");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, Unit};

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
        }
    }

    fn text(
        namespace: &str,
        dimensions: &[Dimension],
        metadata: &[Metadata],
        series: &[Series],
    ) -> String {
        let line = line(
            1_795_392_000_000,
            namespace,
            dimensions.iter(),
            metadata,
            series,
        );
        let line = String::from_utf8(line).unwrap();
        line.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn the_object_of_the_docs_is_what_leaves() {
        let shown = include_str!("mod.rs")
            .lines()
            .skip_while(|line| *line != "//! ```json")
            .nth(1)
            .unwrap();
        let metadata = Metadata {
            key: "order_id".into(),
            json: r#""a1""#.to_owned(),
        };
        let object = text(
            "Shop",
            &[dimension("stage", "prod"), dimension("service", "orders")],
            &[metadata],
            &[
                series(ORDERS_CREATED, &[1.0]),
                series(LATENCY, &[12.5, 7.0]),
            ],
        );
        assert_eq!(format!("//! {object}"), shown);
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
