//! Many parameters by their names, in as few requests as the provider knows to make.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, join_all, select},
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{
    EnvironmentProvider, Fetched, Get, MapProvider, ParameterError, ParameterProvider, Parameters,
    ProviderError, Value, Values, cache::Source,
};
use crate::Invocation;

/// A [provider](ParameterProvider) that fetches many values at once.
pub trait BatchProvider: ParameterProvider {
    /// Fetches values by their names, each with its options, and answers for each in turn.
    ///
    /// No name comes twice. What fails for all of a request fails for each of its names.
    ///
    /// Defaults to a [`get`](ParameterProvider::get) for each, all at once. A service that answers for
    /// many names by one request is asked by that.
    fn get_by_names(
        &self,
        requests: &[(&str, &Self::Options)],
    ) -> impl Future<Output = Vec<Result<Fetched, ProviderError>>> + Send {
        let requests = requests.iter();
        join_all(requests.map(|(name, options)| self.get(name, options)))
    }
}

impl BatchProvider for EnvironmentProvider {}
impl BatchProvider for MapProvider {}
#[cfg(feature = "testing")]
impl BatchProvider for crate::testing::MemoryProvider {}

impl<P: BatchProvider> BatchProvider for Arc<P> {
    fn get_by_names(
        &self,
        requests: &[(&str, &Self::Options)],
    ) -> impl Future<Output = Vec<Result<Fetched, ProviderError>>> + Send {
        P::get_by_names(self, requests)
    }
}

/// One of many parameters that are read [by their names](Parameters::get_by_names), with what holds for
/// it alone.
///
/// # Examples
///
/// ```
/// use powertools::parameters::ByName;
/// use std::time::Duration;
///
/// let name: ByName<()> = ByName::new("/shop/limits").max_age(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ByName<O> {
    name: Arc<str>,
    options: O,
    max_age: Option<Duration>,
}

impl<O: Default> ByName<O> {
    /// Makes one with the default options of the provider.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            options: O::default(),
            max_age: None,
        }
    }
}

impl<O> ByName<O> {
    /// Sets the options, beginning with those that are set so far.
    ///
    /// Providers have shorter words for theirs.
    ///
    /// Defaults to the default of the provider's options.
    pub fn with(mut self, change: impl FnOnce(O) -> O) -> Self {
        self.options = change(self.options);
        self
    }

    /// Sets how old this value may be.
    ///
    /// Defaults to [what holds for all](GetByNames::max_age).
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

impl<O: Default> From<&str> for ByName<O> {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl<O: Default> From<String> for ByName<O> {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl<O: Default> From<&String> for ByName<O> {
    fn from(name: &String) -> Self {
        Self::new(name.as_str())
    }
}

impl<P: BatchProvider> Parameters<P> {
    /// Reads many parameters by their names, when it is awaited.
    ///
    /// What is cached is shared with [`get`](Self::get): only what is not fresh is fetched, by as few
    /// requests as the provider knows to make.
    ///
    /// The result has a value or an error for each name; a name that is given twice counts as it is
    /// given last.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[cfg(feature = "parameters-ssm")]
    /// # mod ssm {
    /// use powertools::parameters::{ByName, ParameterError, Parameters, ssm::SsmProvider};
    /// use std::time::Duration;
    ///
    /// # async fn run(parameters: Parameters<SsmProvider>) -> Result<(), ParameterError> {
    /// let values = parameters
    ///     .get_by_names([
    ///         ByName::new("/shop/api-url"),
    ///         ByName::new("/shop/db/password").decrypt(),
    ///         ByName::new("/shop/limits.json").max_age(Duration::from_secs(60)),
    ///     ])
    ///     .await;
    ///
    /// // What the handler cannot do without, and what it can.
    /// let password = values.get("/shop/db/password")?;
    /// let limits = values.get("/shop/limits.json").and_then(|limits| limits.json::<Vec<u32>>()).ok();
    ///
    /// // All or none.
    /// let values = parameters.get_by_names(["/shop/api-url", "/shop/page-size"]).await.all()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn get_by_names<I>(&self, names: I) -> GetByNames<'_, P>
    where
        I: IntoIterator,
        I::Item: Into<ByName<P::Options>>,
    {
        GetByNames {
            parameters: self,
            names: names.into_iter().map(Into::into).collect(),
            max_age: self.policy().max_age,
            force: false,
        }
    }
}

/// Many parameters that are to be read, when it is awaited.
///
/// Made by [`Parameters::get_by_names`].
#[must_use = "nothing is read unless it is awaited"]
pub struct GetByNames<'a, P: ParameterProvider> {
    parameters: &'a Parameters<P>,
    names: Vec<ByName<P::Options>>,
    max_age: Duration,
    force: bool,
}

impl<P: ParameterProvider> GetByNames<'_, P> {
    /// Sets the options of all names, beginning with those that each has so far.
    pub fn with(mut self, change: impl Fn(P::Options) -> P::Options) -> Self {
        let names = self.names.into_iter();
        self.names = names.map(|name| name.with(&change)).collect();
        self
    }

