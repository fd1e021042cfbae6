//! The sink on a CloudWatch that does as told. Time is tokio's, and stands still unless all wait.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tracing::{Event, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{layer, prelude::*};

use super::{
    CloudWatchError, CloudWatchSink,
    client::{Put, PutError, Putting},
    limits::{DATA_PER_REQUEST, REQUEST_SIZE, VALUES_PER_DATUM},
    request::Request,
};
use crate::metrics::{
    Metric, Unit,
    batch::{Flushed, Series},
    config::Sink as _,
    dimension::{Dimension, DimensionSets},
};

const A: Metric = Metric::new("A", Unit::Count);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What CloudWatch does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Takes,
    TakesAfter(Duration),
    Fails,
    Refuses,
    Hangs,
    Panics,
}

/// Answers by the number of the request and what is in it.
type Answers = dyn Fn(usize, &Request) -> Answer + Send + Sync;

/// A CloudWatch; its clones share what it has.
#[derive(Clone)]
struct CloudWatch {
    answers: Arc<Answers>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// When each request came.
    requests: Vec<Instant>,
    taken: Totals,
    /// In the order in which they were taken.
    names: Vec<String>,
}

/// The sum and the number of all values, by what CloudWatch keeps apart.
type Totals = BTreeMap<String, (f64, u64)>;

impl CloudWatch {
    fn new(answers: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answers: Arc::new(answers),
            seen: Arc::default(),
        }
    }

    /// One that answers the first requests with these, and takes all others.
    fn with(answers: &[Answer]) -> Self {
        let answers = answers.to_vec();
        Self::new(move |number, _| answers.get(number).copied().unwrap_or(Answer::Takes))
    }

    fn sink(&self) -> CloudWatchSink {
        CloudWatchSink::of(self.clone())
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// The seconds between one request and the next.
    fn pauses(&self) -> Vec<f64> {
        let seen = self.seen.lock().unwrap();
        let pairs = seen.requests.windows(2);
        pairs
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect()
    }

    fn taken(&self) -> Totals {
        self.seen.lock().unwrap().taken.clone()
    }

    /// How many values it has.
    fn count(&self) -> u64 {
        self.taken().values().map(|(_, count)| count).sum()
    }

    fn take(&self, request: &Request) {
        let mut seen = self.seen.lock().unwrap();
        for datum in request.data() {
            seen.names.push(datum.metric.name().to_owned());
            let dimensions = datum
                .dimensions
                .iter()
                .map(|dimension| format!(",{}={}", dimension.name, dimension.value));
            let key = key(
                &request.namespace,
                &dimensions.collect::<String>(),
                &datum.metric,
            );
            for (value, count) in datum.values.iter() {
                let total = seen.taken.entry(key.clone()).or_default();
                total.0 += value * count as f64;
                total.1 += count;
            }
        }
    }
}

fn key(namespace: &str, dimensions: &str, metric: &Metric) -> String {
    format!(
        "{namespace}{dimensions}/{}/{}/{}",
        metric.name(),
        metric.unit(),
        metric.is_high_resolution()
    )
}

