use std::{any::type_name, fmt};

use tower_layer::Layer;

use super::{LoggingService, threshold};
use crate::env::{self, Env};

/// Opens the invocation that log lines belong to, and takes its correlation id from the request.
///
/// See the [module docs](super).
#[derive(Clone)]
#[must_use]
pub struct LoggingLayer<C = (), L = (), E = ()> {
    pub(super) correlation_id: C,
    pub(super) level: L,
    pub(super) event: E,
    pub(super) log_event: bool,
    pub(super) flush_buffer_on_uncaught_error: bool,
}

impl LoggingLayer {
    /// Makes a layer that looks for nothing in the request; the process's environment says the rest,
    /// see [`from_env`](Self::from_env).
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a layer from environment variables.
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `POWERTOOLS_LOGGER_LOG_EVENT` | [`log_event`](Self::log_event) | `false` |
    pub fn from_env(env: &Env) -> Self {
        Self {
            correlation_id: (),
            level: (),
            event: (),
            log_event: env.flag(env::LOGGER_LOG_EVENT).unwrap_or(false),
            flush_buffer_on_uncaught_error: false,
        }
    }
}

impl Default for LoggingLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C, L, E> LoggingLayer<C, L, E> {
    /// Sets where the correlation id is found, by a closure over the request.
    ///
    /// Defaults to nowhere; a request without one leaves the key out.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::logging::LoggingLayer;
    ///
    /// struct Order { id: String }
    ///
    /// let layer = LoggingLayer::new()
    ///     .correlation_id(|event: &LambdaEvent<Order>| Some(event.payload.id.clone()));
    /// ```
    pub fn correlation_id<D>(self, correlation_id: D) -> LoggingLayer<D, L, E> {
        LoggingLayer {
            correlation_id,
            level: self.level,
            event: self.event,
            log_event: self.log_event,
            flush_buffer_on_uncaught_error: self.flush_buffer_on_uncaught_error,
        }
    }

    /// Sets where the level of a single request is found, by a closure: a header, or the tenant.
    ///
    /// Defaults to nowhere. The request is logged up to that level if it is more than the logger's
    /// own, and less if Lambda's advanced logging controls say so. With a closure here, a call
    /// below the logger's level costs a few nanoseconds where it cost nothing.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::logging::LoggingLayer;
    /// use tracing::Level;
    ///
    /// let layer = LoggingLayer::new().request_level(|event: &LambdaEvent<()>| {
    ///     (event.context.tenant_id.as_deref() == Some("acme")).then_some(Level::DEBUG)
    /// });
    /// ```
    pub fn request_level<D>(self, level: D) -> LoggingLayer<C, D, E> {
        threshold::expect_levels_by_request();
        LoggingLayer {
            correlation_id: self.correlation_id,
            level,
            event: self.event,
            log_event: self.log_event,
            flush_buffer_on_uncaught_error: self.flush_buffer_on_uncaught_error,
        }
    }

    /// Sets where the event is found, if it is to be logged: [`RawEvent`](super::RawEvent), or a
    /// closure that returns JSON.
    ///
    /// Defaults to nowhere. The event's text reaches this layer through a `DecodeLayer` inside of it.
    pub fn with_event<D>(self, event: D) -> LoggingLayer<C, L, D> {
        LoggingLayer {
            correlation_id: self.correlation_id,
            level: self.level,
            event,
            log_event: self.log_event,
            flush_buffer_on_uncaught_error: self.flush_buffer_on_uncaught_error,
        }
    }

    /// Says whether each invocation begins with a line that has the whole event as `event`.
    ///
    /// Defaults to `POWERTOOLS_LOGGER_LOG_EVENT`, then to `false`. It takes
    /// [`with_event`](Self::with_event) to find the event. Events hold personal data and secrets:
    /// see [`Logger::redact`](super::Logger::redact).
    pub fn log_event(mut self, on: bool) -> Self {
        self.log_event = on;
        self
    }

    /// Says whether the lines that were [held back](super::Buffer) are written when the handler
    /// returns an error, panics, or is cancelled.
    ///
    /// Defaults to `false`: then they are dropped, as at the end of every invocation.
    pub fn flush_buffer_on_uncaught_error(mut self, on: bool) -> Self {
        self.flush_buffer_on_uncaught_error = on;
        self
    }
}

impl<S, C: Clone, L: Clone, E: Clone> Layer<S> for LoggingLayer<C, L, E> {
    type Service = LoggingService<S, C, L, E>;

    fn layer(&self, inner: S) -> Self::Service {
        LoggingService::new(inner, self.clone())
    }
}

impl<C, L, E> fmt::Debug for LoggingLayer<C, L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggingLayer")
            .field("correlation_id", &format_args!("{}", type_name::<C>()))
            .field("level", &format_args!("{}", type_name::<L>()))
            .field("event", &format_args!("{}", type_name::<E>()))
            .field("log_event", &self.log_event)
            .field(
                "flush_buffer_on_uncaught_error",
                &self.flush_buffer_on_uncaught_error,
            )
            .finish()
    }
}
