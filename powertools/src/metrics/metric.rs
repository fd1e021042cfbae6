use std::borrow::Cow;

use super::{
    MetricsError, SingleMetric, Unit, Value, Violation,
    limits::{self, HIGH_RESOLUTION, STANDARD_RESOLUTION},
    recorder,
};

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
    /// Tells most other names apart; for a constant, the compiler has computed it.
    hash: u64,
    /// Whether nothing in the name is escaped as JSON.
    is_plain: bool,
    unit: Unit,
    high_resolution: bool,
}

impl Metric {
    /// Makes a metric whose name is known when the program is written.
    ///
    /// A name has 1 to 255 printable ASCII characters and is not `_aws`. White space around it is
    /// no part of it.
    ///
    /// # Panics
    ///
    /// Panics if CloudWatch takes no such name. In a `const` or a `static` that is an error of the
    /// compiler. For a name that is known only at run time there is [`try_new`](Self::try_new).
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        let name = limits::trimmed(name);
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
            hash: hash(name),
            is_plain: limits::is_plain(name),
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
        let name = match name.into() {
            Cow::Borrowed(name) => Cow::Borrowed(limits::trimmed(name)),
            Cow::Owned(name) if limits::trimmed(&name).len() == name.len() => Cow::Owned(name),
            Cow::Owned(name) => Cow::Owned(limits::trimmed(&name).to_owned()),
        };
        match limits::check_metric_name(&name) {
            Ok(()) => Ok(Self::unchecked(name, unit)),
            Err(violation) => Err(MetricsError::MetricName {
                name: name.into_owned(),
                violation,
            }),
        }
    }

    /// Makes a metric whose name somebody else has checked.
    pub(super) fn unchecked(name: Cow<'static, str>, unit: Unit) -> Self {
        Self {
            hash: hash(&name),
            is_plain: limits::is_plain(&name),
            name,
            unit,
            high_resolution: false,
        }
    }

    /// Sets how finely CloudWatch keeps the metric, for a resolution that is known only at run time.
    ///
    /// Defaults to 60 s; the other is 1 s, as of [`high_resolution`](Self::high_resolution).
    ///
    /// # Errors
    ///
    /// Fails for any other.
    pub fn storage_resolution(mut self, seconds: u16) -> Result<Self, MetricsError> {
        self.high_resolution = match seconds {
            HIGH_RESOLUTION => true,
            STANDARD_RESOLUTION => false,
            _ => {
                return Err(MetricsError::Resolution {
                    name: self.name.into_owned(),
                    seconds,
                });
            }
        };
        Ok(self)
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

    /// Adds a value to the running invocation's metrics, or else to those of the
    /// [process](super::Metrics::set_global).
    ///
    /// Never fails and never panics: a value that CloudWatch would not take, or one that is
    /// recorded where there are neither, is left out with a warning that names the metric.
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

    /// Begins an object of this metric alone, with dimensions of its own.
    ///
    /// See [`SingleMetric`].
    pub fn single(&self, value: impl Value) -> SingleMetric<'_> {
        SingleMetric::new(self, value)
    }

    /// Returns whether both have the same name, and so are the same metric.
    pub(super) fn has_name_of(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }

    /// Returns whether nothing in the name is escaped as JSON.
    pub(super) const fn has_plain_name(&self) -> bool {
        self.is_plain
    }

    /// Takes over the finer resolution of the two.
    pub(super) const fn refine(&mut self, other: &Self) {
        self.high_resolution |= other.high_resolution;
    }
}

/// FNV-1a, which is short enough for a constant.
const fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
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
    fn metrics_of_one_name_are_told_from_others() {
        let other_unit = Metric::try_new("Latency".to_owned(), Unit::Seconds).unwrap();
        assert!(LATENCY.has_name_of(&other_unit));
        assert!(!LATENCY.has_name_of(&Metric::new("Latencz", Unit::Milliseconds)));
        // The function's own test vectors.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
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
        let error = Metric::try_new("zo\n\u{eb}", Unit::Count).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"name of metric "zo\në" is not printable ASCII"#
        );
    }

    #[test]
    fn white_space_around_a_name_is_no_part_of_it() {
        const TRIMMED: Metric = Metric::new("\t Latency ms\n", Unit::Milliseconds);
        assert_eq!(TRIMMED.name(), "Latency ms");
        for name in ["Latency ms", "  Latency ms", "Latency ms\r\n"] {
            let borrowed = Metric::try_new(name, Unit::Milliseconds).unwrap();
            let owned = Metric::try_new(name.to_owned(), Unit::Milliseconds).unwrap();
            assert_eq!([borrowed, owned], [TRIMMED, TRIMMED], "{name:?}");
        }
        // As long as can be once it is trimmed.
        let name = format!(" {} ", "n".repeat(255));
        assert_eq!(Metric::try_new(name, Unit::None).unwrap().name().len(), 255);
    }

    #[test]
    fn a_resolution_is_one_second_or_sixty() {
        let latency = Metric::new("Latency", Unit::Milliseconds);
        assert_eq!(latency.clone().storage_resolution(1).unwrap(), LATENCY);
        assert_eq!(LATENCY.storage_resolution(60).unwrap(), latency);
        for seconds in [0, 30, 3600] {
            let error = latency.clone().storage_resolution(seconds).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    r#"metric "Latency" cannot be kept by {seconds} s, only by 1 s or by 60 s"#
                )
            );
        }
    }

    #[test]
    #[should_panic = "a metric's name must not be blank"]
    fn a_bad_name_panics_outside_of_a_constant() {
        let _ = Metric::new("", Unit::Count);
    }
}
