use std::{fmt, str::FromStr};

use tracing::level_filters::LevelFilter;

use super::LoggerError;

/// Which levels are written: one for all, and others for some targets.
///
/// Written as `INFO,hyper=WARN,orders::stock=DEBUG`. A target stands for itself and for what is
/// inside it; the longest one that fits counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    default: LevelFilter,
    /// Whether of the `ERROR` lines only the fatal ones are written, which `tracing` has no level for.
    is_fatal_only: bool,
    targets: Vec<(String, LevelFilter)>,
}

impl Levels {
    pub(super) const fn new(default: LevelFilter) -> Self {
        Self {
            default,
            is_fatal_only: false,
            targets: Vec::new(),
        }
    }

    pub(super) fn set_default(&mut self, level: LevelFilter) {
        self.default = level;
        self.is_fatal_only = false;
    }

    pub(super) const fn is_fatal_only(&self) -> bool {
        self.is_fatal_only
    }

    pub(super) fn set_target(&mut self, target: String, level: LevelFilter) {
        self.targets.retain(|(known, _)| *known != target);
        self.targets.push((target, level));
    }

    pub(super) fn of(&self, target: &str) -> LevelFilter {
        self.of_own(target).unwrap_or(self.default)
    }

    /// Returns the level of a target that has one of its own.
    pub(super) fn of_own(&self, target: &str) -> Option<LevelFilter> {
        let fits = |name: &str| {
            let rest = target.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let fitting = self.targets.iter().filter(|(name, _)| fits(name));
        fitting
            .max_by_key(|(name, _)| name.len())
            .map(|(_, level)| *level)
    }

    /// Returns the most verbose of all levels.
    pub(super) fn max(&self) -> LevelFilter {
        let targets = self.targets.iter().map(|(_, level)| *level);
        targets.fold(self.default, Ord::max)
    }
}

impl FromStr for Levels {
    type Err = LoggerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || LoggerError::Level {
            value: text.to_owned(),
        };
        let mut levels = Self::new(LevelFilter::INFO);
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                Some((target, level)) if !target.trim().is_empty() => {
                    let level = parse(level.trim()).ok_or_else(refused)?;
                    levels.set_target(target.trim().to_owned(), level);
                }
                Some(_) => return Err(refused()),
                None => {
                    levels.set_default(parse(part).ok_or_else(refused)?);
                    levels.is_fatal_only = is_fatal(part);
                }
            }
        }
        Ok(levels)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fatal_only {
            f.write_str("FATAL")?;
        } else {
            self.default.fmt(f)?;
        }
        self.targets
            .iter()
            .try_for_each(|(target, level)| write!(f, ",{target}={level}"))
    }
}

fn is_fatal(word: &str) -> bool {
    ["FATAL", "CRITICAL"]
        .iter()
        .any(|fatal| word.eq_ignore_ascii_case(fatal))
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_target_that_fits_counts() {
        let levels: Levels = "warn, shop=info, shop::stock=TRACE".parse().unwrap();
        assert_eq!(levels.of("hyper"), LevelFilter::WARN);
        assert_eq!(levels.of("shop"), LevelFilter::INFO);
        assert_eq!(levels.of("shop::orders"), LevelFilter::INFO);
        assert_eq!(levels.of("shop::stock::db"), LevelFilter::TRACE);
        assert_eq!(levels.of("shopping"), LevelFilter::WARN);
        assert_eq!(levels.max(), LevelFilter::TRACE);
    }

    #[test]
    fn what_is_no_level_is_named() {
        for wrong in ["loud", "", "INFO,", "a=loud", "=INFO", "INFO,=WARN"] {
            let error = wrong.parse::<Levels>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn levels_are_read_in_the_words_of_every_toolkit() {
        assert_eq!(parse("warning"), Some(LevelFilter::WARN));
        assert_eq!(parse("Critical"), Some(LevelFilter::ERROR));
        assert_eq!(parse("silent"), Some(LevelFilter::OFF));
    }

    proptest! {
        #[test]
        fn levels_are_read_as_they_are_shown(text in "(OFF|FATAL|ERROR|WARN|INFO|DEBUG|TRACE)(,[a-z:]{1,8}=(OFF|ERROR|INFO|TRACE)){0,4}") {
            let levels: Levels = text.parse().unwrap();
            prop_assert_eq!(levels.to_string().to_uppercase().parse::<Levels>().unwrap().default, levels.default);
            prop_assert_eq!(levels.to_string().parse::<Levels>().unwrap(), levels);
        }

        #[test]
        fn garbage_never_panics(text in any::<String>()) {
            let _ = text.parse::<Levels>();
        }
    }
}
