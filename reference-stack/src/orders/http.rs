//! Orders over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders` | 201, `Location`, the order |
//! | `GET /orders/{order_id}` | 200, the order |
//!
//! A wish to order, and an order:
//!
//! ```json
//! {"customer_id":"c-1","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":1250}]}
//! {"order_id":"0193a1b2-…","version":1,"status":"placed","customer_id":"c-1","currency":"EUR","items":[{"sku":"tea","quantity":2,"unit_price":1250}],"total":2500,"placed_at":"2026-11-23T06:58:19.081Z"}
//! ```
//!
//! Amounts are in minor units. `Location` is relative to the request (`orders/0193a1b2-…`), since
//! behind API Gateway only the client knows the path it came by: stage and base path are gone here.
//! What goes wrong is told as in [`crate::http`].

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use powertools::{Invocation, logging, trace::TraceHeader};
use serde::{Deserialize, Serialize};

use super::{
    Amount, Currency, CustomerId, Item, Order, OrderId, OrderStore, Orders, PlaceOrder,
    PlaceOrderError, PlaceOrderItem, Status,
};
use crate::{
    event::Cause,
    http::{
        Integer, JsonBody, Object, Problem, app,
        kind::{MALFORMED_ID, UNKNOWN_ORDER},
    },
    metrics::ORDERS_CREATED,
    store::StoreError,
};

/// Returns the routes, with everything around them.
pub fn router<S: OrderStore>(orders: Orders<S>) -> Router {
    app(Router::new()
        .route("/orders", post(place::<S>))
        .route("/orders/{order_id}", get(read::<S>))
        .with_state(Arc::new(orders)))
}

async fn place<S: OrderStore>(
    State(orders): State<Arc<Orders<S>>>,
    JsonBody(Object(body)): JsonBody<Object<PlaceOrderBody>>,
) -> Result<Response, Problem> {
    let order = orders.place(body.into(), cause()).await?;
    ORDERS_CREATED.record(1);
    tracing::info!(
        order_id = %order.order_id,
        total = order.total.minor_units(),
        currency = order.currency.as_str(),
        "order placed"
    );
    let location = HeaderValue::try_from(format!("orders/{}", order.order_id))
        .expect("a UUID is visible ASCII");
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, Json(OrderBody::from(&order))).into_response())
}

async fn read<S: OrderStore>(
    State(orders): State<Arc<Orders<S>>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id: OrderId = id
        .ok()
        .and_then(|Path(id)| id.parse().ok())
        .ok_or_else(|| {
            Problem::of_kind(&MALFORMED_ID).detail("The id of an order is a UUID in lower case.")
        })?;
    let Some(order) = orders.find(id).await? else {
        return Err(Problem::of_kind(&UNKNOWN_ORDER));
    };
    tracing::info!(order_id = %order.order_id, "order read");
    Ok(Json(OrderBody::from(&order)).into_response())
}

/// What the running request gives the events that it causes.
fn cause() -> Cause {
    Cause {
        correlation_id: logging::correlation_id(),
        causation_id: Invocation::current().map(|it| it.context().request_id.clone()),
        trace_header: TraceHeader::current().map(|header| header.to_string()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrderBody {
    customer_id: Option<String>,
    currency: Option<String>,
    items: Option<Vec<Object<ItemBody>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemBody {
    sku: Option<String>,
    quantity: Option<Integer>,
    unit_price: Option<Integer>,
}

impl From<PlaceOrderBody> for PlaceOrder {
    fn from(body: PlaceOrderBody) -> Self {
        let item = |Object(item): Object<ItemBody>| PlaceOrderItem {
            sku: item.sku,
            quantity: item.quantity.map(|Integer(pieces)| pieces),
            unit_price: item.unit_price.map(|Integer(minor_units)| minor_units),
        };
        Self {
            customer_id: body.customer_id,
            currency: body.currency,
            items: body
                .items
                .map(|items| items.into_iter().map(item).collect()),
        }
    }
}

#[derive(Debug, Serialize)]
struct OrderBody<'a> {
    order_id: OrderId,
    version: u64,
    status: Status,
    customer_id: &'a CustomerId,
    currency: &'a Currency,
    items: &'a [Item],
    total: Amount,
    placed_at: jiff::Timestamp,
}

impl<'a> From<&'a Order> for OrderBody<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            order_id: order.order_id,
            version: order.version,
            status: order.status,
            customer_id: &order.customer_id,
            currency: &order.currency,
            items: &order.items,
            total: order.total,
            placed_at: order.placed_at,
        }
    }
}

impl From<PlaceOrderError> for Problem {
    fn from(error: PlaceOrderError) -> Self {
        match error {
            PlaceOrderError::Invalid(invalid) => Self::invalid_body(invalid.into_errors()),
            // No `Retry-After`: the order may be stored, and another request would be another order.
            PlaceOrderError::Store(error @ StoreError::Unavailable(_)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE)
                    .detail("Whether the order was placed is not known.")
                    .because(error)
            }
            PlaceOrderError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
