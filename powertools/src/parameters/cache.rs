//! What is fetched once for all who ask, and kept.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use moka::{Equivalent, policy::EvictionPolicy};
use tokio::{runtime::Handle, time::timeout};
use tracing::warn;

use super::{
    Fetched, ParameterError, ParameterProvider, ProviderError, Value, Values,
    freshness::{Policy, Stamp, Verdict, draw, generation},
};
use crate::clock::Moment;

/// How long a value that was fetched because its predecessor was refused counts as the newest there
/// is. So a secret that is refused again and again is not fetched each time.
const REFUSAL_PAUSE: Duration = Duration::from_secs(5);

/// How much is kept at the most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// What is read by: a name or a path, and everything else that changes what is found.
#[derive(Debug)]
pub(super) struct Key<O> {
    name: Arc<str>,
    is_path: bool,
    options: O,
}

/// A key that is only looked for.
#[derive(Debug, Hash)]
pub(super) struct KeyRef<'a, O> {
    pub(super) name: &'a str,
    pub(super) is_path: bool,
    pub(super) options: &'a O,
}

/// What a fetch has found.
#[derive(Clone, Debug)]
enum Content {
    Value(Value),
    Values(Values),
    /// There is nothing, and that is to be remembered.
    Missing(ParameterError),
}

/// What a reader gets, and what is kept under a key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    content: Content,
    stamp: Stamp,
}

/// One fetch, for everybody who waits for it. Whoever is polled drives it; it is dropped with the
/// last who waits.
pub(super) type Flight = Shared<BoxFuture<'static, Landed>>;
type Landed = Result<Arc<Entry>, ParameterError>;

/// What a fetch takes its value from in place of a request of its own, which it makes if there is no
/// answer.
pub(super) type Source = BoxFuture<'static, Option<Result<Fetched, ProviderError>>>;

/// What a fetch is for, which decides about others of the same key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose<'a> {
    /// A value that is not too old. Any fetch that runs will do.
    Fresh,
    /// A value from a fetch that begins now: what another brings may be older than the reader knows.
    Forced,
    /// The same, and it is not kept.
    Alone,
    /// Another value than one that was refused. A fetch that runs for the same reason will do.
    Refused {
        value: &'a Value,
        /// The fetch that it came from.
        flight: u64,
    },
}

/// What somebody who wants a fetch gets.
#[derive(Debug)]
pub(super) enum Joined {
    /// Somebody else's fetch ended just now.
    Served(Arc<Entry>),
    Flight(Flight),
}

/// Provider, cache and running fetches, which the clones of a [`Parameters`](super::Parameters)
/// share.
pub(super) struct Store<P: ParameterProvider> {
    provider: Arc<P>,
    entries: moka::sync::Cache<Arc<Key<P::Options>>, Arc<Entry>>,
    flights: Mutex<Flights<P::Options>>,
}

struct Flights<O> {
    /// The number of the last fetch.
    last: u64,
    /// The fetch of each key whose result is to be kept. A fetch that is not in here any more, after
    /// a later one or a call to forget, keeps nothing.
    running: HashMap<Arc<Key<O>>, Running>,
}

struct Running {
    departure: Departure,
    flight: WeakShared<BoxFuture<'static, Landed>>,
}

/// Where a fetch begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    flight: u64,
    at: Moment,
    generation: u64,
    after_refusal: bool,
}

/// Ends a fetch, whatever becomes of it.
struct Landing<P: ParameterProvider> {
    store: Arc<Store<P>>,
    key: Arc<Key<P::Options>>,
    departure: Departure,
    policy: Policy,
}

impl<P: ParameterProvider> Store<P> {
    pub(super) fn new(provider: Arc<P>, bounds: Bounds) -> Self {
        // An entry weighs at least its share of the bytes, so that one limit stands for both.
        let share = bounds.bytes / bounds.entries.max(1);
        let weight = move |key: &Arc<Key<P::Options>>, entry: &Arc<Entry>| {
            let bytes = (key.name.len() + entry.content.bytes()) as u64;
            u32::try_from(bytes.max(share).max(1)).unwrap_or(u32::MAX)
        };
        let capacity = if bounds.entries == 0 { 0 } else { bounds.bytes };
        Self {
            provider,
            entries: moka::sync::Cache::builder()
                .max_capacity(capacity)
                .weigher(weight)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            flights: Mutex::new(Flights {
                last: 0,
                running: HashMap::new(),
            }),
        }
    }

    pub(super) const fn provider(&self) -> &Arc<P> {
        &self.provider
    }

    /// Returns what is kept under a key, and what is to be done with it.
    pub(super) fn look(
        &self,
        key: &KeyRef<'_, P::Options>,
        policy: &Policy,
        max_age: Duration,
    ) -> Option<(Arc<Entry>, Verdict)> {
        let entry = self.entries.get(key)?;
        let verdict = entry.judge(policy, max_age, &policy.clock.now());
        Some((entry, verdict))
    }

