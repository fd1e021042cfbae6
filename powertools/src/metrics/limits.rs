//! What CloudWatch takes. Where the API and the embedded metric format differ, the stricter counts.

use std::{fmt, time::Duration};

/// The most metrics of one EMF object.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(super) const METRICS_PER_OBJECT: usize = 100;

/// The most values of one metric in one EMF object.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(super) const VALUES_PER_METRIC: usize = 100;

/// The most dimensions of one dimension set.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(super) const DIMENSIONS_PER_SET: usize = 30;

/// The largest log event, in bytes.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const LOG_EVENT_SIZE: usize = 1024 * 1024;

/// What CloudWatch Logs adds to each event when it counts its bytes.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
const LOG_EVENT_OVERHEAD: usize = 26;

/// The largest EMF object, in bytes, without the end of its line. One that would be larger is
/// written as several, its metrics shared out among them.
pub(super) const OBJECT_SIZE: usize = LOG_EVENT_SIZE - LOG_EVENT_OVERHEAD;

/// The most that the metadata of one EMF object takes, in bytes: half of the largest log event, so
/// that there is always room for dimensions and metrics.
pub(super) const METADATA_SIZE: usize = LOG_EVENT_SIZE / 2;

/// The most that the names of an object's further dimension sets take, in bytes. CloudWatch has no
/// limit for them, but they are written again with every object.
pub(super) const DIMENSION_SETS_SIZE: usize = 48 * 1024;

/// The most groups of metrics with dimensions of their own that are kept at once; with one more,
/// all that was recorded is written. A limit of ours, so that labels without end take no memory
/// without end.
pub(super) const GROUPS: usize = 100;

/// How far back the time of a metric may be.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#about_timestamp>
pub(super) const TIMESTAMP_PAST: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How far ahead the time of a metric may be.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#about_timestamp>
pub(super) const TIMESTAMP_FUTURE: Duration = Duration::from_secs(2 * 60 * 60);

/// The storage resolutions that there are, in seconds.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub(super) const HIGH_RESOLUTION: u16 = 1;
pub(super) const STANDARD_RESOLUTION: u16 = 60;

/// The longest name of a metric, in characters.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub(super) const METRIC_NAME_LENGTH: usize = 255;

/// The longest namespace, in characters.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const NAMESPACE_LENGTH: usize = 255;

/// The longest name of a dimension, in characters.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(super) const DIMENSION_NAME_LENGTH: usize = 250;

/// The longest value of a dimension, in characters.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
pub(super) const DIMENSION_VALUE_LENGTH: usize = 1024;

/// The greatest value, and without its sign the least: 2^360.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
pub(super) const GREATEST_VALUE: f64 = f64::from_bits((1023 + 360) << 52);

/// The root member that makes a log line an EMF object.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(super) const AWS: &str = "_aws";

/// What is let through: by default what CloudWatch takes. Another toolkit's rules are in
/// [`compat`](super::compat).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The most dimensions of an object, in all its sets.
    pub(super) dimensions: usize,
    /// The greatest value, and without its sign the least.
    pub(super) greatest_value: f64,
    /// Whether a dimension set may give a dimension another value than those before it.
    pub(super) later_sets_win: bool,
    /// Whether a time outside of CloudWatch's window is written.
    pub(super) any_timestamp: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            dimensions: DIMENSIONS_PER_SET,
            greatest_value: GREATEST_VALUE,
            later_sets_win: false,
            any_timestamp: false,
        }
    }
}

/// The rule that a text given to the metrics breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// It is empty, or nothing but white space.
    Blank,
    /// It has more characters than this.
    LongerThan(usize),
    /// It has other characters than the printable ones of ASCII, the space included.
    NotPrintableAscii,
    /// It starts with a colon.
    LeadingColon,
    /// It is `_aws`, the member of an EMF object that says what the others mean.
    Reserved,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::LongerThan(limit) => write!(f, "longer than {limit} characters"),
            Self::NotPrintableAscii => f.write_str("not printable ASCII"),
            Self::LeadingColon => f.write_str("led by a colon"),
            Self::Reserved => f.write_str("reserved"),
        }
    }
}

