//! A function under the batch layer that does with each record what the record asks for, and keeps a
//! journal of it in a table.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use lambda_runtime::{Diagnostic, Error};
use powertools::batch::{
    AfterFailure, BatchLayer, Change, Disposition, DynamoDbRecord, KinesisRecord, LargeMessages,
    Record, RecordError, SqsActions,
};
use serde::Deserialize;
use tower::ServiceBuilder;

/// What a record carries.
#[derive(Debug, Deserialize)]
struct Task {
    /// Which page of the journal it is noted on.
    group: String,
    id: String,
    act: Act,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Succeed,
    Fail,
    /// Fails the first time.
    FailOnce,
    /// Fails the first time, and asks to come again at once.
    RetryAtOnce,
    GiveUp,
    Panic,
}

#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error("failed as it was asked to")]
    Failed,
    #[error("failed as it was asked to, for now")]
    RetryAtOnce,
    #[error("not to be tried again")]
    GiveUp,
    #[error("the journal cannot be written")]
    Journal(#[source] aws_sdk_dynamodb::Error),
}

impl From<TaskError> for Diagnostic {
    fn from(error: TaskError) -> Self {
        Self {
            error_type: "TaskError".to_owned(),
            error_message: error.to_string(),
        }
    }
}

fn classify(error: &RecordError<TaskError>) -> Disposition {
    match error {
        RecordError::Handler(TaskError::RetryAtOnce) => Disposition::RetryAfter(Duration::ZERO),
        RecordError::Handler(TaskError::GiveUp) => Disposition::give_up("the task says so"),
        RecordError::Decode(error) => Disposition::give_up(error.to_string()),
        _ => Disposition::Retry,
    }
}

/// Lists of the tasks that were attempted and that were handled, in order.
#[derive(Clone)]
struct Journal {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl Journal {
    async fn handle(self, task: Task) -> Result<(), TaskError> {
        let attempts = self.note("attempted", &task).await?;
        match task.act {
            Act::Fail => return Err(TaskError::Failed),
            Act::FailOnce if attempts == 1 => return Err(TaskError::Failed),
            Act::RetryAtOnce if attempts == 1 => return Err(TaskError::RetryAtOnce),
            Act::GiveUp => return Err(TaskError::GiveUp),
            Act::Panic => panic!("as it was asked to"),
            Act::Succeed | Act::FailOnce | Act::RetryAtOnce => {}
        }
        self.note("handled", &task).await?;
        Ok(())
    }

    /// Puts a task on a list, and returns how often it is there.
    async fn note(&self, list: &str, task: &Task) -> Result<usize, TaskError> {
        let id = AttributeValue::S(task.id.clone());
        let output = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("group", AttributeValue::S(task.group.clone()))
            .update_expression("SET #list = list_append(if_not_exists(#list, :none), :id)")
            .expression_attribute_names("#list", list)
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":id", AttributeValue::L(vec![id.clone()]))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| TaskError::Journal(error.into()))?;
        let list = output.attributes().and_then(|item| item.get(list));
        let ids = list.and_then(|list| list.as_l().ok());
        Ok(ids.map_or(0, |ids| ids.iter().filter(|it| **it == id).count()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let journal = Journal {
        client: aws_sdk_dynamodb::Client::new(&config),
        table: std::env::var("JOURNAL_TABLE")?,
    };
    let actions = std::env::var("DEAD_LETTER_QUEUE_URL").map(|url| {
        let client = aws_sdk_sqs::Client::new(&config);
        SqsActions::new(client).dead_letter_queue(url)
    });

    let service = ServiceBuilder::new();
    match std::env::var("SOURCE")?.as_str() {
        "sqs" => {
            let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true);
            let s3 = aws_sdk_s3::Client::from_conf(s3.build());
            let buckets = std::env::var("LARGE_MESSAGES_BUCKET").ok();
            let mut layer = BatchLayer::sqs()
                .format(LargeMessages::new(s3, buckets).delete_after_success(true))
                .classify(classify);
            if let Ok(actions) = actions {
                layer = layer.with_failure_sink(actions);
            }
            let handle = move |record: Record<Task>| journal.clone().handle(record.payload);
            lambda_runtime::run(service.layer(layer).service_fn(handle)).await
        }
        "sqs-fifo" => {
            let mut layer = BatchLayer::sqs_fifo()
                .concurrency(4)
                .skip_group_on_error(true)
                .classify(classify);
            if let Ok(actions) = actions {
                layer = layer.with_failure_sink(actions);
            }
            let handle = move |record: Record<Task>| journal.clone().handle(record.payload);
            lambda_runtime::run(service.layer(layer).service_fn(handle)).await
        }
        "kinesis" => {
            let layer = BatchLayer::kinesis().after_failure(AfterFailure::Stop);
            let handle =
                move |record: Record<Task, KinesisRecord>| journal.clone().handle(record.payload);
            lambda_runtime::run(service.layer(layer).service_fn(handle)).await
        }
        "dynamodb" => {
            let layer = BatchLayer::dynamodb()
                .concurrency(4)
                .after_failure(AfterFailure::SkipKey);
            let handle = move |record: Record<Change<Task>, DynamoDbRecord>| {
                let journal = journal.clone();
                async move {
                    match record.payload.new {
                        Some(task) => journal.handle(task).await,
                        None => Ok(()),
                    }
                }
            };
            lambda_runtime::run(service.layer(layer).service_fn(handle)).await
        }
        source => Err(format!("no batch comes from `{source}`").into()),
    }
}
