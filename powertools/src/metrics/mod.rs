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
//!         .layer(MetricsLayer::from_env(&Env::process())?)
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
//!         MetricsLayer::from_env(&env)?
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
//! | `_aws` | the time of writing (epoch, ms), the namespace, and what the other members mean |
//! | dimensions | [`MetricsLayer::default_dimension`], [`add_dimension`], [`MetricsLayer::service`]; without any, `Dimensions` is `[[]]` |
//! | metadata | [`add_metadata`] |
//! | metrics | [`Metric::record`]; one value is a number, several are an array in their order |
//!
//! # When it is written
//!
//! | what happens | what is written |
//! |---|---|
//! | the handler answers or fails | what was recorded, before the answer leaves |
//! | it panics or is cancelled | the same, when its future is dropped |
//! | the 100th metric, or the 100th value of one metric, is recorded | an object at once; dimensions and metadata stay for the next |
//! | a value is recorded after all that, by a task that outlives its invocation | an object at once, with the invocation's dimensions and metadata |
//! | nothing was recorded | nothing |
//! | `POWERTOOLS_METRICS_DISABLED` is true | nothing |
//!
//! An object has one set of dimensions, so a dimension holds for all that was recorded since the
//! last one was written, also before the dimension was added.
//!
//! # What is left out
//!
//! Recording never fails an invocation. What CloudWatch would drop in silence is left out with one
//! warning that carries a [`MetricsError`]; everything else is written:
//!
//! - a value that is not a number, infinite, or not within ±2^360,
//! - a duration for a metric whose unit is none of time,
//! - a metric that has been recorded with another unit,
//! - the 31st dimension, the service included, and names or values that CloudWatch does not take,
//! - a name of another kind: metrics, dimensions and metadata are members of one object,
//! - metadata beyond 512 KB in all, so that an object stays below the 1 MB of a log event,
//! - anything recorded outside of an invocation, or without this layer around.
//!
//! # Tasks and threads
//!
//! A task that the handler spawns does not know its invocation. Either it runs in its
//! [scope](crate::Invocation::scope), or it takes the handle [`Metrics`] that [`current`] returns.
//! If the layer is there twice in one invocation, the outer one's configuration counts.

mod batch;
mod config;
mod dimension;
mod emf;
mod error;
mod future;
mod layer;
mod limits;
mod metric;
mod recorder;
mod service;
mod unit;
mod value;

pub use emf::Member;
pub use error::MetricsError;
pub use future::ResponseFuture;
pub use layer::MetricsLayer;
pub use limits::Violation;
pub use metric::Metric;
pub(crate) use recorder::State;
pub use recorder::{Metrics, add_dimension, add_metadata, current};
pub use service::MetricsService;
pub use unit::Unit;
pub use value::Value;