    /// Joins the fetch of a key, or begins one.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &KeyRef<'_, P::Options>,
        purpose: Purpose<'_>,
        policy: &Policy,
        max_age: Duration,
        source: impl FnOnce() -> Option<Source>,
    ) -> Joined {
        let key = Arc::new(key.to_key());
        let now = policy.clock.now();
        let mut flights = self.flights();
        if let Some(flight) = flights.joinable(&key, purpose, policy, &now) {
            return Joined::Flight(flight);
        }
        // One may have ended since the reader looked.
        if let Some(entry) = self.fresh(&key, policy, max_age, &now)
            && entry.suits(purpose, &now)
        {
            return Joined::Served(entry);
        }
        Joined::Flight(self.depart(&mut flights, key, purpose, policy, now, source()))
    }

    /// Fetches a key by a task, unless it is being fetched. Returns whether it could be done: it takes
    /// a runtime.
    pub(super) fn refresh(
        self: &Arc<Self>,
        key: &KeyRef<'_, P::Options>,
        policy: &Policy,
        max_age: Duration,
        source: impl FnOnce() -> Option<Source>,
    ) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let key = Arc::new(key.to_key());
        let now = policy.clock.now();
        let mut flights = self.flights();
        let running = flights.joinable(&key, Purpose::Fresh, policy, &now);
        let is_due = running.is_none() && self.fresh(&key, policy, max_age, &now).is_none();
        let begun =
            is_due.then(|| self.depart(&mut flights, key, Purpose::Fresh, policy, now, source()));
        // A fetch that is dropped asks for the lock: one that nobody else waits for any more, and one
        // that is handed to a runtime that has ended.
        drop(flights);
        drop(running);
        if let Some(flight) = begun {
            runtime.spawn(flight);
        }
        true
    }

    fn fresh(
        &self,
        key: &Arc<Key<P::Options>>,
        policy: &Policy,
        max_age: Duration,
        now: &Moment,
    ) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        (entry.judge(policy, max_age, now) == Verdict::Fresh).then_some(entry)
    }

    /// Begins a fetch.
    fn depart(
        self: &Arc<Self>,
        flights: &mut Flights<P::Options>,
        key: Arc<Key<P::Options>>,
        purpose: Purpose<'_>,
        policy: &Policy,
        now: Moment,
        source: Option<Source>,
    ) -> Flight {
        let departure = flights.departure(now, matches!(purpose, Purpose::Refused { .. }));
        let landing = Landing {
            store: Arc::clone(self),
            key: Arc::clone(&key),
            departure,
            policy: policy.clone(),
        };
        let flight = landing.fly(source).boxed().shared();
        if !matches!(purpose, Purpose::Alone)
            && let Some(weak) = flight.downgrade()
        {
            let running = Running {
                departure,
                flight: weak,
            };
            flights.running.insert(key, running);
        }
        flight
    }

    /// Forgets everything under a name or path, whatever the options, and what is being fetched for
    /// it.
    pub(super) fn forget(&self, name: &str) {
        let mut flights = self.flights();
        flights.running.retain(|key, _| *key.name != *name);
        for (key, _) in &self.entries {
            if *key.name == *name {
                self.entries.invalidate(&*key);
            }
        }
        self.entries.run_pending_tasks();
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut flights = self.flights();
        flights.running.clear();
        for (key, _) in &self.entries {
            self.entries.invalidate(&*key);
        }
        self.entries.run_pending_tasks();
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    fn insert(&self, key: Arc<Key<P::Options>>, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
        // Inserting is rare beside reading, and the bounds hold at once like this.
        self.entries.run_pending_tasks();
    }

    fn flights(&self) -> MutexGuard<'_, Flights<P::Options>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O: Eq + Hash> Flights<O> {
    fn departure(&mut self, at: Moment, after_refusal: bool) -> Departure {
        self.last += 1;
        Departure {
            flight: self.last,
            at,
            generation: generation(),
            after_refusal,
        }
    }

    fn joinable(
        &self,
        key: &Arc<Key<O>>,
        purpose: Purpose<'_>,
        policy: &Policy,
        now: &Moment,
    ) -> Option<Flight> {
        let Running { departure, flight } = self.running.get(key)?;
        let suits = match purpose {
            Purpose::Fresh => true,
            Purpose::Forced | Purpose::Alone => false,
            Purpose::Refused { flight, .. } => departure.after_refusal && departure.flight > flight,
        };
        // One that should have ended was frozen with the execution environment, and its connection is
        // gone by now.
        let is_frozen = now.since(&departure.at) > policy.timeout;
        let is_current = departure.generation == generation();
        if suits && is_current && !is_frozen {
            flight.upgrade()
        } else {
            None
        }
    }
}

