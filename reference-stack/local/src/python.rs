//! Finding a Python that can run the emulator.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version that everything in `requirements.txt` supports.
const OLDEST: (u32, u32) = (3, 11);

/// Names to look for, in this order: what the user calls Python first, then newest to oldest.
const NAMES: [&str; 7] = [
    "python3",
    "python3.15",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python",
];

/// Prints `MAJOR.MINOR.MICRO`, and a second word when virtual environments can be made: Debian ships `venv` without the
/// `ensurepip` that it needs, so both are asked for.
const PROBE: &str = "\
import sys
venv = 'venv'
try:
    import venv as _, ensurepip
except ImportError:
    venv = ''
print('%d.%d.%d' % sys.version_info[:3], venv)";

/// Why no Python could be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PythonError {
    /// No Python at all.
    #[error(
        "no Python found: install Python 3.11 or later (`apt install python3 python3-venv`, `brew install python3`), \
         or name one in the environment variable PYTHON"
    )]
    NotFound,
    /// `PYTHON` names something that does not run.
    #[error("PYTHON names `{}`, which is no Python that runs: correct it, or unset it to search PATH", path.display())]
    #[non_exhaustive]
    NotRunnable {
        /// The value of `PYTHON`.
        path: PathBuf,
    },
    /// Only older versions.
    #[error(
        "Python {version} at `{}` is too old: install Python 3.11 or later, or name one in the environment variable PYTHON",
        path.display()
    )]
    #[non_exhaustive]
    TooOld {
        /// The newest one that was found.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A good version, cut down by its distributor.
    #[error(
        "Python {version} at `{}` has no `venv` module: install it (Debian, Ubuntu: `apt install python3-venv`), \
         or name another Python in the environment variable PYTHON",
        path.display()
    )]
    #[non_exhaustive]
    NoVenv {
        /// The newest one that was found.
        path: PathBuf,
        /// Its version.
        version: String,
    },
}

/// A Python that is not good enough.
#[derive(Debug)]
struct Python {
    path: PathBuf,
    version: Version,
}

/// Where to look for Python.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The one to use, if the user chose (`PYTHON`): a path, or a name to find in `path`.
    pub chosen: Option<OsString>,
    /// The folders to search (`PATH`).
    pub path: Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Search {
    /// `PYTHON` and `PATH` of this process.
    pub fn process() -> Self {
        Self {
            chosen: std::env::var_os("PYTHON").filter(|value| !value.is_empty()),
            path: std::env::var_os("PATH"),
        }
    }

    /// The first Python that is new enough and can make virtual environments.
    ///
    /// # Errors
    /// Says what was found instead, and what to do.
    pub fn find(&self) -> Result<PathBuf, PythonError> {
        let candidates: Vec<PathBuf> = match &self.chosen {
            Some(chosen) => vec![
                self.locate(Path::new(chosen))
                    .unwrap_or_else(|| chosen.into()),
            ],
            None => NAMES
                .iter()
                .filter_map(|name| self.locate(Path::new(name)))
                .collect(),
        };
        let mut too_old: Option<Python> = None;
        let mut no_venv: Option<Python> = None;
        for path in candidates {
            let Some((version, venv)) = probe(&path) else {
                continue;
            };
            let is_old = (version.0, version.1) < OLDEST;
            if venv && !is_old {
                return Ok(path);
            }
            let python = Python { path, version };
            if is_old {
                too_old = too_old
                    .into_iter()
                    .chain([python])
                    .max_by_key(|python| python.version);
            } else {
                no_venv.get_or_insert(python);
            }
        }
        Err(match (no_venv, too_old, &self.chosen) {
            (Some(python), ..) => PythonError::NoVenv {
                path: python.path,
                version: python.version.to_string(),
            },
            (None, Some(python), _) => PythonError::TooOld {
                path: python.path,
                version: python.version.to_string(),
            },
            (None, None, Some(chosen)) => PythonError::NotRunnable {
                path: chosen.into(),
            },
            (None, None, None) => PythonError::NotFound,
        })
    }

    /// The file that a shell would run for `name`.
    fn locate(&self, name: &Path) -> Option<PathBuf> {
        if name.components().count() > 1 {
            return Some(name.to_owned());
        }
        std::env::split_paths(self.path.as_ref()?)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    }
}

