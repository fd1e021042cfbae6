//! Values that are more than `tracing` can carry: JSON, and errors with all that is known of them.

use std::{
    any::type_name, backtrace::Backtrace, cell::RefCell, error::Error, fmt, panic::Location,
};

use serde::{Deserialize, Serialize};
use tracing::field::{DebugValue, debug};

/// Records a value as nested JSON: objects and arrays stay what they are.
///
/// Other subscribers see the JSON as text. A value that cannot be serialised is recorded as text
/// that says why.
///
/// ```
/// use powertools::logging;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Basket { items: Vec<u32> }
///
/// let basket = Basket { items: vec![1, 2] };
/// tracing::info!(basket = logging::json(&basket), "basket checked");
/// ```
///
/// ```json
/// {"level":"INFO","message":"basket checked","basket":{"items":[1,2]}}
/// ```
pub fn json<T: Serialize>(value: T) -> DebugValue<Json<T>> {
    debug(Json(value))
}

/// Records an error with its type, its chain of sources, the place of this call, and a backtrace
/// when `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` asks for one.
///
/// ```
/// use powertools::logging;
///
/// if let Err(error) = "seven".parse::<u32>() {
///     tracing::error!(error = logging::error(&error), "quantity is no number");
/// }
/// ```
///
/// ```json
/// {"level":"ERROR","message":"quantity is no number","error":{"type":"ParseIntError","message":"invalid digit found in string","location":"src/main.rs:4"}}
/// ```
///
/// An error that is recorded as `&dyn Error`, as `tracing` itself does it, has message and chain
/// only.
#[track_caller]
pub fn error<E: Error + ?Sized>(error: &E) -> DebugValue<ErrorValue<'_, E>> {
    debug(ErrorValue {
        error,
        kind: None,
        location: Location::caller(),
        backtrace: Backtrace::capture(),
    })
}

/// Like [`error`], with a type of your own: what a boxed error is, or what queries look for.
#[track_caller]
pub fn error_of_type<'a, E: Error + ?Sized>(
    kind: &'a str,
    error: &'a E,
) -> DebugValue<ErrorValue<'a, E>> {
    debug(ErrorValue {
        error,
        kind: Some(kind),
        location: Location::caller(),
        backtrace: Backtrace::capture(),
    })
}

/// A value that is recorded as JSON; made by [`json`].
pub struct Json<T>(T);

/// An error that is recorded with all that is known of it; made by [`error`](error()).
pub struct ErrorValue<'a, E: ?Sized> {
    error: &'a E,
    kind: Option<&'a str>,
    location: &'static Location<'static>,
    backtrace: Backtrace,
}

/// What became of a value that was formatted.
#[derive(Debug, Default)]
pub(super) enum Formatted {
    /// It is text.
    #[default]
    Text,
    /// All of its text is JSON.
    Json,
    /// It is an error.
    Error(ErrorRecord),
}

/// An error as it is logged.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ErrorRecord {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) chain: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backtrace: Option<String>,
}

impl ErrorRecord {
    pub(super) fn new(error: &(dyn Error + 'static)) -> Self {
        Self {
            kind: None,
            message: text(error),
            chain: chain(error.source()),
            location: None,
            backtrace: None,
        }
    }

    /// Reads what was written as JSON, for a format that shows it in another way.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Returns the error as text of several lines: what it is, its sources, and its backtrace.
    pub(super) fn trace(&self) -> String {
        let mut trace = match &self.kind {
            Some(kind) => format!("{kind}: {}", self.message),
            None => self.message.clone(),
        };
        for source in &self.chain {
            trace.push_str("\nCaused by: ");
            trace.push_str(source);
        }
        for detail in [&self.location, &self.backtrace].into_iter().flatten() {
            trace.push('\n');
            trace.push_str(detail);
        }
        trace
    }
}

fn chain(source: Option<&(dyn Error + 'static)>) -> Vec<String> {
    std::iter::successors(source, |&error| error.source())
        .map(text)
        .collect()
}

/// The text ends where its formatting fails: `to_string` panics at such a failure.
fn text(value: &(impl fmt::Display + ?Sized)) -> String {
    let mut text = String::new();
    let _ = fmt::write(&mut text, format_args!("{value}"));
    text
}

thread_local! {
    /// What the values above tell the visitor that formats them: `Debug` gives a value nothing but
    /// text to answer with. `None` while nobody asks.
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

enum Answer {
    Text,
    /// This text is JSON.
    Json(String),
    /// This text stands for an error.
    Error(String, ErrorRecord),
}

fn answer(make: impl FnOnce() -> Answer) {
    if ANSWER.with_borrow(Option::is_some) {
        // Made before the slot is borrowed: an error's own code may log.
        let made = make();
        ANSWER.set(Some(made));
    }
}

/// Formats a value into `text`, and says what it is.
pub(super) fn format(value: &dyn fmt::Debug, text: &mut String) -> Formatted {
    /// What was asked before comes back, also when the value panics: one that logs while it is
    /// formatted asks for itself.
    struct Question {
        outer: Option<Answer>,
    }

    impl Drop for Question {
        fn drop(&mut self) {
            ANSWER.set(self.outer.take());
        }
    }

    let _question = Question {
        outer: ANSWER.replace(Some(Answer::Text)),
    };
    text.clear();
    let _ = fmt::write(text, format_args!("{value:?}"));
    // Inside of another value's text it is text as well.
    match ANSWER.replace(Some(Answer::Text)) {
        Some(Answer::Json(json)) if json == *text => Formatted::Json,
        Some(Answer::Error(whole, record)) if whole == *text => Formatted::Error(record),
        _ => Formatted::Text,
    }
}

impl<T: Serialize> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_string(&self.0) {
            Ok(json) => {
                f.write_str(&json)?;
                answer(|| Answer::Json(json));
                Ok(())
            }
            Err(error) => write!(f, "not serialisable: {error}"),
        }
    }
}

impl<E: Error + ?Sized> ErrorValue<'_, E> {
    fn record(&self) -> ErrorRecord {
        let is_captured = self.backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        ErrorRecord {
            kind: self
                .kind
                .map_or_else(short_type_name::<E>, |kind| Some(kind.to_owned())),
            message: text(self.error),
            chain: chain(self.error.source()),
            location: Some(format!("{}:{}", self.location.file(), self.location.line())),
            backtrace: is_captured.then(|| self.backtrace.to_string()),
        }
    }
}

