//! Orders, and what can be done to them.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    event::{FIRST_VERSION, StoredEvent, UnreadablePayload},
    validation::{Checks, Invalid, Pointer, Violation},
};

/// The most items an order may have.
pub const MAX_ITEMS: usize = 100;
/// The most pieces of one item.
pub const MAX_QUANTITY: u32 = 1_000;
/// The longest customer id or SKU, in characters.
pub const MAX_CODE_LENGTH: usize = 64;
/// The largest amount of money, in minor units: the largest integer that every JSON reader keeps
/// exact.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc7493#section-2.2>
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// An order's id, a UUIDv7: ids of later orders are greater.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct OrderId(Uuid);

impl OrderId {
    /// Makes a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = Violation;

    /// Reads an id only as it is written: an order has one address.
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(id) {
            Ok(uuid) if uuid.to_string() == id => Ok(Self(uuid)),
            _ => Err(Violation::new("must be a hyphenated UUID in lower case")),
        }
    }
}

/// A word of another system: 1 to [`MAX_CODE_LENGTH`] ASCII letters, digits and `-_.:`.
fn code(text: String) -> Result<String, Violation> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.is_empty() || text.len() > MAX_CODE_LENGTH || !text.bytes().all(is_allowed) {
        return Err(Violation::new(format!(
            "must be 1 to {MAX_CODE_LENGTH} letters, digits or characters of `-_.:`"
        )));
    }
    Ok(text)
}

// What follows is checked where it is converted from a customer's word. It is read back as it was
// stored: a limit that is lowered later does not make history unreadable.

/// Who orders.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct CustomerId(String);

/// What is ordered: a stock keeping unit.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Sku(String);

/// How many pieces, from 1 to [`MAX_QUANTITY`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Quantity(u32);

/// An amount of money in minor units (cents of a euro), from 0 to [`MAX_AMOUNT`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Amount(u64);

/// A currency's ISO 4217 code: three upper-case letters.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Currency(String);

impl TryFrom<String> for CustomerId {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        code(text).map(Self)
    }
}

impl TryFrom<String> for Sku {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        code(text).map(Self)
    }
}

impl Quantity {
    /// Returns the number of pieces.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Violation;

    fn try_from(pieces: i64) -> Result<Self, Self::Error> {
        match u32::try_from(pieces) {
            Ok(pieces @ 1..=MAX_QUANTITY) => Ok(Self(pieces)),
            _ => Err(Violation::new(format!(
                "must be between 1 and {MAX_QUANTITY}"
            ))),
        }
    }
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the amount in minor units.
    #[must_use]
    pub const fn minor_units(self) -> u64 {
        self.0
    }

    fn checked_add(self, other: Self) -> Option<Self> {
        self.0
            .checked_add(other.0)
            .filter(|sum| *sum <= MAX_AMOUNT)
            .map(Self)
    }

    fn checked_mul(self, quantity: Quantity) -> Option<Self> {
        self.0
            .checked_mul(quantity.0.into())
            .filter(|product| *product <= MAX_AMOUNT)
            .map(Self)
    }
}

impl TryFrom<i64> for Amount {
    type Error = Violation;

    fn try_from(minor_units: i64) -> Result<Self, Self::Error> {
        match u64::try_from(minor_units) {
            Ok(minor_units @ 0..=MAX_AMOUNT) => Ok(Self(minor_units)),
            _ => Err(Violation::new(format!(
                "must be between 0 and {MAX_AMOUNT}"
            ))),
        }
    }
}

impl Currency {
    /// Returns the code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = Violation;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(code))
        } else {
            Err(Violation::new(
                "must be an ISO 4217 code, three upper-case letters",
            ))
        }
    }
}

/// One position of an order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Item {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// The price of one piece.
    pub unit_price: Amount,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// The customer has ordered.
    Placed,
}

/// The wish to order, as the customer states it: nothing is checked, and anything may be missing.
#[derive(Clone, Debug, Default)]
pub struct PlaceOrder {
    /// Becomes a [`CustomerId`].
    pub customer_id: Option<String>,
    /// Becomes a [`Currency`].
    pub currency: Option<String>,
    /// Become [`Item`]s: 1 to [`MAX_ITEMS`].
    pub items: Option<Vec<PlaceOrderItem>>,
}

/// A position of [`PlaceOrder`].
#[derive(Clone, Debug, Default)]
pub struct PlaceOrderItem {
    /// Becomes a [`Sku`].
    pub sku: Option<String>,
    /// Becomes a [`Quantity`].
    pub quantity: Option<i64>,
    /// Becomes an [`Amount`].
    pub unit_price: Option<i64>,
}

/// Something that happened to an order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum OrderEvent {
    /// It was placed.
    Placed(OrderPlaced),
}

/// An order was placed: the payload of `OrderPlaced`, version 1.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderPlaced {
    /// The new order.
    pub order_id: OrderId,
    /// Who ordered.
    pub customer_id: CustomerId,
    /// The currency of all amounts.
    pub currency: Currency,
    /// What was ordered.
    pub items: Vec<Item>,
    /// The sum over all items.
    pub total: Amount,
}

