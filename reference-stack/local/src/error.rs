use std::path::PathBuf;

use crate::emulator::EmulatorError;
use crate::functions::BuildError;
use crate::python::PythonError;
use crate::venv::VenvError;

/// An error of the AWS SDK, or of any other library whose type does not matter here.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the local cloud could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Python that could run the emulator.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// The emulator could not be installed.
    #[error(transparent)]
    Venv(#[from] VenvError),
    /// The functions could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The emulator did not start.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The emulator refused a request, or an answer lacked what it has to hold.
    #[error("could not {action}")]
    #[non_exhaustive]
    Aws {
        /// What was tried.
        action: String,
        /// What came back.
        #[source]
        source: BoxError,
    },
    /// A plain HTTP request failed on the way.
    #[error("no answer from {url}")]
    #[non_exhaustive]
    Http {
        /// What was asked for.
        url: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
    /// A file or a socket could not be used.
    #[error("could not {action} {}", path.display())]
    #[non_exhaustive]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// For `map_err` on a call of the AWS SDK.
    pub fn aws<E: Into<BoxError>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Aws {
            action,
            source: source.into(),
        }
    }
}

/// The error and everything that caused it, on one line.
///
/// # Examples
/// ```
/// let error = local_cloud::BoxError::from("the disk is full");
/// assert_eq!(local_cloud::chain(&*error), "the disk is full");
/// ```
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // The SDK's wrappers repeat what they wrap.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Error::io("read", "orders.zip")(std::io::Error::other("the disk is gone"));
        assert_eq!(chain(&error), "could not read orders.zip: the disk is gone");
    }
}
