//! The deadline guard as a function's author and Lambda see it.
#![cfg(all(feature = "deadline", feature = "testing"))]

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn, ready},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Poll},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Env, Invocation,
    deadline::{CutOff, DeadlineError, DeadlineLayer, DeadlineService, ResponseFuture, WatchOnly},
    testing::context,
};
use tokio::{
    runtime::Builder,
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::{Dispatch, Event, Level, Subscriber, field::Field, subscriber::DefaultGuard};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// What the clock on the wall says all the time.
const NOW: Duration = Duration::from_secs(1_795_392_000);

const TIMEOUT: Duration = Duration::from_secs(3);

/// A layer that the environment of the tests cannot change, with a clock of its own.
fn layer() -> DeadlineLayer {
    DeadlineLayer::from_env(&Env::default()).with_clock(|| UNIX_EPOCH + NOW)
}

fn event(request_id: &str) -> LambdaEvent<()> {
    event_due_in(request_id, TIMEOUT)
}

fn event_due_in(request_id: &str, left: Duration) -> LambdaEvent<()> {
    let mut context = context(request_id);
    context.deadline = u64::try_from((NOW + left).as_millis()).unwrap();
    LambdaEvent::new((), context)
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What was logged, by anybody.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug, Default)]
struct Line {
    message: String,
    remaining_ms: Option<u64>,
    request_id: Option<String>,
    thread: Option<String>,
    at: Option<Instant>,
}

impl Log {
    /// Captures what the running thread logs until the guard is dropped.
    fn capture() -> (Self, DefaultGuard) {
        // Or tests that end on other threads make `tracing` believe that nobody listens.
        static LISTENS: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(tracing_subscriber::registry().with(Log::default())));
        LazyLock::force(&LISTENS);

        let log = Self::default();
        let guard = tracing_subscriber::registry()
            .with(log.clone())
            .set_default();
        (log, guard)
    }

    fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the only line, which says that a deadline is near.
    #[track_caller]
    fn announcement(&self) -> Line {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let [line] = lines.try_into().unwrap();
        assert_eq!(
            line.message,
            "timeout imminent: the handler has not answered"
        );
        line
    }

    #[track_caller]
    fn assert_silent(&self) {
        let lines = self.lines();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN
            || !event.metadata().target().starts_with("powertools")
        {
            return;
        }
        let mut line = Line {
            request_id: Invocation::current().map(|it| it.context().request_id.clone()),
            thread: thread::current().name().map(str::to_owned),
            at: Some(Instant::now()),
            ..Line::default()
        };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
}

