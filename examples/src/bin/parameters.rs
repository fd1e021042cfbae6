//! Parameters of Systems Manager, read while the function starts and kept fresh from then on.

use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent};
use powertools::parameters::{
    Declare, Parameters, ParametersError, ParametersLayer, declared, ssm::SsmProvider,
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};

#[derive(Deserialize)]
struct Limits {
    items: u32,
}

async fn handler(event: LambdaEvent<u32>) -> Result<String, Error> {
    let limits = declared("limits")?.json::<Limits>()?;
    if event.payload > limits.items {
        return Err(format!("at most {} items", limits.items).into());
    }
    // A shop that has nothing to say has no such parameter.
    let banner = declared("banner").ok();
    let banner = banner.as_ref().map_or(Ok("thank you"), |it| it.as_str())?;
    Ok(banner.to_owned())
}

/// Declares what the handler reads: from Systems Manager here, from elsewhere in a test.
fn declare(limits: impl Declare, banner: impl Declare) -> ParametersLayer {
    ParametersLayer::new()
        .require("limits", limits)
        .optional("banner", banner)
}

fn stack(
    layer: ParametersLayer,
) -> impl Service<LambdaEvent<u32>, Response = String, Error = ParametersError<Error>, Future: Send>
+ Clone {
    ServiceBuilder::new().layer(layer).service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let minute = Duration::from_secs(60);
    let ssm = Parameters::new(SsmProvider::new(aws_sdk_ssm::Client::new(&config)))
        .max_age(minute)
        // What is older is served once more while a task reads it again: nobody waits.
        .refresh_in_background(5 * minute)
        // Without this each invocation would wait while a banner is looked for that is not there.
        .cache_not_found(minute)
        .stale_if_error(60 * minute);
    let limits = ssm.get("/shop/limits").decrypt().json::<Limits>();
    let layer = declare(limits, ssm.get("/shop/banner"));
    layer.warm().await?;
    lambda_runtime::run(stack(layer)).await
}

#[cfg(test)]
mod tests {
    use powertools::{
        parameters::{MapProvider, ParameterError},
        testing::context,
    };
    use tower::ServiceExt;

    use super::*;

    const LIMITS: (&str, &str) = ("/shop/limits", r#"{"items":3}"#);

    async fn order(provider: MapProvider, items: u32) -> Result<String, ParametersError<Error>> {
        let parameters = Parameters::new(provider);
        let limits = parameters.get("/shop/limits").json::<Limits>();
        let layer = declare(limits, parameters.get("/shop/banner"));
        let event = LambdaEvent::new(items, context("52fdfc07"));
        stack(layer).oneshot(event).await
    }

    #[tokio::test]
    async fn the_limits_are_those_of_the_parameter() {
        let shop = || MapProvider::from([LIMITS, ("/shop/banner", "sale!")]);
        assert_eq!(order(shop(), 3).await.unwrap(), "sale!");
        let error = order(shop(), 4).await.unwrap_err();
        assert_eq!(error.to_string(), "at most 3 items");
    }

    #[tokio::test]
    async fn only_a_required_parameter_has_to_be_there() {
        let answer = order(MapProvider::from([LIMITS]), 1).await;
        assert_eq!(answer.unwrap(), "thank you");
        let error = order(MapProvider::default(), 1).await.unwrap_err();
        assert!(matches!(
            error,
            ParametersError::Parameter(ParameterError::NotFound { .. })
        ));
    }
}
