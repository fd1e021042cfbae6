//! Many parameters by their names, whatever the provider.
#![cfg(all(feature = "parameters", feature = "testing"))]

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use powertools::{
    Env,
    parameters::{
        BatchProvider, ByName, EnvironmentProvider, Fetched, MapProvider, ParameterError,
        ParameterProvider, Parameters, ProviderError,
    },
    testing::{Clock, MemoryProvider},
};
use tokio::task::yield_now;

const SECOND: Duration = Duration::from_secs(1);

/// What a provider does about many names.
#[derive(Clone, Copy)]
enum Batch {
    Answers,
    /// The last name is forgotten.
    Forgets,
    Panics,
    Hangs,
}

/// Answers each name with itself, and counts.
struct Echo {
    batch: Batch,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    single: AtomicUsize,
    batches: AtomicUsize,
    is_dropped: AtomicBool,
}

impl Counts {
    fn get(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (of(&self.batches), of(&self.single))
    }
}

fn echo(batch: Batch) -> (Arc<Counts>, Parameters<Echo>) {
    let counts = Arc::<Counts>::default();
    let provider = Echo {
        batch,
        counts: Arc::clone(&counts),
    };
    (counts, Parameters::from_env(provider, &Env::default()))
}

impl ParameterProvider for Echo {
    type Options = u8;

    async fn get(&self, name: &str, options: &u8) -> Result<Fetched, ProviderError> {
        self.counts.single.fetch_add(1, Ordering::Relaxed);
        Ok(Fetched::text(format!("{name} {options}")))
    }
}

impl BatchProvider for Echo {
    async fn get_by_names(&self, requests: &[(&str, &u8)]) -> Vec<Result<Fetched, ProviderError>> {
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        let answers = requests
            .iter()
            .map(|(name, options)| Ok(Fetched::text(format!("{name} {options}"))));
        match self.batch {
            Batch::Answers => answers.collect(),
            Batch::Forgets => answers.take(requests.len() - 1).collect(),
            Batch::Panics => panic!("a provider's own fault"),
            Batch::Hangs => {
                let _dropped = SetOnDrop(&self.counts.is_dropped);
                pending().await
            }
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn texts(values: &powertools::parameters::ValuesByName) -> Vec<String> {
    let values = values.iter();
    values
        .map(|(_, value)| value.unwrap().as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_name_has_its_own_options_and_those_of_all() {
    let (counts, parameters) = echo(Batch::Answers);
    let names = [ByName::new("a"), ByName::new("b").with(|_| 2)];
    let values = parameters.get_by_names(names.clone()).await;
    assert_eq!(texts(&values), ["a 0", "b 2"]);
    let values = parameters
        .get_by_names(names)
        .with(|options| options + 1)
        .await;
    assert_eq!(texts(&values), ["a 1", "b 3"]);
    assert_eq!(counts.get(), (2, 0));
}

#[tokio::test]
async fn a_name_that_comes_twice_counts_as_it_comes_last() {
    let (counts, parameters) = echo(Batch::Answers);
    let names = [ByName::new("a").with(|_| 1), ByName::new("a").with(|_| 2)];
    let values = parameters.get_by_names(names).await;
    assert_eq!(texts(&values), ["a 2"]);
    assert_eq!((values.len(), counts.get()), (1, (1, 0)));
}

/// They are cached, and so the provider's mistake is not everybody's.
#[tokio::test]
async fn a_name_without_an_answer_is_asked_for_alone() {
    let (counts, parameters) = echo(Batch::Forgets);
    let values = parameters.get_by_names(["a", "b", "c"]).await;
    assert_eq!(texts(&values), ["a 0", "b 0", "c 0"]);
    assert_eq!(counts.get(), (1, 1));
    parameters
        .get_by_names(["a", "b", "c"])
        .await
        .all()
        .unwrap();
    assert_eq!(counts.get(), (1, 1));
}

#[tokio::test]
async fn names_are_asked_for_one_by_one_if_asking_for_many_panics() {
    let (counts, parameters) = echo(Batch::Panics);
    let values = parameters.get_by_names(["a", "b"]).await;
    assert_eq!(texts(&values), ["a 0", "b 0"]);
    assert_eq!(counts.get(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hangs_ends_with_those_who_wait_for_it() {
    let (counts, parameters) = echo(Batch::Hangs);
    let parameters = parameters.timeout(2 * SECOND);
    let values = parameters.get_by_names(["a", "b"]).await;
    for name in ["a", "b"] {
        let error = values.get(name).unwrap_err();
        assert!(
            matches!(error, ParameterError::TimedOut { .. }),
            "{error:?}"
        );
    }
    // By the task that fetches.
    yield_now().await;
    assert!(counts.is_dropped.load(Ordering::Relaxed));
    assert_eq!(counts.get(), (1, 0));
}

/// As by a `select!` in a loop whose other branch takes long.
#[tokio::test(start_paused = true)]
async fn names_that_are_not_polled_any_more_hold_up_nobody() {
    let (counts, parameters) = echo(Batch::Answers);
    let mut names = pin!(parameters.get_by_names(["a", "b"]).into_future());
    assert!(names.as_mut().now_or_never().is_none());
    for name in ["a", "b"] {
        let value = parameters.get(name).await.unwrap();
        assert_eq!(value.as_str().unwrap(), format!("{name} 0"));
    }
    assert_eq!(texts(&names.await), ["a 0", "b 0"]);
    assert_eq!(counts.get(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hangs_in_the_background_ends_too() {
    let (counts, parameters) = echo(Batch::Hangs);
    let clock = Clock::new();
    let parameters = parameters
        .with_clock(&clock)
        .max_age(SECOND)
        .timeout(2 * SECOND)
        .refresh_in_background(60 * SECOND);
    // By requests of their own.
    parameters.get("a").await.unwrap();
    parameters.get("b").await.unwrap();
    clock.advance(10 * SECOND);
    let values = parameters.get_by_names(["a", "b"]).await;
    assert_eq!(texts(&values), ["a 0", "b 0"]);
    tokio::time::sleep(SECOND).await;
    assert!(!counts.is_dropped.load(Ordering::Relaxed));
    tokio::time::sleep(2 * SECOND).await;
    assert!(counts.is_dropped.load(Ordering::Relaxed));
    assert_eq!(counts.get(), (1, 2));
}

#[tokio::test]
async fn providers_that_know_no_requests_for_many_are_asked_for_each() {
    let memory = MemoryProvider::from([("a", "1"), ("b", "2")]);
    let parameters = Parameters::from_env(memory.clone(), &Env::default());
    let values = parameters.get_by_names(["a", "b", "c"]).await;
    assert_eq!(values.get("a").unwrap().as_str().unwrap(), "1");
    assert_eq!(values.get("b").unwrap().as_str().unwrap(), "2");
    assert!(values.get("c").unwrap_err().is_not_found());
    assert_eq!(memory.calls(), 3);

    let map = MapProvider::from([("a", "1"), ("b", "2")]);
    let parameters = Parameters::from_env(Arc::new(map), &Env::default());
    let values = parameters.get_by_names(["b", "a"]).await.all().unwrap();
    let names: Vec<_> = values.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);

    let env = Env::from([("A", "1")]);
    let parameters = Parameters::from_env(EnvironmentProvider::new(env), &Env::default());
    let values = parameters.get_by_names(["A", "B"]).await;
    assert_eq!(
        values
            .errors()
            .map(ParameterError::name)
            .collect::<Vec<_>>(),
        ["B"]
    );
}
