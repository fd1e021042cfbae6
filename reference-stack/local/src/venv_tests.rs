use std::thread;

use super::*;
use crate::testing::{FakePython, MAKES_VENV};

#[test]
fn a_failing_venv_module_is_one_message_with_its_last_words() {
    let python = FakePython::new("echo 'cannot copy'; exit 1", "true", "true");
    let error = python.prepare().unwrap_err();
    let Error::Venv(VenvError::Create { log, tail }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(tail, "  cannot copy");
    assert_eq!(fs::read_to_string(log).unwrap(), "cannot copy\n");
}

#[test]
fn a_full_disk_is_called_that_in_whichever_step_it_shows() {
    let full = "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1";
    for python in [
        FakePython::new(full, "true", "true"),
        FakePython::new(MAKES_VENV, full, "true"),
    ] {
        let message = python.prepare().unwrap_err().to_string();
        assert!(
            message.ends_with(": OSError: [Errno 28] No space left on device"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn packages_that_pip_put_elsewhere_are_not_taken_for_installed() {
    let python = FakePython::new(MAKES_VENV, r#"touch "$(dirname "$0")/elsewhere""#, "true");
    for _ in 0..2 {
        let error = python.prepare().unwrap_err();
        assert!(
            matches!(error, Error::Venv(VenvError::Elsewhere { .. })),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.contains("`dry-run`"), "{message}");
        assert!(
            message.ends_with("No module named 'ministack'"),
            "{message}"
        );
    }
    assert_eq!(python.calls("-m pip"), 2, "the second run tries again");
}

#[test]
fn of_pips_settings_only_the_way_to_the_packages_is_kept() {
    for name in [
        "PIP_INDEX_URL",
        "PIP_PROXY",
        "PIP_CERT",
        "HTTPS_PROXY",
        "HOME",
    ] {
        assert!(is_kept(name), "{name}");
    }
    for name in [
        "PIP_DRY_RUN",
        "PIP_TARGET",
        "PIP_USER",
        "PIP_ROOT",
        "PYTHONPATH",
    ] {
        assert!(!is_kept(name), "{name}");
    }
}

#[test]
fn a_package_with_another_hash_is_refused_in_words_of_its_own() {
    let pip =
        "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'; exit 1";
    let error = FakePython::new(MAKES_VENV, pip, "true")
        .prepare()
        .unwrap_err();
    assert!(
        matches!(error, Error::Venv(VenvError::HashMismatch { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("pip cache purge"), "{error}");
}

#[test]
fn an_unreachable_registry_is_told_apart_and_the_long_output_cut() {
    let pip = r#"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "WARNING: Retrying (Retry(total=$i)) after connection broken"; done
echo 'ERROR: No matching distribution found for ministack==1.5.33' >&2; exit 1"#;
    let error = FakePython::new(MAKES_VENV, pip, "true")
        .prepare()
        .unwrap_err();
    assert!(
        matches!(error, Error::Venv(VenvError::Unreachable { .. })),
        "{error}"
    );
    let message = error.to_string();
    assert!(
        message.contains("PIP_INDEX_URL") && message.contains("No matching distribution"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1 + TAIL_LINES, "{message}");
}

#[test]
fn a_half_made_environment_is_made_again_and_then_kept() {
    let folder = tempfile::tempdir().unwrap();
    let once = folder.path().join("failed-once");
    let pip = format!(
        "[ -e '{0}' ] || {{ touch '{0}'; echo no; exit 1; }}",
        once.display()
    );
    let python = FakePython::new(MAKES_VENV, &pip, "true");

    assert!(matches!(
        python.prepare(),
        Err(Error::Venv(VenvError::Install { .. }))
    ));
    let venv = python.prepare().unwrap();
    assert!(venv.python().exists());
    assert_eq!((python.calls("-m venv"), python.calls("-m pip")), (2, 2));

    python.prepare().unwrap();
    assert_eq!(
        (python.calls("-I -c import sys"), python.calls("-m pip")),
        (2, 2),
        "a second run asks nothing"
    );
}

#[test]
fn of_two_that_need_it_at_once_one_works() {
    let python = FakePython::new(MAKES_VENV, "sleep 0.3", "true");
    thread::scope(|scope| {
        let first = scope.spawn(|| python.prepare().unwrap());
        let second = scope.spawn(|| python.prepare().unwrap());
        assert_eq!(
            first.join().unwrap().python(),
            second.join().unwrap().python()
        );
    });
    assert_eq!(python.calls("-m pip"), 1);
}

#[test]
fn an_interpreter_that_was_replaced_makes_a_new_environment() {
    let python = FakePython::new(MAKES_VENV, "true", "true");
    let venv = python.prepare().unwrap();
    let ready = venv.python().ancestors().nth(2).unwrap().join(READY);
    fs::write(&ready, "/usr/bin/python3.0").unwrap();
    python.prepare().unwrap();
    assert_eq!(python.calls("-m pip"), 2);
}

#[test]
fn every_requirement_is_pinned_and_hashed() {
    let mut pins = 0;
    for requirement in REQUIREMENTS
        .replace("\\\n", " ")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert!(requirement.contains("=="), "{requirement}");
        assert!(requirement.contains("--hash=sha256:"), "{requirement}");
        pins += 1;
    }
    assert!(pins >= 3);
    assert!(REQUIREMENTS.contains("ministack==") && !REQUIREMENTS.contains("://"));
}
