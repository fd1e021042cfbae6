//! Secrets of Secrets Manager, by versions and by names.
//!
//! # Examples
//!
//! A function that logs in to its database, also just after the password was rotated:
//!
//! ```no_run
//! use aws_config::BehaviorVersion;
//! use lambda_runtime::{Error, LambdaEvent, service_fn};
//! use powertools::parameters::{Parameters, Value, secrets_manager::SecretsManagerProvider};
//!
//! #[derive(serde::Deserialize)]
//! struct Login {
//!     username: String,
//!     password: String,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//!     let client = aws_sdk_secretsmanager::Client::new(&config);
//!     let secrets = Parameters::new(SecretsManagerProvider::new(client));
//!
//!     let handler = async |event: LambdaEvent<String>| {
//!         let query = async |secret: Value| {
//!             let login = secret.json::<Login>().map_err(DatabaseError::Secret)?;
//!             run_query(&login, &event.payload).await
//!         };
//!         let is_refused = |error: &DatabaseError| matches!(error, DatabaseError::LoginRefused);
//!         let rows = secrets.with_secret("shop/db", query, is_refused).await?;
//!         Ok::<_, Error>(rows)
//!     };
//!     lambda_runtime::run(service_fn(handler)).await
//! }
//! # #[derive(Debug)] enum DatabaseError { LoginRefused, Secret(powertools::parameters::ParameterError) }
//! # impl std::fmt::Display for DatabaseError { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
//! # impl std::error::Error for DatabaseError {}
//! # async fn run_query(login: &Login, _: &str) -> Result<(), DatabaseError> { let _ = (&login.username, &login.password); Ok(()) }
//! ```
//!
//! The other ways to read, on secrets that are kept for five minutes:
//!
//! ```no_run
//! use powertools::parameters::{ByName, ParameterError, Parameters, secrets_manager::SecretsManagerProvider};
//! use std::time::Duration;
//!
//! # async fn run(client: aws_sdk_secretsmanager::Client) -> Result<(), ParameterError> {
//! let secrets = Parameters::new(SecretsManagerProvider::new(client))
//!     .max_age(Duration::from_secs(300));
//!
//! let previous = secrets.get("shop/signing-key").version_stage("AWSPREVIOUS").await?;
//! let pinned = secrets.get("shop/signing-key").version_id("1234abcd-12ab-34cd-56ef-1234567890ab").await?;
//!
//! // By names, each with its own value or error.
//! let values = secrets
//!     .get_by_names([ByName::new("shop/db"), ByName::new("shop/signing-key").max_age(Duration::ZERO)])
//!     .await;
//! let key = values.get("shop/signing-key")?;
//! # Ok(())
//! # }
//! ```
//!
//! Secrets are also written, see [`set`](SetSecret).
//!
//! # What is requested
//!
//! | read | request | how many |
//! |---|---|---|
//! | [`get`](super::Parameters::get) | [GetSecretValue] | one |
//! | [`get_by_names`](super::Parameters::get_by_names) | [BatchGetSecretValue] | one for each 20 names that are not cached, all at once |
//! | the same, of names with a version or a stage | [GetSecretValue] | one for each |
//! | the same, where BatchGetSecretValue is denied | [GetSecretValue] | one more for each name |
//! | [`set`](SetSecret) | [PutSecretValue], and [CreateSecret] if there is no such secret | one to three |
//!
//! The client's own retries come on top, three attempts in all unless it is told otherwise. A secret's
//! text is its [`as_str`](super::Value::as_str); one that has bytes and no text is the same as bytes.
//! Its [`version`](super::Value::version) is the version's id.
//!
//! There are no paths: [`get_multiple`](super::Parameters::get_multiple) fails as
//! [`Unsupported`](super::ParameterError::Unsupported).
//!
//! [BatchGetSecretValue]: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
//! [CreateSecret]: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
//! [GetSecretValue]: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
//! [PutSecretValue]: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
//!
//! # Errors
//!
//! | Secrets Manager says | the error is |
//! |---|---|
//! | there is no such secret, version or stage; or it is scheduled for deletion | [`NotFound`](super::ParameterError::NotFound) |
//! | the function may not read it; it cannot be decrypted | [`AccessDenied`](super::ParameterError::AccessDenied) |
//! | it was asked too often, also with all retries | [`Throttled`](super::ParameterError::Throttled) |
//! | the name has a form that no secret has, or the version is not in the stage | [`InvalidRequest`](super::ParameterError::InvalidRequest) |
//! | the session has expired; it fails itself, cannot be reached, or answers something else | [`Provider`](super::ParameterError::Provider) |
//!
//! By names, what is wrong with one is told of that one. A request that is denied as a whole is made
//! again for each name by itself; one that fails in another way fails for its up to 20 names.
//!
//! The errors' sources have the service's code, its message and the request's id, but never a value: an
//! answer that cannot be read is not shown, and neither is what the service says about a value that was
//! to be set.
//!
//! # Permissions
//!
//! What a function needs that does all of the above. An ARN ends in six characters that Secrets Manager
//! makes. Without `secretsmanager:BatchGetSecretValue`, which knows no single secrets, names are asked
//! for one by one. The last statement is for secrets that are encrypted by a key of your own.
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": [
//!         "secretsmanager:GetSecretValue",
//!         "secretsmanager:PutSecretValue",
//!         "secretsmanager:CreateSecret"
//!       ],
//!       "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "secretsmanager:BatchGetSecretValue",
//!       "Resource": "*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
//!       "Resource": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
//!     }
//!   ]
//! }
//! ```
//!
//! Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples.html>,
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html>

mod options;
mod provider;
mod set;

pub use options::SecretsManagerOptions;
pub use provider::SecretsManagerProvider;
pub use set::{SetSecret, SetSecretFuture};
