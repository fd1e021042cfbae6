use tracing::{Level, level_filters::LevelFilter};

use crate::env::{self, Env};

/// Returns the word that Lambda's log filter knows.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERROR",
    }
}

/// Returns the level that Lambda's advanced logging controls set.
pub(super) fn set_by_lambda(env: &Env) -> Option<LevelFilter> {
    env.get(env::LAMBDA_LOG_LEVEL).and_then(parse)
}

/// Returns the level the environment asks for.
pub(super) fn from_env(env: &Env) -> Option<LevelFilter> {
    [env::LOG_LEVEL, env::LOG_LEVEL_ALIAS]
        .into_iter()
        .find_map(|name| env.get(name).and_then(parse))
}

/// Reads a level in the words of Lambda or of the other toolkits, in any case.
fn parse(word: &str) -> Option<LevelFilter> {
    Some(match word.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" | "FATAL" | "CRITICAL" => LevelFilter::ERROR,
        "SILENT" | "OFF" => LevelFilter::OFF,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_variable_wins_over_the_older() {
        let env = Env::from([(env::LOG_LEVEL, "debug"), (env::LOG_LEVEL_ALIAS, "ERROR")]);
        assert_eq!(from_env(&env), Some(LevelFilter::DEBUG));
        let env = Env::from([(env::LOG_LEVEL_ALIAS, "critical")]);
        assert_eq!(from_env(&env), Some(LevelFilter::ERROR));
    }

    #[test]
    fn an_unknown_word_counts_as_unset() {
        let env = Env::from([(env::LOG_LEVEL, "loud"), (env::LOG_LEVEL_ALIAS, "warning")]);
        assert_eq!(from_env(&env), Some(LevelFilter::WARN));
        assert_eq!(set_by_lambda(&env), None);
    }
}
