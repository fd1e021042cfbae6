use std::collections::HashMap;

use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use serde_json::Value;

use crate::clients::Clients;
use crate::emf::Emf;
use crate::error::Error;

/// A line that a function wrote.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogLine {
    /// The invocation during which it was written.
    pub request_id: String,
    /// The line.
    pub text: String,
    /// The line as JSON, if it is an object.
    pub json: Option<Value>,
}

impl LogLine {
    fn new(request_id: &str, text: String) -> Self {
        let json = serde_json::from_str(&text).ok().filter(Value::is_object);
        Self {
            request_id: request_id.to_owned(),
            text,
            json,
        }
    }

    /// A field of a JSON line, if it is a string.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.json.as_ref()?.get(name)?.as_str()
    }

    /// The metrics in the line.
    pub fn emf(&self) -> Vec<Emf> {
        self.json.as_ref().map(Emf::extract).unwrap_or_default()
    }

    /// Whether it was logged for somebody to read, rather than for CloudWatch to count.
    pub fn is_log(&self) -> bool {
        self.json
            .as_ref()
            .is_some_and(|json| json.get("_aws").is_none())
    }
}

/// All lines of a function so far, in order. A function that never ran has none.
pub(crate) async fn read(clients: &Clients, function: &str) -> Result<Vec<LogLine>, Error> {
    let action = format!("read the log of `{function}`");
    let mut pages = clients
        .logs
        .filter_log_events()
        .log_group_name(format!("/aws/lambda/{function}"))
        .into_paginator()
        .send();
    let mut messages = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => messages.extend(page.events.unwrap_or_default().into_iter().filter_map(
                |event| Some((event.log_stream_name.unwrap_or_default(), event.message?)),
            )),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(FilterLogEventsError::is_resource_not_found_exception) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Error::aws(action)(error)),
        }
    }
    Ok(lines(messages))
}

/// Takes away what the platform adds, but remembers which invocation a line is of. Invocations overlap, but not those of one
/// execution environment, which each log stream is of.
fn lines(messages: impl IntoIterator<Item = (String, String)>) -> Vec<LogLine> {
    let mut running: HashMap<String, String> = HashMap::new();
    let mut lines = Vec::new();
    for (stream, message) in messages {
        if let Some(start) = message.strip_prefix("START RequestId: ") {
            let request_id = start.split(' ').next().unwrap_or_default();
            running.insert(stream, request_id.to_owned());
        } else if !message.starts_with("END RequestId: ")
            && !message.starts_with("REPORT RequestId: ")
        {
            lines.push(LogLine::new(
                running.get(&stream).map_or("", String::as_str),
                message,
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_their_invocation_and_the_platforms_are_left_out() {
        let messages = [
            ("a", "START RequestId: one Version: $LATEST"),
            ("b", "START RequestId: two Version: $LATEST"),
            (
                "a",
                r#"{"level":"INFO","message":"placed","correlation_id":"c"}"#,
            ),
            ("a", "plain text"),
            (
                "b",
                r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[[]],"Metrics":[{"Name":"M"}]}]},"M":1}"#,
            ),
            ("a", "END RequestId: one"),
            ("a", "REPORT RequestId: one\tDuration: 1 ms"),
            ("a", "START RequestId: three Version: $LATEST"),
            ("a", "again"),
        ];
        let lines =
            lines(messages.map(|(stream, message)| (stream.to_owned(), message.to_owned())));
        let invocations: Vec<_> = lines.iter().map(|line| line.request_id.as_str()).collect();
        assert_eq!(invocations, ["one", "one", "two", "three"]);
        assert_eq!(lines[0].field("correlation_id"), Some("c"));
        let logs: Vec<_> = lines.iter().map(LogLine::is_log).collect();
        assert_eq!(logs, [true, false, false, false]);
        assert_eq!(lines[2].emf()[0].metric("M").unwrap().values, [1.0]);
    }
}
