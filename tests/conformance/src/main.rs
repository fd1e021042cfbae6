//! Reads cases from standard input, a line each, and writes the library's answers.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        serde_json::to_writer(&mut output, &conformance::answer(&line))?;
        output.write_all(b"\n")?;
    }
    output.flush()
}
