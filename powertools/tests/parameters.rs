//! Parameters as whoever reads them sees them.
#![cfg(all(feature = "parameters", feature = "testing"))]

mod subscriber;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use futures_util::FutureExt as _;
use powertools::{
    Env, env,
    parameters::{
        EnvironmentProvider, Fetched, Get, GetFuture, GetMultiple, MapProvider, ParameterError,
        ParameterProvider, Parameters, ProviderError, ProviderErrorKind, SecretError,
        TransformError, TransformFuture, Transformed, Value, Values,
    },
    testing::{Clock, MemoryProvider},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::error::Category;
use tokio::task::{JoinSet, yield_now};
use tracing::{field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer::Context, prelude::*};

const NAME: &str = "/app/db/password";
/// What must not be shown anywhere.
const SECRET: &str = "hunter2-and-more";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A clock, a provider with one parameter, and parameters that the environment does not configure.
fn parameters() -> (Clock, MemoryProvider, Parameters<MemoryProvider>) {
    let (clock, provider) = (Clock::new(), MemoryProvider::from([(NAME, "first")]));
    let parameters = Parameters::from_env(provider.clone(), &Env::default())
        .max_age(MINUTE)
        .with_clock(&clock);
    (clock, provider, parameters)
}

/// Reads the parameter's text.
async fn text<P: ParameterProvider>(parameters: &Parameters<P>) -> Result<String, ParameterError> {
    Ok(parameters.get(NAME).await?.as_str()?.to_owned())
}

/// Reads the parameter's text, which must not have to be waited for.
#[track_caller]
fn text_at_once<P: ParameterProvider>(parameters: &Parameters<P>) -> String {
    let text = text(parameters).now_or_never();
    text.expect("nothing is to be waited for").unwrap()
}

/// Lets tasks run that do not wait for anything but each other.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Keeps the warnings of the thread, with all that they show.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listen() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = subscriber::registry().with(warnings.clone()).set_default();
        (warnings, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
            fn record_error(
                &mut self,
                field: &tracing::field::Field,
                value: &(dyn Error + 'static),
            ) {
                self.0 += &format!("{field}={} ", everything(value));
            }
        }
        if event.metadata().target().starts_with("powertools") {
            let mut line = Line(format!("{} ", event.metadata().level()));
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0.trim_end().to_owned());
        }
    }
}

/// All that an error shows to whoever looks at it and at its sources.
fn everything(error: &(dyn Error + 'static)) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown += &format!(": {error} {error:?}");
        source = error.source();
    }
    shown
}

mod what_is_kept {
    use super::*;

    #[tokio::test]
    async fn a_value_is_fetched_again_when_it_is_older_than_its_max_age() {
        let (clock, provider, parameters) = parameters();
        assert_eq!(text(&parameters).await.unwrap(), "first");
        provider.set(NAME, "second");
        clock.advance(MINUTE);
        assert_eq!(text_at_once(&parameters), "first");
        clock.advance(Duration::from_nanos(1));
        assert_eq!(text(&parameters).await.unwrap(), "second");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn each_read_may_have_a_max_age_of_its_own() {
        let (clock, provider, parameters) = parameters();
        let read = |max_age| parameters.get(NAME).max_age(max_age).into_future();
        read(SECOND).await.unwrap();
        provider.set(NAME, "second");
        clock.advance(2 * SECOND);
        assert_eq!(read(MINUTE).await.unwrap().as_str().unwrap(), "first");
        assert_eq!(read(SECOND).await.unwrap().as_str().unwrap(), "second");
        assert_eq!(read(MINUTE).await.unwrap().as_str().unwrap(), "second");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_max_age_of_zero_keeps_nothing() {
        let (_, provider, parameters) = parameters();
        let uncached = parameters.clone().max_age(Duration::ZERO);
        for calls in 1..4 {
            assert_eq!(text(&uncached).await.unwrap(), "first");
            assert_eq!(provider.calls(), calls);
        }
        // A clone shares the cache, and there is nothing in it.
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), 4);
        provider.set(NAME, "second");
        assert_eq!(text(&uncached).await.unwrap(), "second");
    }

