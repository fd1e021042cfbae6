//! The environment variables the tools read.
//!
//! Names and meanings are those of the other Powertools toolkits. Everywhere the same order
//! holds: what the code says, then the environment, then the default.

use std::{collections::HashMap, fmt};

/// The service's name: the `service` log key, metric dimension and trace annotation.
pub const SERVICE_NAME: &str = "POWERTOOLS_SERVICE_NAME";
/// The least severe level that is logged, before [`LOG_LEVEL_ALIAS`].
pub const LOG_LEVEL: &str = "POWERTOOLS_LOG_LEVEL";
/// The older name of [`LOG_LEVEL`].
pub const LOG_LEVEL_ALIAS: &str = "LOG_LEVEL";
/// The level set by Lambda's advanced logging controls; it wins over everything else.
pub const LAMBDA_LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";
/// The share of invocations that are logged at `DEBUG`, from 0 to 1.
pub const LOGGER_SAMPLE_RATE: &str = "POWERTOOLS_LOGGER_SAMPLE_RATE";
/// Whether the event of each invocation is logged.
pub const LOGGER_LOG_EVENT: &str = "POWERTOOLS_LOGGER_LOG_EVENT";
/// The time zone of the times in log lines.
pub const TIME_ZONE: &str = "TZ";
/// Whether the function is being developed: log lines are for people, and metrics are left out
/// unless [`METRICS_DISABLED`] says otherwise.
pub const DEV: &str = "POWERTOOLS_DEV";
/// The CloudWatch namespace of the metrics.
pub const METRICS_NAMESPACE: &str = "POWERTOOLS_METRICS_NAMESPACE";
/// Whether metrics are left out.
pub const METRICS_DISABLED: &str = "POWERTOOLS_METRICS_DISABLED";
/// The value of the `function_name` dimension of the cold-start metric.
pub const METRICS_FUNCTION_NAME: &str = "POWERTOOLS_METRICS_FUNCTION_NAME";
/// Whether traces are left out, as Powertools for Python names it.
pub const TRACE_DISABLED: &str = "POWERTOOLS_TRACE_DISABLED";
/// How many milliseconds before its deadline an invocation's telemetry is brought out; ours, the
/// other toolkits have no such tool.
pub const DEADLINE_MARGIN_MS: &str = "POWERTOOLS_DEADLINE_MARGIN_MS";
/// Whether a thread watches over handlers that block theirs; ours as well.
pub const DEADLINE_WATCHDOG: &str = "POWERTOOLS_DEADLINE_WATCHDOG";
/// How many seconds old a cached parameter may be.
pub const PARAMETERS_MAX_AGE: &str = "POWERTOOLS_PARAMETERS_MAX_AGE";
/// The port of the AWS AppConfig extension.
pub const APPCONFIG_EXTENSION_PORT: &str = "AWS_APPCONFIG_EXTENSION_HTTP_PORT";
/// The port of the AWS Parameters and Secrets extension.
pub const PARAMETERS_SECRETS_EXTENSION_PORT: &str = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
/// The token of the function's credentials, which the AWS Parameters and Secrets extension asks for;
/// set by Lambda.
pub const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// Whether a handler's errors appear in its trace, with their type and message.
pub const TRACER_CAPTURE_ERROR: &str = "POWERTOOLS_TRACER_CAPTURE_ERROR";
/// Whether a handler's responses may appear in its trace, where the code asks for it.
pub const TRACER_CAPTURE_RESPONSE: &str = "POWERTOOLS_TRACER_CAPTURE_RESPONSE";
/// The function's name; set by Lambda, absent elsewhere.
pub const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// Where the X-Ray daemon listens; set by Lambda.
pub const XRAY_DAEMON_ADDRESS: &str = "AWS_XRAY_DAEMON_ADDRESS";

/// The OpenTelemetry collector that spans are sent to instead, its path without `/v1/traces`.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The same with the whole path; it wins over [`OTLP_ENDPOINT`].
pub const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// Environment variables, of the process or made by hand.
///
/// # Examples
///
/// ```
/// use powertools::env::{self, Env};
///
/// let env = Env::from([(env::SERVICE_NAME, "payment"), (env::METRICS_DISABLED, "Yes")]);
/// assert_eq!(env.get(env::SERVICE_NAME), Some("payment"));
/// assert_eq!(env.flag(env::METRICS_DISABLED), Some(true));
/// assert_eq!(env.get(env::METRICS_NAMESPACE), None);
/// ```
#[derive(Clone, Default)]
pub struct Env {
    variables: HashMap<String, String>,
}

impl Env {
    /// Takes the variables the process has now, leaving out what is not Unicode.
    #[must_use]
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns a variable without surrounding white space; an empty one counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Iterates over the variables as they are.
    #[cfg(feature = "parameters")]
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.variables.iter();
        variables.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns a variable as a switch.
    ///
    /// On: `1`, `y`, `yes`, `t`, `true`, `on`. Off: `0`, `n`, `no`, `f`, `false`, `off`. Case does
    /// not matter; any other word counts as unset.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        const ON: [&str; 6] = ["1", "y", "yes", "t", "true", "on"];
        const OFF: [&str; 6] = ["0", "n", "no", "f", "false", "off"];

        let value = self.get(name)?;
        let is_one_of =
            |words: [&str; 6]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        if is_one_of(ON) {
            Some(true)
        } else if is_one_of(OFF) {
            Some(false)
        } else {
            None
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Env {
    fn from(variables: [(K, V); N]) -> Self {
        variables.into_iter().collect()
    }
}

/// Shows the names only: a function's environment holds its credentials.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let env = Env::from([("A", ""), ("B", "  "), ("C", " c ")]);
        assert_eq!(
            [env.get("A"), env.get("B"), env.get("C"), env.get("D")],
            [None, None, Some("c"), None]
        );
    }

    #[test]
    fn a_switch_reads_the_words_of_the_other_toolkits() {
        for word in ["1", "y", "YES", "t", "True", "on"] {
            assert_eq!(Env::from([("X", word)]).flag("X"), Some(true), "{word}");
        }
        for word in ["0", "n", "NO", "f", "False", "off"] {
            assert_eq!(Env::from([("X", word)]).flag("X"), Some(false), "{word}");
        }
        assert_eq!(Env::from([("X", "maybe")]).flag("X"), None);
        assert_eq!(Env::default().flag("X"), None);
    }

    #[test]
    fn debug_output_does_not_show_values() {
        let env = Env::from([("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")]);
        assert_eq!(format!("{env:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
