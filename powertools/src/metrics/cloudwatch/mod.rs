//! Metrics for services that run outside of Lambda, sent by the API of CloudWatch.
//!
//! On Lambda, log lines in the embedded metric format become metrics without a request that
//! anybody waits for, and an environment that is frozen between two invocations sends nothing: use
//! the layer as it is there. On ECS, EKS or EC2 without the CloudWatch agent nobody reads the lines.
//! There a [`CloudWatchSink`] adds up in memory what is recorded, and sends it once a minute by
//! [PutMetricData].
//!
//! [PutMetricData]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
//!
//! # Examples
//!
//! A service that counts what it serves, and sends the last of it when it is stopped:
//!
//! ```no_run
//! # #[cfg(feature = "http")]
//! # mod service {
//! use aws_config::BehaviorVersion;
//! use axum::{Router, routing::post};
//! use powertools::metrics::{Metric, MetricsLayer, Unit, cloudwatch::CloudWatchSink};
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//!
//! async fn create_order() {
//!     ORDERS_CREATED.record(1);
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//!     let sink = CloudWatchSink::new(aws_sdk_cloudwatch::Client::new(&config));
//!
//!     let metrics = MetricsLayer::new("Shop").service("orders").with_cloudwatch(sink.clone());
//!     let app = Router::new().route("/orders", post(create_order)).layer(metrics);
//!
//!     let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
//!     let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//!     axum::serve(listener, app).with_graceful_shutdown(stop).await?;
//!
//!     sink.shutdown().await?;
//!     Ok(())
//! }
//! # }
//! # fn main() {}
//! ```
//!
//! Work that belongs to no request records by [`MetricsLayer::recorder`](super::MetricsLayer::recorder), here with a sink that is
//! set up for much traffic:
//!
//! ```no_run
//! use std::time::Duration;
//! use powertools::metrics::{Metric, MetricsLayer, Unit, cloudwatch::CloudWatchSink};
//!
//! const QUEUE_LENGTH: Metric = Metric::new("QueueLength", Unit::Count).high_resolution();
//!
//! # async fn run(client: aws_sdk_cloudwatch::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let sink = CloudWatchSink::new(client)
//!     .flush_interval(Duration::from_secs(10))
//!     .max_series(50_000)
//!     .max_values(500_000);
//! let metrics = MetricsLayer::new("Shop").with_cloudwatch(sink.clone()).recorder();
//!
//! metrics.record(&QUEUE_LENGTH, 17);
//! metrics.flush();
//! sink.flush().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is sent
//!
//! One datum for each metric, each of its dimension sets and each minute (each second, for a metric of
//! [high resolution](crate::metrics::Metric::high_resolution)), with every value that differs and how
//! often it was recorded, so that CloudWatch can tell percentiles. Metadata is not sent. A thousand
//! requests to a service that take one of ten statuses are ten data, and cost ten metrics.
//!
//! The client compresses requests of 10 KB and more by itself, unless it is
//! [told not to](aws_sdk_cloudwatch::config::Builder::disable_request_compression).
//!
//! | limit of the API | what becomes of more |
//! |---|---|
//! | one namespace a request | a request for each |
//! | 1000 data, or 1 MB, a request | further requests, one after the other |
//! | 150 different values a datum | further data |
//! | not older than two weeks, nor more than two hours ahead | is dropped with a warning, and [`flush`](CloudWatchSink::flush) fails |
//!
//! How old a value is when it is sent is told by the time of the system, as CloudWatch goes by its
//! own. A layer's [clock](crate::metrics::MetricsLayer::with_clock) gives values their time only: in
//! a test with a clock of its own, let it be near the real one.
//!
//! # When it is sent
//!
//! | what happens | what the sink does |
//! |---|---|
//! | a value is recorded | it is added up in memory; nobody ever waits, and nothing fails |
//! | it is the first one | a task is started on the tokio runtime around it, which needs its time driver; recorded outside of a runtime, it waits for the first that comes inside, or for [`flush`](CloudWatchSink::flush) |
//! | a [minute](CloudWatchSink::flush_interval) after that | all that waits is sent; with nothing recorded, nothing is sent |
//! | half of the [room](CloudWatchSink::max_series) is taken | it is sent at once |
//! | [`flush`](CloudWatchSink::flush) | it is sent at once, and the call returns when CloudWatch has it, or when the task does not [get on](CloudWatchError::Stalled) |
//! | [`shutdown`](CloudWatchSink::shutdown) | the same, for up to [10 s](CloudWatchSink::shutdown_timeout) again and again; then the sink takes nothing more |
//! | the last clone is dropped, those of layers included | the task sends what waits, if its runtime lives as long, and ends |
//!
//! # When CloudWatch fails
//!
//! | what happens | what the sink does |
//! |---|---|
//! | it cannot be reached, throttles, or the credentials do not suffice | warns once, keeps what waits, and tries again after [1 s, 2 s, 4 s and so on](CloudWatchSink::retry_delay), for as long as it takes |
//! | more waits than there is [room](CloudWatchSink::max_series) for | drops the oldest, warns once, and counts it in [`dropped`](CloudWatchSink::dropped) |
//! | it refuses a request for what is in it | sends halves of it, and halves of those, until it is known which metrics are refused; drops them with a warning that names them |
//! | an answer does not come | gives up after [30 s](CloudWatchSink::request_timeout), and tries again; had CloudWatch got it, these values count twice |

mod buffer;
mod client;
mod datum;
mod error;
mod layer;
mod limits;
mod request;
mod sink;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use client::BoxError;
pub use error::CloudWatchError;
pub use sink::CloudWatchSink;