impl Put for CloudWatch {
    fn put<'a>(&'a self, request: &'a Request) -> Putting<'a> {
        let data = request.data();
        assert!((1..=DATA_PER_REQUEST).contains(&data.len()));
        for datum in data {
            assert!((1..=VALUES_PER_DATUM).contains(&datum.values.len()));
        }
        let sizes = data.iter().map(|datum| datum.size(datum.values.len()));
        assert!(sizes.sum::<usize>() <= REQUEST_SIZE);

        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.requests.push(Instant::now());
            seen.requests.len() - 1
        };
        Box::pin(async move {
            match (self.answers)(number, request) {
                Answer::Takes => self.take(request),
                Answer::TakesAfter(time) => {
                    sleep(time).await;
                    self.take(request);
                }
                Answer::Fails => return Err(PutError::Failed("no route to host".into())),
                Answer::Refuses => return Err(PutError::Refused("bad value".into())),
                Answer::Hangs => std::future::pending().await,
                Answer::Panics => panic!("a bug of the client"),
            }
            Ok(())
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

fn metric(number: usize) -> Metric {
    Metric::try_new(format!("M{number:04}"), Unit::Count).unwrap()
}

fn record_at(sink: &CloudWatchSink, timestamp: u64, metric: &Metric, values: &[f64]) {
    let mut series = Series::new(metric.clone(), values[0]);
    series.more.extend(&values[1..]);
    sink.take(&Flushed {
        timestamp,
        namespace: "Shop",
        sets: DimensionSets::default(),
        metadata: &[],
        series: &[series],
    });
    sink.taken();
}

fn record(sink: &CloudWatchSink, metric: &Metric, values: &[f64]) {
    record_at(sink, now(), metric, values);
}

/// Keeps what this crate logs on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn listen() -> (Self, DefaultGuard) {
        // `tracing` remembers for the whole process where nobody listens; so somebody always does.
        static LISTENS: std::sync::LazyLock<tracing::Dispatch> =
            std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        std::sync::LazyLock::force(&LISTENS);
        let lines = Self::default();
        let guard = tracing_subscriber::registry().with(lines.clone());
        (lines, guard.set_default())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!(" {}={value:?}", field.name()));
            }

            fn record_error(
                &mut self,
                field: &tracing::field::Field,
                error: &(dyn std::error::Error + 'static),
            ) {
                self.record_debug(field, &format_args!("{error}"));
            }
        }
        if event.metadata().target().starts_with("powertools") {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

#[track_caller]
fn assert_lines(lines: &Lines, expected: &[&str]) {
    let lines = lines.take();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line}, not {expected}");
    }
}

