use std::{borrow::Cow, fmt, sync::Arc};

use tower_layer::Layer;

#[cfg(feature = "http")]
use super::Http;
use super::{CaptureResponse, CaptureSource, TraceService, config::Config};
#[cfg(feature = "http")]
use crate::classify::ByStatus;
use crate::{Env, classify::ByResult, env};

/// Gives each invocation a span under the function's own segment.
///
/// `C` says how an invocation ended, `D` what the trace shows of its request and response.
///
/// See the [module docs](super).
#[derive(Clone)]
#[must_use]
pub struct TraceLayer<C = ByResult, D = ()> {
    config: Config<C, D>,
    /// Whether the environment lets responses be captured.
    may_capture_response: bool,
}

impl TraceLayer {
    /// Makes a layer that is configured by the environment of the process.
    pub fn new() -> Self {
        Self::from_env(&Env::process())
    }

    /// Makes a layer that is configured by `env`:
    /// [`POWERTOOLS_TRACER_CAPTURE_ERROR`](env::TRACER_CAPTURE_ERROR) and
    /// [`POWERTOOLS_TRACER_CAPTURE_RESPONSE`](env::TRACER_CAPTURE_RESPONSE).
    pub fn from_env(env: &Env) -> Self {
        Self {
            config: Config {
                name: None,
                capture_error: env.flag(env::TRACER_CAPTURE_ERROR).unwrap_or(true),
                classify: ByResult,
                details: (),
            },
            may_capture_response: env.flag(env::TRACER_CAPTURE_RESPONSE) != Some(false),
        }
    }
}

impl<C, D> TraceLayer<C, D> {
    /// Sets the handler's name: the span is called `## <name>`.
    ///
    /// Defaults to the function's name. (The other toolkits take the name of the handler from the
    /// environment; on a custom runtime it is `bootstrap` for everyone.)
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Sets whether a handler's error appears in the trace, as an exception and as metadata
    /// `<name> error`. Otherwise the span is marked as failed, and nothing else.
    ///
    /// What appears depends on the error's type, as the runtime asks for no more of it than `Debug`:
    ///
    /// | type | shown |
    /// |---|---|
    /// | [`lambda_runtime::Error`], `Box<dyn Error>`, [`std::io::Error`] | message and sources; the type of a boxed error is lost, it is told as `Error` |
    /// | [`lambda_runtime::Diagnostic`] | its type and its message |
    /// | `String`, `&'static str` | the text |
    /// | any other, after [`capture_source`](Self::capture_source) | its type's name, message and sources |
    /// | any other | its type's name alone |
    ///
    /// Never its `Debug` text: that shows fields which the author of its message left out, and more
    /// people read traces than logs. The runtime has it in the log. The same goes for these types in
    /// the errors of this crate's layers (`DecodeError`, `DeadlineError`).
    ///
    /// A panic and a cancellation are told in any case: with words of this crate only.
    ///
    /// Defaults to [`POWERTOOLS_TRACER_CAPTURE_ERROR`](env::TRACER_CAPTURE_ERROR), or else to `true`.
    pub fn capture_error(mut self, on: bool) -> Self {
        self.config.capture_error = on;
        self
    }

    /// Sets how it is decided whether an invocation succeeded, or else whose fault it was.
    ///
    /// Defaults to [`ByResult`]: every error is a fault. Of an error that is classified as a success
    /// nothing is shown.
    ///
    /// ```
    /// use powertools::{classify::Outcome, trace::TraceLayer};
    /// use std::io;
    ///
    /// // An order that is refused is its sender's mistake.
    /// let layer = TraceLayer::new().classify_with(|result: Result<&(), &io::Error>| match result {
    ///     Ok(()) => Outcome::Success,
    ///     Err(error) if error.kind() == io::ErrorKind::InvalidInput => Outcome::Error,
    ///     Err(_) => Outcome::Fault,
    /// });
    /// # drop(layer);
    /// ```
    pub fn classify_with<C2>(self, classify: C2) -> TraceLayer<C2, D> {
        self.with(|config| Config {
            name: config.name,
            capture_error: config.capture_error,
            classify,
            details: config.details,
        })
    }

