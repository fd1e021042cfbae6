use jiff::Timestamp;

use super::{Order, OrderEvent, OrderId, OrderPlaced, OrderStore, PlaceOrder};
use crate::{
    event::{Cause, Envelope, EventId, FIRST_VERSION},
    store::StoreError,
    validation::Invalid,
};

/// What can be done with orders.
#[derive(Clone, Debug)]
pub struct Orders<S> {
    store: S,
    now: fn() -> Timestamp,
}

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceOrderError {
    /// What was asked for is no order.
    #[error("the order is invalid")]
    Invalid(#[from] Invalid),
    /// The order could not be stored.
    #[error("the order was not stored")]
    Store(#[from] StoreError),
}

impl<S: OrderStore> Orders<S> {
    /// Makes orders that are kept in `store`.
    pub const fn new(store: S) -> Self {
        Self {
            store,
            now: Timestamp::now,
        }
    }

    /// Places an order.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the order, or with the store.
    pub async fn place(&self, command: PlaceOrder, cause: Cause) -> Result<Order, PlaceOrderError> {
        let placed = command.decide(OrderId::generate())?;
        // To the millisecond, as event ids are.
        let occurred_at = Timestamp::from_millisecond((self.now)().as_millisecond())
            .expect("a time without its fraction is as near as the time itself");
        let order = Order::placed(placed.clone(), occurred_at);
        let event = Envelope {
            event_id: EventId::generate(),
            event_type: OrderPlaced::EVENT_TYPE.to_owned(),
            event_version: OrderPlaced::EVENT_VERSION,
            aggregate_id: order.order_id.to_string(),
            aggregate_version: FIRST_VERSION,
            occurred_at,
            correlation_id: cause.correlation_id,
            causation_id: cause.causation_id,
            trace_header: cause.trace_header,
            payload: OrderEvent::Placed(placed),
        };
        self.store.create(&event, &order).await?;
        Ok(order)
    }

    /// Returns an order.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the store.
    pub async fn find(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.store.find(id).await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MemoryOrderStore, *};
    use crate::orders::PlaceOrderItem;

    fn command() -> PlaceOrder {
        PlaceOrder {
            customer_id: Some("customer-1".to_owned()),
            currency: Some("EUR".to_owned()),
            items: Some(vec![PlaceOrderItem {
                sku: Some("tea".to_owned()),
                quantity: Some(2),
                unit_price: Some(1250),
            }]),
        }
    }

    #[tokio::test]
    async fn a_placed_order_is_found_and_its_event_tells_the_cause() {
        let store = MemoryOrderStore::default();
        let orders = Orders::new(store.clone());
        let cause = Cause {
            correlation_id: Some("request-1".to_owned()),
            causation_id: Some("invocation-1".to_owned()),
            trace_header: Some("Root=1-a;Parent=b;Sampled=1".to_owned()),
        };
        let order = orders.place(command(), cause).await.unwrap();
        assert_eq!(
            orders.find(order.order_id).await.unwrap(),
            Some(order.clone())
        );

        let events = store.events();
        let [event] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(event.aggregate_id, order.order_id.to_string());
        assert_eq!(event.occurred_at, order.placed_at);
        let mut json = serde_json::to_value(event).unwrap();
        for member in ["event_id", "aggregate_id", "occurred_at"] {
            json[member].take();
        }
        json["payload"]["order_id"].take();
        assert_eq!(
            json,
            serde_json::json!({
                "event_id": null,
                "event_type": "OrderPlaced",
                "event_version": 1,
                "aggregate_id": null,
                "aggregate_version": 1,
                "occurred_at": null,
                "correlation_id": "request-1",
                "causation_id": "invocation-1",
                "trace_header": "Root=1-a;Parent=b;Sampled=1",
                "payload": {
                    "order_id": null,
                    "customer_id": "customer-1",
                    "currency": "EUR",
                    "items": [{"sku": "tea", "quantity": 2, "unit_price": 1250}],
                    "total": 2500,
                },
            })
        );
    }

    #[tokio::test]
    async fn an_event_occurs_at_a_whole_millisecond() {
        let mut orders = Orders::new(MemoryOrderStore::default());
        orders.now = || "2026-11-23T06:58:19.081999999Z".parse().unwrap();
        let order = orders.place(command(), Cause::default()).await.unwrap();
        assert_eq!(order.placed_at.to_string(), "2026-11-23T06:58:19.081Z");
    }

    #[tokio::test]
    async fn an_order_is_created_once() {
        let store = MemoryOrderStore::default();
        let order = Orders::new(store.clone())
            .place(command(), Cause::default())
            .await
            .unwrap();
        let event = store.events().remove(0);
        let again = store.create(&event, &order).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        assert_eq!(store.events().len(), 1);
    }
}
