//! Metrics sent by `CloudWatchSink`, read back from CloudWatch.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, Metric as MetricId, MetricDataQuery, MetricStat, StandardUnit, Statistic},
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use backend_tests::{emulator, eventually};
use powertools::{
    Env,
    env::{METRICS_NAMESPACE, SERVICE_NAME},
    metrics::{self, Metric, MetricsLayer, Unit, cloudwatch::CloudWatchSink},
};
use tower::ServiceExt;

const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds);
const QUEUE_LENGTH: Metric = Metric::new("QueueLength", Unit::Count).high_resolution();

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>
const QUERIES_PER_REQUEST: usize = 500;

/// What CloudWatch knows of a metric since the test began.
#[derive(Debug, PartialEq)]
struct Statistics {
    count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
    unit: StandardUnit,
}

async fn client() -> Client {
    Client::new(&emulator().await.sdk_config())
}

fn layer(namespace: &str, sink: &CloudWatchSink) -> MetricsLayer {
    let env = Env::from([(METRICS_NAMESPACE, namespace), (SERVICE_NAME, "orders")]);
    let layer = MetricsLayer::from_env(&env);
    layer.with_cloudwatch(sink.clone())
}

fn dimensions(pairs: &[(&str, &str)]) -> Vec<Dimension> {
    let dimension =
        |(name, value): &(&str, &str)| Dimension::builder().name(*name).value(*value).build();
    pairs.iter().map(dimension).collect()
}

fn around_now() -> [DateTime; 2] {
    let hour = Duration::from_secs(3600);
    [SystemTime::now() - hour, SystemTime::now() + hour].map(DateTime::from)
}

async fn statistics(
    client: &Client,
    namespace: &str,
    metric: &Metric,
    pairs: &[(&str, &str)],
) -> Option<Statistics> {
    let [start, end] = around_now();
    let answer = client
        .get_metric_statistics()
        .namespace(namespace)
        .metric_name(metric.name())
        .set_dimensions(Some(dimensions(pairs)))
        .start_time(start)
        .end_time(end)
        .period(3600)
        .statistics(Statistic::SampleCount)
        .statistics(Statistic::Sum)
        .statistics(Statistic::Minimum)
        .statistics(Statistic::Maximum)
        .send()
        .await
        .unwrap();
    // One, or two on either side of the hour.
    let points = answer.datapoints();
    let all = |value: fn(&aws_sdk_cloudwatch::types::Datapoint) -> Option<f64>| {
        points.iter().map(move |point| value(point).unwrap())
    };
    Some(Statistics {
        count: all(|point| point.sample_count).sum(),
        sum: all(|point| point.sum).sum(),
        minimum: all(|point| point.minimum).reduce(f64::min)?,
        maximum: all(|point| point.maximum).reduce(f64::max)?,
        unit: points.first()?.unit.clone()?,
    })
}

/// Asks for the values that one statistic of many metrics has, each over a period of so many seconds.
async fn values(
    client: &Client,
    namespace: &str,
    metrics: &[Metric],
    statistic: &str,
    period: i32,
) -> Vec<Vec<f64>> {
    let [start, end] = around_now();
    let mut values = Vec::new();
    for metrics in metrics.chunks(QUERIES_PER_REQUEST) {
        let queries = metrics.iter().enumerate().map(|(number, metric)| {
            let id = MetricId::builder()
                .namespace(namespace)
                .metric_name(metric.name())
                .set_dimensions(Some(dimensions(&[("service", "orders")])))
                .build();
            let stat = MetricStat::builder()
                .metric(id)
                .period(period)
                .stat(statistic)
                .build();
            MetricDataQuery::builder()
                .id(format!("q{number}"))
                .metric_stat(stat)
                .build()
        });
        let answer = client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.collect()))
            .start_time(start)
            .end_time(end)
            .send()
            .await
            .unwrap();
        let results = answer.metric_data_results();
        values.extend(results.iter().map(|result| result.values().to_vec()));
    }
    values
}

#[tokio::test]
async fn what_is_recorded_is_what_cloudwatch_knows() {
    const NAMESPACE: &str = "Backends/Recorder";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone());
    let recorder = layer(NAMESPACE, &sink)
        .default_dimension("stage", "test")
        .recorder();
    for value in 1..=1000 {
        recorder.record(&LATENCY, f64::from(value) / 2.0);
        recorder.record(&ORDERS_CREATED, 2);
    }
    recorder.flush();
    sink.flush().await.unwrap();

    let of = [("service", "orders"), ("stage", "test")];
    assert_eq!(
        statistics(&client, NAMESPACE, &LATENCY, &of).await,
        Some(Statistics {
            count: 1000.0,
            sum: 250_250.0,
            minimum: 0.5,
            maximum: 500.0,
            unit: StandardUnit::Milliseconds,
        })
    );
    assert_eq!(
        statistics(&client, NAMESPACE, &ORDERS_CREATED, &of).await,
        Some(Statistics {
            count: 1000.0,
            sum: 2000.0,
            minimum: 2.0,
            maximum: 2.0,
            unit: StandardUnit::Count,
        })
    );
    assert_eq!(sink.dropped(), 0);
}

