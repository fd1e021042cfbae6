//! Input checked field by field, so that a caller hears of every fault at once.

use std::{borrow::Cow, fmt};

use serde::Serialize;

/// Where in a JSON document: a JSON pointer (RFC 6901) as a URI fragment, `#/items/0/quantity`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document, `#`.
    #[must_use]
    pub fn root() -> Self {
        Self("#".to_owned())
    }

    /// Returns the pointer to an object's member.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        let mut pointer = self.0.clone();
        pointer.push('/');
        for byte in name.bytes() {
            match byte {
                b'~' => pointer.push_str("~0"),
                b'/' => pointer.push_str("~1"),
                // What RFC 3986 allows in a fragment.
                b'a'..=b'z'
                | b'A'..=b'Z'
                | b'0'..=b'9'
                | b'-'
                | b'.'
                | b'_'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'?' => {
                    pointer.push(char::from(byte));
                }
                _ => pointer.push_str(&format!("%{byte:02X}")),
            }
        }
        Self(pointer)
    }

    /// Returns the pointer to an array's element.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one field does wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FieldError {
    /// The field.
    pub pointer: Pointer,
    /// What is wrong, to be read after the field's name: "must be …".
    pub detail: Cow<'static, str>,
}

/// A value outside of its type's range.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(Cow<'static, str>);

impl Violation {
    pub(crate) fn new(detail: impl Into<Cow<'static, str>>) -> Self {
        Self(detail.into())
    }
}

/// Input with at least one wrong field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} invalid field(s), the first at {}", .errors.len(), .errors[0].pointer)]
pub struct Invalid {
    errors: Vec<FieldError>,
}

impl Invalid {
    /// Returns what is wrong, in the order of the fields; never empty.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Returns what is wrong, in the order of the fields; never empty.
    #[must_use]
    pub fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }
}

/// Collects what is wrong with an input while its parts are converted.
///
/// Each conversion that fails leaves an error here and `None` in the caller's hand; at the end
/// [`finish`](Self::finish) puts the parts together, when all are there.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Converts a field that must be there.
    pub(crate) fn field<R, T>(&mut self, pointer: &Pointer, value: Option<R>) -> Option<T>
    where
        T: TryFrom<R, Error = Violation>,
    {
        let value = self.required(pointer, value)?;
        match T::try_from(value) {
            Ok(value) => Some(value),
            Err(Violation(detail)) => self.refuse(pointer, detail),
        }
    }

    /// Takes a field that must be there.
    pub(crate) fn required<T>(&mut self, pointer: &Pointer, value: Option<T>) -> Option<T> {
        if value.is_none() {
            return self.refuse(pointer, "is required");
        }
        value
    }

    /// Notes an error, and returns the value that could not be made.
    pub(crate) fn refuse<T>(
        &mut self,
        pointer: &Pointer,
        detail: impl Into<Cow<'static, str>>,
    ) -> Option<T> {
        self.errors.push(FieldError {
            pointer: pointer.clone(),
            detail: detail.into(),
        });
        None
    }

    /// Returns the whole, or everything that was wrong with it.
    ///
    /// # Panics
    ///
    /// Panics if the whole is missing although no error was noted.
    pub(crate) fn finish<T>(self, whole: impl FnOnce() -> Option<T>) -> Result<T, Invalid> {
        if self.errors.is_empty() {
            Ok(whole().expect("a part is missing only where an error was noted"))
        } else {
            Err(Invalid {
                errors: self.errors,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_a_pointer_and_a_fragment_may_not_hold() {
        let root = Pointer::root();
        assert_eq!(root.to_string(), "#");
        assert_eq!(
            root.member("items").index(3).member("sku").to_string(),
            "#/items/3/sku"
        );
        assert_eq!(root.member("a/b~c").to_string(), "#/a~1b~0c");
        assert_eq!(root.member("é \"%").to_string(), "#/%C3%A9%20%22%25");
        assert_eq!(root.member("").to_string(), "#/");
    }

    #[test]
    fn every_error_is_kept_in_order() {
        let mut checks = Checks::default();
        let root = Pointer::root();
        assert_eq!(checks.required::<u8>(&root.member("a"), None), None);
        assert_eq!(checks.required(&root.member("b"), Some(1)), Some(1));
        checks.refuse::<()>(&root.member("c"), "must be even");
        let invalid = checks.finish(|| Some(())).unwrap_err();
        let errors = invalid
            .errors()
            .iter()
            .map(|e| format!("{} {}", e.pointer, e.detail));
        assert_eq!(
            errors.collect::<Vec<_>>(),
            ["#/a is required", "#/c must be even"]
        );
        assert_eq!(invalid.to_string(), "2 invalid field(s), the first at #/a");
    }
}
