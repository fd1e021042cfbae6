use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Write as _,
    ops::RangeInclusive,
    sync::Arc,
};

use super::{
    datum::{Datum, Values},
    limits::{VALUES_PER_DATUM, period},
    request::Request,
};
use crate::metrics::{Metric, batch::Series, dimension::Dimension};

/// What waits to be sent, added up: the values of each metric, under each set of dimensions, within
/// each period.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    namespaces: BTreeMap<Arc<str>, Periods>,
    series: usize,
    values: usize,
}

/// By their beginning (epoch, ms), so the oldest comes first. None is empty.
type Periods = BTreeMap<u64, BTreeMap<Box<str>, Datum>>;

impl Buffer {
    /// Adds what was recorded under one set of dimensions.
    pub(super) fn add<'a>(
        &mut self,
        namespace: &str,
        timestamp: u64,
        dimensions: impl Iterator<Item = &'a Dimension>,
        series: &[Series],
    ) {
        if series.is_empty() {
            return;
        }
        let mut dimensions: Vec<_> = dimensions.collect();
        // To CloudWatch they have no order.
        dimensions.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut key = key_of(dimensions.iter().copied());
        let prefix = key.len();
        let mut shared = None;

        let periods = match self.namespaces.get_mut(namespace) {
            Some(periods) => periods,
            None => self.namespaces.entry(namespace.into()).or_default(),
        };
        for series in series {
            let metric = &series.metric;
            let period = period(metric.is_high_resolution());
            let start = timestamp - timestamp % period;
            key.truncate(prefix);
            push_metric(&mut key, metric);

            let period = periods.entry(start).or_default();
            let datum = match period.get_mut(key.as_str()) {
                Some(datum) => datum,
                None => {
                    self.series += 1;
                    let dimensions =
                        shared.get_or_insert_with(|| dimensions.iter().copied().cloned().collect());
                    period.entry(key.as_str().into()).or_insert(Datum {
                        metric: metric.clone(),
                        dimensions: Arc::clone(dimensions),
                        start,
                        values: Values::default(),
                    })
                }
            };
            for value in series.values() {
                self.values += datum.values.add(value, 1);
            }
        }
    }

    /// How many data wait, of however many values.
    pub(super) fn series(&self) -> usize {
        self.series
    }

    /// How many different values wait.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// How many values were recorded.
    pub(super) fn recorded(&self) -> u64 {
        self.namespaces
            .values()
            .flat_map(BTreeMap::values)
            .flat_map(BTreeMap::values)
            .fold(0, |sum, datum| sum.saturating_add(datum.values.recorded()))
    }

    /// Takes in what another buffer holds.
    pub(super) fn merge(&mut self, mut other: Self) {
        if other.series > self.series {
            std::mem::swap(self, &mut other);
        }
        for (namespace, periods) in other.namespaces {
            for (start, data) in periods {
                for (key, datum) in data {
                    self.insert(&namespace, start, key, datum);
                }
            }
        }
    }

    /// Takes back what has not been sent.
    pub(super) fn restore(&mut self, request: Request) {
        let namespace = Arc::clone(&request.namespace);
        for datum in request.into_data() {
            let mut key = key_of(datum.dimensions.iter());
            push_metric(&mut key, &datum.metric);
            self.insert(&namespace, datum.start, key.into(), datum);
        }
    }

    fn insert(&mut self, namespace: &Arc<str>, start: u64, key: Box<str>, datum: Datum) {
        let periods = match self.namespaces.get_mut(namespace) {
            Some(periods) => periods,
            None => self.namespaces.entry(Arc::clone(namespace)).or_default(),
        };
        match periods.entry(start).or_default().entry(key) {
            Entry::Occupied(mut known) => {
                for (value, count) in datum.values.iter() {
                    self.values += known.get_mut().values.add(value, count);
                }
            }
            Entry::Vacant(new) => {
                self.series += 1;
                self.values += datum.values.len();
                new.insert(datum);
            }
        }
    }

    /// Takes as much as one request holds, of the namespace with the oldest data.
    pub(super) fn take(&mut self) -> Option<Request> {
        let namespace = self.oldest()?;
        let mut request = Request::new(Arc::clone(&namespace));
        let periods = self.namespaces.get_mut(&namespace)?;
        while let Some(mut period) = periods.first_entry() {
            while let Some(mut first) = period.get_mut().first_entry() {
                let values = first.get().values.len().min(VALUES_PER_DATUM);
                // One alone is sent whatever its size is: CloudWatch says that it is too large.
                if !request.data().is_empty() && !request.has_room(first.get().size(values)) {
                    return Some(request);
                }
                self.values -= values;
                if values < first.get().values.len() {
                    request.push(first.get_mut().split(values));
                } else {
                    self.series -= 1;
                    request.push(first.remove());
                }
            }
            period.remove();
        }
        self.namespaces.remove(&namespace);
        Some(request)
    }

    /// Drops the oldest data of one series, which leaves it whole or not there at all.
    ///
    /// Returns how many values had been recorded.
    pub(super) fn drop_oldest(&mut self) -> u64 {
        let Some(namespace) = self.oldest() else {
            return 0;
        };
        let Some(periods) = self.namespaces.get_mut(&namespace) else {
            return 0;
        };
        let mut recorded = 0;
        if let Some(mut period) = periods.first_entry() {
            if let Some((_, datum)) = period.get_mut().pop_first() {
                self.series -= 1;
                self.values -= datum.values.len();
                recorded = datum.values.recorded();
            }
            if period.get().is_empty() {
                period.remove();
            }
        }
        if periods.is_empty() {
            self.namespaces.remove(&namespace);
        }
        recorded
    }

    /// Drops what CloudWatch would not take any more, or not yet.
    ///
    /// Returns how many values had been recorded.
    pub(super) fn drop_outside(&mut self, times: &RangeInclusive<u64>) -> u64 {
        let Self {
            namespaces,
            series,
            values,
        } = self;
        let mut recorded = 0_u64;
        namespaces.retain(|_, periods| {
            periods.retain(|_, data| {
                data.retain(|_, datum| {
                    let is_within = datum.is_within(times);
                    if !is_within {
                        *series -= 1;
                        *values -= datum.values.len();
                        recorded = recorded.saturating_add(datum.values.recorded());
                    }
                    is_within
                });
                !data.is_empty()
            });
            !periods.is_empty()
        });
        recorded
    }

    fn oldest(&self) -> Option<Arc<str>> {
        let oldest = self
            .namespaces
            .iter()
            .min_by_key(|(_, periods)| periods.keys().next());
        oldest.map(|(namespace, _)| Arc::clone(namespace))
    }
}

