/// What `--help` prints.
pub(crate) const HELP: &str = "\
Runs the reference stack on this machine and acts as its customer.

Usage: cargo demo [OPTIONS]

Options:
      --keep  stay up afterwards, and say how to try it with curl; Ctrl-C ends it
  -h, --help  print this

Environment:
  PYTHON      the Python (3.11 or later) to use, if not the first good one in PATH
  NO_COLOR    set it to anything to have no colours

Exit code: 0 if every step was verified, 1 if one was not, 2 for wrong arguments.
";

/// What the command line asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Stay up after the story.
    pub(crate) keep: bool,
}

/// A command line that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Run(Arguments),
    Help,
}

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Parsed, String> {
        let mut parsed = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--keep" => parsed.keep = true,
                "-h" | "--help" => return Ok(Parsed::Help),
                _ => return Err(format!("unknown argument `{argument}`")),
            }
        }
        Ok(Parsed::Run(parsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Parsed, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_understood_or_refused() {
        assert_eq!(parse(""), Ok(Parsed::Run(Arguments { keep: false })));
        assert_eq!(parse("--keep"), Ok(Parsed::Run(Arguments { keep: true })));
        assert_eq!(parse("--keep --help"), Ok(Parsed::Help));
        assert_eq!(parse("--kepe"), Err("unknown argument `--kepe`".into()));
        assert_eq!(parse("orders"), Err("unknown argument `orders`".into()));
    }
}
