use std::{collections::HashSet, future::Future, pin::pin, sync::Arc, task};

use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::{
    BatchError, BatchEvent, BatchLayer, BatchResponse, Bytes, Change, DynamoDbRecord,
    KinesisRecord, Record, SqsMessage, Text,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tower::{Layer, Service, service_fn};

use crate::{Failure, input, output};

#[derive(Deserialize)]
struct Input {
    source: Source,
    event: BatchEvent,
    fail: HashSet<String>,
    raise_on_entire_batch_failure: bool,
    #[serde(default)]
    skip_group_on_error: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    Sqs,
    SqsFifo,
    Kinesis,
    Dynamodb,
}

#[derive(Debug)]
struct Refused;

pub(super) fn answer(json: &RawValue) -> Result<Box<RawValue>, Failure> {
    let Input {
        source,
        event,
        fail,
        raise_on_entire_batch_failure: raise,
        skip_group_on_error,
    } = input(json)?;
    let fail = Arc::new(fail);
    // The other toolkits refuse what is empty.
    match source {
        Source::Sqs => {
            let handler = handler(fail, |record: &Record<String>| &record.source.message_id);
            let layer = BatchLayer::sqs().format(Text);
            run(
                layer
                    .raise_on_entire_batch_failure(raise)
                    .refuse_empty_batch(true)
                    .layer(handler),
                event,
            )
        }
        Source::SqsFifo => {
            let handler = handler(fail, |record: &Record<String, SqsMessage>| {
                &record.source.message_id
            });
            let layer = BatchLayer::sqs_fifo()
                .format(Text)
                .skip_group_on_error(skip_group_on_error.unwrap_or(false));
            run(
                layer
                    .raise_on_entire_batch_failure(raise)
                    .refuse_empty_batch(true)
                    .layer(handler),
                event,
            )
        }
        Source::Kinesis => {
            let handler = handler(fail, |record: &Record<Vec<u8>, KinesisRecord>| {
                &record.source.sequence_number
            });
            let layer = BatchLayer::kinesis().format(Bytes);
            run(
                layer
                    .raise_on_entire_batch_failure(raise)
                    .refuse_empty_batch(true)
                    .layer(handler),
                event,
            )
        }
        Source::Dynamodb => {
            let handler = handler(
                fail,
                |record: &Record<Change<IgnoredAny>, DynamoDbRecord>| {
                    &record.source.sequence_number
                },
            );
            let layer = BatchLayer::dynamodb();
            run(
                layer
                    .raise_on_entire_batch_failure(raise)
                    .refuse_empty_batch(true)
                    .layer(handler),
                event,
            )
        }
    }
}

/// Fails for the records that are called so.
fn handler<T, M>(
    fail: Arc<HashSet<String>>,
    identifier: impl Fn(&Record<T, M>) -> &String + Clone + Send + 'static,
) -> impl Service<Record<T, M>, Response = (), Error = Refused, Future: Send> + Clone + Send + 'static
where
    T: 'static,
    M: 'static,
{
    service_fn(move |record| {
        let is_refused = fail.contains(identifier(&record));
        std::future::ready(if is_refused { Err(Refused) } else { Ok(()) })
    })
}

fn run<S>(mut service: S, event: BatchEvent) -> Result<Box<RawValue>, Failure>
where
    S: Service<LambdaEvent<BatchEvent>, Response = BatchResponse, Error = BatchError<Refused>>,
{
    let response = pin!(service.call(LambdaEvent::new(event, Context::default())));
    // Nothing in there waits for anything.
    match response.poll(&mut task::Context::from_waker(task::Waker::noop())) {
        task::Poll::Ready(Ok(response)) => output(&response),
        task::Poll::Ready(Err(BatchError::AllFailed { .. })) => Err(Failure("FullBatchFailure")),
        task::Poll::Ready(Err(BatchError::UnexpectedBatchType { .. })) => {
            Err(Failure("UnexpectedBatchType"))
        }
        task::Poll::Ready(Err(error)) => {
            eprintln!("{error:?}");
            Err(Failure("Batch"))
        }
        task::Poll::Pending => Err(Failure("Pending")),
    }
}