    #[tokio::test]
    async fn a_forced_fetch_with_a_max_age_of_zero_is_not_kept_either() {
        let (_, provider, parameters) = parameters();
        let forced = || parameters.get(NAME).max_age(Duration::ZERO).force_fetch();
        forced().await.unwrap();
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), 2);
        provider.set(NAME, "second");
        assert_eq!(forced().await.unwrap().as_str().unwrap(), "second");
        assert_eq!(text_at_once(&parameters), "first");
    }

    #[tokio::test]
    async fn a_forced_fetch_looks_past_the_cache_and_fills_it() {
        let (_, provider, parameters) = parameters();
        text(&parameters).await.unwrap();
        provider.set(NAME, "second");
        assert_eq!(text_at_once(&parameters), "first");
        let forced = parameters.get(NAME).force_fetch().await.unwrap();
        assert_eq!(forced.as_str().unwrap(), "second");
        assert_eq!(text_at_once(&parameters), "second");
        assert_eq!(provider.calls(), 2);
    }

    /// Answers with what it was asked for.
    #[derive(Default)]
    struct Echo(AtomicUsize);

    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    struct EchoOptions {
        version: u32,
        decrypt: bool,
    }

    impl ParameterProvider for Echo {
        type Options = EchoOptions;

        async fn get(&self, name: &str, options: &EchoOptions) -> Result<Fetched, ProviderError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Fetched::text(format!("{name} {options:?}")))
        }
    }

    #[tokio::test]
    async fn every_option_is_a_part_of_the_key() {
        let parameters = Parameters::new(Echo::default()).max_age(MINUTE);
        let read = |version, decrypt| {
            parameters
                .get(NAME)
                .with(|options| EchoOptions { version, ..options })
                .with(|options| EchoOptions { decrypt, ..options })
                .into_future()
        };
        for _ in 0..2 {
            for (version, decrypt) in [(0, false), (0, true), (1, false), (1, true)] {
                let value = read(version, decrypt).await.unwrap();
                let options = EchoOptions { version, decrypt };
                assert_eq!(value.as_str().unwrap(), format!("{NAME} {options:?}"));
            }
        }
        assert_eq!(parameters.provider().0.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_provider_without_paths_says_so() {
        let parameters = Parameters::new(Echo::default());
        let error = parameters.get_multiple("/app").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Unsupported { .. }),
            "{error:?}"
        );
        assert_eq!(error.name(), "/app");
    }

    #[tokio::test]
    async fn what_is_forgotten_is_fetched_again() {
        let (_, provider, parameters) = parameters();
        provider.set("other", "1");
        let read = || async {
            text(&parameters).await.unwrap();
            parameters.get("other").await.unwrap();
            parameters.get_multiple("/app").await.unwrap();
            ["other", NAME, "/app"].map(|name| provider.calls_of(name))
        };
        assert_eq!(read().await, [1, 1, 1]);
        parameters.forget(NAME);
        assert_eq!(read().await, [1, 2, 1]);
        parameters.forget("/app");
        assert_eq!(read().await, [1, 2, 2]);
        parameters.clear();
        assert_eq!(read().await, [2, 3, 3]);
        assert_eq!(read().await, [2, 3, 3]);
    }

    #[tokio::test]
    async fn what_was_being_fetched_when_it_was_forgotten_is_not_kept() {
        let forget_name: fn(&Parameters<_>) = |parameters| parameters.forget(NAME);
        for forget in [forget_name, Parameters::clear] {
            let (_, provider, parameters) = parameters();
            provider.hold();
            let mut before = std::pin::pin!(text(&parameters));
            assert!(before.as_mut().now_or_never().is_none());
            forget(&parameters);
            provider.release();
            assert_eq!(before.await.unwrap(), "first");
            provider.set(NAME, "second");
            assert_eq!(text(&parameters).await.unwrap(), "second");
        }
    }

    #[tokio::test]
    async fn a_fetch_that_was_overtaken_is_not_kept() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut overtaken = std::pin::pin!(text(&parameters));
        assert!(overtaken.as_mut().now_or_never().is_none());
        let forced = parameters.get(NAME).force_fetch().into_future();
        provider.release();
        forced.await.unwrap();
        provider.set(NAME, "second");
        // It comes in later, with whatever it has.
        assert_eq!(overtaken.await.unwrap(), "second");
        assert_eq!(provider.calls(), 2);
        assert_eq!(text_at_once(&parameters), "first");
    }

    #[tokio::test]
    async fn a_value_that_has_not_changed_stays_the_same_in_memory() {
        let (clock, provider, parameters) = parameters();
        let first = parameters.get(NAME).await.unwrap();
        let below = parameters.get_multiple("/app").await.unwrap();
        clock.advance(2 * MINUTE);
        assert!(parameters.get(NAME).await.unwrap().ptr_eq(&first));
        assert!(
            parameters
                .get_multiple("/app")
                .await
                .unwrap()
                .ptr_eq(&below)
        );
        assert_eq!(provider.calls(), 4);

        // Another version of the same content is another value.
        provider.put(NAME, Fetched::text("first").version("2"));
        clock.advance(2 * MINUTE);
        let second = parameters.get(NAME).await.unwrap();
        assert!(!second.ptr_eq(&first));
        assert_eq!((first.version(), second.version()), (None, Some("2")));
        provider.set("/app/else", "");
        let more = parameters.get_multiple("/app").await.unwrap();
        assert!(!more.ptr_eq(&below));
        assert_eq!((below.len(), more.len()), (1, 2));
    }

    #[tokio::test]
    async fn a_value_that_the_provider_calls_current_is_not_fetched_before() {
        let (clock, provider, parameters) = parameters();
        provider.put(NAME, Fetched::text("first").current_for(10 * MINUTE));
        text(&parameters).await.unwrap();
        provider.set(NAME, "second");
        clock.advance(10 * MINUTE);
        assert_eq!(text_at_once(&parameters), "first");
        clock.advance(SECOND);
        assert_eq!(text(&parameters).await.unwrap(), "second");

        provider.put(NAME, Fetched::text("third").current_for(10 * MINUTE));
        let forced = parameters.get(NAME).force_fetch().await.unwrap();
        assert_eq!(forced.as_str().unwrap(), "third");
    }

    #[tokio::test]
    async fn a_parameter_that_does_not_exist_is_remembered_if_asked_to() {
        let (clock, provider, parameters) = parameters();
        provider.remove(NAME);
        for calls in 1..3 {
            assert!(text(&parameters).await.unwrap_err().is_not_found());
            assert_eq!(provider.calls(), calls);
        }
        let parameters = parameters.cache_not_found(10 * SECOND);
        text(&parameters).await.unwrap_err();
        provider.set(NAME, "second");
        clock.advance(10 * SECOND);
        let error = text(&parameters).await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!((error.name(), provider.calls()), (NAME, 3));
        let forced = parameters.get(NAME).force_fetch().await.unwrap();
        assert_eq!(forced.as_str().unwrap(), "second");

        provider.remove(NAME);
        clock.advance(2 * MINUTE);
        text(&parameters).await.unwrap_err();
        clock.advance(10 * SECOND + Duration::from_nanos(1));
        provider.set(NAME, "third");
        assert_eq!(text(&parameters).await.unwrap(), "third");
    }

    #[tokio::test]
    async fn a_parameter_that_does_not_exist_is_looked_for_again_in_the_background() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters
            .cache_not_found(10 * SECOND)
            .refresh_in_background(20 * SECOND);
        let missing_at_once = || {
            let error = text(&parameters).now_or_never().unwrap().unwrap_err();
            assert!(error.is_not_found(), "{error:?}");
        };
        provider.remove(NAME);
        text(&parameters).await.unwrap_err();
        clock.advance(10 * SECOND);
        missing_at_once();
        settle().await;
        assert_eq!(provider.calls(), 1);
        // A task looks for it, and says so for as long again.
        clock.advance(20 * SECOND);
        missing_at_once();
        settle().await;
        missing_at_once();
        assert_eq!(provider.calls(), 2);
        // And this one finds it.
        provider.set(NAME, "second");
        clock.advance(30 * SECOND);
        missing_at_once();
        settle().await;
        assert_eq!(text_at_once(&parameters), "second");
        assert_eq!(provider.calls(), 3);

        provider.remove(NAME);
        parameters.clear();
        text(&parameters).await.unwrap_err();
        provider.set(NAME, "third");
        clock.advance(30 * SECOND + Duration::from_nanos(1));
        assert_eq!(text(&parameters).await.unwrap(), "third");
    }

    #[tokio::test]
    async fn that_a_parameter_does_not_exist_is_not_said_in_place_of_another_error() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters
            .cache_not_found(10 * SECOND)
            .refresh_in_background(20 * SECOND)
            .stale_if_error(MINUTE);
        provider.remove(NAME);
        provider.hold();
        let mut overtaken = std::pin::pin!(text(&parameters));
        assert!(overtaken.as_mut().now_or_never().is_none());
        provider.release();
        let forced = parameters.get(NAME).force_fetch().await;
        assert!(forced.unwrap_err().is_not_found());
        provider.fail(ProviderErrorKind::Throttled);
        let throttled = |error: &ParameterError| matches!(error, ParameterError::Throttled { .. });
        let error = overtaken.await.unwrap_err();
        assert!(throttled(&error), "{error:?}");

        clock.advance(MINUTE);
        let error = text(&parameters).await.unwrap_err();
        assert!(throttled(&error), "{error:?}");
    }

    #[tokio::test]
    async fn jitter_makes_values_too_old_at_different_times() {
        let (clock, provider, _) = parameters();
        let names: Vec<_> = (0..100).map(|number| format!("{number}")).collect();
        for name in &names {
            provider.set(name, "");
        }
        let parameters = Parameters::from_env(provider.clone(), &Env::default())
            .max_age(100 * SECOND)
            .jitter(0.5)
            .with_clock(&clock);
        let read_all = || async {
            let before = provider.calls();
            for name in &names {
                parameters.get(name).await.unwrap();
            }
            provider.calls() - before
        };
        assert_eq!(read_all().await, 100);
        clock.advance(50 * SECOND);
        assert_eq!(read_all().await, 0);
        clock.advance(25 * SECOND);
        let half = read_all().await;
        assert!((20..=80).contains(&half), "{half}");
        clock.advance(25 * SECOND + Duration::from_nanos(1));
        assert_eq!(read_all().await, 100 - half);
    }

    #[tokio::test]
    async fn a_value_may_be_kept_for_ever() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters
            .max_age(Duration::MAX)
            .jitter(1.0)
            .stale_if_error(Duration::MAX)
            .refresh_in_background(Duration::MAX)
            .cache_not_found(Duration::MAX)
            .timeout(Duration::MAX);
        provider.put(NAME, Fetched::text("first").current_for(Duration::MAX));
        text(&parameters).await.unwrap();
        parameters.get("missing").await.unwrap_err();
        clock.advance(5_256_000 * MINUTE);
        text_at_once(&parameters);
        parameters.get("missing").await.unwrap_err();
        settle().await;
        assert_eq!(provider.calls(), 2);
    }

    #[test]
    #[should_panic = "the jitter must be a share from 0 to 1"]
    fn jitter_is_a_share() {
        let _ = Parameters::new(MapProvider::new()).jitter(f64::NAN);
    }

    #[tokio::test]
    async fn the_environment_says_how_old_values_may_be() {
        let (clock, provider, _) = parameters();
        for (max_age, stays, goes) in [
            (None, 5 * SECOND, SECOND),
            (Some("0.5"), SECOND / 2, SECOND),
            (Some("1 hour"), 5 * SECOND, SECOND),
        ] {
            let env = max_age.map(|age| (env::PARAMETERS_MAX_AGE, age));
            let env = Env::from_iter(env);
            let parameters = Parameters::from_env(provider.clone(), &env).with_clock(&clock);
            provider.set(NAME, "first");
            text(&parameters).await.unwrap();
            provider.set(NAME, "second");
            clock.advance(stays);
            assert_eq!(text_at_once(&parameters), "first", "{max_age:?}");
            clock.advance(goes);
            assert_eq!(text(&parameters).await.unwrap(), "second", "{max_age:?}");
        }
    }
}

