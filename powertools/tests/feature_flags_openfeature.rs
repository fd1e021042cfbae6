//! Feature flags behind the OpenFeature SDK.
#![cfg(all(feature = "openfeature", feature = "testing"))]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationErrorCode, EvaluationReason,
    FlagMetadataValue, OpenFeature, StructValue, Value,
    provider::{FeatureProvider, ProviderStatus},
};
use powertools::feature_flags::{
    FeatureFlags, FlagDocument, FlagStore, FlagStoreError, OpenFeatureProvider, StaticStore,
};
use serde_json::json;

const DOCUMENT: &str = r#"{
    "dark_mode": {"default": true},
    "new_checkout": {
        "default": false,
        "rules": {
            "employees": {
                "when_match": true,
                "conditions": [{"action": "ENDSWITH", "key": "email", "value": "@example.com"}]
            }
        }
    },
    "canary": {
        "default": false,
        "rules": {
            "everybody": {
                "when_match": true,
                "conditions": [
                    {"action": "ROLLOUT_PERCENTAGE", "key": "targetingKey", "value": {"PERCENTAGE": 100}}
                ]
            }
        }
    },
    "page_size": {"boolean_type": false, "default": 20},
    "whole": {"boolean_type": false, "default": 3.0},
    "huge": {"boolean_type": false, "default": 18446744073709551615},
    "ratio": {"boolean_type": false, "default": 0.25},
    "colour": {
        "boolean_type": false,
        "default": "red",
        "rules": {
            "greens": {
                "when_match": "green",
                "conditions": [{"action": "EQUALS", "key": "team", "value": {"name": "green", "size": 2}}]
            }
        }
    },
    "theme": {
        "boolean_type": false,
        "default": {"name": "plain", "sizes": [1, 2.5], "dark": {"on": true}, "parent": null}
    },
    "holes": {"boolean_type": false, "default": {"sizes": [1, null]}}
}"#;

fn provider() -> OpenFeatureProvider<StaticStore> {
    let document = FlagDocument::parse(DOCUMENT).unwrap();
    OpenFeatureProvider::new(FeatureFlags::new(StaticStore::new(document)))
}

fn nobody() -> EvaluationContext {
    EvaluationContext::default()
}

type Answer = Result<Arc<FlagDocument>, FlagStoreError>;

struct Told(Mutex<Answer>);