impl Departure {
    fn stamp(&self, current_for: Duration) -> Stamp {
        Stamp {
            flight: self.flight,
            fetched: self.at,
            generation: self.generation,
            current_for,
            draw: draw(&self.at),
            after_refusal: self.after_refusal,
            failed: None,
        }
    }
}

impl<P: ParameterProvider> Landing<P> {
    async fn fly(self, source: Option<Source>) -> Landed {
        let Self {
            policy, key, store, ..
        } = &self;
        let found = timeout(
            policy.timeout,
            AssertUnwindSafe(self.fetch(source)).catch_unwind(),
        )
        .await;
        let name = || Arc::clone(&key.name);
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(ParameterError::Panicked { name: name() }),
            Err(_) => Err(ParameterError::TimedOut {
                name: name(),
                source: None,
            }),
        };
        let mut flights = store.flights();
        let is_kept = self.leave(&mut flights);
        match found {
            Ok((content, current_for)) => {
                let entry = Arc::new(Entry {
                    content,
                    stamp: self.departure.stamp(current_for),
                });
                if is_kept {
                    store.insert(Arc::clone(key), Arc::clone(&entry));
                }
                Ok(entry)
            }
            Err(error) => {
                if is_kept && self.fail(&error) {
                    drop(flights);
                    let source: &(dyn Error + 'static) = &error;
                    warn!(
                        parameter = &*key.name,
                        error = source,
                        "could not be fetched again"
                    );
                }
                Err(error)
            }
        }
    }

    async fn fetch(&self, source: Option<Source>) -> Result<(Content, Duration), ParameterError> {
        let Self {
            store, key, policy, ..
        } = self;
        let failed = |error| ParameterError::of_provider(Arc::clone(&key.name), error);
        let limit = policy.max_value_bytes;
        if key.is_path {
            let fetched = store.provider.get_multiple(&key.name, &key.options).await;
            let fetched = fetched.map_err(failed)?;
            values(&key.name, fetched, self.old().as_deref(), limit)
        } else {
            let fetched = match source {
                Some(source) => source.await,
                None => None,
            };
            let fetched = match fetched {
                Some(fetched) => fetched,
                None => store.provider.get(&key.name, &key.options).await,
            };
            let fetched = fetched.map_err(failed)?;
            let name = Arc::clone(&key.name);
            let (value, current_for) = value(name, fetched, self.old().as_deref(), limit)?;
            Ok((Content::Value(value), current_for))
        }
    }

    /// Returns what is kept so far.
    fn old(&self) -> Option<Arc<Entry>> {
        self.store.entries.get(&self.key)
    }

    /// Leaves the running fetches, and returns whether it was among them.
    fn leave(&self, flights: &mut Flights<P::Options>) -> bool {
        let running = flights.running.get(&self.key);
        let is_running =
            running.is_some_and(|running| running.departure.flight == self.departure.flight);
        if is_running {
            flights.running.remove(&self.key);
        }
        is_running
    }

    /// Decides about what is kept when it cannot be fetched again, and returns whether it still is.
    fn fail(&self, error: &ParameterError) -> bool {
        let Self {
            store, key, policy, ..
        } = self;
        if error.is_not_found() && !policy.not_found_age.is_zero() {
            let entry = Entry {
                content: Content::Missing(error.clone()),
                stamp: self.departure.stamp(Duration::ZERO),
            };
            store.insert(Arc::clone(key), Arc::new(entry));
            return false;
        }
        if !error.is_transient() {
            store.entries.invalidate(key);
            return false;
        }
        let Some(entry) = self.old() else {
            return false;
        };
        let mut entry = Entry::clone(&entry);
        let now = policy.clock.now();
        entry.stamp.fail(now);
        let is_served = entry.judge(policy, policy.max_age, &now) == Verdict::Paused;
        store.insert(Arc::clone(key), Arc::new(entry));
        is_served
    }
}

/// A fetch that nobody waits for any more is dropped.
impl<P: ParameterProvider> Drop for Landing<P> {
    fn drop(&mut self) {
        self.leave(&mut self.store.flights());
    }
}

/// Makes a value of what was fetched: the old one, if nothing has changed.
fn value(
    name: Arc<str>,
    fetched: Fetched,
    old: Option<&Entry>,
    limit: usize,
) -> Result<(Value, Duration), ParameterError> {
    let old = match old {
        Some(Entry {
            content: Content::Value(old),
            ..
        }) => Some(old),
        _ => None,
    };
    renewed(name, fetched, old, limit)
}

