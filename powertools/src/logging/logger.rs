use std::io::Write;

use jiff::Timestamp;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

use super::{
    fields::write_json,
    level,
    subscriber::{JsonLines, Threshold},
};
use crate::{
    env::{self, Env},
    output::Output,
};

/// The `service` of a function that was given no name.
const SERVICE_UNDEFINED: &str = "service_undefined";

/// How events become lines; makes the layer for `tracing_subscriber`.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct Logger {
    service: String,
    level: LevelFilter,
    level_set_by_lambda: Option<LevelFilter>,
    output: Output,
    now: fn() -> Timestamp,
}

impl Logger {
    /// Makes a logger from the process's environment.
    ///
    /// See [`from_env`](Self::from_env).
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a logger from environment variables.
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `POWERTOOLS_SERVICE_NAME` | [`service`](Self::service) | `service_undefined` |
    /// | `POWERTOOLS_LOG_LEVEL`, `LOG_LEVEL` | [`level`](Self::level) | `INFO` |
    /// | `AWS_LAMBDA_LOG_LEVEL` | the level, over everything else | |
    ///
    /// Levels are `TRACE`, `DEBUG`, `INFO`, `WARN` (`WARNING`), `ERROR` (`FATAL`, `CRITICAL`) and
    /// `OFF` (`SILENT`); another word counts as unset.
    pub fn from_env(env: &Env) -> Self {
        Self {
            service: env
                .get(env::SERVICE_NAME)
                .unwrap_or(SERVICE_UNDEFINED)
                .to_owned(),
            level: level::from_env(env).unwrap_or(LevelFilter::INFO),
            level_set_by_lambda: level::set_by_lambda(env),
            output: Output::default(),
            now: Timestamp::now,
        }
    }

    /// Names the service, the key `service` of every line.
    ///
    /// Defaults to `POWERTOOLS_SERVICE_NAME`, then to `service_undefined`.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// Sets the least severe level that is written.
    ///
    /// Defaults to `POWERTOOLS_LOG_LEVEL`, then to `LOG_LEVEL`, then to `INFO`. The level of
    /// Lambda's advanced logging controls, `AWS_LAMBDA_LOG_LEVEL`, wins over all of them: Lambda
    /// would drop the other lines.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level.into();
        self
    }

    /// Sets where lines are written; each is one call of `write`.
    ///
    /// Defaults to the standard output, which Lambda sends to CloudWatch Logs.
    pub fn with_writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.output = Output::new(writer);
        self
    }

    /// Makes the layer that writes the lines, for a `tracing_subscriber` registry.
    pub fn subscriber_layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut service = br#""service":"#.to_vec();
        write_json(&mut service, &self.service);
        let lines = JsonLines {
            service,
            output: self.output.clone(),
            now: self.now,
        };
        lines.with_filter(Threshold(self.level_set_by_lambda.unwrap_or(self.level)))
    }
}

impl Default for Logger {
    fn default() -> Self {
        Self::new()
    }
}
