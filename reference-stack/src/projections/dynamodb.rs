use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{
        AttributeValue, ReturnValuesOnConditionCheckFailure, error::ConditionalCheckFailedException,
    },
};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use super::{Change, OrderSummary, OrderSummaryStore};
use crate::{aws, config::ResourceName, event::FIRST_VERSION, store::StoreError};

const ORDER_SUMMARY: &str = "order-summary";

/// Keeps order summaries in the table `projections`, as items of the projection `order-summary`
/// with the order's id as `id`.
#[derive(Clone, Debug)]
pub struct DynamoDbOrderSummaryStore {
    client: Client,
    table: ResourceName,
}

impl DynamoDbOrderSummaryStore {
    /// Makes a store over the table of projections; nothing is sent.
    #[must_use]
    pub const fn new(client: Client, table: ResourceName) -> Self {
        Self { client, table }
    }
}

impl OrderSummaryStore for DynamoDbOrderSummaryStore {
    async fn put_if_next(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(self.table.as_str())
            .set_item(Some(to_item(summary).map_err(aws::failed)?))
            .item("projection", AttributeValue::S(ORDER_SUMMARY.to_owned()))
            .item("id", AttributeValue::S(summary.order_id.to_string()))
            .expression_attribute_names("#version", "version")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = if summary.version == FIRST_VERSION {
            put.condition_expression("attribute_not_exists(#version)")
        } else {
            let previous = summary.version.saturating_sub(1).to_string();
            put.condition_expression("#version = :previous")
                .expression_attribute_values(":previous", AttributeValue::N(previous))
        };
        let Err(error) = put.send().await else {
            return Ok(Change::Applied);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                Ok(Change::refused(stored_version(refused), summary.version))
            }
            _ => Err(aws::store_error(error)),
        }
    }
}

fn stored_version(refused: &ConditionalCheckFailedException) -> Option<u64> {
    refused.item()?.get("version")?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stored: Option<&str>, version: u64) -> Change {
        let item =
            stored.map(|version| [("version".to_owned(), AttributeValue::N(version.into()))]);
        let refused = ConditionalCheckFailedException::builder()
            .set_item(item.map(Into::into))
            .build();
        Change::refused(stored_version(&refused), version)
    }

    #[test]
    fn a_refused_write_is_stale_or_comes_too_early() {
        assert_eq!(refused(Some("1"), 1), Change::Stale);
        assert_eq!(refused(Some("10"), 9), Change::Stale);
        assert_eq!(refused(Some("1"), 3), Change::Gap);
        assert_eq!(refused(None, 2), Change::Gap);
    }
}
