use std::{cmp::Ordering, time::SystemTime};

use serde_json::Value;

use super::{
    action::Action,
    context::EvaluationContext,
    elements::Elements,
    modulo::ModuloRange,
    problem::{Path, ProblemKind, Problems},
    rollout::Rollout,
    schedule::Schedule,
    value::{equal, kind, order},
};

/// A condition of a rule, compiled.
pub(super) struct Condition {
    pub(super) key: String,
    pub(super) action: Action,
    pub(super) test: Test,
}

/// What a context's value has to be.
pub(super) enum Test {
    Equal(Value),
    NotEqual(Value),
    Ordered(Value, fn(Ordering) -> bool),
    StartsWith(String),
    EndsWith(String),
    In(Haystack),
    NotIn(Haystack),
    Contains(Value),
    ContainsNot(Value),
    AllIn(Elements),
    AnyIn(Elements),
    NoneIn(Elements),
    Modulo(ModuloRange),
    Rollout(Rollout),
    Schedule(Schedule),
    /// The condition's own value is of a type that makes no sense, whatever the context has.
    Senseless,
}

/// The value of a condition in which the context's value is looked for.
pub(super) enum Haystack {
    Elements(Elements),
    Text(String),
    Members(serde_json::Map<String, Value>),
}

/// What a condition says.
pub(super) enum Outcome {
    Holds(bool),
    /// The comparison makes no sense for the type of what the context has.
    Mismatch(&'static str),
}

impl Condition {
    pub(super) fn evaluate(&self, context: &EvaluationContext, now: SystemTime) -> Outcome {
        if let Test::Schedule(schedule) = &self.test {
            return Outcome::Holds(schedule.holds(now));
        }
        // A key that is not there never matches, whatever the action.
        let Some(value) = context.get(&self.key) else {
            return Outcome::Holds(false);
        };
        match self.test.compare(value) {
            Some(holds) => Outcome::Holds(holds),
            None => Outcome::Mismatch(kind(value)),
        }
    }
}

impl Test {
    /// Compiles what a condition of the flag compares with; `path` is where its value is.
    pub(super) fn compile(
        action: Action,
        value: Value,
        flag: &str,
        path: &Path<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let test = match action {
            Action::Equals => Self::Equal(value),
            Action::NotEquals => Self::NotEqual(value),
            Action::KeyGreaterThanValue => Self::Ordered(value, Ordering::is_gt),
            Action::KeyGreaterThanOrEqualValue => Self::Ordered(value, Ordering::is_ge),
            Action::KeyLessThanValue => Self::Ordered(value, Ordering::is_lt),
            Action::KeyLessThanOrEqualValue => Self::Ordered(value, Ordering::is_le),
            Action::StartsWith => text(value).map_or(Self::Senseless, Self::StartsWith),
            Action::EndsWith => text(value).map_or(Self::Senseless, Self::EndsWith),
            Action::In | Action::KeyInValue => {
                Haystack::new(value).map_or(Self::Senseless, Self::In)
            }
            Action::NotIn | Action::KeyNotInValue => {
                Haystack::new(value).map_or(Self::Senseless, Self::NotIn)
            }
            Action::ValueInKey => Self::Contains(value),
            Action::ValueNotInKey => Self::ContainsNot(value),
            Action::AllInValue => Self::AllIn(problems.take(path, list(value))?),
            Action::AnyInValue => Self::AnyIn(problems.take(path, list(value))?),
            Action::NoneInValue => Self::NoneIn(problems.take(path, list(value))?),
            Action::ModuloRange => Self::Modulo(ModuloRange::compile(&value, path, problems)?),
            Action::RolloutPercentage => {
                Self::Rollout(Rollout::compile(&value, flag, path, problems)?)
            }
            Action::ScheduleBetweenTimeRange => {
                Self::Schedule(Schedule::time_range(&value, path, problems)?)
            }
            Action::ScheduleBetweenDateTimeRange => {
                Self::Schedule(Schedule::date_time_range(&value, path, problems)?)
            }
            Action::ScheduleBetweenDaysOfWeek => {
                Self::Schedule(Schedule::days_of_week(&value, path, problems)?)
            }
        };
        Some(test)
    }

    /// `None` if the comparison makes no sense: the negative actions do not hold then, either.
    fn compare(&self, value: &Value) -> Option<bool> {
        match self {
            Self::Equal(expected) => Some(equal(value, expected)),
            Self::NotEqual(expected) => Some(!equal(value, expected)),
            Self::Ordered(expected, is) => order(value, expected).map(is),
            Self::StartsWith(start) => Some(value.as_str()?.starts_with(&**start)),
            Self::EndsWith(end) => Some(value.as_str()?.ends_with(&**end)),
            Self::In(haystack) => haystack.contains(value),
            Self::NotIn(haystack) => haystack.contains(value).map(|is| !is),
            Self::Contains(needle) => contains(value, needle),
            Self::ContainsNot(needle) => contains(value, needle).map(|is| !is),
            Self::AllIn(elements) => Some(value.as_array()?.iter().all(|it| elements.contain(it))),
            Self::AnyIn(elements) => Some(value.as_array()?.iter().any(|it| elements.contain(it))),
            Self::NoneIn(elements) => {
                Some(!value.as_array()?.iter().any(|it| elements.contain(it)))
            }
            Self::Modulo(range) => range.contains(value),
            Self::Rollout(rollout) => rollout.includes(value),
            Self::Schedule(_) | Self::Senseless => None,
        }
    }
}

impl Haystack {
    fn new(value: Value) -> Option<Self> {
        match value {
            Value::Array(elements) => Some(Self::Elements(Elements::new(elements))),
            Value::String(text) => Some(Self::Text(text)),
            Value::Object(members) => Some(Self::Members(members)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    fn contains(&self, needle: &Value) -> Option<bool> {
        match self {
            Self::Elements(elements) => Some(elements.contain(needle)),
            Self::Text(text) => Some(text.contains(needle.as_str()?)),
            Self::Members(members) => has_member(members, needle),
        }
    }
}

/// Whether an element of a list, a part of a string or a name in an object.
fn contains(haystack: &Value, needle: &Value) -> Option<bool> {
    match haystack {
        Value::Array(elements) => Some(elements.iter().any(|element| equal(element, needle))),
        Value::String(text) => Some(text.contains(needle.as_str()?)),
        Value::Object(members) => has_member(members, needle),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Numbers, booleans and null are no names, but could be in other languages; lists and objects could not.
fn has_member(members: &serde_json::Map<String, Value>, name: &Value) -> Option<bool> {
    match name {
        Value::String(name) => Some(members.contains_key(name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(false),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn list(value: Value) -> Result<Elements, ProblemKind> {
    match value {
        Value::Array(elements) => Ok(Elements::new(elements)),
        value => Err(ProblemKind::WrongType {
            expected: "an array",
            found: kind(&value),
        }),
    }
}
