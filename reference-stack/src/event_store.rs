//! The table `event-store`: how an event lies there, for those who write it and those who read it.
//!
//! An event's item has the keys `aggregate_id` and `version`, what a person looks for in a console
//! (`event_type`, `occurred_at`), and the envelope as JSON text in `event`. These very bytes are
//! what the outbox sends.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::Serialize;

use crate::{
    aws,
    config::ResourceName,
    event::Envelope,
    store::{BoxError, StoreError},
};

const EVENT: &str = "event";

/// Returns the write of a new event: a version of an aggregate is written once.
pub(crate) fn put<P: Serialize>(
    table: &ResourceName,
    event: &Envelope<P>,
) -> Result<Put, StoreError> {
    let json = serde_json::to_string(event).map_err(aws::failed)?;
    Put::builder()
        .table_name(table.as_str())
        .item(
            "aggregate_id",
            AttributeValue::S(event.aggregate_id.clone()),
        )
        .item(
            "version",
            AttributeValue::N(event.aggregate_version.to_string()),
        )
        .item("event_type", AttributeValue::S(event.event_type.clone()))
        .item(
            "occurred_at",
            AttributeValue::S(event.occurred_at.to_string()),
        )
        .item(EVENT, AttributeValue::S(json))
        .condition_expression("attribute_not_exists(aggregate_id)")
        .build()
        .map_err(aws::failed)
}

/// Returns the envelope in an item, as it was stored.
pub(crate) fn envelope(item: serde_dynamo::Item) -> Result<Vec<u8>, BoxError> {
    match item.into_inner().remove(EVENT) {
        Some(serde_dynamo::AttributeValue::S(json)) => Ok(json.into_bytes()),
        Some(_) => Err(format!("the item's attribute `{EVENT}` is no text").into()),
        None => Err(format!("the item has no attribute `{EVENT}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::StoredEvent, tests::order_placed};

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let json = order_placed('a', 3).to_string();
        let event: StoredEvent = json.parse().unwrap();
        let put = put(&"event-store".parse().unwrap(), &event).unwrap();
        assert_eq!(put.table_name, "event-store");
        assert_eq!(put.item["version"], AttributeValue::N("3".to_owned()));
        let envelope = envelope(put.item.into()).unwrap();
        let read: StoredEvent = serde_json::from_slice(&envelope).unwrap();
        assert_eq!(
            serde_json::to_value(read).unwrap(),
            serde_json::to_value(event).unwrap()
        );
    }
}