impl FlagStore for Told {
    async fn document(&self) -> Answer {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn each_type_is_resolved() {
    let provider = provider();
    let nobody = nobody();
    let bool = provider.resolve_bool_value("dark_mode", &nobody).await;
    assert!(bool.unwrap().value);
    let int = provider.resolve_int_value("page_size", &nobody).await;
    assert_eq!(int.unwrap().value, 20);
    let whole = provider.resolve_int_value("whole", &nobody).await;
    assert_eq!(whole.unwrap().value, 3);
    let float = provider.resolve_float_value("ratio", &nobody).await;
    assert_eq!(float.unwrap().value, 0.25);
    let int_as_float = provider.resolve_float_value("page_size", &nobody).await;
    assert_eq!(int_as_float.unwrap().value, 20.0);
    let text = provider.resolve_string_value("colour", &nobody).await;
    assert_eq!(text.unwrap().value, "red");

    let theme = provider.resolve_struct_value("theme", &nobody).await;
    let expected = StructValue::default()
        .with_field("name", "plain")
        .with_field(
            "sizes",
            Value::Array(vec![Value::Int(1), Value::Float(2.5)]),
        )
        .with_field("dark", StructValue::default().with_field("on", true));
    assert_eq!(theme.unwrap().value, expected);
}

#[tokio::test]
async fn a_resolution_has_a_reason_a_variant_and_its_rule() {
    let provider = provider();
    let employee = nobody()
        .with_custom_field("email", "zoe@example.com")
        .with_targeting_key("zoe");

    let details = provider.resolve_bool_value("dark_mode", &employee).await;
    let details = details.unwrap();
    assert_eq!(details.reason, Some(EvaluationReason::Static));
    assert_eq!(details.variant.as_deref(), Some("on"));
    assert_eq!(details.flag_metadata, None);

    let details = provider.resolve_bool_value("new_checkout", &nobody()).await;
    let details = details.unwrap();
    assert_eq!(details.reason, Some(EvaluationReason::Default));
    assert_eq!(details.variant.as_deref(), Some("off"));

    let details = provider.resolve_bool_value("new_checkout", &employee).await;
    let details = details.unwrap();
    assert_eq!(details.reason, Some(EvaluationReason::TargetingMatch));
    assert_eq!(
        details.flag_metadata.unwrap().values,
        HashMap::from([(
            "rule".to_owned(),
            FlagMetadataValue::String("employees".to_owned())
        )])
    );

    let details = provider.resolve_bool_value("canary", &employee).await;
    assert_eq!(details.unwrap().reason, Some(EvaluationReason::Split));

    let details = provider.resolve_int_value("page_size", &employee).await;
    assert_eq!(details.unwrap().variant.as_deref(), Some("default"));
}

#[tokio::test]
async fn the_targeting_key_is_a_key_of_the_context() {
    let provider = provider();
    let details = provider.resolve_bool_value("canary", &nobody()).await;
    assert!(!details.unwrap().value, "without a key it cannot match");

    let text = r#"{
        "for_zoe": {
            "default": false,
            "rules": {
                "zoe": {
                    "when_match": true,
                    "conditions": [{"action": "EQUALS", "key": "user_id", "value": "zoe"}]
                }
            }
        }
    }"#;
    let flags = FeatureFlags::new(StaticStore::new(FlagDocument::parse(text).unwrap()));
    let zoe = nobody().with_targeting_key("zoe");
    let plain = OpenFeatureProvider::new(flags.clone());
    let details = plain.resolve_bool_value("for_zoe", &zoe).await;
    assert!(!details.unwrap().value);
    let renamed = OpenFeatureProvider::new(flags).targeting_key("user_id");
    let details = renamed.resolve_bool_value("for_zoe", &zoe).await;
    assert!(details.unwrap().value);
    // A field of that name comes first.
    let other = zoe.with_custom_field("user_id", "yann");
    let details = renamed.resolve_bool_value("for_zoe", &other).await;
    assert!(!details.unwrap().value);
}

#[tokio::test]
async fn fields_of_the_context_are_read_as_json() {
    // Each rule holds for exactly what its field has to become.
    let fields: [(EvaluationContextFieldValue, serde_json::Value); 8] = [
        (true.into(), json!(true)),
        (7.into(), json!(7)),
        (2.5.into(), json!(2.5)),
        ("text".into(), json!("text")),
        (
            EvaluationContextFieldValue::DateTime(
                (UNIX_EPOCH + Duration::from_secs(1_795_392_000)).into(),
            ),
            json!("2026-11-23T00:00:00Z"),
        ),
        (
            EvaluationContextFieldValue::new_struct(
                StructValue::default()
                    .with_field("name", "green")
                    .with_field("tags", vec!["a", "b"]),
            ),
            json!({"name": "green", "tags": ["a", "b"]}),
        ),
        (
            EvaluationContextFieldValue::new_struct(Value::Array(vec![Value::Int(1)])),
            json!([1]),
        ),
        (
            EvaluationContextFieldValue::new_struct(json!({"a": null})),
            json!({"a": null}),
        ),
    ];
    for (field, value) in fields {
        let document = json!({
            "flag": {
                "default": false,
                "rules": {
                    "rule": {
                        "when_match": true,
                        "conditions": [{"action": "EQUALS", "key": "key", "value": value}]
                    }
                }
            }
        });
        let document = FlagDocument::parse(&document.to_string()).unwrap();
        let provider = OpenFeatureProvider::new(FeatureFlags::new(StaticStore::new(document)));
        let context = nobody().with_custom_field("key", field);
        let details = provider.resolve_bool_value("flag", &context).await;
        assert!(details.unwrap().value, "{value}");
    }
}

#[tokio::test]
async fn a_float_that_is_no_number_is_left_out() {
    let text = r#"{
        "flag": {
            "default": false,
            "rules": {
                "not null": {
                    "when_match": true,
                    "conditions": [{"action": "NOT_EQUALS", "key": "ratio", "value": 1}]
                }
            }
        }
    }"#;
    let flags = FeatureFlags::new(StaticStore::new(FlagDocument::parse(text).unwrap()));
    let provider = OpenFeatureProvider::new(flags);
    for (ratio, expected) in [(0.5, true), (f64::NAN, false), (f64::INFINITY, false)] {
        let context = nobody().with_custom_field("ratio", ratio);
        let details = provider.resolve_bool_value("flag", &context).await;
        assert_eq!(details.unwrap().value, expected, "{ratio}");
    }
}

