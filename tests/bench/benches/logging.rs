//! One log line: ours, beside `serde_json` writing the same object, the JSON formatter of
//! tracing-subscriber, and the default subscriber of lambda_runtime.

use std::{cell::RefCell, convert::Infallible, hint::black_box, io};

use bench::Table;
use lambda_runtime::{Context, LambdaEvent};
use powertools::{
    Env, Invocation,
    logging::{Buffer, Logger, LoggingLayer},
    testing,
};
use serde::Serialize;
use tower::{Service, ServiceBuilder};
use tracing::{Dispatch, Level, debug, info, info_span};
use tracing_subscriber::{filter::LevelFilter, prelude::*};

const SERVICE: &str = "orders";
const LOCATION: &str = "logging:42";
const TIMESTAMP: &str = "2026-11-23T06:58:19.081Z";
const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:my-function";
const TRACE_ID: &str = "1-5759e988-bd862e3fe1be46a994272793";

/// The object that one line of ours is.
#[derive(Serialize)]
struct Object<F> {
    level: &'static str,
    location: &'static str,
    message: &'static str,
    timestamp: &'static str,
    service: &'static str,
    cold_start: bool,
    function_name: &'static str,
    function_memory_size: u32,
    function_arn: &'static str,
    function_request_id: &'static str,
    #[serde(flatten)]
    fields: F,
    xray_trace_id: &'static str,
}

#[derive(Serialize)]
struct FiveFields {
    order_id: &'static str,
    total: u64,
    rate: f64,
    paid: bool,
    attempt: i64,
}

#[derive(Serialize)]
struct TwentyFields {
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: &'static str,
    l: &'static str,
    m: &'static str,
    n: &'static str,
    o: &'static str,
    p: f64,
    q: f64,
    r: bool,
    s: bool,
    t: &'static str,
}

/// The fields of three nested spans and of the event in them.
#[derive(Serialize)]
struct NestedFields {
    a: u8,
    b: &'static str,
    c: u8,
    d: &'static str,
    e: u8,
    f: &'static str,
    #[serde(flatten)]
    event: FiveFields,
}

fn object<F>(fields: F) -> Object<F> {
    Object {
        level: "INFO",
        location: LOCATION,
        message: "order placed",
        timestamp: TIMESTAMP,
        service: SERVICE,
        cold_start: false,
        function_name: "my-function",
        function_memory_size: 128,
        function_arn: ARN,
        function_request_id: REQUEST_ID,
        fields,
        xray_trace_id: TRACE_ID,
    }
}

fn five_fields() {
    info!(
        order_id = "a1",
        total = 2500_u64,
        rate = 0.19,
        paid = true,
        attempt = -1_i64,
        "order placed"
    );
}

fn twenty_fields() {
    info!(
        a = 1,
        b = 2,
        c = 3,
        d = 4,
        e = 5,
        f = 6,
        g = 7,
        h = 8,
        i = 9,
        j = 10,
        k = "11",
        l = "12",
        m = "13",
        n = "14",
        o = "15",
        p = 0.16,
        q = 0.17,
        r = true,
        s = false,
        t = "20",
        "order placed"
    );
}

fn context() -> Context {
    let mut context = testing::context(REQUEST_ID);
    context.xray_trace_id = Some(format!("Root={TRACE_ID};Parent=53995c3f42cd8ad8;Sampled=1"));
    context
}

fn logger() -> Logger {
    Logger::from_env(&Env::default())
        .service(SERVICE)
        .with_writer(io::sink())
}

fn ours(logger: &Logger) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(logger.subscriber_layer()))
}

fn json_formatter() -> Dispatch {
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::sink);
    Dispatch::new(
        tracing_subscriber::registry()
            .with(layer)
            .with(LevelFilter::INFO),
    )
}

/// What lambda_runtime's own subscriber is, with the format that Lambda's JSON setting gives it: the
/// runtime only installs it, for the whole process, so it is put together here in the same way.
fn runtimes_subscriber() -> Dispatch {
    let subscriber = tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .json()
        .with_max_level(Level::INFO)
        .with_writer(io::sink);
    Dispatch::new(subscriber.finish())
}

/// The context as span fields, which is how the others come to have it on their lines.
fn context_span() -> tracing::Span {
    info_span!(
        "invocation",
        cold_start = false,
        function_name = "my-function",
        function_memory_size = 128,
        function_arn = ARN,
        function_request_id = REQUEST_ID,
        xray_trace_id = TRACE_ID,
    )
}

/// Runs one invocation of a handler under our layer.
fn invocation(handler: fn()) -> impl FnMut() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a current-thread runtime needs nothing");
    let context = context();
    let mut service = ServiceBuilder::new()
        .layer(LoggingLayer::from_env(&Env::default()))
        .service_fn(move |_: LambdaEvent<()>| async move {
            handler();
            Ok::<_, Infallible>(())
        });
    move || {
        let event = LambdaEvent::new((), context.clone());
        let _: Result<(), Infallible> = runtime.block_on(service.call(event));
    }
}

fn bare_invocation() -> impl FnMut() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a current-thread runtime needs nothing");
    let context = context();
    let mut service = tower::service_fn(|_: LambdaEvent<()>| async { Ok::<_, Infallible>(()) });
    move || {
        let event = LambdaEvent::new((), context.clone());
        let _: Result<(), Infallible> = runtime.block_on(service.call(event));
    }
}

