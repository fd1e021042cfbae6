use std::fmt;

use serde_json::{Map, Value};

use super::{
    json,
    problem::{Path, Problem},
};

/// What is known about a request: the rules of flags are about these values.
///
/// `Debug` shows the keys only.
///
/// # Examples
///
/// ```
/// use powertools::feature_flags::EvaluationContext;
///
/// let context = EvaluationContext::new()
///     .with("tier", "pro")
///     .with("user_id", 4711)
///     .with("roles", ["editor", "author"].as_slice());
/// assert_eq!(context.get("user_id"), Some(&4711.into()));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct EvaluationContext {
    values: Map<String, Value>,
}

impl EvaluationContext {
    /// Makes a context without any value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a context from the text of a JSON object.
    ///
    /// Here numbers with a fraction are read to the nearest `f64`, as those of the document are;
    /// without its feature `float_roundtrip` serde_json may be off by the last digit.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the text, if it is not an object or is nested too deep.
    pub fn from_json(text: &str) -> Result<Self, Problem> {
        let object = json::document(text).and_then(json::object);
        let members = object.map_err(|kind| Path::Root.problem(kind))?;
        let values = members.into_iter().map(|(key, raw)| {
            let value = json::value(raw).map_err(|kind| Path::Root.member(&key).problem(kind))?;
            Ok((key, value))
        });
        Ok(Self {
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// Adds a value, in place of the one the key had.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Adds a value, in place of the one the key had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.values.insert(key.into(), value.into());
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }
}

impl From<Map<String, Value>> for EvaluationContext {
    fn from(values: Map<String, Value>) -> Self {
        Self { values }
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for EvaluationContext {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        let mut context = Self::new();
        context.extend(values);
        context
    }
}

impl<K: Into<String>, V: Into<Value>> Extend<(K, V)> for EvaluationContext {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, values: I) {
        for (key, value) in values {
            self.insert(key, value);
        }
    }
}

impl fmt::Debug for EvaluationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
