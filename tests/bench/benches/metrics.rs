//! Metrics of one invocation: ours, beside `serde_json` writing the same object, the EMF recorder of
//! `metrics_cloudwatch_embedded`, and the EMF format of `metrique`.
//!
//! `metrics_cloudwatch_embedded` is used as its documentation says: its `Builder` knows the dimensions
//! and the name of the request id's property, what records is what the macros of `metrics` make of a
//! literal name, and a whole invocation is its layer around a service of the runtime's invocations, as
//! its `handler::run` has it. That layer writes to the standard output and to nothing else, so ours does
//! the same beside it. Its recorder is one for the process: each number of dimensions has a process of
//! its own.

use std::{convert::Infallible, env, hint::black_box, io, process::Command, time::SystemTime};

use bench::Table;
use lambda_runtime::{Context, LambdaEvent, LambdaInvocation};
use metrics_cloudwatch_embedded::Collector;
use metrique_writer::{
    Entry, EntryWriter,
    format::Format as _,
    unit::{Millisecond, WithUnit},
};
use metrique_writer_format_emf::Emf;
use powertools::{
    metrics::{Metric, MetricsLayer, Unit},
    testing,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use tower::{Service, ServiceBuilder};

const NAMESPACE: &str = "Shop";
const DIMENSIONS: [(&str, &str); 3] = [("stage", "prod"), ("region", "eu-west-1"), ("az", "a")];
const VALUE: f64 = 12.5;
const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const REQUEST_ID_KEY: &str = "RequestId";

/// Says of how many dimensions a process of its own is.
const CHILD: &str = "BENCH_DIMENSIONS";

/// The names of so many metrics.
fn names(metrics: usize) -> Vec<&'static str> {
    (0..metrics)
        .map(|number| &*Box::leak(format!("Latency{number:03}").into_boxed_str()))
        .collect()
}

fn epoch_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The object that all of them write.
#[derive(Serialize)]
struct Object<'a> {
    _aws: Aws<'a>,
    #[serde(flatten)]
    members: Members<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws<'a> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [&'a [&'a str]; 1],
    metrics: &'a [Definition<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: &'a str,
}

struct Members<'a> {
    dimensions: &'a [(&'a str, &'a str)],
    names: &'a [&'a str],
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.dimensions {
            map.serialize_entry(name, value)?;
        }
        for name in self.names {
            map.serialize_entry(name, &VALUE)?;
        }
        map.end()
    }
}

/// The least that any of them can cost: everything but the time is known beforehand.
fn serialise(names: &[&'static str], dimensions: usize) -> impl FnMut() {
    let definitions: Vec<_> = names
        .iter()
        .map(|name| Definition {
            name,
            unit: "Milliseconds",
        })
        .collect();
    let dimension_names: Vec<_> = DIMENSIONS[..dimensions]
        .iter()
        .map(|(name, _)| *name)
        .collect();
    move || {
        let object = Object {
            _aws: Aws {
                timestamp: epoch_milliseconds(),
                cloud_watch_metrics: [Directive {
                    namespace: NAMESPACE,
                    dimensions: [&dimension_names],
                    metrics: &definitions,
                }],
            },
            members: Members {
                dimensions: &DIMENSIONS[..dimensions],
                names,
            },
        };
        let mut line = serde_json::to_vec(&object).expect("the object is JSON");
        line.push(b'\n');
        io::Write::write_all(&mut io::sink(), black_box(&line)).expect("a sink takes all");
    }
}

fn layer(dimensions: usize) -> MetricsLayer {
    with_dimensions(
        MetricsLayer::new(NAMESPACE).with_writer(io::sink()),
        dimensions,
    )
}

fn with_dimensions(layer: MetricsLayer, dimensions: usize) -> MetricsLayer {
    DIMENSIONS[..dimensions]
        .iter()
        .fold(layer, |layer, (name, value)| {
            layer.default_dimension(*name, value)
        })
}

fn metrics(names: &[&'static str]) -> Vec<Metric> {
    names
        .iter()
        .map(|name| Metric::new(name, Unit::Milliseconds))
        .collect()
}

/// Polls a future that never waits.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("nothing waits in here"),
    }
}

