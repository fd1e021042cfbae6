use std::{borrow::Cow, mem};

use super::{
    Member, Metric, MetricsError,
    dimension::{self, Dimension, DimensionSets},
    limits::{
        AWS, DIMENSION_SETS_SIZE, GROUPS, METADATA_SIZE, METRICS_PER_OBJECT, Rules,
        VALUES_PER_METRIC,
    },
};

/// What the next EMF objects will hold. No more than they may: as soon as a metric more, or a value
/// more of one metric, would be too many, it is [full](Fill::Full).
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) dimensions: Vec<Dimension>,
    /// What further dimension sets have besides the configured dimensions.
    pub(super) sets: Vec<Vec<Dimension>>,
    pub(super) metadata: Vec<Metadata>,
    /// Epoch, in milliseconds; without one it is the time of writing.
    pub(super) timestamp: Option<u64>,
    pub(super) series: Vec<Series>,
    /// What was recorded with dimensions of its own.
    pub(super) groups: Vec<Group>,
}

/// The metrics of an object of its own, because they have dimensions of their own.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) dimensions: Vec<Dimension>,
    pub(super) series: Vec<Series>,
}

/// What is written at once, in whatever form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flushed<'a> {
    /// Epoch, in milliseconds.
    pub(super) timestamp: u64,
    pub(super) namespace: &'a str,
    pub(super) sets: DimensionSets<'a>,
    pub(super) metadata: &'a [Metadata],
    /// Never empty.
    pub(super) series: &'a [Series],
}

/// The values of one metric, in their order.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: Metric,
    /// Most metrics have one value an invocation, which costs no allocation.
    pub(super) first: f64,
    pub(super) more: Vec<f64>,
    /// Whether the first is a sum that grows: that of a counter.
    #[cfg_attr(
        not(feature = "metrics-facade"),
        allow(dead_code, reason = "the facade has the counters")
    )]
    pub(super) is_sum: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) key: Cow<'static, str>,
    pub(super) json: String,
}

/// Whether a batch takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Room,
    Full,
}

/// The dimensions that the layer was given, and the rules for what is added.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    pub(super) dimensions: Vec<Dimension>,
    pub(super) service: Option<Dimension>,
    pub(super) rules: Rules,
}

