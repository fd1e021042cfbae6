use std::cell::Cell;

use super::{batch::Flushed, limits::OBJECT_SIZE};

/// The largest buffer that a thread keeps for its next lines, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Lines> = const { Cell::new(Lines::new()) };
}

/// Objects as lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Lines {
    const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Takes the thread's buffer, which is empty.
    pub(super) fn take() -> Self {
        BUFFER.try_with(Cell::take).unwrap_or_default()
    }

    /// Gives the buffer back to the thread.
    pub(super) fn give_back(mut self) {
        if self.bytes.capacity() <= KEPT {
            self.bytes.clear();
            self.ends.clear();
            // At the end of a thread there is none.
            let _ = BUFFER.try_with(|buffer| buffer.set(self));
        }
    }

    /// Appends an object: as one line, or as several if it would be larger than a log event.
    ///
    /// Nothing is lost: dimensions and metadata leave room for a metric with all its values.
    pub(super) fn push(
        &mut self,
        flushed: &Flushed<'_>,
        write: impl Fn(&mut Vec<u8>, &Flushed<'_>) + Copy,
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes, flushed);
        if self.bytes.len() - start <= OBJECT_SIZE || flushed.series.len() == 1 {
            self.bytes.push(b'\n');
            self.ends.push(self.bytes.len());
            return;
        }
        self.bytes.truncate(start);
        let (first, second) = flushed.series.split_at(flushed.series.len() / 2);
        for series in [first, second] {
            self.push(&Flushed { series, ..*flushed }, write);
        }
    }

    /// Returns the lines, their ends included.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let line = &self.bytes[start..*end];
            start = *end;
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        Metric, Unit,
        batch::{Metadata, Series},
        dimension::DimensionSets,
        emf,
    };

    fn series(name: String) -> Series {
        Series::new(Metric::try_new(name, Unit::Count).unwrap(), 1.0)
    }

    #[test]
    fn what_is_larger_than_a_log_event_is_shared_out() {
        let metadata = [Metadata::new("large".into(), "1".repeat(OBJECT_SIZE - 400))];
        let names = ["A", "B", "C"].map(|name| name.repeat(60));
        let large = Flushed {
            timestamp: 7,
            namespace: "Shop",
            sets: DimensionSets::default(),
            metadata: &metadata,
            series: &names.clone().map(series),
        };
        let small = Flushed {
            metadata: &[],
            ..large
        };
        let mut lines = Lines::take();
        for flushed in [&large, &small] {
            lines.push(flushed, |line, flushed| emf::write(line, flushed, None));
        }

        let written: Vec<_> = lines
            .iter()
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        assert_eq!(written.len(), 4);
        for (line, name) in written.iter().zip(names) {
            assert!(line.len() <= OBJECT_SIZE + "\n".len());
            assert!(line.ends_with(&format!("{name}\":1}}\n")));
        }
        assert!(written[3].starts_with(r#"{"_aws":{"Timestamp":7"#));
        assert_eq!(written[3].matches("\"Name\"").count(), 3);
    }

    #[test]
    fn a_thread_gets_its_buffer_back_empty_unless_it_is_large() {
        let mut lines = Lines::take();
        lines.bytes.reserve(1000);
        lines.bytes.push(b'x');
        lines.ends.push(1);
        lines.give_back();
        let lines = Lines::take();
        assert!(lines.bytes.capacity() >= 1000);
        assert_eq!((lines.bytes.len(), lines.iter().count()), (0, 0));

        let mut lines = lines;
        lines.bytes.reserve(KEPT + 1);
        lines.give_back();
        assert_eq!(Lines::take().bytes.capacity(), 0);
    }
}
