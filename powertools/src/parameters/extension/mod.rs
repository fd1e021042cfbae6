//! What the Lambda extensions of AWS hold, over HTTP to the same execution environment.
//!
//! | provider | extension | brings |
//! |---|---|---|
//! | [`AppConfigExtensionProvider`] | [AWS AppConfig Agent](https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-lambda-extensions.html) | configurations of AppConfig, whole or some of their flags |
//! | [`SsmExtensionProvider`] | [AWS Parameters and Secrets](https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html) | parameters of Systems Manager |
//! | [`SecretsManagerExtensionProvider`] | [AWS Parameters and Secrets](https://docs.aws.amazon.com/lambda/latest/dg/with-secrets-manager.html) | secrets of Secrets Manager |
//!
//! An extension is added to a function as a layer, and has a cache of its own: a change is seen when
//! that is out of date and the one of [`Parameters`](crate::parameters::Parameters) as well. So
//! [`with_secret`](crate::parameters::Parameters::with_secret) sees a rotated secret only when the
//! extension's own cache is out of date. What a function gains is that it brings no SDK, so its binary
//! is smaller and starts sooner.
//!
//! # Examples
//!
//! ```no_run
//! use powertools::parameters::{
//!     Parameters,
//!     extension::{AppConfigExtensionProvider, SsmExtensionProvider},
//! };
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Flag {
//!     enabled: bool,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let configurations = Parameters::new(AppConfigExtensionProvider::new("shop", "prod"));
//! let flag = configurations.get("flags").flag("ten_percent").json::<Flag>().await?;
//!
//! let parameters = Parameters::new(SsmExtensionProvider::new());
//! let url = parameters.get("/shop/payment/url").decrypt().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A secret, and an extension at another port that may take a second:
//!
//! ```no_run
//! use std::time::Duration;
//! use powertools::parameters::{Parameters, extension::SecretsManagerExtensionProvider};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = SecretsManagerExtensionProvider::new()
//!     .port(8773)
//!     .timeout(Duration::from_secs(1));
//! let secrets = Parameters::new(provider).max_age(Duration::from_secs(60));
//! let before = secrets.get("shop/db").version_stage("AWSPREVIOUS").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//!
//! They go to 127.0.0.1, and nowhere else.
//!
//! | provider | path | port |
//! |---|---|---|
//! | [`AppConfigExtensionProvider`] | `/applications/shop/environments/prod/configurations/flags?flag=ten_percent` | `AWS_APPCONFIG_EXTENSION_HTTP_PORT`, or 2772 |
//! | [`SsmExtensionProvider`] | `/systemsmanager/parameters/get?name=%2Fshop%2Fpayment%2Furl&withDecryption=true` | `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`, or 2773 |
//! | [`SecretsManagerExtensionProvider`] | `/secretsmanager/get?secretId=shop%2Fdb&versionStage=AWSPREVIOUS` | the same |
//!
//! The Parameters and Secrets extension asks for the function's session token, `AWS_SESSION_TOKEN`,
//! which Lambda sets. Without it every read fails with
//! [`AccessDenied`](crate::parameters::ParameterError::AccessDenied). This extension answers while an
//! invocation runs, not before: do not read from it in `main`.
//!
//! Sources: <https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-OpenAPI.html>,
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>,
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html>
//!
//! # Errors
//!
//! An extension may have one status for whatever its service has said, so the text that comes with it
//! counts first. It is a part of the error.
//!
//! | answer | error |
//! |---|---|
//! | 404, or `NotFound` in its text | [`NotFound`](crate::parameters::ParameterError::NotFound) |
//! | 401, 403, or `AccessDenied`, `not authorized` | [`AccessDenied`](crate::parameters::ParameterError::AccessDenied) |
//! | 429, or `Throttling`, `TooManyRequests`, `Rate exceeded` | [`Throttled`](crate::parameters::ParameterError::Throttled) |
//! | 504, or none within [3 s](SsmExtensionProvider::timeout) | [`TimedOut`](crate::parameters::ParameterError::TimedOut) |
//! | 400 | [`InvalidRequest`](crate::parameters::ParameterError::InvalidRequest), but `not ready` and `unexpected error` are as below |
//! | anything else, more than 4 MiB, or nobody who listens | [`Provider`](crate::parameters::ParameterError::Provider) |
//!
//! # Permissions
//!
//! The extensions use the function's own role.
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": ["appconfig:StartConfigurationSession", "appconfig:GetLatestConfiguration"],
//!       "Resource": "arn:aws:appconfig:REGION:ACCOUNT:application/APPLICATION/environment/ENVIRONMENT/configuration/PROFILE"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "ssm:GetParameter",
//!       "Resource": "arn:aws:ssm:REGION:ACCOUNT:parameter/shop/*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "secretsmanager:GetSecretValue",
//!       "Resource": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:shop/db-*"
//!     }
//!   ]
//! }
//! ```
//!
//! What is encrypted with a key of your own asks for `kms:Decrypt` with that key as well.

mod appconfig;
mod http;
mod parameters_secrets;
mod secrets_manager;
mod ssm;
mod target;

pub use appconfig::{AppConfigExtensionOptions, AppConfigExtensionProvider};
pub use secrets_manager::{SecretsManagerExtensionOptions, SecretsManagerExtensionProvider};
pub use ssm::{SsmExtensionOptions, SsmExtensionProvider};
