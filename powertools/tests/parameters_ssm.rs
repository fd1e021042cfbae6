//! Parameters of Systems Manager, from a service in memory.
#![cfg(all(feature = "parameters-ssm", feature = "testing"))]

mod aws;

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use aws::{Answer, Call, Service, everything, refused};
use aws_sdk_ssm::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    types::ParameterTier,
};
use powertools::{
    Env,
    parameters::{ByName, ParameterError, Parameters, SetError, Value, ssm::SsmProvider},
    testing::Clock,
};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

/// What must not be shown anywhere.
const SECRET: &str = "hunter2-and-more";
const SECOND: Duration = Duration::from_secs(1);

fn parameters(service: &Service) -> Parameters<SsmProvider> {
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(retries)
        .http_client(service.http_client());
    let provider = SsmProvider::new(Client::from_conf(config.build()));
    Parameters::from_env(provider, &Env::default())
}

/// A Parameter Store with parameters of version 1, that decrypts what it is told to.
fn store<const N: usize>(values: [(&'static str, &'static str); N]) -> Service {
    let values = BTreeMap::from(values);
    Service::new(move |_, call| {
        let decrypts = call.input["WithDecryption"] == true;
        let parameter = |name: &str| {
            let value = *values.get(name)?;
            Some(parameter(name, if decrypts { value } else { "AQICAH" }, 1))
        };
        match &*call.operation {
            "GetParameter" => match parameter(call.input["Name"].as_str().unwrap()) {
                Some(found) => Answer::Ok(json!({ "Parameter": found })),
                None => refused("ParameterNotFound", ""),
            },
            "GetParameters" => {
                let names = call.input["Names"].as_array().unwrap();
                assert!((1..=10).contains(&names.len()), "{names:?}");
                let names = names.iter().map(|name| name.as_str().unwrap());
                let (found, invalid): (Vec<_>, Vec<_>) =
                    names.partition(|name| values.contains_key(name));
                // In another order than they were asked for.
                let found: Vec<_> = found.into_iter().rev().filter_map(parameter).collect();
                Answer::Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
            }
            "PutParameter" => Answer::Ok(json!({ "Version": 7, "Tier": "Standard" })),
            operation => panic!("{operation}"),
        }
    })
}

fn parameter(name: &str, value: &str, version: u32) -> Json {
    json!({
        "Name": name,
        "ARN": format!("arn:aws:ssm:eu-west-1:123456789012:parameter{name}"),
        "Type": "SecureString",
        "Value": value,
        "Version": version,
        "LastModifiedDate": 1_700_000_000.123,
    })
}

fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Service {
    Service::new(move |_, _| answer())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_parameter_comes_as_it_was_asked_for() {
    let service = store([("/shop/db", SECRET)]);
    let parameters = parameters(&service);
    let decrypted = parameters.get("/shop/db").decrypt().await.unwrap();
    assert_eq!((text(&decrypted), decrypted.version()), (SECRET, Some("1")));
    // Kept apart from the other.
    let encrypted = parameters.get("/shop/db").await.unwrap();
    assert_eq!(text(&encrypted), "AQICAH");
    let decrypted = parameters.get("/shop/db").decrypt().await.unwrap();
    assert_eq!(text(&decrypted), SECRET);

    let calls = service.calls();
    let inputs: Vec<_> = calls.iter().map(|call| call.input.clone()).collect();
    assert_eq!(
        inputs,
        [
            json!({ "Name": "/shop/db", "WithDecryption": true }),
            json!({ "Name": "/shop/db", "WithDecryption": false }),
        ]
    );
}

#[tokio::test]
async fn a_version_or_a_label_is_a_part_of_the_name() {
    let service = store([("/shop/url:3", "old"), ("/shop/url:stable", "older")]);
    let parameters = parameters(&service);
    let old = parameters.get("/shop/url:3").decrypt().await.unwrap();
    let older = parameters.get("/shop/url:stable").decrypt().await.unwrap();
    assert_eq!((text(&old), text(&older)), ("old", "older"));
}

/// Each answer, the kind that it is, how often it is asked for, and what the source says.
#[tokio::test]
async fn what_fails_is_told_by_its_kind() {
    type Case = (
        fn() -> Answer,
        fn(&ParameterError) -> bool,
        usize,
        &'static str,
    );
    let cases: [Case; 11] = [
        (
            || refused("ParameterNotFound", ""),
            ParameterError::is_not_found,
            1,
            "ParameterNotFound",
        ),
        (
            || refused("ParameterVersionNotFound", "no version 3"),
            ParameterError::is_not_found,
            1,
            "ParameterVersionNotFound: no version 3 (request id 4f8e1c2a)",
        ),
        (
            || refused("AccessDeniedException", "no policy allows ssm:GetParameter"),
            ParameterError::is_access_denied,
            1,
            "AccessDeniedException: no policy allows ssm:GetParameter (request id 4f8e1c2a)",
        ),
        (
            || refused("InvalidKeyId", "the key is disabled"),
            ParameterError::is_access_denied,
            1,
            "InvalidKeyId: the key is disabled",
        ),
        (
            || refused("UnrecognizedClientException", "the token is invalid"),
            ParameterError::is_access_denied,
            1,
            "UnrecognizedClientException",
        ),
        (
            || refused("ThrottlingException", "Rate exceeded"),
            |error| matches!(error, ParameterError::Throttled { .. }),
            3,
            "ThrottlingException: Rate exceeded",
        ),
        (
            || refused("ExpiredTokenException", "the token has expired"),
            |error| matches!(error, ParameterError::Provider { .. }) && error.is_transient(),
            1,
            "ExpiredTokenException: the token has expired",
        ),
        (
            || refused("ValidationException", "no such form of a name"),
            |error| matches!(error, ParameterError::InvalidRequest { .. }),
            1,
            "ValidationException",
        ),
        (
            || Answer::Refused(500, "InternalServerError", String::new()),
            |error| matches!(error, ParameterError::Provider { .. }) && error.is_transient(),
            3,
            "InternalServerError",
        ),
        (
            || Answer::Broken,
            |error| matches!(error, ParameterError::Provider { .. }) && error.is_transient(),
            3,
            "connection reset",
        ),
        (
            || Answer::Ok(json!({})),
            |error| matches!(error, ParameterError::Provider { .. }),
            1,
            "the answer, of status 200, is not understood",
        ),
    ];
    for (answer, is_kind, calls, source) in cases {
        let service = always(answer);
        let error = parameters(&service).get("/shop/db").await.unwrap_err();
        let shown = everything(&error);
        assert!(is_kind(&error), "{shown}");
        assert_eq!(error.name(), "/shop/db");
        assert!(shown.contains(source), "{source}: {shown}");
        assert_eq!(service.calls().len(), calls, "{shown}");
    }
}

/// The errors of the SDK's reader of JSON quote what they cannot read, and the SDK's own errors show
/// the whole answer.
#[tokio::test]
async fn nothing_of_an_answer_that_cannot_be_read_is_shown() {
    for garbage in [
        SECRET.to_owned(),
        format!("<html>{SECRET}</html>"),
        format!(r#"{{"Parameter":{{"Value":"{SECRET}"#),
        format!(r#"{{"Parameter":{{"Value":"\ud800{SECRET}"}}}}"#),
        format!(r#"{{"Parameter":{{"Value":"{SECRET}","Version":"x"}}}}"#),
        format!(r#"{{"Parameter":"{SECRET}"}}"#),
    ] {
        let body = garbage.clone();
        let service = always(move || Answer::Garbage(body.clone()));
        let parameters = parameters(&service);
        let error = parameters.get("/shop/db").decrypt().await.unwrap_err();
        let shown = everything(&error);
        assert!(matches!(error, ParameterError::Provider { .. }), "{shown}");
        assert!(!shown.contains("hunter2"), "{garbage}: {shown}");

        let values = parameters.get_by_names(["/shop/db"]).decrypt().await;
        let shown = everything(&values.get("/shop/db").unwrap_err());
        assert!(!shown.contains("hunter2"), "{garbage}: {shown}");
        // Without parameters it is an empty one.
        if let Err(error) = parameters.get_multiple("/shop").await {
            let shown = everything(&error);
            assert!(!shown.contains("hunter2"), "{garbage}: {shown}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_value_is_shown() {
    fn hides(what: &impl Debug) {
        let text = format!("{what:?} {what:#?}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let service = store([("/shop/db", SECRET)]);
    let parameters = parameters(&service);
    hides(&parameters.get("/shop/db").decrypt().await.unwrap());
    hides(&parameters.get_by_names(["/shop/db"]).decrypt().await);
    let set = parameters.set("/shop/db", SECRET).secure();
    assert!(format!("{set:?}").contains("SecureString"));
    hides(&set);
    hides(&set.clone().into_future());
    hides(&parameters);
}

#[tokio::test]
async fn a_path_has_all_its_pages_by_relative_names() {
    let service = Service::new(|number, call| {
        assert_eq!(call.operation, "GetParametersByPath");
        let pages = [
            json!({
                "Parameters": [parameter("/shop/url", "u", 1), parameter("/shop/db/user", "n", 2)],
                "NextToken": "two",
            }),
            // A page may be empty and not be the last.
            json!({ "Parameters": [], "NextToken": "three" }),
            json!({ "Parameters": [parameter("/shop/db/password", "p", 3)] }),
        ];
        let token = ["two", "three"].get(number.wrapping_sub(1)).copied();
        assert_eq!(call.input["NextToken"].as_str(), token);
        Answer::Ok(pages[number].clone())
    });
    let parameters = parameters(&service);
    let values = parameters.get_multiple("/shop/").decrypt().await.unwrap();
    let seen: Vec<_> = values
        .iter()
        .map(|(name, value)| {
            assert_eq!(value.name(), format!("/shop/{name}"));
            (name, text(value), value.version())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("db/password", "p", Some("3")),
            ("db/user", "n", Some("2")),
            ("url", "u", Some("1")),
        ]
    );
    assert_eq!(
        service.calls()[0].input,
        json!({ "Path": "/shop/", "Recursive": true, "WithDecryption": true, "MaxResults": 10 })
    );
}

#[tokio::test]
async fn a_path_of_one_level_is_kept_apart_from_that_of_all() {
    let service = Service::new(|_, call| {
        let all = [
            parameter("/shop/url", "u", 1),
            parameter("/shop/db/user", "n", 1),
        ];
        let levels = if call.input["Recursive"] == true {
            2
        } else {
            1
        };
        Answer::Ok(json!({ "Parameters": all[..levels] }))
    });
    let parameters = parameters(&service);
    for _ in 0..2 {
        let all = parameters.get_multiple("/shop").await.unwrap();
        let one = parameters
            .get_multiple("/shop")
            .recursive(false)
            .await
            .unwrap();
        assert_eq!((all.len(), one.len()), (2, 1));
    }
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn a_path_fails_as_a_whole_if_one_of_its_pages_does() {
    let service = Service::new(|number, _| match number {
        0 => Answer::Ok(json!({ "Parameters": [parameter("/a/b", "1", 1)], "NextToken": "n" })),
        _ => refused("AccessDeniedException", ""),
    });
    let error = parameters(&service).get_multiple("/a").await.unwrap_err();
    assert!(error.is_access_denied(), "{error:?}");
    // One that hands out the same page for ever is not followed.
    let service = always(|| Answer::Ok(json!({ "Parameters": [], "NextToken": "n" })));
    let error = parameters(&service).get_multiple("/a").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Provider { .. }),
        "{error:?}"
    );
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn twenty_three_names_are_three_calls() {
    let names: Vec<_> = (0..23).map(|number| format!("/many/{number}")).collect();
    let service = Service::new(|_, call| {
        let names = call.input["Names"].as_array().unwrap().iter();
        let found: Vec<_> = names
            .map(|name| parameter(name.as_str().unwrap(), name.as_str().unwrap(), 1))
            .collect();
        Answer::Ok(json!({ "Parameters": found, "InvalidParameters": [] }))
    });
    let values = parameters(&service).get_by_names(&names).await;
    assert_eq!(values.len(), 23);
    for name in &names {
        let value = values.get(name).unwrap();
        assert_eq!((text(&value), value.name()), (&**name, &**name));
    }
    let mut sizes: Vec<_> = service
        .calls()
        .iter()
        .map(names_of)
        .map(|names| names.len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 10, 10]);
}

fn names_of(call: &Call) -> Vec<String> {
    serde_json::from_value(call.input["Names"].clone()).unwrap()
}

#[tokio::test]
async fn decrypted_names_and_plain_ones_are_asked_for_apart() {
    let service = store([("/a", "1"), ("/b", "2"), ("/c", "3"), ("/d", "4")]);
    let parameters = parameters(&service);
    let values = parameters
        .get_by_names([
            ByName::from("/a"),
            ByName::new("/b").decrypt(),
            ByName::from("/c"),
            ByName::new("/d").decrypt(),
        ])
        .await;
    let values = values.all().unwrap();
    let texts: Vec<_> = values.iter().map(|(_, value)| text(value)).collect();
    assert_eq!(texts, ["AQICAH", "2", "AQICAH", "4"]);

    let mut calls: Vec<_> = service
        .calls()
        .iter()
        .map(|call| (call.input["WithDecryption"] == true, names_of(call)))
        .collect();
    calls.sort();
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    assert_eq!(
        calls,
        [(false, names(["/a", "/c"])), (true, names(["/b", "/d"]))]
    );
}

#[tokio::test]
async fn names_share_what_is_cached_with_reads_of_one() {
    let service = store([("/a", "1"), ("/b", "2"), ("/c", "3")]);
    let clock = Clock::new();
    let parameters = parameters(&service).with_clock(&clock).max_age(60 * SECOND);
    let a = parameters.get("/a").decrypt().await.unwrap();
    let values = parameters.get_by_names(["/a", "/b"]).decrypt().await;
    assert!(values.get("/a").unwrap().ptr_eq(&a));
    let b = parameters.get("/b").decrypt().await.unwrap();
    assert!(values.get("/b").unwrap().ptr_eq(&b));
    assert_eq!(service.operations(), ["GetParameter", "GetParameters"]);
    assert_eq!(names_of(&service.calls()[1]), ["/b"]);

    // Each by its own age.
    clock.advance(10 * SECOND);
    let names = [
        ByName::new("/a").max_age(SECOND),
        ByName::new("/b"),
        ByName::new("/c"),
    ];
    parameters
        .get_by_names(names)
        .decrypt()
        .await
        .all()
        .unwrap();
    assert_eq!(names_of(&service.calls()[2]), ["/a", "/c"]);

    let all = ["/a", "/b", "/c"];
    parameters.get_by_names(all).decrypt().await.all().unwrap();
    assert_eq!(service.calls().len(), 3);
    parameters
        .get_by_names(all)
        .decrypt()
        .force_fetch()
        .await
        .all()
        .unwrap();
    assert_eq!(names_of(&service.calls()[3]), all);
    // With no age at all each read is one of its own, and nothing is kept.
    for _ in 0..2 {
        let read = parameters
            .get_by_names(["/x", "/a"])
            .decrypt()
            .max_age(Duration::ZERO);
        read.await.get("/a").unwrap();
    }
    assert_eq!(service.calls().len(), 6);
}

#[tokio::test]
async fn what_is_wrong_with_one_name_is_told_of_that_one() {
    let service = store([("/a", "1"), ("_errors", "2")]);
    let parameters = parameters(&service);
    let values = parameters
        .get_by_names(["/a", "_errors", "/none"])
        .decrypt()
        .await;
    assert_eq!(text(&values.get("/a").unwrap()), "1");
    assert_eq!(text(&values.get("_errors").unwrap()), "2");
    let error = values.get("/none").unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(error.name(), "/none");
    let wrong: Vec<_> = values.errors().map(ParameterError::name).collect();
    assert_eq!(wrong, ["/none"]);
    let seen: Vec<_> = values
        .iter()
        .map(|(name, value)| (name, value.is_ok()))
        .collect();
    assert_eq!(seen, [("/a", true), ("/none", false), ("_errors", true)]);
    assert_eq!(values.all().unwrap_err().name(), "/none");

    let empty = parameters.get_by_names(Vec::<String>::new()).await;
    assert!(empty.is_empty());
    assert!(empty.get("/a").unwrap_err().is_not_found());
    assert_eq!(service.calls().len(), 1);
}

#[tokio::test]
async fn a_request_that_fails_fails_for_its_names_only() {
    let service = Service::new(|_, call| {
        if call.input["WithDecryption"] == true {
            refused("AccessDeniedException", "no policy allows kms:Decrypt")
        } else {
            Answer::Ok(json!({ "Parameters": [parameter("/a", "1", 1)] }))
        }
    });
    let names = [
        ByName::new("/a"),
        ByName::new("/b").decrypt(),
        ByName::new("/c"),
    ];
    let values = parameters(&service).get_by_names(names).await;
    assert_eq!(text(&values.get("/a").unwrap()), "1");
    let denied = values.get("/b").unwrap_err();
    assert!(denied.is_access_denied());
    assert!(everything(&denied).contains("no policy allows kms:Decrypt"));
    // An answer has to say something about each name.
    let missing = values.get("/c").unwrap_err();
    assert!(
        matches!(missing, ParameterError::Provider { .. }),
        "{missing:?}"
    );
}

/// One name that is denied or malformed has the service refuse a request as a whole.
#[tokio::test]
async fn a_name_that_has_others_refused_fails_alone() {
    type Case = (&'static str, fn(&ParameterError) -> bool);
    let cases: [Case; 2] = [
        ("AccessDeniedException", ParameterError::is_access_denied),
        ("ValidationException", |error| {
            matches!(error, ParameterError::InvalidRequest { .. })
        }),
    ];
    for (code, is_told) in cases {
        let service = Service::new(move |_, call| match &*call.operation {
            "GetParameters" => refused(code, "all of them"),
            "GetParameter" => match call.input["Name"].as_str().unwrap() {
                "/wrong" => refused(code, "this one"),
                name => {
                    assert_eq!(call.input["WithDecryption"], true);
                    Answer::Ok(json!({ "Parameter": parameter(name, &name[1..], 1) }))
                }
            },
            operation => panic!("{operation}"),
        });
        let clock = Clock::new();
        let parameters = parameters(&service).with_clock(&clock);
        let names = ["/a", "/wrong", "/b"];
        let values = parameters.get_by_names(names).decrypt().await;
        assert_eq!(text(&values.get("/a").unwrap()), "a");
        assert_eq!(text(&values.get("/b").unwrap()), "b");
        let error = values.get("/wrong").unwrap_err();
        assert!(is_told(&error), "{error:?}");
        assert!(everything(&error).contains("this one"), "{error:?}");
        assert_eq!(values.errors().count(), 1);
        let mut operations = service.operations();
        operations.sort();
        assert_eq!(
            operations,
            [
                "GetParameter",
                "GetParameter",
                "GetParameter",
                "GetParameters"
            ]
        );

        // What has been had is kept.
        let kept = parameters.get_by_names(["/a", "/b"]).decrypt().await;
        assert!(kept.all().is_ok());
        assert_eq!(service.calls().len(), 4);
    }
}

#[tokio::test]
async fn stale_values_are_served_by_name_when_the_service_fails() {
    let service = Service::new(|number, call| match number {
        0 => {
            Answer::Ok(json!({ "Parameters": [parameter("/a", "1", 1), parameter("/b", "2", 1)] }))
        }
        _ if names_of(call).contains(&"/gone".to_owned()) => {
            Answer::Ok(json!({ "InvalidParameters": ["/gone", "/b"] }))
        }
        _ => refused("ThrottlingException", "Rate exceeded"),
    });
    let clock = Clock::new();
    let parameters = parameters(&service)
        .with_clock(&clock)
        .stale_if_error(60 * SECOND);
    parameters.get_by_names(["/a", "/b"]).await.all().unwrap();
    clock.advance(30 * SECOND);
    let values = parameters.get_by_names(["/a", "/b", "/c"]).await;
    assert_eq!(text(&values.get("/a").unwrap()), "1");
    assert_eq!(text(&values.get("/b").unwrap()), "2");
    let error = values.get("/c").unwrap_err();
    assert!(
        matches!(error, ParameterError::Throttled { .. }),
        "{error:?}"
    );
    // Just failed, so it is left alone.
    let calls = service.calls().len();
    parameters.get_by_names(["/a", "/b"]).await.all().unwrap();
    assert_eq!(service.calls().len(), calls);
    let forced = parameters.get_by_names(["/a"]).force_fetch().await;
    assert!(forced.get("/a").is_err());

    // What is gone is not served.
    clock.advance(20 * SECOND);
    let values = parameters.get_by_names(["/b", "/gone"]).await;
    assert!(values.get("/b").unwrap_err().is_not_found());
    clock.advance(60 * SECOND);
    let values = parameters.get_by_names(["/a"]).await;
    assert!(values.get("/a").is_err());
}

#[tokio::test]
async fn a_parameter_is_set_and_its_old_value_forgotten() {
    let service = store([("/shop/url", "u")]);
    let parameters = parameters(&service).max_age(60 * SECOND);
    parameters.get("/shop/url").await.unwrap();
    parameters.get("/shop/url").decrypt().await.unwrap();
    assert_eq!(parameters.set("/shop/url", "new").await.unwrap(), 7);
    assert_eq!(
        service.calls()[2].input,
        json!({
            "Name": "/shop/url",
            "Value": "new",
            "Type": "String",
            "Tier": "Standard",
            "Overwrite": false,
        })
    );
    parameters.get("/shop/url").await.unwrap();
    parameters.get("/shop/url").decrypt().await.unwrap();
    assert_eq!(service.calls().len(), 5);

    let set = parameters
        .set("/shop/db", SECRET)
        .kms_key("alias/shop")
        .description("of the shop's tables")
        .tier(ParameterTier::IntelligentTiering)
        .overwrite();
    set.await.unwrap();
    assert_eq!(
        service.calls()[5].input,
        json!({
            "Name": "/shop/db",
            "Value": SECRET,
            "Type": "SecureString",
            "KeyId": "alias/shop",
            "Description": "of the shop's tables",
            "Tier": "Intelligent-Tiering",
            "Overwrite": true,
        })
    );
    parameters.set("/shop/zones", "a,b").list().await.unwrap();
    assert_eq!(service.calls()[6].input["Type"], "StringList");
}

#[tokio::test]
async fn what_is_overwritten_keeps_its_type() {
    let service = store([]);
    parameters(&service)
        .set("/shop/db", SECRET)
        .overwrite()
        .await
        .unwrap();
    assert_eq!(
        service.calls()[0].input,
        json!({ "Name": "/shop/db", "Value": SECRET, "Overwrite": true })
    );

    // What is new needs one.
    let service = Service::new(|_, call| match call.input.get("Type") {
        None => refused("ValidationException", "a type is required"),
        Some(_) => Answer::Ok(json!({ "Version": 1 })),
    });
    let parameters = parameters(&service);
    assert_eq!(
        parameters.set("/shop/url", "u").overwrite().await.unwrap(),
        1
    );
    let inputs = service.calls();
    assert_eq!(inputs.len(), 2);
    assert_eq!(inputs[1].input["Type"], "String");
    // It may have been made by somebody else since, as another type.
    assert_eq!(inputs[1].input["Overwrite"], false);
}

#[tokio::test]
async fn an_overwrite_that_is_refused_for_its_value_fails_with_that() {
    let service = Service::new(|number, _| match number {
        0 => refused("ValidationException", "too long"),
        _ => refused("ParameterAlreadyExists", ""),
    });
    let error = parameters(&service)
        .set("/a", "x")
        .overwrite()
        .await
        .unwrap_err();
    assert!(
        matches!(error, SetError::InvalidRequest { .. }),
        "{error:?}"
    );
    assert!(everything(&error).contains("ValidationException"));
}

#[tokio::test]
async fn what_fails_to_be_set_is_told_by_its_kind_and_shows_nothing_of_the_value() {
    type Case = (fn() -> Answer, fn(&SetError) -> bool, usize, &'static str);
    let cases: [Case; 7] = [
        (
            || refused("ParameterAlreadyExists", SECRET),
            SetError::is_already_exists,
            1,
            "ParameterAlreadyExists",
        ),
        (
            || refused("AccessDeniedException", "no policy allows ssm:PutParameter"),
            |error| matches!(error, SetError::AccessDenied { .. }),
            1,
            "no policy allows ssm:PutParameter",
        ),
        (
            || refused("TooManyUpdates", "wait"),
            |error| matches!(error, SetError::Throttled { .. }),
            1,
            "TooManyUpdates: wait",
        ),
        (
            || refused("ThrottlingException", "Rate exceeded"),
            |error| matches!(error, SetError::Throttled { .. }),
            3,
            "Rate exceeded",
        ),
        (
            // As services say it.
            || {
                let message = format!("Value '{SECRET}' at 'value' failed to satisfy constraint");
                refused("ValidationException", message)
            },
            |error| matches!(error, SetError::InvalidRequest { .. }),
            1,
            "ValidationException (request id 4f8e1c2a)",
        ),
        (
            || Answer::Refused(500, "InternalServerError", SECRET.to_owned()),
            |error| matches!(error, SetError::Provider { .. }),
            3,
            "InternalServerError",
        ),
        (
            || Answer::Garbage(SECRET.to_owned()),
            |error| matches!(error, SetError::Provider { .. }),
            1,
            "the answer, of status 200, is not understood",
        ),
    ];
    for (answer, is_kind, calls, source) in cases {
        let service = always(answer);
        let parameters = parameters(&service);
        let error = parameters
            .set("/shop/db", SECRET)
            .secure()
            .await
            .unwrap_err();
        let shown = everything(&error);
        assert!(is_kind(&error), "{shown}");
        assert_eq!(error.name(), "/shop/db");
        assert!(shown.contains(source), "{source}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(service.calls().len(), calls, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_nobody_waits_for_any_more_forgets_the_old_value() {
    let service = Service::new(|_, call| match &*call.operation {
        "PutParameter" => Answer::Late(3600 * SECOND, Box::new(Answer::Broken)),
        _ => Answer::Ok(json!({ "Parameter": parameter("/a", "1", 1) })),
    });
    let parameters = parameters(&service).max_age(3600 * SECOND);
    parameters.get("/a").await.unwrap();
    let set = parameters.set("/a", "2").overwrite().into_future();
    assert!(tokio::time::timeout(SECOND, set).await.is_err());
    parameters.get("/a").await.unwrap();
    assert_eq!(
        service.operations(),
        ["GetParameter", "PutParameter", "GetParameter"]
    );
}

#[tokio::test(start_paused = true)]
async fn names_that_take_too_long_fail_by_the_time_for_a_fetch() {
    let service = always(|| Answer::Late(3600 * SECOND, Box::new(Answer::Broken)));
    let parameters = parameters(&service).timeout(2 * SECOND);
    let names = parameters.get_by_names(["/a", "/b"]).await;
    for name in ["/a", "/b"] {
        let error = names.get(name).unwrap_err();
        assert!(
            matches!(error, ParameterError::TimedOut { .. }),
            "{error:?}"
        );
    }
}

/// Answers after a second.
fn slow(service: Service) -> Service {
    Service::new(move |_, call| Answer::Late(SECOND, Box::new(service.answer(call))))
}

#[tokio::test(start_paused = true)]
async fn names_that_are_asked_for_at_once_are_fetched_once() {
    let service = slow(store([("/a", "1"), ("/b", "2"), ("/c", "3")]));
    let parameters = parameters(&service);
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let parameters = parameters.clone();
        tasks.spawn(async move {
            if number % 2 == 0 {
                parameters
                    .get_by_names(["/a", "/b", "/c"])
                    .await
                    .all()
                    .unwrap();
            } else {
                parameters.get("/b").await.unwrap();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert_eq!(service.operations(), ["GetParameters"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_waits_for_any_more_do_not_fail_those_who_wait_for_one() {
    let service = slow(store([("/a", "1"), ("/b", "2")]));
    let parameters = parameters(&service);
    let batch = tokio::spawn({
        let parameters = parameters.clone();
        async move { parameters.get_by_names(["/a", "/b"]).await }
    });
    tokio::task::yield_now().await;
    let one = tokio::spawn({
        let parameters = parameters.clone();
        async move { parameters.get("/a").decrypt().await }
    });
    let same = tokio::spawn({
        let parameters = parameters.clone();
        async move { parameters.get("/a").await }
    });
    tokio::task::yield_now().await;
    batch.abort();
    assert_eq!(text(&one.await.unwrap().unwrap()), "1");
    assert_eq!(text(&same.await.unwrap().unwrap()), "AQICAH");
    // The one that is waited for comes from the request for both.
    assert_eq!(service.operations(), ["GetParameters", "GetParameter"]);
}

#[tokio::test(start_paused = true)]
async fn names_are_fetched_again_in_the_background_by_one_request() {
    let service = slow(store([("/a", "1"), ("/b", "2")]));
    let clock = Clock::new();
    let parameters = parameters(&service)
        .with_clock(&clock)
        .refresh_in_background(60 * SECOND);
    parameters.get_by_names(["/a", "/b"]).await.all().unwrap();
    clock.advance(30 * SECOND);
    let now = tokio::time::Instant::now();
    for _ in 0..3 {
        parameters.get_by_names(["/a", "/b"]).await.all().unwrap();
    }
    assert_eq!(now.elapsed(), Duration::ZERO);
    tokio::time::sleep(2 * SECOND).await;
    parameters
        .get_by_names(["/a", "/b"])
        .max_age(20 * SECOND)
        .await
        .all()
        .unwrap();
    assert_eq!(service.operations(), ["GetParameters"; 2]);
}

#[tokio::test]
async fn names_that_do_not_exist_are_remembered_where_that_is_asked_for() {
    let service = store([("/a", "1")]);
    let parameters = parameters(&service).cache_not_found(60 * SECOND);
    for _ in 0..2 {
        let values = parameters.get_by_names(["/a", "/none"]).await;
        assert!(values.get("/none").unwrap_err().is_not_found());
    }
    assert!(parameters.get("/none").await.unwrap_err().is_not_found());
    assert_eq!(service.calls().len(), 1);
}

#[test]
fn what_a_program_passes_around_is_send_sync_and_clone() {
    fn passes<T: Send + Sync + Clone + Debug>() {}
    fn sends<T: Send>(_: &T) {}
    passes::<SsmProvider>();
    passes::<Parameters<SsmProvider>>();
    let service = store([]);
    let parameters = parameters(&service);
    sends(&parameters.get_by_names(["/a"]).into_future());
    sends(&parameters.set("/a", "1").into_future());
    // Nothing has been asked for so far.
    assert!(service.calls().is_empty());
}

#[test]
fn the_policy_of_the_docs_allows_what_is_requested() {
    let actions = aws::actions_of_docs(include_str!("../src/parameters/ssm/mod.rs"));
    for operation in [
        "GetParameter",
        "GetParameters",
        "GetParametersByPath",
        "PutParameter",
    ] {
        assert!(actions.contains(&format!("ssm:{operation}")), "{operation}");
    }
}
