//! Feature flags as a function's author sees them: stores that fail, the layer, what is reported.
#![cfg(all(feature = "feature-flags", feature = "testing"))]

use std::{
    convert::Infallible,
    error::Error as _,
    fmt,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Invocation,
    feature_flags::{
        self, EvaluationContext, Evaluator, FeatureFlags, FeatureFlagsError, FeatureFlagsLayer,
        FlagDocument, FlagStore, FlagStoreError, Reason, RequiredFlagsError, StaticStore,
    },
    testing::context,
};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::yield_now};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;
use tracing::{Event, Level, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer::Context, prelude::*};

mod subscriber;

/// A flag for paying tenants, one that is on for all, and one that is a number.
const DOCUMENT: &str = r#"{
    "new_checkout": {
        "default": false,
        "rules": {
            "paying tenants": {
                "when_match": true,
                "conditions": [{"action": "EQUALS", "key": "tier", "value": "pro"}]
            }
        }
    },
    "dark_mode": {"default": true},
    "page_size": {
        "boolean_type": false,
        "default": 20,
        "rules": {
            "large": {
                "when_match": 100,
                "conditions": [{"action": "STARTSWITH", "key": "plan", "value": "large"}]
            }
        }
    }
}"#;

fn document(text: &str) -> Arc<FlagDocument> {
    Arc::new(FlagDocument::parse(text).unwrap())
}

fn flags() -> FeatureFlags<StaticStore> {
    FeatureFlags::new(StaticStore::new(document(DOCUMENT)))
}

fn tier(tier: &str) -> EvaluationContext {
    EvaluationContext::new().with("tier", tier)
}

fn broken() -> FlagStoreError {
    let errors = FlagDocument::parse(r#"{"new_checkout": {"default": "hunter2"}}"#).unwrap_err();
    FlagStoreError::invalid("flags", errors)
}

fn unavailable() -> FlagStoreError {
    FlagStoreError::unavailable("flags", "connection reset")
}

fn denied() -> FlagStoreError {
    FlagStoreError::access_denied("flags", "no permission")
}

type Answer = Result<Arc<FlagDocument>, FlagStoreError>;

/// Answers what it was last told to, and counts how often.
struct Told {
    answer: Mutex<Answer>,
    asked: AtomicUsize,
}

impl Told {
    fn new(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
        })
    }

    fn tell(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl FlagStore for Told {
    async fn document(&self) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answer.lock().unwrap().clone()
    }
}

/// A clock that goes on when it is told to.
#[derive(Clone)]
struct Hands(Arc<Mutex<SystemTime>>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(
            UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        )))
    }

    fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    fn on<S: FlagStore>(&self, flags: FeatureFlags<S>) -> FeatureFlags<S> {
        let now = Arc::clone(&self.0);
        flags.with_clock(move || *now.lock().unwrap())
    }
}

/// Answers when it is told to.
#[derive(Default)]
struct Slow {
    go: Notify,
}

impl FlagStore for Slow {
    async fn document(&self) -> Answer {
        self.go.notified().await;
        Ok(document(DOCUMENT))
    }
}

/// What this thread's flags log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Lines {
    fn listen() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let guard = subscriber::registry().with(lines.clone()).set_default();
        (lines, guard)
    }

    #[track_caller]
    fn take(&self, level: Level) -> Vec<String> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap());
        let text = |(of, text)| {
            assert_eq!(of, level, "{text}");
            text
        };
        lines.into_iter().map(text).collect()
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        self.take(Level::WARN)
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                let separator = if self.0.is_empty() { "" } else { " " };
                self.0 += &format!("{separator}{}={value:?}", field.name());
            }

            fn record_error(
                &mut self,
                field: &tracing::field::Field,
                error: &(dyn std::error::Error + 'static),
            ) {
                self.record_debug(field, &chain(error).join(": "));
            }
        }
        let metadata = event.metadata();
        if metadata.target().starts_with("powertools::feature_flags") {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push((*metadata.level(), text.0));
        }
    }
}

/// The messages of an error and of all that is behind it.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    messages.extend(error.source().into_iter().flat_map(chain));
    messages
}

fn event(payload: &str, request_id: &str) -> LambdaEvent<String> {
    LambdaEvent::new(payload.to_owned(), context(request_id))
}

/// Takes the event for the tenant's tier.
fn by_tier(event: &LambdaEvent<String>) -> EvaluationContext {
    tier(&event.payload)
}

