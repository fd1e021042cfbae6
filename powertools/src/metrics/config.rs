use std::{
    borrow::Cow,
    cell::Cell,
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::warn;

use super::{
    Metric, MetricsError, Unit,
    batch::{Batch, Configured, Flushed, Series},
    compat::Toolkit,
    dimension::Dimension,
    emf::{self, Frame},
    invocation_metrics::Switches,
    layer::check_namespace,
    limits::{TIMESTAMP_FUTURE, TIMESTAMP_PAST},
    lines::Lines,
};
use crate::{Invocation, output::Output};

/// The metric of a cold start and its dimension, as the other toolkits name them.
pub(super) const COLD_START: Metric = Metric::new("ColdStart", Unit::Count);
const FUNCTION_NAME: &str = "function_name";
pub(super) const SERVICE: &str = "service";

/// What the layer was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    /// Empty if there is none.
    pub(super) namespace: String,
    pub(super) configured: Configured,
    pub(super) cold_start: bool,
    pub(super) switches: Switches,
    pub(super) function_name: Option<String>,
    pub(super) disabled: bool,
    pub(super) destination: Destination,
    pub(super) compat: Option<Toolkit>,
    pub(super) clock: Clock,
    pub(super) frame: CachedFrame,
}

/// Where metrics go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// To log lines in the embedded metric format.
    Lines(Output),
    /// To something else.
    #[cfg_attr(
        not(feature = "metrics-cloudwatch"),
        allow(dead_code, reason = "the only one there is")
    )]
    Sink(Arc<dyn Sink>),
}

