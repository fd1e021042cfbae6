use aws_sdk_dynamodb::{Client, operation::put_item::PutItemError, types::AttributeValue};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use super::{Change, OrderSummary, OrderSummaryStore};
use crate::{
    aws,
    config::{ProjectionsConfig, ResourceName},
    store::StoreError,
};

const ORDER_SUMMARY: &str = "order-summary";

/// Keeps order summaries in the table `projections`, as items of the projection `order-summary`
/// with the order's id as `id`.
#[derive(Clone, Debug)]
pub struct DynamoDbOrderSummaryStore {
    client: Client,
    table: ResourceName,
}

impl DynamoDbOrderSummaryStore {
    /// Makes a store over the table that the configuration names; nothing is sent.
    #[must_use]
    pub fn new(client: Client, config: ProjectionsConfig) -> Self {
        Self {
            client,
            table: config.projections_table,
        }
    }
}

impl OrderSummaryStore for DynamoDbOrderSummaryStore {
    async fn put_if_newer(&self, summary: &OrderSummary) -> Result<Change, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(self.table.as_str())
            .set_item(Some(to_item(summary).map_err(aws::failed)?))
            .item("projection", AttributeValue::S(ORDER_SUMMARY.to_owned()))
            .item("id", AttributeValue::S(summary.order_id.to_string()))
            .condition_expression("attribute_not_exists(#id) OR #version < :version")
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", AttributeValue::N(summary.version.to_string()))
            .send()
            .await;
        match put {
            Ok(_) => Ok(Change::Applied),
            Err(error) if is_refused(error.as_service_error()) => Ok(Change::Stale),
            Err(error) => Err(aws::store_error(error)),
        }
    }
}

fn is_refused(error: Option<&PutItemError>) -> bool {
    error.is_some_and(PutItemError::is_conditional_check_failed_exception)
}