    /// Sets how old the values may be, but for those that [say it themselves](ByName::max_age). With
    /// zero every read is a fetch of its own, and what it brings is not kept.
    ///
    /// Defaults to [`Parameters::max_age`].
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Has all values fetched whatever is cached, and keeps them. Of what fails nothing older is
    /// served.
    pub const fn force_fetch(mut self) -> Self {
        self.force = true;
        self
    }
}

impl<'a, P: BatchProvider> IntoFuture for GetByNames<'a, P> {
    type Output = ValuesByName;
    type IntoFuture = GetByNamesFuture<'a>;

    fn into_future(self) -> Self::IntoFuture {
        GetByNamesFuture {
            reading: Box::pin(self.read()),
        }
    }
}

/// The future of a [`GetByNames`].
#[must_use = "futures do nothing unless they are polled"]
pub struct GetByNamesFuture<'a> {
    reading: BoxFuture<'a, ValuesByName>,
}

impl Future for GetByNamesFuture<'_> {
    type Output = ValuesByName;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.reading.as_mut().poll(cx)
    }
}

impl<P: BatchProvider> GetByNames<'_, P> {
    async fn read(self) -> ValuesByName {
        // A name that comes twice counts as it comes last.
        let names = self.names.iter().map(|name| (&*name.name, name));
        let names: BTreeMap<_, _> = names.collect();
        let batch = Batch::new();
        let mut values = BTreeMap::new();
        let mut readings = Vec::new();
        for name in names.into_values() {
            let mut reading = self.get(name).request.into_reading();
            match reading.begin(&|| Some(batch.add(name))) {
                Some(served) => {
                    values.insert(Arc::clone(&name.name), served.value());
                }
                None => readings.push((Arc::clone(&name.name), reading)),
            }
        }

        if !batch.is_empty() {
            let provider = Arc::clone(self.parameters.store().provider());
            batch.spawn(provider, !readings.is_empty());
        }
        let readings = readings.into_iter().map(|(name, mut reading)| async move {
            let served = poll_fn(|cx| reading.poll(cx)).await;
            (name, served.and_then(|served| served.value()))
        });
        values.extend(join_all(readings).await);
        ValuesByName { values }
    }

    fn get<'a>(&'a self, name: &'a ByName<P::Options>) -> Get<'a, P> {
        let get = self.parameters.get(&name.name);
        let get = get
            .with(|_| name.options.clone())
            .max_age(name.max_age.unwrap_or(self.max_age));
        if self.force { get.force_fetch() } else { get }
    }
}

/// Names whose fetches have begun, and take their values from one call of the provider.
///
/// The fetches are like any other: somebody else may wait for one, and where this has no answer for it
/// it makes a request of its own.
struct Batch<O>(Mutex<Vec<Seat<O>>>);

/// A name and its options, and where the answer goes.
type Seat<O> = (Arc<str>, O, oneshot::Sender<Answer>);
type Answer = Result<Fetched, ProviderError>;

