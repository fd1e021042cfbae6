use std::{fmt, io::Write, sync::Arc, time::SystemTime};

use serde::Serialize;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

use super::{
    Format, JsonFormat, LoggerError, PrettyFormat,
    buffer::Buffer,
    fields::Fields,
    level::Levels,
    redact::Redaction,
    sampling::Sampler,
    subscriber::{LineWriter, Lines},
    threshold::Threshold,
};
use crate::{
    env::{self, Env},
    json,
    names::SERVICE_UNDEFINED,
    output::Output,
};

/// How events become lines; makes the layer for `tracing_subscriber`.
///
/// See the [module docs](super).
#[derive(Clone)]
#[must_use]
pub struct Logger {
    service: String,
    format: Arc<dyn Format>,
    keys: Fields,
    redaction: Redaction,
    threshold: Threshold,
    output: Output,
    now: fn() -> SystemTime,
    /// Whether somebody has asked for a level.
    is_level_set: bool,
    /// What is wrong with the environment: told by the first lines.
    complaints: Vec<String>,
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
    /// | `POWERTOOLS_LOG_LEVEL`, `LOG_LEVEL` | [`level`](Self::level), and those of targets: `INFO,hyper=WARN` | `INFO` |
    /// | `AWS_LAMBDA_LOG_LEVEL` | the level, over everything else | |
    /// | `POWERTOOLS_LOGGER_SAMPLE_RATE` | [`sample_rate`](Self::sample_rate) | 0 |
    /// | `TZ` | [`JsonFormat::time_zone`], a name with feature `logging-time-zone`; Lambda itself sets `:UTC` | UTC |
    /// | `POWERTOOLS_DEV` | [`PrettyFormat`] | `false` |
    ///
    /// Levels are `TRACE`, `DEBUG`, `INFO`, `WARN` (`WARNING`), `ERROR`, `FATAL` (`CRITICAL`) and
    /// `OFF` (`SILENT`). What cannot be read counts as unset, and one warning line names the
    /// variable: a wrong setting must not stop a function.
    pub fn from_env(env: &Env) -> Self {
        let mut complaints = Vec::new();
        let mut read = Reader {
            env,
            complaints: &mut complaints,
        };
        let levels = read
            .parsed(env::LOG_LEVEL, str::parse)
            .or_else(|| read.parsed(env::LOG_LEVEL_ALIAS, str::parse));
        let set_by_lambda = read.parsed(env::LAMBDA_LOG_LEVEL, str::parse);
        let sampler = read.parsed(env::LOGGER_SAMPLE_RATE, Sampler::parse);
        let json = read.parsed(env::TIME_ZONE, |zone| {
            JsonFormat::new().system_time_zone(zone)
        });
        let format: Arc<dyn Format> = if env.flag(env::DEV) == Some(true) {
            Arc::new(PrettyFormat::new())
        } else {
            Arc::new(json.unwrap_or_default())
        };
        Self {
            service: env
                .get(env::SERVICE_NAME)
                .unwrap_or(SERVICE_UNDEFINED)
                .to_owned(),
            format,
            keys: Fields::default(),
            redaction: Redaction::default(),
            threshold: Threshold {
                levels: levels
                    .clone()
                    .unwrap_or_else(|| Levels::new(LevelFilter::INFO)),
                set_by_lambda,
                sampler: sampler.filter(|sampler| sampler.rate() > 0.0),
                buffer: None,
            },
            output: Output::default(),
            now: SystemTime::now,
            is_level_set: levels.is_some(),
            complaints,
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
        self.threshold.levels.set_default(level.into());
        self.is_level_set = true;
        self
    }

    /// Sets the level of one target, a module or crate, and of what is inside it.
    ///
    /// Defaults to the level of all. A target with a level of its own keeps it also in an
    /// invocation that is sampled, buffered, or given a level by its request.
    pub fn target_level(mut self, target: impl Into<String>, level: Level) -> Self {
        self.threshold
            .levels
            .set_target(target.into(), level.into());
        self
    }

    /// Sets the levels as text, `INFO,hyper=WARN`, as the environment has them.
    ///
    /// Defaults to [`level`](Self::level)'s.
    ///
    /// # Errors
    ///
    /// Fails if a word is no level.
    pub fn levels(mut self, levels: &str) -> Result<Self, LoggerError> {
        self.threshold.levels = levels.parse()?;
        self.is_level_set = true;
        Ok(self)
    }

    /// Has this share of the invocations log at `DEBUG`, drawn anew for each.
    ///
    /// Defaults to `POWERTOOLS_LOGGER_SAMPLE_RATE`, then to 0. Where there is a rate, lines have it
    /// as `sampling_rate`.
    ///
    /// # Errors
    ///
    /// Fails for a rate that is not from 0 to 1.
    pub fn sample_rate(mut self, rate: f64) -> Result<Self, LoggerError> {
        self.threshold.sampler = Some(Sampler::new(rate)?).filter(|sampler| sampler.rate() > 0.0);
        Ok(self)
    }

    /// Sets where chance comes from when an invocation is drawn: a number from 0 to below 1.
    ///
    /// Defaults to a random one. To be called after [`sample_rate`](Self::sample_rate).
    pub fn with_random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.threshold.sampler = self
            .threshold
            .sampler
            .map(|sampler| sampler.with_random(random));
        self
    }

