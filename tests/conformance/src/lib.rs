//! What the library answers to the vectors of the other Powertools toolkits.
//!
//! A case is a line `{"id","op","in"}` and its answer a line `{"id","out"}` or `{"id","error"}`.
//! There is no logic here: JSON becomes calls of the public API, and results become JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod members;
mod ops;

pub use ops::OPS;

/// A case, as it comes in.
#[derive(Debug, Deserialize)]
struct Case<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, rename = "in")]
    input: &'a RawValue,
}

/// The answer to a case, as it goes out.
#[derive(Debug, Serialize)]
pub struct Answer {
    id: Box<RawValue>,
    #[serde(flatten)]
    result: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Out(Box<RawValue>),
    Error(&'static str),
}

/// Why a case has no result: the kind that the protocol names.
#[derive(Debug)]
pub struct Failure(pub &'static str);

/// What an op answers to a case's `in`.
pub type Op = fn(&RawValue) -> Result<Box<RawValue>, Failure>;

/// Answers one line, whatever it is.
#[must_use]
pub fn answer(line: &[u8]) -> Answer {
    let Ok(case) = serde_json::from_slice::<Case<'_>>(line) else {
        return Answer {
            id: RawValue::NULL.to_owned(),
            result: Outcome::Error("InvalidCase"),
        };
    };
    let op = OPS.iter().find(|(name, _)| *name == case.op);
    let result = match op.map_or(Err(Failure("UnknownOp")), |(_, op)| op(case.input)) {
        Ok(out) => Outcome::Out(out),
        Err(Failure(kind)) => Outcome::Error(kind),
    };
    Answer {
        id: case.id.to_owned(),
        result,
    }
}

/// Reads a case's `in`.
fn input<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(json.get()).map_err(|error| {
        eprintln!("a case that the protocol does not allow: {error}");
        Failure("InvalidCase")
    })
}

/// Writes a result.
fn output<T: Serialize>(result: &T) -> Result<Box<RawValue>, Failure> {
    serde_json::value::to_raw_value(result).map_err(|_| Failure("Unserialisable"))
}
