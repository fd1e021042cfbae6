use std::{fmt, time::SystemTime};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{
    action::Action,
    condition::{Condition, Outcome},
    context::EvaluationContext,
    evaluation::{Evaluation, Mismatch, Reason},
    native,
    problem::SchemaErrors,
    schema,
};

/// Flags with their rules, checked and compiled.
///
/// # Examples
///
/// ```
/// use powertools::feature_flags::{EvaluationContext, FlagDocument, Reason};
/// use std::time::SystemTime;
///
/// let document = FlagDocument::parse(r#"{
///     "new_checkout": {
///         "default": false,
///         "rules": {
///             "customers in the EU": {
///                 "when_match": true,
///                 "conditions": [
///                     {"action": "EQUALS", "key": "tier", "value": "pro"},
///                     {"action": "STARTSWITH", "key": "region", "value": "eu-"}
///                 ]
///             }
///         }
///     }
/// }"#)?;
///
/// let context = EvaluationContext::new()
///     .with("tier", "pro")
///     .with("region", "eu-west-1");
/// let now = SystemTime::now();
/// let evaluation = document.evaluate("new_checkout", &context, now).unwrap();
/// assert!(evaluation.is_enabled());
/// assert_eq!(evaluation.reason().rule(), Some("customers in the EU"));
///
/// let nothing_known = EvaluationContext::new();
/// let evaluation = document.evaluate("new_checkout", &nothing_known, now).unwrap();
/// assert!(!evaluation.is_enabled());
/// assert_eq!(evaluation.reason(), Reason::Default);
/// # Ok::<_, powertools::feature_flags::SchemaErrors>(())
/// ```
///
/// # The schema
///
/// The document is an object of flags by their names.
///
/// | member | of | is |
/// |---|---|---|
/// | `default` | flag | the value if no rule applies; not null |
/// | `boolean_type` | flag | `false` if the values are more than booleans; else they have to be booleans |
/// | `rules` | flag | rules by their names; they are tried in the order of the text, and the first applies whose conditions all hold. May be missing or empty |
/// | `when_match` | rule | the value if the rule applies; without `boolean_type` it may be missing, which is null |
/// | `conditions` | rule | one or more conditions |
/// | `action` | condition | one of the table below |
/// | `key` | condition | the key in the context; not empty |
/// | `value` | condition | what the context's value is compared with; not null |
///
/// Booleans are no numbers, unlike with Powertools for Python: `true` does not equal `1`.
///
/// Other members mean nothing. One mistake makes the whole document unusable.
///
/// | action | holds if |
/// |---|---|
/// | `EQUALS`, `NOT_EQUALS` | the context's value equals the condition's, or does not. Lists and objects are compared with all that they hold; `1` equals `1.0`, and `"1"` does not |
/// | `KEY_GREATER_THAN_VALUE`, `KEY_GREATER_THAN_OR_EQUAL_VALUE`, `KEY_LESS_THAN_VALUE`, `KEY_LESS_THAN_OR_EQUAL_VALUE` | two numbers, or two strings by code point, are in this order |
/// | `STARTSWITH`, `ENDSWITH` | a string starts or ends with another |
/// | `IN`, `NOT_IN`, also named `KEY_IN_VALUE`, `KEY_NOT_IN_VALUE` | the context's value is, or is not, an element of the condition's list, a part of its string or a name in its object |
/// | `VALUE_IN_KEY`, `VALUE_NOT_IN_KEY` | the same with the two exchanged |
/// | `ALL_IN_VALUE`, `ANY_IN_VALUE`, `NONE_IN_VALUE` | all, any or none of the elements of the context's list are in the condition's; of an empty one all and none are |
/// | `MODULO_RANGE` | the remainder of a number is within a range: `{"BASE": 100, "START": 0, "END": 24}`, both inclusive; it is never negative |
/// | `SCHEDULE_BETWEEN_TIME_RANGE` | with the key `CURRENT_TIME`: the clock is within `{"START": "09:00", "END": "17:00", "TIMEZONE": "Europe/Berlin"}`, the minute of the end included; an end before the start is on the next day |
/// | `SCHEDULE_BETWEEN_DATETIME_RANGE` | with the key `CURRENT_DATETIME`: the same with dates, or dates and times, of ISO 8601 without an offset, to the microsecond |
/// | `SCHEDULE_BETWEEN_DAYS_OF_WEEK` | with the key `CURRENT_DAY_OF_WEEK`: it is one of `{"DAYS": ["SATURDAY", "SUNDAY"], "TIMEZONE": "Europe/Berlin"}` |
/// | `ROLLOUT_PERCENTAGE` | the context's value is among the first percents: see below |
///
/// A key that the context lacks never matches, `NOT_EQUALS` and `NOT_IN` included; one that is there
/// with null has a value like any other. Neither does a comparison that makes no sense for the types,
/// such as `STARTSWITH` with a number, the negative actions included: see [`Evaluation::mismatches`].
///
/// Whole numbers are exact within 64 bits, others are the nearest `f64`; of a context too, if it is
/// read by [`EvaluationContext::from_json`].
///
/// # Time zones
///
/// `TIMEZONE` is a name of the IANA database as it is spelled there, UTC without it. Rules go by the
/// clock on the wall of that zone: while it is put back, an hour passes twice. The database is the
/// system's, which `provided.al2023` has. An image without one takes jiff's copy along, by this line
/// in the function's `Cargo.toml`; without either, only UTC is known.
///
/// ```toml
/// jiff = { version = "0.2", features = ["tzdb-bundle-always"] }
/// ```
///
/// # Rollouts
///
/// `ROLLOUT_PERCENTAGE` lets in a share of the users, say, and always the same ones. It is this
/// library's own: **the other Powertools toolkits refuse a document that has it.**
///
/// ```json
/// {"action": "ROLLOUT_PERCENTAGE", "key": "user_id", "value": {"PERCENTAGE": 12.5, "SALT": "2026-11"}}
/// ```
///
/// Whoever is in at one percentage is in at every higher one. `SALT` is the flag's name unless it is
/// given: flags with different salts let in different users, and those with one salt the same.
///
/// A value is in if *hash < PERCENTAGE / 100 × 2³²*, computed as `f64`, where the hash is the MurmurHash3
/// of 32 bits (x86, seed 0) of the UTF-8 bytes of the salt, a colon and the value. The value is a string
/// as it is or a whole number in decimal digits; anything else makes no sense. So `new-checkout:user-1`
/// hashes to 2230340631 and is in from 51.93 % on, `new-checkout:4711` to 2762581525 and 64.33 %.
///
/// # Documents of AppConfig's own type
///
/// [`parse_native`](Self::parse_native) reads configurations of type `AWS.AppConfig.FeatureFlags` as
/// AppConfig and its agent hand them out:
///
/// ```json
/// {"new_checkout": {"enabled": true, "limit": 20}, "banner": {"enabled": false}}
/// ```
///
/// Such a flag is a boolean that depends on no context; what else it has are its
/// [attributes](Evaluation::attribute). AppConfig hands out the attributes of flags that are on.
/// Of a flag with variants, its agent chooses one, and [says which](Evaluation::variant); the service
/// by itself knows the default only. The form that is written and deployed, with `version`, `flags`
/// and `values`, is read as well, so that a CI job can check it; a flag with `_variants` is a problem
/// there, because their rules are not evaluated here.
///
/// # Limits
///
/// A text has at most [4 MiB](Self::MAX_BYTES), and values are nested at most
/// [64 levels](Self::MAX_DEPTH) deep. Beyond that a document has a [problem](super::ProblemKind).
pub struct FlagDocument {
    pub(super) flags: IndexMap<String, Flag>,
}