/// A whole invocation whose handler records each metric once.
fn invocation(metrics: Vec<Metric>, dimensions: usize) -> impl FnMut() {
    let context = testing::context(REQUEST_ID);
    let metrics: &'static [Metric] = metrics.leak();
    let mut service = ServiceBuilder::new().layer(layer(dimensions)).service_fn(
        move |_: LambdaEvent<()>| async move {
            for metric in metrics {
                metric.record(VALUE);
            }
            Ok::<_, Infallible>(())
        },
    );
    call(move |event| ready(service.call(event)), context)
}

/// The same invocation without a layer and without metrics.
fn bare_invocation() -> impl FnMut() {
    let context = testing::context(REQUEST_ID);
    let mut service = tower::service_fn(|_: LambdaEvent<()>| async { Ok::<_, Infallible>(()) });
    call(move |event| ready(service.call(event)), context)
}

fn call(
    mut service: impl FnMut(LambdaEvent<()>) -> Result<(), Infallible>,
    context: Context,
) -> impl FnMut() {
    move || {
        let Ok(()) = service(black_box(LambdaEvent::new((), context.clone())));
    }
}

/// What is recorded and flushed without an invocation around.
fn recorder(metrics: Vec<Metric>, dimensions: usize) -> impl FnMut() {
    let recorder = layer(dimensions).recorder();
    move || {
        for metric in &metrics {
            recorder.record(metric, VALUE);
        }
        recorder.flush();
    }
}

/// How a metric is registered, as the macros of `metrics` write it down for each place that records.
static REGISTRATION: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

/// The keys as the macros make them of a literal: once for the process.
fn keys(names: &[&'static str]) -> &'static [metrics::Key] {
    let keys: Vec<_> = names
        .iter()
        .map(|name| metrics::Key::from_static_name(name))
        .collect();
    keys.leak()
}

fn record_histograms(keys: &[metrics::Key]) {
    for key in keys {
        let of = metrics::with_recorder(|recorder| recorder.register_histogram(key, &REGISTRATION));
        of.record(VALUE);
    }
}

fn embedded_histograms(collector: &'static Collector, names: &[&'static str]) -> impl FnMut() {
    let keys = keys(names);
    move || {
        record_histograms(keys);
        collector.flush(io::sink()).expect("a sink takes all");
    }
}

/// Counters cost it less; they are of whole numbers.
fn embedded_counters(collector: &'static Collector, names: &[&'static str]) -> impl FnMut() {
    let names: Vec<_> = names.iter().map(|name| format!("{name}Count")).collect();
    let names: Vec<_> = names.into_iter().map(|name| &*name.leak()).collect();
    let keys = keys(&names);
    move || {
        for key in keys {
            let of =
                metrics::with_recorder(|recorder| recorder.register_counter(key, &REGISTRATION));
            of.increment(12);
        }
        collector.flush(io::sink()).expect("a sink takes all");
    }
}

/// A whole invocation under the layer that its `handler::run` puts around a handler. It takes what the
/// runtime hands to its layers, and writes to the standard output.
fn embedded_invocation(collector: &'static Collector, names: &[&'static str]) -> impl FnMut() {
    let keys = keys(names);
    let mut service = ServiceBuilder::new()
        .layer(metrics_cloudwatch_embedded::lambda::MetricsLayer::new(
            collector,
        ))
        .service_fn(move |_: LambdaInvocation| async move {
            record_histograms(keys);
            Ok::<_, Infallible>(())
        });
    let context = testing::context(REQUEST_ID);
    move || {
        let Ok(()) = ready(service.call(black_box(runtimes_invocation(context.clone()))));
    }
}