    /// Shows also errors of the handler's own types with their message and their sources, see
    /// [`capture_error`](Self::capture_error).
    ///
    /// Asks for an error that is [`std::error::Error`], which [`lambda_runtime::Error`] is not; that
    /// one is shown anyway. An error inside one of this crate's layers' errors has its message, but not
    /// its sources then.
    ///
    /// ```
    /// use lambda_runtime::LambdaEvent;
    /// use powertools::trace::TraceLayer;
    /// use tower::ServiceBuilder;
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the payment was refused")]
    /// struct Refused {
    ///     card: String, // Only `Debug` shows it.
    /// }
    ///
    /// let service = ServiceBuilder::new()
    ///     .layer(TraceLayer::new().capture_source())
    ///     .service_fn(|_: LambdaEvent<()>| async { Err::<(), _>(Refused { card: "4111".into() }) });
    /// # drop(service);
    /// ```
    pub fn capture_source(self) -> TraceLayer<C, (D, CaptureSource)> {
        self.with_details(CaptureSource::new())
    }

    /// Adds the handler's response to its span, as metadata `<name> response`.
    ///
    /// Off unless this is called, as responses hold tokens and personal data; and it asks for a
    /// response that is [`Serialize`](serde::Serialize), once more and for sampled traces only.
    /// [`POWERTOOLS_TRACER_CAPTURE_RESPONSE`](env::TRACER_CAPTURE_RESPONSE) still switches it off.
    ///
    /// A response of more than 16 KB of JSON is left out, with a warning; so is, without one, a
    /// response that is `null`.
    pub fn capture_response(self) -> TraceLayer<C, (D, CaptureResponse)> {
        let details = CaptureResponse::new(self.may_capture_response);
        self.with_details(details)
    }

    /// Shows what request the handler answered, and how: for handlers of `http::Request`, as
    /// lambda_http and axum have them.
    ///
    /// The span shows the method, URL, user agent and address of the client, and the status and
    /// length of the response. The status decides how the invocation ended, instead of what
    /// [`classify_with`](Self::classify_with) said before.
    ///
    /// Of the URL the query is left out: it may hold tokens. The path is shown, so what is secret
    /// does not belong there. The address is the last one of `X-Forwarded-For`, which the caller of
    /// the function adds, API Gateway for instance; all others there are the client's own word. Still
    /// the document says where it comes from (`x_forwarded_for`), as who may invoke the function
    /// without such a caller writes what he likes.
    #[cfg(feature = "http")]
    pub fn http(self) -> TraceLayer<ByStatus, (D, Http)> {
        self.classify_with(ByStatus).with_details(Http::new())
    }

    fn with_details<D2>(self, details: D2) -> TraceLayer<C, (D, D2)> {
        self.with(|config| Config {
            name: config.name,
            capture_error: config.capture_error,
            classify: config.classify,
            details: (config.details, details),
        })
    }

    fn with<C2, D2>(
        self,
        change: impl FnOnce(Config<C, D>) -> Config<C2, D2>,
    ) -> TraceLayer<C2, D2> {
        TraceLayer {
            config: change(self.config),
            may_capture_response: self.may_capture_response,
        }
    }
}

impl Default for TraceLayer {
    /// As [`TraceLayer::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl<S, C: Clone, D: Clone> Layer<S> for TraceLayer<C, D> {
    type Service = TraceService<S, C, D>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService::new(inner, Arc::new(self.config.clone()))
    }
}

impl<C, D> fmt::Debug for TraceLayer<C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLayer")
            .field("name", &self.config.name)
            .field("capture_error", &self.config.capture_error)
            .finish_non_exhaustive()
    }
}
