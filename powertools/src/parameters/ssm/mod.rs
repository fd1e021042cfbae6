//! Parameters of Systems Manager, one by one, by path and by names.
//!
//! # Examples
//!
//! A function that reads its configuration, decrypted where it is a secret:
//!
//! ```no_run
//! use aws_config::BehaviorVersion;
//! use lambda_runtime::{Error, LambdaEvent, service_fn};
//! use powertools::parameters::{Parameters, ssm::SsmProvider};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//!     let parameters = Parameters::new(SsmProvider::new(aws_sdk_ssm::Client::new(&config)));
//!
//!     let handler = async |event: LambdaEvent<String>| {
//!         let url = parameters.get("/shop/api-url").await?;
//!         let key = parameters.get("/shop/api-key").decrypt().await?;
//!         call(url.as_str()?, key.as_str()?, &event.payload).await
//!     };
//!     lambda_runtime::run(service_fn(handler)).await
//! }
//! # async fn call(_: &str, _: &str, _: &str) -> Result<(), Error> { Ok(()) }
//! ```
//!
//! The other ways to read, on parameters that are kept for a minute, and for an hour while Systems
//! Manager fails:
//!
//! ```no_run
//! use powertools::parameters::{ByName, ParameterError, Parameters, ssm::SsmProvider};
//! use std::time::Duration;
//!
//! # async fn run(client: aws_sdk_ssm::Client) -> Result<(), ParameterError> {
//! let parameters = Parameters::new(SsmProvider::new(client))
//!     .max_age(Duration::from_secs(60))
//!     .stale_if_error(Duration::from_secs(3600));
//!
//! // A version, or what a label is on.
//! let limits = parameters.get("/shop/limits:3").await?;
//! let limits = parameters.get("/shop/limits:stable").await?;
//!
//! // All levels below a path, by relative names: `api-url`, `db/user`.
//! let shop = parameters.get_multiple("/shop").decrypt().await?;
//! // One level.
//! let shop = parameters.get_multiple("/shop").recursive(false).await?;
//!
//! // By names, each with its own value or error.
//! let values = parameters
//!     .get_by_names([ByName::new("/shop/api-url"), ByName::new("/shop/api-key").decrypt()])
//!     .await;
//! let key = values.get("/shop/api-key")?;
//! # Ok(())
//! # }
//! ```
//!
//! Parameters are also written, see [`set`](SetParameter).
//!
//! # What is requested
//!
//! | read | request | how many |
//! |---|---|---|
//! | [`get`](super::Parameters::get) | [GetParameter] | one |
//! | [`get_multiple`](super::Parameters::get_multiple) | [GetParametersByPath] | one for each 10 parameters, one after the other |
//! | [`get_by_names`](super::Parameters::get_by_names) | [GetParameters] | one for each 10 names that are not cached, those to be decrypted apart from the others, all at once |
//! | the same, where one of up to 10 names is denied or malformed | [GetParameter] | one more for each of these names |
//! | [`set`](SetParameter) | [PutParameter] | one, or two if something is [overwritten](SetParameter::overwrite) that does not exist |
//!
//! The client's own retries come on top, three attempts in all unless it is told otherwise. How many
//! such requests an account has in a second is one of its [quotas]; values that are kept for longer stay
//! below that.
//!
//! [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
//! [GetParameters]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
//! [GetParametersByPath]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
//! [PutParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
//! [quotas]: https://docs.aws.amazon.com/general/latest/gr/ssm.html#limits_ssm
//!
//! # Errors
//!
//! | Systems Manager says | the error is |
//! |---|---|
//! | there is no such parameter, or no such version | [`NotFound`](super::ParameterError::NotFound) |
//! | the function may not read it, or not use its key; the key is disabled | [`AccessDenied`](super::ParameterError::AccessDenied) |
//! | it was asked too often, also with all retries | [`Throttled`](super::ParameterError::Throttled) |
//! | the name has a form that no parameter has | [`InvalidRequest`](super::ParameterError::InvalidRequest) |
//! | the session has expired; it fails itself, cannot be reached, or answers something else | [`Provider`](super::ParameterError::Provider) |
//!
//! By names, what is wrong with one is told of that one. A request that is refused as a whole, because
//! one of its up to 10 names is denied or malformed, is made again for each name by itself; one that
//! fails in another way fails for all of them.
//!
//! The errors' sources have the service's code, its message and the request's id, but never a value: an
//! answer that cannot be read is not shown, and neither is what the service says about a value that was
//! to be set.
//!
//! # Permissions
//!
//! What a function needs that does all of the above. Names take `ssm:GetParameters`, and
//! `ssm:GetParameter` where one of them is denied. A path is named as it is, and with what is below
//! it. The last statement is for values that are encrypted by a key of your own; writing those takes
//! `kms:Encrypt` too, for values of the advanced tier `kms:GenerateDataKey`.
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
//!       "Resource": [
//!         "arn:aws:ssm:eu-west-1:123456789012:parameter/shop",
//!         "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/*"
//!       ]
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "ssm:PutParameter",
//!       "Resource": "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/*"
//!     },
//!     {
//!       "Effect": "Allow",
//!       "Action": "kms:Decrypt",
//!       "Resource": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
//!     }
//!   ]
//! }
//! ```
//!
//! Source: <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html>,
//! <https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html>

mod options;
mod provider;
mod set;

pub use options::SsmOptions;
pub use provider::SsmProvider;
pub use set::{SetParameter, SetParameterFuture};
