//! A record that nobody can read, between two good ones.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use local_cloud::{Cloud, Error, chain};
use serde_json::Value;
use uuid::Uuid;

use crate::checks::{Failure, PATIENCE, check};
use crate::customer::{Order, projected};
use crate::screen::Screen;
use crate::telemetry::recorded;

const STREAM: &str = "order-events";
const DEAD_LETTERS: &str = "order-events-dlq";
const CONSUMER: &str = "order-stream-processor";
const POISON: &str = "this is no event";

/// Verifies that it alone ends in the dead-letter queue, and that its neighbours are projected, once each.
pub(crate) async fn fails_alone(
    cloud: &Cloud,
    order: &Order,
    screen: &Screen,
) -> Result<(), Failure> {
    screen.title("A poisoned record between two good ones");
    let neighbours = [Uuid::now_v7().to_string(), Uuid::now_v7().to_string()];
    let [before, after] = neighbours.each_ref().map(|id| event_of(order, id));
    screen.action(&format!(
        "PutRecords to `{STREAM}`: an event of order {}",
        neighbours[0]
    ));
    screen.text(&format!("then \"{POISON}\""));
    screen.text(&format!("then an event of order {}", neighbours[1]));
    let numbers = put(cloud, [before?, POISON.to_owned(), after?]).await?;
    let poison = &numbers[1];

    for id in &neighbours {
        projected(cloud, id).await?;
    }
    screen.verified("both neighbours are in the projection");

    // Every record is done with now, so what is not in the queue will never be.
    settled(cloud).await?;
    let letters = dead_letters(cloud).await?;
    screen.action(&format!("the queue `{DEAD_LETTERS}`"));
    for letter in &letters {
        screen.text(&letter.to_string());
    }
    let [letter] = &letters[..] else {
        return Err(Failure::new("one dead letter", format!("{letters:?}")));
    };
    let batch = &letter["KinesisBatchInfo"];
    let alone = batch["batchSize"] == 1
        && batch["startSequenceNumber"] == poison.as_str()
        && batch["endSequenceNumber"] == poison.as_str();
    check(
        alone,
        &format!("a dead letter about record {poison} alone"),
        letter,
    )?;
    screen.verified("the poisoned record alone is in the dead-letter queue, after its retries");

    let lines = cloud.logs(CONSUMER).await?;
    let counted: usize = recorded(&lines, "OrderProcessingTime")
        .iter()
        .map(|(_, metric)| metric.values.len())
        .sum();
    check(
        counted == 3,
        "three orders processed in all, each counted once",
        counted,
    )?;
    screen.verified("nothing was lost, and nothing was counted twice");
    Ok(())
}

/// The event of another order, in all else like this one's.
fn event_of(order: &Order, id: &str) -> Result<String, Failure> {
    let unreadable = |seen: &str| Failure::new("a readable event in the event store", seen);
    let mut event: Value = serde_json::from_str(&order.event.replace(&order.id, id))
        .map_err(|_| unreadable(&order.event))?;
    let object = event
        .as_object_mut()
        .ok_or_else(|| unreadable(&order.event))?;
    object.insert("event_id".to_owned(), Uuid::now_v7().to_string().into());
    object.insert(
        "occurred_at".to_owned(),
        jiff::Timestamp::now().to_string().into(),
    );
    object.insert(
        "correlation_id".to_owned(),
        format!("poison-demo-{id}").into(),
    );
    object.remove("trace_header");
    Ok(event.to_string())
}

/// Puts records with one partition key, so that they keep their order; answers their sequence numbers.
async fn put<const N: usize>(cloud: &Cloud, records: [String; N]) -> Result<Vec<String>, Failure> {
    let action = "put records on the stream";
    let mut request = cloud.clients().kinesis.put_records().stream_name(STREAM);
    for record in records {
        let entry = PutRecordsRequestEntry::builder()
            .data(Blob::new(record))
            .partition_key("poison-demo")
            .build();
        request = request.records(entry.map_err(Error::aws(action))?);
    }
    let answer = request.send().await.map_err(Error::aws(action))?;
    let numbers: Vec<String> = answer
        .records
        .iter()
        .filter_map(|record| record.sequence_number.clone())
        .collect();
    check(
        numbers.len() == N,
        "every record accepted",
        format!("{answer:?}"),
    )?;
    Ok(numbers)
}

/// Waits until each record of the stream was processed or given up.
async fn settled(cloud: &Cloud) -> Result<(), Failure> {
    let expected = "every record of the stream processed or given up";
    let mapping = cloud
        .mapping(CONSUMER)
        .ok_or_else(|| Failure::new("an event source mapping", CONSUMER))?;
    match tokio::time::timeout(PATIENCE, mapping.settled()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(expected, chain(&error))),
        Err(_) => Err(Failure::new(expected, format!("{:?}", mapping.status()))),
    }
}

/// What is in the dead-letter queue.
async fn dead_letters(cloud: &Cloud) -> Result<Vec<Value>, Failure> {
    let action = "read the dead-letter queue";
    let sqs = &cloud.clients().sqs;
    let queue = sqs
        .get_queue_url()
        .queue_name(DEAD_LETTERS)
        .send()
        .await
        .map_err(Error::aws(action))?;
    let queue = queue.queue_url.unwrap_or_default();
    let request = sqs
        .receive_message()
        .queue_url(queue)
        .max_number_of_messages(10)
        .wait_time_seconds(1);
    let messages = request
        .send()
        .await
        .map_err(Error::aws(action))?
        .messages
        .unwrap_or_default();
    let read = |body: String| serde_json::from_str(&body).unwrap_or(Value::String(body));
    Ok(messages
        .into_iter()
        .map(|message| read(message.body.unwrap_or_default()))
        .collect())
}