#[tokio::test]
async fn percentiles_are_those_of_all_values() {
    const NAMESPACE: &str = "Backends/Percentiles";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone());
    let recorder = layer(NAMESPACE, &sink).recorder();
    // One hour, whatever the time is.
    recorder.set_timestamp(SystemTime::now());
    for value in 0..=1000 {
        recorder.record(&LATENCY, value);
    }
    recorder.flush();
    sink.flush().await.unwrap();
    for (percentile, expected) in [("p50", 500.0), ("p90", 900.0), ("p99", 990.0)] {
        let values = values(&client, NAMESPACE, &[LATENCY], percentile, 3600).await;
        assert_eq!(values, [[expected]], "{percentile}");
    }
}

#[tokio::test]
async fn each_dimension_set_is_a_metric() {
    const NAMESPACE: &str = "Backends/Sets";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone());
    let recorder = layer(NAMESPACE, &sink).recorder();
    recorder.add_dimensions([("region", "eu"), ("shop", "a")]);
    recorder.record(&ORDERS_CREATED, 1);
    recorder.record(&ORDERS_CREATED, 4);
    recorder.flush();
    recorder.add_dimension("shop", "b");
    recorder.record(&ORDERS_CREATED, 7);
    recorder.flush();
    sink.flush().await.unwrap();
    for (of, sum) in [
        (&[("service", "orders")][..], 5.0),
        (&[("region", "eu"), ("shop", "a")], 5.0),
        (&[("service", "orders"), ("shop", "b")], 7.0),
    ] {
        let known = statistics(&client, NAMESPACE, &ORDERS_CREATED, of).await;
        assert_eq!(known.map(|known| known.sum), Some(sum), "{of:?}");
    }
}

#[tokio::test]
async fn high_resolution_is_by_the_second() {
    const NAMESPACE: &str = "Backends/Seconds";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone());
    let recorder = layer(NAMESPACE, &sink).recorder();
    let minute = SystemTime::now() - Duration::from_secs(600);
    for second in 0..3 {
        recorder.set_timestamp(minute + Duration::from_secs(second));
        recorder.record(&QUEUE_LENGTH, second + 1);
        recorder.record(&QUEUE_LENGTH, second + 1);
        recorder.flush();
    }
    sink.flush().await.unwrap();
    let values = values(&client, NAMESPACE, &[QUEUE_LENGTH], "Sum", 1).await;
    assert_eq!(values, [[2.0, 4.0, 6.0]]);
}

/// More than one request takes, and large enough to be compressed.
#[tokio::test]
async fn thousands_of_metrics_arrive() {
    const NAMESPACE: &str = "Backends/Many";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone());
    let recorder = layer(NAMESPACE, &sink).recorder();
    let metrics: Vec<_> = (0..1200)
        .map(|number| Metric::try_new(format!("M{number}"), Unit::Count).unwrap())
        .collect();
    recorder.set_timestamp(SystemTime::now());
    for (number, metric) in metrics.iter().enumerate() {
        recorder.record(metric, number);
        recorder.record(metric, 1);
    }
    recorder.flush();
    sink.flush().await.unwrap();
    let known = values(&client, NAMESPACE, &metrics, "Sum", 3600).await;
    let expected: Vec<_> = (0..1200).map(|number| [f64::from(number + 1)]).collect();
    assert_eq!(known, expected);
}

async fn create_order(body: String) -> StatusCode {
    let status = match body.parse::<u64>() {
        Ok(total) => {
            ORDERS_CREATED.record(total);
            StatusCode::CREATED
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    metrics::add_dimension("status", status.as_u16());
    LATENCY.record(Duration::from_millis(3));
    status
}

async fn serve(app: &Router, body: &'static str) -> StatusCode {
    let request = Request::post("/orders").body(Body::from(body)).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    response.status()
}

#[tokio::test]
async fn a_service_sends_by_itself_and_the_rest_when_it_stops() {
    const NAMESPACE: &str = "Backends/Service";
    let client = client().await;
    let sink = CloudWatchSink::new(client.clone()).flush_interval(Duration::from_millis(100));
    let app = Router::new()
        .route("/orders", post(create_order))
        .layer(layer(NAMESPACE, &sink));
    assert_eq!(serve(&app, "20").await, StatusCode::CREATED);
    assert_eq!(serve(&app, "22").await, StatusCode::CREATED);
    assert_eq!(serve(&app, "no number").await, StatusCode::BAD_REQUEST);

    let created = [("service", "orders"), ("status", "201")];
    let refused = [("service", "orders"), ("status", "400")];
    let known = eventually("the metrics of the first orders", || async {
        let known = statistics(&client, NAMESPACE, &ORDERS_CREATED, &created).await?;
        (known.count == 2.0).then_some(known)
    })
    .await;
    assert_eq!(known.sum, 42.0);

    assert_eq!(serve(&app, "100").await, StatusCode::CREATED);
    sink.shutdown().await.unwrap();
    let known = statistics(&client, NAMESPACE, &ORDERS_CREATED, &created).await;
    assert_eq!(known.unwrap().sum, 142.0);
    let known = statistics(&client, NAMESPACE, &LATENCY, &refused).await;
    assert_eq!(known.unwrap().count, 1.0);
    assert_eq!(
        statistics(&client, NAMESPACE, &ORDERS_CREATED, &refused).await,
        None
    );
}
