use std::borrow::Cow;

use super::{MetricsError, Unit, Value, Violation, limits, recorder};

/// A metric: its name, its unit, and how finely CloudWatch keeps it.
///
/// # Examples
///
/// ```
/// use powertools::metrics::{Metric, Unit};
///
/// const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
/// const CHECKOUT_TIME: Metric = Metric::new("CheckoutTime", Unit::Milliseconds).high_resolution();
/// ```
///
/// A name that CloudWatch does not take does not compile:
///
/// ```compile_fail,E0080
/// # use powertools::metrics::{Metric, Unit};
/// const NAMELESS: Metric = Metric::new(" ", Unit::Count);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Metric {
    name: Cow<'static, str>,
    unit: Unit,
    high_resolution: bool,
}

impl Metric {
    /// Makes a metric whose name is known when the program is written.
    ///
    /// A name has 1 to 255 printable ASCII characters, not all of them blank, and is not `_aws`.
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch takes no such name. In a `const` or a `static` that is an error of the
    /// compiler. For a name that is known only at run time there is [`try_new`](Self::try_new).
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        match limits::check_metric_name(name) {
            Ok(()) => {}
            Err(Violation::Blank) => panic!("a metric's name must not be blank"),
            Err(Violation::LongerThan(_)) => panic!("a metric's name has at most 255 characters"),
            Err(Violation::Reserved) => panic!("a metric's name must not be `_aws`"),
            Err(Violation::NotPrintableAscii | Violation::LeadingColon) => {
                panic!("a metric's name has printable ASCII characters only")
            }
        }
        Self {
            name: Cow::Borrowed(name),
            unit,
            high_resolution: false,
        }
    }

    /// Makes a metric whose name is known only at run time.
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch takes no such name, see [`new`](Self::new).
    pub fn try_new(name: impl Into<Cow<'static, str>>, unit: Unit) -> Result<Self, MetricsError> {
        let name = name.into();
        match limits::check_metric_name(&name) {
            Ok(()) => Ok(Self {
                name,
                unit,
                high_resolution: false,
            }),
            Err(violation) => Err(MetricsError::MetricName {
                name: name.into_owned(),
                violation,
            }),
        }
    }

    /// Has CloudWatch keep the metric by the second.
    ///
    /// Defaults to by the minute.
    pub const fn high_resolution(mut self) -> Self {
        self.high_resolution = true;
        self
    }

    /// Returns the metric's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the metric's unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// Returns whether CloudWatch keeps the metric by the second.
    #[must_use]
    pub const fn is_high_resolution(&self) -> bool {
        self.high_resolution
    }

    /// Adds a value to the running invocation's metrics.
    ///
    /// Never fails and never panics: a value that CloudWatch would not take, or one that is
    /// recorded where no [`MetricsLayer`](super::MetricsLayer) is around, is left out with a
    /// warning that names the metric.
    ///
    /// # Examples
    ///
    /// ```
    /// use powertools::metrics::{Metric, Unit};
    /// use std::time::Instant;
    ///
    /// const CHECKOUT_TIME: Metric = Metric::new("CheckoutTime", Unit::Milliseconds);
    ///
    /// async fn check_out() {
    ///     let start = Instant::now();
    ///     // …
    ///     CHECKOUT_TIME.record(start.elapsed());
    /// }
    /// ```
    pub fn record(&self, value: impl Value) {
        if let Some(metrics) = recorder::find_for(&self.name) {
            metrics.record(self, value);
        }
    }

    /// Takes over the finer resolution of the two.
    pub(super) const fn refine(&mut self, other: &Self) {
        self.high_resolution |= other.high_resolution;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds).high_resolution();

    #[test]
    fn a_metric_made_at_run_time_equals_one_of_a_constant() {
        let latency = Metric::try_new("Latency".to_owned(), Unit::Milliseconds).unwrap();
        assert_eq!(latency.high_resolution(), LATENCY);
    }

    #[test]
    fn a_name_that_is_not_taken_is_an_error_that_names_it() {
        let error = Metric::try_new("n".repeat(256), Unit::Count).unwrap_err();
        assert!(matches!(
            error,
            MetricsError::MetricName {
                violation: Violation::LongerThan(255),
                ..
            }
        ));
        let error = Metric::try_new("zoë\n", Unit::Count).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"name of metric "zoë\n" is not printable ASCII"#
        );
    }

    #[test]
    #[should_panic = "a metric's name must not be blank"]
    fn a_bad_name_panics_outside_of_a_constant() {
        let _ = Metric::new("", Unit::Count);
    }
}