impl tracing::field::Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "remaining_ms" {
            self.remaining_ms = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// Runs a handler that takes a while, with a layer around it.
async fn answer_after(layer: &DeadlineLayer, event: LambdaEvent<()>, duration: Duration) {
    let handler = service_fn(move |_: LambdaEvent<()>| async move {
        sleep(duration).await;
        Ok::<_, Infallible>(())
    });
    layer.layer(handler).oneshot(event).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_takes_too_long_is_announced_once_and_goes_on() {
    let (log, _guard) = Log::capture();
    let start = Instant::now();
    answer_after(&layer(), event("one"), milliseconds(2950)).await;
    assert_eq!(start.elapsed().as_millis(), 2950);

    let line = log.announcement();
    assert_eq!(line.request_id.as_deref(), Some("one"));
    assert_eq!(line.remaining_ms, Some(100));
    let fired_after = line.at.unwrap() - start;
    assert_eq!(fired_after.as_millis(), 2900);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_answers_in_time_is_left_alone() {
    let (log, _guard) = Log::capture();
    for duration in [0, 1, 1000, 2890] {
        answer_after(&layer(), event("one"), milliseconds(duration)).await;
    }
    // Nothing of them is left that could fire.
    sleep(TIMEOUT).await;
    log.assert_silent();
}

#[tokio::test(start_paused = true)]
async fn the_margin_is_what_is_asked_for_but_no_more_than_half_of_the_time() {
    for (margin, left, remaining) in [
        (1, 3000, 1),
        (1000, 3000, 1000),
        (1500, 3000, 1500),
        (1501, 3000, 1500),
        (60_000, 3000, 1500),
        (100, 50, 25),
    ] {
        let (log, _guard) = Log::capture();
        let layer = layer().margin(milliseconds(margin));
        let event = event_due_in("one", milliseconds(left));
        answer_after(&layer, event, TIMEOUT).await;
        assert_eq!(log.announcement().remaining_ms, Some(remaining), "{margin}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_without_a_deadline_is_left_alone() {
    let (log, _guard) = Log::capture();
    for deadline in [0, u64::MAX] {
        let mut event = event("one");
        event.context.deadline = deadline;
        answer_after(&layer(), event, Duration::from_secs(3600)).await;
    }
    log.assert_silent();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_announced_as_soon_as_the_handler_waits() {
    let past = || {
        let mut event = event("one");
        event.context.deadline = 1;
        event
    };
    let (log, _guard) = Log::capture();
    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
    layer().layer(handler).oneshot(past()).await.unwrap();
    log.assert_silent();

    let start = Instant::now();
    answer_after(&layer(), past(), Duration::from_secs(1)).await;
    let line = log.announcement();
    assert_eq!(line.remaining_ms, Some(0));
    // Tokio's timers tick every millisecond.
    assert!(line.at.unwrap() - start <= milliseconds(1), "{line:?}");
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_asked_once_whatever_it_says_later() {
    let (log, _guard) = Log::capture();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // It stands an hour later when asked again, and has stepped back a day the third time.
    let layer = layer().with_clock(move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => UNIX_EPOCH + NOW,
        1 => UNIX_EPOCH + NOW + Duration::from_secs(3600),
        _ => UNIX_EPOCH + NOW - Duration::from_secs(86_400),
    });
    answer_after(&layer, event("one"), milliseconds(2950)).await;
    assert_eq!(log.announcement().remaining_ms, Some(100));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cancelled_or_panics_is_not_announced() {
    let (log, _guard) = Log::capture();
    let forever = service_fn(|_: LambdaEvent<()>| pending::<Result<(), Infallible>>());
    let cancelled = layer().layer(forever).oneshot(event("one"));
    let timeout = tokio::time::timeout(Duration::from_secs(1), cancelled);
    timeout.await.unwrap_err();

    let panics = service_fn(|_: LambdaEvent<()>| async {
        sleep(Duration::from_secs(1)).await;
        panic!("the handler's own");
        #[expect(unreachable_code, reason = "it says what the handler would answer")]
        Ok::<(), Infallible>(())
    });
    let task = tokio::spawn(layer().layer(panics).oneshot(event("two")));
    assert!(task.await.unwrap_err().is_panic());

    sleep(TIMEOUT).await;
    log.assert_silent();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_costs_no_answer() {
    struct Panics;

    impl<S: Subscriber> tracing_subscriber::Layer<S> for Panics {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if event.metadata().target() == "powertools::deadline" {
                panic!("no disk");
            }
        }
    }

    let (log, _outer) = Log::capture();
    let _guard = tracing_subscriber::registry()
        .with(log.clone())
        .with(Panics)
        .set_default();
    answer_after(&layer(), event("one"), TIMEOUT).await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_there_twice_announces_once() {
    let (log, _guard) = Log::capture();
    let service = ServiceBuilder::new()
        .layer(layer().margin(Duration::from_secs(1)))
        .layer(layer().cut_off())
        .service_fn(|_: LambdaEvent<()>| pending::<Result<(), Infallible>>());
    let start = Instant::now();
    let error = service.oneshot(event("one")).await.unwrap_err();
    assert!(matches!(error, DeadlineError::Exceeded { remaining, .. }
        if remaining.as_millis() == 100));
    assert_eq!(start.elapsed().as_millis(), 2900);
    assert_eq!(log.announcement().remaining_ms, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_invocations_at_once_those_are_announced_that_are_late() {
    const INVOCATIONS: usize = 10_000;

    let (log, _guard) = Log::capture();
    let service = layer().layer(service_fn(|event: LambdaEvent<()>| async move {
        let number: u64 = event.context.request_id.parse().unwrap();
        // Every third is late, each at another moment.
        let late = if number.is_multiple_of(3) { 2900 } else { 0 };
        sleep(milliseconds(late + number % 89 + 1)).await;
        Ok::<_, Infallible>(())
    }));
    let mut invocations = JoinSet::new();
    for number in 0..INVOCATIONS {
        let service = service.clone();
        invocations.spawn(service.oneshot(event(&number.to_string())));
    }
    invocations.join_all().await;

    let mut announced: Vec<usize> = log
        .lines()
        .into_iter()
        .map(|line| line.request_id.unwrap().parse().unwrap())
        .collect();
    announced.sort_unstable();
    let late: Vec<_> = (0..INVOCATIONS).step_by(3).collect();
    assert_eq!(announced, late);
}

/// Says when it is dropped, and in which invocation.
struct OnDrop(Arc<Mutex<Option<String>>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = Invocation::current().map(|it| it.context().request_id.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_off_is_gone_before_the_answer() {
    let (log, _guard) = Log::capture();
    let dropped_in = Arc::<Mutex<Option<String>>>::default();
    let in_handler = Arc::clone(&dropped_in);
    let service = layer()
        .cut_off()
        .layer(service_fn(move |_: LambdaEvent<()>| {
            let guard = OnDrop(Arc::clone(&in_handler));
            async move {
                let _guard = guard;
                pending::<Result<(), Infallible>>().await
            }
        }));
    let mut answer = pin!(service.oneshot(event("one")));
    let start = Instant::now();
    // The future is still there: what was dropped, it dropped itself.
    let error = answer.as_mut().await.unwrap_err();
    assert_eq!(dropped_in.lock().unwrap().as_deref(), Some("one"));
    assert_eq!(start.elapsed().as_millis(), 2900);
    log.announcement();

    assert_eq!(
        error.to_string(),
        "the handler had not answered 100 ms before its deadline"
    );
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "powertools::deadline::DeadlineError");
    assert_eq!(
        diagnostic.error_message,
        "the handler had not answered 100 ms before its deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_answers_in_time_passes_through_untouched() {
    #[derive(Debug, thiserror::Error)]
    #[error("order refused")]
    struct Refused;

    let service = |result: fn() -> Result<u8, Error>| {
        layer()
            .cut_off()
            .layer(service_fn(move |_: LambdaEvent<()>| async move {
                sleep(Duration::from_secs(1)).await;
                result()
            }))
    };
    let answer = service(|| Ok(1)).oneshot(event("one")).await;
    assert_eq!(answer.unwrap(), 1);

    let refused: fn() -> Result<u8, Error> = || Err(Refused.into());
    let error = service(refused).oneshot(event("two")).await.unwrap_err();
    let bare = refused().unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{bare:?}"));
    assert_eq!(error.to_string(), bare.to_string());
    let (diagnostic, bare) = (Diagnostic::from(error), Diagnostic::from(bare));
    assert_eq!(diagnostic.error_type, bare.error_type);
    assert_eq!(diagnostic.error_message, bare.error_message);
}

/// Tokio's budget makes the timer of a task that always has something to do look as if it had not
/// elapsed.
#[tokio::test]
async fn a_handler_that_never_rests_is_cut_off_too() {
    let service = layer()
        .cut_off()
        .layer(service_fn(|_: LambdaEvent<()>| async {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            sender.send(()).unwrap();
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_secs(20) {
                receiver.recv().await;
                sender.send(()).unwrap();
            }
            Ok::<_, Infallible>(())
        }));
    let event = event_due_in("one", milliseconds(200));
    let error = service.oneshot(event).await.unwrap_err();
    assert!(matches!(error, DeadlineError::Exceeded { .. }));
}

#[test]
fn a_handler_that_never_waits_needs_no_timer() {
    let (log, _guard) = Log::capture();
    let without_timers = Builder::new_current_thread().build().unwrap();
    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
    let answer = layer().layer(handler).oneshot(event("one"));
    without_timers.block_on(answer).unwrap();
    log.assert_silent();
}

#[test]
fn a_runtime_without_timers_costs_one_warning_and_no_invocation() {
    let (log, _guard) = Log::capture();
    let without_timers = Builder::new_current_thread().build().unwrap();
    let service = layer().layer(service_fn(|_: LambdaEvent<()>| async {
        yield_now().await;
        Ok::<_, Infallible>(())
    }));
    without_timers.block_on(async {
        for _ in 0..3 {
            service.clone().oneshot(event("one")).await.unwrap();
        }
    });
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].message.contains("`enable_time`"), "{lines:?}");
}

#[test]
fn the_future_may_be_polled_outside_of_any_runtime() {
    let (log, _guard) = Log::capture();
    let mut is_ready = false;
    let handler = service_fn(move |_: LambdaEvent<()>| {
        poll_fn(move |_| {
            if std::mem::replace(&mut is_ready, true) {
                Poll::Ready(Ok::<_, Infallible>(()))
            } else {
                Poll::Pending
            }
        })
    });
    let mut answer = pin!(layer().layer(handler).oneshot(event("one")));
    let mut cx = task::Context::from_waker(task::Waker::noop());
    assert!(answer.as_mut().poll(&mut cx).is_pending());
    assert!(answer.as_mut().poll(&mut cx).is_ready());
    assert_eq!(log.lines().len(), 1);
}

/// Blocks the thread until something was logged.
fn block_until_logged(log: &Log) -> bool {
    let start = std::time::Instant::now();
    while log.lines().is_empty() {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        thread::sleep(milliseconds(1));
    }
    true
}

fn now_in_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_seen_by_the_watchdog() {
    let (log, _guard) = Log::capture();
    for block_in_call in [false, true] {
        log.0.lock().unwrap().clear();
        let in_handler = log.clone();
        let handler = service_fn(move |_: LambdaEvent<()>| {
            let log = in_handler.clone();
            let seen = block_in_call.then(|| block_until_logged(&log));
            async move {
                let seen = seen.unwrap_or_else(|| block_until_logged(&log));
                // The timer has not been there before, and must not fire again.
                sleep(milliseconds(50)).await;
                Ok::<_, Infallible>(seen)
            }
        });
        let layer = DeadlineLayer::from_env(&Env::default())
            .margin(milliseconds(200))
            .watchdog(true);
        let mut event = event("one");
        event.context.deadline = now_in_milliseconds() + 400;
        let seen = layer.layer(handler).oneshot(event).await.unwrap();
        assert!(seen, "the watchdog has not fired");

        let line = log.announcement();
        assert_eq!(line.request_id.as_deref(), Some("one"));
        assert_eq!(line.thread.as_deref(), Some("powertools-deadline"));
        let remaining = line.remaining_ms.unwrap();
        // Three quarters of the margin, or less where the thread gets no CPU.
        assert!(remaining <= 150, "{remaining} ms");
    }
}

#[tokio::test]
async fn the_watchdog_leaves_alone_whom_the_timer_has_seen_and_who_is_fast() {
    let (log, _guard) = Log::capture();
    let layer = layer().margin(milliseconds(400)).watchdog(true);
    for number in 0..100 {
        let event = event_due_in(&number.to_string(), milliseconds(800));
        let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
        layer.layer(handler).oneshot(event).await.unwrap();
    }
    let event = event_due_in("late", milliseconds(800));
    answer_after(&layer, event, milliseconds(600)).await;
    let line = log.announcement();
    assert_eq!(line.request_id.as_deref(), Some("late"));
    assert_ne!(line.thread.as_deref(), Some("powertools-deadline"));
}

#[test]
fn a_thread_that_blocks_hides_no_other_invocation_from_the_watchdog() {
    const WAITING: usize = 500;

    let (log, _guard) = Log::capture();
    let layer = layer().margin(milliseconds(100)).watchdog(true);
    let mut waiting = layer.layer(service_fn(|_: LambdaEvent<()>| {
        pending::<Result<(), Infallible>>()
    }));
    let invocations: Vec<_> = (0..WAITING)
        .map(|number| waiting.call(event_due_in(&number.to_string(), milliseconds(300))))
        .collect();
    // This thread is the only one that could serve the timers.
    let start = std::time::Instant::now();
    while log.lines().len() < WAITING && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(milliseconds(1));
    }
    drop(invocations);
    let mut announced: Vec<usize> = log
        .lines()
        .into_iter()
        .map(|line| line.request_id.unwrap().parse().unwrap())
        .collect();
    announced.sort_unstable();
    assert_eq!(announced, (0..WAITING).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_in_the_watchdog_costs_neither_the_thread_nor_the_answer() {
    struct Panics(Arc<AtomicUsize>);

    impl<S: Subscriber> tracing_subscriber::Layer<S> for Panics {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            if event.metadata().target() == "powertools::deadline"
                && self.0.fetch_add(1, Ordering::Relaxed) == 0
            {
                panic!("no disk");
            }
        }
    }

    let (_, _listens) = Log::capture();
    let log = Log::default();
    let fired = Arc::new(AtomicUsize::new(0));
    let _guard = tracing_subscriber::registry()
        .with(Panics(Arc::clone(&fired)))
        .with(log.clone())
        .set_default();
    for number in 1..=2 {
        let fired = Arc::clone(&fired);
        let handler = service_fn(move |_: LambdaEvent<()>| {
            let start = std::time::Instant::now();
            while fired.load(Ordering::Relaxed) < number {
                assert!(start.elapsed() < Duration::from_secs(10));
                thread::sleep(milliseconds(1));
            }
            ready(Ok::<_, Infallible>(()))
        });
        let layer = layer().margin(milliseconds(50)).watchdog(true);
        let event = event_due_in(&number.to_string(), milliseconds(100));
        layer.layer(handler).oneshot(event).await.unwrap();
    }
    block_until_logged(&log);
    assert_eq!(log.announcement().request_id.as_deref(), Some("2"));
}

#[tokio::test]
async fn readiness_and_its_errors_come_from_inside() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_with(|mock| layer().cut_off().layer(mock));
    let _: &mut tower_test::mock::Handle<LambdaEvent<()>, ()> = &mut handle;
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.send_error("not today");
    let Poll::Ready(Err(DeadlineError::Handler(error))) = service.poll_ready() else {
        panic!("the error of the service inside")
    };
    assert_eq!(error.to_string(), "not today");
}

#[test]
fn layer_service_and_future_can_be_shared_and_sent() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_sent<T: Send>() {}

    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
    is_shared(&layer());
    is_shared(&layer().cut_off());
    is_shared(&layer().layer(handler));
    is_shared(&layer().cut_off().layer(handler));
    is_sent::<ResponseFuture<std::future::Ready<()>, WatchOnly>>();
    is_sent::<ResponseFuture<std::future::Ready<()>, CutOff>>();
    is_sent::<DeadlineService<()>>();
    is_sent::<DeadlineError<Error>>();
}

#[test]
fn the_stack_keeps_the_error_of_the_handler_unless_it_may_be_cut_off() {
    fn error_of<S: Service<LambdaEvent<()>>>(_: &S) -> &'static str {
        std::any::type_name::<S::Error>()
    }

    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<(), String>(())));
    assert_eq!(error_of(&layer().layer(handler)), "alloc::string::String");
    assert!(error_of(&layer().cut_off().layer(handler)).contains("DeadlineError<"));
}

#[test]
fn a_handler_that_panics_while_it_is_cut_off_panics_as_ever() {
    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("the handler's own");
        }
    }

    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let service = layer()
        .cut_off()
        .layer(service_fn(|_: LambdaEvent<()>| async {
            let _guard = PanicsOnDrop;
            pending::<Result<(), Infallible>>().await
        }));
    let answer = AssertUnwindSafe(service.oneshot(event("one")));
    let result = std::panic::catch_unwind(|| runtime.block_on({ answer }.0));
    let payload = result.expect_err("it is the handler's panic");
    assert_eq!(*payload.downcast::<&str>().unwrap(), "the handler's own");
}

#[tokio::test(start_paused = true)]
async fn a_margin_that_cannot_be_read_is_told_once_when_somebody_listens() {
    let env = Env::from([(powertools::env::DEADLINE_MARGIN_MS, "1s")]);
    // As `init` installs the subscriber after the layers were made of the environment.
    let layer = DeadlineLayer::from_env(&env).with_clock(|| UNIX_EPOCH + NOW);
    let (log, _guard) = Log::capture();
    let handler = service_fn(|_: LambdaEvent<()>| ready(Ok::<_, Infallible>(())));
    let service = layer.layer(handler);
    log.assert_silent();
    for _ in 0..3 {
        service.clone().oneshot(event("one")).await.unwrap();
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        lines[0].message,
        "POWERTOOLS_DEADLINE_MARGIN_MS is not a positive whole number: \"1s\""
    );

    // Nobody has asked for it then.
    log.0.lock().unwrap().clear();
    answer_after(
        &layer.margin(milliseconds(200)),
        event("one"),
        Duration::ZERO,
    )
    .await;
    log.assert_silent();
}

#[cfg(feature = "http")]
mod with_a_body {
    use std::pin::Pin;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use powertools::body::BodyLayer;

    use super::*;

    /// A body that ends after a while, and works before that.
    pub(super) struct Slow {
        pub(super) sleep: Pin<Box<tokio::time::Sleep>>,
        pub(super) work: Option<fn()>,
    }

    impl Slow {
        pub(super) fn new(duration: Duration, work: fn()) -> Self {
            Self {
                sleep: Box::pin(sleep(duration)),
                work: Some(work),
            }
        }
    }

    impl Body for Slow {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if let Some(work) = self.work.take() {
                work();
            }
            self.sleep.as_mut().poll(cx).map(|()| None)
        }
    }

    pub(super) fn request() -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(event("one").context);
        request
    }

    /// Runs a handler whose head takes a second, and its body as long as this.
    async fn body_after(layer: &DeadlineLayer, duration: Duration) -> impl Body + use<> {
        let service = ServiceBuilder::new()
            .layer(layer)
            .layer(BodyLayer::new())
            .service_fn(move |_: Request<()>| async move {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, Infallible>(Response::new(Box::pin(Slow::new(duration, || {}))))
            });
        service.oneshot(request()).await.unwrap().into_body()
    }

    #[track_caller]
    fn announcement(log: &Log) -> Line {
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let [line] = lines.try_into().unwrap();
        assert_eq!(
            line.message,
            "timeout imminent: the body of the response has not ended"
        );
        assert_eq!(line.request_id.as_deref(), Some("one"));
        line
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_takes_too_long_is_announced_once_and_goes_on() {
        let (log, _guard) = Log::capture();
        let start = Instant::now();
        let body = body_after(&layer(), milliseconds(1950)).await;
        assert!(Box::pin(body).frame().await.is_none());
        assert_eq!(start.elapsed().as_millis(), 2950);
        let line = announcement(&log);
        assert_eq!(line.remaining_ms, Some(100));
        assert_eq!((line.at.unwrap() - start).as_millis(), 2900);
    }

    /// The network takes no more of it, so nobody asks for the next frame.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_polls_is_announced_too() {
        let (log, _guard) = Log::capture();
        let body = body_after(&layer(), TIMEOUT).await;
        sleep(milliseconds(1950)).await;
        announcement(&log);
        drop(body);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_ends_or_is_dropped_in_time_is_left_alone() {
        let (log, _guard) = Log::capture();
        let body = body_after(&layer(), milliseconds(1800)).await;
        let mut body = Box::pin(body);
        assert!(body.frame().await.is_none());
        // Also while it is still there.
        sleep(TIMEOUT).await;
        drop(body);
        drop(body_after(&layer(), TIMEOUT).await);
        sleep(TIMEOUT).await;
        log.assert_silent();
    }

    #[tokio::test]
    async fn the_watchdog_stays_until_the_body_has_ended() {
        let (log, _guard) = Log::capture();
        let service = ServiceBuilder::new()
            .layer(layer().margin(milliseconds(50)).watchdog(true))
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                let body = Slow::new(Duration::ZERO, || {});
                Ok::<_, Infallible>(Response::new(Box::pin(body)))
            });
        let request = |left| {
            let mut request = Request::new(());
            let context = event_due_in("one", left).context;
            request.extensions_mut().insert(context);
            request
        };
        let response = service.clone().oneshot(request(milliseconds(200))).await;
        // The only thread there is.
        assert!(block_until_logged(&log), "the watchdog has not fired");
        let line = announcement(&log);
        assert_eq!(line.thread.as_deref(), Some("powertools-deadline"));
        drop(response);

        log.0.lock().unwrap().clear();
        let response = service.oneshot(request(milliseconds(200))).await.unwrap();
        response.into_body().collect().await.unwrap();
        thread::sleep(milliseconds(250));
        yield_now().await;
        log.assert_silent();
    }

