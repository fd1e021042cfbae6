//! Checks a document of feature flags, in a CI job say: prints every problem with its path, and exits
//! with 1 if there is one.
//!
//! `feature-flags-check flags.json`, or `feature-flags-check < flags.json`

use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

use powertools::feature_flags::validate;

/// Prints what is wrong with a document, and returns whether nothing is.
fn check(text: &str, mut output: impl Write) -> io::Result<bool> {
    let Err(errors) = validate(text) else {
        return Ok(true);
    };
    for problem in &errors {
        writeln!(output, "{problem}")?;
    }
    if errors.omitted() > 0 {
        writeln!(output, "and {} more", errors.omitted())?;
    }
    Ok(false)
}

fn main() -> io::Result<ExitCode> {
    let text = match env::args_os().nth(1) {
        Some(file) => fs::read_to_string(file)?,
        None => io::read_to_string(io::stdin())?,
    };
    Ok(match check(&text, io::stdout())? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_printed_with_its_path() {
        let document = r#"{
            "new_checkout": {
                "default": false,
                "rules": {"pro": {"when_match": "yes", "conditions": []}}
            }
        }"#;
        let mut output = Vec::new();
        assert!(!check(document, &mut output).unwrap());
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "$.new_checkout.rules.pro.when_match: must be a boolean, not a string\n\
             $.new_checkout.rules.pro.conditions: must not be empty\n"
        );
        assert!(check(r#"{"new_checkout": {"default": false}}"#, Vec::new()).unwrap());
    }
}
