//! AppConfig's own type of flags, `AWS.AppConfig.FeatureFlags`.
//!
//! Source: <https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-type-reference-feature-flags.html>

use indexmap::IndexMap;
use serde_json::{Value, value::RawValue};

use super::{
    document::Flag,
    json::{self, Members},
    problem::{Path, ProblemKind, Problems, SchemaErrors},
    schema::required,
    value::Kind,
};

pub(super) fn compile(text: &str) -> Result<IndexMap<String, Flag>, SchemaErrors> {
    let document = json::document(text).and_then(json::object);
    let document = document.map_err(|kind| Path::Root.problem(kind))?;
    let mut problems = Problems::default();
    let flags = if is_definition(&document) {
        let path = Path::Root.member("values");
        match document.get("values") {
            Some(raw) => {
                let values = problems.take(&path, json::object(raw)).unwrap_or_default();
                flags(values, &path, &mut problems)
            }
            None => IndexMap::new(),
        }
    } else {
        flags(document, &Path::Root, &mut problems)
    };
    problems.finish(flags)
}

/// Whether it is what is written, which says its version, and not what applications get.
fn is_definition(document: &Members<'_>) -> bool {
    let version = document.get("version");
    version.is_some_and(|version| json::kind(version) == Kind::String)
}

fn flags(flags: Members<'_>, path: &Path<'_>, problems: &mut Problems) -> IndexMap<String, Flag> {
    let mut compiled = IndexMap::with_capacity(flags.len());
    for (name, raw) in flags {
        let flag = flag(raw, &path.member(&name), problems);
        compiled.extend(flag.map(|flag| (name, flag)));
    }
    compiled
}

fn flag(raw: &RawValue, path: &Path<'_>, problems: &mut Problems) -> Option<Flag> {
    let mut members = problems.take(path, json::object(raw))?;
    if members.contains_key("_variants") {
        problems.add(path, ProblemKind::Variants);
        return None;
    }
    let enabled = required(&members, "enabled", path, problems, json::boolean);
    members.shift_remove("enabled");
    let attributes = members.into_iter().filter_map(|(name, raw)| {
        let value = problems.take(&path.member(&name), json::value(raw))?;
        Some((name, value))
    });
    let attributes = attributes.collect();
    Some(Flag {
        default: Value::Bool(enabled?),
        rules: Vec::new(),
        attributes: Some(attributes),
    })
}
