//! Measures pieces of code beside a baseline and prints the ratios.

use std::time::{Duration, Instant};

/// How many calls are timed together.
const CALLS: u32 = 2_000;

/// How many rounds there are; the fastest counts.
const ROUNDS: usize = 200;

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
            "\n{title}\n{:<44} {:>9} {:>7} {:>8}",
            "", "ns", "ratio", "allocs"
        );
        Self { baseline: None }
    }

    /// Measures a case and prints its row.
    pub fn row(&mut self, name: &str, mut call: impl FnMut()) {
        let nanoseconds = fastest(&mut call);
        let allocations = allocation_counter::measure(&mut call).count_total;
        let baseline = *self.baseline.get_or_insert(nanoseconds);
        let ratio = nanoseconds / baseline;
        println!("{name:<44} {nanoseconds:>9.1} {ratio:>7.2} {allocations:>8}");
    }
}

/// Returns the nanoseconds of one call in the fastest round.
fn fastest(call: &mut impl FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        start.elapsed()
    };
    // The first round warms up.
    round(call);
    let fastest = (0..ROUNDS).map(|_| round(call)).min();
    fastest.unwrap_or(Duration::ZERO).as_secs_f64() * 1e9 / f64::from(CALLS)
}