async fn is_new_checkout(_: LambdaEvent<String>) -> Result<bool, Error> {
    Ok(feature_flags::current()?.is_enabled("new_checkout", false)?)
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

// Asking.

#[tokio::test]
async fn a_flag_is_decided_by_the_context_it_is_asked_with() {
    let flags = flags();
    for (context, expected) in [
        (tier("pro"), true),
        (tier("free"), false),
        (EvaluationContext::new(), false),
    ] {
        let is_on = flags.is_enabled("new_checkout", &context, !expected).await;
        assert_eq!(is_on.unwrap(), expected, "{context:?}");
    }
    assert_eq!(
        flags.enabled(&tier("pro")).await.unwrap(),
        ["dark_mode", "new_checkout", "page_size"]
    );
}

#[tokio::test]
async fn a_value_is_of_the_type_that_its_default_has() {
    let flags = flags();
    let large = EvaluationContext::new().with("plan", "large-eu");
    assert_eq!(flags.value("page_size", &large, 10_u8).await.unwrap(), 100);
    let nothing = EvaluationContext::new();
    assert_eq!(
        flags.value("page_size", &nothing, json!(10)).await.unwrap(),
        20
    );
    assert!(flags.value("dark_mode", &nothing, false).await.unwrap());
    assert_eq!(
        flags.value("gone", &nothing, "a".to_owned()).await.unwrap(),
        "a"
    );
}

#[tokio::test]
async fn any_flag_is_on_or_off() {
    let text = r#"{
        "colour": {"boolean_type": false, "default": "red"},
        "limit": {"boolean_type": false, "default": 0},
        "regions": {"boolean_type": false, "default": []}
    }"#;
    let flags = FeatureFlags::new(StaticStore::new(document(text)));
    let flags = flags.evaluator(EvaluationContext::new()).await;
    assert!(flags.is_enabled("colour", false).unwrap());
    assert!(!flags.is_enabled("limit", true).unwrap());
    assert!(!flags.is_enabled("regions", true).unwrap());
    assert_eq!(flags.enabled().unwrap(), ["colour"]);
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_that_does_not_quote_it() {
    let text = r#"{"colour": {"boolean_type": false, "default": "hunter2"}}"#;
    let flags = FeatureFlags::new(StaticStore::new(document(text)));
    let error = flags
        .value("colour", &EvaluationContext::new(), 7_u64)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "feature flag `colour` is a string, which does not make a u64"
    );
    assert!(error.source().is_none());
    assert!(!format!("{error:?} {flags:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_evaluation_says_why() {
    let flags = flags().evaluator(tier("pro")).await;
    let evaluation = flags.evaluate("new_checkout").unwrap().unwrap();
    assert_eq!(evaluation.value(), &json!(true));
    assert_eq!(evaluation.reason().rule(), Some("paying tenants"));
    let evaluation = flags.evaluate("dark_mode").unwrap().unwrap();
    assert_eq!(evaluation.reason(), Reason::Static);
    assert!(flags.evaluate("gone").unwrap().is_none());
}

#[tokio::test]
async fn an_evaluator_stays_with_its_document_and_its_time() {
    let text = r#"{
        "lunch": {
            "default": false,
            "rules": {
                "noon": {
                    "when_match": true,
                    "conditions": [{
                        "action": "SCHEDULE_BETWEEN_TIME_RANGE",
                        "key": "CURRENT_TIME",
                        "value": {"START": "12:00", "END": "12:59"}
                    }]
                }
            }
        }
    }"#;
    let noon = Duration::from_secs(12 * 3600);
    let now = Arc::new(Mutex::new(UNIX_EPOCH + noon));
    let clock = Arc::clone(&now);
    let store = Told::new(Ok(document(text)));
    let flags = FeatureFlags::new(Arc::clone(&store)).with_clock(move || *clock.lock().unwrap());

    let nothing = EvaluationContext::new();
    let evaluator = flags.evaluator(nothing.clone()).await;
    assert!(evaluator.is_enabled("lunch", false).unwrap());
    *now.lock().unwrap() += Duration::from_secs(3600);
    assert!(evaluator.is_enabled("lunch", false).unwrap());
    assert!(!flags.is_enabled("lunch", &nothing, true).await.unwrap());
    store.tell(Ok(document("{}")));
    assert!(evaluator.is_enabled("lunch", false).unwrap());
    assert_eq!(store.asked(), 2);
}

// What the document lacks, and what makes no sense.

#[tokio::test]
async fn an_unknown_flag_has_the_callers_default_and_is_warned_of_once() {
    let (lines, _guard) = Lines::listen();
    let flags = flags();
    let nothing = EvaluationContext::new();
    for default in [true, false] {
        let is_on = flags.clone().is_enabled("gone", &nothing, default).await;
        assert_eq!(is_on.unwrap(), default);
    }
    assert_eq!(
        lines.warnings(),
        [r#"message=there is no such feature flag flag="gone""#]
    );
    flags.is_enabled("also gone", &nothing, true).await.unwrap();
    assert_eq!(lines.warnings().len(), 1);
}

#[tokio::test]
async fn names_without_end_are_not_warned_of_without_end() {
    let (lines, _guard) = Lines::listen();
    let evaluator = flags().evaluator(EvaluationContext::new()).await;
    for n in 0..1000 {
        assert!(evaluator.is_enabled(&format!("flag-{n}"), true).unwrap());
    }
    assert_eq!(lines.warnings().len(), 100);
}

#[tokio::test]
async fn an_unknown_flag_is_an_error_by_choice() {
    let (lines, _guard) = Lines::listen();
    let flags = flags().fail_on_unknown_flag(true);
    let error = flags
        .is_enabled("gone", &EvaluationContext::new(), true)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no feature flag `gone`");
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn a_senseless_comparison_does_not_hold_and_is_warned_of_once() {
    let (lines, _guard) = Lines::listen();
    let flags = flags();
    let senseless = EvaluationContext::new().with("plan", 4711);
    for _ in 0..2 {
        assert_eq!(flags.value("page_size", &senseless, 0).await.unwrap(), 20);
    }
    let warnings = lines.warnings();
    assert_eq!(
        warnings,
        [
            r#"message=a feature flag's condition makes no sense flag="page_size" rule="large" key="plan" action="STARTSWITH" found="a number""#
        ]
    );
}

#[tokio::test]
async fn whoever_is_asked_decides_a_senseless_comparison() {
    let (lines, _guard) = Lines::listen();
    let flags = flags().on_mismatch(|mismatch| {
        assert_eq!((mismatch.rule(), mismatch.key()), ("large", "plan"));
        mismatch.action() == "STARTSWITH" && mismatch.found() == "a number"
    });
    let number = EvaluationContext::new().with("plan", 4711);
    assert_eq!(flags.value("page_size", &number, 0).await.unwrap(), 100);
    let null = EvaluationContext::new().with("plan", Value::Null);
    assert_eq!(flags.value("page_size", &null, 0).await.unwrap(), 20);
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn whoever_decides_does_so_for_the_list_of_flags_too() {
    let text = r#"{
        "beta": {
            "default": false,
            "rules": {
                "r": {
                    "when_match": true,
                    "conditions": [{"action": "ENDSWITH", "key": "email", "value": "@example.com"}]
                }
            }
        }
    }"#;
    let number = EvaluationContext::new().with("email", 4711);
    let flags = FeatureFlags::new(StaticStore::new(document(text)));
    assert!(flags.enabled(&number).await.unwrap().is_empty());
    let flags = flags.on_mismatch(|_| true);
    assert_eq!(flags.enabled(&number).await.unwrap(), ["beta"]);
}

// A store that fails.

#[tokio::test]
async fn without_a_document_the_callers_defaults_hold_with_one_warning_a_fetch() {
    let (lines, _guard) = Lines::listen();
    let store = Told::new(Err(unavailable()));
    let hands = Hands::new();
    let flags = hands.on(FeatureFlags::new(Arc::clone(&store)));

    let evaluator = flags.evaluator(tier("pro")).await;
    assert!(evaluator.is_enabled("new_checkout", true).unwrap());
    assert!(!evaluator.is_enabled("new_checkout", false).unwrap());
    assert_eq!(evaluator.value("page_size", 7).unwrap(), 7);
    assert!(evaluator.enabled().unwrap().is_empty());
    assert!(evaluator.evaluate("new_checkout").unwrap().is_none());
    assert_eq!(store.asked(), 1);
    assert_eq!(
        lines.warnings(),
        [
            r#"message=feature flags have their defaults error="flag document `flags` is not available: connection reset""#
        ]
    );

    store.tell(Ok(document(DOCUMENT)));
    hands.advance(Duration::from_secs(1));
    let is_on = flags.is_enabled("new_checkout", &tier("pro"), false).await;
    assert!(is_on.unwrap());
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn a_store_that_is_not_available_is_left_alone_for_longer_and_longer() {
    let (lines, _guard) = Lines::listen();
    let store = Told::new(Err(unavailable()));
    let hands = Hands::new();
    let flags = hands.on(FeatureFlags::new(Arc::clone(&store)));
    let strict = flags.clone().fail_when_unavailable(true);
    let pro = tier("pro");
    for (pauses, seconds) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        assert!(flags.is_enabled("new_checkout", &pro, true).await.unwrap());
        assert_eq!(store.asked(), pauses + 1);
        assert_eq!(lines.warnings().len(), 1);
        hands.advance(Duration::from_secs(seconds) - Duration::from_nanos(1));
        assert!(!flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        let error = strict.enabled(&pro).await.unwrap_err();
        assert_eq!(chain(&error)[1], "connection reset");
        assert_eq!(store.asked(), pauses + 1);
        assert!(lines.warnings().is_empty());
        hands.advance(Duration::from_nanos(1));
    }

    // Once it has answered, it begins anew.
    store.tell(Ok(document(DOCUMENT)));
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    store.tell(Err(unavailable()));
    assert!(!flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    let asked = store.asked();
    hands.advance(Duration::from_secs(1));
    store.tell(Ok(document(DOCUMENT)));
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    assert_eq!(store.asked(), asked + 1);
}

#[tokio::test]
async fn calls_that_fail_at_once_are_one_failure() {
    /// Fails when it is told to.
    #[derive(Default)]
    struct Failing {
        go: Notify,
        asked: AtomicUsize,
    }

    impl FlagStore for Failing {
        async fn document(&self) -> Answer {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.go.notified().await;
            Err(unavailable())
        }
    }

    let (_lines, _guard) = Lines::listen();
    let store = Arc::new(Failing::default());
    let hands = Hands::new();
    let flags = hands.on(FeatureFlags::new(Arc::clone(&store)));
    let pro = tier("pro");
    let mut calls: Vec<_> = (0..8).map(|_| Box::pin(flags.enabled(&pro))).collect();
    for call in &mut calls {
        assert!(poll_once(call.as_mut()).is_pending());
    }
    store.go.notify_waiters();
    for call in calls {
        assert!(call.await.unwrap().is_empty());
    }
    hands.advance(Duration::from_secs(1));
    assert!(poll_once(Box::pin(flags.enabled(&pro)).as_mut()).is_pending());
    assert_eq!(store.asked.load(Ordering::Relaxed), 9);
}

#[tokio::test]
async fn a_failure_that_comes_late_does_not_count() {
    /// Fails slowly at first.
    #[derive(Default)]
    struct Late {
        go: Notify,
        asked: AtomicUsize,
    }

    impl FlagStore for Late {
        async fn document(&self) -> Answer {
            if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
                return Ok(document(DOCUMENT));
            }
            self.go.notified().await;
            Err(unavailable())
        }
    }

    let (_lines, _guard) = Lines::listen();
    let store = Arc::new(Late::default());
    let flags = Hands::new().on(FeatureFlags::new(Arc::clone(&store)));
    let pro = tier("pro");
    let mut late = Box::pin(flags.is_enabled("new_checkout", &pro, false));
    assert!(poll_once(late.as_mut()).is_pending());
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    store.go.notify_one();
    assert!(!late.await.unwrap());
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
}

#[tokio::test]
async fn that_there_is_no_document_is_an_error_by_choice() {
    let (lines, _guard) = Lines::listen();
    let flags = FeatureFlags::new(Told::new(Err(unavailable()))).fail_when_unavailable(true);
    let error = flags.enabled(&tier("pro")).await.unwrap_err();
    assert!(matches!(
        &error,
        FeatureFlagsError::Store(FlagStoreError::Unavailable { name, .. }) if name == "flags"
    ));
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn denied_access_is_an_error_and_no_default() {
    let flags = FeatureFlags::new(Told::new(Err(denied())));
    let evaluator = flags.evaluator(tier("pro")).await;
    for error in [
        evaluator.is_enabled("new_checkout", true).unwrap_err(),
        evaluator.value("page_size", 1).unwrap_err(),
        evaluator.enabled().unwrap_err(),
    ] {
        assert!(matches!(
            error,
            FeatureFlagsError::Store(FlagStoreError::AccessDenied { .. })
        ));
    }
}

#[tokio::test]
async fn a_broken_document_is_an_error_that_names_the_place_and_no_value() {
    let flags = FeatureFlags::new(Told::new(Err(broken())));
    let error = flags
        .is_enabled("new_checkout", &tier("pro"), true)
        .await
        .unwrap_err();
    assert_eq!(
        chain(&error),
        [
            "flag document `flags` is invalid",
            "invalid flag document: $.new_checkout.default: must be a boolean, not a string",
        ]
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let FeatureFlagsError::Store(FlagStoreError::Invalid { source, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.problems()[0].path(), "$.new_checkout.default");
}

#[tokio::test]
async fn a_broken_document_does_not_replace_a_good_one_and_is_warned_of_once() {
    let (lines, _guard) = Lines::listen();
    let store = Told::new(Ok(document(DOCUMENT)));
    let flags = FeatureFlags::new(Arc::clone(&store));
    let pro = tier("pro");
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());

    store.tell(Err(broken()));
    for _ in 0..3 {
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        // The same text, compiled again.
        store.tell(Err(broken()));
    }
    let warnings = lines.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("last good document"), "{warnings:?}");
    assert!(warnings[0].contains("$.new_checkout.default"));
    assert!(!warnings[0].contains("hunter2"));

    let otherwise = FlagDocument::parse("[]").unwrap_err();
    store.tell(Err(FlagStoreError::invalid("flags", otherwise)));
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    assert_eq!(lines.warnings().len(), 1);

    // It was repaired, and broken again in the same way.
    store.tell(Ok(document("{}")));
    assert!(!flags.is_enabled("dark_mode", &pro, false).await.unwrap());
    store.tell(Err(broken()));
    assert!(!flags.is_enabled("dark_mode", &pro, false).await.unwrap());
    let warnings = lines.warnings();
    assert_eq!(warnings.len(), 2, "an unknown flag and {warnings:?}");
}

#[tokio::test]
async fn a_broken_document_is_an_error_at_once_by_choice() {
    let store = Told::new(Ok(document(DOCUMENT)));
    let flags = FeatureFlags::new(Arc::clone(&store)).keep_last_good(false);
    assert!(flags.enabled(&tier("pro")).await.is_ok());
    store.tell(Err(broken()));
    let error = flags.enabled(&tier("pro")).await.unwrap_err();
    assert!(matches!(
        error,
        FeatureFlagsError::Store(FlagStoreError::Invalid { .. })
    ));
}

#[tokio::test]
async fn what_is_kept_for_a_broken_document_is_not_for_a_failing_store() {
    let (_lines, _guard) = Lines::listen();
    let store = Told::new(Ok(document(DOCUMENT)));
    let hands = Hands::new();
    let flags = hands.on(FeatureFlags::new(Arc::clone(&store)));
    let pro = tier("pro");
    assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    store.tell(Err(unavailable()));
    assert!(!flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    store.tell(Err(denied()));
    hands.advance(Duration::from_secs(1));
    assert!(flags.is_enabled("new_checkout", &pro, false).await.is_err());
}

// The layer.

#[tokio::test]
async fn a_handler_finds_flags_bound_to_its_request() {
    let store = Told::new(Ok(document(DOCUMENT)));
    let flags = FeatureFlags::new(Arc::clone(&store));
    let mut service = ServiceBuilder::new()
        .layer(FeatureFlagsLayer::new(flags, by_tier))
        .service_fn(is_new_checkout);
    for (tier, expected) in [("pro", true), ("free", false)] {
        let service = service.ready().await.unwrap();
        assert_eq!(service.call(event(tier, tier)).await.unwrap(), expected);
    }
    assert_eq!(store.asked(), 2);
    assert!(Invocation::current().is_none());
}

#[tokio::test]
async fn the_document_is_fetched_once_in_an_invocation() {
    let store = Told::new(Ok(document(DOCUMENT)));
    let layer = FeatureFlagsLayer::new(FeatureFlags::new(Arc::clone(&store)), by_tier);
    let replaced = Arc::clone(&store);
    let service = layer.layer(service_fn(move |_: LambdaEvent<String>| {
        let store = Arc::clone(&replaced);
        async move {
            let before = feature_flags::current()?.is_enabled("new_checkout", false)?;
            store.tell(Ok(document("{}")));
            yield_now().await;
            let after = feature_flags::current()?.is_enabled("new_checkout", false)?;
            Ok::<_, Error>((before, after))
        }
    }));
    let seen = service.oneshot(event("pro", "one")).await.unwrap();
    assert_eq!(seen, (true, true));
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn code_without_a_layer_is_told_so() {
    assert!(matches!(
        feature_flags::current(),
        Err(FeatureFlagsError::NoLayer)
    ));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    let error = invocation
        .scope(async { feature_flags::current().unwrap_err() })
        .await;
    assert_eq!(
        error.to_string(),
        "feature flags were asked for where no `FeatureFlagsLayer` is around; in a streamed body, \
         take the `Evaluator` along"
    );
}

#[tokio::test]
async fn spawned_tasks_and_threads_have_the_flags_of_the_invocation_they_are_given() {
    let handler = |_: LambdaEvent<String>| async {
        let alone = tokio::spawn(async { feature_flags::current().is_ok() });
        assert!(!alone.await?);
        let invocation = Invocation::current().ok_or("no invocation")?;
        let in_scope = tokio::spawn(invocation.scope(async {
            yield_now().await;
            feature_flags::current()?.is_enabled("new_checkout", false)
        }));
        let flags = feature_flags::current()?;
        let on_thread =
            tokio::task::spawn_blocking(move || flags.is_enabled("new_checkout", false));
        Ok::<_, Error>((in_scope.await??, on_thread.await??))
    };
    let service = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(handler));
    let seen = service.clone().oneshot(event("pro", "one")).await.unwrap();
    assert_eq!(seen, (true, true));
    let seen = service.oneshot(event("free", "two")).await.unwrap();
    assert_eq!(seen, (false, false));
}

#[tokio::test]
async fn an_evaluator_outlives_its_invocation() {
    let handler = |_: LambdaEvent<String>| ready(feature_flags::current());
    let service = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(handler));
    let flags = service.oneshot(event("pro", "one")).await.unwrap();
    assert!(flags.is_enabled("new_checkout", false).unwrap());
    assert_eq!(flags.context(), &tier("pro"));
}

#[tokio::test]
async fn the_inner_of_two_layers_is_the_one_that_is_found() {
    let inner = FeatureFlags::new(StaticStore::new(document(
        r#"{"new_checkout": {"default": true}}"#,
    )));
    let service = ServiceBuilder::new()
        .layer(FeatureFlagsLayer::new(flags(), by_tier))
        .layer(FeatureFlagsLayer::new(inner, by_tier))
        .service_fn(is_new_checkout);
    assert!(service.oneshot(event("free", "one")).await.unwrap());
}

#[tokio::test]
async fn calls_at_once_inside_of_one_invocation_have_each_their_own_flags() {
    // As the records of a batch: several requests of one invocation.
    let handler = |event: LambdaEvent<String>| async move {
        yield_now().await;
        let is_on = feature_flags::current()?.is_enabled("new_checkout", false)?;
        Ok::<_, Error>(is_on == (event.payload == "pro"))
    };
    let service = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(handler));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    let calls = async {
        tokio::join!(
            service.clone().oneshot(event("pro", "one")),
            service.clone().oneshot(event("free", "one")),
            service.clone().oneshot(event("pro", "one")),
        )
    };
    let (a, b, c) = invocation.scope(calls).await;
    assert!(a.unwrap() && b.unwrap() && c.unwrap());
    invocation
        .scope(async { assert!(feature_flags::current().is_err()) })
        .await;
}

#[cfg(feature = "batch")]
#[tokio::test]
async fn records_of_a_batch_have_each_their_own_flags() {
    use powertools::batch::{BatchLayer, Record};

    async fn handle(record: Record<String>) -> Result<(), Error> {
        for _ in 0..3 {
            yield_now().await;
            let is_on = feature_flags::current()?.is_enabled("new_checkout", false)?;
            // A record that panics is reported as one that failed.
            assert_eq!(is_on, record.payload == "pro");
        }
        Ok(())
    }

    let store = Told::new(Ok(document(DOCUMENT)));
    let flags = FeatureFlags::new(Arc::clone(&store));
    let by_record = |record: &Record<String>| tier(&record.payload);
    let service = ServiceBuilder::new()
        .layer(BatchLayer::sqs().concurrency(4))
        .layer(FeatureFlagsLayer::new(flags, by_record))
        .service_fn(handle);
    let records: Vec<_> = ["pro", "free", "pro", "max"]
        .iter()
        .enumerate()
        .map(|(n, tier)| {
            json!({"messageId": n.to_string(), "body": json!(tier).to_string(), "eventSource": "aws:sqs"})
        })
        .collect();
    let event = serde_json::from_value(json!({"Records": records})).unwrap();
    let response = service
        .oneshot(LambdaEvent::new(event, context("one")))
        .await;
    let response = serde_json::to_value(response.unwrap()).unwrap();
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(store.asked(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invocations_at_once_never_see_each_others_context() {
    let handler = |event: LambdaEvent<String>| async move {
        for _ in 0..4 {
            yield_now().await;
            let flags = feature_flags::current()?;
            assert_eq!(flags.context(), &tier(&event.payload));
            let is_on = flags.is_enabled("new_checkout", false)?;
            assert_eq!(is_on, event.payload == "pro");
        }
        Ok::<_, Error>(())
    };
    let service = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(handler));
    let calls: Vec<_> = (0..1000)
        .map(|n| {
            let payload = match n % 3 {
                0 => "pro".to_owned(),
                _ => format!("tier-{n}"),
            };
            let call = service.clone().oneshot(event(&payload, &n.to_string()));
            tokio::spawn(call)
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_handler_runs_on_defaults_while_the_store_fails() {
    let (lines, _guard) = Lines::listen();
    let flags = FeatureFlags::new(Told::new(Err(unavailable())));
    let handler = |_: LambdaEvent<String>| async {
        let flags = feature_flags::current()?;
        Ok::<_, Error>((
            flags.is_enabled("new_checkout", true)?,
            flags.is_enabled("dark_mode", false)?,
        ))
    };
    let service = FeatureFlagsLayer::new(flags, by_tier).layer(service_fn(handler));
    let seen = service.oneshot(event("pro", "one")).await.unwrap();
    assert_eq!(seen, (true, false));
    assert_eq!(lines.warnings().len(), 1);
}

#[tokio::test]
async fn a_handler_that_asks_is_told_of_denied_access_and_one_that_does_not_is_not() {
    let layer = FeatureFlagsLayer::new(FeatureFlags::new(Told::new(Err(denied()))), by_tier);
    let asks = layer.layer(service_fn(is_new_checkout));
    let error = asks.oneshot(event("pro", "one")).await.unwrap_err();
    let error = error.downcast::<FeatureFlagsError>().unwrap();
    assert!(matches!(
        *error,
        FeatureFlagsError::Store(FlagStoreError::AccessDenied { .. })
    ));
    let silent = layer.layer(service_fn(|_: LambdaEvent<String>| {
        ready(Ok::<_, Infallible>(7))
    }));
    assert_eq!(silent.oneshot(event("pro", "two")).await, Ok(7));
}

#[tokio::test]
async fn a_layer_whose_flags_are_required_refuses_without_a_document() {
    let (lines, _guard) = Lines::listen();
    for (failure, source) in [
        (unavailable(), ": connection reset"),
        (denied(), ": no permission"),
        (broken(), ": $.new_checkout.default: must be a boolean"),
    ] {
        let store = Told::new(Err(failure));
        let hands = Hands::new();
        let flags = hands.on(FeatureFlags::new(Arc::clone(&store)));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut service = ServiceBuilder::new()
            .layer(FeatureFlagsLayer::new(flags, by_tier).required())
            .service_fn(move |event| {
                counted.fetch_add(1, Ordering::Relaxed);
                is_new_checkout(event)
            });
        let call = service.ready().await.unwrap().call(event("pro", "one"));
        let error = call.await.unwrap_err();
        assert!(matches!(&error, RequiredFlagsError::Flags(_)));
        let diagnostic = Diagnostic::from(error);
        assert_eq!(
            diagnostic.error_type,
            "powertools::feature_flags::RequiredFlagsError"
        );
        let message = diagnostic.error_message;
        assert!(message.contains("flag document `flags`"), "{message}");
        assert!(message.contains(source), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        assert_eq!(calls.load(Ordering::Relaxed), 0);

        // The next invocation is none the worse for it.
        store.tell(Ok(document(DOCUMENT)));
        hands.advance(Duration::from_secs(1));
        let call = service.ready().await.unwrap().call(event("pro", "two"));
        assert!(call.await.unwrap());
    }
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn a_layer_that_is_warm_says_whether_there_is_a_document() {
    let (lines, _guard) = Lines::listen();
    let store = Told::new(Err(denied()));
    let layer = FeatureFlagsLayer::new(FeatureFlags::new(Arc::clone(&store)), by_tier);
    let error = layer.warm().await.unwrap_err();
    assert!(matches!(error, FlagStoreError::AccessDenied { .. }));
    store.tell(Ok(document(DOCUMENT)));
    layer.warm().await.unwrap();
    layer.required().warm().await.unwrap();
    assert_eq!(store.asked(), 3);
    assert!(lines.warnings().is_empty());
}

#[tokio::test]
async fn a_failed_handler_keeps_its_diagnostic() {
    let handler = |_: LambdaEvent<String>| ready(Err::<(), Error>("out of stock".into()));
    let service = FeatureFlagsLayer::new(flags(), by_tier)
        .required()
        .layer(service_fn(handler));
    let error = service.oneshot(event("pro", "one")).await.unwrap_err();
    assert_eq!(error.to_string(), "out of stock");
    assert_eq!(format!("{error:?}"), r#""out of stock""#);
    assert_eq!(
        Diagnostic::from(error),
        Diagnostic::from(Error::from("out of stock"))
    );
}

#[tokio::test]
async fn an_invocation_waits_for_a_slow_store_and_others_do_not_wait_with_it() {
    let slow = Arc::new(Slow::default());
    let waiting = FeatureFlagsLayer::new(FeatureFlags::new(Arc::clone(&slow)), by_tier)
        .layer(service_fn(is_new_checkout))
        .oneshot(event("pro", "one"));
    let mut waiting = Box::pin(waiting);
    assert!(poll_once(waiting.as_mut()).is_pending());

    let quick = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(is_new_checkout));
    assert!(quick.oneshot(event("pro", "two")).await.unwrap());

    slow.go.notify_one();
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn an_invocation_that_is_cancelled_while_it_fetches_leaves_nothing_behind() {
    let slow = Arc::new(Slow::default());
    let flags = FeatureFlags::new(Arc::clone(&slow));
    let layer = FeatureFlagsLayer::new(flags, |event: &LambdaEvent<Arc<str>>| tier(&event.payload));
    let service = layer.layer(service_fn(|_| async {
        feature_flags::current()?.is_enabled("new_checkout", false)
    }));
    let payload = Arc::from("pro");
    let event = |id| LambdaEvent::new(Arc::clone(&payload), context(id));
    let mut call = Box::pin(service.clone().oneshot(event("one")));
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(Arc::strong_count(&payload), 2);
    drop(call);
    assert_eq!(Arc::strong_count(&payload), 1);
    assert!(Invocation::current().is_none());

    slow.go.notify_one();
    assert!(service.oneshot(event("two")).await.unwrap());
}

#[tokio::test]
async fn a_handler_that_is_cancelled_still_has_its_flags_while_it_is_dropped() {
    struct OnDrop(Arc<Mutex<Option<bool>>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let flags = feature_flags::current().ok();
            *self.0.lock().unwrap() =
                flags.and_then(|flags| flags.is_enabled("new_checkout", false).ok());
        }
    }

    let seen = Arc::default();
    let held = Arc::clone(&seen);
    let service = FeatureFlagsLayer::new(flags(), by_tier).layer(service_fn(
        move |_: LambdaEvent<String>| {
            let guard = OnDrop(Arc::clone(&held));
            async move {
                let _guard = guard;
                pending::<Result<(), Infallible>>().await
            }
        },
    ));
    let mut call = Box::pin(service.oneshot(event("pro", "one")));
    assert!(poll_once(call.as_mut()).is_pending());
    drop(call);
    assert_eq!(*seen.lock().unwrap(), Some(true));
}

#[tokio::test]
async fn a_context_that_panics_fails_its_own_invocation_only() {
    let layer = FeatureFlagsLayer::new(flags(), |event: &LambdaEvent<String>| {
        assert_ne!(event.payload, "boom", "no such tier");
        tier(&event.payload)
    });
    let service = layer.layer(service_fn(is_new_checkout));
    let panicked = tokio::spawn(service.clone().oneshot(event("boom", "one"))).await;
    assert!(panicked.unwrap_err().is_panic());
    assert!(service.oneshot(event("pro", "two")).await.unwrap());
}

#[tokio::test]
async fn who_decides_senseless_comparisons_may_ask_for_flags_himself() {
    let (lines, _guard) = Lines::listen();
    let flags = flags().on_mismatch(|_| {
        feature_flags::current().is_ok_and(|flags| flags.is_enabled("dark_mode", false).is_ok())
    });
    let layer = FeatureFlagsLayer::new(flags, |_: &LambdaEvent<String>| {
        EvaluationContext::new().with("plan", 7)
    });
    let handler =
        |_: LambdaEvent<String>| ready(feature_flags::current().unwrap().value("page_size", 0));
    let service = layer.layer(service_fn(handler));
    assert_eq!(service.oneshot(event("pro", "one")).await.unwrap(), 100);
    assert!(lines.warnings().is_empty());
}

#[cfg(feature = "http")]
#[tokio::test]
async fn the_context_comes_from_the_headers_of_a_request_of_http() {
    let by_header = |request: &http::Request<()>| {
        let tier = request.headers().get("x-tier");
        let tier = tier.and_then(|tier| tier.to_str().ok());
        EvaluationContext::new().with("tier", tier)
    };
    let handler = |_: http::Request<()>| async {
        Ok::<_, Error>(feature_flags::current()?.is_enabled("new_checkout", false)?)
    };
    let service = FeatureFlagsLayer::new(flags(), by_header).layer(service_fn(handler));
    let mut request = http::Request::new(());
    request.extensions_mut().insert(context("one"));
    assert!(!service.clone().oneshot(request.clone()).await.unwrap());
    let pro = http::HeaderValue::from_static("pro");
    request.headers_mut().insert("x-tier", pro);
    assert!(service.oneshot(request).await.unwrap());
}

#[tokio::test]
async fn readiness_is_that_of_the_handler() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner| FeatureFlagsLayer::new(flags(), by_tier).layer(inner));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());

    let response = tokio::spawn(service.call(event("pro", "one")));
    let (request, send): (LambdaEvent<String>, _) = handle.next_request().await.unwrap();
    assert_eq!(request.context.request_id, "one");
    send.send_response("done");
    assert_eq!(response.await.unwrap().unwrap(), "done");
}

#[tokio::test]
async fn a_service_that_cannot_be_ready_says_so() {
    let (mut service, handle) = mock::spawn_with(|inner| {
        FeatureFlagsLayer::new(flags(), by_tier)
            .required()
            .layer(inner)
    });
    let _: &mock::Handle<LambdaEvent<String>, ()> = &handle;
    drop(handle);
    assert!(matches!(
        service.poll_ready(),
        Poll::Ready(Err(RequiredFlagsError::Handler(_)))
    ));
}

#[test]
fn the_stack_can_be_run_concurrently() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_sent<T: Send>() {}
    fn is_sent_as<T: Send>(_: &T) {}

    let layer = FeatureFlagsLayer::new(flags(), by_tier);
    is_shared(&layer);
    is_shared(&flags());
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .service_fn(is_new_checkout);
    is_shared(&service);
    is_sent::<feature_flags::ResponseFuture<(), Error>>();
    is_sent::<Evaluator>();
    let (flags, context) = (flags(), tier("pro"));
    is_sent_as(&flags.is_enabled("new_checkout", &context, false));
    is_sent_as(&flags.value("page_size", &context, 20));
    is_sent_as(&flags.evaluator(context.clone()));
    drop(lambda_runtime::run(service.clone()));
    drop(lambda_runtime::run_concurrent(service));
    let service = ServiceBuilder::new()
        .layer(layer.required())
        .service_fn(is_new_checkout);
    is_shared(&service);
    drop(lambda_runtime::run(service));
}

#[tokio::test]
async fn debug_output_shows_no_value() {
    let text = r#"{"colour": {"boolean_type": false, "default": "hunter2"}}"#;
    let flags = FeatureFlags::new(StaticStore::new(document(text)));
    let context = EvaluationContext::new().with("password", "hunter2");
    let evaluator = flags.evaluator(context).await;
    let layer = FeatureFlagsLayer::new(flags.clone(), by_tier);
    let service = layer.layer("inner");
    let debug = format!("{flags:?} {evaluator:?} {layer:?} {service:?}");
    assert!(!debug.contains("hunter2"), "{debug}");
    assert!(
        debug.contains("colour") && debug.contains("password"),
        "{debug}"
    );
}

// What is reported.

#[tokio::test]
async fn evaluations_are_logged_by_choice_once_for_each_flag_of_an_evaluator() {
    let (lines, _guard) = Lines::listen();
    let flags = flags().log(true);
    let evaluator = flags.evaluator(tier("pro").with("plan", "large")).await;
    for _ in 0..2 {
        evaluator.is_enabled("new_checkout", false).unwrap();
        evaluator.value("page_size", 0).unwrap();
        evaluator.evaluate("dark_mode").unwrap();
    }
    assert_eq!(
        lines.take(Level::INFO),
        [
            r#"message=feature flag evaluated flag="new_checkout" variant="on" reason="rule_match" rule="paying tenants""#,
            r#"message=feature flag evaluated flag="page_size" variant="large" reason="rule_match" rule="large""#,
            r#"message=feature flag evaluated flag="dark_mode" variant="on" reason="static""#,
        ]
    );
    let evaluator = flags.evaluator(tier("free")).await;
    evaluator.is_enabled("new_checkout", true).unwrap();
    evaluator.value("page_size", 0).unwrap();
    assert_eq!(
        lines.take(Level::INFO),
        [
            r#"message=feature flag evaluated flag="new_checkout" variant="off" reason="default""#,
            r#"message=feature flag evaluated flag="page_size" variant="default" reason="default""#,
        ]
    );
}

#[tokio::test]
async fn nothing_is_logged_unless_it_is_chosen() {
    let (lines, _guard) = Lines::listen();
    let evaluator = flags().evaluator(tier("pro")).await;
    evaluator.is_enabled("new_checkout", false).unwrap();
    assert!(lines.take(Level::INFO).is_empty());
}

#[tokio::test]
async fn a_default_is_logged_as_such() {
    let (lines, _guard) = Lines::listen();
    let flags = FeatureFlags::new(Told::new(Err(unavailable()))).log(true);
    let evaluator = flags.evaluator(tier("pro")).await;
    assert_eq!(lines.warnings().len(), 1);
    evaluator.is_enabled("new_checkout", false).unwrap();
    assert_eq!(
        lines.take(Level::INFO),
        [r#"message=feature flag evaluated flag="new_checkout" variant="fallback" reason="error""#]
    );
}

#[cfg(feature = "logging")]
#[tokio::test]
async fn the_line_is_as_documented() {
    use powertools::{Env, logging::Logger, testing::capture_logs};

    let (output, _guard) = capture_logs(Logger::from_env(&Env::default()));
    let evaluator = flags().log(true).evaluator(tier("pro")).await;
    evaluator.is_enabled("new_checkout", false).unwrap();
    let line = &output.json()[0];
    let documented = include_str!("../src/feature_flags/mod.rs")
        .lines()
        .find(|line| line.contains("feature flag evaluated"))
        .and_then(|line| line.strip_prefix("//! "))
        .unwrap();
    let documented: serde_json::Map<String, Value> = serde_json::from_str(documented).unwrap();
    for (key, value) in documented {
        assert_eq!(line[&key], value, "{key}");
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use powertools::{
        metrics::MetricsLayer,
        testing::{Captured, CapturedMetrics, capture_metrics},
    };

    use super::*;

    const EVALUATIONS: &str = "FeatureFlagEvaluations";

    async fn run(flags: FeatureFlags<impl FlagStore>) -> CapturedMetrics {
        let handler = |_: LambdaEvent<String>| async {
            let flags = feature_flags::current()?;
            for _ in 0..3 {
                flags.is_enabled("new_checkout", false)?;
            }
            flags.value("page_size", 0)?;
            flags.enabled()?;
            Ok::<_, Error>(())
        };
        let (captured, layer) = capture_metrics(MetricsLayer::new("Shop"));
        let service = ServiceBuilder::new()
            .layer(layer)
            .layer(FeatureFlagsLayer::new(flags, by_tier))
            .service_fn(handler);
        for tier in ["pro", "pro", "free"] {
            let call = service.clone().oneshot(event(tier, tier));
            call.await.unwrap();
        }
        captured
    }

    #[tokio::test]
    async fn evaluations_are_counted_by_choice_by_flag_and_variant() {
        let captured = run(flags().metrics(true)).await;
        let checkout = captured.with_dimension("flag", "new_checkout");
        let on = checkout.with_dimension("variant", "on");
        assert_eq!(on.sum(EVALUATIONS), 2.0);
        let off = checkout.with_dimension("variant", "off");
        assert_eq!(off.sum(EVALUATIONS), 1.0);
        let page_size = captured.with_dimension("flag", "page_size");
        assert_eq!(
            page_size
                .with_dimension("variant", "default")
                .sum(EVALUATIONS),
            3.0
        );
        assert_eq!(captured.sum(EVALUATIONS), 6.0);
    }

    #[tokio::test]
    async fn the_object_is_as_documented() {
        let output = Captured::default();
        let metrics = MetricsLayer::new("Shop")
            .service("orders")
            .with_writer(output.clone());
        let service = ServiceBuilder::new()
            .layer(metrics)
            .layer(FeatureFlagsLayer::new(flags().metrics(true), by_tier))
            .service_fn(is_new_checkout);
        assert!(service.oneshot(event("pro", "one")).await.unwrap());
        let written = output.lines().pop().unwrap();
        let (_, written) = written.split_once(',').unwrap();
        let documented = include_str!("../src/feature_flags/mod.rs")
            .lines()
            .find_map(|line| line.strip_prefix(r#"//! {"_aws":{"Timestamp":1795392000000,"#));
        assert_eq!(Some(written), documented);
    }

    #[tokio::test]
    async fn nothing_is_counted_unless_it_is_chosen() {
        assert!(run(flags()).await.names().is_empty());
    }

    #[tokio::test]
    async fn defaults_are_counted_as_such() {
        let captured = run(FeatureFlags::new(Told::new(Err(unavailable()))).metrics(true)).await;
        let fallback = captured.with_dimension("variant", "fallback");
        assert_eq!(fallback.sum(EVALUATIONS), 6.0);
    }
}

#[cfg(feature = "parameters")]
mod parameters {
    use powertools::{
        feature_flags::ParameterStore,
        parameters::{Fetched, Parameters, ProviderErrorKind},
        testing::{Clock, MemoryProvider},
    };

    use super::*;

    const NAME: &str = "/shop/flags";

    struct Shop {
        provider: MemoryProvider,
        clock: Clock,
        parameters: Parameters<MemoryProvider>,
    }

    impl Shop {
        fn new() -> Self {
            let provider = MemoryProvider::from([(NAME, DOCUMENT)]);
            let clock = Clock::new();
            let parameters = Parameters::new(provider.clone())
                .max_age(Duration::from_secs(60))
                .with_clock(&clock);
            Self {
                provider,
                clock,
                parameters,
            }
        }

        fn store(&self) -> ParameterStore<MemoryProvider> {
            ParameterStore::new(self.parameters.clone(), NAME)
        }

        fn pass(&self) {
            self.clock.advance(Duration::from_secs(61));
        }
    }

    #[tokio::test]
    async fn a_document_is_compiled_again_only_if_it_has_changed() {
        let shop = Shop::new();
        let store = shop.store();
        let first = store.document().await.unwrap();
        assert!(Arc::ptr_eq(&first, &store.document().await.unwrap()));
        assert_eq!(shop.provider.calls(), 1);

        shop.pass();
        assert!(Arc::ptr_eq(&first, &store.document().await.unwrap()));
        // The same text as another version of the parameter.
        shop.provider
            .put(NAME, Fetched::text(DOCUMENT).version("2"));
        shop.pass();
        assert!(Arc::ptr_eq(&first, &store.document().await.unwrap()));
        assert_eq!(shop.provider.calls(), 3);

        shop.provider.set(NAME, "{}");
        shop.pass();
        assert_eq!(store.document().await.unwrap().names().len(), 0);
    }

    #[tokio::test]
    async fn a_layer_that_is_warm_has_its_document_before_the_first_invocation() {
        let shop = Shop::new();
        let layer = FeatureFlagsLayer::new(FeatureFlags::new(shop.store()), by_tier);
        layer.warm().await.unwrap();
        shop.provider.hold();
        let service = layer.layer(service_fn(is_new_checkout));
        let mut call = Box::pin(service.oneshot(event("pro", "one")));
        assert!(matches!(poll_once(call.as_mut()), Poll::Ready(Ok(true))));
        assert_eq!(shop.provider.calls(), 1);
    }

    #[tokio::test]
    async fn a_document_that_many_ask_for_at_once_is_compiled_once() {
        let shop = Shop::new();
        let flags: Vec<_> = (0..2000)
            .map(|n| format!(r#""flag-{n}": {{"default": true}}"#))
            .collect();
        shop.provider.set(NAME, format!("{{{}}}", flags.join(",")));
        shop.parameters.get(NAME).await.unwrap();
        let store = shop.store();
        let barrier = std::sync::Barrier::new(8);
        let documents: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        // It is cached, so nothing has to be waited for.
                        match poll_once(Box::pin(store.document()).as_mut()) {
                            Poll::Ready(document) => document.unwrap(),
                            Poll::Pending => panic!("fetched"),
                        }
                    })
                })
                .collect();
            let threads = threads.into_iter();
            threads.map(|thread| thread.join().unwrap()).collect()
        });
        for document in &documents {
            assert!(Arc::ptr_eq(document, &documents[0]));
        }
        assert_eq!(shop.provider.calls(), 1);
    }

    #[tokio::test]
    async fn a_flag_changes_when_the_parameter_has_become_too_old() {
        let shop = Shop::new();
        let flags = FeatureFlags::new(shop.store());
        let pro = tier("pro");
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        shop.provider
            .set(NAME, r#"{"new_checkout": {"default": false}}"#);
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        shop.pass();
        assert!(!flags.is_enabled("new_checkout", &pro, false).await.unwrap());
    }

    #[tokio::test]
    async fn a_parameter_that_cannot_be_fetched_leaves_the_defaults() {
        let (lines, _guard) = Lines::listen();
        for kind in [
            ProviderErrorKind::NotFound,
            ProviderErrorKind::Throttled,
            ProviderErrorKind::TimedOut,
            ProviderErrorKind::InvalidRequest,
            ProviderErrorKind::Other,
        ] {
            let shop = Shop::new();
            shop.provider.fail(kind);
            let flags = FeatureFlags::new(shop.store());
            assert!(flags.is_enabled("gone", &tier("pro"), true).await.unwrap());
            let warnings = lines.warnings();
            assert_eq!(warnings.len(), 1, "{kind:?}: {warnings:?}");
            assert!(warnings[0].contains(NAME), "{kind:?}: {warnings:?}");
        }
    }

    #[tokio::test]
    async fn denied_access_to_the_parameter_is_an_error() {
        let shop = Shop::new();
        shop.provider.fail(ProviderErrorKind::AccessDenied);
        let error = FeatureFlags::new(shop.store())
            .is_enabled("new_checkout", &tier("pro"), true)
            .await
            .unwrap_err();
        assert_eq!(
            chain(&error),
            [
                "access to flag document `/shop/flags` is denied",
                "access to parameter `/shop/flags` is denied",
            ]
        );
    }

    #[tokio::test]
    async fn what_the_parameters_serve_stale_is_as_good() {
        let (lines, _guard) = Lines::listen();
        let mut shop = Shop::new();
        shop.parameters = shop.parameters.stale_if_error(Duration::from_secs(600));
        let flags = FeatureFlags::new(shop.store());
        let pro = tier("pro");
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        shop.provider.fail(ProviderErrorKind::Throttled);
        shop.pass();
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        assert!(lines.warnings().is_empty());
        shop.clock.advance(Duration::from_secs(601));
        assert!(!flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        assert_eq!(lines.warnings().len(), 1);
    }

    #[tokio::test]
    async fn a_warm_invocation_does_not_wait_for_a_provider_that_hangs() {
        let mut shop = Shop::new();
        let minutes = Duration::from_secs(600);
        shop.parameters = shop.parameters.refresh_in_background(minutes);
        let service = FeatureFlagsLayer::new(FeatureFlags::new(shop.store()), by_tier)
            .layer(service_fn(is_new_checkout));
        assert!(service.clone().oneshot(event("pro", "one")).await.unwrap());

        shop.provider.hold();
        shop.pass();
        let mut call = Box::pin(service.clone().oneshot(event("pro", "two")));
        assert!(matches!(poll_once(call.as_mut()), Poll::Ready(Ok(true))));

        shop.provider.set(NAME, "{}");
        shop.provider.release();
        while shop.store().document().await.unwrap().names().len() > 0 {
            yield_now().await;
        }
        assert!(!service.oneshot(event("pro", "three")).await.unwrap());
    }

    #[tokio::test]
    async fn many_invocations_at_once_fetch_the_document_once() {
        let shop = Shop::new();
        shop.provider.hold();
        let service = FeatureFlagsLayer::new(FeatureFlags::new(shop.store()), by_tier)
            .layer(service_fn(is_new_checkout));
        let calls: Vec<_> = (0..64)
            .map(|n| tokio::spawn(service.clone().oneshot(event("pro", &n.to_string()))))
            .collect();
        yield_now().await;
        shop.provider.release();
        for call in calls {
            assert!(call.await.unwrap().unwrap());
        }
        assert_eq!(shop.provider.calls(), 1);
    }

    #[tokio::test]
    async fn a_parameter_that_is_no_document_is_an_error_that_shows_none_of_it() {
        let large = format!(
            r#"{{"flag": {{"default": "{}"}}}}"#,
            "hunter2".repeat(500_000)
        );
        let texts = [
            (Fetched::text("hunter2"), "$: not JSON at line 1, column 1"),
            (Fetched::text("7"), "$: must be an object, not a number"),
            (Fetched::binary([0xff, 0xfe]), "$: not Unicode"),
            (
                Fetched::text(r#"{"flag": {"default": "hunter2"}}"#),
                "$.flag.default: must be a boolean, not a string",
            ),
            (
                Fetched::text(&*large),
                "$.flag.default: must be a boolean, not a string",
            ),
        ];
        for (value, problem) in texts {
            let shop = Shop::new();
            shop.provider.put(NAME, value);
            let error = FeatureFlags::new(shop.store())
                .is_enabled("flag", &tier("pro"), true)
                .await
                .unwrap_err();
            let messages = chain(&error);
            assert_eq!(
                messages,
                [
                    "flag document `/shop/flags` is invalid".to_owned(),
                    format!("invalid flag document: {problem}"),
                ]
            );
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_parameter_that_is_too_large_is_not_available() {
        let shop = Shop::new();
        shop.provider.set(NAME, "x".repeat(10_000_000));
        let error = FeatureFlags::new(shop.store())
            .fail_when_unavailable(true)
            .is_enabled("flag", &tier("pro"), true)
            .await
            .unwrap_err();
        let messages = chain(&error);
        assert!(messages[1].contains("10000000 bytes"), "{messages:?}");

        let mut shop = Shop::new();
        shop.parameters = shop.parameters.max_value_bytes(usize::MAX);
        shop.provider.set(NAME, "x".repeat(10_000_000));
        let error = shop.store().document().await.unwrap_err();
        let messages = chain(&error);
        assert!(messages[1].contains("10000000 bytes"), "{messages:?}");
    }

    #[tokio::test]
    async fn a_broken_deployment_leaves_the_flags_as_they_were() {
        let (lines, _guard) = Lines::listen();
        let shop = Shop::new();
        let flags = FeatureFlags::new(shop.store());
        let pro = tier("pro");
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        shop.provider.set(NAME, "{");
        for _ in 0..3 {
            shop.pass();
            assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());
        }
        assert_eq!(lines.warnings().len(), 1);
        shop.provider.set(NAME, "{}");
        shop.pass();
        assert!(flags.enabled(&pro).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_native_document_is_read_where_that_is_said() {
        let shop = Shop::new();
        let text = r#"{"new_checkout": {"enabled": true, "limit": 7}}"#;
        shop.provider.set(NAME, text);
        let flags = FeatureFlags::new(shop.store().native());
        let flags = flags.evaluator(EvaluationContext::new()).await;
        assert!(flags.is_enabled("new_checkout", false).unwrap());
        let evaluation = flags.evaluate("new_checkout").unwrap().unwrap();
        assert_eq!(evaluation.attribute("limit"), Some(&json!(7)));

        let error = shop.store().document().await.unwrap_err();
        assert!(matches!(error, FlagStoreError::Invalid { .. }));
    }

    #[cfg(feature = "jmespath")]
    #[tokio::test]
    async fn a_document_is_taken_out_of_its_envelope() {
        use powertools::jmespath::Expression;

        let envelope = |expression| Expression::new(expression).unwrap();
        let shop = Shop::new();
        let text = format!(r#"{{"log": "debug", "features": {DOCUMENT}}}"#);
        shop.provider.set(NAME, text);
        let flags = FeatureFlags::new(shop.store().envelope(envelope("features")));
        let pro = tier("pro");
        assert!(flags.is_enabled("new_checkout", &pro, false).await.unwrap());

        // Rules keep the order they are written in.
        let text = r#"{"features": {"f": {"boolean_type": false, "default": 0, "rules": {
            "z": {"when_match": 1, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]},
            "a": {"when_match": 2, "conditions": [{"action": "EQUALS", "key": "k", "value": 1}]}
        }}}}"#;
        shop.provider.set(NAME, text);
        shop.pass();
        let one = EvaluationContext::new().with("k", 1);
        assert_eq!(flags.value("f", &one, 0).await.unwrap(), 1);

        for (expression, message) in [
            ("gone", "the expression finds nothing"),
            ("length(gone)", "function `length`"),
        ] {
            let store = shop.store().envelope(envelope(expression));
            let error = store.document().await.unwrap_err();
            let messages = chain(&error);
            assert_eq!(
                messages[0],
                "flag document `/shop/flags` cannot be taken out of its envelope"
            );
            assert!(messages[1].contains(message), "{messages:?}");
        }
    }
}
