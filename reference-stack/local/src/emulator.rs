//! The process that plays AWS.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;

use crate::clients::{self, Clients};
use crate::deploy::create_function;
use crate::error::Error;
use crate::functions::{Workspace, package};
use crate::http::HttpClient;
use crate::process::{Supervised, install_script};
use crate::progress::Progress;
use crate::python::Search;
use crate::stack::REGION;
use crate::venv::{Venv, last_lines};

const SCRIPT: &str = include_str!("emulator.py");

/// How long the emulator may take until it is healthy; usually half a second.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How many ports are tried. Between finding a free one and the emulator's opening it, another process may take it.
const ATTEMPTS: u32 = 3;

/// What functions are told without one: where it is by convention.
const NO_XRAY_DAEMON: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2000);

/// How many runs' output is kept.
const LOGS_KEPT: usize = 20;

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// It ended by itself.
    #[error("the emulator ended while it started. Its output is in {}; the last lines:\n{tail}", log.display())]
    #[non_exhaustive]
    Ended {
        /// Where its output is.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// It runs but does not answer.
    #[error("the emulator did not answer within {} s. Its output is in {}; the last lines:\n{tail}", START_TIMEOUT.as_secs(), log.display())]
    #[non_exhaustive]
    Silent {
        /// Where its output is.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
}

/// A running emulator, with the functions it started.
///
/// A [`Cloud`](crate::Cloud) is one with the reference stack on it. [Alone](Self::alone) it is for tests of what talks to
/// AWS without being a part of the stack.
///
/// It ends when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Emulator {
    process: Supervised,
    endpoint: String,
    log: PathBuf,
    /// What its health report calls its edition: tells it from another emulator that took the port in between.
    edition: String,
    /// Where packed functions are kept from one run to the next.
    packages: PathBuf,
    /// Says that the folder of this run is in use.
    _run: File,
}

impl Emulator {
    /// Installs what is missing and starts an emulator with nothing on it.
    ///
    /// # Errors
    /// Says what is missing on this machine, or where to look.
    pub async fn alone() -> Result<Self, Error> {
        let install = || -> Result<_, Error> {
            let folder = Workspace::locate()?.folder();
            let venv = Venv::prepare(&folder, &Search::process(), &Progress::default())?;
            Ok((folder, venv))
        };
        // A dropped future does not end this; the end of the process does.
        let (folder, venv) = tokio::task::spawn_blocking(install)
            .await
            .map_err(Error::aws("install the emulator"))??;
        Self::start(&venv, &folder, NO_XRAY_DAEMON).await
    }

    /// What clients of the AWS SDK are made of that talk to it.
    pub fn sdk_config(&self) -> SdkConfig {
        clients::config(&self.endpoint)
    }

    /// The clients that [`Mapping`](crate::mapping::Mapping) takes.
    pub fn clients(&self) -> Clients {
        Clients::new(&self.endpoint)
    }

    /// Makes a binary a function of this name, with 256 MiB and half a minute for an invocation.
    ///
    /// # Errors
    /// The binary cannot be read, or the emulator does not take it.
    pub async fn deploy(
        &self,
        name: &str,
        binary: &Path,
        environment: &[(&str, &str)],
    ) -> Result<(), Error> {
        let (binary, packages) = (binary.to_owned(), self.packages.clone());
        let pack = move || {
            // Several functions may be made of one binary.
            let file = binary.file_name().unwrap_or_default().to_string_lossy();
            package(&file, &binary, &packages)
        };
        let package = tokio::task::spawn_blocking(pack)
            .await
            .map_err(Error::aws("pack a function"))??;
        let environment = environment.iter().copied();
        let (timeout, memory) = (Duration::from_secs(30), 256);
        create_function(&self.clients(), name, timeout, memory, environment, package).await
    }

