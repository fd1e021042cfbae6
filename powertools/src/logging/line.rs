use std::{fmt, time::SystemTime};

use tracing::Level;

use super::fields::Fields;

/// How events become lines.
///
/// [`JsonFormat`](super::JsonFormat) is the default; [`EcsFormat`](super::EcsFormat) and
/// [`PrettyFormat`](super::PrettyFormat) are others. One of your own gets a [`Line`] with all that
/// is known.
pub trait Format: fmt::Debug + Send + Sync + 'static {
    /// Appends one line, without a line break anywhere in it.
    fn write(&self, line: &Line<'_>, output: &mut Vec<u8>);
}

/// One event, with everything that goes into its line.
pub struct Line<'a> {
    pub(super) level: Level,
    pub(super) is_fatal: bool,
    pub(super) module: &'a str,
    pub(super) number: Option<u32>,
    pub(super) message: &'a [u8],
    pub(super) timestamp: SystemTime,
    pub(super) service: &'a [u8],
    pub(super) sampling_rate: Option<f64>,
    pub(super) fields: &'a Fields,
    pub(super) trace_id: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    /// Returns the level in the words that Lambda's log filter knows: `TRACE`, `DEBUG`, `INFO`,
    /// `WARN`, `ERROR` or `FATAL`.
    ///
    /// Source: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
    #[must_use]
    pub fn level(&self) -> &'static str {
        match self.level {
            Level::TRACE => "TRACE",
            Level::DEBUG => "DEBUG",
            Level::INFO => "INFO",
            Level::WARN => "WARN",
            Level::ERROR if self.is_fatal => "FATAL",
            Level::ERROR => "ERROR",
        }
    }

    /// Returns where the event was logged: the module, and the line in its file.
    #[must_use]
    pub fn location(&self) -> Location<'a> {
        Location {
            module: self.module,
            number: self.number,
        }
    }

    /// Returns the message as JSON: a string as a rule, anything else if it was recorded by
    /// [`json`](super::json()).
    #[must_use]
    pub fn message(&self) -> &'a str {
        as_text(self.message)
    }

    /// Returns when the event was logged.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }

    /// Returns the service's name as a JSON string.
    #[must_use]
    pub fn service(&self) -> &'a str {
        as_text(self.service)
    }

    /// Returns the rate of sampling, if there is any.
    #[must_use]
    pub const fn sampling_rate(&self) -> Option<f64> {
        self.sampling_rate
    }

    /// Returns the keys of the invocation, the spans and the event in their order: the name as a
    /// JSON string, and the value as JSON.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields
            .iter()
            .map(|member| (as_text(member.name), as_text(member.value)))
    }

    /// Returns the `Root` of the invocation's trace header as a JSON string.
    #[must_use]
    pub fn trace_id(&self) -> Option<&'a str> {
        self.trace_id.map(as_text)
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("level", &self.level())
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}

/// JSON is made of `str` and numbers.
fn as_text(json: &[u8]) -> &str {
    str::from_utf8(json).expect("JSON that serde_json wrote is UTF-8")
}

/// A place in the code, shown as `module:line`.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    module: &'a str,
    number: Option<u32>,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.module)?;
        match self.number {
            Some(number) => write!(f, ":{number}"),
            None => Ok(()),
        }
    }
}

impl serde::Serialize for Location<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