/// Takes metrics in another form than EMF.
pub(super) trait Sink: fmt::Debug + Send + Sync {
    /// Takes what was flushed.
    ///
    /// The recorder is locked meanwhile: what is called here must neither wait, nor log, nor record.
    fn take(&self, flushed: &Flushed<'_>);

    /// Does what taking has left to do. No lock is held.
    fn taken(&self);
}

thread_local! {
    /// Whether a clock that was passed in is telling the time.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Tells the time. `None` is the system's.
#[derive(Clone, Default)]
pub(super) struct Clock(pub(super) Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

/// What all objects without dimensions of their own begin with, made with the first of them. A
/// clone may be changed, so it begins without.
#[derive(Debug, Default)]
pub(super) struct CachedFrame(OnceLock<Frame>);

impl Config {
    /// Returns what services and recorders share.
    pub(super) fn prepared(&self) -> Arc<Self> {
        let mut config = self.clone();
        // The environment may have said anything.
        if let Some(service) = config.configured.service.take()
            && !config.disabled
        {
            match config.dimension(SERVICE, &service.value) {
                Ok(service) => config.configured.service = Some(service),
                Err(error) => {
                    let error: &(dyn Error + 'static) = &error;
                    warn!(error, "left out of the metrics");
                }
            }
        }
        config.configured = config.prepared_configured();
        Arc::new(config)
    }

    /// Returns the configured dimensions as they are in the chosen form.
    pub(super) fn prepared_configured(&self) -> Configured {
        let mut configured = self.configured.clone();
        if let Some(toolkit) = self.compat {
            toolkit.prepare(&mut configured);
        }
        configured
    }

    /// Makes a dimension by the rules. Runs the value's own code, so no lock may be held.
    pub(super) fn dimension(
        &self,
        name: impl Into<Cow<'static, str>>,
        value: &impl fmt::Display,
    ) -> Result<Dimension, MetricsError> {
        match self.compat {
            None => Dimension::new(name, value),
            Some(toolkit) => toolkit.dimension(name.into(), value.to_string()),
        }
    }

    /// Checks what is in all objects.
    ///
    /// # Errors
    ///
    /// Fails if there is no namespace that CloudWatch takes, or if there are more configured
    /// dimensions than another toolkit takes. No metric can be written then.
    pub(super) fn check(&self) -> Result<(), MetricsError> {
        check_namespace(&self.namespace)?;
        // By default there cannot be too many.
        match self.compat {
            Some(_) => self.configured.check_count(),
            None => Ok(()),
        }
    }

    /// Appends what a batch holds as lines, or gives it to the sink. It has been
    /// [checked](Self::check) that it can be written.
    pub(super) fn emit_all(&self, batch: &Batch, timestamp: u64, lines: &mut Lines) {
        let flushed = Flushed {
            timestamp,
            namespace: &self.namespace,
            sets: batch.dimension_sets(&self.configured),
            metadata: &batch.metadata,
            series: &batch.series,
        };
        if !batch.series.is_empty() {
            self.emit(&flushed, lines);
        }
        for group in &batch.groups {
            let flushed = Flushed {
                sets: batch.first_set(&self.configured, &group.dimensions),
                series: &group.series,
                ..flushed
            };
            self.emit(&flushed, lines);
        }
    }

    /// Appends an object as one line, or as several if it is too large for one, or gives it to the
    /// sink.
    pub(super) fn emit(&self, flushed: &Flushed<'_>, lines: &mut Lines) {
        match (&self.destination, self.compat) {
            (Destination::Sink(sink), _) => sink.take(flushed),
            (Destination::Lines(_), None) => {
                let frame = self.frame(flushed);
                lines.push(flushed, |line, flushed| emf::write(line, flushed, frame));
            }
            (Destination::Lines(_), Some(toolkit)) => {
                lines.push(flushed, |line, flushed| toolkit.write(line, flushed));
            }
        }
    }

    /// Writes the lines of [`emit`](Self::emit), each in one write. No lock may be held.
    pub(super) fn write(&self, lines: &Lines) {
        match &self.destination {
            Destination::Sink(sink) => sink.taken(),
            Destination::Lines(output) => {
                for line in lines.iter() {
                    output.write_line(line);
                }
            }
        }
    }

    /// Returns the part of the object that all have whose dimensions are the configured ones.
    fn frame(&self, flushed: &Flushed<'_>) -> Option<&Frame> {
        let sets = &flushed.sets;
        let has_configured_only = sets.added.is_empty()
            && sets.own.is_empty()
            && sets.more.is_empty()
            && std::ptr::eq(sets.configured, &*self.configured.dimensions)
            && std::ptr::eq(flushed.namespace, &*self.namespace)
            && sets.service.is_some() == self.configured.service.is_some();
        has_configured_only
            .then(|| (self.frame.0).get_or_init(|| Frame::new(flushed.namespace, flushed.sets)))
    }

    /// Writes the line that says that an invocation is a cold start.
    ///
    /// It is an object of its own: the other metrics are not to be split by the function's name.
    ///
    /// # Errors
    ///
    /// Fails if there is no namespace that CloudWatch takes.
    pub(super) fn write_cold_start(&self, invocation: &Invocation) -> Result<(), MetricsError> {
        check_namespace(&self.namespace)?;
        let name = self
            .function_name
            .as_deref()
            .unwrap_or(&invocation.context().env_config.function_name);
        // Outside of Lambda there may be none.
        let function_name = Dimension::new(FUNCTION_NAME, &name).ok();
        let configured = Configured {
            dimensions: function_name.into_iter().collect(),
            service: self.configured.service.clone(),
            rules: self.configured.rules,
        };
        let mut lines = Lines::default();
        let flushed = Flushed {
            timestamp: self.timestamp(),
            namespace: &self.namespace,
            sets: configured.sets(&[]),
            metadata: &[],
            series: &[Series::new(COLD_START, 1.0)],
        };
        self.emit(&flushed, &mut lines);
        self.write(&lines);
        Ok(())
    }

    /// Returns the time now: epoch, in milliseconds. Runs the clock's own code, so no lock may be
    /// held.
    pub(super) fn timestamp(&self) -> u64 {
        milliseconds(self.clock.now()).unwrap_or(0)
    }

    /// Returns a time as it is in an object, and whether CloudWatch takes it.
    ///
    /// # Errors
    ///
    /// Fails if CloudWatch does not, and neither do the rules.
    pub(super) fn check_timestamp(
        &self,
        timestamp: SystemTime,
    ) -> Result<(u64, bool), MetricsError> {
        let now = self.clock.now();
        let in_window = match timestamp.duration_since(now) {
            Ok(ahead) => ahead <= TIMESTAMP_FUTURE,
            Err(back) => back.duration() <= TIMESTAMP_PAST,
        };
        match milliseconds(timestamp) {
            Some(ms) if in_window || self.configured.rules.any_timestamp => Ok((ms, in_window)),
            _ => Err(MetricsError::Timestamp { timestamp }),
        }
    }
}

impl Clock {
    /// A clock that records metrics itself, which are written at once, would ask itself without end:
    /// from within it, the time is the system's.
    pub(super) fn now(&self) -> SystemTime {
        struct Telling;

        impl Drop for Telling {
            fn drop(&mut self) {
                let _ = TELLING.try_with(|telling| telling.set(false));
            }
        }

        let Some(now) = &self.0 else {
            return SystemTime::now();
        };
        // At the end of a thread nothing more is known of it.
        if TELLING.try_with(|telling| telling.replace(true)) == Ok(true) {
            return SystemTime::now();
        }
        let _telling = Telling;
        now()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for Destination {
    fn default() -> Self {
        Self::Lines(Output::default())
    }
}

impl Clone for CachedFrame {
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn milliseconds(time: SystemTime) -> Option<u64> {
    let since: Duration = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