    /// Holds back less important lines until an error makes them matter; see [`Buffer`].
    ///
    /// Defaults to no buffer.
    pub fn buffer(mut self, buffer: Buffer) -> Self {
        self.threshold.buffer = Some(buffer);
        self
    }

    /// Adds a key to every line of the process; one of the same name is replaced.
    ///
    /// Defaults to none. What belongs to one invocation goes into
    /// [`append_key`](super::append_key).
    pub fn key(mut self, name: &str, value: impl Serialize) -> Self {
        self.keys.insert(name, value);
        self
    }

    /// Never writes the values of fields of these names, whatever they are, at the top of the line
    /// or inside nested JSON: `"*****"` stands in their place. A string that is the text of an object
    /// or array, such as the body in an event of API Gateway, is looked into as well.
    ///
    /// Defaults to none. Other text is not looked at: neither messages, nor what is recorded with
    /// `?`, which is a value's `Debug` text.
    pub fn redact<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        for name in names {
            self.redaction.add(name.as_ref());
        }
        self
    }

    /// Sets how lines look.
    ///
    /// Defaults to [`JsonFormat`], and to [`PrettyFormat`] when `POWERTOOLS_DEV` is on.
    pub fn with_format(mut self, format: impl Format) -> Self {
        self.format = Arc::new(format);
        self
    }

    /// Sets where lines are written; each is one call of `write`.
    ///
    /// Defaults to the standard output, which Lambda sends to CloudWatch Logs. What cannot be
    /// written is lost; the invocation goes on.
    pub fn with_writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.output = Output::new(writer);
        self
    }

    /// Makes the layer that writes the lines, for a `tracing_subscriber` registry.
    ///
    /// Records of the crate `log` arrive too when the registry is installed by `init`.
    pub fn subscriber_layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut service = Vec::new();
        json::write_text(&mut service, &self.service);
        let writer = LineWriter {
            format: Arc::clone(&self.format),
            service,
            keys: self.keys.clone(),
            redaction: self.redaction.clone(),
            threshold: self.threshold.clone(),
            output: self.output.clone(),
            now: self.now,
        };
        for complaint in self.complaints.iter().chain(&self.filtered_by_lambda()) {
            writer.warn(&self.keys, None, complaint);
        }
        Lines {
            writer: Arc::new(writer),
        }
        .with_filter(self.threshold.clone())
    }

    /// Says what was asked for and Lambda's own level leaves out.
    fn filtered_by_lambda(&self) -> Option<String> {
        let Threshold {
            levels,
            set_by_lambda,
            sampler,
            buffer,
        } = &self.threshold;
        let lambda = set_by_lambda.as_ref()?.max();
        let debug = (sampler.is_some() || buffer.is_some()).then_some(LevelFilter::DEBUG);
        let asked = debug
            .into_iter()
            .chain(self.is_level_set.then(|| levels.max()))
            .max()?;
        (asked > lambda).then(|| {
            format!(
                "lines at {asked} are not written: {} is {lambda}",
                env::LAMBDA_LOG_LEVEL
            )
        })
    }
}

/// Reads variables, and notes what is wrong with them.
struct Reader<'a> {
    env: &'a Env,
    complaints: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, LoggerError>,
    ) -> Option<T> {
        match parse(self.env.get(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.complaints.push(format!("{name} is ignored: {error}"));
                None
            }
        }
    }
}

impl Default for Logger {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("service", &self.service)
            .field("format", &self.format)
            .field("threshold", &self.threshold)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}
