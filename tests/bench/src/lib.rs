//! Measures pieces of code beside a baseline and prints the ratios.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

/// How many calls are timed together.
const CALLS: u32 = 2_000;

/// How many rounds there are at most; the fastest counts.
const ROUNDS: usize = 200;

/// How long the rounds of one row go on at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Cases that are measured beside the first of them.
#[derive(Debug)]
pub struct Table {
    baseline: Option<f64>,
}

impl Table {
    /// Starts a table and prints its head.
    #[must_use]
    pub fn new(title: &str) -> Self {
        println!(
            "\n{title}\n{:<48} {:>9} {:>7} {:>8}",
            "", "ns", "ratio", "allocs"
        );
        Self { baseline: None }
    }

    /// Measures a case and prints its row.
    pub fn row(&mut self, name: &str, call: impl FnMut()) {
        self.batch(name, 1, call);
    }

    /// Measures a call that does the same thing `times` times, and prints what one of them takes.
    pub fn batch(&mut self, name: &str, times: u32, mut call: impl FnMut()) {
        let nanoseconds = fastest(times, &mut call);
        let allocations = allocation_counter::measure(&mut call).count_total;
        self.print(name, nanoseconds, Some(allocations / u64::from(times)));
    }

    /// As [`batch`](Self::batch), of what several threads do together: the time of all of it by the
    /// number of times. Allocations are counted on one thread only, so there are none to print.
    pub fn threads(&mut self, name: &str, times: u32, mut call: impl FnMut()) {
        let nanoseconds = fastest(times, &mut call);
        self.print(name, nanoseconds, None);
    }

    /// Measures a case that writes to the standard output, which goes to `/dev/null` meanwhile.
    ///
    /// # Errors
    ///
    /// Fails where the standard output cannot be redirected.
    pub fn silent_row(&mut self, name: &str, mut call: impl FnMut()) -> io::Result<()> {
        io::stdout().flush()?;
        let output = rustix::io::dup(rustix::stdio::stdout())?;
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        let nanoseconds = fastest(1, &mut call);
        let allocations = allocation_counter::measure(&mut call).count_total;
        io::stdout().flush()?;
        rustix::stdio::dup2_stdout(&output)?;
        self.print(name, nanoseconds, Some(allocations));
        Ok(())
    }

    fn print(&mut self, name: &str, nanoseconds: f64, allocations: Option<u64>) {
        let baseline = *self.baseline.get_or_insert(nanoseconds);
        let ratio = nanoseconds / baseline;
        let allocations = allocations.map_or_else(|| "-".to_owned(), |count| count.to_string());
        println!("{name:<48} {nanoseconds:>9.1} {ratio:>7.2} {allocations:>8}");
    }
}

/// Returns the nanoseconds of one time in the fastest round.
fn fastest(times: u32, call: &mut impl FnMut()) -> f64 {
    let calls = CALLS.div_ceil(times);
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed()
    };
    // The first round warms up.
    round(call);
    let start = Instant::now();
    let mut fastest = round(call);
    for _ in 1..ROUNDS {
        if start.elapsed() > PATIENCE {
            break;
        }
        fastest = fastest.min(round(call));
    }
    fastest.as_secs_f64() * 1e9 / f64::from(calls * times)
}
