//! Sensors' readings from a stream: those of one sensor in their order, sensors side by side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use lambda_runtime::{Error, LambdaEvent};
use powertools::batch::{
    AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, KinesisRecord, Record,
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

#[derive(Clone, Copy, Deserialize)]
struct Reading {
    celsius: f64,
}

/// The latest reading of each sensor.
type Latest = Arc<Mutex<HashMap<String, Reading>>>;

async fn keep(latest: Latest, record: Record<Reading, KinesisRecord>) -> Result<(), Error> {
    if !(-90.0..=60.0).contains(&record.payload.celsius) {
        return Err("no reading of this planet".into());
    }
    let mut latest = latest.lock().map_err(|_| "a record before has panicked")?;
    latest.insert(record.source.partition_key, record.payload);
    Ok(())
}

fn stack(
    latest: Latest,
) -> impl Service<
    LambdaEvent<BatchEvent>,
    Response = BatchResponse,
    Error = BatchError<Error>,
    Future: Send,
> {
    let batch = BatchLayer::kinesis()
        .concurrency(16)
        // A sensor's later readings wait for the one that failed, other sensors' do not.
        .after_failure(AfterFailure::SkipKey);
    ServiceBuilder::new()
        .layer(batch)
        .service_fn(move |record| keep(Arc::clone(&latest), record))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(stack(Latest::default())).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::context;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    fn record(number: &str, sensor: &str, data: &str) -> serde_json::Value {
        json!({
            "kinesis": { "sequenceNumber": number, "partitionKey": sensor, "data": data },
            "eventSource": "aws:kinesis",
        })
    }

    #[tokio::test]
    async fn a_sensor_waits_for_its_own_failures_only() {
        // {"celsius":20}, {"celsius":200} and {"celsius":21}
        let [fine, broken, later] = [
            "eyJjZWxzaXVzIjoyMH0=",
            "eyJjZWxzaXVzIjoyMDB9",
            "eyJjZWxzaXVzIjoyMX0=",
        ];
        let batch = json!({ "Records": [
            record("1", "roof", fine),
            record("2", "roof", broken),
            record("3", "cellar", fine),
            record("4", "roof", later),
            record("5", "cellar", later),
        ] });
        let event = serde_json::from_value(batch).unwrap();
        let event = LambdaEvent::new(event, context("52fdfc07"));
        let latest = Latest::default();
        let response = stack(Arc::clone(&latest)).oneshot(event).await.unwrap();

        let failures: Vec<_> = response.failures().map(ToString::to_string).collect();
        assert_eq!(failures, ["2", "4"]);
        let latest = latest.lock().unwrap();
        assert_eq!(latest["roof"].celsius, 20.0);
        assert_eq!(latest["cellar"].celsius, 21.0);
    }
}