mod time {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_no_value_younger() {
        let (clock, provider, parameters) = parameters();
        text(&parameters).await.unwrap();
        clock.set(UNIX_EPOCH);
        clock.advance(59 * SECOND);
        text_at_once(&parameters);
        clock.advance(2 * SECOND);
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_value_is_as_old_as_the_fetch_that_brought_it() {
        let (clock, provider, parameters) = parameters();
        provider.hold();
        let mut slow = std::pin::pin!(text(&parameters));
        assert!(slow.as_mut().now_or_never().is_none());
        clock.advance(MINUTE + SECOND);
        provider.release();
        slow.await.unwrap();
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_fetch_that_was_frozen_is_not_waited_for() {
        let (clock, provider, parameters) = parameters();
        provider.hold();
        let mut frozen = std::pin::pin!(text(&parameters));
        assert!(frozen.as_mut().now_or_never().is_none());
        clock.advance(5 * SECOND);
        let mut joins = std::pin::pin!(text(&parameters));
        assert!(joins.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 1);
        clock.advance(SECOND);
        let mut after = std::pin::pin!(text(&parameters));
        assert!(after.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 2);
        provider.release();
        for read in [frozen, joins, after] {
            assert_eq!(read.await.unwrap(), "first");
        }
    }
}

mod one_fetch_for_all {
    use super::*;

    #[tokio::test]
    async fn misses_at_once_make_one_call() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut reads = JoinSet::new();
        for _ in 0..64 {
            let parameters = parameters.clone();
            reads.spawn(async move { text(&parameters).await.unwrap() });
        }
        settle().await;
        provider.release();
        assert_eq!(reads.join_all().await, ["first"; 64]);
        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn misses_on_many_threads_make_one_call_a_time() {
        let (clock, provider, parameters) = parameters();
        for round in 1..=200 {
            let mut reads = JoinSet::new();
            for _ in 0..16 {
                let parameters = parameters.clone();
                reads.spawn(async move { text(&parameters).await.unwrap() });
            }
            assert_eq!(reads.join_all().await, ["first"; 16]);
            assert_eq!(provider.calls(), round);
            clock.advance(2 * MINUTE);
        }
    }

    #[tokio::test]
    async fn whoever_began_the_fetch_may_give_up() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut leader = Box::pin(text(&parameters));
        let mut waits = std::pin::pin!(text(&parameters));
        assert!(leader.as_mut().now_or_never().is_none());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(leader);
        provider.release();
        assert_eq!(waits.await.unwrap(), "first");
        assert_eq!(provider.calls(), 1);
        assert_eq!(text_at_once(&parameters), "first");
    }

    #[tokio::test]
    async fn a_leader_that_is_not_polled_any_more_holds_up_nobody() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut leader = std::pin::pin!(text(&parameters));
        assert!(leader.as_mut().now_or_never().is_none());
        provider.release();
        assert_eq!(text(&parameters).await.unwrap(), "first");
        assert_eq!(provider.calls(), 1);
        assert_eq!(leader.await.unwrap(), "first");
    }

    #[tokio::test]
    async fn a_fetch_that_nobody_waits_for_is_dropped() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut leader = Box::pin(text(&parameters));
        assert!(leader.as_mut().now_or_never().is_none());
        drop(leader);
        provider.release();
        assert_eq!(text(&parameters).await.unwrap(), "first");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_failed_fetch_fails_all_who_waited_and_nobody_after() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        provider.fail(ProviderErrorKind::Throttled);
        let mut reads = JoinSet::new();
        for _ in 0..64 {
            let parameters = parameters.clone();
            reads.spawn(async move { text(&parameters).await.unwrap_err() });
        }
        settle().await;
        provider.release();
        for error in reads.join_all().await {
            assert!(
                matches!(error, ParameterError::Throttled { .. }),
                "{error:?}"
            );
        }
        assert_eq!(provider.calls(), 1);
        provider.recover();
        assert_eq!(text(&parameters).await.unwrap(), "first");
    }

    #[tokio::test]
    async fn a_provider_that_panics_fails_the_read_and_not_the_next() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        provider.panic();
        let mut reads = [Box::pin(text(&parameters)), Box::pin(text(&parameters))];
        for read in &mut reads {
            assert!(read.as_mut().now_or_never().is_none());
        }
        provider.release();
        for read in reads {
            let error = read.await.unwrap_err();
            assert!(
                matches!(error, ParameterError::Panicked { .. }),
                "{error:?}"
            );
            assert_eq!(error.name(), NAME);
        }
        assert_eq!(provider.calls(), 1);
        provider.recover();
        assert_eq!(text(&parameters).await.unwrap(), "first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_is_too_slow_fails_the_read_and_not_the_next() {
        let (_, provider, parameters) = parameters();
        provider.slow(10 * SECOND);
        let start = tokio::time::Instant::now();
        let error = text(&parameters).await.unwrap_err();
        assert!(
            matches!(error, ParameterError::TimedOut { .. }),
            "{error:?}"
        );
        assert_eq!(start.elapsed(), 5 * SECOND);

        let patient = parameters.timeout(11 * SECOND);
        assert_eq!(text(&patient).await.unwrap(), "first");
        assert_eq!(start.elapsed(), 15 * SECOND);
    }

    #[tokio::test]
    async fn a_slow_parameter_holds_up_no_other() {
        let (_, provider, parameters) = parameters();
        for number in 0..100 {
            provider.set(format!("{number}"), "");
        }
        parameters.get("0").await.unwrap();
        provider.hold();
        let mut slow = std::pin::pin!(text(&parameters));
        assert!(slow.as_mut().now_or_never().is_none());
        // What is kept is read, and what is not is asked for.
        let warm = parameters.get("0").into_future().now_or_never();
        warm.expect("nothing is to be waited for").unwrap();
        for number in 1..100 {
            let name = format!("{number}");
            let cold = parameters.get(&name).into_future().now_or_never();
            assert!(cold.is_none());
            assert_eq!(provider.calls_of(&name), 1);
        }
    }

    #[tokio::test]
    async fn a_fetch_that_was_overtaken_takes_nothing_away_with_it() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut overtaken = Box::pin(text(&parameters));
        assert!(overtaken.as_mut().now_or_never().is_none());
        let mut forced = std::pin::pin!(parameters.get(NAME).force_fetch().into_future());
        assert!(forced.as_mut().now_or_never().is_none());
        drop(overtaken);
        let mut joins = std::pin::pin!(text(&parameters));
        assert!(joins.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 2);
        provider.release();
        forced.await.unwrap();
        assert_eq!(text_at_once(&parameters), "first");
        joins.await.unwrap();
    }

    #[tokio::test]
    async fn a_forced_fetch_joins_none_that_began_before() {
        let (_, provider, parameters) = parameters();
        provider.hold();
        let mut normal = std::pin::pin!(text(&parameters));
        assert!(normal.as_mut().now_or_never().is_none());
        let mut forced = std::pin::pin!(parameters.get(NAME).force_fetch().into_future());
        assert!(forced.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 2);
        // Others join the later one.
        let mut joins = std::pin::pin!(text(&parameters));
        assert!(joins.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 2);
        provider.release();
        forced.await.unwrap();
        assert_eq!(text_at_once(&parameters), "first");
        assert_eq!(joins.await.unwrap(), "first");
        assert_eq!(normal.await.unwrap(), "first");
    }
}

