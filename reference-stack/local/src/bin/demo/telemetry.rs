//! What the system said about the order: log lines, metrics and the trace.

use std::collections::BTreeSet;

use local_cloud::xray::{Link, Node, TraceTree};
use local_cloud::{Cloud, LogLine, Metric};

use crate::checks::{Failure, check, eventually};
use crate::customer::Order;
use crate::screen::Screen;

/// The functions on the order's way.
const FUNCTIONS: [&str; 3] = [
    "orders",
    "dynamodb-stream-processor",
    "order-stream-processor",
];

/// Keys whose values are the same in every line, and so not shown.
const QUIET_KEYS: [&str; 13] = [
    "level",
    "message",
    "timestamp",
    "service",
    "correlation_id",
    "cold_start",
    "function_name",
    "function_memory_size",
    "function_arn",
    "function_request_id",
    "xray_trace_id",
    "location",
    "target",
];

/// Shows and verifies them.
pub(crate) async fn follows_the_order(
    cloud: &Cloud,
    order: &Order,
    screen: &Screen,
) -> Result<(), Failure> {
    let lines = logs(cloud, order, screen).await?;
    metrics(cloud, screen).await?;
    trace(cloud, &lines, screen).await
}

/// The lines of each function that have the order's correlation id.
async fn logs(
    cloud: &Cloud,
    order: &Order,
    screen: &Screen,
) -> Result<Vec<(&'static str, LogLine)>, Failure> {
    screen.title("Its log lines, from three functions");
    screen.text(&format!("correlation_id {}", order.correlation_id));
    let mut found = Vec::new();
    for function in FUNCTIONS {
        let lines = eventually(
            &format!("a log line of `{function}` with the order's id and its correlation id"),
            || async {
                let lines = cloud.logs(function).await?;
                let ours =
                    |line: &&LogLine| line.field("correlation_id") == Some(&order.correlation_id);
                let all = everything(&lines);
                let lines: Vec<LogLine> = lines.iter().filter(ours).cloned().collect();
                Ok(if lines.iter().any(|line| line.text.contains(&order.id)) {
                    Ok(lines)
                } else {
                    Err(all)
                })
            },
        )
        .await?;
        found.extend(lines.into_iter().map(|line| (function, line)));
    }
    for (function, line) in found.iter().filter(|(_, line)| line.is_log()) {
        screen.text(&format!("{function:<26} {}", short(line)));
    }
    screen.verified("one correlation_id joins the lines of all three");
    Ok(found)
}

/// Level, message and what the line says besides.
fn short(line: &LogLine) -> String {
    let mut text = format!(
        "{:<5} {}",
        line.field("level").unwrap_or_default(),
        line.field("message").unwrap_or(&line.text)
    );
    for (name, value) in line
        .json
        .iter()
        .filter_map(|json| json.as_object())
        .flatten()
    {
        if !QUIET_KEYS.contains(&name.as_str()) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("  {name}={value}"));
        }
    }
    text
}

async fn metrics(cloud: &Cloud, screen: &Screen) -> Result<(), Failure> {
    screen.title("Its business metrics, in CloudWatch's embedded format");
    let created = values(cloud, "orders", "OrdersCreated", "Count", screen).await?;
    check(
        created == [1.0],
        "OrdersCreated to be 1",
        format!("{created:?}"),
    )?;
    let times = values(
        cloud,
        "order-stream-processor",
        "OrderProcessingTime",
        "Milliseconds",
        screen,
    )
    .await?;
    check(
        times.len() == 1 && times[0] >= 0.0,
        "one OrderProcessingTime",
        format!("{times:?}"),
    )?;
    screen.verified("one order was counted, once");
    Ok(())
}

/// Waits for a metric, shows it, and answers its values.
async fn values(
    cloud: &Cloud,
    function: &str,
    name: &str,
    unit: &str,
    screen: &Screen,
) -> Result<Vec<f64>, Failure> {
    let found = eventually(&format!("the metric {name} of `{function}`"), || async {
        let lines = cloud.logs(function).await?;
        let found = recorded(&lines, name);
        Ok(if found.is_empty() {
            Err(everything(&lines))
        } else {
            Ok(found)
        })
    })
    .await?;
    for (place, metric) in &found {
        let values = metric
            .values
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        screen.text(&format!("{name} = {values} {}   {place}", metric.unit));
        check(
            metric.unit == unit,
            &format!("{name} in {unit}"),
            &metric.unit,
        )?;
    }
    Ok(found
        .into_iter()
        .flat_map(|(_, metric)| metric.values)
        .collect())
}

