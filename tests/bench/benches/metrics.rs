//! Metrics of one invocation: ours, beside `serde_json` writing the same object, the EMF recorder of
//! `metrics_cloudwatch_embedded`, and the EMF format of `metrique`.

use std::{convert::Infallible, hint::black_box, io, time::SystemTime};

use bench::Table;
use lambda_runtime::{Context, LambdaEvent};
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
    DIMENSIONS[..dimensions].iter().fold(
        MetricsLayer::new(NAMESPACE).with_writer(io::sink()),
        |layer, (name, value)| layer.default_dimension(*name, value),
    )
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
    let context = testing::context("8476a536-e9f4-11e8-9739-2dfe598c3fcd");
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
    let context = testing::context("8476a536-e9f4-11e8-9739-2dfe598c3fcd");
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

fn embedded(
    collector: &'static Collector,
    names: Vec<&'static str>,
    dimensions: usize,
) -> impl FnMut() {
    // Metrics of one dimension set make one object.
    let labels: Vec<metrics::Label> = DIMENSIONS[..dimensions]
        .iter()
        .map(|(name, value)| metrics::Label::new(*name, *value))
        .collect();
    move || {
        for name in &names {
            metrics::histogram!(*name, labels.clone()).record(VALUE);
        }
        collector.flush(io::sink()).expect("a sink takes all");
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

fn main() {
    let collector = metrics_cloudwatch_embedded::Builder::new()
        .cloudwatch_namespace(NAMESPACE)
        .init()
        .expect("no other recorder is installed");

    for (count, dimensions) in [(1, 0), (2, 0), (2, 1), (2, 3), (10, 1), (100, 3)] {
        let names: &'static [&'static str] = names(count).leak();
        let mut table = Table::new(&format!(
            "{count} metrics with {dimensions} dimensions, recorded and flushed"
        ));
        table.row(
            "serde_json writes the same object",
            serialise(names, dimensions),
        );
        table.row("ours, recorder", recorder(metrics(names), dimensions));
        table.row("the bare handler", bare_invocation());
        table.row(
            "ours, whole invocation",
            invocation(metrics(names), dimensions),
        );
        table.row(
            "metrique emf, all validations",
            metrique(names.to_vec(), dimensions, true),
        );
        table.row(
            "metrique emf, no validations",
            metrique(names.to_vec(), dimensions, false),
        );
        table.row(
            "metrics_cloudwatch_embedded",
            embedded(collector, names.to_vec(), dimensions),
        );
    }
}