impl Series {
    pub(super) const fn new(metric: Metric, value: f64) -> Self {
        Self {
            metric,
            first: value,
            more: Vec::new(),
            is_sum: false,
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    const fn len(&self) -> usize {
        1 + self.more.len()
    }
}

impl Metadata {
    pub(super) fn new(key: Cow<'static, str>, json: String) -> Self {
        let json = on_one_line(json);
        Self { key, json }
    }

    /// What it takes at the most, in bytes: an escaped character is `\u001b`, for instance.
    fn size(&self) -> usize {
        r#","":"#.len() + 6 * self.key.len() + self.json.len()
    }
}

impl Configured {
    /// Returns the dimensions of an object that has none but these and `own`.
    pub(super) fn sets<'a>(&'a self, own: &'a [Dimension]) -> DimensionSets<'a> {
        DimensionSets {
            configured: &self.dimensions,
            own,
            service: self.service.as_ref(),
            later_sets_win: self.rules.later_sets_win,
            ..DimensionSets::default()
        }
    }

    /// Checks that there are no more dimensions than there may be.
    pub(super) fn check_count(&self) -> Result<(), MetricsError> {
        let limit = self.rules.dimensions;
        match self.sets(&[]).primary().iter().nth(limit) {
            None => Ok(()),
            Some(dimension) => Err(MetricsError::TooManyDimensions {
                name: dimension.name.clone().into_owned(),
                limit,
            }),
        }
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.groups.is_empty()
    }

    /// Moves the metrics out, with a copy of what holds for them.
    pub(super) fn take_metrics(&mut self) -> Self {
        Self {
            dimensions: self.dimensions.clone(),
            sets: self.sets.clone(),
            metadata: self.metadata.clone(),
            timestamp: self.timestamp,
            series: mem::take(&mut self.series),
            groups: mem::take(&mut self.groups),
        }
    }

    /// Forgets the metrics, but for the memory.
    pub(super) fn clear_metrics(&mut self) {
        self.series.clear();
        self.groups.clear();
    }

    /// Forgets everything, but for the memory.
    pub(super) fn clear(&mut self) {
        self.dimensions.clear();
        self.sets.clear();
        self.metadata.clear();
        self.timestamp = None;
        self.clear_metrics();
    }

    /// Adds a value, for a metric that may have dimensions of its `own`.
    pub(super) fn record(
        &mut self,
        configured: &Configured,
        metric: &Metric,
        value: f64,
        own: &[Dimension],
    ) -> Result<Fill, MetricsError> {
        // False for what is not a number.
        let in_range = value.abs() <= configured.rules.greatest_value;
        if !in_range {
            let name = metric.name().to_owned();
            return Err(MetricsError::Value { name, value });
        }
        let known = self.series_of(own).and_then(|series| {
            series
                .iter_mut()
                .find(|series| series.metric.has_name_of(metric))
        });
        if let Some(series) = known {
            if series.metric.unit() != metric.unit() {
                return Err(MetricsError::UnitMismatch {
                    name: metric.name().to_owned(),
                    unit: metric.unit(),
                    recorded: series.metric.unit(),
                });
            }
            series.metric.refine(metric);
            series.more.push(value);
            return Ok(Fill::of(series.len() == VALUES_PER_METRIC));
        }

        self.check_metric(configured, metric.name(), own)?;
        if self.series_of(own).is_none() {
            self.check_group(configured, own)?;
        }
        let series = self.series_of_or_new(own);
        series.push(Series::new(metric.clone(), value));
        let is_full = series.len() == METRICS_PER_OBJECT || self.groups.len() == GROUPS;
        Ok(Fill::of(is_full))
    }

    /// Returns the values of a metric with these dimensions of its own, if there are any.
    #[cfg(feature = "metrics-facade")]
    pub(super) fn find(&mut self, metric: &Metric, own: &[Dimension]) -> Option<&mut Series> {
        let mut series = self.series_of(own)?.iter_mut();
        series.find(|series| {
            series.metric.has_name_of(metric) && series.metric.unit() == metric.unit()
        })
    }

    /// Returns the metrics with these dimensions of their own, if there are any.
    fn series_of(&mut self, own: &[Dimension]) -> Option<&mut Vec<Series>> {
        if own.is_empty() {
            return Some(&mut self.series);
        }
        let mut groups = self.groups.iter_mut();
        let group = groups.find(|group| group.dimensions == own)?;
        Some(&mut group.series)
    }

    fn series_of_or_new(&mut self, own: &[Dimension]) -> &mut Vec<Series> {
        if own.is_empty() {
            return &mut self.series;
        }
        let known = self.groups.iter().position(|group| group.dimensions == own);
        let index = known.unwrap_or_else(|| {
            self.groups.push(Group {
                dimensions: own.to_vec(),
                series: Vec::new(),
            });
            self.groups.len() - 1
        });
        &mut self.groups[index].series
    }

    pub(super) fn add_dimension(
        &mut self,
        configured: &Configured,
        dimension: Dimension,
    ) -> Result<(), MetricsError> {
        let name = &*dimension.name;
        self.check_free_for_dimension(name)?;
        let has_another_value = |set: &Vec<Dimension>| {
            dimension::find(set, name).is_some_and(|other| other.value != dimension.value)
        };
        if !configured.rules.later_sets_win && self.sets.iter().any(has_another_value) {
            let name = dimension.name.into_owned();
            return Err(MetricsError::DimensionConflict { name });
        }
        let limit = configured.rules.dimensions;
        let takes = |sets: DimensionSets<'_>| sets.takes(name, limit);
        let mut groups = self.groups.iter();
        let all_take = takes(self.dimension_sets(configured))
            && groups.all(|group| takes(self.first_set(configured, &group.dimensions)));
        if !all_take {
            let name = dimension.name.into_owned();
            return Err(MetricsError::TooManyDimensions { name, limit });
        }
        dimension::set(&mut self.dimensions, dimension);
        Ok(())
    }

    /// Adds a dimension set; its names are there once each.
    pub(super) fn add_dimensions(
        &mut self,
        configured: &Configured,
        set: Vec<Dimension>,
    ) -> Result<(), MetricsError> {
        let rules = configured.rules;
        let known = self.dimension_sets(configured).members();
        let mut count = known.len();
        for dimension in &set {
            self.check_free_for_dimension(&dimension.name)?;
            match known.iter().find(|known| known.name == dimension.name) {
                Some(known) if known.value != dimension.value && !rules.later_sets_win => {
                    let name = dimension.name.clone().into_owned();
                    return Err(MetricsError::DimensionConflict { name });
                }
                Some(_) => {}
                None => count += 1,
            }
            if count > rules.dimensions {
                return Err(MetricsError::TooManyDimensions {
                    name: dimension.name.clone().into_owned(),
                    limit: rules.dimensions,
                });
            }
        }
        if !rules.later_sets_win && self.sets.contains(&set) {
            return Ok(());
        }
        let names = |set: &[Dimension]| {
            let all = configured.dimensions.iter().chain(set);
            all.map(|dimension| size_of_name(&dimension.name))
                .sum::<usize>()
        };
        let sets: usize = self.sets.iter().map(|set| names(set)).sum();
        if sets + names(&set) > DIMENSION_SETS_SIZE {
            let names = set.into_iter().map(|dimension| dimension.name);
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(MetricsError::TooManyDimensionSets { names });
        }
        self.sets.push(set);
        Ok(())
    }

    pub(super) fn add_metadata(
        &mut self,
        configured: &Configured,
        metadata: Metadata,
    ) -> Result<(), MetricsError> {
        let key = &*metadata.key;
        let taken_by = if key == AWS {
            Some(Member::Aws)
        } else if self.is_metric(key) {
            Some(Member::Metric)
        } else if self.is_dimension(configured, key) {
            Some(Member::Dimension)
        } else {
            None
        };
        refuse(key, taken_by)?;
        let others = self.metadata.iter().filter(|set| set.key != metadata.key);
        if metadata.size() + others.map(Metadata::size).sum::<usize>() > METADATA_SIZE {
            let key = metadata.key.into_owned();
            return Err(MetricsError::TooMuchMetadata { key });
        }
        match self.metadata.iter_mut().find(|set| set.key == metadata.key) {
            Some(set) => set.json = metadata.json,
            None => self.metadata.push(metadata),
        }
        Ok(())
    }

    /// Returns the dimensions of what was recorded without any of its own.
    pub(super) fn dimension_sets<'a>(&'a self, configured: &'a Configured) -> DimensionSets<'a> {
        DimensionSets {
            added: &self.dimensions,
            more: &self.sets,
            ..configured.sets(&[])
        }
    }

    /// Returns the dimensions of what was recorded with some of its `own`: one set.
    pub(super) fn first_set<'a>(
        &'a self,
        configured: &'a Configured,
        own: &'a [Dimension],
    ) -> DimensionSets<'a> {
        DimensionSets {
            added: &self.dimensions,
            ..configured.sets(own)
        }
    }

