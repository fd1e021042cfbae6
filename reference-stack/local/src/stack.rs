//! What the reference stack consists of: the one place that says so for this machine. Terraform says the same for AWS.

use std::time::Duration;

/// The AWS region that the local cloud claims to be.
pub const REGION: &str = "eu-west-1";

/// The account that the emulator uses.
pub const ACCOUNT: &str = "000000000000";

/// The stage of the REST API.
pub const STAGE: &str = "local";

/// Everything that is deployed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stack {
    /// The Lambda functions.
    pub functions: &'static [Function],
    /// The DynamoDB tables.
    pub tables: &'static [Table],
    /// The Kinesis streams.
    pub streams: &'static [Stream],
    /// The SQS queues.
    pub queues: &'static [&'static str],
    /// What the REST API answers.
    pub routes: &'static [Route],
    /// What is read from streams and given to functions.
    pub mappings: &'static [EventSource],
}

/// A function; its name is its binary's name.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Its memory in MiB.
    pub memory: i32,
    /// Its environment besides [`COMMON_ENVIRONMENT`] and its own name as service.
    pub environment: &'static [(&'static str, &'static str)],
}

/// A table, billed by request.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// The partition key's attribute.
    pub partition_key: Key,
    /// The sort key's attribute.
    pub sort_key: Option<Key>,
    /// Whether changes go to a stream, with new and old image.
    pub stream: bool,
}

/// A key attribute.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A string.
    Text(&'static str),
    /// A number.
    Number(&'static str),
}

/// A Kinesis stream.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stream {
    /// The name.
    pub name: &'static str,
    /// The number of shards.
    pub shards: i32,
}

/// A route of the REST API.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the stage, with parameters in braces.
    pub path: &'static str,
    /// The function that answers.
    pub function: &'static str,
}

/// A stream whose records a function gets.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventSource {
    /// The stream.
    pub source: Source,
    /// The function.
    pub function: &'static str,
    /// The most records one invocation gets.
    pub batch_size: u32,
    /// How often a record is tried again after the first time; `None` is until it is too old.
    pub retries: Option<u32>,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// How old a record may become before it is given up.
    pub maximum_age: Duration,
    /// The queue that hears of records that were given up.
    pub on_failure: &'static str,
}

