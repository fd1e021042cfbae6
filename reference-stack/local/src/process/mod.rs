//! Child processes that never outlive this one.
//!
//! Each runs under a small supervisor, a Python script whose standard input is a pipe from here. When this process ends,
//! however it ends, the kernel closes the pipe; the supervisor sees end-of-file and kills the child with everything the
//! child started.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::hex::hex;

const SCRIPT: &str = include_str!("supervisor.py");

/// How long a supervisor may take to kill what it started; it gives up by itself a little earlier.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// What starts supervised processes: an interpreter and the supervisor's script.
#[derive(Clone, Debug)]
pub struct Supervisor {
    python: PathBuf,
    script: PathBuf,
}

/// A running process, killed with everything it started when this is dropped.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
}

impl Supervisor {
    /// Puts the supervisor's script into `folder`, to be run by `python` (3.11 or later; no packages needed).
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn install(python: &Path, folder: &Path) -> Result<Self, Error> {
        let script = install_script(folder, "supervisor", SCRIPT)?;
        Ok(Self {
            python: python.to_owned(),
            script,
        })
    }

    /// A command that runs `program` under the supervisor: add its arguments, environment and output, then
    /// [`spawn`](Supervised::spawn) it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.build(None, program.as_ref())
    }

    /// As [`command`](Self::command); the supervisor also deletes `folder` when the program has ended.
    pub fn command_with_folder(&self, folder: &Path, program: impl AsRef<OsStr>) -> Command {
        self.build(Some(folder), program.as_ref())
    }

    fn build(&self, remove: Option<&Path>, program: &OsStr) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-I", "-B"]).arg(&self.script);
        if let Some(folder) = remove {
            command.arg("--remove").arg(folder);
        }
        command.arg("--").arg(program);
        command
    }
}

/// Puts a Python script into `folder`, under a name that changes with its text.
pub(crate) fn install_script(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Error> {
    let script = folder.join(format!("{name}-{}.py", hex(&Sha256::digest(text)[..8])));
    if !script.exists() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        // Written aside and renamed, so that nobody ever runs half a script.
        let file =
            tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write to", folder))?;
        std::fs::write(file.path(), text).map_err(Error::io("write", file.path()))?;
        file.persist(&script)
            .map_err(|error| Error::io("write", &script)(error.error))?;
    }
    Ok(script)
}

impl Supervised {
    /// Starts a command made by a [`Supervisor`].
    ///
    /// # Errors
    /// The interpreter cannot be started. That the program cannot be started shows as exit status 127.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        // A group of its own: Ctrl-C in a terminal reaches us alone, and we then stop things in order.
        let child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
        Ok(Self { child })
    }

    /// Starts a command, waits for its end and collects its standard output.
    ///
    /// # Errors
    /// It cannot be started or read.
    pub fn output(command: Command) -> io::Result<(ExitStatus, Vec<u8>)> {
        let mut process = Self::spawn({
            let mut command = command;
            command.stdout(Stdio::piped());
            command
        })?;
        let mut output = Vec::new();
        if let Some(mut stdout) = process.child.stdout.take() {
            io::Read::read_to_end(&mut stdout, &mut output)?;
        }
        Ok((process.wait()?, output))
    }

    /// The supervisor's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    /// The operating system refused to say.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        // `Child::wait` would close standard input first, which means "stop".
        let stdin = self.child.stdin.take();
        let status = self.child.wait();
        self.child.stdin = stdin;
        status
    }

    /// The status, if the program has ended.
    ///
    /// # Errors
    /// The operating system refused to say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills the program and everything it started, and waits until they are gone.
    pub fn stop(&mut self) {
        self.child.stdin = None;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                // The kernel does not let go of something; the supervisor is all that is ours to end.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}
