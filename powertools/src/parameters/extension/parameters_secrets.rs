use std::time::Duration;

use http::HeaderValue;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{http::Extension, target::Target};
use crate::{
    Env, env,
    parameters::{ProviderError, TransformError},
};

/// Source: <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>
const PORT: u16 = 2773;

/// Source: <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>
const TOKEN: &str = "x-aws-parameters-secrets-token";

/// The AWS Parameters and Secrets extension.
#[derive(Clone, Debug)]
pub(super) struct ParametersSecrets {
    extension: Extension,
    /// What shows that the function itself is asking.
    token: Option<HeaderValue>,
}

impl ParametersSecrets {
    pub(super) fn from_env(env: &Env) -> Self {
        let token = env.get(env::SESSION_TOKEN).map(HeaderValue::from_str);
        Self {
            extension: Extension::from_env(env, env::PARAMETERS_SECRETS_EXTENSION_PORT, PORT),
            token: token.and_then(Result::ok).map(|mut token| {
                token.set_sensitive(true);
                token
            }),
        }
    }

    pub(super) fn port(mut self, port: u16) -> Self {
        self.extension = self.extension.port(port);
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.extension = self.extension.timeout(timeout);
        self
    }

    /// Asks for what its service has answered, and reads that.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        target: &Target,
    ) -> Result<T, ProviderError> {
        let token = self.token.as_ref().ok_or_else(no_token)?;
        let answer = self.extension.get(target, Some((TOKEN, token))).await?;
        let body = Zeroizing::new(answer.body);
        serde_json::from_slice(&body).map_err(|error| {
            // The error itself may quote a secret.
            let error = Unreadable(TransformError::json(&error));
            ProviderError::other().with_source(error)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the extension's answer cannot be read")]
struct Unreadable(#[source] TransformError);

fn no_token() -> ProviderError {
    let problem = format!(
        "`{}` is not set, which the extension asks for",
        env::SESSION_TOKEN
    );
    ProviderError::access_denied().with_source(problem)
}