    /// Returns all that was recorded.
    pub(super) fn series(&self) -> impl Iterator<Item = &Series> {
        let groups = self.groups.iter().flat_map(|group| &group.series);
        self.series.iter().chain(groups)
    }

    fn is_metric(&self, name: &str) -> bool {
        self.series().any(|series| series.metric.name() == name)
    }

    fn is_dimension(&self, configured: &Configured, name: &str) -> bool {
        let has_name = |dimension: &Dimension| dimension.name == name;
        let first = self.dimension_sets(configured).primary();
        let groups = self.groups.iter().map(|group| &group.dimensions);
        first.iter().any(has_name) || self.sets.iter().chain(groups).flatten().any(has_name)
    }

    fn is_metadata(&self, name: &str) -> bool {
        self.metadata.iter().any(|set| set.key == name)
    }

    fn check_metric(
        &self,
        configured: &Configured,
        name: &str,
        own: &[Dimension],
    ) -> Result<(), MetricsError> {
        let has_name = |dimension: &Dimension| dimension.name == name;
        let sets: &[_] = if own.is_empty() { &self.sets } else { &[] };
        let is_dimension = configured.dimensions.iter().any(has_name)
            || configured.service.as_ref().is_some_and(has_name)
            || self.dimensions.iter().any(has_name)
            || own.iter().any(has_name)
            || sets.iter().flatten().any(has_name);
        let taken_by = if is_dimension {
            Some(Member::Dimension)
        } else if self.is_metadata(name) {
            Some(Member::Metadata)
        } else {
            None
        };
        refuse(name, taken_by)
    }

