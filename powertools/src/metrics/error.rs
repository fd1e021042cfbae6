use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Member, Unit, Violation,
    limits::{HIGH_RESOLUTION, METADATA_SIZE, STANDARD_RESOLUTION},
};

/// Why something is not among the metrics.
///
/// What is configured or made fails with it; what a handler records is left out with a warning
/// that carries it, and the invocation goes on.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// No namespace was given, and the metrics are not disabled.
    #[error(
        "no namespace for the metrics: `{}` is not set",
        crate::env::METRICS_NAMESPACE
    )]
    MissingNamespace,
    /// CloudWatch takes no such namespace.
    #[error("namespace {namespace:?} is {violation}")]
    #[non_exhaustive]
    Namespace {
        /// The namespace.
        namespace: String,
        /// What is wrong with it.
        violation: Violation,
    },
    /// CloudWatch takes no metric of this name.
    #[error("name of metric {name:?} is {violation}")]
    #[non_exhaustive]
    MetricName {
        /// The metric's name.
        name: String,
        /// What is wrong with it.
        violation: Violation,
    },
    /// CloudWatch takes no dimension of this name.
    #[error("name of dimension {name:?} is {violation}")]
    #[non_exhaustive]
    DimensionName {
        /// The dimension's name.
        name: String,
        /// What is wrong with it.
        violation: Violation,
    },
    /// CloudWatch takes no dimension of this value.
    #[error("value of dimension {name:?} is {violation}")]
    #[non_exhaustive]
    DimensionValue {
        /// The dimension's name.
        name: String,
        /// What is wrong with its value.
        violation: Violation,
    },
    /// The metrics have as many dimensions as there may be, in all their sets.
    #[error("dimension {name:?} is one too many: there are {limit} already")]
    #[non_exhaustive]
    TooManyDimensions {
        /// The name of the dimension that was left out.
        name: String,
        /// How many there may be.
        limit: usize,
    },
    /// The dimension has another value in another dimension set. Both are members of one object,
    /// so the metrics of the other set would change their dimension too.
    #[error("dimension {name:?} has another value in another dimension set")]
    #[non_exhaustive]
    DimensionConflict {
        /// The name of the dimension that was left out.
        name: String,
    },
    /// The names of the dimension sets would take more than leaves room for metrics in a log event.
    #[error("dimension set {names:?} is too much: there is no room for more")]
    #[non_exhaustive]
    TooManyDimensionSets {
        /// The names of the dimensions in the set that was left out.
        names: String,
    },
    /// CloudWatch knows no such unit.
    #[error("unit {unit:?} is none that CloudWatch knows")]
    #[non_exhaustive]
    Unit {
        /// The unit.
        unit: String,
    },
    /// CloudWatch keeps no metric in such steps.
    #[error(
        "metric {name:?} cannot be kept by {seconds} s, \
         only by {HIGH_RESOLUTION} s or by {STANDARD_RESOLUTION} s"
    )]
    #[non_exhaustive]
    Resolution {
        /// The metric's name.
        name: String,
        /// The storage resolution, in seconds.
        seconds: u16,
    },
    /// The value is infinite, not a number, or beyond what CloudWatch takes.
    #[error("value {value:e} of metric {name:?} is not a number within ±2^360")]
    #[non_exhaustive]
    Value {
        /// The metric's name.
        name: String,
        /// The value.
        value: f64,
    },
    /// A duration was recorded for a metric whose unit is none of time.
    #[error("metric {name:?} takes no duration: its unit is {unit}")]
    #[non_exhaustive]
    NotATime {
        /// The metric's name.
        name: String,
        /// The metric's unit.
        unit: Unit,
    },
    /// A metric of the same name has been recorded with another unit.
    #[error("metric {name:?} in {unit} has already been recorded in {recorded}")]
    #[non_exhaustive]
    UnitMismatch {
        /// The metric's name.
        name: String,
        /// The unit that was left out.
        unit: Unit,
        /// The unit that stays.
        recorded: Unit,
    },
    /// Metrics, dimensions and metadata are members of one object, and the name is taken.
    #[error("the name {name:?} is already taken by {taken_by}")]
    #[non_exhaustive]
    NameTaken {
        /// The name.
        name: String,
        /// What has it.
        taken_by: Member,
    },
    /// With this the metadata would be more than leaves room for metrics in a log event.
    #[error("metadata {key:?} is too much: there is room for {METADATA_SIZE} bytes in all")]
    #[non_exhaustive]
    TooMuchMetadata {
        /// The key of what was left out.
        key: String,
    },
    /// The time is further back, or further ahead, than CloudWatch takes it.
    #[error(
        "timestamp {} is not within the last 14 days and the next 2 hours",
        milliseconds(*timestamp)
    )]
    #[non_exhaustive]
    Timestamp {
        /// The time that was left out.
        timestamp: SystemTime,
    },
    /// There is nothing to flush.
    #[error("no metric has been recorded")]
    Empty,
    /// The metadata's value cannot be JSON.
    #[error("metadata {key:?} cannot be serialised")]
    #[non_exhaustive]
    Metadata {
        /// The key.
        key: String,
        /// What its `Serialize` said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The message: it is what an operator reads when `main` returns the error, and names all there is.
impl fmt::Debug for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns a time as it would be in an EMF object, before 1970 with a sign.
fn milliseconds(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i128,
        Err(error) => -(error.duration().as_millis() as i128),
    }
}

/// Why there is a process-wide recorder already: it can be set once.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the process has a recorder of metrics already")]
#[non_exhaustive]
pub struct SetGlobalError;
