//! Feature flags: a shop rolls out its new checkout, and paying tenants may order more.

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    feature_flags::{self, EvaluationContext, FeatureFlags, FeatureFlagsLayer, ParameterStore},
    parameters::{MapProvider, Parameters},
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

/// For a deployed function this is a configuration of AppConfig, or a parameter of Systems Manager.
const FLAGS: &str = include_str!("../../feature-flags.json");

#[derive(Deserialize)]
struct Order {
    tenant_id: String,
    tier: String,
    items: u32,
}

async fn handler(event: LambdaEvent<Order>) -> Result<&'static str, Error> {
    let flags = feature_flags::current()?;
    if event.payload.items > flags.value("max_items", 10)? {
        return Err("too many items".into());
    }
    if flags.is_enabled("new_checkout", false)? {
        Ok("/v2/checkout")
    } else {
        Ok("/checkout")
    }
}

fn stack()
-> impl Service<LambdaEvent<Order>, Response = &'static str, Error = Error, Future: Send> + Clone {
    let parameters = Parameters::new(MapProvider::from([("flags", FLAGS)]));
    let flags = FeatureFlags::new(ParameterStore::new(parameters, "flags")).log(true);
    let layer = FeatureFlagsLayer::new(flags, |event: &LambdaEvent<Order>| {
        EvaluationContext::new()
            .with("tenant_id", event.payload.tenant_id.as_str())
            .with("tier", event.payload.tier.as_str())
    });
    ServiceBuilder::new().layer(layer).service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(stack()).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::context;
    use tower::ServiceExt;

    use super::*;

    fn order(tenant: u32, tier: &str, items: u32) -> LambdaEvent<Order> {
        let order = Order {
            tenant_id: format!("t{tenant}"),
            tier: tier.to_owned(),
            items,
        };
        LambdaEvent::new(order, context("52fdfc07"))
    }

    #[tokio::test]
    async fn a_paying_tenant_orders_more_by_the_new_checkout() {
        let checkout = stack().oneshot(order(1, "pro", 200)).await.unwrap();
        assert_eq!(checkout, "/v2/checkout");
        let error = stack().oneshot(order(1, "free", 200)).await.unwrap_err();
        assert_eq!(error.to_string(), "too many items");
    }

    #[tokio::test]
    async fn a_tenth_of_the_others_have_the_new_checkout_too() {
        let stack = stack();
        let mut new = 0;
        for tenant in 0..1000 {
            let checkout = stack.clone().oneshot(order(tenant, "free", 1)).await;
            new += u32::from(checkout.unwrap() == "/v2/checkout");
        }
        assert!((50..150).contains(&new), "{new} of 1000");
    }
}
