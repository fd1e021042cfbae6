use std::time::Duration;

use super::batch::Policy;
use super::dynamodb::DynamoDbSource;
use super::error::MappingError;
use super::invoke::LambdaFunction;
use super::kinesis::KinesisSource;
use super::on_failure::Queue;
use super::running::{Running, spawn};
use super::settings::Settings;
use super::source::Kind;
use super::time::Clock;
use crate::clients::Clients;

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
const DEFAULT_BATCH_SIZE: u32 = 100;

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
const MAXIMUM_BATCH_SIZE: u32 = 10_000;

/// Source: <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>
const MAXIMUM_BATCH_WINDOW: Duration = Duration::from_secs(300);

/// Source: <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>
const MAXIMUM_RETRY_ATTEMPTS: u32 = 10_000;

/// Source: <https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html>
const MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(604_800);

/// How often a shard is asked for records when it had none. AWS asks once a second (Kinesis) or four times (DynamoDB).
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Gives the records of a stream to a function. See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use = "a mapping does nothing until it is started"]
pub struct Mapping {
    event_source_arn: String,
    function: String,
    starting_position: StartingPosition,
    batch_size: u32,
    batch_window: Duration,
    bisect_on_error: bool,
    maximum_retry_attempts: Option<u32>,
    maximum_record_age: Option<Duration>,
    report_batch_item_failures: bool,
    on_failure: Option<String>,
    poll_interval: Duration,
}

/// Where a mapping begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartingPosition {
    /// With the oldest record of each shard.
    TrimHorizon,
    /// With what comes after the start. Shards that appear later are read from their beginning.
    Latest,
}

impl Mapping {
    /// A mapping of a Kinesis stream, or of the stream of a DynamoDB table, to a function, named or by its ARN.
    pub fn new(
        event_source_arn: impl Into<String>,
        function: impl Into<String>,
        starting_position: StartingPosition,
    ) -> Self {
        Self {
            event_source_arn: event_source_arn.into(),
            function: function.into(),
            starting_position,
            batch_size: DEFAULT_BATCH_SIZE,
            batch_window: Duration::ZERO,
            bisect_on_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            report_batch_item_failures: false,
            on_failure: None,
            poll_interval: DEFAULT_POLL_INTERVAL,
        }
    }

    /// How many records an invocation gets at most. Defaults to 100; from 1 to 10,000.
    pub fn batch_size(mut self, records: u32) -> Self {
        self.batch_size = records;
        self
    }

    /// How long records are gathered for a batch that is not full. Defaults to zero: what is there is handed over. At most
    /// five minutes. A window begins when the invocation before it has ended.
    pub fn batch_window(mut self, window: Duration) -> Self {
        self.batch_window = window;
        self
    }

    /// Whether a failed batch is cut in two. Defaults to false.
    pub fn bisect_on_error(mut self, bisect: bool) -> Self {
        self.bisect_on_error = bisect;
        self
    }