    /// Starts an emulator on a free port of the loopback interface and waits until it is healthy.
    pub(crate) async fn start(
        venv: &Venv,
        folder: &Path,
        xray_daemon: SocketAddr,
    ) -> Result<Self, Error> {
        let http = HttpClient::new();
        let mut attempt = 1;
        loop {
            let mut emulator = Self::spawn(venv, folder, xray_daemon)?;
            match emulator.wait_until_healthy(&http).await {
                Err(EmulatorError::Ended { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(emulator),
            }
        }
    }

    fn spawn(venv: &Venv, folder: &Path, xray_daemon: SocketAddr) -> Result<Self, Error> {
        let port = free_port().map_err(Error::io("find a free port of", "127.0.0.1"))?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let log = new_log(&folder.join("logs"))?;
        let output = File::create(&log).map_err(Error::io("write", &log))?;
        let errors = output.try_clone().map_err(Error::io("write", &log))?;

        let (state, lock) = new_run(&folder.join("runs"))?;
        let edition = state
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();

        let mut command = venv.supervisor().command_with_folder(&state, venv.python());
        command
            .arg("-u")
            .arg(install_script(folder, "emulator", SCRIPT)?)
            // Functions inherit the emulator's environment, so nothing of ours may be in it.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &state)
            .env("TMPDIR", &state)
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_REGION", REGION)
            // These two would open ports of their own, and Docker is nothing the emulator shall touch.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env(
                "DOCKER_HOST",
                format!("unix://{}/no-docker.sock", state.display()),
            )
            .env("MINISTACK_EDITION", &edition)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_XRAY_DAEMON_ADDRESS", xray_daemon.to_string())
            .current_dir(&state)
            .stdout(output)
            .stderr(errors);
        let process = Supervised::spawn(command).map_err(Error::io("run", venv.python()))?;
        Ok(Self {
            process,
            endpoint,
            log,
            edition,
            packages: folder.join("packages"),
            _run: lock,
        })
    }

    async fn wait_until_healthy(&mut self, http: &HttpClient) -> Result<(), EmulatorError> {
        let url = format!("{}/_ministack/health", self.endpoint);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if self.has_ended() {
                return Err(EmulatorError::Ended {
                    log: self.log.clone(),
                    tail: self.tail(),
                });
            }
            let answer = tokio::time::timeout(Duration::from_secs(2), http.get(&url)).await;
            if matches!(answer, Ok(Ok(response)) if response.json()["edition"] == self.edition.as_str())
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(EmulatorError::Silent {
                    log: self.log.clone(),
                    tail: self.tail(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    fn tail(&self) -> String {
        last_lines(&String::from_utf8_lossy(
            &fs::read(&self.log).unwrap_or_default(),
        ))
    }

    /// Where it answers: scheme, address and port.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The supervisor's process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it and all functions. Blocks for some milliseconds.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A folder for all state of one run, locked as long as the file is open. The supervisor deletes it, because it outlives us;
/// what a supervisor that was itself killed has left is deleted here.
fn new_run(runs: &Path) -> Result<(PathBuf, File), Error> {
    fs::create_dir_all(runs).map_err(Error::io("create", runs))?;
    // One process at a time, or a folder that is made but not locked yet would look abandoned.
    let _turn = lock(runs)?;
    let entries = fs::read_dir(runs).map_err(Error::io("list", runs))?;
    for run in entries.flatten().map(|entry| entry.path()) {
        if File::open(&run).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(run);
        }
    }
    let run = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(runs)
        .map_err(Error::io("write to", runs))?
        .keep();
    let lock = lock(&run)?;
    Ok((run, lock))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let file = File::open(folder).map_err(Error::io("open", folder))?;
    file.lock().map_err(Error::io("lock", folder))?;
    Ok(file)
}

/// A file for one run's output; the oldest ones are removed.
fn new_log(folder: &Path) -> Result<PathBuf, Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut logs: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(Error::io("list", folder))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    // Names begin with the time.
    logs.sort_unstable();
    for old in &logs[..logs.len().saturating_sub(LOGS_KEPT - 1)] {
        let _ = fs::remove_file(old);
    }
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(folder.join(format!("{time}-{}-{count}.log", std::process::id())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::testing::{FakePython, MAKES_VENV};

    async fn start(ministack: &str) -> (FakePython, Error) {
        let python = FakePython::new(MAKES_VENV, "true", ministack);
        let venv = python.prepare().unwrap();
        let error = Emulator::start(&venv, &python.cloud_folder(), NO_XRAY_DAEMON)
            .await
            .unwrap_err();
        (python, error)
    }

    #[tokio::test]
    async fn one_that_ends_is_tried_again_and_then_quoted() {
        let (python, error) = start("echo 'the port is taken'; exit 1").await;
        let Error::Emulator(EmulatorError::Ended { log, tail }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(tail, "  the port is taken");
        assert_eq!(fs::read_to_string(log).unwrap(), "the port is taken\n");
        assert_eq!(python.calls("-u"), ATTEMPTS as usize);
    }

    #[tokio::test]
    async fn it_finds_nothing_of_our_environment_and_its_folder_goes_with_it() {
        assert!(
            std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
            "set by whoever runs the tests"
        );
        let (python, error) = start("env; pwd; exit 1").await;
        let Error::Emulator(EmulatorError::Ended { log, .. }) = &error else {
            panic!("{error:?}")
        };
        let output = fs::read_to_string(log).unwrap();
        assert!(
            output.contains("BIND_HOST=127.0.0.1\n") && !output.contains("CARGO"),
            "{output}"
        );
        let runs = python.cloud_folder().join("runs");
        assert!(
            output.contains(&format!("HOME={}/run-", runs.display())),
            "{output}"
        );
        assert_eq!(fs::read_dir(runs).unwrap().count(), 0);
    }

    #[test]
    fn folders_that_nobody_uses_any_more_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let abandoned = runs.path().join("run-abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("state"), "data").unwrap();
        let (first, _in_use) = new_run(runs.path()).unwrap();
        assert!(first.exists() && !abandoned.exists());
        let (second, lock) = new_run(runs.path()).unwrap();
        assert!(first.exists() && second.exists());
        drop(lock);
        new_run(runs.path()).unwrap();
        assert!(first.exists() && !second.exists());
    }

    /// What the emulator answers to these lines of a request, by its status.
    async fn answer(emulator: &Emulator, lines: &str) -> String {
        let address = emulator.endpoint().trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("{lines}connection: close\r\n\r\n").replace("ADDRESS", address);
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn the_real_one_answers_programs_of_this_machine_and_no_web_page() {
        let emulator = Emulator::alone().await.unwrap();

        let health = "GET /_ministack/health HTTP/1.1\r\n";
        let port = emulator.endpoint().rsplit(':').next().unwrap();
        let here = format!("{health}host: ADDRESS\r\n");
        assert_eq!(answer(&emulator, &here).await, "200");
        let named = format!("{health}host: localhost:{port}\r\n");
        assert_eq!(answer(&emulator, &named).await, "200");
        let typed = format!("{here}sec-fetch-site: none\r\n");
        assert_eq!(answer(&emulator, &typed).await, "200");

        let upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        for refused in [
            format!("{health}host: shop.example:{port}\r\n"),
            format!("{health}host: 127.0.0.1\r\n"),
            health.replace("1.1", "1.0"),
            format!("{here}Origin: http://ADDRESS\r\n"),
            format!("{here}origin: null\r\n"),
            format!("{here}sec-fetch-site: cross-site\r\n"),
            format!("{here}origin: https://shop.example\r\n{upgrade}"),
        ] {
            assert_eq!(answer(&emulator, &refused).await, "403", "{refused}");
        }
    }

    #[test]
    fn what_is_changed_in_the_emulator_fits_the_version_that_is_installed() {
        assert!(SCRIPT.contains("ministack 1.5.33"));
        assert!(include_str!("../requirements.txt").contains("\nministack==1.5.33 "));
    }

    #[test]
    fn only_the_newest_logs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 10..40 {
            fs::write(
                folder.path().join(format!("20200101T0000{number}-1-0.log")),
                "",
            )
            .unwrap();
        }
        let log = new_log(folder.path()).unwrap();
        assert!(!log.exists());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left.len(), LOGS_KEPT - 1);
        assert_eq!(left[0], "20200101T000021-1-0.log");
    }
}
