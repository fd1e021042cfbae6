use serde_json::{Map, Value};

use super::value::is_truthy;

/// What a flag is for a context, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation<'a> {
    pub(super) value: &'a Value,
    pub(super) reason: Reason<'a>,
    pub(super) attributes: Option<&'a Map<String, Value>>,
    pub(super) mismatches: Vec<Mismatch<'a>>,
}

impl<'a> Evaluation<'a> {
    /// Returns the flag's value: a boolean, unless the flag has `"boolean_type": false`.
    #[must_use]
    pub const fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns whether the flag is on: its value is neither false, null, 0, `""`, `[]` nor `{}`.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        is_truthy(self.value)
    }

    /// Returns why the flag has this value.
    #[must_use]
    pub const fn reason(&self) -> Reason<'a> {
        self.reason
    }

    /// Returns an attribute that a flag of AppConfig's own type has beside being on or off.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a Value> {
        self.attributes?.get(name)
    }

    /// Returns the name of the variant that the AppConfig agent has chosen, of a flag that has several.
    #[must_use]
    pub fn variant(&self) -> Option<&'a str> {
        self.attribute("_variant")?.as_str()
    }

    /// Returns the comparisons that made no sense on the way, such as a text with a number.
    ///
    /// Their conditions did not hold.
    #[must_use]
    pub fn mismatches(&self) -> &[Mismatch<'a>] {
        &self.mismatches
    }
}

/// Why a flag has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// The flag has no rules.
    Static,
    /// No rule's conditions all held.
    Default,
    /// This rule was the first whose conditions all held.
    #[non_exhaustive]
    RuleMatch {
        /// The rule's name.
        rule: &'a str,
    },
    /// The same, and one of its conditions is a percentage of the requests.
    #[non_exhaustive]
    Rollout {
        /// The rule's name.
        rule: &'a str,
    },
}

impl<'a> Reason<'a> {
    /// Returns the name of the rule that gave the value, if one did.
    #[must_use]
    pub const fn rule(self) -> Option<&'a str> {
        match self {
            Self::RuleMatch { rule } | Self::Rollout { rule } => Some(rule),
            Self::Static | Self::Default => None,
        }
    }
}

/// A condition whose comparison makes no sense for the type that the context has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch<'a> {
    pub(super) rule: &'a str,
    pub(super) key: &'a str,
    pub(super) action: &'static str,
    pub(super) found: &'static str,
}

impl<'a> Mismatch<'a> {
    /// Returns the name of the condition's rule.
    #[must_use]
    pub const fn rule(&self) -> &'a str {
        self.rule
    }

    /// Returns the key in the context.
    #[must_use]
    pub const fn key(&self) -> &'a str {
        self.key
    }

    /// Returns the condition's action, such as `STARTSWITH`.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// Returns the type of what the context has there, such as `a number`.
    #[must_use]
    pub const fn found(&self) -> &'static str {
        self.found
    }
}
