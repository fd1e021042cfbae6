//! Looking at processes from outside.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The running processes, with their parents. One that has ended but was not collected is not running.
fn processes() -> BTreeMap<u32, u32> {
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,stat="])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (!words.next()?.starts_with('Z')).then_some((pid, parent))
    };
    text.lines().filter_map(row).collect()
}

/// A process and everything that descends from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let processes = processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            processes
                .iter()
                .filter(|entry| *entry.1 == parent)
                .map(|entry| *entry.0),
        );
        next += 1;
    }
    found
}

/// Waits until none of these processes runs any more.
#[track_caller]
pub(crate) fn assert_gone(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let running = processes();
        let left: Vec<u32> = pids
            .iter()
            .copied()
            .filter(|pid| running.contains_key(pid))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:?}");
        sleep(Duration::from_millis(20));
    }
}
