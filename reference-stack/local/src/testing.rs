//! What several of this package's unit tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::progress::Progress;
use crate::python::Search;
use crate::venv::{IMPORT, Venv};

/// What [`FakePython`] does for `-m venv` when all is well.
pub(crate) const MAKES_VENV: &str = r#"mkdir -p "$4/bin" && cp "$0" "$4/bin/python""#;

/// Makes an executable shell script.
///
/// A child process writes it: had this process the file open for writing while another test's thread forks, running the
/// script would fail with "text file busy".
pub(crate) fn program(file: &Path, script: &str) {
    let status = Command::new("sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#,
            "sh",
        ])
        .arg(file)
        .arg(script)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// A Python that answers the probe and does as told for `-m venv`, for `-m pip` and as the emulator. It hands the supervisor's script
/// to the real interpreter. It can import the emulator unless there is a file `elsewhere` beside it.
#[derive(Debug)]
pub(crate) struct FakePython {
    pub(crate) folder: tempfile::TempDir,
    search: Search,
}

impl FakePython {
    pub(crate) fn new(venv: &str, pip: &str, emulator: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let real = Search::process()
            .find()
            .expect("these tests need Python 3.11 or later");
        let script = format!(
            r#"echo "$*" >> '{calls}'
case "$1 $2" in
"-u "*) {emulator} ;;
"-I -c") case "$3" in
    "{IMPORT}") [ ! -e "$(dirname "$0")/elsewhere" ] || {{ echo "No module named 'ministack'"; exit 1; }} ;;
    *) echo 3.12.1 venv ;;
    esac ;;
"-I -B") exec '{real}' "$@" ;;
"-m venv") {venv} ;;
"-m pip") {pip} ;;
esac"#,
            calls = folder.path().join("calls").display(),
            real = real.display(),
        );
        program(&folder.path().join("python3"), &script);
        Self {
            search: Search {
                chosen: None,
                path: Some(folder.path().into()),
            },
            folder,
        }
    }

    /// Where the local cloud keeps its things.
    pub(crate) fn cloud_folder(&self) -> PathBuf {
        self.folder.path().join("cloud")
    }

    pub(crate) fn prepare(&self) -> Result<Venv, Error> {
        Venv::prepare(&self.cloud_folder(), &self.search, &Progress::default())
    }

    /// How often it was called with these arguments in front.
    pub(crate) fn calls(&self, arguments: &str) -> usize {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap();
        calls
            .lines()
            .filter(|line| line.starts_with(arguments))
            .count()
    }
}
