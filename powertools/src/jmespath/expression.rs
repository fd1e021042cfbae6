use std::{fmt, str::FromStr, sync::Arc};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    JmespathError, Output, Undecodable,
    evaluate::Evaluation,
    read,
    syntax::{self, Node},
    value::Value,
};
use crate::raw;

/// How much one search decompresses, in bytes.
const DEFAULT_MAX_DECOMPRESSED: usize = 16 * 1024 * 1024;

/// A compiled JMESPath expression.
///
/// Cloning is cheap. See the [module docs](super).
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<Compiled>,
    max_decompressed: usize,
}

struct Compiled {
    source: Box<str>,
    root: Node,
    /// The names of an expression that only goes from member to member.
    path: Option<Vec<Box<str>>>,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not JMESPath, has more than 128 operators, or calls a function
    /// that there is not, with too many or too few arguments or with an `&expression` in the wrong
    /// place.
    pub fn new(expression: &str) -> Result<Self, JmespathError> {
        let root = syntax::parse(expression)?;
        let compiled = Compiled {
            source: expression.into(),
            path: root.path(),
            root,
        };
        Ok(Self {
            compiled: Arc::new(compiled),
            max_decompressed: DEFAULT_MAX_DECOMPRESSED,
        })
    }

    /// Sets how many bytes `powertools_base64_gzip` may make in one search, over all its calls.
    ///
    /// Defaults to 16 MiB.
    #[must_use]
    pub fn max_decompressed(mut self, bytes: usize) -> Self {
        self.max_decompressed = bytes;
        self
    }

    /// Returns the expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.compiled.source
    }

    /// Searches a JSON text, such as an event that came through
    /// [`DecodeLayer`](crate::decode::DecodeLayer).
    ///
    /// An expression of nothing but names (`detail.order.id`) skips the rest of the text; others
    /// read it all.
    ///
    /// # Errors
    ///
    /// Returns an error if a function is given a type that it does not take, or a text that it
    /// cannot decode, and if the data is nested deeper than 128 levels. What is not found is no
    /// error.
    pub fn search<'a>(&self, json: &'a RawValue) -> Result<Output<'a>, JmespathError> {
        self.run(json, read::borrowed)
    }

    /// Searches a JSON text that has not been checked yet.
    ///
    /// # Errors
    ///
    /// As [`search`](Self::search), and if it is not JSON.
    pub fn search_str<'a>(&self, json: &'a str) -> Result<Output<'a>, JmespathError> {
        let json = serde_json::from_str(json).map_err(|_| JmespathError::Data {
            reason: Undecodable::Json,
        })?;
        self.search(json)
    }

    /// Searches whatever can be serialised, as the JSON it is serialised to.
    ///
    /// # Errors
    ///
    /// As [`search`](Self::search), and if it cannot be serialised.
    pub fn search_value<T>(&self, value: &T) -> Result<Output<'static>, JmespathError>
    where
        T: Serialize + ?Sized,
    {
        let json = to_raw_value(value).map_err(JmespathError::Serialize)?;
        self.run(&json, read::shared)
    }

    fn run<'t, 'v>(
        &self,
        json: &'t RawValue,
        read: fn(&'t RawValue) -> Result<Value<'v>, Undecodable>,
    ) -> Result<Output<'v>, JmespathError> {
        let read = |json| read(json).map_err(|reason| JmespathError::Data { reason });
        if let Some(path) = &self.compiled.path {
            let found = raw::find(json, path).map_err(|_| JmespathError::Data {
                reason: Undecodable::Json,
            })?;
            return found.map_or(Ok(Value::Null), read).map(Output::new);
        }
        let mut evaluation = Evaluation {
            decompression_budget: self.max_decompressed,
        };
        evaluation
            .evaluate(&self.compiled.root, &read(json)?)
            .map(Output::new)
    }
}

impl FromStr for Expression {
    type Err = JmespathError;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        Self::new(expression)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.as_str()).finish()
    }
}
