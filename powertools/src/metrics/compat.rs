//! Objects as another toolkit writes them.
//!
//! Dashboards and alarms read the metrics that CloudWatch makes of the objects, and these are the
//! same with the default form. This module is for what reads the objects themselves, and for a
//! function that is rewritten in Rust while its tests compare lines:
//! [`MetricsLayer::compatible_with`](super::MetricsLayer::compatible_with) takes a [`Toolkit`].
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use powertools::{Env, env, metrics::{Metric, MetricsLayer, Unit, compat::Toolkit}, testing};
//!
//! let output = testing::Captured::default();
//! let env = Env::from([(env::METRICS_NAMESPACE, "Shop"), (env::SERVICE_NAME, "orders")]);
//! let metrics = MetricsLayer::from_env(&env)
//!     .compatible_with(Toolkit::Python)
//!     .with_writer(output.clone())
//!     .recorder();
//! metrics.record(&Metric::new("OrdersCreated", Unit::Count), 1);
//! metrics.flush();
//! assert!(output.lines()[0].ends_with(r#""service":"orders","OrdersCreated":[1.0]}"#));
//! # }
//! # Ok::<_, powertools::metrics::MetricsError>(())
//! ```
//!
//! # What is kept, and what is mended
//!
//! | | by default | Python | TypeScript |
//! |---|---|---|---|
//! | one value | `1` | kept: `[1.0]` | `1` |
//! | several values | `[12.5,7]` | kept: `[12.5,7.0]` | `[12.5,7]` |
//! | members after `_aws` | dimensions, metadata, metrics | the same | kept: metadata, dimensions, metrics |
//! | the service | last in the first dimension set | the same | kept: a default dimension, first in every set |
//! | dimensions | 30, what CloudWatch takes | kept: 29, the service included | kept: 29, the service included |
//! | the dimension too many | left out with a warning | mended: the same; there it costs all metrics when they are written | mended: the same |
//! | a blank dimension | an error of `try_add_dimension`, a warning of `add_dimension` | kept: a warning of both | kept: a warning of both |
//! | default dimensions that are too many with the service | a panic when they are configured | kept: an error of the flush, and all metrics are lost | kept: the same |
//! | dimensions beyond ASCII, which CloudWatch does not take | an error | kept: written | kept: written |
//! | over-long dimensions, which CloudWatch does not take | an error | mended: the same | mended: the same |
//! | sets that give a dimension two values | an error, because it has one only in the object | kept: the last value counts | kept: the last value counts |
//! | equal dimension sets | written once | kept: each is written | kept: each is written |
//! | values beyond ±2^360, which CloudWatch does not take | an error | kept: written | kept: written |
//! | NaN and infinities, which JSON has not | an error | mended: the same | mended: the same |
//! | times out of CloudWatch's window | an error | kept: written, with a warning | kept: written, with a warning |
//! | a timestamp after its flush | gone | mended: gone; there it stays | gone |
//! | the line of the 100th metric | like all others | mended: the same; there it has blanks, and is written although metrics are disabled | mended: with the 100th metric, not before the 101st |
//! | a name that is metric, dimension or metadata at once | an error | mended: the same; there one overwrites the other | mended: the same; there it is a warning for some |
//! | a metric with another unit | an error | mended: the same; there it changes the values' unit | an error |
//! | no namespace | an error | an error | mended: an error; there it is `default_namespace` |
//! | no service | no such dimension | the same | mended: no such dimension; there it is `service_undefined` |
//! | a flush without metrics | an error of `try_flush` | by a switch | by a switch |
//! | the cold-start metric | before the handler, with `function_name` and `service` | mended: the same; there after the handler | mended: the same; there with the default dimensions |
//! | metrics with their own dimensions | [`Metric::single`] | the same | mended: default dimensions on request only |
//!
//! Units have Python's names as well as CloudWatch's in [`Toolkit::unit`]; a metric's name may be
//! outside of ASCII in [`Toolkit::metric`].

use std::borrow::Cow;

use super::{
    Metric, MetricsError, MetricsLayer, Unit, Violation,
    batch::{Configured, Flushed, Series},
    config::SERVICE,
    dimension::{self, Dimension},
    emf,
    limits::{self, DIMENSION_NAME_LENGTH, DIMENSION_VALUE_LENGTH, METRIC_NAME_LENGTH, Rules},
};

/// The most dimensions of the other toolkits, one less than CloudWatch takes.
const DIMENSIONS: usize = 29;

/// The rules of the other toolkits.
pub(super) const RULES: Rules = Rules {
    dimensions: DIMENSIONS,
    greatest_value: f64::MAX,
    later_sets_win: true,
    any_timestamp: true,
};