/// What an [`EventSource`] reads.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The stream of a table.
    Table(&'static str),
    /// A Kinesis stream.
    Stream(&'static str),
}

/// How long a record is tried that is given up only for its age: half of the 24 hours for which the streams keep it.
const HALF_OF_RETENTION: Duration = Duration::from_secs(12 * 3600);

/// What every function finds in its environment. `POWERTOOLS_SERVICE_NAME` is its name.
pub const COMMON_ENVIRONMENT: &[(&str, &str)] =
    &[("POWERTOOLS_METRICS_NAMESPACE", "ReferenceStack")];

/// The reference stack.
pub const STACK: Stack = Stack {
    functions: &[
        Function {
            name: "orders",
            timeout: Duration::from_secs(30),
            memory: 512,
            environment: &[
                ("EVENT_STORE_TABLE_NAME", "event-store"),
                ("ORDERS_TABLE_NAME", "orders"),
                // Or lambda_http puts the stage before the path, and no route matches.
                ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
            ],
        },
        Function {
            name: "dynamodb-stream-processor",
            timeout: Duration::from_secs(60),
            memory: 512,
            environment: &[("ORDER_EVENTS_STREAM_NAME", "order-events")],
        },
        Function {
            name: "order-stream-processor",
            timeout: Duration::from_secs(60),
            memory: 512,
            environment: &[("PROJECTIONS_TABLE_NAME", "projections")],
        },
    ],
    tables: &[
        Table {
            name: "orders",
            partition_key: Key::Text("order_id"),
            sort_key: None,
            stream: false,
        },
        Table {
            name: "event-store",
            partition_key: Key::Text("aggregate_id"),
            sort_key: Some(Key::Number("version")),
            stream: true,
        },
        Table {
            name: "projections",
            partition_key: Key::Text("projection"),
            sort_key: Some(Key::Text("id")),
            stream: false,
        },
    ],
    streams: &[Stream {
        name: "order-events",
        shards: 2,
    }],
    queues: &["event-store-dlq", "order-events-dlq"],
    routes: &[
        // Everything: what has no route gets the function's problem detail, not the gateway's "Missing Authentication Token".
        Route {
            method: "ANY",
            path: "/",
            function: "orders",
        },
        Route {
            method: "ANY",
            path: "/{proxy+}",
            function: "orders",
        },
    ],
    mappings: &[
        EventSource {
            source: Source::Table("event-store"),
            function: "dynamodb-stream-processor",
            batch_size: 100,
            // What is stored has to be published, so an outage of Kinesis is waited out. The price: an event that can never
            // be published holds up its shard until it is too old.
            retries: None,
            bisect: true,
            maximum_age: HALF_OF_RETENTION,
            on_failure: "event-store-dlq",
        },
        EventSource {
            source: Source::Stream("order-events"),
            function: "order-stream-processor",
            batch_size: 100,
            // A record that cannot be read soon makes room for the next. The price: an outage of the projections sends what
            // comes meanwhile to the queue.
            retries: Some(3),
            bisect: true,
            maximum_age: HALF_OF_RETENTION,
            on_failure: "order-events-dlq",
        },
    ],
};

impl Key {
    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clients::OPERATION_TIMEOUT;
    use crate::http;

    #[test]
    fn names_are_unique() {
        fn assert_unique<T: Ord + std::fmt::Debug>(names: impl IntoIterator<Item = T>) {
            let mut seen = BTreeSet::new();
            for name in names {
                assert!(!seen.contains(&name), "{name:?} twice");
                seen.insert(name);
            }
        }
        assert_unique(STACK.functions.iter().map(|function| function.name));
        assert_unique(STACK.tables.iter().map(|table| table.name));
        assert_unique(STACK.streams.iter().map(|stream| stream.name));
        assert_unique(STACK.queues);
        assert_unique(STACK.routes.iter().map(|route| (route.method, route.path)));
        // A cloud's mappings are found by their function.
        assert_unique(STACK.mappings.iter().map(|mapping| mapping.function));
        for function in STACK.functions {
            let names = COMMON_ENVIRONMENT.iter().chain(function.environment);
            assert_unique(names.map(|(name, _)| name));
        }
    }

    #[test]
    fn who_calls_a_function_waits_longer_than_it_may_run() {
        for function in STACK.functions {
            assert!(function.timeout < OPERATION_TIMEOUT, "{function:?}");
            let is_behind_http = STACK
                .routes
                .iter()
                .any(|route| route.function == function.name);
            assert!(
                !is_behind_http || function.timeout < http::TIMEOUT,
                "{function:?}"
            );
        }
    }

    #[test]
    fn everything_that_is_referred_to_exists() {
        let function = |name: &str| STACK.functions.iter().any(|function| function.name == name);
        for route in STACK.routes {
            assert!(function(route.function), "{route:?}");
        }
        for mapping in STACK.mappings {
            assert!(function(mapping.function), "{mapping:?}");
            assert!(STACK.queues.contains(&mapping.on_failure), "{mapping:?}");
            assert!(match mapping.source {
                Source::Table(name) => STACK
                    .tables
                    .iter()
                    .any(|table| table.name == name && table.stream),
                Source::Stream(name) => STACK.streams.iter().any(|stream| stream.name == name),
            });
        }
        for (name, value) in STACK
            .functions
            .iter()
            .flat_map(|function| function.environment)
        {
            let exists = match *name {
                name if name.ends_with("_TABLE_NAME") => {
                    STACK.tables.iter().any(|table| table.name == *value)
                }
                name if name.ends_with("_STREAM_NAME") => {
                    STACK.streams.iter().any(|stream| stream.name == *value)
                }
                _ => true,
            };
            assert!(exists, "{name}={value}");
        }
    }
}
