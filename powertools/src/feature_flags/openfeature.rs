use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use open_feature::{
    EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode, EvaluationReason,
    EvaluationResult, FlagMetadata, StructValue,
    provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails},
};
use serde_json::{Map, Value};

use super::{
    Evaluation, EvaluationContext, FeatureFlags, FeatureFlagsError, FlagDocument, FlagStore,
    FlagStoreError, Reason, report::variant, value::Number,
};

/// The name of the provider, as OpenFeature's hooks see it.
const NAME: &str = "powertools";

/// The context's key for OpenFeature's targeting key, as OpenFeature itself spells it.
///
/// Source: <https://openfeature.dev/specification/sections/evaluation-context>
const TARGETING_KEY: &str = "targetingKey";

/// Flags for code that asks for them by the OpenFeature SDK.
///
/// It answers with a value or an error, so the policies of
/// [defaults](super#what-happens-when-there-is-no-document) are OpenFeature's: the caller decides.
///
/// | OpenFeature's context | the rules' context |
/// |---|---|
/// | the targeting key | `targetingKey`, or the [key](Self::targeting_key) that is set |
/// | a boolean, a number, a string | the same; a float that is no number is left out |
/// | a date and time | a string of RFC 3339 in UTC, such as `2026-11-23T12:00:00Z` |
/// | a struct that is a [`StructValue`], an [`open_feature::Value`] or a [`serde_json::Value`] | an object, or what the value is |
/// | any other struct | an error, `INVALID_CONTEXT` |
///
/// | the flag | reason |
/// |---|---|
/// | has no rules | `STATIC` |
/// | has rules, and none holds | `DEFAULT` |
/// | has a rule that holds | `TARGETING_MATCH`, or `SPLIT` if it is a percentage |
///
/// The variant is `on` or `off`, for other values than booleans the name of the rule, or `default`;
/// the rule is in the flag's metadata as well, as `rule`.
///
/// | error | code |
/// |---|---|
/// | no such flag | `FLAG_NOT_FOUND` |
/// | the value is of another type | `TYPE_MISMATCH` |
/// | the document is broken | `PARSE_ERROR` |
/// | the document is not available, or access to it is denied | `GENERAL` |
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use open_feature::{EvaluationContext, OpenFeature};
/// use powertools::feature_flags::{
///     FeatureFlags, FlagDocument, OpenFeatureProvider, StaticStore,
/// };
///
/// let document = FlagDocument::parse(r#"{
///     "new_checkout": {
///         "default": false,
///         "rules": {
///             "employees": {
///                 "when_match": true,
///                 "conditions": [{"action": "ENDSWITH", "key": "email", "value": "@example.com"}]
///             }
///         }
///     }
/// }"#)?;
/// let flags = FeatureFlags::new(StaticStore::new(document));
///
/// let mut api = OpenFeature::singleton_mut().await;
/// api.set_provider(OpenFeatureProvider::new(flags)).await;
/// let client = api.create_client();
///
/// let context = EvaluationContext::default().with_custom_field("email", "zoe@example.com");
/// assert_eq!(client.get_bool_value("new_checkout", Some(&context), None).await, Ok(true));
/// # Ok::<_, powertools::feature_flags::SchemaErrors>(())
/// # }).unwrap();
/// ```
#[must_use]
pub struct OpenFeatureProvider<S> {
    flags: FeatureFlags<S>,
    targeting_key: String,
    metadata: ProviderMetadata,
    is_failing: AtomicBool,
}