    /// Checks the dimensions of a group that is not there yet.
    fn check_group(&self, configured: &Configured, own: &[Dimension]) -> Result<(), MetricsError> {
        for dimension in own {
            let name = &*dimension.name;
            refuse(name, self.is_metadata(name).then_some(Member::Metadata))?;
        }
        let limit = configured.rules.dimensions;
        let mut set = self.first_set(configured, own).primary().iter();
        match set.nth(limit) {
            None => Ok(()),
            Some(dimension) => Err(MetricsError::TooManyDimensions {
                name: dimension.name.clone().into_owned(),
                limit,
            }),
        }
    }

    fn check_free_for_dimension(&self, name: &str) -> Result<(), MetricsError> {
        let taken_by = if self.is_metric(name) {
            Some(Member::Metric)
        } else if self.is_metadata(name) {
            Some(Member::Metadata)
        } else {
            None
        };
        refuse(name, taken_by)
    }
}

impl Fill {
    const fn of(is_full: bool) -> Self {
        if is_full { Self::Full } else { Self::Room }
    }
}

fn refuse(name: &str, taken_by: Option<Member>) -> Result<(), MetricsError> {
    match taken_by {
        None => Ok(()),
        Some(taken_by) => {
            let name = name.to_owned();
            Err(MetricsError::NameTaken { name, taken_by })
        }
    }
}

/// What a name takes in a dimension set at the most, in bytes.
fn size_of_name(name: &str) -> usize {
    r#","""#.len() + 2 * name.len()
}