/// All lines, to be shown when something is missing in them.
fn everything(lines: &[LogLine]) -> String {
    lines
        .iter()
        .map(|line| line.text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Each time a metric was recorded: its namespace and dimensions, and what was measured.
pub(crate) fn recorded(lines: &[LogLine], name: &str) -> Vec<(String, Metric)> {
    let mut found = Vec::new();
    for emf in lines.iter().flat_map(LogLine::emf) {
        if let Some(metric) = emf.metric(name) {
            let dimensions = emf
                .dimensions
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>();
            found.push((
                format!("{} {}", emf.namespace, dimensions.join(" ")),
                metric.clone(),
            ));
        }
    }
    found
}

/// The trace ids in a function's lines.
fn traces<'a>(lines: &'a [(&'static str, LogLine)], function: &str) -> BTreeSet<&'a str> {
    lines
        .iter()
        .filter(|(name, _)| *name == function)
        .filter_map(|(_, line)| line.field("xray_trace_id"))
        .collect()
}

async fn trace(
    cloud: &Cloud,
    lines: &[(&'static str, LogLine)],
    screen: &Screen,
) -> Result<(), Failure> {
    screen.title("Its trace: one tree over three functions");
    let own: Vec<&str> = traces(lines, "orders").into_iter().collect();
    let [own] = own[..] else {
        return Err(Failure::new(
            "one xray_trace_id in the lines of `orders`",
            format!("{own:?}"),
        ));
    };

    let tree = eventually(
        "the records of both consumers in the order's trace",
        || async {
            let tree = cloud.xray().trace(own);
            let complete = FUNCTIONS[1..]
                .iter()
                .all(|function| linked(&tree, &traces(lines, function)).next().is_some());
            Ok(if complete {
                Ok(tree)
            } else {
                Err(format!("{tree}\nlines of consumers:\n{}", consumers(lines)))
            })
        },
    )
    .await?;
    let mut text = tree.to_string();
    for function in &FUNCTIONS[1..] {
        for trace in traces(lines, function) {
            text = text.replace(&format!("→ {trace}"), &format!("→ {function} {trace}"));
        }
    }
    screen.text(&text);
    check(tree.roots.len() == 1, "one root", &tree)?;
    for function in &FUNCTIONS[1..] {
        for node in linked(&tree, &traces(lines, function)) {
            let parent = tree
                .nodes()
                .find(|parent| parent.children.iter().any(|child| child.id == node.id));
            check(
                parent.is_some_and(|parent| parent.segment.is_some()),
                "the record's span under a span of the order",
                &tree,
            )?;
            let links = node.segment.iter().flat_map(|segment| &segment.links);
            for link in links {
                let invocation = invocation(cloud, link).await?;
                screen.text(&invocation.to_string());
            }
        }
    }
    screen.verified("each consumer's span hangs under the order's and links to its own invocation");
    check(
        cloud.xray().refused() == 0,
        "no datagram that is no segment",
        cloud.xray().refused(),
    )
}

/// The trace that a link leads to, with the linked span in it.
async fn invocation(cloud: &Cloud, link: &Link) -> Result<TraceTree, Failure> {
    eventually("the linked span in its own trace", || async {
        let tree = cloud.xray().trace(&link.trace_id);
        Ok(if tree.nodes().any(|node| node.id == link.id) {
            Ok(tree)
        } else {
            Err(tree.to_string())
        })
    })
    .await
}

fn consumers(lines: &[(&'static str, LogLine)]) -> String {
    let lines = lines.iter().filter(|(function, _)| *function != "orders");
    lines
        .map(|(function, line)| format!("{function} {}", line.text))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The spans that link to one of these traces.
fn linked<'a>(tree: &'a TraceTree, traces: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a Node> {
    tree.nodes().filter(|node| {
        let links = node.segment.iter().flat_map(|segment| &segment.links);
        links
            .map(|link| link.trace_id.as_str())
            .any(|trace| traces.contains(trace))
    })
}