mod when_the_provider_fails {
    use super::*;

    #[tokio::test]
    async fn an_older_value_is_served_up_to_its_limit_and_then_the_error() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters.stale_if_error(10 * MINUTE);
        text(&parameters).await.unwrap();
        for kind in [
            ProviderErrorKind::Throttled,
            ProviderErrorKind::TimedOut,
            ProviderErrorKind::Other,
        ] {
            provider.fail(kind);
            clock.advance(2 * MINUTE);
            assert_eq!(text(&parameters).await.unwrap(), "first", "{kind:?}");
        }
        provider.panic();
        clock.advance(5 * MINUTE);
        // Eleven minutes old to the second.
        assert_eq!(text(&parameters).await.unwrap(), "first");
        clock.advance(SECOND);
        let error = text(&parameters).await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Panicked { .. }),
            "{error:?}"
        );
        provider.recover();
        provider.set(NAME, "second");
        assert_eq!(text(&parameters).await.unwrap(), "second");
    }

    #[tokio::test]
    async fn by_default_the_error_is_returned() {
        let (clock, provider, parameters) = parameters();
        text(&parameters).await.unwrap();
        clock.advance(2 * MINUTE);
        provider.fail(ProviderErrorKind::Other);
        let error = text(&parameters).await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_value_is_served_for_a_provider_that_is_too_slow() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters.stale_if_error(10 * MINUTE);
        text(&parameters).await.unwrap();
        clock.advance(2 * MINUTE);
        provider.slow(MINUTE);
        let start = tokio::time::Instant::now();
        assert_eq!(text(&parameters).await.unwrap(), "first");
        assert_eq!(start.elapsed(), 5 * SECOND);
        // The next do not wait.
        assert_eq!(text_at_once(&parameters), "first");
    }

    #[tokio::test]
    async fn the_provider_is_left_alone_for_longer_with_each_failure() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters.stale_if_error(60 * MINUTE);
        text(&parameters).await.unwrap();
        clock.advance(2 * MINUTE);
        provider.fail(ProviderErrorKind::Throttled);
        let mut calls = 1;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            text(&parameters).await.unwrap();
            calls += 1;
            assert_eq!(provider.calls(), calls);
            clock.advance(pause * SECOND - Duration::from_nanos(1));
            text_at_once(&parameters);
            assert_eq!(provider.calls(), calls, "after {pause} s");
            clock.advance(Duration::from_nanos(1));
        }
        provider.recover();
        text(&parameters).await.unwrap();
        // And it begins anew.
        provider.fail(ProviderErrorKind::Throttled);
        clock.advance(2 * MINUTE);
        text(&parameters).await.unwrap();
        clock.advance(SECOND);
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), calls + 3);
    }

    #[tokio::test]
    async fn a_parameter_that_is_gone_or_forbidden_is_not_served() {
        for (kind, is_kind) in [
            (
                ProviderErrorKind::NotFound,
                ParameterError::is_not_found as fn(&ParameterError) -> bool,
            ),
            (
                ProviderErrorKind::AccessDenied,
                ParameterError::is_access_denied,
            ),
            (ProviderErrorKind::InvalidRequest, |error| {
                matches!(error, ParameterError::InvalidRequest { .. })
            }),
        ] {
            let (clock, provider, parameters) = parameters();
            let parameters = parameters.stale_if_error(10 * MINUTE);
            text(&parameters).await.unwrap();
            clock.advance(2 * MINUTE);
            provider.fail(kind);
            assert!(is_kind(&text(&parameters).await.unwrap_err()), "{kind:?}");
            // Nor when the next failure is another.
            provider.fail(ProviderErrorKind::Other);
            text(&parameters).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn nothing_older_is_served_to_who_wants_it_fetched() {
        let (_, provider, parameters) = parameters();
        let parameters = parameters.stale_if_error(10 * MINUTE);
        text(&parameters).await.unwrap();
        provider.fail(ProviderErrorKind::Other);
        parameters.get(NAME).force_fetch().await.unwrap_err();
        let uncached = parameters.get(NAME).max_age(Duration::ZERO);
        uncached.await.unwrap_err();
        // What is kept is as good as before.
        assert_eq!(text_at_once(&parameters), "first");
    }

    #[tokio::test]
    async fn the_errors_sources_are_those_of_the_provider() {
        struct Failing;

        impl ParameterProvider for Failing {
            type Options = ();

            async fn get(&self, _: &str, (): &()) -> Result<Fetched, ProviderError> {
                Err(ProviderError::throttled().with_source(io::Error::other("rate exceeded")))
            }
        }

        let error = Parameters::new(Failing).get(NAME).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("fetching parameter `{NAME}` was throttled")
        );
        assert_eq!(error.source().unwrap().to_string(), "rate exceeded");
    }
}

mod in_the_background {
    use super::*;

    /// Parameters that are two minutes old and are refreshed by tasks.
    async fn stale() -> (Clock, MemoryProvider, Parameters<MemoryProvider>) {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters.refresh_in_background(10 * MINUTE);
        text(&parameters).await.unwrap();
        clock.advance(2 * MINUTE);
        provider.set(NAME, "second");
        (clock, provider, parameters)
    }

    #[tokio::test]
    async fn warm_reads_do_not_wait_for_a_slow_provider() {
        let (_, provider, parameters) = stale().await;
        provider.hold();
        for _ in 0..10 {
            assert_eq!(text_at_once(&parameters), "first");
            settle().await;
        }
        // One task for all of them.
        assert_eq!(provider.calls(), 2);
        provider.release();
        settle().await;
        assert_eq!(text_at_once(&parameters), "second");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_value_that_is_too_old_even_for_that_is_waited_for() {
        let (clock, provider, parameters) = stale().await;
        provider.hold();
        text_at_once(&parameters);
        settle().await;
        clock.advance(9 * MINUTE + SECOND);
        // The task's fetch would do, but it is older than any may be.
        let mut waits = std::pin::pin!(text(&parameters));
        assert!(waits.as_mut().now_or_never().is_none());
        provider.release();
        assert_eq!(waits.await.unwrap(), "second");
    }

    #[tokio::test]
    async fn a_read_that_has_to_wait_joins_the_task() {
        let (_, provider, parameters) = stale().await;
        provider.hold();
        text_at_once(&parameters);
        settle().await;
        let mut waits = std::pin::pin!(text(&parameters));
        let strict = parameters.clone().refresh_in_background(Duration::ZERO);
        let mut strict = std::pin::pin!(text(&strict));
        assert!(waits.as_mut().now_or_never().is_some());
        assert!(strict.as_mut().now_or_never().is_none());
        provider.release();
        assert_eq!(strict.await.unwrap(), "second");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_by_the_timeout_and_the_next_comes_after_a_pause() {
        let (clock, provider, parameters) = stale().await;
        provider.slow(MINUTE);
        text_at_once(&parameters);
        tokio::time::sleep(6 * SECOND).await;
        // It has failed, and the provider is left alone.
        text_at_once(&parameters);
        settle().await;
        assert_eq!(provider.calls(), 2);
        clock.advance(SECOND);
        provider.slow(Duration::ZERO);
        text_at_once(&parameters);
        settle().await;
        assert_eq!(provider.calls(), 3);
        assert_eq!(text_at_once(&parameters), "second");
    }

    #[tokio::test]
    async fn a_task_that_fails_or_panics_is_seen_in_a_warning_only() {
        let (clock, provider, parameters) = stale().await;
        let (warnings, _guard) = Warnings::listen();
        provider.fail(ProviderErrorKind::Throttled);
        text_at_once(&parameters);
        settle().await;
        let [warning] = warnings.take().try_into().unwrap();
        assert!(
            warning.starts_with("WARN message=could not be fetched again"),
            "{warning}"
        );
        assert!(
            warning.contains(&format!("parameter={NAME:?}")),
            "{warning}"
        );
        assert!(warning.contains("was throttled"), "{warning}");

        clock.advance(SECOND);
        provider.panic();
        text_at_once(&parameters);
        settle().await;
        assert_eq!(warnings.take().len(), 1);
        clock.advance(MINUTE);
        provider.recover();
        text_at_once(&parameters);
        settle().await;
        assert_eq!(warnings.take(), [""; 0]);
        assert_eq!(text_at_once(&parameters), "second");
    }

    #[tokio::test]
    async fn a_parameter_that_is_found_to_be_gone_is_not_served_any_more() {
        let (_, provider, parameters) = stale().await;
        provider.remove(NAME);
        text_at_once(&parameters);
        settle().await;
        assert!(text(&parameters).await.unwrap_err().is_not_found());
    }

    #[test]
    fn a_runtime_that_has_ended_takes_no_task_and_the_value_is_served() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (_, provider, parameters) = runtime.block_on(stale());
        let handle = runtime.handle().clone();
        drop(runtime);
        let _guard = handle.enter();
        assert_eq!(text_at_once(&parameters), "first");
        assert_eq!(text_at_once(&parameters), "first");
        assert_eq!(provider.calls(), 1);
    }

    #[test]
    fn a_task_does_not_keep_the_runtime_from_ending() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap()
        };
        let first = runtime();
        let (_, provider, parameters) = first.block_on(stale());
        provider.hold();
        first.block_on(async {
            text_at_once(&parameters);
            settle().await;
        });
        drop(first);
        assert_eq!(provider.calls(), 2);
        // Nor is the parameter lost for the next.
        provider.release();
        runtime().block_on(async {
            text_at_once(&parameters);
            settle().await;
            assert_eq!(text_at_once(&parameters), "second");
        });
    }
}