pub(super) struct Flag {
    pub(super) default: Value,
    pub(super) rules: Vec<Rule>,
    /// What a flag of AppConfig's own type has beside being on or off.
    pub(super) attributes: Option<Map<String, Value>>,
}

pub(super) struct Rule {
    pub(super) name: String,
    pub(super) when_match: Value,
    pub(super) conditions: Vec<Condition>,
}

impl FlagDocument {
    /// How long the text of a document may be: 4 MiB, twice what AppConfig stores by default.
    ///
    /// Source: <https://docs.aws.amazon.com/general/latest/gr/appconfig.html>
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// How deep a flag's value, or the value of a condition, may be nested.
    pub const MAX_DEPTH: usize = 64;

    /// Compiles a document in the schema of the Powertools toolkits.
    ///
    /// # Errors
    ///
    /// Returns everything that is wrong with the document. One mistake in one flag makes the whole
    /// document unusable, as in the other toolkits.
    pub fn parse(text: &str) -> Result<Self, SchemaErrors> {
        schema::compile(text).map(|flags| Self { flags })
    }

    /// Compiles a document of AppConfig's own type, `AWS.AppConfig.FeatureFlags`.
    ///
    /// # Errors
    ///
    /// Returns everything that is wrong with the document.
    pub fn parse_native(text: &str) -> Result<Self, SchemaErrors> {
        native::compile(text).map(|flags| Self { flags })
    }

