//! What the tests of the metrics share: a reader of EMF objects that checks them, and a listener to
//! warnings.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock, Mutex},
};

use powertools::testing::Captured;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use tracing::{Event, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer::Context, prelude::*};

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const LOG_EVENT_SIZE: usize = 1024 * 1024;
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
const LOG_EVENT_OVERHEAD: usize = 26;

/// Returns what was written, after it was checked.
#[track_caller]
pub(crate) fn objects(output: &Captured) -> Vec<Value> {
    output.lines().iter().map(|line| check(line)).collect()
}

/// Checks a line against CloudWatch's schema, and the rules that the schema cannot express, and
/// returns it as JSON.
#[track_caller]
pub(crate) fn check(line: &str) -> Value {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = serde_json::from_str(include_str!("../schemas/emf.schema.json")).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    let size = line.len() + LOG_EVENT_OVERHEAD;
    assert!(size <= LOG_EVENT_SIZE, "a log event of {size} bytes");
    let object: Value = serde_json::from_str(line).unwrap();
    if let Err(error) = SCHEMA.validate(&object) {
        panic!("{error}: {object}");
    }

    let Members(members) = serde_json::from_str(line).unwrap();
    assert_eq!(
        members.len(),
        object.as_object().unwrap().len(),
        "a member twice: {members:?}"
    );

    let sets = sets(&object);
    let dimensions: BTreeSet<_> = sets.iter().flatten().collect();
    assert!(dimensions.len() <= 30, "{dimensions:?}");
    for set in &sets {
        let names: BTreeSet<_> = set.iter().collect();
        assert_eq!(names.len(), set.len(), "a dimension twice: {set:?}");
    }
    for dimension in &dimensions {
        let length = object[*dimension]
            .as_str()
            .map(|value| value.chars().count());
        assert!(
            length.is_some_and(|length| (1..=1024).contains(&length)),
            "{dimension}"
        );
    }
    let metrics = names(&object);
    assert!((1..=100).contains(&metrics.len()));
    for metric in &metrics {
        let values = values(&object, metric);
        assert!((1..=100).contains(&values.len()), "{metric}: {values:?}");
        assert!(!dimensions.contains(metric), "{metric} is a dimension");
    }
    let distinct: BTreeSet<_> = metrics.iter().collect();
    assert_eq!(distinct.len(), metrics.len(), "a metric twice: {metrics:?}");
    object
}

/// The names of an object's members, also those that are there twice.
struct Members(Vec<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, &RawValue>()? {
                    names.push(name);
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

fn directive(object: &Value) -> &Value {
    &object["_aws"]["CloudWatchMetrics"][0]
}

/// Returns the names of an object's metrics.
pub(crate) fn names(object: &Value) -> Vec<String> {
    let metrics = directive(object)["Metrics"].as_array().unwrap().iter();
    metrics
        .map(|metric| metric["Name"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn values(object: &Value, metric: &str) -> Vec<f64> {
    match &object[metric] {
        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

/// Returns an object's dimension sets.
pub(crate) fn sets(object: &Value) -> Vec<Vec<String>> {
    serde_json::from_value(directive(object)["Dimensions"].clone()).unwrap()
}

/// Returns an object's first dimension set.
pub(crate) fn dimensions(object: &Value) -> Vec<String> {
    sets(object).swap_remove(0)
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = crate::subscriber::registry()
            .with(warnings.clone())
            .set_default();
        (warnings, guard)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }

            fn record_error(
                &mut self,
                field: &tracing::field::Field,
                error: &(dyn std::error::Error + 'static),
            ) {
                self.record_debug(field, &format_args!("{error}"));
                if let Some(source) = error.source() {
                    self.0.push_str(&format!("source={source} "));
                }
            }
        }
        if event.metadata().target().starts_with("powertools") {
            assert_eq!(*event.metadata().level(), tracing::Level::WARN);
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}