fn serialise(value: impl Serialize) -> impl FnMut() {
    let buffer = RefCell::new(Vec::with_capacity(1024));
    move || {
        let mut buffer = buffer.borrow_mut();
        buffer.clear();
        let _ = serde_json::to_writer(&mut *buffer, black_box(&value));
        let _ = io::Write::write_all(&mut io::sink(), &buffer);
    }
}

/// Measures with a subscriber in place.
fn with(dispatch: &Dispatch, measure: impl FnOnce()) {
    tracing::dispatcher::with_default(dispatch, measure);
}

/// Calls `log` inside of one invocation of ours that goes on for ever.
fn inside(log: fn()) -> impl FnMut() {
    let invocation = Invocation::current_or_open(Some(&context()));
    move || invocation.sync_scope(log)
}

/// Calls `log` inside of a span with the same keys, for the others.
fn in_span(log: fn()) -> impl FnMut() {
    let span = context_span();
    move || span.in_scope(log)
}

fn main() {
    let five = || FiveFields {
        order_id: "a1",
        total: 2500,
        rate: 0.19,
        paid: true,
        attempt: -1,
    };

    let mut table = Table::new("one whole invocation, one line of 5 fields, its context included");
    table.row(
        "serde_json writes the same object",
        serialise(object(five())),
    );
    table.row("the bare handler", bare_invocation());
    with(&ours(&logger()), || {
        table.row("our layer, no line", invocation(|| {}));
        table.row("our layer, one line", invocation(five_fields));
    });
    with(&json_formatter(), || {
        table.row("tracing-subscriber json, one line", || {
            context_span().in_scope(five_fields)
        });
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber, one line", || {
            context_span().in_scope(five_fields)
        });
    });

    let mut table = Table::new("one further line of 5 fields");
    table.row(
        "serde_json writes the same object",
        serialise(object(five())),
    );
    with(&ours(&logger()), || table.row("ours", inside(five_fields)));
    with(&json_formatter(), || {
        table.row("tracing-subscriber json", in_span(five_fields))
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber", in_span(five_fields))
    });

    let twenty = TwentyFields {
        a: 1,
        b: 2,
        c: 3,
        d: 4,
        e: 5,
        f: 6,
        g: 7,
        h: 8,
        i: 9,
        j: 10,
        k: "11",
        l: "12",
        m: "13",
        n: "14",
        o: "15",
        p: 0.16,
        q: 0.17,
        r: true,
        s: false,
        t: "20",
    };
    let mut table = Table::new("one further line of 20 fields");
    table.row(
        "serde_json writes the same object",
        serialise(object(twenty)),
    );
    with(&ours(&logger()), || {
        table.row("ours", inside(twenty_fields))
    });
    with(&json_formatter(), || {
        table.row("tracing-subscriber json", in_span(twenty_fields))
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber", in_span(twenty_fields))
    });

    let nested = || {
        let outer = info_span!("outer", a = 1, b = "two");
        let middle = outer.in_scope(|| info_span!("middle", c = 3, d = "four"));
        let inner = middle.in_scope(|| info_span!("inner", e = 5, f = "six"));
        inner.in_scope(five_fields);
    };
    let in_spans = NestedFields {
        a: 1,
        b: "two",
        c: 3,
        d: "four",
        e: 5,
        f: "six",
        event: five(),
    };
    let mut table = Table::new("three nested spans made, and one line in them");
    table.row(
        "serde_json writes the same object",
        serialise(object(in_spans)),
    );
    with(&ours(&logger()), || table.row("ours", inside(nested)));
    with(&json_formatter(), || {
        table.row("tracing-subscriber json", in_span(nested))
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber", in_span(nested))
    });

    let disabled = || debug!(order_id = "a1", total = 2500_u64, "order placed");
    let mut table = Table::new("a line below the level");
    table.row("an empty call", || {
        black_box(());
    });
    with(&ours(&logger()), || table.row("ours", inside(disabled)));
    let sampled = logger()
        .sample_rate(0.01)
        .map(|logger| logger.with_random(|| 1.0));
    if let Ok(sampled) = sampled {
        with(&ours(&sampled), || {
            table.row("ours, not drawn", inside(disabled))
        });
    }
    with(&json_formatter(), || {
        table.row("tracing-subscriber json", in_span(disabled))
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber", in_span(disabled))
    });

    let held_back = || {
        debug!(
            order_id = "a1",
            total = 2500_u64,
            rate = 0.19,
            paid = true,
            "order placed"
        )
    };
    let mut table = Table::new("one whole invocation, one line of 4 fields at DEBUG");
    table.row("serde_json writes a like object", serialise(object(five())));
    with(&ours(&logger().level(Level::DEBUG)), || {
        table.row("ours, written", invocation(held_back))
    });
    with(&ours(&logger().buffer(Buffer::new())), || {
        table.row("ours, held back and dropped", invocation(held_back));
    });
    with(&json_formatter(), || {
        table.row("tracing-subscriber json, at INFO", || {
            context_span().in_scope(five_fields)
        });
    });
    with(&runtimes_subscriber(), || {
        table.row("lambda_runtime's subscriber, at INFO", || {
            context_span().in_scope(five_fields)
        });
    });
}