#[tokio::test]
async fn a_struct_that_cannot_be_read_is_an_error_that_names_the_field() {
    #[derive(Debug)]
    struct Opaque;

    let context =
        nobody().with_custom_field("team", EvaluationContextFieldValue::new_struct(Opaque));
    let error = provider()
        .resolve_bool_value("dark_mode", &context)
        .await
        .unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::InvalidContext);
    assert_eq!(
        error.message.as_deref(),
        Some("field `team` of the context cannot be read as JSON")
    );
}

#[tokio::test]
async fn an_unknown_flag_is_not_found() {
    let error = provider()
        .resolve_bool_value("gone", &nobody())
        .await
        .unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::FlagNotFound);
    assert_eq!(
        error.message.as_deref(),
        Some("there is no feature flag `gone`")
    );
}

#[tokio::test]
async fn a_value_of_another_type_is_a_mismatch() {
    let provider = provider();
    let nobody = nobody();
    let mut codes = Vec::new();
    for flag in ["page_size", "colour", "theme"] {
        let error = provider.resolve_bool_value(flag, &nobody).await;
        codes.push(error.unwrap_err());
    }
    for flag in ["ratio", "huge", "dark_mode", "colour"] {
        let error = provider.resolve_int_value(flag, &nobody).await;
        codes.push(error.unwrap_err());
    }
    codes.push(
        provider
            .resolve_float_value("colour", &nobody)
            .await
            .unwrap_err(),
    );
    codes.push(
        provider
            .resolve_string_value("page_size", &nobody)
            .await
            .unwrap_err(),
    );
    for flag in ["colour", "holes"] {
        let error = provider.resolve_struct_value(flag, &nobody).await;
        codes.push(error.unwrap_err());
    }
    assert_eq!(codes.len(), 11);
    for error in codes {
        assert_eq!(error.code, EvaluationErrorCode::TypeMismatch);
        assert!(!error.message.unwrap().contains("red"));
    }
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_and_no_default() {
    let broken = FlagDocument::parse("[]").unwrap_err();
    for (failure, code) in [
        (
            FlagStoreError::unavailable("flags", "connection reset"),
            EvaluationErrorCode::General("GENERAL".to_owned()),
        ),
        (
            FlagStoreError::access_denied("flags", "no permission"),
            EvaluationErrorCode::General("GENERAL".to_owned()),
        ),
        (
            FlagStoreError::invalid("flags", broken),
            EvaluationErrorCode::ParseError,
        ),
    ] {
        let store = Arc::new(Told(Mutex::new(Err(failure))));
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let clock = Arc::clone(&now);
        let flags = FeatureFlags::new(Arc::clone(&store));
        let mut provider =
            OpenFeatureProvider::new(flags.with_clock(move || *clock.lock().unwrap()));
        provider.initialize(&nobody()).await;
        assert_eq!(provider.status(), ProviderStatus::Error);
        let error = provider
            .resolve_bool_value("dark_mode", &nobody())
            .await
            .unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.unwrap().contains("flag document `flags`"));

        *store.0.lock().unwrap() = Ok(Arc::new(FlagDocument::parse(DOCUMENT).unwrap()));
        *now.lock().unwrap() += Duration::from_secs(1);
        let details = provider.resolve_bool_value("dark_mode", &nobody()).await;
        assert!(details.unwrap().value);
        assert_eq!(provider.status(), ProviderStatus::Ready);
    }
}

#[tokio::test]
async fn a_client_of_the_sdk_sees_the_flags() {
    let mut api = OpenFeature::singleton_mut().await;
    api.set_named_provider("shop", provider()).await;
    api.set_evaluation_context(nobody().with_custom_field("email", "zoe@example.com"))
        .await;
    let client = api.create_named_client("shop");
    drop(api);

    let is_on = client.get_bool_value("new_checkout", None, None).await;
    assert_eq!(is_on, Ok(true));
    let details = client.get_string_details("colour", None, None).await;
    assert_eq!(details.unwrap().value, "red");
    let team = StructValue::default()
        .with_field("name", "green")
        .with_field("size", 2);
    let green = nobody().with_custom_field("team", EvaluationContextFieldValue::new_struct(team));
    let colour = client.get_string_value("colour", Some(&green), None).await;
    assert_eq!(colour.as_deref(), Ok("green"));
    let gone = client.get_int_value("gone", None, None).await;
    assert_eq!(gone.unwrap_err().code, EvaluationErrorCode::FlagNotFound);
}

#[test]
fn the_provider_can_be_shared() {
    fn is_shared<T: FeatureProvider + Send + Sync + std::fmt::Debug>(_: &T) {}
    is_shared(&provider());
}