/// Another toolkit, whose form the objects have.
///
/// See the [module docs](self) for what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Toolkit {
    /// Powertools for AWS Lambda (Python).
    Python,
    /// Powertools for AWS Lambda (TypeScript).
    TypeScript,
}

impl Toolkit {
    /// Reads a unit's name.
    ///
    /// Python takes its own names too: `CountPerSecond` beside `Count/Second`, `NoUnit` beside
    /// `None`.
    ///
    /// # Errors
    ///
    /// Fails if the toolkit knows no such unit.
    pub fn unit(self, name: &str) -> Result<Unit, MetricsError> {
        let has_name = |unit: &&Unit| python_name(**unit) == name;
        let found = match self {
            Self::Python => Unit::ALL.iter().find(has_name).copied(),
            Self::TypeScript => None,
        };
        found.map_or_else(|| name.parse(), Ok)
    }

    /// Makes a metric whose name may have any characters, as the other toolkits have it.
    ///
    /// White space around it is no part of it.
    ///
    /// # Errors
    ///
    /// Fails if there is nothing else, if it has more than 255 characters, or if it is `_aws`.
    pub fn metric(self, name: &str, unit: Unit) -> Result<Metric, MetricsError> {
        let name = name.trim().to_owned();
        match check_name(&name, METRIC_NAME_LENGTH) {
            Ok(()) => Ok(Metric::unchecked(name.into(), unit)),
            Err(violation) => Err(MetricsError::MetricName { name, violation }),
        }
    }

    pub(super) fn dimension(
        self,
        name: Cow<'static, str>,
        value: String,
    ) -> Result<Dimension, MetricsError> {
        Dimension { name, value }.check(
            |name| check_name(name, DIMENSION_NAME_LENGTH),
            |value| check_text(value, DIMENSION_VALUE_LENGTH),
        )
    }

    /// Makes of a configuration what it is in this toolkit.
    pub(super) fn prepare(self, configured: &mut Configured) {
        configured.rules = RULES;
        if self == Self::TypeScript
            && let Some(service) = &configured.service
            && dimension::find(&configured.dimensions, SERVICE).is_none()
        {
            configured.dimensions.insert(0, service.clone());
        }
    }

    /// Writes an object.
    pub(super) fn write(self, line: &mut Vec<u8>, flushed: &Flushed<'_>) {
        emf::write_start(line, flushed.timestamp);
        emf::write_head(line, flushed.namespace, flushed.sets);
        emf::write_directives(line, flushed.series);
        match self {
            Self::Python => {
                emf::write_dimensions(line, flushed.sets);
                emf::write_metadata(line, flushed.metadata);
            }
            Self::TypeScript => {
                emf::write_metadata(line, flushed.metadata);
                emf::write_dimensions(line, flushed.sets);
            }
        }
        for series in flushed.series {
            emf::write_metric_key(line, &series.metric);
            match self {
                Self::Python => write_floats(line, series),
                Self::TypeScript => emf::write_values(line, series),
            }
        }
        line.push(b'}');
    }
}

impl<C, B> MetricsLayer<C, B> {
    /// Writes objects as another toolkit does, and takes what it takes.
    ///
    /// Defaults to CloudWatch's own rules. See [`compat`](self) for what that means.
    ///
    /// It comes before [`default_dimension`](Self::default_dimension) and
    /// [`service`](Self::service): what they are given is checked by the rules that hold then. If
    /// there are more dimensions in the end than the toolkit takes, the service included, nothing can
    /// be written: flushing fails, or warns, and so does [`check`](Self::check).
    pub fn compatible_with(mut self, toolkit: Toolkit) -> Self {
        self.config.compat = Some(toolkit);
        self
    }
}

/// Returns a unit's name in Python's `MetricUnit`.
fn python_name(unit: Unit) -> String {
    match unit {
        Unit::None => "NoUnit".to_owned(),
        unit => unit.as_str().replace('/', "Per"),
    }
}

fn write_floats(line: &mut Vec<u8>, series: &Series) {
    line.push(b'[');
    emf::separated(line, series.values(), emf::write_number);
    line.push(b']');
}

fn check_name(name: &str, limit: usize) -> Result<(), Violation> {
    if name == limits::AWS {
        return Err(Violation::Reserved);
    }
    check_text(name, limit)
}

fn check_text(text: &str, limit: usize) -> Result<(), Violation> {
    if text.trim().is_empty() {
        Err(Violation::Blank)
    } else if text.chars().count() > limit {
        Err(Violation::LongerThan(limit))
    } else {
        Ok(())
    }
}