fn renewed(
    name: Arc<str>,
    fetched: Fetched,
    old: Option<&Value>,
    limit: usize,
) -> Result<(Value, Duration), ParameterError> {
    let size = fetched.len();
    if size > limit {
        return Err(ParameterError::TooLarge { name, size, limit });
    }
    let (data, version, current_for) = fetched.into_parts();
    let value = match old {
        Some(old) if old.is_unchanged(&data, version.as_deref()) => old.clone(),
        _ => Value::new(name, data, version),
    };
    Ok((value, current_for))
}

/// Makes values of what was fetched below a path, keeping those that have not changed.
fn values(
    path: &str,
    fetched: Vec<(String, Fetched)>,
    old: Option<&Entry>,
    limit: usize,
) -> Result<(Content, Duration), ParameterError> {
    let old = match old {
        Some(Entry {
            content: Content::Values(old),
            ..
        }) => Some(old),
        _ => None,
    };
    let path = path.trim_end_matches('/');
    let mut values = BTreeMap::new();
    // All of them are current as long as each is.
    let mut current_for = None;
    for (relative, fetched) in fetched {
        let name = fetched
            .whole_name()
            .unwrap_or_else(|| format!("{path}/{relative}").into());
        let old = old.and_then(|old| old.get(&relative));
        let (value, current) = renewed(name, fetched, old, limit)?;
        values.insert(relative.into_boxed_str(), value);
        current_for = Some(current_for.map_or(current, |other: Duration| other.min(current)));
    }
    let values = Values::new(values);
    let values = match old {
        Some(old) if old.is_unchanged(&values) => old.clone(),
        _ => values,
    };
    Ok((Content::Values(values), current_for.unwrap_or_default()))
}

impl Entry {
    fn judge(&self, policy: &Policy, max_age: Duration, now: &Moment) -> Verdict {
        match self.content {
            Content::Value(_) | Content::Values(_) => policy.judge(&self.stamp, max_age, now),
            Content::Missing(_) => policy.judge_missing(&self.stamp, now),
        }
    }

    /// Returns whether this makes a fetch for the purpose needless.
    fn suits(&self, purpose: Purpose<'_>, now: &Moment) -> bool {
        match (purpose, &self.content) {
            (Purpose::Fresh, _) => true,
            (Purpose::Refused { value, flight }, Content::Value(kept)) => {
                let is_later = self.stamp.flight > flight;
                if self.stamp.after_refusal {
                    is_later || now.since(&self.stamp.fetched) < REFUSAL_PAUSE
                } else {
                    is_later && !kept.has_content_of(value)
                }
            }
            (Purpose::Forced | Purpose::Alone | Purpose::Refused { .. }, _) => false,
        }
    }

    /// Returns what is kept under a name.
    pub(super) fn value(&self) -> Result<Value, ParameterError> {
        match &self.content {
            Content::Value(value) => Ok(value.clone()),
            Content::Missing(error) => Err(error.clone()),
            Content::Values(_) => unreachable!("a name's key is not a path's"),
        }
    }

    /// Returns what is kept under a path.
    pub(super) fn values(&self) -> Result<Values, ParameterError> {
        match &self.content {
            Content::Values(values) => Ok(values.clone()),
            Content::Missing(error) => Err(error.clone()),
            Content::Value(_) => unreachable!("a path's key is not a name's"),
        }
    }

    /// Returns whether there is something, and not only the knowledge that there is nothing.
    pub(super) const fn exists(&self) -> bool {
        !matches!(self.content, Content::Missing(_))
    }

    /// Returns the number of the fetch that has brought it.
    pub(super) const fn flight(&self) -> u64 {
        self.stamp.flight
    }
}

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.as_bytes().len(),
            Self::Values(values) => {
                let all = values.iter();
                all.map(|(name, value)| name.len() + value.as_bytes().len())
                    .sum()
            }
            Self::Missing(_) => 0,
        }
    }
}

impl<O> KeyRef<'_, O> {
    fn to_key(&self) -> Key<O>
    where
        O: Clone,
    {
        Key {
            name: self.name.into(),
            is_path: self.is_path,
            options: self.options.clone(),
        }
    }
}

impl<O> Key<O> {
    fn as_ref(&self) -> KeyRef<'_, O> {
        KeyRef {
            name: &self.name,
            is_path: self.is_path,
            options: &self.options,
        }
    }
}

impl<O: Eq> PartialEq for KeyRef<'_, O> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.is_path == other.is_path && self.options == other.options
    }
}

impl<O: Eq> PartialEq for Key<O> {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl<O: Eq> Eq for Key<O> {}

impl<O: Hash> Hash for Key<O> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl<O: Eq> Equivalent<Arc<Key<O>>> for KeyRef<'_, O> {
    fn equivalent(&self, key: &Arc<Key<O>>) -> bool {
        *self == key.as_ref().as_ref()
    }
}

impl<P: ParameterProvider> fmt::Debug for Store<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}
