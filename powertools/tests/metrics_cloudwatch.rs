//! Metrics of a service outside of Lambda, as they leave for CloudWatch: the client is the real one,
//! and what is behind it answers from memory.
#![cfg(all(feature = "metrics-cloudwatch", feature = "testing"))]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    io::Read as _,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_cloudwatch::{
    Client, Config,
    config::{
        BehaviorVersion, ConfigBag, Credentials, Intercept, Region,
        http::{HttpRequest, HttpResponse},
        interceptors::BeforeSerializationInterceptorContextRef,
    },
    error::BoxError,
    operation::put_metric_data::PutMetricDataInput,
    types::{Dimension, MetricDatum, StandardUnit},
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use flate2::read::GzDecoder;
use lambda_runtime::LambdaEvent;
use powertools::{
    Env,
    env::{METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{
        self, Metric, Metrics, MetricsLayer, Unit,
        cloudwatch::{CloudWatchError, CloudWatchSink},
    },
    testing::context,
};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds).high_resolution();

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
const REQUEST_SIZE: usize = 1_000_000;

/// What the API answers: a status, and the code of an error.
type Answer = (u16, &'static str);
const TAKEN: Answer = (200, "");

/// Answers by the number of the request and what is in it.
type Answers = dyn Fn(usize, &PutMetricDataInput) -> Answer + Send + Sync;

/// The API of CloudWatch, in memory; its clones share what it has.
#[derive(Clone)]
struct Api {
    answers: Arc<Answers>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What the client is about to send.
    next: Option<PutMetricDataInput>,
    requests: usize,
    taken: Vec<PutMetricDataInput>,
    /// The sizes of all bodies, as sent and in full.
    sizes: Vec<(usize, usize)>,
}

impl Api {
    fn new(answers: impl Fn(usize, &PutMetricDataInput) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answers: Arc::new(answers),
            seen: Arc::default(),
        }
    }

    fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .interceptor(self.clone());
        Client::from_conf(config.build())
    }

    fn sink(&self) -> CloudWatchSink {
        CloudWatchSink::new(self.client())
    }

    fn taken(&self) -> Vec<PutMetricDataInput> {
        self.seen.lock().unwrap().taken.clone()
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }

    fn sizes(&self) -> Vec<(usize, usize)> {
        self.seen.lock().unwrap().sizes.clone()
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

impl Intercept for Api {
    fn name(&self) -> &'static str {
        "Api"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &aws_sdk_cloudwatch::config::RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input().downcast_ref::<PutMetricDataInput>();
        self.seen.lock().unwrap().next = input.cloned();
        Ok(())
    }
}

impl HttpConnector for Api {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sent = request.body().bytes().unwrap();
        let mut body = Vec::new();
        match request.headers().get("content-encoding") {
            Some(encoding) => {
                assert_eq!(encoding, "gzip");
                GzDecoder::new(sent).read_to_end(&mut body).unwrap();
            }
            None => body.extend_from_slice(sent),
        }
        let mut seen = self.seen.lock().unwrap();
        seen.sizes.push((sent.len(), body.len()));
        let input = seen.next.clone().unwrap();
        check(&input, &body);