/// The same of ours: the standard output, and the request's id beside the metrics.
fn invocation_to_stdout(metrics: Vec<Metric>, dimensions: usize) -> impl FnMut() {
    let metrics: &'static [Metric] = metrics.leak();
    let layer = with_dimensions(MetricsLayer::new(NAMESPACE), dimensions);
    let mut service = ServiceBuilder::new().layer(layer).service_fn(
        move |invocation: LambdaInvocation| async move {
            powertools::metrics::add_metadata(REQUEST_ID_KEY, &invocation.context.request_id);
            for metric in metrics {
                metric.record(VALUE);
            }
            Ok::<_, Infallible>(())
        },
    );
    let context = testing::context(REQUEST_ID);
    move || {
        let Ok(()) = ready(service.call(black_box(runtimes_invocation(context.clone()))));
    }
}

fn runtimes_invocation(context: Context) -> LambdaInvocation {
    let (parts, ()) = http::Response::new(()).into_parts();
    LambdaInvocation {
        parts,
        body: bytes::Bytes::new(),
        context,
    }
}

/// One unit of work, as `metrique` sees it.
struct WideEvent<'a> {
    dimensions: &'a [(&'static str, &'static str)],
    names: &'a [&'static str],
}

impl Entry for WideEvent<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(SystemTime::now());
        for (name, value) in self.dimensions {
            writer.value(*name, *value);
        }
        for name in self.names {
            writer.value(*name, &WithUnit::<_, Millisecond>::from(VALUE));
        }
    }
}

fn metrique(names: Vec<&'static str>, dimensions: usize, validations: bool) -> impl FnMut() {
    let sets = vec![
        DIMENSIONS[..dimensions]
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
    ];
    let mut emf = if validations {
        Emf::all_validations(NAMESPACE.to_owned(), sets)
    } else {
        Emf::no_validations(NAMESPACE.to_owned(), sets)
    };
    move || {
        let event = WideEvent {
            dimensions: &DIMENSIONS[..dimensions],
            names: &names,
        };
        emf.format(&event, &mut io::sink())
            .expect("the event is within the limits");
    }
}

/// Measures metrics with a number of dimensions.
fn measure(dimensions: usize) -> io::Result<()> {
    let collector = DIMENSIONS[..dimensions]
        .iter()
        .fold(
            metrics_cloudwatch_embedded::Builder::new()
                .cloudwatch_namespace(NAMESPACE)
                .with_lambda_request_id(REQUEST_ID_KEY),
            |builder, (name, value)| builder.with_dimension(*name, *value),
        )
        .init()
        .expect("no other recorder is installed");

    for count in [1, 2, 10, 100] {
        let names: &'static [&'static str] = names(count).leak();
        let mut table = Table::new(&format!(
            "{count} metrics with {dimensions} dimensions, recorded and flushed"
        ));
        table.row(
            "serde_json writes the same object",
            serialise(names, dimensions),
        );
        table.row("ours, recorder", recorder(metrics(names), dimensions));
        table.row(
            "metrique emf, all validations",
            metrique(names.to_vec(), dimensions, true),
        );
        table.row(
            "metrique emf, no validations",
            metrique(names.to_vec(), dimensions, false),
        );
        table.row(
            "metrics_cloudwatch_embedded, histograms",
            embedded_histograms(collector, names),
        );
        table.row(
            "metrics_cloudwatch_embedded, counters",
            embedded_counters(collector, names),
        );
        table.row("the bare handler", bare_invocation());
        table.row(
            "ours, whole invocation",
            invocation(metrics(names), dimensions),
        );
        table.silent_row(
            "ours, the same with request id, to stdout",
            invocation_to_stdout(metrics(names), dimensions),
        )?;
        table.silent_row(
            "metrics_cloudwatch_embedded, the same",
            embedded_invocation(collector, names),
        )?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    if let Ok(dimensions) = env::var(CHILD) {
        return measure(dimensions.parse().map_err(io::Error::other)?);
    }
    for dimensions in 0..=DIMENSIONS.len() {
        let status = Command::new(env::current_exe()?)
            .env(CHILD, dimensions.to_string())
            .status()?;
        if !status.success() {
            return Err(io::Error::other("a table is missing"));
        }
    }
    Ok(())
}