fn key_of<'a>(dimensions: impl Iterator<Item = &'a Dimension>) -> String {
    let mut key = String::new();
    for dimension in dimensions {
        push(&mut key, &dimension.name);
        push(&mut key, &dimension.value);
    }
    key
}

/// The last three parts are always there, so they are no dimension.
fn push_metric(key: &mut String, metric: &Metric) {
    push(key, metric.unit().as_str());
    push(
        key,
        if metric.is_high_resolution() {
            "1"
        } else {
            "60"
        },
    );
    push(key, metric.name());
}

/// With its length before it, no part can pass for another.
fn push(key: &mut String, part: &str) {
    // Writing to a string cannot fail.
    let _ = write!(key, "{}:{part}", part.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    const A: Metric = Metric::new("A", Unit::Count);
    const B: Metric = Metric::new("B", Unit::Milliseconds).high_resolution();
    const MINUTE: u64 = 1_795_392_000_000;

    fn dimensions(pairs: &[(&'static str, &'static str)]) -> Vec<Dimension> {
        pairs
            .iter()
            .map(|(name, value)| Dimension::new(*name, value).unwrap())
            .collect()
    }

    fn series(metric: &Metric, values: &[f64]) -> Series {
        let mut series = Series::new(metric.clone(), values[0]);
        series.more.extend(&values[1..]);
        series
    }

    fn add(buffer: &mut Buffer, timestamp: u64, metric: &Metric, values: &[f64]) {
        buffer.add("Shop", timestamp, [].into_iter(), &[series(metric, values)]);
    }

    /// What waits, taken out, each datum as a line, in the order of the lines.
    fn lines(mut buffer: Buffer) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(request) = buffer.take() {
            for datum in request.data() {
                let dimensions: String = datum
                    .dimensions
                    .iter()
                    .map(|dimension| format!("{}={} ", dimension.name, dimension.value))
                    .collect();
                let values: Vec<_> = datum.values.iter().collect();
                lines.push(format!(
                    "{} {dimensions}{} {} {values:?}",
                    request.namespace,
                    datum.metric.name(),
                    datum.start - MINUTE,
                ));
            }
        }
        assert_eq!((buffer.series, buffer.values), (0, 0));
        assert!(buffer.namespaces.is_empty());
        lines.sort();
        lines
    }

    #[test]
    fn a_minute_is_one_datum_and_of_high_resolution_a_second() {
        let mut buffer = Buffer::default();
        for after in [0, 999, 1_000, 59_999, 60_000] {
            add(&mut buffer, MINUTE + after, &A, &[1.0]);
            add(&mut buffer, MINUTE + after, &B, &[1.0, 2.0]);
        }
        assert_eq!((buffer.series(), buffer.values()), (2 + 4, 2 + 8));
        assert_eq!(buffer.recorded(), 5 + 10);
        assert_eq!(
            lines(buffer),
            [
                "Shop A 0 [(1.0, 4)]",
                "Shop A 60000 [(1.0, 1)]",
                "Shop B 0 [(1.0, 2), (2.0, 2)]",
                "Shop B 1000 [(1.0, 1), (2.0, 1)]",
                "Shop B 59000 [(1.0, 1), (2.0, 1)]",
                "Shop B 60000 [(1.0, 1), (2.0, 1)]",
            ]
        );
    }

    #[test]
    fn what_cloudwatch_keeps_apart_is_kept_apart_and_nothing_else() {
        let mut buffer = Buffer::default();
        let sets = [
            dimensions(&[]),
            dimensions(&[("a", "1"), ("b", "2")]),
            dimensions(&[("b", "2"), ("a", "1")]),
            dimensions(&[("a", "1")]),
            dimensions(&[("a", "2"), ("b", "1")]),
        ];
        for set in &sets {
            buffer.add("Shop", MINUTE, set.iter(), &[series(&A, &[1.0])]);
        }
        buffer.add("Bank", MINUTE, sets[0].iter(), &[series(&A, &[1.0])]);
        let seconds = Metric::new("A", Unit::Seconds);
        for metric in [&seconds, &A.high_resolution()] {
            buffer.add("Bank", MINUTE, sets[0].iter(), &[series(metric, &[1.0])]);
        }
        assert_eq!(
            lines(buffer),
            [
                "Bank A 0 [(1.0, 1)]",
                "Bank A 0 [(1.0, 1)]",
                "Bank A 0 [(1.0, 1)]",
                "Shop A 0 [(1.0, 1)]",
                "Shop a=1 A 0 [(1.0, 1)]",
                "Shop a=1 b=2 A 0 [(1.0, 2)]",
                "Shop a=2 b=1 A 0 [(1.0, 1)]",
            ]
        );
    }

    #[test]
    fn the_151st_value_is_another_datum() {
        let mut buffer = Buffer::default();
        let values: Vec<f64> = (0..301).map(f64::from).collect();
        add(&mut buffer, MINUTE, &A, &values);
        add(&mut buffer, MINUTE, &A, &values);
        let request = buffer.take().unwrap();
        let sizes: Vec<_> = request
            .data()
            .iter()
            .map(|datum| datum.values.len())
            .collect();
        assert_eq!(sizes, [150, 150, 1]);
        assert_eq!(request.recorded(), 602);
        assert!(buffer.take().is_none());
    }

    #[test]
    fn the_1001st_datum_is_another_request_also_of_one_series() {
        let mut buffer = Buffer::default();
        for count in 0..1001 {
            let metric = Metric::try_new(format!("M{count:04}"), Unit::Count).unwrap();
            add(&mut buffer, MINUTE, &metric, &[1.0]);
        }
        assert_eq!(buffer.take().unwrap().data().len(), 1000);
        assert_eq!(buffer.take().unwrap().data().len(), 1);

        for count in 0..150 * 400 {
            add(&mut buffer, MINUTE, &A, &[f64::from(count)]);
        }
        // A megabyte is full before a thousand.
        let first = buffer.take().unwrap();
        let sizes = |request: &Request| -> usize {
            let data = request.data().iter();
            data.map(|datum| datum.size(datum.values.len())).sum()
        };
        assert!((990_000..=1_000_000).contains(&sizes(&first)));
        assert_eq!(buffer.series(), 1);
        assert_eq!(buffer.values(), 150 * 400 - 150 * first.data().len());
        let second = buffer.take().unwrap();
        assert_eq!(first.data().len() + second.data().len(), 400);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_comes_back_is_added_to_what_has_come_meanwhile() {
        let mut buffer = Buffer::default();
        let set = dimensions(&[("a", "1")]);
        for _ in 0..2 {
            buffer.add("Shop", MINUTE, set.iter(), &[series(&A, &[1.0, 2.0])]);
            add(&mut buffer, MINUTE, &B, &[1.0]);
        }
        let request = buffer.take().unwrap();
        assert!(buffer.is_empty());
        buffer.add("Shop", MINUTE, set.iter(), &[series(&A, &[2.0, 3.0])]);
        buffer.restore(request);
        assert_eq!((buffer.series(), buffer.values()), (2, 4));

        let mut other = Buffer::default();
        add(&mut other, MINUTE, &B, &[1.0, 7.0]);
        buffer.merge(other);
        assert_eq!((buffer.series(), buffer.values()), (2, 5));
        assert_eq!(
            lines(buffer),
            [
                "Shop B 0 [(1.0, 3), (7.0, 1)]",
                "Shop a=1 A 0 [(1.0, 2), (2.0, 3), (3.0, 1)]",
            ]
        );
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut buffer = Buffer::default();
        buffer.add("Bank", MINUTE + 60_000, [].iter(), &[series(&A, &[1.0])]);
        add(&mut buffer, MINUTE, &A, &[1.0, 1.0, 2.0]);
        add(&mut buffer, MINUTE + 1_000, &B, &[1.0]);
        assert_eq!(buffer.drop_oldest(), 3);
        assert_eq!((buffer.series(), buffer.values()), (2, 2));
        assert_eq!(buffer.drop_oldest(), 1);
        assert_eq!(buffer.take().unwrap().namespace.as_ref(), "Bank");
        assert_eq!(buffer.drop_oldest(), 0);
    }

    #[test]
    fn what_is_outside_of_the_time_is_dropped() {
        let mut buffer = Buffer::default();
        for minutes in 0..4 {
            add(&mut buffer, MINUTE + minutes * 60_000, &A, &[1.0, 1.0]);
        }
        assert_eq!(
            buffer.drop_outside(&(MINUTE + 60_000..=MINUTE + 120_000)),
            4
        );
        assert_eq!(
            lines(buffer),
            ["Shop A 120000 [(1.0, 2)]", "Shop A 60000 [(1.0, 2)]"]
        );
    }
}
