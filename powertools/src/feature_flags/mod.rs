//! Flags by rules.
//!
//! # Documents
//!
//! A [`FlagDocument`] says which flags there are and whom they are on for. It is the JSON of the other
//! Powertools toolkits, which take one and the same document; its own documentation lists all that
//! can be said in it: conditions about what is known of a request, about the time, and about a share
//! of all users. Flags of AppConfig's own type are read as well.
//!
//! [`validate`] finds everything that is wrong with a document, and where, before it is deployed.
//!
//! # Evaluating
//!
//! [`FeatureFlagsLayer`] binds flags to each request: a closure says what is known about it, and the
//! handler asks [`current`].
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use lambda_runtime::{Error, LambdaEvent};
//! use powertools::{
//!     feature_flags::{
//!         self, EvaluationContext, FeatureFlags, FeatureFlagsLayer, FlagDocument, StaticStore,
//!     },
//!     testing,
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! struct Order { tenant: String, tier: String }
//!
//! async fn handler(event: LambdaEvent<Order>) -> Result<u32, Error> {
//!     let flags = feature_flags::current()?;
//!     if flags.is_enabled("new_checkout", false)? {
//!         // …
//!     }
//!     Ok(flags.value("max_items", 10)?)
//! }
//!
//! let document = FlagDocument::parse(r#"{
//!     "new_checkout": {"default": true},
//!     "max_items": {
//!         "boolean_type": false,
//!         "default": 50,
//!         "rules": {
//!             "paying tenants": {
//!                 "when_match": 500,
//!                 "conditions": [{"action": "IN", "key": "tier", "value": ["pro", "max"]}]
//!             }
//!         }
//!     }
//! }"#)?;
//! let flags = FeatureFlags::new(StaticStore::new(document));
//! let layer = FeatureFlagsLayer::new(flags, |event: &LambdaEvent<Order>| {
//!     EvaluationContext::new()
//!         .with("tenant_id", event.payload.tenant.as_str())
//!         .with("tier", event.payload.tier.as_str())
//! });
//! let service = ServiceBuilder::new().layer(layer).service_fn(handler);
//!
//! let order = Order { tenant: "t1".to_owned(), tier: "pro".to_owned() };
//! let max_items = service.oneshot(LambdaEvent::new(order, testing::context("52fdfc07"))).await?;
//! assert_eq!(max_items, 500);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! | asked | answers |
//! |---|---|
//! | [`is_enabled`](Evaluator::is_enabled) | whether a flag is on |
//! | [`value`](Evaluator::value) | its value, as the type that the default has |
//! | [`enabled`](Evaluator::enabled) | the names of the flags that are on |
//! | [`evaluate`](Evaluator::evaluate) | the value, the reason for it, and the attributes that a flag of AppConfig has |
//!
//! The document is fetched once in an invocation, before the handler is called, and rules about the
//! time go by that moment: a flag does not change while a request is handled. Nothing that the
//! handler asks waits. A task that it spawns runs in the invocation's
//! [scope](crate::Invocation::scope), or takes the [`Evaluator`] along. Around one record of a batch,
//! the layer binds the flags to the record.
//!
//! Documents come from a [`FlagStore`]: a [`StaticStore`]; with feature `parameters` a
//! `ParameterStore`, for whatever [`Parameters`](crate::parameters::Parameters) can fetch, which
//! shows how no invocation waits for the service; or one of your own.
//!
//! The configured use, for code without a layer:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use powertools::feature_flags::{EvaluationContext, FeatureFlags, FlagDocument, StaticStore};
//!
//! let document = FlagDocument::parse(r#"{"dark_mode": {"default": true}}"#).unwrap();
//! let flags = FeatureFlags::new(StaticStore::new(document))
//!     .fail_on_unknown_flag(true)
//!     .log(true);
//!
//! let context = EvaluationContext::new().with("tier", "pro");
//! assert!(flags.is_enabled("dark_mode", &context, false).await?);
//! assert!(flags.is_enabled("dark_mood", &context, false).await.is_err());
//! # Ok::<_, powertools::feature_flags::FeatureFlagsError>(())
//! # }).unwrap();
//! ```
//!
//! # What happens when there is no document
//!
//! | what | by default | by choice |
//! |---|---|---|
//! | the document is not available: it is not there, or the service fails, throttles or is slow | the callers' defaults hold, with a warning for each fetch that fails | an [error](FeatureFlags::fail_when_unavailable) |
//! | access to it is denied | an error | |
//! | it is broken | the last good document holds, with a warning for each broken one; an error if there is none | an [error](FeatureFlags::keep_last_good) |
//! | it has no such flag | the caller's default holds, with a warning for each name | an [error](FeatureFlags::fail_on_unknown_flag) |
//! | the flag's value does not make the type that was asked for | an error | |
//! | a comparison makes no sense for the type of the context's value | the condition does not hold, with a warning for each flag, rule and key | [you decide](FeatureFlags::on_mismatch) |
//!
//! The errors are [`FeatureFlagsError`]s of whoever asks; the layer itself fails no invocation, unless
//! the flags are [required](FeatureFlagsLayer::required). Neither errors nor warnings quote values.
//! There are at most 100 warnings of names, rules and keys.
//!
//! A store that is not available is left alone for a second, and for twice as long each further time,
//! up to 30 s: so not every invocation waits for it until a time is over. Meanwhile the same failure
//! holds, without another warning.
//!
//! # Metrics and log lines
//!
//! Both are off until they are switched on, and an [`Evaluator`] reports each flag once, however
//! often it is asked: what is counted are requests that a flag has had a say in.
//! [`enabled`](Evaluator::enabled) reports nothing.
//!
//! With [`metrics`](FeatureFlags::metrics), each is an object of its own, because the dimensions are
//! those of the flag alone:
//!
//! ```json
//! {"_aws":{"Timestamp":1795392000000,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["flag","variant","service"]],"Metrics":[{"Name":"FeatureFlagEvaluations","Unit":"Count"}]}]},"flag":"new_checkout","variant":"on","service":"orders","FeatureFlagEvaluations":1}
//! ```
//!
//! CloudWatch bills each pair of flag and variant as a metric of its own, and each object as some 280
//! bytes of log. That is worth it while a flag is being rolled out; for flags that stay, the
//! log line says the same and can be searched for.
//!
//! With [`log`](FeatureFlags::log), it is a line at `INFO`:
//!
//! ```json
//! {"level":"INFO","message":"feature flag evaluated","flag":"new_checkout","variant":"on","reason":"rule_match","rule":"paying tenants"}
//! ```
//!
//! (With the other keys of a [line](crate::logging#the-line).)
//!
//! | variant | when |
//! |---|---|
//! | `on`, `off` | the flag is a boolean |
//! | the rule's name, or `default` | it is something else |
//! | what the AppConfig agent chose | it is a flag of AppConfig's own type with variants |
//! | `fallback` | the caller's default held |
//!
//! The reason is `static` (the flag has no rules), `default` (none of them holds), `rule_match`,
//! `rollout` (the same, with a percentage), or `error` where the caller's default held.

mod action;
mod condition;
mod config;
mod context;
mod decider;
mod document;
mod elements;
mod error;
mod evaluation;
mod evaluator;
mod flags;
mod future;
mod json;
mod layer;
mod modulo;
mod native;
#[cfg(feature = "openfeature")]
mod openfeature;
#[cfg(feature = "parameters")]
mod parameter_store;
mod problem;
mod report;
mod rollout;
mod schedule;
mod schema;
mod service;
mod store;
mod value;

pub use context::EvaluationContext;
pub use document::{FlagDocument, validate};
pub use error::{FeatureFlagsError, FlagStoreError, RequiredFlagsError};
pub use evaluation::{Evaluation, Mismatch, Reason};
pub use evaluator::{Evaluator, current};
pub use flags::FeatureFlags;
pub use future::ResponseFuture;
pub use layer::{FeatureFlagsLayer, Optional, Required};
#[cfg(feature = "openfeature")]
pub use openfeature::OpenFeatureProvider;
#[cfg(feature = "parameters")]
pub use parameter_store::ParameterStore;
pub use problem::{Problem, ProblemKind, SchemaErrors};
pub use service::FeatureFlagsService;
pub use store::{FlagStore, StaticStore};