    #[cfg(all(feature = "logging", feature = "metrics"))]
    #[tokio::test(start_paused = true)]
    async fn what_a_body_holds_is_out_before_the_deadline() {
        use powertools::{
            env::METRICS_NAMESPACE,
            logging::{Buffer, Logger, LoggingLayer},
            metrics::{Metric, MetricsLayer, Unit},
            testing::{Captured, capture_logs},
        };

        const CHUNKS: Metric = Metric::new("Chunks", Unit::Count);

        let logger = Logger::from_env(&Env::default()).buffer(Buffer::new());
        let (lines, _guard) = capture_logs(logger);
        let objects = Captured::default();
        let metrics = MetricsLayer::from_env(&Env::from([(METRICS_NAMESPACE, "Shop")]));
        let service = ServiceBuilder::new()
            .layer(LoggingLayer::from_env(&Env::default()))
            .layer(metrics.with_writer(objects.clone()))
            .layer(layer())
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                let body = Slow::new(TIMEOUT, || {
                    tracing::debug!("chunk");
                    CHUNKS.record(1);
                });
                Ok::<_, Infallible>(Response::new(Box::pin(body)))
            });
        let body = service.oneshot(request()).await.unwrap().into_body();
        let sending = tokio::spawn(body.collect());
        sleep(milliseconds(2899)).await;
        assert_eq!((lines.lines().len(), objects.lines().len()), (0, 0));
        sleep(milliseconds(10)).await;

        // Here Lambda ends the process: no destructor runs.
        let lines = lines.json();
        assert_eq!(lines[0]["message"], "chunk");
        assert_eq!(lines[1]["function_request_id"], "one");
        assert_eq!(lines.len(), 2, "{lines:?}");
        let objects = objects.json();
        assert_eq!(objects.len(), 1, "{objects:?}");
        assert_eq!(objects[0]["Chunks"], 1);
        assert_eq!(objects[0]["TimeoutImminent"], 1);
        sending.abort();
    }
}

