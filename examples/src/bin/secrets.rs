//! A secret that is rotated while the function runs: what is refused is read again, once.

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent};
use powertools::parameters::{
    ParameterProvider, Parameters, Value, secrets_manager::SecretsManagerProvider,
};
use serde::Deserialize;
use tower::{Service, service_fn};

const SECRET: &str = "shop/payments";

#[derive(Deserialize)]
struct Credentials {
    api_key: String,
}

/// Stands for a call of the payment provider, which has a new key since today.
async fn pay(credentials: Value) -> Result<&'static str, Error> {
    let credentials = credentials.json::<Credentials>()?;
    match credentials.api_key.as_str() {
        "today" => Ok("paid"),
        _ => Err(Refused.into()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the payment provider refused the key")]
struct Refused;

async fn handler<P: ParameterProvider>(
    secrets: Parameters<P>,
    _: LambdaEvent<()>,
) -> Result<&'static str, Error> {
    let is_refused = |error: &Error| error.is::<Refused>();
    Ok(secrets.with_secret(SECRET, pay, is_refused).await?)
}

fn stack<P: ParameterProvider>(
    secrets: Parameters<P>,
) -> impl Service<LambdaEvent<()>, Response = &'static str, Error = Error, Future: Send> + Clone {
    service_fn(move |event| handler(secrets.clone(), event))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let secrets = Parameters::new(SecretsManagerProvider::new(client));
    lambda_runtime::run(stack(secrets)).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::{MemoryProvider, context};
    use tower::ServiceExt;

    use super::*;

    fn event() -> LambdaEvent<()> {
        LambdaEvent::new((), context("52fdfc07"))
    }

    #[tokio::test]
    async fn a_rotated_key_is_read_again() {
        let provider = MemoryProvider::from([(SECRET, r#"{"api_key":"yesterday"}"#)]);
        let secrets = Parameters::new(provider.clone());
        secrets.get(SECRET).await.unwrap();
        provider.set(SECRET, r#"{"api_key":"today"}"#);

        let stack = stack(secrets);
        assert_eq!(stack.clone().oneshot(event()).await.unwrap(), "paid");
        assert_eq!(stack.oneshot(event()).await.unwrap(), "paid");
        assert_eq!(provider.calls(), 2, "the new key is kept");
    }

    #[tokio::test]
    async fn a_key_that_is_refused_and_still_the_same_is_refused() {
        let provider = MemoryProvider::from([(SECRET, r#"{"api_key":"stolen"}"#)]);
        let stack = stack(Parameters::new(provider));
        let error = stack.oneshot(event()).await.unwrap_err();
        assert_eq!(error.to_string(), "the payment provider refused the key");
    }
}
