//! Building the functions, and packing them the way AWS wants them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::Error;
use crate::process::{Supervised, Supervisor};

/// Why the functions could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// cargo said no; it has printed why.
    #[error("cargo could not build the functions: see its messages above")]
    Failed,
    /// cargo's answer is not what this package understands.
    #[error("cargo's answer to `cargo {command}` cannot be read")]
    #[non_exhaustive]
    Unreadable {
        /// The subcommand.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A function of the stack has no binary.
    #[error("the workspace has no binary named `{name}`, which the stack has as a function")]
    #[non_exhaustive]
    Missing {
        /// The function.
        name: String,
    },
}

/// The cargo workspace around this package.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo where things are.
    ///
    /// # Errors
    /// cargo cannot be run.
    pub(crate) fn locate() -> Result<Self, Error> {
        let cargo = cargo();
        let output = std::process::Command::new(&cargo)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
                "--manifest-path",
            ])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(Error::io("run", &cargo))?;
        if !output.status.success() {
            return Err(BuildError::Failed.into());
        }
        let workspace =
            serde_json::from_slice(&output.stdout).map_err(|source| BuildError::Unreadable {
                command: "metadata",
                source,
            })?;
        Ok(workspace)
    }

    /// Where everything of the local cloud is kept between runs.
    pub(crate) fn folder(&self) -> PathBuf {
        self.target_directory.join("local-cloud")
    }

    /// Builds all binaries and answers where they are. Blocks; cargo's messages go to standard error.
    pub(crate) fn build(&self, supervisor: &Supervisor) -> Result<Binaries, Error> {
        let cargo = cargo();
        let mut command = supervisor.command(&cargo);
        command
            .args([
                "build",
                "--workspace",
                "--bins",
                "--message-format",
                "json-render-diagnostics",
            ])
            .current_dir(&self.root);
        let (status, output) = Supervised::output(command).map_err(Error::io("run", cargo))?;
        if !status.success() {
            return Err(BuildError::Failed.into());
        }
        Ok(Binaries::read(&output)?)
    }
}

/// The cargo that runs us, or else the one in PATH.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Executables by name.
#[derive(Debug, Default)]
pub(crate) struct Binaries(BTreeMap<String, PathBuf>);

impl Binaries {
    /// Reads what `cargo build --message-format=json` prints.
    fn read(output: &[u8]) -> Result<Self, BuildError> {
        #[derive(Deserialize)]
        struct Message {
            target: Option<Target>,
            executable: Option<PathBuf>,
        }
        #[derive(Deserialize)]
        struct Target {
            name: String,
            kind: Vec<String>,
        }
        let mut binaries = BTreeMap::new();
        // Lines that are no JSON come from build scripts and macros.
        for line in output
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.starts_with('{'))
        {
            let message: Message =
                serde_json::from_str(&line).map_err(|source| BuildError::Unreadable {
                    command: "build",
                    source,
                })?;
            if let (Some(target), Some(executable)) = (message.target, message.executable)
                && target.kind.iter().any(|kind| kind == "bin")
            {
                binaries.insert(target.name, executable);
            }
        }
        Ok(Self(binaries))
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Path, BuildError> {
        self.0
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| BuildError::Missing {
                name: name.to_owned(),
            })
    }
}

/// The deployment package of a binary: a zip file with the binary as `bootstrap`. Kept in `folder` until the binary
/// changes, because packing takes longer than everything else on a second run.
pub(crate) fn package(name: &str, binary: &Path, folder: &Path) -> Result<Vec<u8>, Error> {
    let metadata = fs::metadata(binary).map_err(Error::io("read", binary))?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    let prefix = format!("{name}@");
    let file = folder.join(format!(
        "{prefix}{}-{}.zip",
        metadata.len(),
        modified.as_nanos()
    ));
    if let Ok(package) = fs::read(&file) {
        return Ok(package);
    }

    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let packages = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    for old in packages.flatten().map(|entry| entry.path()) {
        let name = old.file_name().unwrap_or_default().to_string_lossy();
        // Another process may have finished the very same package by now.
        if name.starts_with(&prefix) && old != file {
            let _ = fs::remove_file(old);
        }
    }
    let mut input = File::open(binary).map_err(Error::io("read", binary))?;
    let output = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write to", folder))?;
    zip_bootstrap(&mut input, output.as_file()).map_err(Error::io("pack", binary))?;
    let package = fs::read(output.path()).map_err(Error::io("read", output.path()))?;
    output
        .persist(&file)
        .map_err(|error| Error::io("write", &file)(error.error))?;
    Ok(package)
}

fn zip_bootstrap(input: &mut File, output: &File) -> std::io::Result<()> {
    let mut zip = ZipWriter::new(std::io::BufWriter::new(output));
    // AWS unpacks the modes too: without the execute bit a function does not start.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(1))
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    std::io::copy(input, &mut zip)?;
    zip.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn executables_are_read_from_what_cargo_prints() {
        let output = br#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"orders"},"executable":null}
warning: a build script's chatter
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"orders"},"executable":"/t/debug/orders"}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"e"},"executable":"/t/debug/examples/e"}
{"reason":"build-finished","success":true}
"#;
        let binaries = Binaries::read(output).unwrap();
        assert_eq!(
            binaries.get("orders").unwrap(),
            Path::new("/t/debug/orders")
        );
        assert_eq!(
            binaries
                .get("e")
                .unwrap_err()
                .to_string()
                .matches("`e`")
                .count(),
            1
        );
    }

    #[test]
    fn a_package_is_made_once_and_again_when_the_binary_changes() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("orders");
        let packages = folder.path().join("packages");
        fs::write(&binary, "first").unwrap();
        let first = package("orders", &binary, &packages).unwrap();

        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&first)).unwrap();
        let mut entry = zip.by_name("bootstrap").unwrap();
        assert_eq!(entry.unix_mode().unwrap() & 0o777, 0o755);
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first");

        let kept = fs::read_dir(&packages)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::write(&kept, "kept").unwrap();
        assert_eq!(package("orders", &binary, &packages).unwrap(), b"kept");

        fs::write(&binary, "second!").unwrap();
        assert_ne!(package("orders", &binary, &packages).unwrap(), b"kept");
        assert_eq!(
            fs::read_dir(&packages).unwrap().count(),
            1,
            "the old one is gone"
        );
    }

    #[test]
    fn many_may_make_one_package_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("orders");
        let packages = folder.path().join("packages");
        fs::write(&binary, "binary").unwrap();
        let all: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| package("orders", &binary, &packages).unwrap()))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .collect()
        });
        assert!(all.iter().all(|package| *package == all[0]));
        assert_eq!(fs::read_dir(&packages).unwrap().count(), 1);
    }

    #[test]
    fn the_workspace_is_found() {
        let workspace = Workspace::locate().unwrap();
        assert!(workspace.root.join("Cargo.toml").exists());
        assert!(workspace.folder().ends_with("local-cloud"));
    }
}
