use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::{
    ParameterError, ParameterProvider, Parameters, Transformed, Value, Values,
    cache::{Entry, Flight, Joined, KeyRef, Purpose, Source},
    count::Count,
    freshness::{Policy, Verdict},
};

/// One parameter that is to be read, when it is awaited.
///
/// Made by [`Parameters::get`].
#[must_use = "nothing is read unless it is awaited"]
pub struct Get<'a, P: ParameterProvider> {
    pub(super) request: Request<'a, P>,
}

/// The parameters below a path that are to be read, when it is awaited.
///
/// Made by [`Parameters::get_multiple`].
#[must_use = "nothing is read unless it is awaited"]
pub struct GetMultiple<'a, P: ParameterProvider> {
    request: Request<'a, P>,
}

/// The future of a [`Get`].
#[must_use = "futures do nothing unless they are polled"]
pub struct GetFuture<'a, P: ParameterProvider> {
    reading: Reading<'a, P>,
}

/// The future of a [`Get`] whose value is transformed.
#[must_use = "futures do nothing unless they are polled"]
pub struct TransformFuture<'a, P: ParameterProvider, T> {
    get: GetFuture<'a, P>,
    transform: Transform<T>,
}

/// What is made of a value.
pub(super) type Transform<T> = fn(&Value) -> Result<T, ParameterError>;

/// The future of a [`GetMultiple`].
#[must_use = "futures do nothing unless they are polled"]
pub struct GetMultipleFuture<'a, P: ParameterProvider> {
    reading: Reading<'a, P>,
}

impl<'a, P: ParameterProvider> Get<'a, P> {
    pub(super) fn new(parameters: &'a Parameters<P>, name: &'a str) -> Self {
        Self {
            request: Request::new(parameters, name, false),
        }
    }

    /// Sets the options, beginning with those that are set so far.
    ///
    /// Providers have shorter words for theirs.
    ///
    /// Defaults to the default of the provider's options.
    pub fn with(mut self, change: impl FnOnce(P::Options) -> P::Options) -> Self {
        self.request.options = change(self.request.options);
        self
    }

    /// Sets how old the value may be. With zero every read is a fetch of its own, and what it brings
    /// is not kept.
    ///
    /// Defaults to [`Parameters::max_age`].
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.request.max_age = max_age;
        self
    }

    /// Has the value fetched whatever is cached, by a fetch that begins now, and keeps it, unless the
    /// max age is zero. If that fails nothing older is served.
    pub const fn force_fetch(mut self) -> Self {
        self.request.force = true;
        self
    }

    /// Parses the value as JSON, once for each value that is fetched and each type.
    ///
    /// # Examples
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use powertools::parameters::{MapProvider, Parameters};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Database { host: String, port: u16 }
    ///
    /// let provider = MapProvider::from([("/app/db", r#"{"host":"localhost","port":5432}"#)]);
    /// let parameters = Parameters::new(provider);
    /// let database = parameters.get("/app/db").json::<Database>().await?;
    /// assert_eq!((&*database.host, database.port), ("localhost", 5432));
    /// # Ok::<_, powertools::parameters::ParameterError>(())
    /// # }).unwrap();
    /// ```
    pub fn json<T>(self) -> TransformFuture<'a, P, Arc<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.transformed(Value::json)
    }

    /// Decodes the value's base64, once for each value that is fetched, see [`Value::binary`].
    pub fn binary(self) -> TransformFuture<'a, P, Value> {
        self.transformed(Value::binary)
    }

    /// Transforms the value by the end of its name, see [`Transformed`].
    pub fn auto<T>(self) -> TransformFuture<'a, P, Transformed<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.transformed(Value::auto)
    }

    /// Returns the value if nothing has to be waited for, and what is to be counted when it is used.
    pub(super) fn at_hand(&self) -> Option<(Result<Value, ParameterError>, Option<Count>)> {
        let (served, count) = self.request.at_hand(&own_request)?;
        Some((served.value(), self.request.counted(count)))
    }

    /// Returns the parts of a request that is to be made again and again.
    pub(super) const fn parts(&self) -> (&Parameters<P>, &str, &P::Options, Duration) {
        let request = &self.request;
        let (parameters, name) = (request.parameters, request.name);
        (parameters, name, &request.options, request.max_age)
    }

    fn transformed<T>(self, transform: Transform<T>) -> TransformFuture<'a, P, T> {
        TransformFuture {
            get: self.into_future(),
            transform,
        }
    }
}

