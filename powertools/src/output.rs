//! Where lines go: standard output, or a writer that is passed in.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

thread_local! {
    /// Lines that a writer's own code makes while it writes, in a writer that may be locked. `None`
    /// while nothing is being written.
    static NESTED: RefCell<Option<VecDeque<Nested>>> = const { RefCell::new(None) };
}

/// A line that waits until the one before it is out, and where it goes.
type Nested = (Arc<Mutex<dyn Write + Send>>, Box<[u8]>);

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
        match self {
            Self::Stdout => {
                let _ = io::stdout().lock().write_all(line);
            }
            Self::Writer(writer) => write_in_turn(writer, line),
        }
    }
}

/// Writes a line, and then those that the writer's own code has made meanwhile.
fn write_in_turn(writer: &Arc<Mutex<dyn Write + Send>>, line: &[u8]) {
    /// Ends the turn, also when the writer panics.
    struct Turn;

    impl Drop for Turn {
        fn drop(&mut self) {
            with_nested(|nested| *nested = None);
        }
    }

    let is_nested = with_nested(|nested| match nested {
        Some(lines) => {
            lines.push_back((Arc::clone(writer), line.into()));
            true
        }
        None => {
            *nested = Some(VecDeque::new());
            false
        }
    });
    match is_nested {
        Some(true) => {}
        Some(false) => {
            let _turn = Turn;
            write(writer, line);
            while let Some((writer, line)) =
                with_nested(|nested| nested.as_mut().and_then(VecDeque::pop_front)).flatten()
            {
                write(&writer, &line);
            }
        }
        None => write(writer, line),
    }
}

/// Returns `None` at the end of a thread, where what is dropped still makes lines.
fn with_nested<R>(f: impl FnOnce(&mut Option<VecDeque<Nested>>) -> R) -> Option<R> {
    let result = NESTED.try_with(|nested| f(&mut nested.borrow_mut()));
    result.ok()
}

fn write(writer: &Mutex<dyn Write + Send>, line: &[u8]) {
    // A writer that panics is one that fails; unwinding further, it would end the process where a
    // handler's own panic is unwinding already.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(line).and_then(|()| writer.flush())
    }));
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
    fn a_writer_that_makes_lines_of_its_own_gets_them_after_the_first() {
        struct Chatty {
            lines: Arc<Mutex<Vec<String>>>,
            output: Arc<std::sync::OnceLock<Output>>,
        }

        impl Write for Chatty {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                let text = String::from_utf8_lossy(line).into_owned();
                if text == "outer\n" {
                    self.output.get().unwrap().write_line(b"inner\n");
                }
                self.lines.lock().unwrap().push(text);
                Ok(line.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let lines = Arc::<Mutex<Vec<String>>>::default();
        let cell = Arc::new(std::sync::OnceLock::new());
        let output = Output::new(Chatty {
            lines: Arc::clone(&lines),
            output: Arc::clone(&cell),
        });
        cell.set(output.clone()).unwrap();
        output.write_line(b"outer\n");
        assert_eq!(*lines.lock().unwrap(), ["outer\n", "inner\n"]);
    }

    #[test]
    fn a_writer_that_panics_costs_its_line_only() {
        struct Panics(Arc<Mutex<usize>>);

        impl Write for Panics {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                *self.0.lock().unwrap() += 1;
                panic!("no disk");
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let tries = Arc::default();
        let output = Output::new(Panics(Arc::clone(&tries)));
        for _ in 0..2 {
            output.write_line(b"line\n");
        }
        assert_eq!(*tries.lock().unwrap(), 2);
    }

    #[test]
    fn what_is_dropped_at_the_end_of_a_thread_still_makes_its_line() {
        struct Late(Output);

        impl Drop for Late {
            fn drop(&mut self) {
                self.0.write_line(b"late\n");
            }
        }

        thread_local! {
            static FIRST: RefCell<Option<Late>> = const { RefCell::new(None) };
            static LAST: RefCell<Option<Late>> = const { RefCell::new(None) };
        }

        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);

        impl Write for Lines {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(line)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let lines = Lines::default();
        let output = Output::new(lines.clone());
        // In which order thread-locals go is not said: one goes before that of the lines, and one
        // after it.
        let thread = std::thread::spawn(move || {
            FIRST.set(Some(Late(output.clone())));
            output.write_line(b"early\n");
            LAST.set(Some(Late(output)));
        });
        thread.join().unwrap();
        assert_eq!(*lines.0.lock().unwrap(), b"early\nlate\nlate\n");
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
