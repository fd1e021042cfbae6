//! Where lines go: standard output, or a writer that is passed in.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Default)]
pub(crate) enum Output {
    #[default]
    Stdout,
    Writer(Arc<Mutex<dyn Write + Send>>),
}

impl Output {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self::Writer(Arc::new(Mutex::new(writer)))
    }

    /// Writes one whole line, its end included, in one call: lines of concurrent invocations and
    /// of other tools never interleave.
    ///
    /// Telemetry never fails an invocation: what cannot be written is lost.
    pub(crate) fn write_line(&self, line: &[u8]) {
        let _ = match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Writer(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.write_all(line).and_then(|()| writer.flush())
            }
        };
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "Stdout",
            Self::Writer(_) => "Writer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Broken(Arc<Mutex<usize>>);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            *self.0.lock().unwrap() += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_writer_that_fails_is_tried_again_for_the_next_line() {
        let broken = Broken::default();
        let output = Output::new(broken.clone());
        output.write_line(b"one\n");
        output.write_line(b"two\n");
        assert_eq!(*broken.0.lock().unwrap(), 2);
    }
}
