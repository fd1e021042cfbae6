use std::{fmt, slice};

use super::action::Action;

/// How many problems of a document are described; further ones are counted.
const MAX_PROBLEMS: usize = 100;

/// How much of a text from the document a problem quotes, in characters.
const MAX_QUOTED: usize = 64;

/// What is wrong with a flag document: all of it at once.
///
/// The messages name flags, rules and members, and quote no value but an unknown action, time zone or
/// day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SchemaErrors {
    problems: Vec<Problem>,
    omitted: usize,
}

impl SchemaErrors {
    /// Returns the problems in the order of the text, the first 100 of them.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns how many problems there are beyond those.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

/// Names the first problem and says how many more there are.
impl fmt::Display for SchemaErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid flag document")?;
        if let Some(first) = self.problems.first() {
            write!(f, ": {first}")?;
        }
        match self.problems.len().saturating_sub(1) + self.omitted {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl From<Problem> for SchemaErrors {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            omitted: 0,
        }
    }
}

impl<'a> IntoIterator for &'a SchemaErrors {
    type Item = &'a Problem;
    type IntoIter = slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.iter()
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct Problem {
    path: String,
    kind: ProblemKind,
}

impl Problem {
    /// Returns its JSON path, such as `$.beta.rules["pro in the EU"].conditions[0].action`.
    ///
    /// The path of something that is missing is the one it should have.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong there.
    #[must_use]
    pub const fn kind(&self) -> &ProblemKind {
        &self.kind
    }
}

/// What is wrong at a place of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is longer than [`FlagDocument::MAX_BYTES`](super::FlagDocument::MAX_BYTES).
    #[error("has {bytes} bytes, at most {limit} are allowed")]
    #[non_exhaustive]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The text is not JSON.
    #[error("not JSON at line {line}, column {column}")]
    #[non_exhaustive]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// A value is nested deeper than [`FlagDocument::MAX_DEPTH`](super::FlagDocument::MAX_DEPTH).
    #[error("nested deeper than {limit} levels")]
    #[non_exhaustive]
    TooDeep {
        /// How deep it may be nested.
        limit: usize,
    },
    /// A number is beyond what an `f64` can say.
    #[error("number out of range")]
    NumberOutOfRange,
    /// A text holds half of a surrogate pair.
    #[error("not Unicode")]
    NotUnicode,
    /// A member that there must be is missing, or null.
    #[error("is missing")]
    Missing,
    /// What is there is of another type.
    #[error("must be {expected}, not {found}")]
    #[non_exhaustive]
    WrongType {
        /// What must be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A text, a list or an object must not be empty.
    #[error("must not be empty")]
    Empty,
    /// A rule's name is empty.
    #[error("a rule must have a name")]
    UnnamedRule,
    /// There is no such action.
    #[error("{action:?} is no action; there are {}", Action::list())]
    #[non_exhaustive]
    UnknownAction {
        /// What is there instead.
        action: String,
    },
    /// A rule about the time has a fixed key.
    #[error("must be {expected:?} for {action}")]
    #[non_exhaustive]
    WrongKey {
        /// The rule's action.
        action: &'static str,
        /// The key it must have.
        expected: &'static str,
    },
    /// A time is not of the form `HH:MM`.
    #[error("must be a time of the form HH:MM, from 00:00 to 23:59")]
    InvalidTime,
    /// A date or a date and time is not of the form of ISO 8601.
    #[error("must be a date or a date and time of ISO 8601, such as 2026-11-23T12:00:00")]
    InvalidDateTime,
    /// A date and time says its zone itself.
    #[error("must have neither Z nor an offset: TIMEZONE says the zone")]
    ZonedDateTime,
    /// There is no such day.
    #[error("{day:?} is no day of the week; there are MONDAY to SUNDAY")]
    #[non_exhaustive]
    UnknownDay {
        /// What is there instead.
        day: String,
    },
    /// There is no such time zone.
    #[error("{name:?} is no time zone of the IANA database")]
    #[non_exhaustive]
    UnknownTimeZone {
        /// What is there instead.
        name: String,
    },
    /// Time zones cannot be looked up by name: the system has no database of them.
    #[error("{name:?} cannot be looked up: the system has no time zone database")]
    #[non_exhaustive]
    NoTimeZoneDatabase {
        /// The zone.
        name: String,
    },
    /// A range of a modulus does not lie within its base.
    #[error("must fulfil 0 <= START <= END <= BASE - 1")]
    InvalidModuloRange,
    /// A percentage is not one.
    #[error("must be from 0 to 100")]
    InvalidPercentage,
    /// The variants of a native flag are chosen by the AppConfig agent.
    #[error("has variants, which only the AppConfig agent can choose from")]
    Variants,
}

impl ProblemKind {
    pub(super) fn unknown_action(action: &str) -> Self {
        Self::UnknownAction {
            action: quoted(action),
        }
    }