impl OrderPlaced {
    /// The name in an event's envelope.
    pub const EVENT_TYPE: &'static str = "OrderPlaced";
    /// The version in an event's envelope.
    pub const EVENT_VERSION: u32 = 1;
}

impl OrderEvent {
    /// Reads an event.
    ///
    /// # Errors
    ///
    /// Returns why its payload cannot be read.
    pub fn read(event: &StoredEvent) -> Result<Self, UnreadablePayload> {
        match (event.event_type.as_str(), event.event_version) {
            (OrderPlaced::EVENT_TYPE, OrderPlaced::EVENT_VERSION) => {
                event.read_payload().map(Self::Placed)
            }
            _ => Err(event.unknown_form()),
        }
    }
}

impl PlaceOrder {
    /// Decides what happens: the order is placed, if everything in it is right.
    ///
    /// # Errors
    ///
    /// Returns every field that is wrong. The items of an order with too many are not looked at.
    pub fn decide(self, order_id: OrderId) -> Result<OrderPlaced, Invalid> {
        let mut checks = Checks::default();
        let root = Pointer::root();
        let customer_id = checks.field(&root.member("customer_id"), self.customer_id);
        let currency = checks.field(&root.member("currency"), self.currency);
        let at_items = root.member("items");
        let items = items(&mut checks, &at_items, self.items);
        let total = items.as_deref().and_then(|items| {
            total(items).or_else(|| {
                checks.refuse(
                    &at_items,
                    format!("must not cost more than {MAX_AMOUNT} in all"),
                )
            })
        });
        checks.finish(|| {
            Some(OrderPlaced {
                order_id,
                customer_id: customer_id?,
                currency: currency?,
                items: items?,
                total: total?,
            })
        })
    }
}

fn items(
    checks: &mut Checks,
    pointer: &Pointer,
    items: Option<Vec<PlaceOrderItem>>,
) -> Option<Vec<Item>> {
    let items = checks.required(pointer, items)?;
    if items.is_empty() || items.len() > MAX_ITEMS {
        return checks.refuse(
            pointer,
            format!("must have between 1 and {MAX_ITEMS} items"),
        );
    }
    let items = items.into_iter().enumerate().map(|(index, item)| {
        let pointer = pointer.index(index);
        let sku = checks.field(&pointer.member("sku"), item.sku);
        let quantity = checks.field(&pointer.member("quantity"), item.quantity);
        let unit_price = checks.field(&pointer.member("unit_price"), item.unit_price);
        Some(Item {
            sku: sku?,
            quantity: quantity?,
            unit_price: unit_price?,
        })
    });
    // Not collected into an `Option`, which would stop at the first item that is wrong.
    let items: Vec<_> = items.collect();
    items.into_iter().collect()
}

fn total(items: &[Item]) -> Option<Amount> {
    items.iter().try_fold(Amount::ZERO, |sum, item| {
        sum.checked_add(item.unit_price.checked_mul(item.quantity)?)
    })
}

/// An order as it stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Order {
    /// Its id.
    pub order_id: OrderId,
    /// How many events made it what it is.
    pub version: u64,
    /// How far it has come.
    pub status: Status,
    /// Who ordered.
    pub customer_id: CustomerId,
    /// The currency of all amounts.
    pub currency: Currency,
    /// What was ordered.
    pub items: Vec<Item>,
    /// The sum over all items.
    pub total: Amount,
    /// When it was placed.
    pub placed_at: Timestamp,
}

