use std::time::{Duration, UNIX_EPOCH};

use powertools::{
    Env, env,
    metrics::{Metrics, MetricsError, MetricsLayer, compat::Toolkit},
    testing::Captured,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Failure, input, members::Members, output};

#[derive(Deserialize)]
struct Input<'a> {
    namespace: Option<String>,
    service: Option<String>,
    #[serde(default, borrow)]
    default_dimensions: Members<'a>,
    #[serde(borrow)]
    steps: Vec<Step<'a>>,
}

/// A step has what its kind needs.
#[derive(Deserialize)]
struct Step<'a> {
    #[serde(rename = "do")]
    kind: Kind,
    #[serde(default)]
    name: String,
    #[serde(default)]
    key: String,
    #[serde(borrow, default = "null")]
    value: &'a RawValue,
    #[serde(default)]
    unit: String,
    resolution: Option<u16>,
    #[serde(default, borrow)]
    set: Members<'a>,
    #[serde(default)]
    ms: u64,
    #[serde(default)]
    raise_on_empty: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Metric,
    Dimension,
    Dimensions,
    Metadata,
    Timestamp,
    Flush,
}

fn null() -> &'static RawValue {
    RawValue::NULL
}

impl From<MetricsError> for Failure {
    fn from(error: MetricsError) -> Self {
        Self(match error {
            MetricsError::MetricName { .. } => "MetricName",
            MetricsError::Unit { .. } => "MetricUnit",
            MetricsError::Resolution { .. } => "MetricResolution",
            MetricsError::Value { .. } => "MetricValue",
            _ => "SchemaValidation",
        })
    }
}

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let input: Input<'_> = input(json)?;
    let captured = Captured::default();
    let variables = [
        (env::METRICS_NAMESPACE, &input.namespace),
        (env::SERVICE_NAME, &input.service),
    ];
    let env: Env = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
    let mut layer = MetricsLayer::from_env(&env)
        .compatible_with(Toolkit::Python)
        .with_writer(captured.clone());
    for (name, value) in &input.default_dimensions.0 {
        layer = layer.try_default_dimension(name.clone().into_owned(), text(value)?)?;
    }
    let metrics = layer.recorder();
    for step in &input.steps {
        run(step, &metrics)?;
    }
    // What is not flushed is not written.
    let lines = captured.lines();
    output(&lines)
}

fn run(step: &Step<'_>, metrics: &Metrics) -> Result<(), Failure> {
    match step.kind {
        Kind::Metric => {
            let unit = Toolkit::Python.unit(&step.unit)?;
            let mut metric = Toolkit::Python.metric(&step.name, unit)?;
            if let Some(resolution) = step.resolution {
                metric = metric.storage_resolution(resolution)?;
            }
            let value: f64 = step
                .value
                .get()
                .parse()
                .map_err(|_| Failure("MetricValue"))?;
            metrics.try_record(&metric, value)?;
        }
        Kind::Dimension => metrics.try_add_dimension(step.name.clone(), text(step.value)?)?,
        Kind::Dimensions => {
            let set = step.set.0.iter();
            let set = set.map(|(name, value)| Ok((name.clone().into_owned(), text(value)?)));
            metrics.try_add_dimensions(set.collect::<Result<Vec<_>, Failure>>()?)?;
        }
        Kind::Metadata => metrics.try_add_metadata(step.key.clone(), step.value)?,
        Kind::Timestamp => {
            metrics.try_set_timestamp(UNIX_EPOCH + Duration::from_millis(step.ms))?;
        }
        Kind::Flush => match metrics.try_flush() {
            Err(MetricsError::Empty) if !step.raise_on_empty => {}
            flushed => flushed?,
        },
    }
    Ok(())
}

/// Returns a text as it is, and any other value as it is written.
fn text(value: &RawValue) -> Result<String, Failure> {
    if value.get().starts_with('"') {
        input(value)
    } else {
        Ok(value.get().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_of(default_dimensions: &str) -> Result<String, &'static str> {
        let metric = r#"{"do":"metric","name":"Latency","unit":"Count","value":1}"#;
        let input = format!(
            r#"{{"namespace":"Shop","service":"orders","default_dimensions":{default_dimensions},"steps":[{metric},{{"do":"flush"}}]}}"#
        );
        let input = RawValue::from_string(input).unwrap();
        let lines = answer(&input).map_err(|failure| failure.0)?;
        Ok(lines.get().replace('\\', ""))
    }

    #[test]
    fn no_default_dimension_ends_the_program() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count)
                .map(|number| format!(r#""d{number}":"v""#))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(answer_of(&many(28)).is_ok());
        for count in [29, 30, 31, 40] {
            assert_eq!(answer_of(&many(count)), Err("SchemaValidation"), "{count}");
        }
        let line = answer_of(r#"{"città":"İstanbul","":"a","stage":" ","shop":""}"#).unwrap();
        assert!(
            line.contains(r#""Dimensions":[["città","service"]]"#),
            "{line}"
        );
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1025));
        assert_eq!(answer_of(&long), Err("SchemaValidation"));
        assert_eq!(answer_of(r#"{"_aws":"a"}"#), Err("SchemaValidation"));
    }
}
