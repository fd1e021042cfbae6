//! The program `demo`, from outside: what it says, how it exits, and what it leaves behind.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{assert_gone, tree};

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.stdin(Stdio::null()).env_remove("PYTHON");
    command
}

/// One that finds nothing of earlier runs, because it has a target folder of its own.
fn fresh(target: &Path) -> Command {
    let mut command = demo();
    command.env("CARGO_TARGET_DIR", target);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_is_given_and_an_unknown_argument_refused() {
    let (code, stdout, _) = run(demo().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("--keep"), "{stdout}");
    let (code, stdout, stderr) = run(demo().arg("--kepe"));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.starts_with("error: unknown argument `--kepe`\n"),
        "{stderr}"
    );
}

#[test]
fn without_python_there_is_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(fresh(folder.path()).env("PATH", folder.path()));
    assert_eq!(code, Some(1));
    assert!(
        stderr
            .trim()
            .starts_with("error: no Python found: install Python 3.11 or later"),
        "{stderr}"
    );
    assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
}

#[test]
fn without_a_package_registry_there_is_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = fresh(folder.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PIP_") {
            demo.env_remove(name);
        }
    }
    // Nobody listens on this port.
    demo.env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("PIP_RETRIES", "1");
    demo.env("PIP_NO_CACHE_DIR", "1");
    let (code, _, stderr) = run(&mut demo);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("the Python package registry cannot be reached"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
}

/// Starts the demo and reads its output until a line holds `until`; answers it with everything it started.
fn start(command: &mut Command, until: &str) -> (Child, Vec<u32>) {
    let mut demo = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(
        output.any(|line| line.contains(until)),
        "`{until}` in the output"
    );
    let family = tree(demo.id());
    // From here on somebody has to read, or the demo would wait for it.
    std::thread::spawn(move || output.count());
    (demo, family)
}

#[test]
fn kill_dash_nine_on_the_demo_leaves_nothing_behind() {
    let (mut demo, family) = start(&mut demo(), "A customer makes mistakes");
    assert!(
        family.len() >= 6,
        "demo, supervisor, emulator and three functions: {family:?}"
    );
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert_gone(&family);
}

#[test]
fn ctrl_c_ends_the_demo_and_everything_it_started() {
    let (mut demo, family) = start(&mut demo(), "A customer places an order");
    assert!(
        family.len() >= 3,
        "demo, supervisor and emulator: {family:?}"
    );
    let status = Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    assert_gone(&family);
}

#[test]
fn a_demo_that_stays_up_ends_with_its_emulator() {
    let mut keep = demo();
    keep.arg("--keep").stderr(Stdio::piped());
    let (demo, family) = start(&mut keep, "Ctrl-C stops everything");
    // The demo's child is the supervisor, and that one's the emulator.
    let status = Command::new("kill")
        .args(["-KILL", &family[2].to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let Output { status, stderr, .. } = demo.wait_with_output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: the emulator ended by itself"),
        "{stderr}"
    );
    assert!(stderr.contains("local-cloud/logs/"), "{stderr}");
    assert_gone(&family);
}

#[test]
fn the_story_is_told_to_its_end_without_colours() {
    let (code, stdout, stderr) = run(&mut demo());
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(
        stdout.contains("everything was as it should be"),
        "{stdout}"
    );
    assert!(!stdout.contains('\x1b'), "{stdout}");
}