mod limits {
    use super::*;

    fn many(count: usize, bytes: usize) -> MemoryProvider {
        let text = "x".repeat(bytes);
        (0..count)
            .map(|number| (format!("{number:03}"), &*text))
            .collect()
    }

    /// Reads all once, and then returns how many are still kept.
    async fn kept(parameters: &Parameters<MemoryProvider>, count: usize) -> usize {
        let names: Vec<_> = (0..count).map(|number| format!("{number:03}")).collect();
        for name in &names {
            parameters.get(name).await.unwrap();
        }
        let before = parameters.provider().calls();
        // From the last to the first, so that what is fetched displaces only what was read.
        for name in names.iter().rev() {
            parameters.get(name).await.unwrap();
        }
        count - (parameters.provider().calls() - before)
    }

    #[tokio::test]
    async fn so_many_entries_are_kept_however_small() {
        let parameters = Parameters::new(many(100, 0))
            .max_age(MINUTE)
            .max_entries(10);
        assert_eq!(kept(&parameters, 100).await, 10);
    }

    #[tokio::test]
    async fn so_many_bytes_are_kept_however_few_the_entries() {
        let parameters = Parameters::new(many(100, 997))
            .max_age(MINUTE)
            .max_bytes(20_000);
        // A name has 3 bytes.
        assert_eq!(kept(&parameters, 100).await, 20);
    }

    #[tokio::test]
    async fn without_room_everything_is_served_and_nothing_kept() {
        for parameters in [
            Parameters::new(many(5, 10)).max_age(MINUTE).max_entries(0),
            Parameters::new(many(5, 10)).max_age(MINUTE).max_bytes(0),
            Parameters::new(many(5, 10)).max_age(MINUTE).max_bytes(12),
        ] {
            assert_eq!(kept(&parameters, 5).await, 0, "{parameters:?}");
        }
    }

    #[tokio::test]
    async fn a_value_that_is_too_large_is_an_error_that_names_it() {
        let (_, provider, parameters) = parameters();
        let document = format!(r#"{{"secret":"{}"}}"#, SECRET.repeat(10 << 16));
        provider.set(NAME, &document);
        let error = text(&parameters).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "parameter `{NAME}` has {} bytes, more than the 4194304 that are allowed",
                document.len()
            )
        );
        assert!(!everything(&error).contains(SECRET));

        let error = parameters.get_multiple("/app").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::TooLarge { .. }),
            "{error:?}"
        );
        assert_eq!(error.name(), NAME);

        let parameters = parameters.max_value_bytes(document.len());
        assert_eq!(text(&parameters).await.unwrap(), document);
    }
}

mod transforms {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Database {
        host: String,
        port: u16,
    }

    fn of(values: &[(&str, &str)]) -> (MemoryProvider, Parameters<MemoryProvider>) {
        let provider: MemoryProvider = values.iter().copied().collect();
        let parameters = Parameters::new(provider.clone()).max_age(MINUTE);
        (provider, parameters)
    }