impl<S: FlagStore> OpenFeatureProvider<S> {
    /// Makes a provider of flags.
    pub fn new(flags: FeatureFlags<S>) -> Self {
        Self {
            flags: flags.fail_on_unknown_flag(true),
            targeting_key: TARGETING_KEY.to_owned(),
            metadata: ProviderMetadata::new(NAME),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Sets which key of the rules' context the targeting key is.
    ///
    /// Defaults to `targetingKey`. A field of the context that has that key itself comes first.
    pub fn targeting_key(mut self, key: impl Into<String>) -> Self {
        self.targeting_key = key.into();
        self
    }

    async fn resolve<T>(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
        read: impl Fn(&Evaluation<'_>) -> Option<T> + Send + Sync,
    ) -> EvaluationResult<ResolutionDetails<T>> {
        let context = self.context(context)?;
        let document = self.fetch().await.map_err(|error| store_failed(&error))?;
        let evaluator = self.flags.bind(Ok(Some(document)), context);
        let evaluation = evaluator.evaluate(flag).map_err(|error| failed(&error))?;
        let evaluation =
            evaluation.ok_or_else(|| failed(&FeatureFlagsError::unknown_flag(flag)))?;
        let value = read(&evaluation).ok_or_else(|| {
            failed(&FeatureFlagsError::wrong_type::<T>(
                flag,
                evaluation.value(),
            ))
        })?;
        Ok(ResolutionDetails {
            value,
            variant: Some(variant(&evaluation).to_owned()),
            reason: Some(reason(evaluation.reason())),
            flag_metadata: metadata(&evaluation),
        })
    }

    async fn fetch(&self) -> Result<Arc<FlagDocument>, FlagStoreError> {
        let document = self.flags.fetch().await;
        self.is_failing.store(document.is_err(), Ordering::Relaxed);
        document
    }

    fn context(
        &self,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<EvaluationContext> {
        let mut values = EvaluationContext::new();
        if let Some(key) = &context.targeting_key {
            values.insert(self.targeting_key.as_str(), key.as_str());
        }
        for (key, field) in &context.custom_fields {
            if let Some(value) = field_value(key, field)? {
                values.insert(key.as_str(), value);
            }
        }
        Ok(values)
    }
}

#[open_feature::async_trait]
impl<S: FlagStore> FeatureProvider for OpenFeatureProvider<S> {
    /// Fetches the document, so that the first flag does not wait for it.
    async fn initialize(&mut self, _: &open_feature::EvaluationContext) {
        // If it fails, so will the first flag, which says so.
        let _ = self.fetch().await;
    }

    /// Returns `Error` while the document that was last fetched for is missing.
    fn status(&self) -> ProviderStatus {
        if self.is_failing.load(Ordering::Relaxed) {
            ProviderStatus::Error
        } else {
            ProviderStatus::Ready
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve(flag, context, |it| it.value().as_bool()).await
    }

    async fn resolve_int_value(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve(flag, context, |it| int(it.value())).await
    }

    async fn resolve_float_value(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve(flag, context, |it| it.value().as_f64()).await
    }

    async fn resolve_string_value(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        let text = |it: &Evaluation<'_>| it.value().as_str().map(str::to_owned);
        self.resolve(flag, context, text).await
    }

    async fn resolve_struct_value(
        &self,
        flag: &str,
        context: &open_feature::EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        let members = |it: &Evaluation<'_>| it.value().as_object().and_then(to_struct);
        self.resolve(flag, context, members).await
    }
}

/// A whole number, also one that is written as `1.0`.
fn int(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    i64::try_from(Number::of(number)?.whole()?).ok()
}

/// OpenFeature has no null: members that are null are left out, and a list with one has no value.
fn to_struct(members: &Map<String, Value>) -> Option<StructValue> {
    let members = members.iter().filter(|(_, value)| !value.is_null());
    let fields = members.map(|(name, value)| Some((name.clone(), to_value(value)?)));
    Some(StructValue {
        fields: fields.collect::<Option<HashMap<_, _>>>()?,
    })
}

fn to_value(value: &Value) -> Option<open_feature::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => open_feature::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => open_feature::Value::Int(int),
            None => open_feature::Value::Float(number.as_f64()?),
        },
        Value::String(text) => open_feature::Value::String(text.clone()),
        Value::Array(elements) => {
            let elements = elements.iter().map(to_value);
            open_feature::Value::Array(elements.collect::<Option<_>>()?)
        }
        Value::Object(members) => open_feature::Value::Struct(to_struct(members)?),
    })
}

/// Returns a field as JSON, or `None` for a number that JSON does not have.
fn field_value(key: &str, field: &EvaluationContextFieldValue) -> EvaluationResult<Option<Value>> {
    Ok(Some(match field {
        EvaluationContextFieldValue::Bool(value) => Value::from(*value),
        EvaluationContextFieldValue::Int(value) => Value::from(*value),
        EvaluationContextFieldValue::Float(value) if !value.is_finite() => return Ok(None),
        EvaluationContextFieldValue::Float(value) => Value::from(*value),
        EvaluationContextFieldValue::String(text) => Value::from(text.as_str()),
        EvaluationContextFieldValue::DateTime(time) => {
            let time = Timestamp::from_nanosecond(time.unix_timestamp_nanos());
            Value::from(time.map_err(|_| invalid_field(key))?.to_string())
        }
        EvaluationContextFieldValue::Struct(any) => {
            from_any(any).ok_or_else(|| invalid_field(key))?
        }
    }))
}

fn from_any(any: &Arc<dyn Any + Send + Sync>) -> Option<Value> {
    if let Some(value) = any.downcast_ref::<StructValue>() {
        Some(from_struct(value))
    } else if let Some(value) = any.downcast_ref::<open_feature::Value>() {
        Some(from_value(value))
    } else {
        any.downcast_ref::<Value>().cloned()
    }
}

fn from_struct(value: &StructValue) -> Value {
    let fields = value.fields.iter();
    fields
        .map(|(name, value)| (name.clone(), from_value(value)))
        .collect()
}

fn from_value(value: &open_feature::Value) -> Value {
    match value {
        open_feature::Value::Bool(value) => Value::from(*value),
        open_feature::Value::Int(value) => Value::from(*value),
        open_feature::Value::Float(value) => Value::from(*value),
        open_feature::Value::String(text) => Value::from(text.as_str()),
        open_feature::Value::Array(elements) => elements.iter().map(from_value).collect(),
        open_feature::Value::Struct(value) => from_struct(value),
    }
}

fn reason(reason: Reason<'_>) -> EvaluationReason {
    match reason {
        Reason::Static => EvaluationReason::Static,
        Reason::Default => EvaluationReason::Default,
        Reason::RuleMatch { .. } => EvaluationReason::TargetingMatch,
        Reason::Rollout { .. } => EvaluationReason::Split,
    }
}

fn metadata(evaluation: &Evaluation<'_>) -> Option<FlagMetadata> {
    let rule = evaluation.reason().rule()?;
    Some(FlagMetadata::default().with_value("rule", rule))
}

fn failed(error: &FeatureFlagsError) -> EvaluationError {
    let code = match error {
        FeatureFlagsError::UnknownFlag { .. } => EvaluationErrorCode::FlagNotFound,
        FeatureFlagsError::WrongType { .. } => EvaluationErrorCode::TypeMismatch,
        FeatureFlagsError::Store(_) | FeatureFlagsError::NoLayer => {
            EvaluationErrorCode::General("GENERAL".to_owned())
        }
    };
    EvaluationError {
        code,
        message: Some(error.to_string()),
    }
}

fn store_failed(error: &FlagStoreError) -> EvaluationError {
    let code = if error.is_broken() {
        EvaluationErrorCode::ParseError
    } else {
        EvaluationErrorCode::General("GENERAL".to_owned())
    };
    EvaluationError {
        code,
        message: Some(error.to_string()),
    }
}

fn invalid_field(key: &str) -> EvaluationError {
    EvaluationError {
        code: EvaluationErrorCode::InvalidContext,
        message: Some(format!(
            "field `{key}` of the context cannot be read as JSON"
        )),
    }
}

impl<S: fmt::Debug> fmt::Debug for OpenFeatureProvider<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFeatureProvider")
            .field("flags", &self.flags)
            .field("targeting_key", &self.targeting_key)
            .finish_non_exhaustive()
    }
}
