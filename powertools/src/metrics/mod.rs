//! Business metrics: what a handler records leaves as a log line in CloudWatch's embedded metric
//! format (EMF), which CloudWatch turns into metrics without any API being called.
//!
//! A [`Metric`] is a constant. Recording a value finds the running invocation by itself;
//! [`MetricsLayer`], the tower layer around the handler, says whose metrics they are and writes
//! them when the handler is done.
//!
//! # Examples
//!
//! The default use, configured by the [environment](MetricsLayer::from_env):
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, metrics::{Metric, MetricsLayer, Unit}};
//! use serde_json::Value;
//! use tower::ServiceBuilder;
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//!
//! async fn handler(event: LambdaEvent<Value>) -> Result<(), Error> {
//!     ORDERS_CREATED.record(1);
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let service = ServiceBuilder::new()
//!         .layer(MetricsLayer::from_env(&Env::process()))
//!         .service_fn(handler);
//!     lambda_runtime::run(service).await
//! }
//! ```
//!
//! The configured use: an environment made by hand, a service and a dimension for all metrics,
//! metadata that the handler adds, and a writer that keeps the line.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{Env, env, metrics::{self, Metric, MetricsLayer, Unit}, testing};
//! use serde_json::json;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! const ORDERS_CREATED: Metric = Metric::new("OrdersCreated", Unit::Count);
//! const LATENCY: Metric = Metric::new("Latency", Unit::Milliseconds).high_resolution();
//!
//! async fn handler(event: LambdaEvent<&str>) -> Result<(), Error> {
//!     metrics::add_metadata("order_id", event.payload);
//!     ORDERS_CREATED.record(1);
//!     LATENCY.record(12.5);
//!     LATENCY.record(Duration::from_millis(7));
//!     Ok(())
//! }
//!
//! let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
//! let output = testing::Captured::default();
//! let service = ServiceBuilder::new()
//!     .layer(
//!         MetricsLayer::from_env(&env)
//!             .service("orders")
//!             .default_dimension("stage", "prod")
//!             .with_writer(output.clone()),
//!     )
//!     .service_fn(handler);
//! service.oneshot(LambdaEvent::new("a1", testing::context("52fdfc07"))).await?;
//!
//! let object = &output.json()[0];
//! assert_eq!(object["stage"], "prod");
//! assert_eq!(object["OrdersCreated"], 1);
//! assert_eq!(object["Latency"], json!([12.5, 7]));
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # The object
//!
//! ```json
//! {"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["stage","service"]],"Metrics":[{"Name":"OrdersCreated","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds","StorageResolution":1}]}]},"stage":"prod","service":"orders","order_id":"a1","OrdersCreated":1,"Latency":[12.5,7]}
//! ```
//!
//! | members, in their order | from |
//! |---|---|
//! | `_aws` | the [time](set_timestamp) (epoch, ms), the [namespace](MetricsLayer::namespace), and what the other members mean |
//! | dimensions | [`MetricsLayer::default_dimension`], [`add_dimension`], [`MetricsLayer::service`]; without any, `Dimensions` is `[[]]` |
//! | further dimensions | [`add_dimensions`] |
//! | metadata | [`add_metadata`] |
//! | metrics | [`Metric::record`]; one value is a number, several are an array in their order |
//!
//! A further dimension set has CloudWatch keep the metrics once more, by its dimensions. With
//! `add_dimensions([("tenant", "t1")])` the object is
//!
//! ```json
//! {"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["stage","service"],["stage","tenant"]],"Metrics":[{"Name":"OrdersCreated","Unit":"Count"}]}]},"stage":"prod","service":"orders","tenant":"t1","OrdersCreated":1}
//! ```
//!
//! A dimension has one value in an object. So it holds for all that was recorded since the last
//! object was written, also before the dimension was added, and a set that needs another value is
//! left out. What is to have its own is a [single metric](Metric::single).
//!
//! Other toolkits write a little differently; [`compat`] has their forms.
//!
//! # When it is written
//!
//! | what happens | what is written | what stays for the next object |
//! |---|---|---|
//! | the handler answers or fails | what was recorded, before the answer leaves | |
//! | it panics or is cancelled | the same, when its future is dropped | |
//! | the 100th metric, or the 100th value of one metric, is recorded | an object at once; by a thread of its own maybe while the answer leaves | dimensions, metadata and timestamp |
//! | [`flush`] is called | what was recorded | the layer's dimensions |
//! | a value is recorded after all that, by a task that outlives its invocation | an object at once | the invocation's dimensions and metadata |
//! | a [single metric](Metric::single) is emitted | an object of its own at once | everything: it is apart |
//! | nothing was recorded | nothing | everything |
//! | `POWERTOOLS_METRICS_DISABLED` is true | nothing | |
//!
//! # Outside of an invocation
//!
//! [`MetricsLayer::recorder`] makes [`Metrics`] that belong to none: for start-up, for tasks of the
//! process, for a service outside of Lambda. They are written by [`Metrics::flush`], when they are
//! full, and when the last handle is dropped. Made those of the [process](Metrics::set_global), they
//! take what is recorded where no invocation is, and are written with each invocation.
//!
//! # What is left out
//!
//! Recording never fails an invocation. What CloudWatch would drop in silence is left out with a
//! warning that carries a [`MetricsError`], one for each kind and name until something is written, and
//! from the 32nd on one for each kind; everything else is written. The methods `try_…` of [`Metrics`] return the error instead:
//!
//! | what | limit |
//! |---|---|
//! | a value | a number within ±2^360 |
//! | a duration | a unit of time |
//! | a metric that has been recorded already | the same unit |
//! | a metric's name | 255 characters, printable ASCII; white space around it is no part of it |
//! | a dimension's name, its value | 250 and 1024 characters, printable ASCII, not blank |
//! | dimensions | 30 in all sets of an object, the service included, each with one value |
//! | names | of one kind: metrics, dimensions and metadata are members of one object |
//! | metadata | 512 KB in all, as JSON; keys count six times their length, as they may be escaped |
//! | names in further dimension sets | 48 KB in all |
//! | a timestamp | 14 days ago to 2 hours ahead |
//! | a namespace | 255 characters, printable ASCII, no leading colon; without one nothing is written |
//! | a place | inside of an invocation with this layer around, or a process with metrics of its own |
//!
//! An object is never larger than a log event may be, 1 MB: with metadata and names near their limits
//! its metrics are shared out among several objects, each with all dimensions and metadata.
//!
//! # Tasks and threads
//!
//! A task that the handler spawns does not know its invocation. Either it runs in its
//! [scope](crate::Invocation::scope), or it takes the handle [`Metrics`] that [`current`] returns.
//! If the layer is there twice in one invocation, the outer one's configuration counts.

mod batch;
mod batch_size;
#[cfg(feature = "metrics-cloudwatch")]
pub mod cloudwatch;
pub mod compat;
mod config;
mod current;
mod dimension;
mod emf;
mod error;
#[cfg(feature = "metrics-facade")]
pub mod facade;
mod future;
mod handle;
mod invocation_metrics;
mod layer;
mod limits;
mod lines;
mod memory;
mod metric;
mod recorder;
mod service;
mod single;
mod unit;
mod value;

pub use batch_size::BatchSize;
pub use current::{add_dimension, add_dimensions, add_metadata, current, flush, set_timestamp};
pub use emf::Member;
pub use error::{MetricsError, SetGlobalError};
pub use future::ResponseFuture;
pub use handle::Metrics;
pub use layer::MetricsLayer;
pub use limits::Violation;
pub use metric::Metric;
#[cfg(feature = "deadline")]
pub(crate) use recorder::flush_invocation;
pub(crate) use recorder::{State, flush_global};
pub use service::MetricsService;
pub use single::SingleMetric;
pub use unit::Unit;
pub use value::Value;