impl<O: Clone + Send + Sync + 'static> Batch<O> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn add(&self, name: &ByName<O>) -> Source {
        let (answer, source) = oneshot::channel();
        let seat = (Arc::clone(&name.name), name.options.clone(), answer);
        self.seats().push(seat);
        source.map(Result::ok).boxed()
    }

    fn is_empty(&self) -> bool {
        self.seats().is_empty()
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat<O>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches them by a task, so that nobody's answer depends on whether another is polled.
    fn spawn<P>(self, provider: Arc<P>, is_awaited: bool)
    where
        P: BatchProvider<Options = O>,
    {
        let fetch = self.fetch(provider);
        // What nobody waits for may outlast the invocation, and is none of its.
        match Invocation::current().filter(|_| is_awaited) {
            Some(invocation) => tokio::spawn(invocation.scope(fetch.in_current_span())),
            None if is_awaited => tokio::spawn(fetch.in_current_span()),
            None => tokio::spawn(fetch),
        };
    }

    /// Fetches them, unless all who wait are gone before that, as by their time-outs.
    async fn fetch<P>(self, provider: Arc<P>)
    where
        P: BatchProvider<Options = O>,
    {
        let mut seats = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if seats.is_empty() {
            return;
        }
        let mut requests = Vec::with_capacity(seats.len());
        let mut gone = Vec::with_capacity(seats.len());
        for (name, options, answer) in &mut seats {
            requests.push((&**name, &*options));
            gone.push(answer.closed());
        }
        let answers = AssertUnwindSafe(provider.get_by_names(&requests)).catch_unwind();
        let Either::Left((Ok(answers), _)) = select(pin!(answers), join_all(gone)).await else {
            return;
        };
        for ((_, _, seat), answer) in seats.into_iter().zip(answers) {
            // Some may be gone.
            let _ = seat.send(answer);
        }
    }
}

/// Parameters that were read [by their names](Parameters::get_by_names): of each its value, or why
/// there is none.
#[derive(Clone)]
pub struct ValuesByName {
    values: BTreeMap<Arc<str>, Result<Value, ParameterError>>,
}

impl ValuesByName {
    /// Returns the value of a name.
    ///
    /// # Errors
    ///
    /// Fails with what has happened to this one, and with [`NotFound`](ParameterError::NotFound) for a
    /// name that was not asked for.
    pub fn get(&self, name: &str) -> Result<Value, ParameterError> {
        let value = self.values.get(name).cloned();
        value.unwrap_or_else(|| {
            let error = ProviderError::not_found().with_source("the name was not asked for");
            Err(ParameterError::of_provider(name.into(), error))
        })
    }

    /// Returns how many names were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether no name was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Iterates over the names, in their order, and what became of them.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (&str, Result<&Value, &ParameterError>)> + '_ {
        let values = self.values.iter();
        values.map(|(name, value)| (&**name, value.as_ref()))
    }

    /// Iterates over what went wrong, in the order of the names.
    pub fn errors(&self) -> impl Iterator<Item = &ParameterError> + '_ {
        self.values
            .values()
            .filter_map(|value| value.as_ref().err())
    }

    /// Returns all values.
    ///
    /// # Errors
    ///
    /// Fails with the first error, in the order of the names.
    pub fn all(self) -> Result<Values, ParameterError> {
        let values = self.values.into_iter();
        let values: Result<_, ParameterError> = values
            .map(|(name, value)| Ok((Box::from(&*name), value?)))
            .collect();
        values.map(Values::new)
    }
}

/// Shows names, and of the values what [`Value`] shows.
impl fmt::Debug for ValuesByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

impl<P: ParameterProvider> fmt::Debug for GetByNames<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetByNames")
            .field("names", &self.names)
            .field("max_age", &self.max_age)
            .field("force", &self.force)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GetByNamesFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetByNamesFuture").finish_non_exhaustive()
    }
}
