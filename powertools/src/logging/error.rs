use super::buffer::MAX_BYTES;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a logger cannot be made as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggerError {
    /// A level that nobody knows.
    #[error(
        "`{value}` is no log level: give one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF, and levels of targets as `target=LEVEL`"
    )]
    #[non_exhaustive]
    Level {
        /// What was given.
        value: String,
    },
    /// A rate of sampling that is none.
    #[error("`{value}` is no rate of sampling: give a number from 0 to 1")]
    #[non_exhaustive]
    SampleRate {
        /// What was given.
        value: String,
    },
    /// A buffer that holds nothing.
    #[error("a log buffer has 1 to {MAX_BYTES} bytes, not {bytes}")]
    #[non_exhaustive]
    BufferSize {
        /// What was given.
        bytes: usize,
    },
    /// A level whose lines are never held back.
    #[error("lines up to `{level}` cannot be buffered: give DEBUG, INFO or WARN")]
    #[non_exhaustive]
    BufferLevel {
        /// What was given.
        level: tracing::Level,
    },
    /// A time zone that nobody knows.
    #[error(
        "time zone `{name}` is not known here: give an IANA name or an offset such as `+01:00`"
    )]
    #[non_exhaustive]
    TimeZone {
        /// What was given.
        name: String,
        /// What the time zone database says.
        #[source]
        source: BoxError,
    },
}