impl<'a, P: ParameterProvider, T> TransformFuture<'a, P, T> {
    /// Returns the request and the transformation, before anything is polled.
    pub(super) fn into_parts(self) -> (Get<'a, P>, Transform<T>) {
        let request = self.get.reading.request;
        (Get { request }, self.transform)
    }
}

impl<'a, P: ParameterProvider> GetMultiple<'a, P> {
    pub(super) fn new(parameters: &'a Parameters<P>, path: &'a str) -> Self {
        Self {
            request: Request::new(parameters, path, true),
        }
    }

    /// Sets the options, see [`Get::with`].
    pub fn with(mut self, change: impl FnOnce(P::Options) -> P::Options) -> Self {
        self.request.options = change(self.request.options);
        self
    }

    /// Sets how old the values may be, see [`Get::max_age`].
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.request.max_age = max_age;
        self
    }

    /// Has the values fetched whatever is cached, see [`Get::force_fetch`].
    pub const fn force_fetch(mut self) -> Self {
        self.request.force = true;
        self
    }
}

impl<'a, P: ParameterProvider> IntoFuture for Get<'a, P> {
    type Output = Result<Value, ParameterError>;
    type IntoFuture = GetFuture<'a, P>;

    fn into_future(self) -> Self::IntoFuture {
        GetFuture {
            reading: self.request.into_reading(),
        }
    }
}

impl<'a, P: ParameterProvider> IntoFuture for GetMultiple<'a, P> {
    type Output = Result<Values, ParameterError>;
    type IntoFuture = GetMultipleFuture<'a, P>;

    fn into_future(self) -> Self::IntoFuture {
        GetMultipleFuture {
            reading: self.request.into_reading(),
        }
    }
}

impl<P: ParameterProvider> Future for GetFuture<'_, P> {
    type Output = Result<Value, ParameterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let served = ready!(self.reading.poll(cx));
        Poll::Ready(served.and_then(|served| served.value()))
    }
}

impl<P: ParameterProvider, T> Future for TransformFuture<'_, P, T> {
    type Output = Result<T, ParameterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let value = ready!(Pin::new(&mut self.get).poll(cx));
        Poll::Ready(value.and_then(|value| (self.transform)(&value)))
    }
}

impl<P: ParameterProvider> Future for GetMultipleFuture<'_, P> {
    type Output = Result<Values, ParameterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let served = ready!(self.reading.poll(cx));
        Poll::Ready(served.and_then(|served| served.values()))
    }
}

/// Says where a fetch that begins takes its value from.
pub(super) type MakeSource<'a> = dyn Fn() -> Option<Source> + 'a;

/// As a rule each fetch is a request of its own.
pub(super) const fn own_request() -> Option<Source> {
    None
}

/// What is read, and how.
pub(super) struct Request<'a, P: ParameterProvider> {
    pub(super) parameters: &'a Parameters<P>,
    pub(super) name: &'a str,
    is_path: bool,
    options: P::Options,
    pub(super) max_age: Duration,
    force: bool,
}

/// A request on its way.
pub(super) struct Reading<'a, P: ParameterProvider> {
    pub(super) request: Request<'a, P>,
    waits_for: Option<Flight>,
}

impl<'a, P: ParameterProvider> Request<'a, P> {
    fn new(parameters: &'a Parameters<P>, name: &'a str, is_path: bool) -> Self {
        Self {
            parameters,
            name,
            is_path,
            options: P::Options::default(),
            max_age: parameters.policy().max_age,
            force: false,
        }
    }

