use std::{
    error::Error,
    fmt::{self, Debug},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

type BoxError = Box<dyn Error + Send + Sync>;
/// The source of an error that many get at once.
pub(super) type SharedError = Arc<dyn Error + Send + Sync>;

/// Fetches values from somewhere: a service, a file, a test.
///
/// A provider only fetches. Ages, retries by age, limits, time-outs, and one fetch for all who ask
/// at once are the work of the [`Parameters`](super::Parameters) around it.
///
/// # Examples
///
/// ```
/// use powertools::parameters::{Fetched, ParameterProvider, ProviderError};
///
/// /// Values in files of one directory.
/// struct Files(std::path::PathBuf);
///
/// impl ParameterProvider for Files {
///     type Options = ();
///
///     async fn get(&self, name: &str, (): &()) -> Result<Fetched, ProviderError> {
///         let text = tokio::fs::read_to_string(self.0.join(name)).await;
///         text.map(Fetched::text).map_err(|error| match error.kind() {
///             std::io::ErrorKind::NotFound => ProviderError::not_found(),
///             _ => ProviderError::other().with_source(error),
///         })
///     }
/// }
/// # mod tokio { pub mod fs { pub async fn read_to_string(path: std::path::PathBuf) -> std::io::Result<String> { std::fs::read_to_string(path) } } }
/// ```
pub trait ParameterProvider: Send + Sync + 'static {
    /// Everything but the name that changes the value, such as a version: two reads share what is
    /// cached if both are equal.
    ///
    /// What comes by default is what a read without further words has.
    type Options: Clone + Debug + Default + Eq + Hash + Send + Sync + 'static;

    /// Fetches the value of one name.
    ///
    /// # Errors
    ///
    /// Fails by the [kind](ProviderErrorKind) that decides what happens next.
    fn get(
        &self,
        name: &str,
        options: &Self::Options,
    ) -> impl Future<Output = Result<Fetched, ProviderError>> + Send;

    /// Fetches the values below a path, each with its name relative to it: `db/url` below `/app` for
    /// `/app/db/url`. A path without values gives none.
    ///
    /// Defaults to an error of kind [`Unsupported`](ProviderErrorKind::Unsupported).
    ///
    /// # Errors
    ///
    /// Fails by the [kind](ProviderErrorKind) that decides what happens next.
    fn get_multiple(
        &self,
        path: &str,
        options: &Self::Options,
    ) -> impl Future<Output = Result<Vec<(String, Fetched)>, ProviderError>> + Send {
        let _ = (path, options);
        std::future::ready(Err(ProviderError::unsupported()))
    }
}

impl<P: ParameterProvider> ParameterProvider for Arc<P> {
    type Options = P::Options;

    fn get(
        &self,
        name: &str,
        options: &Self::Options,
    ) -> impl Future<Output = Result<Fetched, ProviderError>> + Send {
        P::get(self, name, options)
    }

    fn get_multiple(
        &self,
        path: &str,
        options: &Self::Options,
    ) -> impl Future<Output = Result<Vec<(String, Fetched)>, ProviderError>> + Send {
        P::get_multiple(self, path, options)
    }
}

/// A value as a [provider](ParameterProvider) hands it over.
///
/// Its memory is wiped when it is dropped, and its `Debug` text does not show it.
///
/// # Examples
///
/// ```
/// use powertools::parameters::Fetched;
///
/// let fetched = Fetched::text("hunter2").version("7");
/// assert_eq!(
///     format!("{fetched:?}"),
///     r#"Fetched { name: None, data: [7 bytes], version: Some("7"), current_for: 0ns }"#
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Fetched {
    name: Option<Arc<str>>,
    data: Data,
    version: Option<String>,
    current_for: Duration,
}

/// A value's text or bytes, wiped when it is dropped.
#[derive(Clone, PartialEq)]
pub(super) enum Data {
    Text(Zeroizing<String>),
    Binary(Zeroizing<Vec<u8>>),
}