impl<E: Error + ?Sized> fmt::Debug for ErrorValue<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whole = text(self.error);
        for source in chain(self.error.source()) {
            whole.push_str(": ");
            whole.push_str(&source);
        }
        f.write_str(&whole)?;
        answer(|| Answer::Error(whole, self.record()));
        Ok(())
    }
}

/// Returns a type's name without its path and parameters, or `None` if it is hidden by `dyn`.
fn short_type_name<T: ?Sized>() -> Option<String> {
    let name = type_name::<T>();
    let name = name.split('<').next().unwrap_or(name);
    let is_hidden = name.starts_with("dyn ");
    (!is_hidden).then(|| name.rsplit("::").next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(value: &dyn fmt::Debug) -> (Formatted, String) {
        let mut text = "left over".to_owned();
        (format(value, &mut text), text)
    }

    #[test]
    fn a_value_says_that_it_is_json() {
        let (kind, text) = formatted(&Json([1, 2]));
        assert!(matches!(kind, Formatted::Json), "{kind:?}");
        assert_eq!(text, "[1,2]");
    }

    #[test]
    fn inside_of_another_value_json_is_text() {
        let (kind, text) = formatted(&Some(Json([1, 2])));
        assert!(matches!(kind, Formatted::Text), "{kind:?}");
        assert_eq!(text, "Some([1,2])");
        let failure = std::io::Error::other("refused");
        let (kind, text) = formatted(&Some(error(&failure)));
        assert!(matches!(kind, Formatted::Text), "{kind:?}");
        assert_eq!(text, "Some(refused)");
        assert!(matches!(formatted(&"text").0, Formatted::Text));
    }

    #[test]
    fn json_that_another_value_rewrites_is_text() {
        struct Rewrites;
        impl fmt::Debug for Rewrites {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&format!("{:?}", Json("a")).replace('"', "'"))
            }
        }
        assert!(matches!(formatted(&Rewrites).0, Formatted::Text));
    }

    #[test]
    fn a_value_that_panics_leaves_nobody_asking() {
        struct Panics;
        impl fmt::Debug for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("on purpose")
            }
        }
        std::panic::catch_unwind(|| formatted(&Panics)).unwrap_err();
        assert!(ANSWER.with_borrow(Option::is_none));
    }

    #[test]
    fn what_cannot_be_serialised_says_why() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no number"))
            }
        }
        let (kind, text) = formatted(&Json(Broken));
        assert!(matches!(kind, Formatted::Text), "{kind:?}");
        assert_eq!(text, "not serialisable: no number");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("order cannot be stored")]
    struct NotStored(#[source] std::io::Error);

    #[test]
    fn an_error_tells_its_type_chain_and_place() {
        let failure = NotStored(std::io::Error::other("connection reset"));
        let (kind, _) = formatted(&error(&failure));
        let Formatted::Error(record) = kind else {
            panic!("an error is told as one: {kind:?}")
        };
        assert_eq!(record.kind.as_deref(), Some("NotStored"));
        assert_eq!(record.message, "order cannot be stored");
        assert_eq!(record.chain, ["connection reset"]);
        assert!(record.location.unwrap().contains("value.rs:"));
    }

    #[test]
    fn a_boxed_error_has_the_type_it_is_given() {
        let boxed: Box<dyn Error + Send + Sync> = "refused".into();
        let kind_of = |value: &dyn fmt::Debug| match formatted(value).0 {
            Formatted::Error(record) => record.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind_of(&error(&*boxed)), None);
        assert_eq!(
            kind_of(&error_of_type("Refused", &*boxed)).as_deref(),
            Some("Refused")
        );
    }

    #[test]
    fn other_subscribers_see_text() {
        let failure = NotStored(std::io::Error::other("connection reset"));
        assert_eq!(
            format!("{:?}", error(&failure)),
            "order cannot be stored: connection reset"
        );
        assert_eq!(format!("{:?}", json("a")), r#""a""#);
    }
}