    pub(super) fn unknown_day(day: &str) -> Self {
        Self::UnknownDay { day: quoted(day) }
    }

    pub(super) fn unknown_time_zone(name: &str) -> Self {
        Self::UnknownTimeZone { name: quoted(name) }
    }

    pub(super) fn no_time_zone_database(name: &str) -> Self {
        Self::NoTimeZoneDatabase { name: quoted(name) }
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

/// Where a value is: it costs nothing until somebody asks for the text.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) const fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    pub(super) const fn element(&'a self, index: usize) -> Self {
        Self::Element(self, index)
    }

    pub(super) fn problem(&self, kind: ProblemKind) -> Problem {
        Problem {
            path: self.to_string(),
            kind,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("$"),
            Self::Member(parent, name) if is_plain(name) => write!(f, "{parent}.{name}"),
            Self::Member(parent, name) => {
                let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
                write!(f, "{parent}[{name}]")
            }
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Whether a name can stand behind a point without quotes.
fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Collects what is wrong while a document is compiled.
#[derive(Default)]
pub(super) struct Problems {
    problems: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    pub(super) fn add(&mut self, path: &Path<'_>, kind: ProblemKind) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(path.problem(kind));
        } else {
            self.omitted += 1;
        }
    }

    /// Takes the value out of a result, or the problem.
    pub(super) fn take<T>(&mut self, path: &Path<'_>, result: Result<T, ProblemKind>) -> Option<T> {
        result.map_err(|kind| self.add(path, kind)).ok()
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, SchemaErrors> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(SchemaErrors {
                problems: self.problems,
                omitted: self.omitted,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_the_names_that_need_it() {
        let path = Path::Root;
        let path = path.member("beta");
        let path = path.member("rules");
        let path = path.member("pro in the \"EU\"");
        let path = path.member("conditions");
        let path = path.element(0);
        assert_eq!(
            path.to_string(),
            r#"$.beta.rules["pro in the \"EU\""].conditions[0]"#
        );
        for (name, expected) in [
            ("a_1", "$.a_1"),
            ("", r#"$[""]"#),
            ("1a", r#"$["1a"]"#),
            ("a-b", r#"$["a-b"]"#),
            ("schön", r#"$["schön"]"#),
            ("a\nb", r#"$["a\nb"]"#),
        ] {
            assert_eq!(Path::Root.member(name).to_string(), expected);
        }
    }

    #[test]
    fn a_quoted_text_is_cut_and_stays_on_its_line() {
        let kind = ProblemKind::unknown_action(&"x\n".repeat(1_000));
        let ProblemKind::UnknownAction { action } = &kind else {
            panic!("another kind");
        };
        assert_eq!(action.chars().count(), MAX_QUOTED);
        assert!(!kind.to_string().contains('\n'));
    }

    #[test]
    fn a_summary_names_the_first_problem_and_counts_the_others() {
        let mut problems = Problems::default();
        for index in 0..MAX_PROBLEMS + 3 {
            problems.add(&Path::Root.element(index), ProblemKind::Missing);
        }
        let errors = problems.finish(()).unwrap_err();
        assert_eq!(errors.problems().len(), MAX_PROBLEMS);
        assert_eq!(errors.omitted(), 3);
        assert_eq!(
            errors.to_string(),
            "invalid flag document: $[0]: is missing (and 102 more)"
        );
        let one = SchemaErrors::from(Path::Root.problem(ProblemKind::Empty));
        assert_eq!(
            one.to_string(),
            "invalid flag document: $: must not be empty"
        );
    }
}