#[test]
fn a_sink_can_be_shared() {
    fn check<T: Clone + fmt::Debug + Send + Sync + 'static>(_: &T) {}
    let sink = CloudWatch::with(&[]).sink();
    check(&sink);
    record(&sink, &A, &[1.0, 1.0, 2.0]);
    assert_eq!(
        format!("{:?}", sink.clone()),
        "CloudWatchSink { series: 1, values: 2, dropped: 0, .. }"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_sent_after_a_minute_in_one_request() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    sleep(2 * MINUTE).await;
    for _ in 0..50 {
        record(&sink, &A, &[1.0, 2.0]);
        sleep(SECOND).await;
    }
    assert_eq!(cloudwatch.requests(), 0);
    sleep(11 * SECOND).await;
    // Wall time may have come to the next minute: another datum, but no other request.
    assert_eq!(cloudwatch.requests(), 1);
    assert_eq!(
        cloudwatch.taken().into_iter().collect::<Vec<_>>(),
        [("Shop/A/Count/false".to_owned(), (150.0, 100))]
    );

    // A minute without values is one without requests.
    sleep(10 * MINUTE).await;
    assert_eq!(cloudwatch.requests(), 1);
    record(&sink, &A, &[1.0]);
    sleep(MINUTE + SECOND).await;
    assert_eq!(cloudwatch.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_a_setting() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink().flush_interval(5 * SECOND);
    for _ in 0..20 {
        record(&sink, &A, &[1.0]);
        sleep(SECOND).await;
    }
    sleep(5 * SECOND).await;
    assert!((4..=5).contains(&cloudwatch.requests()));
    assert_eq!(cloudwatch.count(), 20);

    // None of them is too long, or too short, for a clock.
    let sink = cloudwatch.sink().flush_interval(Duration::MAX);
    record(&sink, &A, &[1.0]);
    sink.flush().await.unwrap();
    let sink = cloudwatch.sink().flush_interval(Duration::ZERO);
    record(&sink, &A, &[1.0]);
    sleep(SECOND).await;
    assert_eq!(cloudwatch.count(), 22);
}

#[tokio::test(start_paused = true)]
async fn each_dimension_set_is_a_datum() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let stage = [Dimension::new("stage", &"prod").unwrap()];
    let added = [Dimension::new("shop", &"a").unwrap()];
    let more = [
        vec![Dimension::new("region", &"eu").unwrap()],
        Vec::default(),
    ];
    sink.take(&Flushed {
        timestamp: now(),
        namespace: "Shop",
        sets: DimensionSets {
            configured: &stage,
            added: &added,
            more: &more,
            ..DimensionSets::default()
        },
        metadata: &[],
        series: &[Series::new(A, 3.0)],
    });
    sink.taken();
    sink.flush().await.unwrap();
    let taken: Vec<_> = cloudwatch.taken().into_keys().collect();
    assert_eq!(
        taken,
        [
            "Shop,region=eu,stage=prod/A/Count/false",
            "Shop,shop=a,stage=prod/A/Count/false",
            "Shop,stage=prod/A/Count/false",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_ever_more_slowly_and_loses_nothing() {
    const FAILURES: usize = 9;
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::with(&[Answer::Fails; FAILURES]);
    let sink = cloudwatch.sink();
    for _ in 0..500 {
        record(&sink, &A, &[1.0]);
        sleep(SECOND).await;
    }
    sleep(2 * MINUTE).await;
    assert_eq!((cloudwatch.count(), sink.dropped()), (500, 0));

    let pauses = &cloudwatch.pauses()[..FAILURES];
    for (number, pause) in pauses.iter().enumerate() {
        let longest = 2_f64.powi(number.try_into().unwrap()).min(60.0);
        // Tokio counts milliseconds.
        assert!(*pause <= longest + 0.002, "{pauses:?}");
        assert!(*pause >= longest / 2.0, "{pauses:?}");
    }
    assert_lines(
        &lines,
        &[
            "WARN message=metrics cannot be sent to CloudWatch and are kept for now error=no route to host",
            "INFO message=metrics reach CloudWatch again dropped=0",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn while_cloudwatch_fails_the_oldest_make_room() {
    let (lines, _guard) = Lines::listen();
    let fails = Arc::new(Mutex::new(true));
    let cloudwatch = CloudWatch::new({
        let fails = Arc::clone(&fails);
        move |_, _| match *fails.lock().unwrap() {
            true => Answer::Fails,
            false => Answer::Takes,
        }
    });
    let sink = cloudwatch.sink().max_series(10);
    let start = now() - 3_600_000;
    for minute in 0..30 {
        record_at(&sink, start + minute * 60_000, &A, &[minute as f64, 1e9]);
        sleep(30 * SECOND).await;
        let shown = format!("{sink:?}");
        assert!(
            shown.contains(&format!("series: {}, ", (minute + 1).min(10))),
            "{shown}"
        );
    }
    assert_eq!(sink.dropped(), 40);
    *fails.lock().unwrap() = false;
    sink.flush().await.unwrap();

    let sum: u64 = (20..30).sum();
    assert_eq!(
        cloudwatch.taken()["Shop/A/Count/false"],
        (sum as f64 + 10e9, 20)
    );
    assert_lines(
        &lines,
        &["cannot be sent", "the oldest are dropped", "dropped=40"],
    );
}

#[tokio::test(start_paused = true)]
async fn different_values_are_bounded_too() {
    let cloudwatch = CloudWatch::new(|_, _| Answer::Fails);
    let sink = cloudwatch.sink().max_values(1000);
    let start = now() - 600_000;
    for minute in 0..5 {
        let values: Vec<f64> = (0..300).map(f64::from).collect();
        record_at(&sink, start + minute * 60_000, &A, &values);
        // These are none.
        record_at(&sink, start + minute * 60_000, &A, &values);
        sleep(SECOND).await;
    }
    assert_eq!(sink.dropped(), 2 * 600);
    assert!(format!("{sink:?}").contains("series: 3, values: 900"));
}

#[tokio::test(start_paused = true)]
async fn what_is_half_full_is_sent_at_once() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink().max_series(100);
    for number in 0..49 {
        record(&sink, &metric(number), &[1.0]);
    }
    sleep(SECOND).await;
    assert_eq!(cloudwatch.requests(), 0);
    record(&sink, &metric(49), &[1.0]);
    sleep(SECOND).await;
    assert_eq!((cloudwatch.requests(), cloudwatch.count()), (1, 50));
}

#[tokio::test(start_paused = true)]
async fn a_refused_datum_costs_itself_only() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::new(|_, request| {
        let bad = ["M0013", "M0700"];
        let mut data = request.data().iter();
        match data.any(|datum| bad.contains(&datum.metric.name())) {
            true => Answer::Refuses,
            false => Answer::Takes,
        }
    });
    let sink = cloudwatch.sink();
    for number in 0..1000 {
        record(&sink, &metric(number), &[1.0, 2.0]);
    }
    let error = sink.flush().await.unwrap_err();
    assert!(matches!(error, CloudWatchError::Refused { values: 4, .. }));
    assert_eq!(
        error.to_string(),
        "CloudWatch has refused 4 recorded values"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "bad value"
    );

    assert_eq!((cloudwatch.count(), sink.dropped()), (1996, 4));
    assert!(cloudwatch.requests() < 50, "{}", cloudwatch.requests());
    let taken = cloudwatch.taken();
    assert!(taken.len() == 998 && !taken.contains_key("Shop/M0013/Count/false"));
    let mut warnings = lines.take();
    warnings.sort();
    assert_eq!(
        warnings,
        ["M0013", "M0700"].map(|name| format!(
            "WARN message=CloudWatch has refused metrics, which are dropped \
             error=bad value namespace=\"Shop\" metrics=\"{name}\" values=2"
        ))
    );

    // What follows is not held against it.
    record(&sink, &metric(1), &[1.0]);
    sink.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_altogether_is_given_up_soon() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::new(|_, _| Answer::Refuses);
    let sink = cloudwatch.sink();
    for number in 0..1000 {
        record(&sink, &metric(number), &[1.0]);
    }
    sink.flush().await.unwrap_err();
    assert_eq!(sink.dropped(), 1000);
    assert!(cloudwatch.requests() < 100, "{}", cloudwatch.requests());
    assert!(lines.take().last().unwrap().contains(" more"));
    sleep(10 * MINUTE).await;
    assert!(cloudwatch.requests() < 100);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_the_refused_is_looked_for_loses_nothing() {
    let cloudwatch = CloudWatch::new(|number, request| {
        let mut data = request.data().iter();
        if number % 3 == 1 {
            Answer::Fails
        } else if data.any(|datum| datum.metric.name() == "M0001") {
            Answer::Refuses
        } else {
            Answer::Takes
        }
    });
    let sink = cloudwatch.sink();
    for number in 0..20 {
        record(&sink, &metric(number), &[1.0]);
    }
    sleep(30 * MINUTE).await;
    assert_eq!((cloudwatch.count(), sink.dropped()), (19, 1));
}

#[tokio::test(start_paused = true)]
async fn recording_does_not_wait_for_a_slow_cloudwatch() {
    let cloudwatch = CloudWatch::new(|_, _| Answer::TakesAfter(20 * SECOND));
    let sink = cloudwatch.sink();
    let start = Instant::now();
    record(&sink, &A, &[1.0]);
    let (flushed, ()) = tokio::join!(sink.flush(), async {
        for _ in 0..10 {
            sleep(SECOND).await;
            record(&sink, &A, &[1.0]);
        }
        assert_eq!(start.elapsed().as_secs(), 10);
    });
    flushed.unwrap();
    // What came after the call is not a part of it.
    assert_eq!((start.elapsed().as_secs(), cloudwatch.count()), (20, 1));
    sleep(2 * MINUTE).await;
    assert_eq!(cloudwatch.count(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_cloudwatch_that_never_answers_has_failed() {
    let cloudwatch = CloudWatch::with(&[Answer::Hangs]);
    let sink = cloudwatch.sink();
    let start = Instant::now();
    record(&sink, &A, &[1.0]);
    let error = sink.flush().await.unwrap_err();
    assert!(matches!(error, CloudWatchError::Unavailable(_)), "{error}");
    assert_eq!(start.elapsed().as_secs(), 30);
    sleep(2 * SECOND).await;
    assert_eq!(cloudwatch.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_has_failed() {
    let cloudwatch = CloudWatch::with(&[Answer::Panics]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    let CloudWatchError::Unavailable(source) = sink.flush().await.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(source.to_string(), "the client of CloudWatch has panicked");
    sleep(2 * SECOND).await;
    assert_eq!(cloudwatch.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_its_turn_after_a_failure() {
    let cloudwatch = CloudWatch::with(&[Answer::Fails]);
    let sink = cloudwatch.sink().retry_delay(MINUTE..=MINUTE);
    record(&sink, &A, &[1.0]);
    sink.flush().await.unwrap_err();
    let start = Instant::now();
    sink.flush().await.unwrap();
    assert_eq!((start.elapsed().as_secs(), cloudwatch.count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_given_up_neither_loses_nor_repeats_anything() {
    let cloudwatch = CloudWatch::with(&[Answer::TakesAfter(Duration::from_secs(5))]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    timeout(SECOND, sink.flush()).await.unwrap_err();
    sleep(5 * SECOND).await;
    assert_eq!((cloudwatch.requests(), cloudwatch.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn many_may_flush_at_once() {
    let cloudwatch = CloudWatch::new(|_, _| Answer::TakesAfter(SECOND));
    let sink = cloudwatch.sink();
    let flushes: Vec<_> = (0..100)
        .map(|number| {
            let sink = sink.clone();
            tokio::spawn(async move {
                record(&sink, &metric(number), &[1.0]);
                sink.flush().await
            })
        })
        .collect();
    for flush in flushes {
        flush.await.unwrap().unwrap();
    }
    assert_eq!(cloudwatch.count(), 100);
    assert!(cloudwatch.requests() <= 3, "{}", cloudwatch.requests());
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_nothing_is_taken() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::with(&[Answer::Fails, Answer::Fails]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    sink.shutdown().await.unwrap();
    assert_eq!(cloudwatch.count(), 1);

    assert_lines(&lines, &["cannot be sent", "CloudWatch again"]);
    for _ in 0..2 {
        record(&sink, &A, &[1.0, 2.0]);
    }
    assert_eq!(sink.dropped(), 4);
    assert_lines(
        &lines,
        &["WARN message=metrics are dropped: the sink for CloudWatch has been shut down"],
    );
    assert!(matches!(sink.flush().await, Err(CloudWatchError::ShutDown)));
    sink.shutdown().await.unwrap();
    sleep(2 * MINUTE).await;
    assert_eq!(cloudwatch.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_has_an_end() {
    let (lines, _guard) = Lines::listen();
    for answer in [Answer::Fails, Answer::Hangs] {
        let cloudwatch = CloudWatch::new(move |_, _| answer);
        let sink = cloudwatch.sink();
        record(&sink, &A, &[1.0, 1.0]);
        record(&sink, &metric(1), &[1.0]);
        let start = Instant::now();
        let error = sink.shutdown().await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(
            error.to_string(),
            "CloudWatch has not taken 3 recorded values until the shutdown"
        );
        sleep(MINUTE).await;
        assert_eq!(sink.dropped(), 3);
    }
    let lines = lines.take();
    let dropped = lines
        .iter()
        .filter(|line| line.contains("values=3"))
        .count();
    assert_eq!(dropped, 2, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_what_was_refused() {
    let cloudwatch = CloudWatch::with(&[Answer::Refuses]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    let error = sink.shutdown().await.unwrap_err();
    assert!(matches!(error, CloudWatchError::Refused { values: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_any_more_is_sent_and_its_task_ends() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    let clone = sink.clone();
    drop(sink);
    sleep(SECOND).await;
    assert_eq!(cloudwatch.count(), 0);
    drop(clone);
    sleep(SECOND).await;
    assert_eq!(cloudwatch.count(), 1);
    assert_eq!(Arc::strong_count(&cloudwatch.seen), 1);

    let fails = CloudWatch::new(|_, _| Answer::Hangs);
    record(&fails.sink(), &A, &[1.0]);
    sleep(MINUTE).await;
    assert_eq!((fails.requests(), Arc::strong_count(&fails.seen)), (1, 1));
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn without_a_runtime_it_waits_for_one() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    record(&sink, &A, &[1.0]);
    let mut flush = pin!(sink.flush());
    let polled = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(
        polled,
        Poll::Ready(Err(CloudWatchError::NoRuntime))
    ));
    let mut shutdown = pin!(sink.shutdown());
    let polled = shutdown
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(
        polled,
        Poll::Ready(Err(CloudWatchError::NoRuntime))
    ));
    runtime().block_on(async {
        record(&sink, &A, &[1.0]);
        sleep(2 * MINUTE).await;
    });
    assert_eq!(cloudwatch.count(), 2);
}

#[test]
fn a_runtime_without_a_clock_is_none() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        record(&sink, &A, &[1.0]);
        assert!(matches!(
            sink.flush().await,
            Err(CloudWatchError::NoRuntime)
        ));
    });
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn a_runtime_that_ends_takes_nothing_along() {
    let cloudwatch = CloudWatch::with(&[Answer::Hangs]);
    let sink = cloudwatch.sink();
    runtime().block_on(async {
        record(&sink, &A, &[1.0]);
        record(&sink, &metric(1), &[1.0]);
        timeout(SECOND, sink.flush()).await.unwrap_err();
    });
    assert_eq!((cloudwatch.requests(), cloudwatch.count()), (1, 0));
    runtime().block_on(async { sink.flush().await.unwrap() });
    assert_eq!((cloudwatch.count(), sink.dropped()), (2, 0));
}

#[test]
fn a_flush_outlives_the_runtime_of_the_task() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let first = runtime();
    first.block_on(async {
        record(&sink, &A, &[1.0]);
        yield_now().await;
    });
    runtime().block_on(async {
        let mut flush = pin!(sink.flush());
        timeout(SECOND, flush.as_mut()).await.unwrap_err();
        first.shutdown_background();
        flush.await.unwrap();
    });
    assert_eq!(cloudwatch.count(), 1);
}

#[test]
fn a_flush_does_not_wait_for_a_runtime_that_nobody_drives() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let first = runtime();
    first.block_on(async {
        record(&sink, &A, &[1.0]);
        yield_now().await;
    });
    runtime().block_on(async {
        let start = Instant::now();
        let error = timeout(MINUTE, sink.flush()).await.unwrap().unwrap_err();
        assert!(matches!(error, CloudWatchError::Stalled), "{error}");
        assert_eq!(start.elapsed().as_secs(), 31);
    });
    first.block_on(sink.flush()).unwrap();
    assert_eq!((cloudwatch.count(), sink.dropped()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_as_long_as_requests_follow_each_other() {
    let cloudwatch = CloudWatch::new(|_, _| Answer::TakesAfter(20 * SECOND));
    let sink = cloudwatch.sink();
    for number in 0..2_500 {
        record(&sink, &metric(number), &[1.0]);
    }
    let start = Instant::now();
    sink.flush().await.unwrap();
    assert!(start.elapsed() >= MINUTE);
    assert_eq!(cloudwatch.count(), 2_500);
}

#[test]
fn what_is_left_when_the_runtime_ends_with_all_who_hold_it_is_told() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    runtime().block_on(async {
        record(&sink, &A, &[1.0, 2.0]);
        tokio::spawn(async move {
            let _sink = sink;
            std::future::pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(cloudwatch.count(), 0);
    assert_lines(
        &lines,
        &[
            "WARN message=metrics have not reached CloudWatch before the end and are dropped values=2",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_cloudwatch_would_not_take_any_more_is_dropped() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let day = 86_400_000;
    record_at(&sink, now() - 15 * day, &A, &[1.0, 1.0]);
    record_at(&sink, now() - 13 * day, &A, &[1.0]);
    record_at(&sink, now() + day / 24, &A, &[1.0]);
    record_at(&sink, now() + day / 4, &A, &[1.0, 1.0]);
    let error = sink.flush().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "4 recorded values are too old for CloudWatch, or too far ahead"
    );
    assert_eq!((cloudwatch.count(), sink.dropped()), (2, 4));
    // It is told once.
    record(&sink, &A, &[1.0]);
    sink.flush().await.unwrap();
    assert_lines(
        &lines,
        &[
            "WARN message=metrics are too old for CloudWatch, or too far ahead, and are dropped values=4",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_told_after_a_failure_too() {
    let cloudwatch = CloudWatch::with(&[Answer::Fails]);
    let sink = cloudwatch.sink();
    record_at(&sink, now() - 15 * 86_400_000, &A, &[1.0]);
    record(&sink, &A, &[1.0]);
    let error = sink.flush().await.unwrap_err();
    assert!(matches!(error, CloudWatchError::Unavailable(_)), "{error}");
    let error = sink.flush().await.unwrap_err();
    assert!(
        matches!(error, CloudWatchError::OutsideWindow { values: 1 }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_period_that_is_not_over_for_cloudwatch_is_sent() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let oldest = now() - 14 * 86_400_000;
    // Of all seconds of a minute one at the most is its first.
    for ahead in [30_000, 31_000] {
        record_at(&sink, oldest + ahead, &A, &[1.0]);
    }
    sink.flush().await.unwrap();
    assert_eq!((cloudwatch.count(), sink.dropped()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_round_that_sends_nothing_does_not_tell_that_cloudwatch_is_back() {
    let (lines, _guard) = Lines::listen();
    let cloudwatch = CloudWatch::with(&[Answer::Fails]);
    let sink = cloudwatch.sink().max_series(1);
    record(&sink, &A, &[1.0]);
    sink.flush().await.unwrap_err();
    // It takes the place of the other, and is too old.
    record_at(&sink, now() - 15 * 86_400_000, &metric(1), &[1.0]);
    sink.flush().await.unwrap_err();
    assert_eq!(cloudwatch.requests(), 1);
    assert!(!lines.take().iter().any(|line| line.contains("again")));
    record(&sink, &A, &[1.0]);
    sink.flush().await.unwrap();
    assert_lines(&lines, &["INFO message=metrics reach CloudWatch again"]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_sent_first() {
    let cloudwatch = CloudWatch::with(&[]);
    let sink = cloudwatch.sink();
    let start = now() - 3_600_000;
    for number in [3, 1, 2] {
        record_at(
            &sink,
            start + number * 60_000,
            &metric(9 - number as usize),
            &[1.0],
        );
    }
    sink.flush().await.unwrap();
    let names = cloudwatch.seen.lock().unwrap().names.clone();
    assert_eq!(names, ["M0008", "M0007", "M0006"]);
}

/// A warning whose own subscriber records metrics must not find anything locked.
#[tokio::test(start_paused = true)]
async fn who_hears_of_warnings_may_record() {
    struct Records(CloudWatchSink);
    impl<S: Subscriber> tracing_subscriber::Layer<S> for Records {
        fn on_event(&self, _: &Event<'_>, _: layer::Context<'_, S>) {
            record(&self.0, &A, &[1.0]);
        }
    }
    let cloudwatch = CloudWatch::with(&[Answer::Fails, Answer::Refuses]);
    let sink = cloudwatch.sink().max_series(1);
    let records = tracing_subscriber::registry().with(Records(sink.clone()));
    let _guard = records.set_default();
    record_at(&sink, now() - 15 * 86_400_000, &A, &[1.0]);
    record(&sink, &metric(1), &[1.0]);
    record(&sink, &metric(2), &[1.0]);
    for _ in 0..3 {
        let _ = sink.flush().await;
    }
    sink.shutdown().await.unwrap();
    record(&sink, &metric(3), &[1.0]);
    assert!(cloudwatch.count() > 0 && sink.dropped() > 0);
}

/// A batch as it is flushed: when, where, what.
#[derive(Clone, Debug)]
struct Batch {
    seconds: u64,
    namespace: usize,
    stages: Vec<u8>,
    metric: usize,
    high_resolution: bool,
    unit: Unit,
    values: Vec<i16>,
}

fn batch() -> impl Strategy<Value = Batch> {
    let unit = prop_oneof![Just(Unit::Count), Just(Unit::Bytes)];
    let values = prop_oneof![
        4 => prop::collection::vec(-3_i16..3, 1..5),
        1 => prop::collection::vec(any::<i16>(), 1..400),
    ];
    (
        0..200_u64,
        0..2_usize,
        prop::collection::vec(0..3_u8, 0..3),
        0..8_usize,
        any::<bool>(),
        unit,
        values,
    )
        .prop_map(
            |(seconds, namespace, stages, metric, high_resolution, unit, values)| Batch {
                seconds,
                namespace,
                stages,
                metric,
                high_resolution,
                unit,
                values,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_put_is_what_was_recorded(
        batches in prop::collection::vec(batch(), 1..60),
        fails in prop::collection::vec(prop::bool::weighted(0.3), 40),
        flush_every in 1..20_usize,
    ) {
        let cloudwatch = CloudWatch::new(move |number, _| match fails.get(number) {
            Some(true) => Answer::Fails,
            _ => Answer::Takes,
        });
        let sink = cloudwatch.sink();
        let mut recorded = Totals::new();
        let start = now() - 3_600_000;
        runtime().block_on(async {
            for (number, batch) in batches.iter().enumerate() {
                let namespace = ["Shop", "Bank"][batch.namespace];
                let mut metric = Metric::try_new(format!("M{}", batch.metric), batch.unit).unwrap();
                if batch.high_resolution {
                    metric = metric.high_resolution();
                }
                let sets: Vec<_> = batch
                    .stages
                    .iter()
                    .map(|stage| vec![Dimension::new(format!("stage{stage}"), stage).unwrap()])
                    .collect();
                let values: Vec<f64> = batch.values.iter().copied().map(f64::from).collect();
                let mut series = Series::new(metric.clone(), values[0]);
                series.more.extend(&values[1..]);
                let flushed = Flushed {
                    timestamp: start + batch.seconds * 1_000,
                    namespace,
                    sets: DimensionSets { more: &sets, ..DimensionSets::default() },
                    metadata: &[],
                    series: &[series],
                };
                let mut different = batch.stages.clone();
                different.sort_unstable();
                different.dedup();
                let stages = different.iter().map(|stage| format!(",stage{stage}={stage}"));
                for dimensions in stages.chain([String::new()]) {
                    let total = recorded.entry(key(namespace, &dimensions, &metric)).or_default();
                    total.0 += values.iter().sum::<f64>();
                    total.1 += values.len() as u64;
                }
                sink.take(&flushed);
                sink.taken();
                if number % flush_every == 0 {
                    let _ = sink.flush().await;
                }
            }
            sink.shutdown().await
        })
        .or_else(|error| match error {
            // Forty failures may be more than a shutdown has time for; it is not what is asked.
            CloudWatchError::Unfinished { .. } => Ok(()),
            error => Err(error),
        })
        .unwrap();
        if sink.dropped() == 0 {
            prop_assert_eq!(cloudwatch.taken(), recorded);
        } else {
            let count: u64 = recorded.values().map(|(_, count)| count).sum();
            prop_assert_eq!(cloudwatch.count() + sink.dropped(), count);
        }
    }
}
