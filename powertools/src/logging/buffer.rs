use std::{collections::VecDeque, sync::Arc};

use tracing::Level;

use super::{LoggerError, subscriber::LineWriter};
use crate::output::Output;

/// The size of a buffer, if none is given.
const DEFAULT_BYTES: usize = 20 * 1024;

/// The largest buffer: every invocation that runs may have one.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Holds back the less important lines of an invocation until they matter.
///
/// Lines up to a level are kept in memory, also those that the logger's own level would leave out.
/// They are written before the first line at `ERROR`, by [`flush_buffer`](super::flush_buffer), or,
/// if [asked to](super::LoggingLayer::flush_buffer_on_uncaught_error), when the handler fails. When the
/// invocation ends they are dropped.
///
/// # Examples
///
/// ```
/// use powertools::logging::{Buffer, Logger};
///
/// let logger = Logger::new().buffer(Buffer::new().max_bytes(50 * 1024)?);
/// # Ok::<_, powertools::logging::LoggerError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Buffer {
    pub(super) max_bytes: usize,
    pub(super) level: Level,
    pub(super) flush_on_error: bool,
}

impl Buffer {
    /// Makes a buffer of 20 KiB for each invocation that holds lines at `DEBUG`.
    pub const fn new() -> Self {
        Self {
            max_bytes: DEFAULT_BYTES,
            level: Level::DEBUG,
            flush_on_error: true,
        }
    }

    /// Sets how many bytes of lines an invocation may hold back.
    ///
    /// Defaults to 20480, at most 64 MiB. When it is full the oldest lines go, and a warning after
    /// the others says so; a line that is larger than the whole buffer is written at once.
    ///
    /// # Errors
    ///
    /// Fails for 0 and for more than 64 MiB.
    pub const fn max_bytes(mut self, bytes: usize) -> Result<Self, LoggerError> {
        if bytes == 0 || bytes > MAX_BYTES {
            return Err(LoggerError::BufferSize { bytes });
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// Sets the most important level that is held back.
    ///
    /// Defaults to `DEBUG`.
    ///
    /// # Errors
    ///
    /// Fails for levels other than `DEBUG`, `INFO` and `WARN`.
    pub const fn level(mut self, level: Level) -> Result<Self, LoggerError> {
        match level {
            Level::DEBUG | Level::INFO | Level::WARN => {
                self.level = level;
                Ok(self)
            }
            Level::TRACE | Level::ERROR => Err(LoggerError::BufferLevel { level }),
        }
    }

    /// Says whether a line at `ERROR` brings out what was held back before it.
    ///
    /// Defaults to `true`.
    pub const fn flush_on_error(mut self, on: bool) -> Self {
        self.flush_on_error = on;
        self
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

/// What one invocation holds back, for each logger that has a buffer.
pub(super) type HeldBack = Vec<(Arc<LineWriter>, Lines)>;

/// Keeps a line, or returns `false` if it is larger than the buffer.
pub(super) fn hold_back(
    held_back: &mut HeldBack,
    writer: &Arc<LineWriter>,
    buffer: &Buffer,
    line: &[u8],
) -> bool {
    if line.len() > buffer.max_bytes {
        return false;
    }
    let known = held_back
        .iter()
        .position(|(known, _)| Arc::ptr_eq(known, writer));
    let index = known.unwrap_or_else(|| {
        held_back.push((Arc::clone(writer), Lines::default()));
        held_back.len() - 1
    });
    held_back[index].1.keep(line, buffer.max_bytes);
    true
}

/// Lines that are held back, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    has_evicted: bool,
}

impl Lines {
    fn keep(&mut self, line: &[u8], max_bytes: usize) {
        while self.bytes + line.len() > max_bytes {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.has_evicted = true;
        }
        self.bytes += line.len();
        self.lines.push_back(line.into());
    }

    /// Writes the lines, and returns whether there had been more.
    pub(super) fn write(self, output: &Output) -> bool {
        for line in &self.lines {
            output.write_line(line);
        }
        self.has_evicted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for bytes in [0, MAX_BYTES + 1] {
            let error = Buffer::new().max_bytes(bytes).unwrap_err();
            assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        }
        for level in [Level::TRACE, Level::ERROR] {
            let error = Buffer::new().level(level).unwrap_err();
            assert!(error.to_string().contains(level.as_str()), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_lines_that_fit_are_kept(
            lengths in prop::collection::vec(0..40_usize, 0..60),
            max_bytes in 1..100_usize,
        ) {
            let mut held_back = Lines::default();
            let mut kept: Vec<usize> = Vec::new();
            let mut has_evicted = false;
            for length in lengths {
                if length <= max_bytes {
                    held_back.keep(&vec![b'x'; length], max_bytes);
                    kept.push(length);
                    while kept.iter().sum::<usize>() > max_bytes {
                        kept.remove(0);
                        has_evicted = true;
                    }
                }
                let lengths: Vec<_> = held_back.lines.iter().map(|line| line.len()).collect();
                prop_assert_eq!(&lengths, &kept);
                prop_assert_eq!(held_back.bytes, kept.iter().sum::<usize>());
                prop_assert_eq!(held_back.has_evicted, has_evicted);
            }
        }
    }
}