    #[tokio::test]
    async fn json_is_parsed_once_for_each_fetched_value_and_type() {
        let (provider, parameters) = of(&[("db", r#"{"host":"localhost","port":5432}"#)]);
        let first = parameters.get("db").json::<Database>().await.unwrap();
        let again = parameters.get("db").json::<Database>().await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let any = parameters
            .get("db")
            .json::<serde_json::Value>()
            .await
            .unwrap();
        assert_eq!(any["port"], 5432);
        assert_eq!(provider.calls(), 1);

        // Fetched again without a change, it is the same.
        let forced = parameters.get("db").force_fetch().json::<Database>().await;
        assert!(Arc::ptr_eq(&first, &forced.unwrap()));
        provider.set("db", r#"{"host":"elsewhere","port":5432}"#);
        let changed = parameters.get("db").force_fetch().json::<Database>().await;
        assert_eq!(changed.unwrap().host, "elsewhere");
    }

    #[tokio::test]
    async fn what_is_no_json_of_the_type_is_an_error_that_shows_nothing_of_it() {
        for (json, is) in [
            (format!("{{\"host\":\"{SECRET}\""), Category::Eof),
            (format!("{{\"host\":{SECRET}"), Category::Syntax),
            (
                format!("{{\"host\":\"localhost\",\"port\":\"{SECRET}\"}}"),
                Category::Data,
            ),
            (format!("\"{SECRET}\""), Category::Data),
            (SECRET.to_owned(), Category::Syntax),
            (String::new(), Category::Eof),
        ] {
            let (_, parameters) = of(&[("db", &json)]);
            let error = parameters.get("db").json::<Database>().await.unwrap_err();
            let ParameterError::Transform { name, source, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(&**name, "db");
            let TransformError::Json { category, .. } = source else {
                panic!("{error:?}");
            };
            assert_eq!(*category, is, "{json}");
            assert!(!everything(&error).contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_type_whose_code_panics_spoils_nothing() {
        struct Panics;

        impl<'de> Deserialize<'de> for Panics {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("told to panic");
            }
        }

        let (_, parameters) = of(&[("a", "1")]);
        let value = parameters.get("a").await.unwrap();
        std::panic::catch_unwind(|| drop(value.json::<Panics>())).unwrap_err();
        assert_eq!(*value.json::<u8>().unwrap(), 1);
    }

    #[tokio::test]
    async fn binary_is_decoded_once() {
        let (_, parameters) = of(&[("key", "//79\n"), ("broken", SECRET)]);
        let key = parameters.get("key").binary().await.unwrap();
        assert_eq!(key.as_bytes(), [0xff, 0xfe, 0xfd]);
        assert!(parameters.get("key").binary().await.unwrap().ptr_eq(&key));
        // Bytes stay bytes.
        assert!(key.binary().unwrap().ptr_eq(&key));

        let error = parameters.get("broken").binary().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter `broken` could not be transformed"
        );
        assert_eq!(error.source().unwrap().to_string(), "not base64");
        assert!(!everything(&error).contains("hunter2"));
    }

    #[tokio::test]
    async fn bytes_are_no_text_unless_they_are() {
        let (provider, parameters) = of(&[]);
        provider.put("bytes", Fetched::binary(*b"\xffhunter2"));
        provider.put("text", Fetched::binary(*b"[\"text\"]"));
        let bytes = parameters.get("bytes").await.unwrap();
        let error = bytes.as_str().unwrap_err();
        assert!(matches!(error, ParameterError::NotText { .. }), "{error:?}");
        assert_eq!(error.to_string(), "parameter `bytes` is not text");
        assert!(!everything(&error).contains("hunter2"));
        assert!(bytes.json::<String>().is_err());
        let text = parameters.get("text").await.unwrap();
        assert_eq!(text.as_str().unwrap(), "[\"text\"]");
        assert_eq!(*text.json::<[String; 1]>().unwrap(), ["text"]);
    }

    #[tokio::test]
    async fn a_name_says_by_its_end_what_its_value_is() {
        let (_, parameters) = of(&[("a.json", "[1]"), ("a.binary", "AQ=="), ("a", "[1]")]);
        let auto = |name| parameters.get(name).auto::<Vec<u8>>();
        let [json, binary, text] = ["a.json", "a.binary", "a"].map(auto);
        assert!(matches!(json.await.unwrap(), Transformed::Json(json) if *json == [1]));
        assert!(
            matches!(binary.await.unwrap(), Transformed::Binary(value) if value.as_bytes() == [1])
        );
        assert!(
            matches!(text.await.unwrap(), Transformed::Unchanged(value) if value.as_bytes() == b"[1]")
        );
    }

    #[tokio::test]
    async fn values_below_a_path_come_in_the_order_of_their_names() {
        let (provider, parameters) = of(&[
            ("/app/b.json", "[2]"),
            ("/app/a.json", "[1,"),
            ("/app/c/d.binary", "AQ=="),
            ("/app/json", "[3]"),
            ("/apple", "[4]"),
        ]);
        let values = parameters.get_multiple("/app").await.unwrap();
        let names: Vec<_> = values.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.json", "b.json", "c/d.binary", "json"]);
        assert_eq!(values.get("b.json").unwrap().name(), "/app/b.json");
        assert!(values.get("/app/b.json").is_none());

        // One that is broken fails alone.
        let mut all: BTreeMap<_, _> = values.auto::<Vec<u8>>().collect();
        let error = all.remove("a.json").unwrap().unwrap_err();
        assert_eq!(error.name(), "/app/a.json");
        let (b, d, json) = (&all["b.json"], &all["c/d.binary"], &all["json"]);
        assert!(matches!(b, Ok(Transformed::Json(json)) if **json == [2]));
        assert!(matches!(d, Ok(Transformed::Binary(value)) if value.as_bytes() == [1]));
        assert!(matches!(json, Ok(Transformed::Json(json)) if **json == [3]));
        let json: Result<Vec<_>, _> = values.json::<Vec<u8>>().map(|(_, json)| json).collect();
        assert_eq!(json.unwrap_err().name(), "/app/a.json");
        assert_eq!(
            values.binary().filter(|(_, value)| value.is_ok()).count(),
            1
        );

        parameters.get_multiple("/app").await.unwrap();
        assert_eq!(provider.calls(), 1);
        assert!(parameters.get_multiple("/none").await.unwrap().is_empty());
    }
}

mod secrets {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum LogIn {
        Refused,
        Down,
    }

    /// A database that knows one password.
    struct Database {
        password: Mutex<&'static str>,
        tried: Mutex<Vec<String>>,
    }

    impl Database {
        fn new(password: &'static str) -> Arc<Self> {
            Arc::new(Self {
                password: Mutex::new(password),
                tried: Mutex::default(),
            })
        }

        async fn log_in(&self, password: Value) -> Result<(), LogIn> {
            let password = password.as_str().unwrap().to_owned();
            yield_now().await;
            let is_right = password == *self.password.lock().unwrap();
            self.tried.lock().unwrap().push(password);
            if is_right {
                Ok(())
            } else {
                Err(LogIn::Refused)
            }
        }

        fn tried(&self) -> Vec<String> {
            std::mem::take(&mut self.tried.lock().unwrap())
        }
    }

    async fn log_in(
        parameters: &Parameters<MemoryProvider>,
        database: &Database,
    ) -> Result<(), SecretError<LogIn>> {
        let log_in = |password| database.log_in(password);
        parameters
            .with_secret(NAME, log_in, |error| *error == LogIn::Refused)
            .await
    }

    #[track_caller]
    fn assert_refused(result: &Result<(), SecretError<LogIn>>) {
        let refused = matches!(result, Err(SecretError::Operation(LogIn::Refused)));
        assert!(refused, "{result:?}");
    }

    #[tokio::test]
    async fn a_secret_that_was_rotated_is_fetched_again_and_tried_once_more() {
        let (_, provider, parameters) = parameters();
        let database = Database::new("first");
        log_in(&parameters, &database).await.unwrap();
        log_in(&parameters, &database).await.unwrap();
        assert_eq!(provider.calls(), 1);
        *database.password.lock().unwrap() = "second";
        provider.set(NAME, "second");
        database.tried();
        log_in(&parameters, &database).await.unwrap();
        assert_eq!(database.tried(), ["first", "second"]);
        log_in(&parameters, &database).await.unwrap();
        assert_eq!(database.tried(), ["second"]);
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn many_who_are_refused_at_once_fetch_once() {
        for rotated in ["second", "first"] {
            let (_, provider, parameters) = parameters();
            let database = Database::new("second");
            text(&parameters).await.unwrap();
            provider.set(NAME, rotated);
            let mut all = JoinSet::new();
            for number in 0..64 {
                let (parameters, database) = (parameters.clone(), Arc::clone(&database));
                all.spawn(async move {
                    let mut is_late = number >= 32;
                    let log_in = |password| {
                        let database = &database;
                        let wait = std::mem::take(&mut is_late);
                        async move {
                            if wait {
                                settle().await;
                            }
                            database.log_in(password).await
                        }
                    };
                    let is_refused = |error: &LogIn| *error == LogIn::Refused;
                    parameters.with_secret(NAME, log_in, is_refused).await
                });
            }
            for result in all.join_all().await {
                assert_eq!(result.is_ok(), rotated == "second", "{result:?}");
            }
            assert_eq!(provider.calls(), 2, "{rotated}");
        }
    }

    #[tokio::test]
    async fn the_same_secret_is_not_tried_again() {
        let (clock, provider, parameters) = parameters();
        let database = Database::new("second");
        assert_refused(&log_in(&parameters, &database).await);
        assert_eq!(database.tried(), ["first"]);
        assert_eq!(provider.calls(), 2);
        // Nobody knows what the next time brings, but it is not asked about all the time.
        clock.advance(5 * SECOND);
        assert_refused(&log_in(&parameters, &database).await);
        assert_eq!(provider.calls(), 3);
    }

    #[tokio::test]
    async fn a_secret_that_is_refused_again_and_again_is_fetched_again_once() {
        let (clock, provider, parameters) = parameters();
        let database = Database::new("second");
        for _ in 0..100 {
            assert_refused(&log_in(&parameters, &database).await);
            clock.advance(SECOND / 100);
        }
        assert_eq!(provider.calls(), 2);
        provider.set(NAME, "second");
        clock.advance(4 * SECOND);
        log_in(&parameters, &database).await.unwrap();
        assert_eq!(provider.calls(), 3);
    }

    #[tokio::test]
    async fn with_a_max_age_of_zero_a_refused_secret_is_not_kept() {
        let (_, provider, parameters) = parameters();
        let uncached = parameters.clone().max_age(Duration::ZERO);
        let database = Database::new("second");
        for calls in [2, 4] {
            assert_refused(&log_in(&uncached, &database).await);
            assert_eq!(provider.calls(), calls);
        }
        text(&parameters).await.unwrap();
        assert_eq!(provider.calls(), 5);
    }

    #[tokio::test]
    async fn a_newer_secret_that_is_refused_too_is_the_end_of_it() {
        let (_, provider, parameters) = parameters();
        let database = Database::new("third");
        text(&parameters).await.unwrap();
        provider.set(NAME, "second");
        assert_refused(&log_in(&parameters, &database).await);
        assert_eq!(database.tried(), ["first", "second"]);
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_secret_that_another_read_has_brought_since_is_not_fetched_again() {
        let (_, provider, parameters) = parameters();
        let database = Database::new("second");
        let rotate = |password| {
            let (parameters, provider, database) = (&parameters, &provider, &database);
            async move {
                let result = database.log_in(password).await;
                if result.is_err() {
                    provider.set(NAME, "second");
                    parameters.get(NAME).force_fetch().await.unwrap();
                }
                result
            }
        };
        let result = parameters.with_secret(NAME, rotate, |error| *error == LogIn::Refused);
        result.await.unwrap();
        assert_eq!(database.tried(), ["first", "second"]);
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_fetch_that_began_before_the_refusal_will_not_do() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters.refresh_in_background(10 * MINUTE);
        text(&parameters).await.unwrap();
        clock.advance(2 * MINUTE);
        provider.hold();
        // A task begins to fetch what it will find to be the old secret.
        let database = Database::new("second");
        let mut logging_in = std::pin::pin!(log_in(&parameters, &database));
        assert!(logging_in.as_mut().now_or_never().is_none());
        settle().await;
        assert_eq!(provider.calls(), 2);
        assert!(logging_in.as_mut().now_or_never().is_none());
        assert_eq!(provider.calls(), 3);
        provider.set(NAME, "second");
        provider.release();
        logging_in.await.unwrap();
    }

    #[tokio::test]
    async fn another_failure_is_returned_as_it_is() {
        let (_, provider, parameters) = parameters();
        let down = |_| async { Err::<(), _>(LogIn::Down) };
        let result = parameters.with_secret(NAME, down, |error| *error == LogIn::Refused);
        let error = result.await.unwrap_err();
        assert!(
            matches!(error, SecretError::Operation(LogIn::Down)),
            "{error:?}"
        );
        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_fetched_again_leaves_the_refusal_and_a_warning() {
        let (_, provider, parameters) = parameters();
        let database = Database::new("second");
        text(&parameters).await.unwrap();
        provider.fail(ProviderErrorKind::Other);
        let (warnings, _guard) = Warnings::listen();
        assert_refused(&log_in(&parameters, &database).await);
        let [warning] = warnings.take().try_into().unwrap();
        assert!(
            warning.contains("a refused secret could not be fetched again"),
            "{warning}"
        );
    }

    #[tokio::test]
    async fn without_a_secret_nothing_is_tried() {
        let (_, provider, parameters) = parameters();
        provider.remove(NAME);
        let database = Database::new("first");
        let error = log_in(&parameters, &database).await.unwrap_err();
        assert!(matches!(&error, SecretError::Parameter(error) if error.is_not_found()));
        assert_eq!(database.tried(), [""; 0]);
    }

    #[tokio::test]
    async fn a_secret_is_read_with_its_options_and_by_threads() {
        fn is_send<T: Send>(value: T) -> T {
            value
        }

        let (_, _, parameters) = parameters();
        let run = |secret: Value| async move { Ok::<_, LogIn>(secret) };
        let get = parameters.get(NAME).max_age(SECOND);
        let secret = is_send(get.with_secret(run, |_| false)).await.unwrap();
        assert_eq!(secret.as_str().unwrap(), "first");
    }
}

mod what_is_shown {
    use super::*;

    #[tokio::test]
    async fn nothing_that_can_be_printed_shows_a_value() {
        let provider = MemoryProvider::from([
            ("text", SECRET),
            ("json", &*format!(r#"{{"password":"{SECRET}"}}"#)),
        ]);
        provider.put("bytes", Fetched::binary(SECRET.as_bytes()));
        let parameters = Parameters::new(provider.clone()).max_age(MINUTE);
        let text = parameters.get("text").await.unwrap();
        let json = parameters.get("json").await.unwrap();
        json.json::<serde_json::Value>().unwrap();
        let bytes = parameters.get("bytes").await.unwrap();
        let values = parameters.get_multiple("").await.unwrap();
        let (get, future) = (parameters.get("text"), parameters.get("text").into_future());
        let map = MapProvider::from([("text", SECRET)]);
        let environment = EnvironmentProvider::new(Env::from([("text", SECRET)]));
        let shown = [
            format!("{text:?} {json:?} {bytes:?} {values:?} {get:?} {future:?}"),
            format!("{parameters:?} {provider:?} {map:?} {environment:?}"),
            format!("{:?} {:?}", Fetched::text(SECRET), Fetched::binary(SECRET)),
            format!("{:?}", text.auto::<()>().unwrap()),
            format!("{:#?}", parameters.get("json").json::<serde_json::Value>()),
        ];
        for shown in shown {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[tokio::test]
    async fn no_error_and_no_log_line_shows_a_value() {
        let (warnings, _guard) = Warnings::listen();
        let (clock, provider, _) = parameters();
        let parameters = Parameters::from_env(provider.clone(), &Env::default())
            .max_age(MINUTE)
            .stale_if_error(MINUTE)
            .refresh_in_background(MINUTE)
            .cache_not_found(SECOND)
            .with_clock(&clock);
        let mut errors = Vec::new();
        for kind in [
            ProviderErrorKind::NotFound,
            ProviderErrorKind::AccessDenied,
            ProviderErrorKind::Throttled,
            ProviderErrorKind::TimedOut,
            ProviderErrorKind::Unsupported,
            ProviderErrorKind::InvalidRequest,
            ProviderErrorKind::Other,
        ] {
            provider.recover();
            provider.set(NAME, SECRET);
            parameters.clear();
            let value = parameters.get(NAME).await.unwrap();
            errors.push(value.json::<u8>().unwrap_err());
            errors.push(value.binary().unwrap_err());
            let small = parameters.clone().max_value_bytes(3);
            errors.push(small.get(NAME).force_fetch().await.unwrap_err());
            parameters.get(NAME).await.unwrap();
            provider.fail(kind);
            clock.advance(2 * MINUTE);
            text_at_once(&parameters);
            settle().await;
            errors.push(parameters.get(NAME).force_fetch().await.unwrap_err());
            let refused =
                parameters.with_secret(NAME, |_| async { Err::<(), _>("refused") }, |_| true);
            let _ = refused.await;
        }
        provider.panic();
        errors.push(parameters.get(NAME).force_fetch().await.unwrap_err());
        for error in &errors {
            let shown = everything(error);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(error.to_string().contains(NAME), "{shown}");
        }
        let warnings = warnings.take();
        assert!(warnings.len() >= 6, "{warnings:?}");
        for warning in warnings {
            assert!(!warning.contains("hunter2"), "{warning}");
        }
    }
}

mod providers {
    use super::*;

    #[tokio::test]
    async fn environment_variables_are_values_as_they_are() {
        let env = Env::from([
            ("APP_A", " a "),
            ("APP_B", ""),
            ("APP_", "c"),
            ("OTHER", "d"),
        ]);
        let parameters = Parameters::new(EnvironmentProvider::new(env));
        assert_eq!(
            parameters.get("APP_A").await.unwrap().as_str().unwrap(),
            " a "
        );
        assert_eq!(parameters.get("APP_B").await.unwrap().as_bytes(), b"");
        assert!(parameters.get("APP_C").await.unwrap_err().is_not_found());
        let values = parameters.get_multiple("APP_").await.unwrap();
        let names: Vec<_> = values.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(values.get("A").unwrap().name(), "APP_A");
    }

    #[tokio::test]
    async fn a_provider_may_be_shared() {
        let provider = Arc::new(MapProvider::from([(NAME, "first")]));
        let parameters = Parameters::new(Arc::clone(&provider));
        assert_eq!(text(&parameters).await.unwrap(), "first");
        assert_eq!(parameters.get_multiple("/app").await.unwrap().len(), 1);
    }

    #[test]
    fn everything_can_be_shared_and_sent() {
        fn check<T: Send + Sync + 'static>() {}
        fn check_clone<T: Clone + Send + Sync + 'static>() {}
        fn check_future<T: Future + Send>(_: T) {}

        check_clone::<Parameters<MemoryProvider>>();
        check_clone::<Value>();
        check_clone::<Values>();
        check_clone::<ParameterError>();
        check_clone::<ProviderError>();
        check_clone::<MapProvider>();
        check_clone::<EnvironmentProvider>();
        check_clone::<Transformed<Vec<u8>>>();
        check::<Get<'static, MapProvider>>();
        check::<GetMultiple<'static, MapProvider>>();
        check::<SecretError<io::Error>>();
        let parameters = Parameters::new(MapProvider::new());
        check_future::<GetFuture<'_, MapProvider>>(parameters.get(NAME).into_future());
        check_future::<TransformFuture<'_, MapProvider, Arc<u8>>>(parameters.get(NAME).json());
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use powertools::{
        Invocation,
        metrics::MetricsLayer,
        testing::{CapturedMetrics, capture_metrics, context},
    };
    use tower::{ServiceBuilder, ServiceExt};

    use super::*;

    const NAMES: [&str; 4] = [
        "ParameterCacheHits",
        "ParameterCacheMisses",
        "ParameterStale",
        "ParameterErrors",
    ];

    /// Reads in an invocation, and returns what was counted there.
    async fn counted<T>(read: impl Future<Output = T> + Send) -> [usize; 4] {
        let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
        let (captured, layer) = capture_metrics(MetricsLayer::from_env(&env));
        let read = Mutex::new(Some(read));
        let service =
            ServiceBuilder::new()
                .layer(layer)
                .service_fn(|_: lambda_runtime::LambdaEvent<()>| {
                    let read = read.lock().unwrap().take().unwrap();
                    async {
                        assert!(Invocation::current().is_some());
                        read.await;
                        Ok::<_, std::convert::Infallible>(())
                    }
                });
        let event = lambda_runtime::LambdaEvent::new((), context("52fdfc07"));
        service.oneshot(event).await.unwrap();
        let count = |captured: &CapturedMetrics, name| captured.count(name);
        NAMES.map(|name| count(&captured, name))
    }

    #[tokio::test]
    async fn reads_are_counted_in_their_invocation_by_what_they_got() {
        let (clock, provider, parameters) = parameters();
        let parameters = parameters
            .stale_if_error(MINUTE)
            .refresh_in_background(MINUTE)
            .metrics(true);
        let read = || text(&parameters);
        assert_eq!(counted(read()).await, [0, 1, 0, 0]);
        assert_eq!(counted(read()).await, [1, 0, 0, 0]);
        assert_eq!(
            counted(async { (read().await, read().await) }).await,
            [2, 0, 0, 0]
        );
        // The task is of no invocation.
        provider.fail(ProviderErrorKind::Other);
        clock.advance(90 * SECOND);
        let refreshed = async {
            read().await.unwrap();
            settle().await;
        };
        assert_eq!(counted(refreshed).await, [0, 0, 1, 0]);
        assert_eq!(provider.calls(), 2);
        let strict = parameters.clone().refresh_in_background(Duration::ZERO);
        clock.advance(SECOND);
        assert_eq!(counted(text(&strict)).await, [0, 1, 1, 0]);
        clock.advance(MINUTE);
        assert_eq!(counted(read()).await, [0, 1, 0, 1]);
        // Nothing is counted, and nobody warned, outside of one.
        let (warnings, _guard) = Warnings::listen();
        provider.recover();
        read().await.unwrap();
        assert_eq!(warnings.take(), [""; 0]);
    }

    #[tokio::test]
    async fn reads_are_not_counted_unless_asked_to() {
        let (_, _, parameters) = parameters();
        assert_eq!(counted(text(&parameters)).await, [0; 4]);
    }
}

mod model {
    use super::*;

    /// What happens to a parameter, one after the other.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many seconds pass.
        Pass(u64),
        /// The clock on the wall is set back by so many seconds.
        SetBack(u64),
        /// The provider works from now on, or it does not.
        Work(bool),
        /// It is read with a max age of so many seconds.
        Read(u64),
        Force,
        Forget,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..40_u64).prop_map(Step::Pass),
            1 => (0..100_u64).prop_map(Step::SetBack),
            2 => any::<bool>().prop_map(Step::Work),
            8 => prop_oneof![Just(0), 1..60_u64].prop_map(Step::Read),
            1 => Just(Step::Force),
            1 => Just(Step::Forget),
        ];
        prop::collection::vec(step, 0..80)
    }

    /// What is kept, by the plainest rules: a value and its age, in seconds.
    #[derive(Clone, Copy)]
    struct Kept {
        value: u64,
        age: u64,
        /// How many fetches failed since, and the age when the last did.
        failures: u32,
        failed: u64,
    }

    impl Kept {
        fn is_paused(&self) -> bool {
            let pause = match self.failures {
                0 => 0,
                failures => (1 << (failures - 1).min(20)).min(30),
            };
            self.age - self.failed < pause
        }
    }

    const STALE: u64 = 30;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_read_gets_what_a_simple_model_says(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (clock, provider) = (Clock::new(), MemoryProvider::new());
            let parameters = Parameters::from_env(provider.clone(), &Env::default())
                .stale_if_error(Duration::from_secs(STALE))
                .with_clock(&clock);
            let mut kept: Option<Kept> = None;
            // Every fetch finds another value.
            let mut current = 0;
            let mut works = true;
            for step in steps {
                current += 1;
                provider.set(NAME, current.to_string());
                let (max_age, force) = match step {
                    Step::Pass(seconds) => {
                        clock.advance(Duration::from_secs(seconds));
                        if let Some(kept) = &mut kept {
                            kept.age += seconds;
                        }
                        continue;
                    }
                    Step::SetBack(seconds) => {
                        clock.set(clock.now() - Duration::from_secs(seconds));
                        continue;
                    }
                    Step::Work(on) => {
                        works = on;
                        if on { provider.recover() } else { provider.fail(ProviderErrorKind::Other) }
                        continue;
                    }
                    Step::Forget => {
                        parameters.forget(NAME);
                        kept = None;
                        continue;
                    }
                    Step::Read(max_age) => (max_age, false),
                    Step::Force => (5, true),
                };

                let mut calls = provider.calls();
                let get = parameters.get(NAME).max_age(Duration::from_secs(max_age));
                let get = if force { get.force_fetch() } else { get };
                let got = runtime.block_on(get.into_future());
                let got: Option<u64> = got.ok().map(|value| value.as_str().unwrap().parse().unwrap());

                let is_cached = !force && max_age > 0;
                let expected = match &mut kept {
                    Some(kept) if is_cached && kept.age <= max_age => Some(kept.value),
                    Some(kept) if is_cached && kept.age <= max_age + STALE && kept.is_paused() => {
                        Some(kept.value)
                    }
                    _ => {
                        calls += 1;
                        if works {
                            if force || is_cached {
                                kept = Some(Kept { value: current, age: 0, failures: 0, failed: 0 });
                            }
                            Some(current)
                        } else {
                            let old = kept.as_mut();
                            if let Some(kept) = old.filter(|_| force || is_cached) {
                                kept.failures += 1;
                                kept.failed = kept.age;
                            }
                            kept.filter(|kept| is_cached && kept.age <= max_age + STALE)
                                .map(|kept| kept.value)
                        }
                    }
                };
                prop_assert_eq!(got, expected, "{:?}", step);
                prop_assert_eq!(provider.calls(), calls, "{:?}", step);
            }
        }
    }
}
