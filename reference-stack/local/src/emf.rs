use serde_json::{Map, Value};

/// Metrics in CloudWatch's embedded metric format, as a function logs them.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Emf {
    /// The namespace.
    pub namespace: String,
    /// The names and values of the dimensions, of all sets.
    pub dimensions: Vec<(String, String)>,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The whole object.
    pub object: Value,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// What was measured: one value, or many.
    pub values: Vec<f64>,
}

impl Emf {
    /// The metrics in a log line, one for each directive; none if it holds none.
    pub fn extract(line: &Value) -> Vec<Self> {
        let directives = line
            .pointer("/_aws/CloudWatchMetrics")
            .and_then(Value::as_array);
        let Some(object) = line.as_object() else {
            return Vec::new();
        };
        directives
            .into_iter()
            .flatten()
            .filter_map(|directive| Self::read(directive, object, line))
            .collect()
    }

    fn read(directive: &Value, object: &Map<String, Value>, line: &Value) -> Option<Self> {
        let namespace = directive.get("Namespace")?.as_str()?.to_owned();
        let mut dimensions: Vec<(String, String)> = Vec::new();
        for name in directive
            .get("Dimensions")?
            .as_array()?
            .iter()
            .flat_map(|set| set.as_array().into_iter().flatten())
        {
            let name = name.as_str()?;
            if !dimensions.iter().any(|(known, _)| known == name) {
                dimensions.push((name.to_owned(), object.get(name)?.as_str()?.to_owned()));
            }
        }
        let metrics = directive.get("Metrics")?.as_array()?.iter().map(|metric| {
            let name = metric.get("Name")?.as_str()?;
            let values = match object.get(name)? {
                Value::Array(values) => values.iter().map(Value::as_f64).collect::<Option<_>>()?,
                value => vec![value.as_f64()?],
            };
            let unit = metric.get("Unit").and_then(Value::as_str).unwrap_or("None");
            Some(Metric {
                name: name.to_owned(),
                unit: unit.to_owned(),
                values,
            })
        });
        let metrics = metrics.collect::<Option<_>>()?;
        Some(Self {
            namespace,
            dimensions,
            metrics,
            object: line.clone(),
        })
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_found_with_unit_values_and_dimensions() {
        let line = json!({
            "_aws": {"Timestamp": 1, "CloudWatchMetrics": [{
                "Namespace": "ReferenceStack", "Dimensions": [["service"], ["service", "region"]],
                "Metrics": [{"Name": "OrdersCreated", "Unit": "Count"}, {"Name": "Sizes"}],
            }]},
            "service": "orders", "region": "eu-west-1", "OrdersCreated": 1, "Sizes": [1, 2.5], "order_id": "x",
        });
        let [emf] = Emf::extract(&line).try_into().unwrap();
        assert_eq!(emf.namespace, "ReferenceStack");
        assert_eq!(
            emf.dimensions,
            [
                ("service".into(), "orders".into()),
                ("region".into(), "eu-west-1".into())
            ]
        );
        let orders = emf.metric("OrdersCreated").unwrap();
        assert_eq!(
            (orders.unit.as_str(), orders.values.as_slice()),
            ("Count", &[1.0][..])
        );
        assert_eq!(emf.metric("Sizes").unwrap().values, [1.0, 2.5]);
    }

    #[test]
    fn a_line_that_promises_what_it_lacks_holds_no_metrics() {
        let directive =
            json!({"Namespace": "N", "Dimensions": [["service"]], "Metrics": [{"Name": "M"}]});
        let aws = json!({"Timestamp": 1, "CloudWatchMetrics": [directive]});
        assert!(
            Emf::extract(&json!({"_aws": aws, "service": "s"})).is_empty(),
            "no value"
        );
        assert!(
            Emf::extract(&json!({"_aws": aws, "M": 1})).is_empty(),
            "no dimension"
        );
        assert!(
            Emf::extract(&json!({"_aws": aws, "service": "s", "M": "1"})).is_empty(),
            "a text"
        );
        assert!(Emf::extract(&json!("text")).is_empty());
        assert_eq!(
            Emf::extract(&json!({"_aws": aws, "service": "s", "M": 1})).len(),
            1
        );
    }
}
