//! What tests of traces share: a socket that plays the X-Ray daemon.
#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::{fmt, io, net::UdpSocket};

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, env,
    testing::context,
    trace::{TraceLayer, Tracer},
};
use serde_json::Value;
use tower::{ServiceBuilder, ServiceExt};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::prelude::*;

pub(crate) const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
pub(crate) const PARENT: &str = "53995c3f42cd8ad8";
pub(crate) const SAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
pub(crate) const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

/// Plays the X-Ray daemon. Over loopback a datagram has arrived when it has been sent.
pub(crate) struct Daemon {
    socket: UdpSocket,
    schema: jsonschema::Validator,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let schema = serde_json::from_str(include_str!("../schemas/xray-segment.schema.json"));
        Self {
            socket,
            schema: jsonschema::validator_for(&schema.unwrap()).unwrap(),
        }
    }

    pub(crate) fn tracer(&self) -> Tracer {
        let address = self.socket.local_addr().unwrap().to_string();
        let env = Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::XRAY_DAEMON_ADDRESS, &address),
        ]);
        Tracer::from_env(&env).service("orders")
    }

    /// Sends the spans of this thread here.
    pub(crate) fn listen(&self) -> DefaultGuard {
        crate::subscriber::registry()
            .with(self.tracer().subscriber_layer())
            .set_default()
    }

    /// Returns the documents that have arrived as X-Ray would take them: each with its trace and its
    /// parent, also where they were nested into each other.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let mut datagram = vec![0; 1 << 16];
        let mut documents = Vec::new();
        loop {
            let length = match self.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return documents,
                Err(error) => panic!("{error}"),
            };
            let datagram = std::str::from_utf8(&datagram[..length]).unwrap();
            let (prefix, document) = datagram.split_once('\n').unwrap();
            assert_eq!(prefix, r#"{"format":"json","version":1}"#);
            let document: Value = serde_json::from_str(document).unwrap();
            if let Err(error) = self.schema.validate(&document) {
                panic!("{error}: {document}");
            }
            flatten(document, None, &mut documents);
        }
    }
}

fn flatten(mut document: Value, parent: Option<&Value>, documents: &mut Vec<Value>) {
    if let Some(parent) = parent {
        document["trace_id"] = parent["trace_id"].clone();
        document["parent_id"] = parent["id"].clone();
        document["type"] = "subsegment".into();
    }
    for field in ["trace_id", "parent_id"] {
        assert!(document[field].is_string(), "{field} of {document}");
    }
    let children = document.as_object_mut().unwrap().remove("subsegments");
    for child in children.iter().flat_map(|it| it.as_array().unwrap()) {
        flatten(child.clone(), Some(&document), documents);
    }
    documents.push(document);
}

pub(crate) fn event<T>(payload: T, header: impl Into<Option<&'static str>>) -> LambdaEvent<T> {
    let mut context = context("52fdfc07");
    context.xray_trace_id = header.into().map(str::to_owned);
    LambdaEvent::new(payload, context)
}

/// A layer that is configured by nothing.
pub(crate) fn layer() -> TraceLayer {
    TraceLayer::from_env(&Env::default())
}

/// Runs `handler` in an invocation that came with `header`, and returns the documents.
pub(crate) async fn documents_of<F, T, E>(
    header: impl Into<Option<&'static str>>,
    handler: impl Fn() -> F,
) -> Vec<Value>
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Debug + 'static,
{
    let daemon = Daemon::start();
    let _guard = daemon.listen();
    let service = ServiceBuilder::new()
        .layer(layer())
        .service_fn(|_: LambdaEvent<()>| handler());
    let _ = service.oneshot(event((), header)).await;
    daemon.documents()
}

pub(crate) fn named<'a>(documents: &'a [Value], name: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["name"] == name);
    let document = found.next();
    assert!(found.next().is_none(), "more than one {name}");
    document.unwrap_or_else(|| panic!("no {name} among {documents:?}"))
}

/// Polls `future` to its end as the runtime does, and returns whether it panicked.
pub(crate) async fn catch_panic<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        let poll = || std::pin::Pin::new(&mut *future).poll(cx);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(|_| false),
            Err(_) => std::task::Poll::Ready(true),
        }
    })
    .await
}
