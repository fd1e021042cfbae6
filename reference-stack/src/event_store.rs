//! The table `event-store`: how an event lies there, for those who write it and those who read it.
//!
//! An event's item has the keys `aggregate_id` and `version`, what a person looks for in a console
//! (`event_type`, `occurred_at`), and the envelope as JSON text in `event`. These very bytes are
//! what the outbox sends.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use serde::{Deserialize, Serialize};

use crate::{
    aws,
    config::ResourceName,
    event::{Envelope, StoredEvent},
    store::StoreError,
};

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
        .item("event", AttributeValue::S(json))
        .condition_expression("attribute_not_exists(aggregate_id)")
        .build()
        .map_err(aws::failed)
}

/// An event's item, as far as its readers look at it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EventItem {
    pub(crate) event: EventText,
}

/// An event, and the text that it was read from.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct EventText {
    pub(crate) json: String,
    pub(crate) envelope: StoredEvent,
}

impl TryFrom<String> for EventText {
    type Error = serde_json::Error;

    fn try_from(json: String) -> Result<Self, Self::Error> {
        let envelope = json.parse()?;
        Ok(Self { json, envelope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::order_placed;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let json = order_placed('a', 3).to_string();
        let event: StoredEvent = json.parse().unwrap();
        let put = put(&"event-store".parse().unwrap(), &event).unwrap();
        assert_eq!(put.table_name, "event-store");
        assert_eq!(put.item["version"], AttributeValue::N("3".to_owned()));
        let read: EventItem = serde_dynamo::from_item(put.item).unwrap();
        let written = serde_json::to_string(&event).unwrap();
        assert_eq!(read.event.json, written);
        assert_eq!(
            serde_json::to_string(&read.event.envelope).unwrap(),
            written
        );
    }
}
