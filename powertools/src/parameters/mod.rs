//! Parameters and secrets, cached.
//!
//! [`Parameters`] asks a [provider](ParameterProvider) for a value, keeps it for a while, and has all
//! who ask at once wait for one fetch. A read of what is kept costs little more than the look into the
//! cache, allocates nothing, and waits for nobody.
//!
//! # Examples
//!
//! The default use:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use powertools::parameters::{MapProvider, ParameterError, Parameters};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Limits { items: u32 }
//!
//! async fn handler(parameters: &Parameters<MapProvider>) -> Result<String, ParameterError> {
//!     let limits = parameters.get("/shop/limits").json::<Limits>().await?;
//!     let banner = parameters.get("/shop/banner").await?;
//!     Ok(format!("{}: at most {} items", banner.as_str()?, limits.items))
//! }
//!
//! // Stands for a service, such as `SsmProvider`.
//! let provider = MapProvider::from([
//!     ("/shop/limits", r#"{"items":3}"#),
//!     ("/shop/banner", "sale"),
//! ]);
//! // Made once, while the function starts.
//! let parameters = Parameters::new(provider);
//! assert_eq!(handler(&parameters).await?, "sale: at most 3 items");
//! # Ok::<_, ParameterError>(())
//! # }).unwrap();
//! ```
//!
//! The configured use:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use powertools::{Env, parameters::{EnvironmentProvider, Parameters}};
//!
//! let minute = Duration::from_secs(60);
//! let env = Env::from([("LIMIT", "3"), ("KEY", "aGVsbG8=")]);
//! let parameters = Parameters::from_env(EnvironmentProvider::new(env.clone()), &env)
//!     .max_age(minute)
//!     .jitter(0.1)
//!     // Nobody waits for the provider, unless a value is older than six minutes.
//!     .refresh_in_background(5 * minute)
//!     // And what is older is better than nothing for an hour.
//!     .stale_if_error(60 * minute)
//!     .cache_not_found(minute)
//!     .timeout(Duration::from_secs(2))
//!     .max_entries(100)
//!     .metrics(true);
//!
//! let limit = parameters.get("LIMIT").max_age(10 * minute).json::<u32>().await?;
//! assert_eq!(*limit, 3);
//! assert_eq!(parameters.get("KEY").binary().await?.as_bytes(), b"hello");
//! # Ok::<_, powertools::parameters::ParameterError>(())
//! # }).unwrap();
//! ```
//!
//! # Where values come from
//!
//! | provider | feature | from |
//! |---|---|---|
//! | `ssm::SsmProvider` | `parameters-ssm` | Parameter Store of Systems Manager |
//! | `secrets_manager::SecretsManagerProvider` | `parameters-secrets-manager` | Secrets Manager |
//! | `appconfig::AppConfigProvider` | `parameters-appconfig` | AppConfig |
//! | those of `extension` | `parameters-extension` | the Lambda extensions of AppConfig and of Parameters and Secrets |
//! | `dynamodb::DynamoDbProvider` | `parameters-dynamodb` | a table of DynamoDB |
//! | [`EnvironmentProvider`] | | environment variables |
//! | [`MapProvider`] | | values that are known at the start |
//! | [`MemoryProvider`](crate::testing::MemoryProvider) | `testing` | a test, which can make it fail |
//! | [your own](ParameterProvider) | | anywhere else |
//!
//! What is kept is found by the name and by every option that changes the value: a parameter that is
//! read decrypted and one that is not are two.
//!
//! # How old a value may be
//!
//! Whether a value is too old is decided when it is read, by the reader's own max age:
//!
//! | its age | what happens |
//! |---|---|
//! | at most [`max_age`](Parameters::max_age) | it is served |
//! | then at most [`refresh_in_background`](Parameters::refresh_in_background) more | it is served, and fetched again by a task |
//! | then at most [`stale_if_error`](Parameters::stale_if_error) more | it is fetched again, and served if that fails |
//! | older | it is fetched again, or the error is returned |
//!
//! Both of the additional times begin at the max age, and are zero unless they are set. A value is as
//! old as the fetch that brought it, from when that began. A provider may say that a value is
//! [current](Fetched::current_for) for longer. With [jitter](Parameters::jitter) the first limit
//! comes earlier. After a failed fetch the provider is left alone for a second, then two, up to half
//! a minute, as long as there is something to serve meanwhile.
//!
//! Only a provider that is out of order is covered up like this: one that throttles, that takes too
//! long, that panics or fails in another way. When a parameter does not exist any more, or may not be
//! read any more, what is kept of it is forgotten.
//!
//! All who ask for the same at once share one fetch. Whoever began it may be cancelled; the others go
//! on with it, and it ends when nobody waits for it any more. If it fails, it fails for all of them,
//! and the next read tries again. Reads of other parameters wait for none of it.
//!
//! A [forced](Get::force_fetch) fetch is one of its own, since a running one may bring what was there
//! before. So is every read with a max age of zero.
//!
//! # Before the handler
//!
//! [`ParametersLayer`] declares what a handler needs: it is read while the function starts, kept
//! fresh, and [at hand](declared()) in the handler. Without one of those that are required the
//! handler does not run.
//!
//! # Between invocations
//!
//! Lambda freezes an execution environment when it has answered. So ages are told by two clocks, one
//! of which goes on meanwhile, and the greater age counts; setting the clock back makes no value
//! younger.
//!
//! A background task may be frozen in the middle of its fetch. Nothing waits for it, neither the
//! answer nor the end of the process. When the environment goes on its connection may be gone, and
//! the task ends by its [timeout](Parameters::timeout), counted by a clock that may have stood still;
//! a read that has to wait does not wait for a fetch that began longer ago than that, but begins
//! another.
//!
//! After a [restore from a snapshot](crate::SnapStart) everything is fetched anew, and nothing older
//! is served in its place.
//!
//! # Secrets
//!
//! - The bytes of a value are wiped from memory when its last clone is dropped. What the clients of a
//!   service, the reading and writing of their messages, and what a value is parsed into leave behind
//!   is not.
//! - No `Debug` text, no error, none of its sources and no log line of this module holds a value or a
//!   part of one; [`Value`] has no `Display` and no `Serialize`. Names and versions are shown.
//! - A secret that has been rotated is still kept for a while:
//!   [`with_secret`](Parameters::with_secret) fetches it again when it is refused.
//!
//! # Limits
//!
//! A thousand names and paths, 16 MiB in all, and 4 MiB for one value, unless
//! [set](Parameters::max_entries) [otherwise](Parameters::max_value_bytes). What was not read for the
//! longest time gives way. Types that values are parsed into are kept beside them and not counted.
//!
//! # Metrics
//!
//! By [choice](Parameters::metrics), and with feature `metrics`, each read adds to the metrics of its
//! invocation, as counts without dimensions of their own:
//!
//! | metric | one for each read that |
//! |---|---|
//! | `ParameterCacheHits` | was served what is kept |
//! | `ParameterCacheMisses` | had to wait for a fetch, its own or another's |
//! | `ParameterStale` | was served something older than its max age |
//! | `ParameterErrors` | had to wait for a fetch, and got an error |
//!
//! A background task belongs to no invocation. When a fetch fails because the provider is out of
//! order, and what is kept may still be served by the [`max_age`](Parameters::max_age) of the
//! `Parameters`, a warning names the parameter.