/// Returns a name without the white space around it.
pub(super) const fn trimmed(name: &str) -> &str {
    name.trim_ascii()
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricStreamFilter.html>,
/// the one page that says which characters a metric's name may have.
pub(super) const fn check_metric_name(name: &str) -> Result<(), Violation> {
    if is_reserved(name) {
        return Err(Violation::Reserved);
    }
    check_text(name, METRIC_NAME_LENGTH)
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
pub(super) const fn check_namespace(namespace: &str) -> Result<(), Violation> {
    if starts_with_colon(namespace) {
        return Err(Violation::LeadingColon);
    }
    check_text(namespace, NAMESPACE_LENGTH)
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
pub(super) const fn check_dimension_name(name: &str) -> Result<(), Violation> {
    if is_reserved(name) {
        return Err(Violation::Reserved);
    }
    if starts_with_colon(name) {
        return Err(Violation::LeadingColon);
    }
    check_text(name, DIMENSION_NAME_LENGTH)
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
pub(super) const fn check_dimension_value(value: &str) -> Result<(), Violation> {
    check_text(value, DIMENSION_VALUE_LENGTH)
}

const fn check_text(text: &str, limit: usize) -> Result<(), Violation> {
    let bytes = text.as_bytes();
    let mut blank = true;
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b' ' => {}
            b'!'..=b'~' => blank = false,
            _ => return Err(Violation::NotPrintableAscii),
        }
        index += 1;
    }
    if blank {
        Err(Violation::Blank)
    } else if bytes.len() > limit {
        Err(Violation::LongerThan(limit))
    } else {
        Ok(())
    }
}

/// Returns whether a text is printable ASCII in which nothing is escaped as JSON.
pub(super) const fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if !matches!(bytes[index], b' '..=b'~') || matches!(bytes[index], b'"' | b'\\') {
            return false;
        }
        index += 1;
    }
    true
}

const fn starts_with_colon(text: &str) -> bool {
    matches!(text.as_bytes(), [b':', ..])
}

const fn is_reserved(name: &str) -> bool {
    matches!(name.as_bytes(), b"_aws")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_up_to_its_longest_and_refused_beyond() {
        let name = "n".repeat(METRIC_NAME_LENGTH);
        assert_eq!(check_metric_name(&name), Ok(()));
        assert_eq!(
            check_metric_name(&format!("{name}n")),
            Err(Violation::LongerThan(255))
        );
        assert_eq!(check_dimension_name(&name[..250]), Ok(()));
        assert_eq!(
            check_dimension_name(&name[..251]),
            Err(Violation::LongerThan(250))
        );
        assert_eq!(check_dimension_value(&"v".repeat(1024)), Ok(()));
        assert_eq!(
            check_dimension_value(&"v".repeat(1025)),
            Err(Violation::LongerThan(1024))
        );
        assert_eq!(check_namespace(&name), Ok(()));
        assert_eq!(
            check_namespace(&format!("{name}n")),
            Err(Violation::LongerThan(255))
        );
    }

    #[test]
    fn a_text_has_at_least_one_character_to_see_and_no_others_than_of_ascii() {
        let checks = [
            check_metric_name,
            check_namespace,
            check_dimension_name,
            check_dimension_value,
        ];
        for check in checks {
            assert_eq!(check(""), Err(Violation::Blank));
            assert_eq!(check("  "), Err(Violation::Blank));
            for text in ["a\n", "\u{7f}", "zoë", "\t"] {
                assert_eq!(check(text), Err(Violation::NotPrintableAscii), "{text:?}");
            }
            for text in ["a", "a b", "~!\"\\/", "a:b"] {
                assert_eq!(check(text), Ok(()), "{text:?}");
            }
        }
    }

    #[test]
    fn a_leading_colon_and_the_envelopes_own_name_are_refused_where_they_mean_something() {
        assert_eq!(check_namespace(":a"), Err(Violation::LeadingColon));
        assert_eq!(check_dimension_name(":a"), Err(Violation::LeadingColon));
        assert_eq!(check_dimension_value(":a"), Ok(()));
        assert_eq!(check_metric_name(AWS), Err(Violation::Reserved));
        assert_eq!(check_dimension_name(AWS), Err(Violation::Reserved));
        assert_eq!(check_dimension_value(AWS), Ok(()));
    }

    #[test]
    fn a_plain_text_is_json_between_quotation_marks() {
        for code in 0..=0xff_u8 {
            let text = char::from(code).to_string();
            let json = serde_json::to_string(&text).unwrap();
            let is_escaped = json != format!("\"{text}\"");
            assert_eq!(
                is_plain(&text),
                !is_escaped && text.is_ascii() && code != 0x7f,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_greatest_value_is_the_power_of_two_that_is_documented() {
        assert_eq!(GREATEST_VALUE, 2_f64.powi(360));
    }
}