impl Order {
    /// Returns the order that an event begins.
    #[must_use]
    pub fn placed(event: OrderPlaced, at: Timestamp) -> Self {
        Self {
            order_id: event.order_id,
            version: FIRST_VERSION,
            status: Status::Placed,
            customer_id: event.customer_id,
            currency: event.currency,
            items: event.items,
            total: event.total,
            placed_at: at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(sku: &str, quantity: i64, unit_price: i64) -> PlaceOrderItem {
        PlaceOrderItem {
            sku: Some(sku.to_owned()),
            quantity: Some(quantity),
            unit_price: Some(unit_price),
        }
    }

    fn command(items: impl IntoIterator<Item = PlaceOrderItem>) -> PlaceOrder {
        PlaceOrder {
            customer_id: Some("customer-1".to_owned()),
            currency: Some("EUR".to_owned()),
            items: Some(items.into_iter().collect()),
        }
    }

    fn pointers(command: PlaceOrder) -> Vec<String> {
        let invalid = command.decide(OrderId::generate()).unwrap_err();
        invalid
            .errors()
            .iter()
            .map(|error| error.pointer.to_string())
            .collect()
    }

    #[test]
    fn an_order_costs_what_its_items_cost() {
        let id = OrderId::generate();
        let placed = command([item("tea", 2, 1250), item("pot", 1, 3999)])
            .decide(id)
            .unwrap();
        assert_eq!((placed.order_id, placed.total), (id, Amount(6499)));

        let at = "2026-11-23T06:58:19.081Z".parse().unwrap();
        let order = Order::placed(placed, at);
        assert_eq!(
            (order.order_id, order.version, order.placed_at),
            (id, 1, at)
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut wrong = command([
            item("tea", 0, 1250),
            item("tea", 1, 1250),
            PlaceOrderItem::default(),
            item("", 1001, -1),
        ]);
        wrong.customer_id = Some("no spaces".to_owned());
        wrong.currency = Some("eur".to_owned());
        assert_eq!(
            pointers(wrong),
            [
                "#/customer_id",
                "#/currency",
                "#/items/0/quantity",
                "#/items/2/sku",
                "#/items/2/quantity",
                "#/items/2/unit_price",
                "#/items/3/sku",
                "#/items/3/quantity",
                "#/items/3/unit_price",
            ]
        );
        assert_eq!(
            pointers(PlaceOrder::default()),
            ["#/customer_id", "#/currency", "#/items"]
        );
    }

    #[test]
    fn an_order_has_at_least_one_item_and_not_too_many() {
        assert_eq!(pointers(command([])), ["#/items"]);
        let wrong = || item("", 0, 0);
        assert_eq!(
            pointers(command(std::iter::repeat_with(wrong).take(101))),
            ["#/items"]
        );
        let right = || item("tea", 1, 0);
        let most = command(std::iter::repeat_with(right).take(100));
        assert_eq!(most.decide(OrderId::generate()).unwrap().items.len(), 100);
    }

    #[test]
    fn a_total_that_no_json_reader_could_keep_is_refused() {
        let most = i64::try_from(MAX_AMOUNT).unwrap();
        assert!(
            command([item("a", 1, most)])
                .decide(OrderId::generate())
                .is_ok()
        );
        assert_eq!(
            pointers(command([item("a", 1, most), item("b", 1, 1)])),
            ["#/items"]
        );
        assert_eq!(pointers(command([item("a", 2, most)])), ["#/items"]);
        assert_eq!(
            pointers(command([item("a", 1, most + 1)])),
            ["#/items/0/unit_price"]
        );
    }

    #[test]
    fn an_id_is_read_only_as_it_is_written() {
        let id = OrderId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "1",
            "0193a1b2c3d47000800000000000000a",
            "0193A1B2-C3D4-7000-8000-00000000000A",
            &format!("{{{id}}}"),
        ] {
            assert!(wrong.parse::<OrderId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_order_of_other_limits_is_read_as_it_was_stored() {
        let json = r#"{"order_id":"0193a1b2-c3d4-7000-8000-00000000000a","customer_id":"J. Doe","currency":"euro","items":[{"sku":"","quantity":1001,"unit_price":9007199254740992}],"total":9016206453995732992}"#;
        let placed: OrderPlaced = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&placed).unwrap(), json);
    }

    /// Prices of every magnitude, so that about half of all orders are too dear.
    fn any_price() -> impl Strategy<Value = i64> {
        (0..=53_u32).prop_flat_map(|bits| 0..1_i64 << bits)
    }

    fn valid_items() -> impl Strategy<Value = Vec<(i64, i64)>> {
        prop::collection::vec((1..=1000_i64, 0..=1_000_000_000_i64), 1..=100)
    }

    proptest! {
        #[test]
        fn the_total_is_the_exact_sum_or_refused(
            items in prop::collection::vec((1..=1000_i64, any_price()), 1..=100),
        ) {
            let exact: u128 = items.iter().map(|(n, price)| (*n as u128) * (*price as u128)).sum();
            let order = command(items.into_iter().map(|(n, price)| item("sku", n, price)));
            match order.decide(OrderId::generate()) {
                Ok(placed) => prop_assert_eq!(u128::from(placed.total.minor_units()), exact),
                Err(invalid) => {
                    prop_assert!(exact > u128::from(MAX_AMOUNT));
                    prop_assert_eq!(invalid.errors()[0].pointer.to_string(), "#/items");
                }
            }
        }

        #[test]
        fn any_number_is_either_kept_or_refused(quantity in any::<i64>(), price in any::<i64>()) {
            let is_valid = (1..=1000).contains(&quantity) && (0..1 << 53).contains(&price);
            if let Ok(placed) = command([item("sku", quantity, price)]).decide(OrderId::generate()) {
                prop_assert!(is_valid);
                prop_assert_eq!(i64::from(placed.items[0].quantity.get()), quantity);
                prop_assert_eq!(i64::try_from(placed.items[0].unit_price.minor_units()).unwrap(), price);
            }
        }

        #[test]
        fn a_placed_order_is_read_as_it_was_written(items in valid_items()) {
            let order = command(items.into_iter().map(|(n, price)| item("sku", n, price)));
            let placed = order.decide(OrderId::generate()).unwrap();
            let json = serde_json::to_string(&placed).unwrap();
            prop_assert_eq!(serde_json::from_str::<OrderPlaced>(&json).unwrap(), placed);
        }

        #[test]
        fn a_customer_id_is_either_kept_or_refused(text in any::<String>()) {
            if let Ok(id) = CustomerId::try_from(text.clone()) {
                prop_assert!(!text.is_empty() && text.len() <= 64 && text.is_ascii());
                prop_assert_eq!(id.0, text);
            }
        }
    }
}
