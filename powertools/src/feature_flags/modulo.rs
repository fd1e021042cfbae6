use serde_json::Value;

use super::{
    problem::{Path, ProblemKind, Problems},
    schema::members_of,
    value::{Number, kind},
};

/// The values whose remainder lies within a range.
pub(super) struct ModuloRange {
    base: i128,
    start: i128,
    end: i128,
}

impl ModuloRange {
    /// Compiles `{"BASE": 100, "START": 0, "END": 24}`.
    pub(super) fn compile(value: &Value, path: &Path<'_>, problems: &mut Problems) -> Option<Self> {
        let members = problems.take(path, members_of(value))?;
        let mut whole = |name| problems.take(&path.member(name), whole(members.get(name)));
        let (base, start, end) = (whole("BASE"), whole("START"), whole("END"));
        let (base, start, end) = (base?, start?, end?);
        if 0 <= start && start <= end && end < base {
            Some(Self { base, start, end })
        } else {
            problems.add(path, ProblemKind::InvalidModuloRange);
            None
        }
    }

    /// The remainder is that of mathematics, which is never negative: -1 modulo 100 is 99.
    pub(super) fn contains(&self, value: &Value) -> Option<bool> {
        let Value::Number(number) = value else {
            return None;
        };
        let remainder = match Number::of(number)? {
            Number::Int(int) => Number::Int(int.rem_euclid(self.base)),
            Number::Float(float) => Number::Float(float.rem_euclid(self.base as f64)),
        };
        Some(Number::Int(self.start) <= remainder && remainder <= Number::Int(self.end))
    }
}

/// A number that is written as a whole one: `100`, not `100.0`.
fn whole(value: Option<&Value>) -> Result<i128, ProblemKind> {
    let value = value
        .filter(|it| !it.is_null())
        .ok_or(ProblemKind::Missing)?;
    let wrong_type = |found| ProblemKind::WrongType {
        expected: "a whole number",
        found,
    };
    match value.as_number().and_then(Number::of) {
        Some(Number::Int(int)) => Ok(int),
        Some(Number::Float(_)) => Err(wrong_type("a decimal number")),
        None => Err(wrong_type(kind(value))),
    }
}
