use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    ops::RangeInclusive,
    sync::Arc,
};

use super::limits::period;
use crate::metrics::{Metric, dimension::Dimension};

/// What a request takes besides its data and its namespace, at the most, in bytes.
pub(super) const REQUEST_ENVELOPE: usize = 64;
/// What a datum takes besides names and values, at the most, in bytes. The names of its members,
/// which the protocol repeats, are 80 of them.
const DATUM_ENVELOPE: usize = 160;
/// What a dimension takes besides its name and value, at the most, in bytes.
const DIMENSION_ENVELOPE: usize = 24;
/// What a value takes with its count: two numbers of 64 bits, each behind a byte that says so.
const VALUE_SIZE: usize = 2 * 9;

/// The values of one metric, under one set of dimensions, within one period.
#[derive(Clone, Debug)]
pub(super) struct Datum {
    pub(super) metric: Metric,
    pub(super) dimensions: Arc<[Dimension]>,
    /// When the period begins (epoch, ms).
    pub(super) start: u64,
    pub(super) values: Values,
}

impl Datum {
    /// What it takes in a request with so many of its values, at the most, in bytes.
    pub(super) fn size(&self, values: usize) -> usize {
        let dimensions = self
            .dimensions
            .iter()
            .map(|dimension| DIMENSION_ENVELOPE + dimension.name.len() + dimension.value.len());
        DATUM_ENVELOPE + self.metric.name().len() + dimensions.sum::<usize>() + values * VALUE_SIZE
    }

    /// Returns the time that CloudWatch is told, of those that it takes: any in the period is the
    /// same to it, and the beginning may be too old when the end is not.
    pub(super) fn timestamp(&self, times: &RangeInclusive<u64>) -> u64 {
        if self.start < *times.start() {
            self.last()
        } else {
            self.start
        }
    }

    /// Whether the period has such a time.
    pub(super) fn is_within(&self, times: &RangeInclusive<u64>) -> bool {
        *times.start() <= self.last() && self.start <= *times.end()
    }

    fn last(&self) -> u64 {
        self.start + (period(self.metric.is_high_resolution()) - 1)
    }

    /// Returns one with the first values, which are taken out of this one.
    pub(super) fn split(&mut self, values: usize) -> Self {
        Self {
            metric: self.metric.clone(),
            dimensions: Arc::clone(&self.dimensions),
            start: self.start,
            values: self.values.take(values),
        }
    }
}

/// Different values, and how often each was recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    counts: BTreeMap<Finite, u64>,
}

/// A value of a metric: a number, and not infinite.
#[derive(Clone, Copy, Debug)]
struct Finite(f64);

impl Values {
    /// Returns how many different values there are more than before: one or none.
    pub(super) fn add(&mut self, value: f64, count: u64) -> usize {
        match self.counts.entry(Finite::new(value)) {
            Entry::Occupied(mut known) => {
                *known.get_mut() = known.get().saturating_add(count);
                0
            }
            Entry::Vacant(new) => {
                new.insert(count);
                1
            }
        }
    }

    /// How many different values there are.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// How many values were recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.counts
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each value with its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.counts.iter().map(|(value, count)| (value.0, *count))
    }

    fn take(&mut self, values: usize) -> Self {
        let rest = match self.counts.keys().nth(values).copied() {
            Some(first_left) => self.counts.split_off(&first_left),
            None => BTreeMap::new(),
        };
        Self {
            counts: std::mem::replace(&mut self.counts, rest),
        }
    }
}

impl Finite {
    /// The two zeros are one value.
    fn new(value: f64) -> Self {
        Self(if value == 0.0 { 0.0 } else { value })
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Finite {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    fn values(values: &[f64]) -> Values {
        let mut sum = Values::default();
        for value in values {
            sum.add(*value, 1);
        }
        sum
    }

    #[test]
    fn a_value_is_kept_once_with_its_count() {
        let mut values = values(&[2.0, 1.0, 2.0, 0.0, -0.0]);
        assert_eq!(values.add(1.0, 5), 0);
        assert_eq!(values.add(3.0, 5), 1);
        assert_eq!(
            values.iter().collect::<Vec<_>>(),
            [(0.0, 2), (1.0, 6), (2.0, 2), (3.0, 5)]
        );
        assert_eq!((values.len(), values.recorded()), (4, 15));
    }

    #[test]
    fn a_period_is_told_by_a_time_that_cloudwatch_takes() {
        let minutes = Datum {
            metric: Metric::new("A", Unit::Count),
            dimensions: Arc::default(),
            start: 120_000,
            values: values(&[1.0]),
        };
        let seconds = Datum {
            metric: minutes.metric.clone().high_resolution(),
            ..minutes.clone()
        };
        for (datum, times, timestamp) in [
            (&minutes, 0..=500_000, Some(120_000)),
            (&minutes, 120_000..=120_000, Some(120_000)),
            (&minutes, 120_001..=500_000, Some(179_999)),
            (&minutes, 179_999..=500_000, Some(179_999)),
            (&minutes, 180_000..=500_000, None),
            (&minutes, 0..=119_999, None),
            (&seconds, 120_999..=500_000, Some(120_999)),
            (&seconds, 121_000..=500_000, None),
        ] {
            let told = datum.is_within(&times).then(|| datum.timestamp(&times));
            assert_eq!(told, timestamp, "{times:?}");
        }
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut values = values(&[1.0, 2.0, 3.0]);
        let taken = values.take(2);
        assert_eq!(taken.iter().collect::<Vec<_>>(), [(1.0, 1), (2.0, 1)]);
        assert_eq!(values.iter().collect::<Vec<_>>(), [(3.0, 1)]);
        assert_eq!(values.take(2).len(), 1);
        assert_eq!(values.len(), 0);
    }
}
