//! What is said about records that were given up, and to whom.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::answer::Answer;
use super::batch::{Condition, Discarded};
use super::error::MappingError;
use super::source::{Kind, Record};
use crate::error::BoxError;

/// The version of the on-failure record.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>
const VERSION: &str = "1.0";

/// The version of the function that runs when none is asked for.
const LATEST_VERSION: &str = "$LATEST";

/// Whatever takes on-failure records.
pub(super) trait FailureSink: fmt::Debug + Send + Sync + 'static {
    /// Keeps an on-failure record.
    fn send(&self, record: String) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// An SQS queue.
#[derive(Debug)]
pub(super) struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl Queue {
    /// Finds a queue by its ARN.
    pub(super) async fn find(
        client: &aws_sdk_sqs::Client,
        arn: &str,
    ) -> Result<Self, MappingError> {
        let (account, name) = Self::of_arn(arn)?;
        let action = format!("find the queue `{name}`");
        let request = client
            .get_queue_url()
            .queue_name(name)
            .queue_owner_aws_account_id(account);
        let answer = request
            .send()
            .await
            .map_err(MappingError::aws(action.clone()))?;
        let url = answer
            .queue_url
            .ok_or("the answer lacks its URL")
            .map_err(MappingError::aws(action))?;
        Ok(Self {
            client: client.clone(),
            url,
        })
    }

    /// The account and the name of a standard queue. AWS takes no FIFO queue as a destination either.
    pub(super) fn of_arn(arn: &str) -> Result<(&str, &str), MappingError> {
        match arn.split(':').collect::<Vec<_>>()[..] {
            ["arn", _, "sqs", _, account, name] if !name.is_empty() && !name.ends_with(".fifo") => {
                Ok((account, name))
            }
            _ => Err(MappingError::Destination {
                arn: arn.to_owned(),
            }),
        }
    }
}

impl FailureSink for Queue {
    async fn send(&self, record: String) -> Result<(), BoxError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(record)
            .send()
            .await?;
        Ok(())
    }
}

/// Where records were given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) kind: Kind,
    pub(super) stream_arn: &'a str,
    pub(super) shard: &'a str,
    pub(super) function_arn: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OnFailureRecord<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo", skip_serializing_if = "Option::is_none")]
    kinesis: Option<BatchInfo<'a>>,
    #[serde(rename = "DDBStreamBatchInfo", skip_serializing_if = "Option::is_none")]
    dynamodb: Option<BatchInfo<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: &'a str,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    executed_version: &'a str,
    /// `null` when the function itself reported the failure.
    function_error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    shard_id: &'a str,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

/// The on-failure record about some records of a batch. `last` is the function's last answer about them, if it got them.
pub(super) fn record(
    origin: Origin<'_>,
    batch: &[Record],
    discarded: &Discarded,
    last: Option<&Answer>,
    now: Timestamp,
) -> String {
    let records = &batch[discarded.records.clone()];
    let info = records
        .first()
        .zip(records.last())
        .map(|(first, last)| BatchInfo {
            shard_id: origin.shard,
            start_sequence_number: &first.sequence_number,
            end_sequence_number: &last.sequence_number,
            approximate_arrival_of_first_record: arrival(origin.kind, first.arrived),
            approximate_arrival_of_last_record: arrival(origin.kind, last.arrived),
            batch_size: records.len(),
            stream_arn: origin.stream_arn,
        });
    let (kinesis, dynamodb) = match origin.kind {
        Kind::Kinesis => (info, None),
        Kind::DynamoDb => (None, info),
    };
    let request_id = last.and_then(|answer| answer.request_id.clone());
    let record = OnFailureRecord {
        request_context: RequestContext {
            request_id: request_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            function_arn: origin.function_arn,
            condition: discarded.condition,
            approximate_invoke_count: discarded.invocations,
        },
        response_context: last.map(|answer| ResponseContext {
            status_code: answer.status,
            executed_version: answer.executed_version.as_deref().unwrap_or(LATEST_VERSION),
            function_error: answer.function_error.as_deref(),
        }),
        version: VERSION,
        timestamp: milliseconds(now),
        kinesis,
        dynamodb,
    };
    serde_json::to_string(&record).expect("texts and numbers can be written as JSON")
}

