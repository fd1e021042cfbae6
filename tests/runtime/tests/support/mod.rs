//! What the tests share: a function with all that it talks to, and readers of what it leaves.
#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::{io, sync::Arc, time::Duration};

use runtime_tests::{Event, Function, RuntimeApi, XrayDaemon};
use serde_json::{Value, json};

pub(crate) const EMF: &str = include_str!("../../../../powertools/tests/schemas/emf.schema.json");
pub(crate) const XRAY: &str =
    include_str!("../../../../powertools/tests/schemas/xray-segment.schema.json");

const VARIABLES: [(&str, &str); 2] = [
    ("POWERTOOLS_SERVICE_NAME", "tasks"),
    ("POWERTOOLS_METRICS_NAMESPACE", "Tests"),
];

/// How long an invocation may take if the test is not about that.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A function, the Runtime API that it asks for events, and the daemon that it sends traces to.
pub(crate) struct Lambda {
    pub(crate) api: Arc<RuntimeApi>,
    pub(crate) xray: XrayDaemon,
    pub(crate) function: Function,
}

impl Lambda {
    pub(crate) async fn start(program: &str, variables: &[(&str, &str)]) -> io::Result<Self> {
        let api = Arc::new(RuntimeApi::start().await?);
        let xray = XrayDaemon::start().await?;
        let variables = VARIABLES.iter().chain(variables).copied();
        let function = Function::start(program, &api, xray.address(), variables)?;
        Ok(Self {
            api,
            xray,
            function,
        })
    }
}

/// The ids of one invocation are made from one number, so that any two that mix are seen.
pub(crate) fn event_of(number: u32, payload: Value, sampled: bool) -> Event {
    Event {
        request_id: format!("request-{number}"),
        payload,
        trace_header: Some(trace_header(number, sampled)),
        timeout: TIMEOUT,
    }
}

/// The event of a task.
pub(crate) fn event(number: u32, action: &str, sampled: bool) -> Event {
    let payload = json!({ "id": format!("task-{number}"), "action": action });
    event_of(number, payload, sampled)
}

pub(crate) fn trace_header(number: u32, sampled: bool) -> String {
    format!(
        "Root={};Parent={};Sampled={}",
        root(number),
        parent(number),
        u8::from(sampled)
    )
}

pub(crate) fn root(number: u32) -> String {
    format!("1-5759e988-{number:024x}")
}

pub(crate) fn parent(number: u32) -> String {
    format!("{:016x}", u64::from(number) + 1)
}

pub(crate) fn assert_valid(schema: &str, documents: &[Value]) {
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for document in documents {
        if let Err(error) = validator.validate(document) {
            panic!("{error}: {document:#}");
        }
    }
}

pub(crate) fn named<'a>(documents: &'a [Value], name: &str) -> Vec<&'a Value> {
    documents
        .iter()
        .filter(|document| document["name"] == name)
        .collect()
}

pub(crate) fn with<'a>(lines: &'a [Value], key: &str, value: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line[key] == value).collect()
}
