//! The schema of the Powertools toolkits: texts into rules.

use indexmap::IndexMap;
use serde_json::{Map, Value, value::RawValue};

use super::{
    action::Action,
    condition::{Condition, Test},
    document::{Flag, Rule},
    json::{self, Members},
    problem::{Path, ProblemKind, Problems, SchemaErrors},
    value::{Kind, is_truthy, kind},
};

pub(super) fn compile(text: &str) -> Result<IndexMap<String, Flag>, SchemaErrors> {
    let flags = json::document(text).and_then(json::object);
    let flags = flags.map_err(|kind| Path::Root.problem(kind))?;
    let mut problems = Problems::default();
    let mut compiled = IndexMap::with_capacity(flags.len());
    for (name, raw) in flags {
        let flag = flag(&name, raw, &Path::Root.member(&name), &mut problems);
        compiled.extend(flag.map(|flag| (name, flag)));
    }
    problems.finish(compiled)
}

fn flag(name: &str, raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<Flag> {
    let members = filled_object(raw, path, problems)?;
    let is_boolean = is_boolean(members.get("boolean_type").copied(), path, problems);
    let default = required(&members, "default", path, problems, |raw| {
        value_of_flag(raw, is_boolean)
    });
    let rules = rules(name, is_boolean, &members, path, problems);
    Some(Flag {
        default: default?,
        rules: rules?,
        attributes: None,
    })
}

/// A flag is boolean unless it says otherwise. Whatever is as good as false counts, as in the other
/// toolkits.
fn is_boolean(raw: Option<&RawValue>, path: &Path<'_>, problems: &mut Problems) -> bool {
    let says = raw.and_then(|raw| problems.take(&path.member("boolean_type"), json::value(raw)));
    says.is_none_or(|says| is_truthy(&says))
}

fn value_of_flag(raw: &RawValue, is_boolean: bool) -> Result<Value, ProblemKind> {
    if is_boolean {
        json::boolean(raw).map(Value::Bool)
    } else {
        json::value(raw)
    }
}

fn rules(
    flag: &str,
    is_boolean: bool,
    members: &Members<'_>,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Vec<Rule>> {
    let path = path.member("rules");
    let Some(raw) = members.get("rules").filter(|raw| !is_nothing(raw)) else {
        return Some(Vec::new());
    };
    let rules = problems.take(&path, json::object(raw))?;
    let mut compiled = Vec::with_capacity(rules.len());
    for (name, raw) in rules {
        let path = path.member(&name);
        if name.is_empty() {
            problems.add(&path, ProblemKind::UnnamedRule);
        }
        compiled.extend(rule(flag, &name, is_boolean, raw, &path, problems));
    }
    Some(compiled)
}

fn rule(
    flag: &str,
    name: &str,
    is_boolean: bool,
    raw: &RawValue,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let members = filled_object(raw, path, problems)?;
    let when_match = if is_boolean || members.contains_key("when_match") {
        let path = path.member("when_match");
        let raw = members.get("when_match").ok_or(ProblemKind::Missing);
        problems.take(&path, raw.and_then(|raw| value_of_flag(raw, is_boolean)))
    } else {
        Some(Value::Null)
    };
    let conditions = conditions(flag, &members, path, problems);
    Some(Rule {
        name: name.to_owned(),
        when_match: when_match?,
        conditions: conditions?,
    })
}

fn conditions(
    flag: &str,
    members: &Members<'_>,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Vec<Condition>> {
    let list = required(members, "conditions", path, problems, json::array)?;
    let path = path.member("conditions");
    if list.is_empty() {
        problems.add(&path, ProblemKind::Empty);
    }
    let mut compiled = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        compiled.extend(condition(flag, raw, &path.element(index), problems));
    }
    Some(compiled)
}

fn condition(
    flag: &str,
    raw: &RawValue,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Condition> {
    let members = filled_object(raw, path, problems)?;
    let action = required(&members, "action", path, problems, |raw| {
        let name = json::string(raw)?;
        Action::of(&name).ok_or_else(|| ProblemKind::unknown_action(&name))
    });
    let key = required(&members, "key", path, problems, |raw| {
        let key = json::string(raw)?;
        check_key(&key, action)?;
        Ok(key)
    });
    let value = required(&members, "value", path, problems, json::value);
    let path = path.member("value");
    let test = Test::compile(action?, value?, flag, &path, problems);
    Some(Condition {
        key: key?,
        action: action?,
        test: test?,
    })
}

fn check_key(key: &str, action: Option<Action>) -> Result<(), ProblemKind> {
    if key.is_empty() {
        return Err(ProblemKind::Empty);
    }
    match action.and_then(|action| Some((action, action.fixed_key()?))) {
        Some((action, expected)) if key != expected => Err(ProblemKind::WrongKey {
            action: action.name(),
            expected,
        }),
        _ => Ok(()),
    }
}

/// Whether it is null, or whatever else is as good as no rules in the other toolkits.
fn is_nothing(raw: &RawValue) -> bool {
    json::kind(raw) != Kind::Object && json::value(raw).is_ok_and(|value| !is_truthy(&value))
}

fn filled_object<'t>(
    raw: &'t RawValue,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<Members<'t>> {
    let members = problems.take(path, json::object(raw))?;
    if members.is_empty() {
        problems.add(path, ProblemKind::Empty);
        return None;
    }
    Some(members)
}

/// Reads a member that there must be.
pub(super) fn required<'t, T>(
    members: &Members<'t>,
    name: &str,
    path: &Path<'_>,
    problems: &mut Problems,
    read: impl FnOnce(&'t RawValue) -> Result<T, ProblemKind>,
) -> Option<T> {
    let raw = members.get(name).copied();
    let raw = raw.filter(|raw| json::kind(raw) != Kind::Null);
    let read = raw.ok_or(ProblemKind::Missing).and_then(read);
    problems.take(&path.member(name), read)
}

/// The members of a value that must be an object.
pub(super) fn members_of(value: &Value) -> Result<&Map<String, Value>, ProblemKind> {
    value.as_object().ok_or_else(|| ProblemKind::WrongType {
        expected: "an object",
        found: kind(value),
    })
}