#[cfg(feature = "logging")]
mod with_logging {
    use powertools::{
        logging::{Buffer, Logger, LoggingLayer},
        testing::capture_logs,
    };
    use serde_json::Value;

    use super::*;

    fn messages(lines: &[Value]) -> Vec<&str> {
        lines
            .iter()
            .map(|line| line["message"].as_str().unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_were_held_back_are_out_before_the_deadline_in_their_order() {
        for level in [Level::DEBUG, Level::WARN] {
            let buffer = Buffer::new().level(level).unwrap();
            let logger = Logger::from_env(&Env::default()).buffer(buffer);
            let (output, _guard) = capture_logs(logger);
            let service = ServiceBuilder::new()
                .layer(LoggingLayer::from_env(&Env::default()))
                .layer(layer())
                .service_fn(|_: LambdaEvent<()>| async {
                    tracing::debug!("before");
                    pending::<Result<(), Infallible>>().await
                });
            let invocation = tokio::spawn(service.oneshot(event("one")));
            sleep(milliseconds(2899)).await;
            assert_eq!(output.lines().len(), 0);
            sleep(milliseconds(10)).await;

            // Here Lambda ends the process: no destructor runs.
            let lines = output.json();
            assert_eq!(
                messages(&lines),
                ["before", "timeout imminent: the handler has not answered"]
            );
            let warning = &lines[1];
            assert_eq!(warning["level"], "WARN");
            assert_eq!(warning["function_request_id"], "one");
            assert_eq!(warning["remaining_ms"], 100);
            invocation.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_after_the_warning_ends_as_ever() {
        let logger = Logger::from_env(&Env::default()).buffer(Buffer::new());
        let (output, _guard) = capture_logs(logger);
        let service = ServiceBuilder::new()
            .layer(LoggingLayer::from_env(&Env::default()))
            .layer(layer())
            .service_fn(|_: LambdaEvent<()>| async {
                sleep(milliseconds(2950)).await;
                tracing::debug!("after");
                Ok::<_, Infallible>(())
            });
        service.oneshot(event("one")).await.unwrap();
        let lines = output.json();
        assert_eq!(
            messages(&lines),
            ["timeout imminent: the handler has not answered"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_layer_outside_of_logging_brings_the_same_out() {
        let logger = Logger::from_env(&Env::default()).buffer(Buffer::new());
        let (output, _guard) = capture_logs(logger);
        let service = ServiceBuilder::new()
            .layer(layer())
            .layer(LoggingLayer::from_env(&Env::default()))
            .service_fn(|_: LambdaEvent<()>| async {
                tracing::debug!("before");
                sleep(milliseconds(2950)).await;
                Ok::<_, Infallible>(())
            });
        service.oneshot(event("one")).await.unwrap();
        let lines = output.json();
        assert_eq!(messages(&lines).len(), 2, "{lines:?}");
        assert_eq!(lines[1]["function_request_id"], "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_panics_costs_no_answer() {
        struct Panics;

        impl std::io::Write for Panics {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                panic!("no disk")
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let logger = Logger::from_env(&Env::default())
            .buffer(Buffer::new())
            .with_writer(Panics);
        let _guard = tracing_subscriber::registry()
            .with(logger.subscriber_layer())
            .set_default();
        let service = ServiceBuilder::new()
            .layer(LoggingLayer::from_env(&Env::default()))
            .layer(layer())
            .service_fn(|_: LambdaEvent<()>| async {
                tracing::debug!("before");
                sleep(milliseconds(2950)).await;
                Ok::<_, Infallible>(1)
            });
        assert_eq!(service.oneshot(event("one")).await.unwrap(), 1);
    }
}

#[cfg(feature = "metrics")]
mod with_metrics {
    use powertools::{
        env::METRICS_NAMESPACE,
        metrics::{Metric, MetricsLayer, Unit},
        testing::Captured,
    };
    use serde_json::json;

    use super::*;

    const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);

    fn metrics() -> (MetricsLayer, Captured) {
        let env = Env::from([(METRICS_NAMESPACE, "Shop")]);
        let output = Captured::default();
        let layer = MetricsLayer::from_env(&env);
        (layer.with_writer(output.clone()), output)
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_are_out_before_the_deadline_and_later_ones_at_the_end() {
        for has_metric in [true, false] {
            let (metrics, output) = metrics();
            let before_the_end = output.clone();
            let service = ServiceBuilder::new()
                .layer(metrics)
                .layer(layer().metric(has_metric))
                .service_fn(move |_: LambdaEvent<()>| {
                    let output = before_the_end.clone();
                    async move {
                        ORDERS_CREATED.record(1);
                        sleep(milliseconds(2950)).await;
                        ORDERS_CREATED.record(2);
                        Ok::<_, Infallible>(output.json())
                    }
                });
            let before = service.oneshot(event("one")).await.unwrap();
            assert_eq!(before.len(), 1, "{before:?}");
            assert_eq!(before[0]["OrdersCreated"], 1);
            let count = has_metric.then(|| json!(1));
            assert_eq!(before[0].get("TimeoutImminent"), count.as_ref());

            let all = output.json();
            assert_eq!(all.len(), 2, "{all:?}");
            assert_eq!(all[1]["OrdersCreated"], 2);
            assert_eq!(all[1].get("TimeoutImminent"), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_metrics_layer_there_is_no_metric_and_no_complaint() {
        let (log, _guard) = Log::capture();
        answer_after(&layer(), event("one"), TIMEOUT).await;
        log.announcement();
    }

    #[tokio::test]
    async fn the_watchdog_writes_the_metrics_of_a_handler_that_blocks() {
        let (metrics, output) = metrics();
        let in_handler = output.clone();
        let service = ServiceBuilder::new()
            .layer(metrics)
            .layer(layer().margin(milliseconds(50)).watchdog(true))
            .service_fn(move |_: LambdaEvent<()>| {
                let output = in_handler.clone();
                async move {
                    ORDERS_CREATED.record(1);
                    let start = std::time::Instant::now();
                    while output.lines().is_empty() && start.elapsed() < Duration::from_secs(10) {
                        thread::sleep(milliseconds(1));
                    }
                    Ok::<_, Infallible>(output.json())
                }
            });
        let event = event_due_in("one", milliseconds(100));
        let objects = service.oneshot(event).await.unwrap();
        assert_eq!(objects.len(), 1, "{objects:?}");
        assert_eq!(objects[0]["OrdersCreated"], 1);
        assert_eq!(objects[0]["TimeoutImminent"], 1);
    }
}

#[cfg(feature = "trace")]
mod with_trace {
    use std::net::UdpSocket;

    use powertools::{
        env,
        trace::{TraceLayer, Tracer},
    };
    use serde_json::Value;
    use tracing::{Instrument, info_span};

    use super::*;

    const HEADER: &str =
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    /// Plays the X-Ray daemon. Over loopback a datagram has arrived when it has been sent.
    #[derive(Clone)]
    struct Daemon(Arc<UdpSocket>);

    impl Daemon {
        fn start() -> (Self, DefaultGuard) {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let address = socket.local_addr().unwrap().to_string();
            let env = Env::from([
                (env::FUNCTION_NAME, "my-function"),
                (env::XRAY_DAEMON_ADDRESS, &address),
            ]);
            let guard = tracing_subscriber::registry()
                .with(Tracer::from_env(&env).subscriber_layer())
                .set_default();
            (Self(Arc::new(socket)), guard)
        }

        /// Returns the documents that have come since it was asked last.
        fn documents(&self) -> Vec<Value> {
            let mut documents = Vec::new();
            let mut datagram = vec![0; 65_536];
            while let Ok(length) = self.0.recv(&mut datagram) {
                let text = std::str::from_utf8(&datagram[..length]).unwrap();
                let (_, document) = text.split_once('\n').unwrap();
                documents.push(serde_json::from_str(document).unwrap());
            }
            documents
        }
    }

    #[track_caller]
    fn named<'a>(documents: &'a [Value], name: &str) -> &'a Value {
        let mut found = documents.iter().filter(|it| it["name"] == name);
        let document = found.next();
        assert!(found.next().is_none(), "{name} twice in {documents:#?}");
        document.unwrap_or_else(|| panic!("no {name} in {documents:#?}"))
    }

    fn sampled(left: Duration) -> LambdaEvent<()> {
        let mut event = event_due_in("one", left);
        event.context.xray_trace_id = Some(HEADER.to_owned());
        event
    }

    #[tokio::test(start_paused = true)]
    async fn open_spans_leave_in_progress_and_complete_under_the_same_ids() {
        for is_inside in [true, false] {
            let (daemon, _guard) = Daemon::start();
            let in_handler = daemon.clone();
            let handler = service_fn(move |_: LambdaEvent<()>| {
                let daemon = in_handler.clone();
                async move {
                    sleep(milliseconds(1)).instrument(info_span!("done")).await;
                    sleep(milliseconds(2949)).await;
                    Ok::<_, Infallible>(daemon.documents())
                }
                .instrument(info_span!("work"))
            });
            let answer = if is_inside {
                let stack = ServiceBuilder::new()
                    .layer(TraceLayer::new())
                    .layer(layer());
                stack.service(handler).oneshot(sampled(TIMEOUT)).await
            } else {
                let stack = ServiceBuilder::new()
                    .layer(layer())
                    .layer(TraceLayer::new());
                stack.service(handler).oneshot(sampled(TIMEOUT)).await
            };
            let (before, after) = (answer.unwrap(), daemon.documents());

            assert_eq!(before.len(), 3, "{before:#?}");
            let open = [named(&before, "## my-function"), named(&before, "work")];
            for document in open {
                assert_eq!(document["in_progress"], true, "{document:#}");
                let complete = named(&after, document["name"].as_str().unwrap());
                for member in ["id", "parent_id", "trace_id", "start_time"] {
                    assert_eq!(complete[member], document[member], "{complete:#}");
                }
                assert!(complete["end_time"].is_number(), "{complete:#}");
                assert_eq!(complete.get("fault"), None);
            }
            assert_eq!(named(&before, "done")["parent_id"], open[1]["id"]);
            assert_eq!(after.len(), 2, "{after:#?}");
        }
    }

    #[cfg(feature = "http")]
    #[tokio::test(start_paused = true)]
    async fn the_span_of_a_body_leaves_in_progress_and_complete() {
        use http_body_util::BodyExt;
        use powertools::body::BodyLayer;

        let (daemon, _guard) = Daemon::start();
        let service = ServiceBuilder::new()
            .layer(TraceLayer::new())
            .layer(layer())
            .layer(BodyLayer::new())
            .service_fn(|_: http::Request<()>| async {
                let body = with_a_body::Slow::new(milliseconds(2950), || {});
                Ok::<_, Infallible>(http::Response::new(Box::pin(body)))
            });
        let mut request = http::Request::new(());
        request.extensions_mut().insert(sampled(TIMEOUT).context);
        let body = service.oneshot(request).await.unwrap().into_body();
        let sending = tokio::spawn(body.collect());
        sleep(milliseconds(2910)).await;
        let before = daemon.documents();
        let open = named(&before, "## my-function");
        assert_eq!(open["in_progress"], true);
        sending.await.unwrap().unwrap();
        let after = daemon.documents();
        let complete = named(&after, "## my-function");
        assert_eq!(complete["id"], open["id"]);
        assert!(complete["end_time"].is_number(), "{complete:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_span_of_a_handler_that_is_cut_off_ends_as_a_fault() {
        let (daemon, _guard) = Daemon::start();
        let service = ServiceBuilder::new()
            .layer(TraceLayer::new())
            .layer(layer().cut_off())
            .service_fn(|_: LambdaEvent<()>| {
                pending::<Result<(), Error>>().instrument(info_span!("work"))
            });
        service.oneshot(sampled(TIMEOUT)).await.unwrap_err();
        let documents = daemon.documents();
        let ended: Vec<_> = documents
            .into_iter()
            .filter(|document| document.get("end_time").is_some())
            .collect();
        let handler = named(&ended, "## my-function");
        assert!(
            handler["fault"] == true || handler["error"] == true,
            "{handler:#}"
        );
        let message = handler.pointer("/cause/exceptions/0/message");
        assert!(message.is_some(), "{handler:#}");
        named(&ended, "work");
    }

    #[tokio::test]
    async fn the_watchdog_sends_the_open_spans_of_a_handler_that_blocks() {
        let (daemon, _guard) = Daemon::start();
        let in_handler = daemon.clone();
        let service = ServiceBuilder::new()
            .layer(TraceLayer::new())
            .layer(layer().margin(milliseconds(50)).watchdog(true))
            .service_fn(move |_: LambdaEvent<()>| {
                let daemon = in_handler.clone();
                async move {
                    let mut documents = Vec::new();
                    let start = std::time::Instant::now();
                    while documents.len() < 2 && start.elapsed() < Duration::from_secs(10) {
                        documents.extend(daemon.documents());
                        thread::sleep(milliseconds(1));
                    }
                    Ok::<_, Infallible>(documents)
                }
                .instrument(info_span!("work"))
            });
        let documents = service.oneshot(sampled(milliseconds(100))).await.unwrap();
        for name in ["## my-function", "work"] {
            assert_eq!(named(&documents, name)["in_progress"], true);
        }
    }
}
