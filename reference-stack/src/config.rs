//! What a function reads from its environment, checked once at start.

use std::{fmt, str::FromStr};

use powertools::{Env, metrics::MetricsLayer};

/// The table of events; its stream is what the outbox reads.
pub const EVENT_STORE_TABLE_NAME: &str = "EVENT_STORE_TABLE_NAME";
/// The table of orders.
pub const ORDERS_TABLE_NAME: &str = "ORDERS_TABLE_NAME";
/// The table of projections.
pub const PROJECTIONS_TABLE_NAME: &str = "PROJECTIONS_TABLE_NAME";
/// The Kinesis stream of the events of orders.
pub const ORDER_EVENTS_STREAM_NAME: &str = "ORDER_EVENTS_STREAM_NAME";
/// Keeps `lambda_http` from putting the API's stage before the path, where no route would match. It
/// reads the variable itself, for each request, and takes any value.
pub const IGNORE_STAGE_IN_PATH: &str = "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH";

/// What the function `orders` needs.
#[derive(Clone, Debug)]
pub struct OrdersConfig {
    /// Where orders and their events are kept.
    pub tables: OrderTables,
    /// From the variables of [`MetricsLayer::from_env`].
    pub metrics: MetricsLayer,
}

/// The tables of orders and of their events.
#[derive(Clone, Debug)]
pub struct OrderTables {
    /// From [`EVENT_STORE_TABLE_NAME`].
    pub event_store: ResourceName,
    /// From [`ORDERS_TABLE_NAME`].
    pub orders: ResourceName,
}

impl OrdersConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Returns every variable that is missing or invalid.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(env);
        let event_store = variables.required(EVENT_STORE_TABLE_NAME);
        let orders = variables.required(ORDERS_TABLE_NAME);
        let metrics = variables.metrics();
        variables.required::<String>(IGNORE_STAGE_IN_PATH);
        variables.finish(|| {
            Some(Self {
                tables: OrderTables {
                    event_store: event_store?,
                    orders: orders?,
                },
                metrics,
            })
        })
    }
}

/// What the function `dynamodb-stream-processor` needs.
#[derive(Clone, Debug)]
pub struct OutboxConfig {
    /// From [`ORDER_EVENTS_STREAM_NAME`].
    pub order_events_stream: ResourceName,
    /// From the variables of [`MetricsLayer::from_env`].
    pub metrics: MetricsLayer,
}

impl OutboxConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Returns every variable that is missing or invalid.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(env);
        let order_events_stream = variables.required(ORDER_EVENTS_STREAM_NAME);
        let metrics = variables.metrics();
        variables.finish(|| {
            Some(Self {
                order_events_stream: order_events_stream?,
                metrics,
            })
        })
    }
}

/// What the function `order-stream-processor` needs.
#[derive(Clone, Debug)]
pub struct ProjectionsConfig {
    /// From [`PROJECTIONS_TABLE_NAME`].
    pub projections_table: ResourceName,
    /// From the variables of [`MetricsLayer::from_env`].
    pub metrics: MetricsLayer,
}

impl ProjectionsConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Returns every variable that is missing or invalid.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(env);
        let projections_table = variables.required(PROJECTIONS_TABLE_NAME);
        let metrics = variables.metrics();
        variables.finish(|| {
            Some(Self {
                projections_table: projections_table?,
                metrics,
            })
        })
    }
}

/// The name of a table or stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResourceName(String);

impl ResourceName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no [`ResourceName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be 1 to 255 letters, digits or characters of `-_.`")]
pub struct InvalidResourceName;

impl FromStr for ResourceName {
    type Err = InvalidResourceName;

    /// Accepts what DynamoDB and Kinesis accept; their own limits on the length differ.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidResourceName)
        }
    }
}

/// Variables that are missing or invalid.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("the environment is not complete: {}", .faults.join("; "))]
pub struct ConfigError {
    faults: Vec<String>,
}

/// As displayed: it is what a `main` that returns the error leaves in the log.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads variables and collects what is wrong with them.
struct Variables<'a> {
    env: &'a Env,
    faults: Vec<String>,
}

impl<'a> Variables<'a> {
    const fn new(env: &'a Env) -> Self {
        Self {
            env,
            faults: Vec::new(),
        }
    }

    fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let Some(value) = self.env.get(name) else {
            self.faults.push(format!("`{name}` is not set"));
            return None;
        };
        value
            .parse()
            .map_err(|error| self.faults.push(format!("`{name}` {error}")))
            .ok()
    }

    fn metrics(&mut self) -> MetricsLayer {
        let metrics = MetricsLayer::from_env(self.env);
        if let Err(error) = metrics.check() {
            self.faults.push(error.to_string());
        }
        metrics
    }

    fn finish<T>(self, config: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        if self.faults.is_empty() {
            Ok(config().expect("a variable is missing only where a fault was noted"))
        } else {
            Err(ConfigError {
                faults: self.faults,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_environment_is_read() {
        let env = Env::from([
            ("EVENT_STORE_TABLE_NAME", "event-store"),
            ("ORDERS_TABLE_NAME", "orders"),
            ("POWERTOOLS_METRICS_NAMESPACE", "Test"),
            ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
        ]);
        let config = OrdersConfig::from_env(&env).unwrap();
        assert_eq!(config.tables.event_store.as_str(), "event-store");
        assert_eq!(config.tables.orders.as_str(), "orders");
    }

    #[test]
    fn every_missing_or_invalid_variable_is_named_at_once() {
        let env = Env::from([
            ("EVENT_STORE_TABLE_NAME", "event store"),
            ("ORDERS_TABLE_NAME", " "),
        ]);
        let error = OrdersConfig::from_env(&env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment is not complete: `EVENT_STORE_TABLE_NAME` must be 1 to 255 letters, \
             digits or characters of `-_.`; `ORDERS_TABLE_NAME` is not set; no namespace for the \
             metrics: `POWERTOOLS_METRICS_NAMESPACE` is not set; \
             `AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH` is not set"
        );
        // What `main` leaves in the log.
        assert_eq!(format!("{error:?}"), error.to_string());
    }

    #[test]
    fn the_consumers_name_the_variables_they_miss() {
        let env = Env::default();
        let outbox = OutboxConfig::from_env(&env).unwrap_err().to_string();
        let projections = ProjectionsConfig::from_env(&env).unwrap_err().to_string();
        for (error, name) in [
            (&outbox, "ORDER_EVENTS_STREAM_NAME"),
            (&outbox, "POWERTOOLS_METRICS_NAMESPACE"),
            (&projections, "PROJECTIONS_TABLE_NAME"),
            (&projections, "POWERTOOLS_METRICS_NAMESPACE"),
        ] {
            assert!(error.contains(&format!("`{name}` is not set")), "{error}");
        }
    }
}