/// JSON that is passed through as it is (a `RawValue`) may have line breaks between its tokens;
/// inside of strings there are none.
fn on_one_line(json: String) -> String {
    if json.contains(['\n', '\r']) {
        json.replace(['\n', '\r'], " ")
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Unit, limits::GREATEST_VALUE};

    const A: Metric = Metric::new("A", Unit::Count);

    fn dimension(name: &str) -> Dimension {
        Dimension::new(name.to_owned(), &"value").unwrap()
    }

    fn metadata(key: &'static str, json: &str) -> Metadata {
        Metadata {
            key: key.into(),
            json: json.to_owned(),
        }
    }

    fn configured() -> Configured {
        Configured {
            dimensions: vec![dimension("stage")],
            service: Some(dimension("service")),
            ..Configured::default()
        }
    }

    fn message(result: Result<impl std::fmt::Debug, MetricsError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn values_that_cloudwatch_does_not_take_are_refused() {
        let mut batch = Batch::default();
        for value in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            2.4e108,
            -2.4e108,
        ] {
            let error = batch.record(&configured(), &A, value, &[]).unwrap_err();
            assert!(matches!(error, MetricsError::Value { .. }), "{error}");
            assert!(error.to_string().contains(r#""A""#), "{error}");
        }
        assert!(batch.series.is_empty());
        for value in [GREATEST_VALUE, -GREATEST_VALUE, f64::MIN_POSITIVE, -0.0] {
            batch.record(&configured(), &A, value, &[]).unwrap();
        }
    }

    #[test]
    fn a_metric_keeps_its_unit_and_takes_the_finer_resolution() {
        let mut batch = Batch::default();
        let configured = configured();
        batch.record(&configured, &A, 1.0, &[]).unwrap();
        batch
            .record(&configured, &A.high_resolution(), 2.0, &[])
            .unwrap();
        let other = Metric::new("A", Unit::Bytes);
        assert_eq!(
            message(batch.record(&configured, &other, 3.0, &[])),
            r#"metric "A" in Bytes has already been recorded in Count"#
        );
        assert_eq!(
            (batch.series[0].first, &*batch.series[0].more),
            (1.0, &[2.0][..])
        );
        assert!(batch.series[0].metric.is_high_resolution());
    }

    #[test]
    fn a_batch_is_full_with_its_hundredth_metric_or_its_hundredth_value() {
        let mut batch = Batch::default();
        for count in 1..=100 {
            let metric = Metric::try_new(format!("M{count}"), Unit::Count).unwrap();
            let fill = batch.record(&configured(), &metric, 1.0, &[]).unwrap();
            assert_eq!(fill == Fill::Full, count == 100, "{count}");
        }
        let mut batch = Batch::default();
        for count in 1..=100 {
            let fill = batch.record(&configured(), &A, 1.0, &[]).unwrap();
            assert_eq!(fill == Fill::Full, count == 100, "{count}");
        }
    }

    #[test]
    fn a_name_is_of_one_kind_only() {
        let configured = configured();
        let mut batch = Batch::default();
        batch.record(&configured, &A, 1.0, &[]).unwrap();
        batch.add_dimension(&configured, dimension("shop")).unwrap();
        batch
            .add_metadata(&configured, metadata("order", "1"))
            .unwrap();

        for (name, taken_by) in [
            ("stage", "a dimension"),
            ("service", "a dimension"),
            ("shop", "a dimension"),
            ("order", "metadata"),
        ] {
            assert_eq!(
                message(batch.record(&configured, &Metric::new(name, Unit::Count), 1.0, &[])),
                format!("the name {name:?} is already taken by {taken_by}")
            );
        }
        for (name, taken_by) in [("A", "a metric"), ("order", "metadata")] {
            assert_eq!(
                message(batch.add_dimension(&configured, dimension(name))),
                format!("the name {name:?} is already taken by {taken_by}")
            );
        }
        for (name, taken_by) in [
            ("A", "a metric"),
            ("shop", "a dimension"),
            ("service", "a dimension"),
            ("_aws", "the format itself"),
        ] {
            assert_eq!(
                message(batch.add_metadata(&configured, metadata(name, "1"))),
                format!("the name {name:?} is already taken by {taken_by}")
            );
        }
    }

    #[test]
    fn the_thirty_first_dimension_is_refused() {
        let configured = configured();
        let mut batch = Batch::default();
        for count in 1..=28 {
            batch
                .add_dimension(&configured, dimension(&format!("d{count}")))
                .unwrap();
        }
        assert_eq!(
            message(batch.add_dimension(&configured, dimension("d29"))),
            r#"dimension "d29" is one too many: there are 30 already"#
        );
        for known in ["d28", "stage", "service"] {
            batch.add_dimension(&configured, dimension(known)).unwrap();
        }
        assert_eq!(batch.dimension_sets(&configured).members().len(), 30);
    }

    #[test]
    fn metadata_of_the_same_key_is_replaced() {
        let mut batch = Batch::default();
        for (key, json) in [("a", "1"), ("b", "2"), ("a", "3")] {
            batch
                .add_metadata(&configured(), metadata(key, json))
                .unwrap();
        }
        let kept = |set: &Metadata| format!("{}={}", set.key, set.json);
        assert_eq!(
            batch.metadata.iter().map(kept).collect::<Vec<_>>(),
            ["a=3", "b=2"]
        );
    }

    fn pair(name: &'static str, value: &str) -> Dimension {
        Dimension::new(name, &value).unwrap()
    }

    #[test]
    fn a_dimension_set_may_repeat_a_dimension_but_not_change_it() {
        let configured = configured();
        let mut batch = Batch::default();
        batch.add_dimension(&configured, pair("shop", "a")).unwrap();
        let set = vec![pair("shop", "a"), pair("tenant", "t1")];
        batch.add_dimensions(&configured, set.clone()).unwrap();
        batch.add_dimensions(&configured, set).unwrap();
        assert_eq!(batch.sets.len(), 1);

        let conflict =
            |name| format!("dimension {name:?} has another value in another dimension set");
        for name in ["shop", "tenant", "stage", "service"] {
            let set = vec![pair("new", "1"), pair(name, "other")];
            assert_eq!(
                message(batch.add_dimensions(&configured, set)),
                conflict(name)
            );
        }
        for name in ["shop", "tenant"] {
            let added = batch.add_dimension(&configured, pair(name, "other"));
            assert_eq!(message(added), conflict(name));
        }
        batch
            .add_dimension(&configured, pair("tenant", "t1"))
            .unwrap();
        assert_eq!(batch.sets.len(), 1);
    }

    #[test]
    fn the_dimensions_of_all_sets_count_together() {
        let configured = configured();
        let mut batch = Batch::default();
        let set =
            |range: std::ops::Range<usize>| range.map(|n| dimension(&format!("d{n}"))).collect();
        batch.add_dimensions(&configured, set(0..20)).unwrap();
        let too_many = |name| format!("dimension {name:?} is one too many: there are 30 already");
        assert_eq!(
            message(batch.add_dimensions(&configured, set(18..29))),
            too_many("d28")
        );
        batch.add_dimensions(&configured, set(18..28)).unwrap();
        assert_eq!(
            message(batch.add_dimension(&configured, dimension("one"))),
            too_many("one")
        );
        batch.add_dimension(&configured, dimension("d3")).unwrap();
    }

    #[test]
    fn dimension_sets_have_no_endless_room() {
        let configured = configured();
        let mut batch = Batch::default();
        let names: Vec<_> = (0..12).map(|n| dimension(&format!("{n:d<250}"))).collect();
        let added = (1..4096_usize).find_map(|combination| {
            let set = names.iter().enumerate();
            let set = set.filter(|(bit, _)| combination >> bit & 1 == 1);
            let set = set.map(|(_, dimension)| dimension.clone()).collect();
            batch.add_dimensions(&configured, set).err()
        });
        let error = added.unwrap();
        assert!(
            matches!(error, MetricsError::TooManyDimensionSets { .. }),
            "{error}"
        );
        assert!(batch.sets.len() > 10);
    }

    #[test]
    fn metrics_with_dimensions_of_their_own_are_kept_apart() {
        let configured = configured();
        let mut batch = Batch::default();
        let get = [pair("method", "GET")];
        let put = [pair("method", "PUT")];
        for (value, own) in [(1.0, &get), (2.0, &put), (3.0, &get)] {
            batch.record(&configured, &A, value, own).unwrap();
        }
        batch.record(&configured, &A, 4.0, &[]).unwrap();
        // Another object's metric is another metric.
        let bytes = Metric::new("A", Unit::Bytes);
        let patch = [pair("method", "PATCH")];
        batch.record(&configured, &bytes, 5.0, &patch).unwrap();

        let kept = |series: &[Series]| series[0].values().collect::<Vec<_>>();
        let groups = batch.groups.iter().map(|group| kept(&group.series));
        assert_eq!(
            groups.collect::<Vec<_>>(),
            [vec![1.0, 3.0], vec![2.0], vec![5.0]]
        );
        assert_eq!(kept(&batch.series), [4.0]);
    }

    #[test]
    fn a_name_is_of_one_kind_only_among_metrics_with_dimensions_of_their_own() {
        let configured = configured();
        let mut batch = Batch::default();
        batch
            .add_metadata(&configured, metadata("order", "1"))
            .unwrap();
        let own = [pair("method", "GET")];
        batch.record(&configured, &A, 1.0, &own).unwrap();

        let named = |name| Metric::new(name, Unit::Count);
        let taken = |name, by| format!("the name {name:?} is already taken by {by}");
        for (name, by) in [
            ("method", "a dimension"),
            ("stage", "a dimension"),
            ("order", "metadata"),
        ] {
            let recorded = batch.record(&configured, &named(name), 1.0, &own);
            assert_eq!(message(recorded), taken(name, by));
        }
        let recorded = batch.record(&configured, &A, 1.0, &[pair("order", "1")]);
        assert_eq!(message(recorded), taken("order", "metadata"));
        assert_eq!(
            message(batch.add_dimension(&configured, dimension("A"))),
            taken("A", "a metric")
        );
        assert_eq!(
            message(batch.add_metadata(&configured, metadata("method", "1"))),
            taken("method", "a dimension")
        );
        assert_eq!(batch.groups.len(), 1);
    }

    #[test]
    fn a_metric_has_at_most_thirty_dimensions_with_its_own() {
        let configured = configured();
        let mut batch = Batch::default();
        let own: Vec<_> = (0..29).map(|n| dimension(&format!("d{n}"))).collect();
        assert_eq!(
            message(batch.record(&configured, &A, 1.0, &own)),
            r#"dimension "service" is one too many: there are 30 already"#
        );
        assert!(batch.is_empty());
        batch.record(&configured, &A, 1.0, &own[1..]).unwrap();
        assert_eq!(
            message(batch.add_dimension(&configured, dimension("one"))),
            r#"dimension "one" is one too many: there are 30 already"#
        );
        batch.add_dimension(&configured, dimension("d5")).unwrap();
    }

    #[test]
    fn a_batch_is_full_with_its_hundredth_group() {
        let mut batch = Batch::default();
        for count in 1..=100 {
            let own = [pair("user", &count.to_string())];
            let fill = batch.record(&configured(), &A, 1.0, &own).unwrap();
            assert_eq!(fill == Fill::Full, count == 100, "{count}");
        }
    }
}