/// The version, and whether virtual environments can be made; `None` for what is no Python, such as the shim of a
/// version manager that has nothing behind it.
fn probe(path: &Path) -> Option<(Version, bool)> {
    let output = Command::new(path)
        .args(["-I", "-c", PROBE])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return probe_ancient(path);
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.split_whitespace();
    Some((parse_version(words.next()?)?, words.next() == Some("venv")))
}

/// Python 2 knows no `-I`.
fn probe_ancient(path: &Path) -> Option<(Version, bool)> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8([output.stdout, output.stderr].concat()).ok()?;
    Some((parse_version(text.trim().strip_prefix("Python ")?)?, false))
}

fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text.split('.');
    let mut next = || parts.next()?.parse().ok();
    Some(Version(next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::program;

    /// A folder of programs that answer as an interpreter would.
    fn folder(programs: &[(&str, &str)]) -> (tempfile::TempDir, Search) {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in programs {
            program(&folder.path().join(name), script);
        }
        let path = Some(folder.path().into());
        (folder, Search { chosen: None, path })
    }

    #[test]
    fn no_python_is_one_message_that_says_what_to_install() {
        let (_folder, search) = folder(&[]);
        let error = search.find().unwrap_err();
        assert_eq!(error, PythonError::NotFound);
        assert!(
            error.to_string().contains("install Python 3.11 or later"),
            "{error}"
        );
    }

    #[test]
    fn an_old_python_is_named_with_its_version() {
        let (folder, search) = folder(&[
            ("python3", "echo 3.9.18 venv"),
            ("python", "echo 3.10.13 venv"),
        ]);
        let error = search.find().unwrap_err();
        let path = folder.path().join("python");
        assert_eq!(
            error,
            PythonError::TooOld {
                path,
                version: "3.10.13".into()
            }
        );
        assert!(error.to_string().contains("Python 3.10.13"), "{error}");
    }

    #[test]
    fn an_ancient_python_that_refuses_the_question_is_still_recognised() {
        let script = r#"[ "$1" = --version ] && echo "Python 2.7.18" >&2 || exit 2"#;
        let (_folder, search) = folder(&[("python", script)]);
        assert!(
            matches!(search.find().unwrap_err(), PythonError::TooOld { version, .. } if version == "2.7.18")
        );
    }

    #[test]
    fn a_python_without_venv_says_which_package_holds_it() {
        let (_folder, search) = folder(&[("python3", "echo 3.11.2")]);
        let error = search.find().unwrap_err();
        assert!(matches!(error, PythonError::NoVenv { .. }));
        assert!(
            error.to_string().contains("apt install python3-venv"),
            "{error}"
        );
    }

    #[test]
    fn a_newer_python_is_found_behind_an_old_one_and_a_dead_shim() {
        let (folder, search) = folder(&[
            ("python3", "echo 3.8.18 venv"),
            ("python3.13", "echo not installed >&2; exit 127"),
            ("python3.12", "echo 3.12.1 venv"),
        ]);
        assert_eq!(search.find().unwrap(), folder.path().join("python3.12"));
    }

    #[test]
    fn the_chosen_python_is_the_only_one_considered() {
        let (folder, mut search) =
            folder(&[("python3", "echo 3.12.1 venv"), ("mine", "echo 3.9.1 venv")]);
        search.chosen = Some("mine".into());
        assert!(matches!(
            search.find().unwrap_err(),
            PythonError::TooOld { .. }
        ));
        search.chosen = Some(folder.path().join("absent").into());
        let error = search.find().unwrap_err();
        assert!(error.to_string().contains("PYTHON names"), "{error}");
    }

    #[test]
    fn the_real_python_answers_the_probe() {
        let python = Search::process()
            .find()
            .expect("these tests need Python 3.11 or later");
        let (version, venv) = probe(&python).unwrap();
        assert!(version >= Version(3, 11, 0) && venv);
    }
}