    /// Decides a flag for a context and a time; `None` if there is no such flag.
    #[must_use]
    pub fn evaluate(
        &self,
        flag: &str,
        context: &EvaluationContext,
        now: SystemTime,
    ) -> Option<Evaluation<'_>> {
        self.evaluate_with(flag, context, now, &|_| false)
    }

    /// The same, with somebody who says whether a comparison that makes no sense holds.
    pub(super) fn evaluate_with(
        &self,
        flag: &str,
        context: &EvaluationContext,
        now: SystemTime,
        decide: &dyn Fn(&Mismatch<'_>) -> bool,
    ) -> Option<Evaluation<'_>> {
        Some(self.flags.get(flag)?.evaluate(context, now, decide))
    }

    /// Returns the names of the flags that are on, sorted by code point.
    #[must_use]
    pub fn enabled(&self, context: &EvaluationContext, now: SystemTime) -> Vec<&str> {
        self.enabled_with(context, now, &|_| false)
    }

    pub(super) fn enabled_with(
        &self,
        context: &EvaluationContext,
        now: SystemTime,
        decide: &dyn Fn(&Mismatch<'_>) -> bool,
    ) -> Vec<&str> {
        let is_enabled = |flag: &Flag| flag.evaluate(context, now, decide).is_enabled();
        let on = self.flags.iter().filter(|(_, flag)| is_enabled(flag));
        let mut names: Vec<_> = on.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the names of all flags, in the order of the text.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.flags.keys().map(String::as_str)
    }
}

impl Flag {
    fn evaluate(
        &self,
        context: &EvaluationContext,
        now: SystemTime,
        decide: &dyn Fn(&Mismatch<'_>) -> bool,
    ) -> Evaluation<'_> {
        let mut mismatches = Vec::new();
        let mut mismatch = |mismatch| {
            let holds = decide(&mismatch);
            mismatches.push(mismatch);
            holds
        };
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| rule.matches(context, now, &mut mismatch));
        let (value, reason) = match rule {
            Some(rule) => (&rule.when_match, rule.reason()),
            None if self.rules.is_empty() => (&self.default, Reason::Static),
            None => (&self.default, Reason::Default),
        };
        Evaluation {
            value,
            reason,
            attributes: self.attributes.as_ref(),
            mismatches,
        }
    }
}

impl Rule {
    /// Whether all conditions hold; the first that does not ends it.
    fn matches<'a>(
        &'a self,
        context: &EvaluationContext,
        now: SystemTime,
        mismatch: &mut impl FnMut(Mismatch<'a>) -> bool,
    ) -> bool {
        self.conditions
            .iter()
            .all(|condition| match condition.evaluate(context, now) {
                Outcome::Holds(holds) => holds,
                Outcome::Mismatch(found) => mismatch(Mismatch {
                    rule: &self.name,
                    key: &condition.key,
                    action: condition.action.name(),
                    found,
                }),
            })
    }

    fn reason(&self) -> Reason<'_> {
        let rule = &self.name;
        let is_rollout = |condition: &Condition| condition.action == Action::RolloutPercentage;
        if self.conditions.iter().any(is_rollout) {
            Reason::Rollout { rule }
        } else {
            Reason::RuleMatch { rule }
        }
    }
}

/// Says which flags there are, without their values.
impl fmt::Debug for FlagDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.flags.keys().collect::<Vec<_>>();
        f.debug_struct("FlagDocument")
            .field("flags", &flags)
            .finish()
    }
}

/// Checks a document in the schema of the Powertools toolkits, for a CI job or a test.
///
/// # Errors
///
/// Returns everything that is wrong with the document.
pub fn validate(text: &str) -> Result<(), SchemaErrors> {
    FlagDocument::parse(text).map(drop)
}