    /// How often a batch is tried again after its first failure; `None` is without end. Defaults to `None`; at most 10,000.
    pub fn maximum_retry_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.maximum_retry_attempts = attempts.into();
        self
    }

    /// How old a record may be that the function gets; `None` is without limit. Defaults to `None`; at most seven days.
    /// AWS wants a minute at least, which is not asked for here.
    pub fn maximum_record_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.maximum_record_age = age.into();
        self
    }

    /// Whether the function's answer is read as a partial batch response. Defaults to false.
    pub fn report_batch_item_failures(mut self, report: bool) -> Self {
        self.report_batch_item_failures = report;
        self
    }

    /// The ARN of the SQS queue that hears of records that were given up. Defaults to none: nobody hears of them.
    pub fn on_failure(mut self, queue_arn: impl Into<String>) -> Self {
        self.on_failure = Some(queue_arn.into());
        self
    }

    /// How often a shard is asked for records when it had none. Defaults to 100 ms.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Starts to read.
    ///
    /// # Errors
    /// When a setting is out of range, or the function or the queue does not exist. That the stream does not exist is no
    /// error here but one of the running mapping, which waits for it.
    pub async fn start(&self, clients: &Clients) -> Result<Running, MappingError> {
        let (kind, region) = self.check()?;
        let function = &self.function;
        let request = clients
            .lambda
            .get_function_configuration()
            .function_name(function)
            .send();
        let configuration = request
            .await
            .map_err(MappingError::aws(format!("find the function `{function}`")))?;
        let sink = match &self.on_failure {
            Some(arn) => Some(Queue::find(&clients.sqs, arn).await?),
            None => None,
        };

        let settings = self.settings(
            configuration
                .function_arn
                .unwrap_or_else(|| function.clone()),
        );
        let invoker = LambdaFunction {
            client: clients.lambda.clone(),
            name: function.clone(),
        };
        let (stream_arn, start, clock) = (
            self.event_source_arn.clone(),
            self.starting_position,
            Clock::system(),
        );
        Ok(match kind {
            Kind::Kinesis => {
                let role = configuration.role.unwrap_or_default();
                let source = KinesisSource {
                    client: clients.kinesis.clone(),
                    stream_arn,
                    region,
                    role,
                };
                spawn(settings, start, source, invoker, sink, clock)
            }
            Kind::DynamoDb => {
                let source = DynamoDbSource {
                    client: clients.dynamodbstreams.clone(),
                    stream_arn,
                    region,
                };
                spawn(settings, start, source, invoker, sink, clock)
            }
        })
    }

    /// Checks what can be checked without asking anybody; answers what the event source is, and its region.
    fn check(&self) -> Result<(Kind, String), MappingError> {
        let in_range = |setting, allowed: String, is_in_range| {
            if is_in_range {
                Ok(())
            } else {
                Err(MappingError::Setting { setting, allowed })
            }
        };
        in_range(
            "the batch size",
            format!("from 1 to {MAXIMUM_BATCH_SIZE}"),
            (1..=MAXIMUM_BATCH_SIZE).contains(&self.batch_size),
        )?;
        in_range(
            "the batch window",
            format!("at most {} s", MAXIMUM_BATCH_WINDOW.as_secs()),
            self.batch_window <= MAXIMUM_BATCH_WINDOW,
        )?;
        in_range(
            "the number of retries",
            format!("at most {MAXIMUM_RETRY_ATTEMPTS}"),
            self.maximum_retry_attempts
                .is_none_or(|attempts| attempts <= MAXIMUM_RETRY_ATTEMPTS),
        )?;
        in_range(
            "the maximum age of a record",
            format!("at most {} s", MAXIMUM_RECORD_AGE.as_secs()),
            self.maximum_record_age
                .is_none_or(|age| age <= MAXIMUM_RECORD_AGE),
        )?;
        in_range(
            "the poll interval",
            "longer than zero".to_owned(),
            !self.poll_interval.is_zero(),
        )?;
        if let Some(arn) = &self.on_failure {
            Queue::of_arn(arn)?;
        }

        let wrong = || MappingError::EventSource {
            arn: self.event_source_arn.clone(),
        };
        let mut parts = self.event_source_arn.splitn(6, ':').skip(2);
        let (service, region, _account, resource) = (
            parts.next(),
            parts.next().ok_or_else(wrong)?,
            parts.next(),
            parts.next().ok_or_else(wrong)?,
        );
        let kind = match service {
            Some("kinesis")
                if resource.starts_with("stream/") && !resource.contains("/consumer/") =>
            {
                Kind::Kinesis
            }
            Some("dynamodb") if resource.starts_with("table/") && resource.contains("/stream/") => {
                Kind::DynamoDb
            }
            _ => return Err(wrong()),
        };
        Ok((kind, region.to_owned()))
    }

    fn settings(&self, function_arn: String) -> Settings {
        Settings {
            stream_arn: self.event_source_arn.clone(),
            function_arn,
            batch_size: self.batch_size as usize,
            batch_window: self.batch_window,
            poll_interval: self.poll_interval,
            reports_failures: self.report_batch_item_failures,
            policy: Policy {
                bisect_on_error: self.bisect_on_error,
                maximum_retry_attempts: self.maximum_retry_attempts,
                maximum_record_age: self.maximum_record_age,
            },
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/order-events";
    const TABLE: &str =
        "arn:aws:dynamodb:eu-west-1:000000000000:table/event-store/stream/2024-06-10T19:26:16.525";

    fn mapping(event_source_arn: &str) -> Mapping {
        Mapping::new(event_source_arn, "function", StartingPosition::TrimHorizon)
    }

    #[test]
    fn the_event_source_is_known_by_its_arn() {
        assert_eq!(
            mapping(STREAM).check().unwrap(),
            (Kind::Kinesis, "eu-west-1".to_owned())
        );
        assert_eq!(
            mapping(TABLE).check().unwrap(),
            (Kind::DynamoDb, "eu-west-1".to_owned())
        );
        for arn in [
            "",
            "order-events",
            "arn:aws:kinesis",
            "arn:aws:sqs:eu-west-1:000000000000:queue",
            "arn:aws:dynamodb:eu-west-1:000000000000:table/event-store",
            "arn:aws:kinesis:eu-west-1:000000000000:stream/order-events/consumer/fast:1",
        ] {
            assert!(
                matches!(mapping(arn).check(), Err(MappingError::EventSource { .. })),
                "{arn}"
            );
        }
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let mapping = mapping(STREAM);
        for (wrong, message) in [
            (
                mapping.clone().batch_size(0),
                "the batch size has to be from 1 to 10000",
            ),
            (
                mapping.clone().batch_size(10_001),
                "the batch size has to be from 1 to 10000",
            ),
            (
                mapping.clone().batch_window(Duration::from_secs(301)),
                "the batch window has to be at most 300 s",
            ),
            (
                mapping.clone().maximum_retry_attempts(10_001),
                "the number of retries has to be at most 10000",
            ),
            (
                mapping
                    .clone()
                    .maximum_record_age(Duration::from_secs(604_801)),
                "the maximum age of a record has to be at most 604800 s",
            ),
            (
                mapping.clone().poll_interval(Duration::ZERO),
                "the poll interval has to be longer than zero",
            ),
        ] {
            assert_eq!(wrong.check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_destination_is_checked() {
        let checked = mapping(STREAM)
            .on_failure("arn:aws:sqs:eu-west-1:000000000000:dlq")
            .check();
        assert!(checked.is_ok());
        let checked = mapping(STREAM).on_failure("dlq").check();
        assert!(matches!(checked, Err(MappingError::Destination { .. })));
    }

    #[test]
    fn the_defaults_are_those_of_aws() {
        let settings = mapping(STREAM).settings("arn".to_owned());
        assert_eq!(
            (settings.batch_size, settings.batch_window),
            (100, Duration::ZERO)
        );
        assert!(!settings.reports_failures && !settings.policy.bisect_on_error);
        assert_eq!(settings.policy.maximum_retry_attempts, None);
        assert_eq!(settings.policy.maximum_record_age, None);
        assert_eq!(settings.payload_limit, 6_291_456);
    }
}
