//! How much memory the process has used.
//!
//! Lambda's report at an invocation's end has a `Max Memory Used`: the most that the environment has
//! held until then, which never shrinks from one invocation to the next. What the process knows of
//! it is its own part, the peak of its resident set; the pages of extensions are not in it.

use std::{
    fs::File,
    io::{ErrorKind, Read},
};

/// Source: <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
const STATUS: &str = "/proc/self/status";

/// The peak of the resident set. `statm` is read in a third of the time, but has only what is held
/// now, and a handler has freed by its end what it took.
const PEAK: &[u8] = b"VmHWM:";

/// More than the file has up to the peak and far beyond it, unless the user is in hundreds of groups.
const STATUS_SIZE: usize = 4096;

const KB: u64 = 1024;
const MB: f64 = 1024.0 * 1024.0;

/// Returns the most memory that the process has held so far, in bytes, where the system says it:
/// Linux does.
pub(super) fn peak() -> Option<u64> {
    read_peak(File::open(STATUS).ok()?)
}

/// Returns how much of a function's size has been used, in percent. The size is in MB, which are
/// 2^20 bytes to Lambda; without one there is no share of it.
pub(super) fn utilization(used: u64, size: i32) -> Option<f64> {
    (size > 0).then(|| used as f64 / (f64::from(size) * MB) * 100.0)
}

fn read_peak(mut status: impl Read) -> Option<u64> {
    let mut text = [0; STATUS_SIZE];
    let mut length = 0;
    loop {
        // With no room left, nothing is read.
        match status.read(&mut text[length..]) {
            Ok(0) => return None,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        }
        if let Some(peak) = find_peak(&text[..length]) {
            return Some(peak);
        }
    }
}

/// Finds the peak in the lines that are there as a whole.
fn find_peak(status: &[u8]) -> Option<u64> {
    status
        .split_inclusive(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(PEAK)?.strip_suffix(b" kB\n"))
        .and_then(|number| str::from_utf8(number).ok()?.trim().parse::<u64>().ok())
        .and_then(|kilobytes| kilobytes.checked_mul(KB))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const STATUS: &str = "\
Name:\tbootstrap
Umask:\t0022
State:\tR (running)
Groups:\t1000 1001 
VmPeak:\t  704480 kB
VmSize:\t  647140 kB
VmHWM:\t   13192 kB
VmRSS:\t   12068 kB
Threads:\t3
";

    /// Reads a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn the_peak_is_the_high_water_mark_in_bytes() {
        assert_eq!(find_peak(STATUS.as_bytes()), Some(13192 * 1024));
    }

    #[test]
    fn a_line_that_is_cut_off_is_not_taken_for_a_smaller_number() {
        let end = STATUS.find("VmRSS").unwrap();
        for length in 0..end {
            assert_eq!(find_peak(&STATUS.as_bytes()[..length]), None, "{length}");
        }
        assert_eq!(find_peak(&STATUS.as_bytes()[..end]), Some(13192 * 1024));
    }

    #[test]
    fn a_peak_of_another_shape_is_none() {
        for status in [
            "",
            "VmHWM:\n",
            "VmHWM:\t kB\n",
            "VmHWM:\t 12 MB\n",
            "VmHWM:\t -12 kB\n",
            "VmHWM:\t 1 2 kB\n",
            "VmHWM:\t \u{e4} kB\n",
            "VmHWM:\t 18446744073709551615 kB\n",
            "VmHWM:\t 99999999999999999999 kB\n",
            "Name:\tVmHWM: 12 kB\n",
            "VmRSS:\t 12 kB\n",
        ] {
            assert_eq!(find_peak(status.as_bytes()), None, "{status:?}");
        }
        assert_eq!(find_peak(b"VmHWM:\t\xff kB\n"), None);
    }

    #[test]
    fn a_file_is_read_in_as_many_pieces_as_it_comes_in() {
        for step in 1..STATUS.len() {
            let status = Slow(STATUS.as_bytes(), step);
            assert_eq!(read_peak(status), Some(13192 * 1024), "{step}");
        }
        let without = STATUS.replace("VmHWM", "VmOther");
        assert_eq!(read_peak(Slow(without.as_bytes(), 7)), None);
    }

    #[test]
    fn a_file_without_end_and_one_that_fails_have_no_peak() {
        assert_eq!(read_peak(io::repeat(b'x')), None);
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::PermissionDenied.into())
            }
        }
        assert_eq!(read_peak(Broken), None);
    }

    #[test]
    fn a_read_that_is_interrupted_is_tried_again() {
        struct Interrupted<'a>(bool, &'a [u8]);
        impl Read for Interrupted<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    self.1.read(buffer)
                } else {
                    Err(ErrorKind::Interrupted.into())
                }
            }
        }
        let status = Interrupted(false, STATUS.as_bytes());
        assert_eq!(read_peak(status), Some(13192 * 1024));
    }

    #[test]
    fn the_share_is_of_the_functions_size() {
        assert_eq!(utilization(64 << 20, 128), Some(50.0));
        assert_eq!(utilization(128 << 20, 128), Some(100.0));
        assert_eq!(utilization(0, 10_240), Some(0.0));
        assert_eq!(utilization(1, 0), None);
        assert_eq!(utilization(1, -1), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_is_at_least_what_was_held_also_when_it_is_let_go() {
        const HELD: usize = 64 << 20;

        let held = std::hint::black_box(vec![1_u8; HELD]);
        let meanwhile = peak().unwrap();
        drop(held);
        let after = peak().unwrap();
        // Not how much more it is than before: other tests of the process may have held as much. The
        // system counts pages with a small error.
        let expected = HELD as u64 - (1 << 20);
        assert!(meanwhile > expected, "{meanwhile}");
        assert!(after > expected, "{after}");
    }
}
