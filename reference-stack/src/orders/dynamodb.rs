use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Put, TransactWriteItem},
};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};

use super::{Order, OrderEvent, OrderId, OrderStore};
use crate::{aws, config::OrderTables, event::Envelope, event_store, store::StoreError};

/// Keeps orders in the table `orders` and their events in the table `event-store`.
#[derive(Clone, Debug)]
pub struct DynamoDbOrderStore {
    client: Client,
    tables: OrderTables,
}

impl DynamoDbOrderStore {
    /// Makes a store over two tables; nothing is sent.
    #[must_use]
    pub const fn new(client: Client, tables: OrderTables) -> Self {
        Self { client, tables }
    }

    fn put_order(&self, order: &Order) -> Result<Put, StoreError> {
        Put::builder()
            .table_name(self.tables.orders.as_str())
            .set_item(Some(to_item(order).map_err(aws::failed)?))
            .condition_expression("attribute_not_exists(order_id)")
            .build()
            .map_err(aws::failed)
    }
}

impl OrderStore for DynamoDbOrderStore {
    async fn create(&self, event: &Envelope<OrderEvent>, order: &Order) -> Result<(), StoreError> {
        let put = |put| TransactWriteItem::builder().put(put).build();
        self.client
            .transact_write_items()
            .transact_items(put(event_store::put(&self.tables.event_store, event)?))
            .transact_items(put(self.put_order(order)?))
            // A retry of a request that was carried out, but whose answer was lost, succeeds.
            .client_request_token(event.event_id.to_string())
            .send()
            .await
            .map_err(transaction_error)?;
        Ok(())
    }

    async fn find(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(self.tables.orders.as_str())
            .key("order_id", AttributeValue::S(id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(aws::store_error)?;
        output.item.map(from_item).transpose().map_err(aws::failed)
    }
}

/// A cancelled transaction names a reason for each of its writes: one that will not go away counts
/// more than one that will.
fn transaction_error(error: SdkError<TransactWriteItemsError>) -> StoreError {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return aws::store_error(error);
    };
    let codes = || {
        cancelled
            .cancellation_reasons()
            .iter()
            .filter_map(|reason| reason.code())
    };
    if codes().any(|code| code == "ConditionalCheckFailed") {
        StoreError::Conflict
    } else if codes().all(|code| code == "None" || aws::is_transient(code)) {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{CancellationReason, error::TransactionCanceledException};

    use super::*;

    fn cancelled(codes: &[&str]) -> StoreError {
        let reasons = codes
            .iter()
            .map(|code| CancellationReason::builder().code(*code).build());
        let error = TransactionCanceledException::builder()
            .set_cancellation_reasons(Some(reasons.collect()))
            .build();
        transaction_error(aws::tests::service_error(
            TransactWriteItemsError::TransactionCanceledException(error),
            400,
        ))
    }

    #[test]
    fn a_transaction_fails_for_its_worst_reason() {
        let is_conflict = |codes| matches!(cancelled(codes), StoreError::Conflict);
        let is_transient = |codes| matches!(cancelled(codes), StoreError::Unavailable(_));
        let is_failed = |codes| matches!(cancelled(codes), StoreError::Failed(_));
        assert!(is_conflict(&["None", "ConditionalCheckFailed"]));
        assert!(is_conflict(&[
            "TransactionConflict",
            "ConditionalCheckFailed"
        ]));
        assert!(is_transient(&["TransactionConflict", "None"]));
        assert!(is_transient(&["None", "ThrottlingError"]));
        assert!(is_transient(&["ProvisionedThroughputExceeded", "None"]));
        assert!(is_failed(&["ValidationError", "TransactionConflict"]));
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let json = r#"{"order_id":"01938000-0000-7000-8000-000000000000","version":1,"status":"placed","customer_id":"c-1","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":9007199254740}],"total":18014398509480,"placed_at":"2026-11-23T06:58:19.081Z"}"#;
        let order: Order = serde_json::from_str(json).unwrap();
        let item: std::collections::HashMap<String, AttributeValue> = to_item(&order).unwrap();
        assert_eq!(
            item["order_id"],
            AttributeValue::S(order.order_id.to_string())
        );
        assert_eq!(
            item["total"],
            AttributeValue::N("18014398509480".to_owned())
        );
        assert_eq!(from_item::<Order>(item).unwrap(), order);
    }
}