#[cfg(any(feature = "parameters-secrets-manager", feature = "parameters-ssm"))]
mod answers;
mod by_names;
mod cache;
mod client;
mod count;
mod declared;
mod environment;
mod error;
mod freshness;
mod get;
mod map;
mod provider;
#[cfg(any(
    feature = "parameters-appconfig",
    feature = "parameters-dynamodb",
    feature = "parameters-secrets-manager",
    feature = "parameters-ssm"
))]
mod sdk;
mod secret;
#[cfg(any(feature = "parameters-secrets-manager", feature = "parameters-ssm"))]
mod set;
mod transform;
mod value;

#[cfg(feature = "parameters-appconfig")]
pub mod appconfig;
#[cfg(feature = "parameters-dynamodb")]
pub mod dynamodb;
#[cfg(feature = "parameters-extension")]
pub mod extension;
#[cfg(feature = "parameters-secrets-manager")]
pub mod secrets_manager;
#[cfg(feature = "parameters-ssm")]
pub mod ssm;

pub use by_names::{BatchProvider, ByName, GetByNames, GetByNamesFuture, ValuesByName};
pub use client::Parameters;
pub(crate) use declared::Snapshot;
pub use declared::{
    Declare, ParametersError, ParametersLayer, ParametersService, ResponseFuture, declared,
};
pub use environment::EnvironmentProvider;
pub use error::{ParameterError, SecretError, TransformError};
pub(crate) use freshness::outdate;
pub use get::{Get, GetFuture, GetMultiple, GetMultipleFuture, TransformFuture};
pub use map::MapProvider;
#[cfg(feature = "testing")]
pub(crate) use map::below;
pub use provider::{Fetched, ParameterProvider, ProviderError, ProviderErrorKind};
#[cfg(any(feature = "parameters-secrets-manager", feature = "parameters-ssm"))]
pub use set::SetError;
pub use transform::Transformed;
pub use value::{Value, Values};