        let (status, code) = (self.answers)(seen.requests, &input);
        seen.requests += 1;
        let body = if status == 200 {
            seen.taken.push(input);
            // An empty map in CBOR.
            vec![0xa0]
        } else {
            // A map of one text to another.
            let mut body = vec![0xa1, 0x66];
            body.extend_from_slice(b"__type");
            body.extend_from_slice(&[0x78, u8::try_from(code.len()).unwrap()]);
            body.extend_from_slice(code.as_bytes());
            body
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
        let headers = response.headers_mut();
        headers.insert("smithy-protocol", "rpc-v2-cbor");
        headers.insert("content-type", "application/cbor");
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// Checks a request against the limits of the API.
fn check(input: &PutMetricDataInput, body: &[u8]) {
    assert!(body.len() <= REQUEST_SIZE, "{} bytes", body.len());
    assert!(input.namespace().is_some());
    assert!((1..=1000).contains(&input.metric_data().len()));
    for datum in input.metric_data() {
        assert!((1..=150).contains(&datum.values().len()));
        assert_eq!(datum.values().len(), datum.counts().len());
        assert!(datum.counts().iter().all(|count| *count >= 1.0));
        assert!(datum.dimensions().len() <= 30);
        assert!(datum.value().is_none() && datum.statistic_values().is_none());
        let mut different = datum.values().to_vec();
        different.sort_by(f64::total_cmp);
        different.dedup();
        assert_eq!(different.len(), datum.values().len());
    }
}

fn layer(sink: &CloudWatchSink) -> MetricsLayer {
    let env = Env::from([(METRICS_NAMESPACE, "Shop"), (SERVICE_NAME, "orders")]);
    let layer = MetricsLayer::from_env(&env);
    layer.with_cloudwatch(sink.clone())
}

fn recorder(sink: &CloudWatchSink) -> Metrics {
    layer(sink).recorder()
}

fn metric(number: usize) -> Metric {
    Metric::try_new(format!("M{number:04}"), Unit::Count).unwrap()
}

fn sums(datum: &MetricDatum) -> (f64, f64) {
    let pairs = datum.values().iter().zip(datum.counts());
    pairs.fold((0.0, 0.0), |(sum, total), (value, count)| {
        (sum + value * count, total + count)
    })
}

/// The number of values that a request has.
fn counts(requests: &[PutMetricDataInput]) -> f64 {
    let data = requests.iter().flat_map(PutMetricDataInput::metric_data);
    data.map(|datum| sums(datum).1).sum()
}

#[tokio::test(start_paused = true)]
async fn what_a_service_records_is_sent_after_a_minute() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let service = layer(&sink)
        .default_dimension("stage", "prod")
        .layer(service_fn(|event: LambdaEvent<u16>| async move {
            metrics::add_metadata("status", event.payload);
            ORDERS_CREATED.record(1);
            LATENCY.record(Duration::from_millis(7));
            LATENCY.record(12.5);
            LATENCY.record(7);
            Ok::<_, Infallible>(())
        }));
    let before = SystemTime::now();
    let event = LambdaEvent::new(201, context("one"));
    service.oneshot(event).await.unwrap();
    assert_eq!(api.requests(), 0);
    tokio::time::sleep(Duration::from_secs(61)).await;

    let requests = api.taken();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].namespace(), Some("Shop"));
    let mut data = requests[0].metric_data().to_vec();
    data.sort_by(|one, other| one.metric_name().cmp(&other.metric_name()));
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    for (datum, period) in data.iter().zip([1_000, 60_000]) {
        let timestamp = datum.timestamp().unwrap().to_millis().unwrap();
        let now = before.duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(timestamp % period, 0);
        assert!((i128::try_from(now).unwrap() - i128::from(timestamp)).abs() <= i128::from(period));
    }
    let expected = [
        MetricDatum::builder()
            .metric_name("Latency")
            .unit(StandardUnit::Milliseconds)
            .storage_resolution(1)
            .set_values(Some(vec![7.0, 12.5]))
            .set_counts(Some(vec![2.0, 1.0])),
        MetricDatum::builder()
            .metric_name("OrdersCreated")
            .unit(StandardUnit::Count)
            .storage_resolution(60)
            .values(1.0)
            .counts(1.0),
    ];
    let expected = expected.into_iter().zip(&data).map(|(expected, datum)| {
        expected
            .dimensions(dimension("service", "orders"))
            .dimensions(dimension("stage", "prod"))
            .set_timestamp(datum.timestamp)
            .build()
    });
    assert_eq!(data, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_the_layer_is_not_that_of_the_sink() {
    const TWO_WEEKS: Duration = Duration::from_hours(14 * 24);
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let at = |time: SystemTime| layer(&sink).with_clock(move || time).recorder();
    let oldest = SystemTime::now() - TWO_WEEKS;

    // Whatever minute of its time that is the end of, the time that is sent is not too old.
    for ahead in [30, 31] {
        let metrics = at(oldest + Duration::from_secs(ahead));
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
    }
    sink.flush().await.unwrap();
    let requests = api.taken();
    assert_eq!(counts(&requests), 2.0);
    let oldest = oldest.duration_since(UNIX_EPOCH).unwrap().as_millis();
    for datum in requests.iter().flat_map(PutMetricDataInput::metric_data) {
        let sent = datum.timestamp().unwrap().to_millis().unwrap();
        assert!(i128::from(sent) >= i128::try_from(oldest).unwrap());
    }

    let metrics = at(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    metrics.record(&ORDERS_CREATED, 1);
    metrics.flush();
    let error = sink.flush().await.unwrap_err();
    assert!(
        matches!(error, CloudWatchError::OutsideWindow { values: 1, .. }),
        "{error}"
    );
    assert_eq!((api.requests(), sink.dropped()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_to_a_service_are_a_few_data() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let service = layer(&sink).layer(service_fn(|event: LambdaEvent<u16>| async move {
        metrics::add_dimension("status", event.payload);
        ORDERS_CREATED.record(1);
        Ok::<_, Infallible>(())
    }));
    for number in 0..1000 {
        let event = LambdaEvent::new(200 + number % 10, context(number.to_string()));
        service.clone().oneshot(event).await.unwrap();
    }
    sink.flush().await.unwrap();
    let requests = api.taken();
    assert_eq!((requests.len(), counts(&requests)), (1, 1000.0));
    // Ten, or twenty when the clock comes to the next minute meanwhile.
    assert!(requests[0].metric_data().len() <= 20);
}

#[tokio::test(start_paused = true)]
async fn dimension_sets_and_single_metrics_are_data_of_their_own() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let service = layer(&sink).layer(service_fn(|_: LambdaEvent<()>| async move {
        metrics::add_dimensions([("region", "eu")]);
        ORDERS_CREATED.record(1);
        ORDERS_CREATED.single(5).dimension("shop", "a").emit();
        Ok::<_, Infallible>(())
    }));
    let event = LambdaEvent::new((), context("one"));
    service.oneshot(event).await.unwrap();
    sink.flush().await.unwrap();

    let requests = api.taken();
    let mut shown: Vec<String> = requests[0]
        .metric_data()
        .iter()
        .map(|datum| {
            let names = datum.dimensions().iter().map(|dimension| {
                let (name, value) = (dimension.name(), dimension.value());
                format!("{}={} ", name.unwrap(), value.unwrap())
            });
            format!("{}{:?}", names.collect::<String>(), datum.values())
        })
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "region=eu [1.0]",
            "service=orders [1.0]",
            "service=orders shop=a [5.0]"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn large_requests_are_compressed_and_within_a_megabyte() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let mut layer = layer(&sink);
    for number in 0..29 {
        layer = layer.default_dimension(format!("{number:0250}"), "v".repeat(1024));
    }
    let metrics = layer.recorder();
    for number in 0..100 {
        for value in 0..200 {
            metrics.record(&metric(number), f64::from(value) * 1.1);
        }
    }
    metrics.flush();
    sink.flush().await.unwrap();

    let sizes = api.sizes();
    assert_eq!(counts(&api.taken()), 20_000.0);
    let full: usize = sizes.iter().map(|(_, full)| full).sum();
    assert!(
        full > 5 * REQUEST_SIZE && sizes.len() <= full / REQUEST_SIZE + 2,
        "{sizes:?}"
    );
    for (sent, full) in sizes {
        assert!(sent < full / 2, "{sent} of {full} bytes");
    }

    // Small ones are as they are.
    metrics.record(&ORDERS_CREATED, 1);
    metrics.flush();
    let sink = api.sink();
    let metrics = recorder(&sink);
    metrics.record(&ORDERS_CREATED, 1);
    metrics.flush();
    sink.flush().await.unwrap();
    let (sent, full) = *api.sizes().last().unwrap();
    assert_eq!(sent, full);
}

#[tokio::test(start_paused = true)]
async fn the_thousandth_metric_fits_the_next_does_not() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let metrics = recorder(&sink);
    metrics.set_timestamp(SystemTime::now());
    for number in 0..1001 {
        metrics.record(&metric(number), 1);
    }
    metrics.flush();
    sink.flush().await.unwrap();
    let taken = api.taken();
    let sizes: Vec<_> = taken
        .iter()
        .map(|input| input.metric_data().len())
        .collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (2, 1001));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_caller_or_the_moment_costs_no_metrics() {
    for (status, code) in [
        (400, "Throttling"),
        (400, "ThrottlingException"),
        (400, "ExpiredToken"),
        (403, "AccessDenied"),
        (400, "AccessDeniedException"),
        (403, "SignatureDoesNotMatch"),
        (400, "RequestExpired"),
        (500, "InternalServiceError"),
        (503, "ServiceUnavailable"),
        (408, "RequestTimeoutException"),
    ] {
        let api = Api::new(move |number, _| match number {
            // The client itself tries three times.
            0..7 => (status, code),
            _ => TAKEN,
        });
        let sink = api.sink();
        let metrics = recorder(&sink);
        metrics.record(&ORDERS_CREATED, 1);
        metrics.flush();
        let error = sink.flush().await.unwrap_err();
        assert!(
            matches!(error, CloudWatchError::Unavailable(_)),
            "{code}: {error}"
        );
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((counts(&api.taken()), sink.dropped()), (1.0, 0), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_metric_costs_this_one_only() {
    for (status, code) in [
        (400, "InvalidParameterValue"),
        (400, "InvalidParameterValueException"),
        (400, "InvalidParameterCombination"),
        (400, "MissingParameter"),
        (400, "ValidationError"),
        (400, "SerializationException"),
        (413, "RequestEntityTooLarge"),
    ] {
        let api = Api::new(move |_, input| {
            let mut data = input.metric_data().iter();
            match data.any(|datum| datum.metric_name() == Some("M0042")) {
                true => (status, code),
                false => TAKEN,
            }
        });
        let sink = api.sink();
        let metrics = recorder(&sink);
        for number in 0..300 {
            metrics.record(&metric(number), 1);
        }
        metrics.flush();
        let error = sink.flush().await.unwrap_err();
        assert!(
            matches!(error, CloudWatchError::Refused { values: 1, .. }),
            "{code}: {error}"
        );
        assert_eq!((counts(&api.taken()), sink.dropped()), (299.0, 1), "{code}");
        // Of 300 it is found by halves.
        assert!(api.requests() <= 20, "{}", api.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_values_are_sent_when_the_service_stops() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let metrics = recorder(&sink);
    metrics.record(&ORDERS_CREATED, 1);
    drop(metrics);
    sink.shutdown().await.unwrap();
    assert_eq!(counts(&api.taken()), 1.0);
}

/// What the docs say of the default.
#[test]
fn ten_thousand_series_take_a_few_megabytes() {
    let api = Api::new(|_, _| TAKEN);
    let sink = api.sink();
    let metrics = layer(&sink)
        .default_dimension("stage", "prod")
        .default_dimension("region", "eu-west-1")
        .recorder();
    let metric = |number: usize| Metric::try_new(format!("Metric{number}"), Unit::Count).unwrap();
    let taken = allocation_counter::measure(|| {
        for number in 0..10_000 {
            metrics.record(&metric(number), 1);
        }
        metrics.flush();
    });
    assert!(format!("{sink:?}").contains("series: 10000, values: 10000, dropped: 0"));
    let megabytes = taken.bytes_current as f64 / 1e6;
    assert!((4.0..8.0).contains(&megabytes), "{megabytes} MB");
}

#[test]
fn nothing_of_it_is_reached_when_it_is_made() {
    let api = Api::new(|_, _| unreachable!("a request"));
    let sink = api.sink();
    let layer = layer(&sink);
    assert!(format!("{layer:?}").contains("CloudWatchSink { series: 0"));
    drop((layer, sink));
    assert_eq!(api.requests(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_and_limits_hold_for_whatever_is_recorded(
        recorded in prop::collection::vec(
            (0..1200_usize, 0..3_usize, any::<bool>(), -50..50_i32, 1..40_usize),
            1..400,
        ),
        width in 1..1000_usize,
    ) {
        let api = Api::new(|_, _| TAKEN);
        let sink = api.sink();
        let mut expected = BTreeMap::<String, (f64, f64)>::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let metrics = recorder(&sink);
            for (number, unit, high_resolution, first, count) in &recorded {
                // A name is of one unit.
                let unit = [Unit::Count, Unit::Bytes, Unit::None][(number + unit) % 3];
                let name = format!("{number}{unit:?}{}", "n".repeat(width / 5));
                let mut metric = Metric::try_new(name.clone(), unit).unwrap();
                if *high_resolution {
                    metric = metric.high_resolution();
                }
                for value in 0..*count {
                    let value = f64::from(*first) + value as f64;
                    metrics.record(&metric, value);
                    let total = expected.entry(name.clone()).or_default();
                    *total = (total.0 + value, total.1 + 1.0);
                }
            }
            metrics.flush();
            sink.shutdown().await.unwrap();
        });
        let mut sent = BTreeMap::<String, (f64, f64)>::new();
        for datum in api.taken().iter().flat_map(PutMetricDataInput::metric_data) {
            let (sum, count) = sums(datum);
            let total = sent.entry(datum.metric_name().unwrap().to_owned()).or_default();
            *total = (total.0 + sum, total.1 + count);
        }
        prop_assert_eq!(sent, expected);
        prop_assert_eq!(sink.dropped(), 0);
    }
}
