//! Configurations of AppConfig.
//!
//! AppConfig rolls configurations out step by step, watches alarms meanwhile, and takes them back. An
//! [`AppConfigProvider`] reads what is deployed, by the name or id of its profile.
//!
//! # Examples
//!
//! ```no_run
//! use aws_config::BehaviorVersion;
//! use powertools::parameters::{Parameters, appconfig::AppConfigProvider};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Limits {
//!     orders_per_minute: u32,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//! let client = aws_sdk_appconfigdata::Client::new(&config);
//! let parameters = Parameters::new(AppConfigProvider::new(client, "shop", "prod"));
//!
//! let limits = parameters.get("limits").json::<Limits>().await?;
//! assert!(limits.orders_per_minute > 0);
//! # Ok(())
//! # }
//! ```
//!
//! The application that has the service's name, asked every five minutes, and for a quarter of an hour
//! the value that is there if AppConfig fails; then a configuration of another application:
//!
//! ```no_run
//! use std::time::Duration;
//! use powertools::{Env, parameters::{Parameters, appconfig::AppConfigProvider}};
//!
//! # async fn run(client: aws_sdk_appconfigdata::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let provider = AppConfigProvider::from_env(client, "prod", &Env::process())
//!     .poll_interval(Duration::from_secs(300));
//! let parameters = Parameters::new(provider).stale_if_error(Duration::from_secs(900));
//!
//! let limits = parameters.get("limits").await?;
//! let rates = parameters.get("rates").application("depot").environment("test").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # When AppConfig is asked
//!
//! Each configuration has a session of its own. Each answer says how long AppConfig wants to be left
//! alone then; reads meanwhile get what is there, whatever their max age, and also with
//! [`force_fetch`](crate::parameters::Get::force_fetch). After that the cache's max age counts. Only a
//! read asks; nothing runs on its own. The session keeps a copy of the value of its own, which
//! [`forget`](crate::parameters::Parameters::forget) leaves and
//! [`max_bytes`](crate::parameters::Parameters::max_bytes) does not count.
//!
//! | what happens | what the provider does |
//! |---|---|
//! | nothing has changed | the answer is empty; the value stays the [same one](crate::parameters::Value::ptr_eq), and so does what was parsed of it |
//! | the session's token has expired, after 24 h without a request | begins another session at once |
//! | an answer gets lost, or a read is given up | begins another session with the next read: AppConfig takes a token once |
//! | AppConfig throttles or denies a request | fails; the next read goes on with the session |
//! | AppConfig says that it is too early | serves what is there for another interval |
//! | nothing has been deployed, or the profile does not exist | [`NotFound`](crate::parameters::ParameterError::NotFound) |
//! | a snapshot is restored (see [`SnapStart`](crate::SnapStart)) | begins another session: all environments of the snapshot have the same token |
//!
//! Sources: <https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_appconfigdata_GetLatestConfiguration.html>,
//! <https://docs.aws.amazon.com/appconfig/2019-10-09/APIReference/API_appconfigdata_StartConfigurationSession.html>
//!
//! A value's version is the label of its hosted version, if it has one. A configuration is text if it
//! is UTF-8. AppConfig knows no paths, so
//! [`get_multiple`](crate::parameters::Parameters::get_multiple) fails.
//!
//! Application and environment are a part of what is cached. The other toolkits keep those that they
//! were asked for first.
//!
//! # Permissions
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": {
//!     "Effect": "Allow",
//!     "Action": ["appconfig:StartConfigurationSession", "appconfig:GetLatestConfiguration"],
//!     "Resource": "arn:aws:appconfig:REGION:ACCOUNT:application/APPLICATION/environment/ENVIRONMENT/configuration/PROFILE"
//!   }
//! }
//! ```
//!
//! The names in capitals stand for ids.
//!
//! Source: <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsappconfig.html>

mod options;
mod provider;
mod session;

pub use options::AppConfigOptions;
pub use provider::AppConfigProvider;