/// DynamoDB knows when a record came to the second only.
fn arrival(kind: Kind, time: Timestamp) -> String {
    match kind {
        Kind::Kinesis => milliseconds(time),
        Kind::DynamoDb => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

fn milliseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(times: &[&str]) -> Vec<Record> {
        let records = times.iter().enumerate();
        records
            .map(|(number, time)| Record {
                arrived: time.parse().unwrap(),
                ..Record::for_test(&format!("seq-{number}"))
            })
            .collect()
    }

    #[test]
    fn only_a_standard_queue_can_be_the_destination() {
        let queue = Queue::of_arn("arn:aws:sqs:eu-west-1:000000000000:dlq");
        assert_eq!(queue.unwrap(), ("000000000000", "dlq"));
        for arn in [
            "dlq",
            "arn:aws:sqs:eu-west-1:000000000000:",
            "arn:aws:sns:eu-west-1:000000000000:dlq",
            "arn:aws:sqs:eu-west-1:000000000000:dlq.fifo",
        ] {
            assert!(
                matches!(Queue::of_arn(arn), Err(MappingError::Destination { .. })),
                "{arn}"
            );
        }
    }

    /// The example in AWS's documentation, with sequence numbers of our own.
    #[test]
    fn a_kinesis_batch_is_told_of_as_aws_documents() {
        let origin = Origin {
            kind: Kind::Kinesis,
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
            shard: "shardId-000000000001",
            function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        };
        let batch = batch(&[
            "2019-11-14T00:38:04Z",
            "2019-11-14T00:38:04.835Z",
            "2019-11-14T00:38:05.580Z",
        ]);
        let discarded = Discarded {
            records: 1..3,
            condition: Condition::RetryAttemptsExhausted,
            invocations: 1,
        };
        let answer = Answer {
            status: 200,
            executed_version: Some("$LATEST".to_owned()),
            function_error: Some("Unhandled".to_owned()),
            request_id: Some("c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5".to_owned()),
            payload: Vec::new(),
        };
        let now = "2019-11-14T00:38:06.021Z".parse().unwrap();
        assert_eq!(
            record(origin, &batch, &discarded, Some(&answer), now),
            concat!(
                r#"{"requestContext":{"requestId":"c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5","#,
                r#""functionArn":"arn:aws:lambda:us-east-2:123456789012:function:myfunction","#,
                r#""condition":"RetryAttemptsExhausted","approximateInvokeCount":1},"#,
                r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"#,
                r#""version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KinesisBatchInfo":{"#,
                r#""shardId":"shardId-000000000001","startSequenceNumber":"seq-1","endSequenceNumber":"seq-2","#,
                r#""approximateArrivalOfFirstRecord":"2019-11-14T00:38:04.835Z","#,
                r#""approximateArrivalOfLastRecord":"2019-11-14T00:38:05.580Z","batchSize":2,"#,
                r#""streamArn":"arn:aws:kinesis:us-east-2:123456789012:stream/mystream"}}"#,
            ),
        );
    }

    #[test]
    fn records_the_function_never_got_have_no_response_and_dynamodb_has_no_milliseconds() {
        let origin = Origin {
            kind: Kind::DynamoDb,
            stream_arn: "stream",
            shard: "shard",
            function_arn: "function",
        };
        let batch = batch(&["2019-11-14T00:13:19.999Z"]);
        let discarded = Discarded {
            records: 0..1,
            condition: Condition::RecordAgeExceeded,
            invocations: 0,
        };
        let now = "2019-11-14T00:13:49.717999Z".parse().unwrap();
        let json = record(origin, &batch, &discarded, None, now);
        let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let id = json["requestContext"]["requestId"].take();
        assert!(uuid::Uuid::try_parse(id.as_str().unwrap()).is_ok());
        assert_eq!(
            json,
            serde_json::json!({
                "requestContext": {
                    "requestId": null,
                    "functionArn": "function",
                    "condition": "RecordAgeExceeded",
                    "approximateInvokeCount": 0,
                },
                "version": "1.0",
                "timestamp": "2019-11-14T00:13:49.717Z",
                "DDBStreamBatchInfo": {
                    "shardId": "shard",
                    "startSequenceNumber": "seq-0",
                    "endSequenceNumber": "seq-0",
                    "approximateArrivalOfFirstRecord": "2019-11-14T00:13:19Z",
                    "approximateArrivalOfLastRecord": "2019-11-14T00:13:19Z",
                    "batchSize": 1,
                    "streamArn": "stream",
                },
            }),
        );
    }

    #[test]
    fn a_failure_that_the_function_reported_has_a_null_error() {
        let origin = Origin {
            kind: Kind::Kinesis,
            stream_arn: "stream",
            shard: "shard",
            function_arn: "function",
        };
        let discarded = Discarded {
            records: 0..1,
            condition: Condition::RetryAttemptsExhausted,
            invocations: 4,
        };
        let answer = Answer {
            status: 200,
            ..Answer::default()
        };
        let batch = batch(&["2019-11-14T00:13:19Z"]);
        let json = record(
            origin,
            &batch,
            &discarded,
            Some(&answer),
            Timestamp::UNIX_EPOCH,
        );
        assert!(json.contains(r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":null}"#));
    }
}