impl Fetched {
    /// Makes one of a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Data::Text(Zeroizing::new(text.into())))
    }

    /// Makes one of bytes that are no text, or may be none.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Data::Binary(Zeroizing::new(bytes.into())))
    }

    const fn new(data: Data) -> Self {
        Self {
            name: None,
            data,
            version: None,
            current_for: Duration::ZERO,
        }
    }

    /// Sets which version of the parameter this is. It is no secret.
    ///
    /// Defaults to none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the parameter's whole name, for one that is fetched below a path.
    ///
    /// Defaults to path and relative name with a `/` between them.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets for how long nothing newer can be had, as with a service that says when to ask again;
    /// counted from when the fetch began. No reader's max age makes it be fetched earlier, only a
    /// [forced fetch](super::Get::force_fetch) does, and a max age of zero.
    ///
    /// Defaults to zero.
    pub fn current_for(mut self, time: Duration) -> Self {
        self.current_for = time;
        self
    }

    pub(super) fn into_parts(self) -> (Data, Option<String>, Duration) {
        (self.data, self.version, self.current_for)
    }

    pub(super) fn whole_name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.data.as_bytes().len()
    }
}

impl Data {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        }
    }
}

impl Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.as_bytes().len())
    }
}

/// Why a [provider](ParameterProvider) has no value.
///
/// # Examples
///
/// ```
/// use powertools::parameters::{ProviderError, ProviderErrorKind};
///
/// let error = ProviderError::throttled().with_source("rate exceeded");
/// assert_eq!(error.kind(), ProviderErrorKind::Throttled);
/// ```
#[derive(Clone, Debug)]
pub struct ProviderError {
    kind: ProviderErrorKind,
    source: Option<SharedError>,
}

/// What kind of failure it was, which decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// There is no such parameter. What is cached is forgotten.
    NotFound,
    /// The function may not read it. What is cached is forgotten.
    AccessDenied,
    /// It was asked for too often. What is cached may be served, if the reader said so.
    Throttled,
    /// It took too long. What is cached may be served, if the reader said so.
    TimedOut,
    /// The provider cannot do what it was asked for.
    Unsupported,
    /// The name or the options are none that the provider takes.
    InvalidRequest,
    /// Anything else: a network that is down, a service that fails. What is cached may be served, if
    /// the reader said so.
    Other,
}

impl ProviderError {
    /// Makes one of kind [`NotFound`](ProviderErrorKind::NotFound).
    #[must_use]
    pub const fn not_found() -> Self {
        Self::new(ProviderErrorKind::NotFound)
    }

    /// Makes one of kind [`AccessDenied`](ProviderErrorKind::AccessDenied).
    #[must_use]
    pub const fn access_denied() -> Self {
        Self::new(ProviderErrorKind::AccessDenied)
    }

    /// Makes one of kind [`Throttled`](ProviderErrorKind::Throttled).
    #[must_use]
    pub const fn throttled() -> Self {
        Self::new(ProviderErrorKind::Throttled)
    }

    /// Makes one of kind [`TimedOut`](ProviderErrorKind::TimedOut).
    #[must_use]
    pub const fn timed_out() -> Self {
        Self::new(ProviderErrorKind::TimedOut)
    }

    /// Makes one of kind [`Unsupported`](ProviderErrorKind::Unsupported).
    #[must_use]
    pub const fn unsupported() -> Self {
        Self::new(ProviderErrorKind::Unsupported)
    }

    /// Makes one of kind [`InvalidRequest`](ProviderErrorKind::InvalidRequest).
    #[must_use]
    pub const fn invalid_request() -> Self {
        Self::new(ProviderErrorKind::InvalidRequest)
    }

    /// Makes one of kind [`Other`](ProviderErrorKind::Other).
    #[must_use]
    pub const fn other() -> Self {
        Self::new(ProviderErrorKind::Other)
    }

    /// Makes one of a kind.
    #[must_use]
    pub const fn new(kind: ProviderErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Adds the error behind it.
    ///
    /// It is shown to whoever looks at the error's sources, so neither its `Display` nor its `Debug`
    /// text may hold a value.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// Returns what kind of failure it was.
    #[must_use]
    pub const fn kind(&self) -> ProviderErrorKind {
        self.kind
    }

    pub(super) fn into_source(self) -> Option<SharedError> {
        self.source
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ProviderErrorKind::NotFound => "no such parameter",
            ProviderErrorKind::AccessDenied => "access denied",
            ProviderErrorKind::Throttled => "asked for too often",
            ProviderErrorKind::TimedOut => "took too long",
            ProviderErrorKind::Unsupported => "not supported by the provider",
            ProviderErrorKind::InvalidRequest => "not a name or options of the provider",
            ProviderErrorKind::Other => "the provider failed",
        })
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
