//! What the local cloud starts never outlives it.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_cloud::Search;
use local_cloud::process::{Supervised, Supervisor};

use crate::support::{assert_gone, tree};

/// Set in the process that is to be killed: the folder for the supervisor's script.
const VICTIM: &str = "LOCAL_CLOUD_TEST_VICTIM";

/// Starts a child, a grandchild, a grandchild in a session of its own and an orphan, and says when all of them run. The
/// session is what only Linux can follow.
const FAMILY: &str = r#"
sleep 1000 &
if command -v setsid >/dev/null && [ "$(uname)" = Linux ]; then setsid sleep 1000 & fi
sh -c 'sleep 1000 & exec true'
sleep 0.2
echo ready
wait
"#;

fn supervisor(folder: &Path) -> Supervisor {
    let python = Search::process()
        .find()
        .expect("these tests need Python 3.11 or later");
    Supervisor::install(&python, folder).unwrap()
}

fn shell(supervisor: &Supervisor, script: &str) -> Command {
    let mut command = supervisor.command("sh");
    command.args(["-c", script]);
    command
}

/// Not a test by itself: what `kill_dash_nine_leaves_nothing_behind` runs in a process of its own. The kill must hit
/// something that did what the local cloud does.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else {
        return;
    };
    let supervisor = supervisor(Path::new(&folder));
    let mut family = Supervised::spawn(shell(&supervisor, FAMILY)).unwrap();
    family.wait().unwrap();
}

fn start_victim(folder: &Path) -> Child {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = BufReader::new(victim.stdout.as_mut().unwrap())
        .lines()
        .any(|line| line.unwrap() == "ready");
    assert!(ready, "the victim starts its family");
    victim
}

#[test]
fn kill_dash_nine_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = start_victim(folder.path());
    let family = tree(victim.id());
    // The test's process, the supervisor, the shell, its two sleeps and (adopted by the supervisor) the orphan.
    assert!(
        family.len() >= if cfg!(target_os = "linux") { 6 } else { 4 },
        "{family:?}"
    );

    victim.kill().unwrap(); // SIGKILL on Unix.
    victim.wait().unwrap();
    assert_gone(&family);
}

#[test]
fn dropping_a_process_ends_its_family_and_removes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("file"), "data").unwrap();
    let mut command = supervisor(folder.path()).command_with_folder(&state, "sh");
    command
        .args(["-c", "sleep 1000 & echo > \"$0\"; wait"])
        .arg(folder.path().join("up"));
    let process = Supervised::spawn(command).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !folder.path().join("up").exists() {
        assert!(Instant::now() < deadline, "the process starts");
        std::thread::sleep(Duration::from_millis(10));
    }
    let family = tree(process.id());
    assert_eq!(family.len(), 3, "supervisor, shell and sleep: {family:?}");

    drop(process);
    assert!(!state.exists());
    assert_gone(&family);
}

#[test]
fn what_a_program_leaves_running_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pid");
    let script = format!(
        "sleep 1000 >/dev/null & echo $! > '{}'; exit 3",
        pids.display()
    );
    let (status, output) = Supervised::output(shell(&supervisor(folder.path()), &script)).unwrap();
    assert_eq!((status.code(), output.len()), (Some(3), 0));
    let pid = fs::read_to_string(pids).unwrap().trim().parse().unwrap();
    assert_gone(&[pid]);
}

#[test]
fn a_program_that_cannot_be_started_ends_with_127_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = supervisor(folder.path()).command("/nonexistent/program");
    let mut errors = tempfile::tempfile().unwrap();
    command.stderr(errors.try_clone().unwrap());
    let (status, _) = Supervised::output(command).unwrap();
    assert_eq!(status.code(), Some(127));
    let mut text = String::new();
    std::io::Seek::rewind(&mut errors).unwrap();
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(
        text.trim(),
        "cannot start /nonexistent/program: No such file or directory"
    );
}