    pub(super) const fn into_reading(self) -> Reading<'a, P> {
        Reading {
            request: self,
            waits_for: None,
        }
    }

    pub(super) const fn key(&self) -> KeyRef<'_, P::Options> {
        KeyRef {
            name: self.name,
            is_path: self.is_path,
            options: &self.options,
        }
    }

    /// Looks at what is kept.
    pub(super) fn look(&self) -> Option<(Arc<Entry>, Verdict)> {
        let store = self.parameters.store();
        store.look(&self.key(), self.policy(), self.max_age)
    }

    pub(super) fn join(&self, purpose: Purpose<'_>, source: &MakeSource<'_>) -> Joined {
        let store = self.parameters.store();
        store.join(&self.key(), purpose, self.policy(), self.max_age, source)
    }

    /// Serves what is kept, or joins a fetch.
    fn begin(&self, source: &MakeSource<'_>) -> Joined {
        if self.max_age.is_zero() {
            return self.join(Purpose::Alone, source);
        }
        if self.force {
            return self.join(Purpose::Forced, source);
        }
        match self.at_hand(source) {
            Some((served, count)) => {
                self.count(count);
                Joined::Served(served)
            }
            None => self.join(Purpose::Fresh, source),
        }
    }

    /// Returns what is kept, if it may be served at once, and as what that counts.
    fn at_hand(&self, source: &MakeSource<'_>) -> Option<(Arc<Entry>, Count)> {
        if self.max_age.is_zero() {
            return None;
        }
        let (served, verdict) = self.look()?;
        let count = match verdict {
            Verdict::Fresh => Count::Hit,
            Verdict::Paused => Count::Stale,
            Verdict::Refresh if self.refresh(source) => Count::Stale,
            _ => return None,
        };
        Some((served, count))
    }

    fn refresh(&self, source: &MakeSource<'_>) -> bool {
        let store = self.parameters.store();
        store.refresh(&self.key(), self.policy(), self.max_age, source)
    }

    /// Serves what is kept in place of an error, where that is allowed.
    fn fall_back(&self, error: ParameterError) -> Result<Arc<Entry>, ParameterError> {
        let may_be_stale = error.is_transient() && !self.force && !self.max_age.is_zero();
        let kept = may_be_stale.then(|| self.look()).flatten();
        match kept {
            Some((served, verdict)) if verdict != Verdict::Expired && served.exists() => {
                self.count(Count::Stale);
                Ok(served)
            }
            _ => {
                self.count(Count::Error);
                Err(error)
            }
        }
    }

    fn policy(&self) -> &Policy {
        self.parameters.policy()
    }

    fn count(&self, count: Count) {
        if let Some(count) = self.counted(count) {
            count.record();
        }
    }

    /// Returns what is to be counted, if anything is.
    fn counted(&self, count: Count) -> Option<Count> {
        self.policy().metrics.then_some(count)
    }
}

/// Nothing in here is pinned.
impl<P: ParameterProvider> Unpin for Reading<'_, P> {}

impl<P: ParameterProvider> Reading<'_, P> {
    /// Begins before the first poll, with another source. What is served at once is not polled for.
    pub(super) fn begin(&mut self, source: &MakeSource<'_>) -> Option<Arc<Entry>> {
        match self.request.begin(source) {
            Joined::Served(served) => Some(served),
            Joined::Flight(flight) => {
                self.wait_for(flight);
                None
            }
        }
    }

    fn wait_for(&mut self, flight: Flight) -> &mut Flight {
        self.request.count(Count::Miss);
        self.waits_for.insert(flight)
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<Entry>, ParameterError>> {
        let flight = match &mut self.waits_for {
            Some(flight) => flight,
            None => match self.request.begin(&own_request) {
                Joined::Served(served) => return Poll::Ready(Ok(served)),
                Joined::Flight(flight) => self.wait_for(flight),
            },
        };
        let landed = ready!(Pin::new(flight).poll(cx));
        Poll::Ready(landed.or_else(|error| self.request.fall_back(error)))
    }
}

impl<P: ParameterProvider> fmt::Debug for Request<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("name", &self.name)
            .field("options", &self.options)
            .field("max_age", &self.max_age)
            .field("force", &self.force)
            .finish_non_exhaustive()
    }
}

impl<P: ParameterProvider> fmt::Debug for Get<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Get").field(&self.request).finish()
    }
}

impl<P: ParameterProvider> fmt::Debug for GetMultiple<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GetMultiple").field(&self.request).finish()
    }
}

impl<P: ParameterProvider> fmt::Debug for GetFuture<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.reading.request;
        f.debug_tuple("GetFuture").field(request).finish()
    }
}

impl<P: ParameterProvider, T> fmt::Debug for TransformFuture<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransformFuture").field(&self.get).finish()
    }
}

impl<P: ParameterProvider> fmt::Debug for GetMultipleFuture<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.reading.request;
        f.debug_tuple("GetMultipleFuture").field(request).finish()
    }
}
