//! The virtual environment that holds the emulator.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
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

/// How much of pip's output an error repeats.
const TAIL_LINES: usize = 8;

/// Why the emulator could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VenvError {
    /// `python -m venv` failed.
    #[error(
        "could not make a virtual environment with `{}`: is its `venv` module complete \
         (Debian, Ubuntu: `apt install python3-venv`)? It said:\n{tail}",
        python.display()
    )]
    #[non_exhaustive]
    Create {
        /// The interpreter.
        python: PathBuf,
        /// The end of what it printed.
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
pub struct Venv {
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
    pub fn prepare(folder: &Path, search: &Search, progress: &Progress) -> Result<Self, Error> {
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
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Starts processes that end with this one.
    pub fn supervisor(&self) -> &Supervisor {
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
    let supervisor = Supervisor::install(python.path(), folder)?;
    if venv.exists() {
        // Left half-made by a process that died, or made for a Python that is gone.
        fs::remove_dir_all(venv).map_err(Error::io("remove", venv))?;
    }

    progress.detail("making a virtual environment");
    let log = folder.join("pip.log");
    let mut command = supervisor.command(python.path());
    command.args(["-m", "venv"]).arg(venv);
    if !run(command, &log)? {
        return Err(VenvError::Create {
            python: python.path().to_owned(),
            tail: tail(&log),
        }
        .into());
    }

    progress.detail("downloading the emulator");
    let requirements = venv.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(Error::io("write", &requirements))?;
    let interpreter = venv.join("bin/python");
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
    if !run(command, &log)? {
        return Err(classify(log).into());
    }

    let ready = venv.join(READY);
    let interpreter = fs::canonicalize(&interpreter).map_err(Error::io("find", &interpreter))?;
    fs::write(&ready, interpreter.as_os_str().as_encoded_bytes())
        .map_err(Error::io("write", &ready))?;
    Ok(())
}

/// Runs one step of the installation. The user's environment stays, with its proxies, mirrors and certificates, but
/// nothing that would make pip install elsewhere or Python import from elsewhere.
fn run(mut command: Command, log: &Path) -> Result<bool, Error> {
    let output = File::create(log).map_err(Error::io("write", log))?;
    let errors = output.try_clone().map_err(Error::io("write", log))?;
    for name in [
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PIP_NO_BINARY",
    ] {
        command.env_remove(name);
    }
    if std::env::var_os("PIP_RETRIES").is_none() {
        command.env("PIP_RETRIES", "2");
    }
    command.stdout(output).stderr(errors);
    let python = PathBuf::from(command.get_program());
    let status = Supervised::spawn(command)
        .and_then(|mut process| process.wait())
        .map_err(Error::io("run", python))?;
    Ok(status.success())
}

fn classify(log: PathBuf) -> VenvError {
    let mut text = String::new();
    if let Ok(mut file) = File::open(&log) {
        let _ = file.read_to_string(&mut text);
    }
    let tail = last_lines(&text);
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

fn tail(log: &Path) -> String {
    last_lines(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default()))
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
