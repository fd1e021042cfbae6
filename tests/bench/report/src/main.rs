//! What the library costs a function: its size, its start, its memory, and a warm invocation through
//! the real runtime. Every figure stands beside that of the same function without the library.
//!
//! `cargo run --release -p bench-report`, on Linux. It builds the function once for each row.
//!
//! What one row has over another includes what the optimiser finds to be unused in the other: where
//! nothing subscribes to `tracing`, not even lambda_runtime's and hyper's own events are in the program.
//! The row `+ a subscriber` has one that does nothing, and with it those.

mod api;

use std::{
    error::Error,
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use api::{Connection, RuntimeApi};

/// What the function is built with.
const VARIANTS: [(&str, &str); 6] = [
    ("bare", ""),
    ("+ a subscriber", "subscriber"),
    ("+ logging", "logging"),
    ("+ metrics", "logging,metrics"),
    ("+ trace", "logging,metrics,trace"),
    ("everything", "everything"),
];

/// How often each variant is started, and how many warm invocations each gets.
const STARTS: usize = 40;
const ROUNDS: usize = 10;
const INVOCATIONS: u32 = 2_000;

/// What the handler is asked to do in the warm invocations.
const WORK: [(&str, &str, bool); 4] = [
    ("nothing, unsampled", "{}", false),
    ("3 spans, sampled", r#"{"spans":3}"#, true),
    (
        "1 line, 2 metrics, 3 spans, unsampled",
        r#"{"lines":1,"metrics":2,"spans":3}"#,
        false,
    ),
    (
        "1 line, 2 metrics, 3 spans, sampled",
        r#"{"lines":1,"metrics":2,"spans":3}"#,
        true,
    ),
];

struct Variant {
    name: &'static str,
    program: PathBuf,
    starts: Vec<Duration>,
    resident_kilobytes: Vec<u64>,
    /// For each kind of work the median time of an invocation and its CPU, of every round.
    warm: [(Vec<Duration>, Vec<Duration>); WORK.len()],
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut variants = Vec::new();
    for (name, features) in VARIANTS {
        variants.push(Variant {
            name,
            program: build(name, features)?,
            starts: Vec::new(),
            resident_kilobytes: Vec::new(),
            warm: Default::default(),
        });
    }
    // Nobody listens, as on Lambda nobody answers; what is sent is taken by the system.
    let daemon = UdpSocket::bind("127.0.0.1:0")?;

    // In turn, so that whatever else the machine does meets all of them.
    for _ in 0..STARTS {
        for variant in &mut variants {
            let (start, _connection, _function) = start(&variant.program, &daemon)?;
            variant.starts.push(start);
        }
    }
    for _ in 0..ROUNDS {
        for variant in &mut variants {
            let (_, mut connection, function) = start(&variant.program, &daemon)?;
            for (work, (times, cpu)) in WORK.iter().zip(&mut variant.warm) {
                let (median, used) = invoke(&mut connection, function.0.id(), work)?;
                times.push(median);
                cpu.push(used);
            }
            variant.resident_kilobytes.push(resident(function.0.id())?);
        }
    }
    print(&mut variants)
}

/// Builds the function and returns where it is.
fn build(name: &str, features: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from);
    let status = Command::new(env!("CARGO"))
        .current_dir(&folder)
        .args(["build", "--release", "--quiet", "-p", "bench-function"])
        .args(["--features", features, "--target-dir"])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("the function was not built: {name}").into());
    }
    let program = target.join("release/bench-function");
    let copy = target
        .join("release")
        .join(format!("bench-function-{}", features.replace(',', "-")));
    fs::copy(program, &copy)?;
    Ok(copy)
}

/// The function's process; dropping it ends the process.
struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the function, and returns how long it took to ask for its first event.
///
/// The function comes last, so that it is dropped first: it would complain of a connection that ends.
fn start(
    program: &Path,
    daemon: &UdpSocket,
) -> Result<(Duration, Connection, Function), Box<dyn Error>> {
    let api = RuntimeApi::start()?;
    let address = api.address()?.to_string();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "my-function")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_XRAY_DAEMON_ADDRESS", daemon.local_addr()?.to_string())
        .env("POWERTOOLS_SERVICE_NAME", "bench")
        .env("POWERTOOLS_METRICS_NAMESPACE", "Bench")
        .stdout(Stdio::null());
    let before = Instant::now();
    let function = Function(command.spawn()?);
    let connection = api.first_next()?;
    Ok((before.elapsed(), connection, function))
}

/// Makes warm invocations; returns their median and the CPU time of one.
fn invoke(
    connection: &mut Connection,
    process: u32,
    (_, event, sampled): &(&str, &str, bool),
) -> Result<(Duration, Duration), Box<dyn Error>> {
    for _ in 0..INVOCATIONS / 10 {
        connection.invoke(event, *sampled)?;
    }
    let before = cpu(process)?;
    let mut times = Vec::new();
    for _ in 0..INVOCATIONS {
        times.push(connection.invoke(event, *sampled)?);
    }
    let used = cpu(process)? - before;
    Ok((median(&mut times), used / INVOCATIONS))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Returns the CPU time of a process of one thread.
fn cpu(process: u32) -> Result<Duration, Box<dyn Error>> {
    let statistics = fs::read_to_string(format!("/proc/{process}/schedstat"))?;
    let nanoseconds = statistics.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn resident(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("the process has no resident memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn print(variants: &mut [Variant]) -> Result<(), Box<dyn Error>> {
    println!(
        "\n{:<15} {:>12} {:>9} {:>10} {:>10} {:>8}",
        "", "size, bytes", "over bare", "start, ms", "over bare", "RSS, kB"
    );
    let mut bare = None;
    for variant in &mut *variants {
        let size = fs::metadata(&variant.program)?.len();
        let start = median(&mut variant.starts).as_secs_f64() * 1e3;
        let (bare_size, bare_start) = *bare.get_or_insert((size, start));
        println!(
            "{:<15} {size:>12} {:>9} {start:>10.2} {:>10.2} {:>8}",
            variant.name,
            size - bare_size,
            start - bare_start,
            variant.resident_kilobytes.iter().min().unwrap_or(&0)
        );
    }
    for (index, (name, ..)) in WORK.iter().enumerate() {
        println!(
            "\n{name}: one warm invocation\n{:<15} {:>10} {:>10} {:>10} {:>10}",
            "", "p50, µs", "over bare", "CPU, µs", "over bare"
        );
        let mut bare = None;
        for variant in &mut *variants {
            let (times, cpu) = &mut variant.warm[index];
            // The calmest round repeats best.
            let least = |times: &[Duration]| {
                times
                    .iter()
                    .min()
                    .map_or(0.0, |time| time.as_secs_f64() * 1e6)
            };
            let (time, cpu) = (least(times), least(cpu));
            let (bare_time, bare_cpu) = *bare.get_or_insert((time, cpu));
            println!(
                "{:<15} {time:>10.1} {:>10.1} {cpu:>10.1} {:>10.1}",
                variant.name,
                time - bare_time,
                cpu - bare_cpu
            );
        }
    }
    Ok(())
}
