use std::borrow::Cow;

use super::{
    Member, Metric, MetricsError,
    dimension::{self, Dimension},
    limits::{
        AWS, DIMENSIONS_PER_SET, GREATEST_VALUE, METADATA_SIZE, METRICS_PER_OBJECT,
        VALUES_PER_METRIC,
    },
};

/// What the next EMF object will hold. No more than it may: as soon as a metric more, or a value
/// more of one metric, would be too many, it is [full](Fill::Full).
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) series: Vec<Series>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) metadata: Vec<Metadata>,
}

/// The values of one metric, in their order.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: Metric,
    /// Most metrics have one value an invocation, which costs no allocation.
    pub(super) first: f64,
    pub(super) more: Vec<f64>,
}

#[derive(Debug)]
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

/// The dimensions that the layer was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    pub(super) dimensions: Vec<Dimension>,
    pub(super) service: Option<Dimension>,
}

impl Series {
    pub(super) const fn new(metric: Metric, value: f64) -> Self {
        Self {
            metric,
            first: value,
            more: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        1 + self.more.len()
    }
}

impl Metadata {
    /// What it takes at the most, in bytes: an escaped character is `\u001b`, for instance.
    fn size(&self) -> usize {
        r#","":"#.len() + 6 * self.key.len() + self.json.len()
    }
}

impl Batch {
    pub(super) fn record(
        &mut self,
        configured: &Configured,
        metric: &Metric,
        value: f64,
    ) -> Result<Fill, MetricsError> {
        // False for what is not a number.
        let in_range = value.abs() <= GREATEST_VALUE;
        if !in_range {
            let name = metric.name().to_owned();
            return Err(MetricsError::Value { name, value });
        }
        let known = self
            .series
            .iter_mut()
            .find(|series| series.metric.name() == metric.name());
        let values = if let Some(series) = known {
            if series.metric.unit() != metric.unit() {
                return Err(MetricsError::UnitMismatch {
                    name: metric.name().to_owned(),
                    unit: metric.unit(),
                    recorded: series.metric.unit(),
                });
            }
            series.metric.refine(metric);
            series.more.push(value);
            series.len()
        } else {
            self.check_free(configured, metric.name(), Member::Metric)?;
            self.series.push(Series::new(metric.clone(), value));
            1
        };
        if values == VALUES_PER_METRIC || self.series.len() == METRICS_PER_OBJECT {
            Ok(Fill::Full)
        } else {
            Ok(Fill::Room)
        }
    }

    pub(super) fn add_dimension(
        &mut self,
        configured: &Configured,
        dimension: Dimension,
    ) -> Result<(), MetricsError> {
        self.check_free(configured, &dimension.name, Member::Dimension)?;
        let is_new = !self.is_dimension(configured, &dimension.name);
        if is_new && self.effective_dimensions(configured).count() == DIMENSIONS_PER_SET {
            let name = dimension.name.into_owned();
            return Err(MetricsError::TooManyDimensions { name });
        }
        dimension::set(&mut self.dimensions, dimension);
        Ok(())
    }

    pub(super) fn add_metadata(
        &mut self,
        configured: &Configured,
        metadata: Metadata,
    ) -> Result<(), MetricsError> {
        self.check_free(configured, &metadata.key, Member::Metadata)?;
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

    pub(super) fn effective_dimensions<'a>(
        &'a self,
        configured: &'a Configured,
    ) -> impl Iterator<Item = &'a Dimension> + Clone {
        dimension::effective(
            &configured.dimensions,
            &self.dimensions,
            configured.service.as_ref(),
        )
    }

    fn is_dimension(&self, configured: &Configured, name: &str) -> bool {
        self.effective_dimensions(configured)
            .any(|dimension| dimension.name == name)
    }

    fn check_free(
        &self,
        configured: &Configured,
        name: &str,
        kind: Member,
    ) -> Result<(), MetricsError> {
        let taken_by = if name == AWS {
            Member::Aws
        } else if kind != Member::Metric
            && self
                .series
                .iter()
                .any(|series| series.metric.name() == name)
        {
            Member::Metric
        } else if kind != Member::Dimension && self.is_dimension(configured, name) {
            Member::Dimension
        } else if kind != Member::Metadata && self.metadata.iter().any(|set| set.key == name) {
            Member::Metadata
        } else {
            return Ok(());
        };
        let name = name.to_owned();
        Err(MetricsError::NameTaken { name, taken_by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

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
            let error = batch.record(&configured(), &A, value).unwrap_err();
            assert!(matches!(error, MetricsError::Value { .. }), "{error}");
            assert!(error.to_string().contains(r#""A""#), "{error}");
        }
        assert!(batch.series.is_empty());
        for value in [GREATEST_VALUE, -GREATEST_VALUE, f64::MIN_POSITIVE, -0.0] {
            batch.record(&configured(), &A, value).unwrap();
        }
    }

    #[test]
    fn a_metric_keeps_its_unit_and_takes_the_finer_resolution() {
        let mut batch = Batch::default();
        let configured = configured();
        batch.record(&configured, &A, 1.0).unwrap();
        batch
            .record(&configured, &A.high_resolution(), 2.0)
            .unwrap();
        let other = Metric::new("A", Unit::Bytes);
        assert_eq!(
            message(batch.record(&configured, &other, 3.0)),
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
            let fill = batch.record(&configured(), &metric, 1.0).unwrap();
            assert_eq!(fill == Fill::Full, count == 100, "{count}");
        }
        let mut batch = Batch::default();
        for count in 1..=100 {
            let fill = batch.record(&configured(), &A, 1.0).unwrap();
            assert_eq!(fill == Fill::Full, count == 100, "{count}");
        }
    }

    #[test]
    fn a_name_is_of_one_kind_only() {
        let configured = configured();
        let mut batch = Batch::default();
        batch.record(&configured, &A, 1.0).unwrap();
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
                message(batch.record(&configured, &Metric::new(name, Unit::Count), 1.0)),
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
        assert_eq!(batch.effective_dimensions(&configured).count(), 30);
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
}
