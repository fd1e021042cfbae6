//! Secrets of Secrets Manager, from a service in memory.
#![cfg(all(feature = "parameters-secrets-manager", feature = "testing"))]

mod aws;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws::{Answer, Call, Service, everything, refused};
use aws_sdk_secretsmanager::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use powertools::{
    Env,
    parameters::{
        ByName, ParameterError, Parameters, SetError, Value,
        secrets_manager::SecretsManagerProvider,
    },
    testing::Clock,
};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Value as Json, json};

/// What must not be shown anywhere.
const SECRET: &str = "hunter2-and-more";
const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn secrets(service: &Service) -> Parameters<SecretsManagerProvider> {
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(retries)
        .http_client(service.http_client());
    let provider = SecretsManagerProvider::new(Client::from_conf(config.build()));
    Parameters::from_env(provider, &Env::default())
}

fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Service {
    Service::new(move |_, _| answer())
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-a1B2c3")
}

fn secret(name: &str, text: &str, version: &str) -> Json {
    json!({
        "Name": name,
        "ARN": arn(name),
        "SecretString": text,
        "VersionId": version,
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": 1_700_000_000.123,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn names_of(call: &Call) -> Vec<String> {
    serde_json::from_value(call.input["SecretIdList"].clone()).unwrap()
}

#[tokio::test]
async fn a_secret_is_its_text_or_else_its_bytes() {
    let service = Service::new(|_, call| {
        assert_eq!(call.operation, "GetSecretValue");
        let id = call.input["SecretId"].as_str().unwrap();
        Answer::Ok(match id {
            "text" => secret(id, SECRET, "v1"),
            "bytes" => json!({ "SecretBinary": STANDARD.encode([0xff, 0xfe]), "VersionId": "v2" }),
            _ => json!({ "Name": id, "VersionId": "v3" }),
        })
    });
    let secrets = secrets(&service);
    let value = secrets.get("text").await.unwrap();
    assert_eq!((text(&value), value.version()), (SECRET, Some("v1")));
    let value = secrets.get("bytes").await.unwrap();
    assert_eq!(
        (value.as_bytes(), value.version()),
        (&[0xff, 0xfe][..], Some("v2"))
    );
    // What is bytes already is not base64 to be decoded.
    let value = secrets.get("bytes").binary().await.unwrap();
    assert_eq!(value.as_bytes(), [0xff, 0xfe]);
    let error = secrets.get("neither").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Provider { .. }),
        "{error:?}"
    );
    assert_eq!(service.calls()[0].input, json!({ "SecretId": "text" }));

    let error = secrets.get_multiple("text").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Unsupported { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn versions_and_stages_are_kept_apart() {
    let service = Service::new(|_, call| {
        let stage = call.input["VersionStage"].as_str().unwrap_or("AWSCURRENT");
        let version = call.input["VersionId"].as_str().unwrap_or("-");
        Answer::Ok(secret("db", &format!("{stage} {version}"), "v"))
    });
    let secrets = secrets(&service);
    for _ in 0..2 {
        let current = secrets.get("db").await.unwrap();
        let previous = secrets
            .get("db")
            .version_stage("AWSPREVIOUS")
            .await
            .unwrap();
        let pinned = secrets.get("db").version_id(TOKEN).await.unwrap();
        let both = secrets
            .get("db")
            .version_id(TOKEN)
            .version_stage("AWSPENDING");
        let both = both.await.unwrap();
        assert_eq!(text(&current), "AWSCURRENT -");
        assert_eq!(text(&previous), "AWSPREVIOUS -");
        assert_eq!(text(&pinned), format!("AWSCURRENT {TOKEN}"));
        assert_eq!(text(&both), format!("AWSPENDING {TOKEN}"));
    }
    assert_eq!(service.calls().len(), 4);
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
    let cases: [Case; 10] = [
        (
            || {
                refused(
                    "ResourceNotFoundException",
                    "can't find the specified secret",
                )
            },
            ParameterError::is_not_found,
            1,
            "ResourceNotFoundException: can't find the specified secret (request id 4f8e1c2a)",
        ),
        (
            || refused("InvalidRequestException", "it was marked for deletion"),
            ParameterError::is_not_found,
            1,
            "InvalidRequestException: it was marked for deletion (request id 4f8e1c2a)",
        ),
        (
            || refused("AccessDeniedException", "no policy allows it"),
            ParameterError::is_access_denied,
            1,
            "AccessDeniedException: no policy allows it",
        ),
        (
            || refused("DecryptionFailure", "the key is disabled"),
            ParameterError::is_access_denied,
            1,
            "DecryptionFailure: the key is disabled",
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
            || refused("InvalidParameterException", "no such form of a name"),
            |error| matches!(error, ParameterError::InvalidRequest { .. }),
            1,
            "InvalidParameterException",
        ),
        (
            || Answer::Refused(500, "InternalServiceError", String::new()),
            |error| matches!(error, ParameterError::Provider { .. }) && error.is_transient(),
            3,
            "InternalServiceError",
        ),
        (
            || Answer::Broken,
            |error| matches!(error, ParameterError::Provider { .. }) && error.is_transient(),
            3,
            "connection reset",
        ),
        (
            || Answer::Garbage(format!(r#"{{"SecretString":"{SECRET}"#)),
            |error| matches!(error, ParameterError::Provider { .. }),
            1,
            "the answer, of status 200, is not understood",
        ),
    ];
    for (answer, is_kind, calls, source) in cases {
        let service = always(answer);
        let secrets = secrets(&service);
        let one = secrets.get("db").await.unwrap_err();
        assert_eq!(service.calls().len(), calls, "{one:?}");
        let by_name = secrets.get_by_names(["db"]).await.get("db").unwrap_err();
        // Whoever may not ask for many asks for each.
        let alone = usize::from(by_name.is_access_denied());
        assert_eq!(service.calls().len(), 2 * calls + alone, "{by_name:?}");
        for error in [one, by_name] {
            let shown = everything(&error);
            assert!(is_kind(&error), "{shown}");
            assert_eq!(error.name(), "db");
            assert!(shown.contains(source), "{source}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_secret_is_shown() {
    fn hides(what: &impl Debug) {
        let text = format!("{what:?} {what:#?}");
        assert!(
            !text.contains("hunter2") && !text.contains("104, 117"),
            "{text}"
        );
    }
    let service = Service::new(|_, call| match &*call.operation {
        "BatchGetSecretValue" => Answer::Ok(json!({ "SecretValues": [secret("db", SECRET, "v")] })),
        _ => Answer::Ok(secret("db", SECRET, "v")),
    });
    let secrets = secrets(&service);
    hides(
        &secrets
            .get("db")
            .version_stage("AWSPREVIOUS")
            .await
            .unwrap(),
    );
    hides(&secrets.get_by_names(["db"]).await);
    hides(&secrets.set("db", SECRET));
    hides(&secrets.set_binary("db", SECRET));
    hides(&secrets.set_json("db", &SECRET));
    hides(&secrets.set_json("db", &SECRET).into_future());
    hides(&secrets);
}

/// A service that has all secrets but those that are called otherwise.
fn many() -> Service {
    Service::new(|_, call| match &*call.operation {
        "BatchGetSecretValue" => {
            let (mut found, mut errors) = (Vec::new(), Vec::new());
            let names = names_of(call);
            assert!((1..=20).contains(&names.len()), "{names:?}");
            for name in names.iter().rev() {
                let error = match &**name {
                    "none" => "ResourceNotFoundException",
                    "deleted" => "InvalidRequestException",
                    "denied" => "AccessDeniedException",
                    name => {
                        found.push(secret(name, &format!("of {name}"), "v1"));
                        continue;
                    }
                };
                errors.push(json!({ "SecretId": name, "ErrorCode": error, "Message": "no" }));
            }
            Answer::Ok(json!({ "SecretValues": found, "Errors": errors }))
        }
        "GetSecretValue" => {
            let name = call.input["SecretId"].as_str().unwrap();
            let stage = call.input["VersionStage"].as_str().unwrap_or("AWSCURRENT");
            Answer::Ok(secret(name, &format!("{stage} of {name}"), "v0"))
        }
        operation => panic!("{operation}"),
    })
}

#[tokio::test]
async fn forty_five_names_are_three_calls() {
    let names: Vec<_> = (0..45).map(|number| format!("many/{number}")).collect();
    let service = many();
    let values = secrets(&service).get_by_names(&names).await.all().unwrap();
    assert_eq!(values.len(), 45);
    for name in &names {
        let value = values.get(name).unwrap();
        assert_eq!(
            (text(value), value.version()),
            (&*format!("of {name}"), Some("v1"))
        );
    }
    let mut sizes: Vec<_> = service
        .calls()
        .iter()
        .map(|call| names_of(call).len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 20, 20]);
}

#[tokio::test]
async fn what_is_wrong_with_one_name_is_told_of_that_one() {
    let service = many();
    let secrets = secrets(&service);
    let values = secrets
        .get_by_names(["db", "none", "denied", "_errors", "deleted"])
        .await;
    assert_eq!(text(&values.get("db").unwrap()), "of db");
    assert_eq!(text(&values.get("_errors").unwrap()), "of _errors");
    assert!(values.get("none").unwrap_err().is_not_found());
    assert!(values.get("deleted").unwrap_err().is_not_found());
    let denied = values.get("denied").unwrap_err();
    assert!(denied.is_access_denied());
    assert!(everything(&denied).contains("AccessDeniedException: no"));
    let wrong: Vec<_> = values.errors().map(ParameterError::name).collect();
    assert_eq!(wrong, ["deleted", "denied", "none"]);
    assert_eq!(values.all().unwrap_err().name(), "deleted");
    assert_eq!(service.operations(), ["BatchGetSecretValue"]);
}

#[tokio::test]
async fn names_are_asked_for_one_by_one_where_many_at_once_are_denied() {
    let service = Service::new(|_, call| match &*call.operation {
        "BatchGetSecretValue" => refused("AccessDeniedException", "no policy allows it"),
        "GetSecretValue" => match call.input["SecretId"].as_str().unwrap() {
            "denied" => refused("AccessDeniedException", "this one"),
            name => Answer::Ok(secret(name, &format!("of {name}"), "v1")),
        },
        operation => panic!("{operation}"),
    });
    let secrets = secrets(&service);
    let values = secrets.get_by_names(["db", "denied", "key"]).await;
    assert_eq!(text(&values.get("db").unwrap()), "of db");
    assert_eq!(text(&values.get("key").unwrap()), "of key");
    let denied = values.get("denied").unwrap_err();
    assert!(denied.is_access_denied());
    assert!(everything(&denied).contains("this one"), "{denied:?}");
    assert_eq!(values.errors().count(), 1);
    assert_eq!(service.calls().len(), 4);
    // One name is no worse off.
    let values = secrets.get_by_names(["mail"]).await;
    assert_eq!(text(&values.get("mail").unwrap()), "of mail");
}

#[tokio::test]
async fn names_share_what_is_cached_with_reads_of_one() {
    let service = many();
    let clock = Clock::new();
    let secrets = secrets(&service).with_clock(&clock).max_age(60 * SECOND);
    let db = secrets.get("db").await.unwrap();
    let values = secrets.get_by_names(["db", "key"]).await;
    assert!(values.get("db").unwrap().ptr_eq(&db));
    let key = secrets.get("key").await.unwrap();
    assert!(values.get("key").unwrap().ptr_eq(&key));
    assert_eq!(
        service.operations(),
        ["GetSecretValue", "BatchGetSecretValue"]
    );
    assert_eq!(names_of(&service.calls()[1]), ["key"]);
}

/// Many at once are always the current versions.
#[tokio::test]
async fn names_with_a_version_are_asked_for_one_by_one() {
    let service = many();
    let secrets = secrets(&service);
    let names = [
        ByName::new("db"),
        ByName::new("key").version_stage("AWSPREVIOUS"),
        ByName::new("pinned").version_id(TOKEN),
        ByName::new("mail"),
    ];
    let values = secrets.get_by_names(names).await;
    assert_eq!(text(&values.get("db").unwrap()), "of db");
    assert_eq!(text(&values.get("key").unwrap()), "AWSPREVIOUS of key");
    assert_eq!(text(&values.get("pinned").unwrap()), "AWSCURRENT of pinned");
    assert_eq!(text(&values.get("mail").unwrap()), "of mail");
    let mut operations = service.operations();
    operations.sort();
    assert_eq!(
        operations,
        ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue"]
    );
    let previous = secrets
        .get("key")
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    assert!(values.get("key").unwrap().ptr_eq(&previous));
}

#[tokio::test]
async fn an_arn_is_as_good_as_a_name() {
    let service = Service::new(|_, _| {
        Answer::Ok(json!({
            "SecretValues": [secret("db-reader", "reader", "v1"), secret("db", SECRET, "v1")],
        }))
    });
    let partial = arn("db").strip_suffix("-a1B2c3").unwrap().to_owned();
    let names = ["db".to_owned(), arn("db"), partial, "db-reader".to_owned()];
    let values = secrets(&service).get_by_names(&names).await;
    for name in &names[..3] {
        assert_eq!(text(&values.get(name).unwrap()), SECRET, "{name}");
    }
    assert_eq!(text(&values.get("db-reader").unwrap()), "reader");
}

#[tokio::test]
async fn all_pages_are_taken_and_what_came_before_a_failure() {
    let service = Service::new(|number, call| {
        let token = call.input["NextToken"].as_str();
        assert_eq!(token, [None, Some("two"), Some("three")][number.min(2)]);
        match number {
            0 => Answer::Ok(json!({
                "SecretValues": [secret("a", "1", "v")],
                "Errors": [{ "SecretId": "b", "ErrorCode": "DecryptionFailure" }],
                "NextToken": "two",
            })),
            1 => {
                Answer::Ok(json!({ "SecretValues": [secret("c", "3", "v")], "NextToken": "three" }))
            }
            _ => refused("ThrottlingException", "Rate exceeded"),
        }
    });
    let values = secrets(&service).get_by_names(["a", "b", "c", "d"]).await;
    assert_eq!(text(&values.get("a").unwrap()), "1");
    assert!(values.get("b").unwrap_err().is_access_denied());
    assert_eq!(text(&values.get("c").unwrap()), "3");
    let error = values.get("d").unwrap_err();
    assert!(
        matches!(error, ParameterError::Throttled { .. }),
        "{error:?}"
    );

    // A name that no page says anything about.
    let service = always(|| Answer::Ok(json!({ "SecretValues": [], "Errors": [] })));
    let error = secrets(&service)
        .get_by_names(["a"])
        .await
        .get("a")
        .unwrap_err();
    assert!(
        matches!(error, ParameterError::Provider { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_rotated_secret_is_fetched_again_by_whoever_is_refused() {
    let current = Arc::new(Mutex::new("old"));
    let service = Service::new({
        let current = Arc::clone(&current);
        move |_, _| Answer::Ok(secret("db", *current.lock().unwrap(), "v"))
    });
    let secrets = secrets(&service).max_age(3600 * SECOND);
    secrets.get("db").await.unwrap();
    *current.lock().unwrap() = "new";
    let log_in = |secret: Value| async move {
        if text(&secret) == "new" {
            Ok(())
        } else {
            Err("refused")
        }
    };
    let logged_in = secrets
        .with_secret("db", log_in, |error| *error == "refused")
        .await;
    assert!(logged_in.is_ok());
    assert_eq!(service.calls().len(), 2);
}

/// A service with one secret, or none, that keeps what it is set to.
fn writable(exists: bool) -> Service {
    let exists = Mutex::new(exists);
    Service::new(
        move |_, call| match (&*call.operation, *exists.lock().unwrap()) {
            ("PutSecretValue", false) => refused("ResourceNotFoundException", SECRET),
            ("PutSecretValue", true) => Answer::Ok(json!({ "VersionId": "v2" })),
            ("CreateSecret", false) => Answer::Ok(json!({ "VersionId": "v1" })),
            ("CreateSecret", true) => refused("ResourceExistsException", SECRET),
            (operation, _) => panic!("{operation}"),
        },
    )
}

#[tokio::test]
async fn a_secret_gets_a_new_version_and_its_old_value_is_forgotten() {
    let service = Service::new(|_, call| match &*call.operation {
        "PutSecretValue" => Answer::Ok(json!({ "VersionId": "v2" })),
        _ => Answer::Ok(secret("db", SECRET, "v1")),
    });
    let secrets = secrets(&service).max_age(3600 * SECOND);
    secrets.get("db").await.unwrap();
    secrets
        .get("db")
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    assert_eq!(secrets.set("db", "new").await.unwrap(), "v2");
    secrets.get("db").await.unwrap();
    secrets
        .get("db")
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    let calls = service.calls();
    assert_eq!(calls.len(), 5);
    // A random token, with which the client can try again.
    let token = calls[2].input["ClientRequestToken"].as_str().unwrap();
    assert_eq!(token.len(), 36);
    assert_eq!(
        calls[2].input,
        json!({ "SecretId": "db", "SecretString": "new", "ClientRequestToken": token })
    );
}

#[tokio::test]
async fn a_secret_that_does_not_exist_is_made() {
    let service = writable(false);
    let set = secrets(&service)
        .set_json("db", &json!({ "user": "shop", "password": SECRET }))
        .client_request_token(TOKEN)
        .description("of the shop's tables")
        .kms_key("alias/shop")
        .await;
    assert_eq!(set.unwrap(), "v1");
    let value = format!(r#"{{"password":"{SECRET}","user":"shop"}}"#);
    let [put, create] = &service.calls()[..] else {
        panic!("{:?}", service.operations())
    };
    assert_eq!(
        (&*put.operation, &*create.operation),
        ("PutSecretValue", "CreateSecret")
    );
    assert_eq!(
        put.input,
        json!({ "SecretId": "db", "SecretString": value, "ClientRequestToken": TOKEN })
    );
    assert_eq!(
        create.input,
        json!({
            "Name": "db",
            "SecretString": value,
            "ClientRequestToken": TOKEN,
            "Description": "of the shop's tables",
            "KmsKeyId": "alias/shop",
        })
    );

    let service = writable(false);
    secrets(&service)
        .set_binary("key", [0xff, 0xfe])
        .await
        .unwrap();
    let bytes = STANDARD.encode([0xff, 0xfe]);
    assert!(
        service
            .calls()
            .iter()
            .all(|call| call.input["SecretBinary"] == *bytes)
    );
    // An ARN cannot be chosen.
    let service = writable(false);
    let error = secrets(&service).set(arn("db"), SECRET).await.unwrap_err();
    assert!(matches!(error, SetError::NotFound { .. }), "{error:?}");
    assert_eq!(service.operations(), ["PutSecretValue"]);
}

#[tokio::test]
async fn two_who_make_a_secret_at_once_both_succeed() {
    let service = Service::new(|number, call| match (number, &*call.operation) {
        (0, "PutSecretValue") => refused("ResourceNotFoundException", ""),
        (1, "CreateSecret") => refused("ResourceExistsException", ""),
        (2, "PutSecretValue") => Answer::Ok(json!({ "VersionId": "v2" })),
        call => panic!("{call:?}"),
    });
    let version = secrets(&service)
        .set("db", SECRET)
        .client_request_token(TOKEN)
        .await;
    assert_eq!(version.unwrap(), "v2");
    let tokens: Vec<_> = service
        .calls()
        .into_iter()
        .map(|mut call| call.input["ClientRequestToken"].take())
        .collect();
    assert_eq!(tokens, [TOKEN; 3]);

    // Made, and gone again.
    let service = Service::new(|_, call| match &*call.operation {
        "PutSecretValue" => refused("ResourceNotFoundException", ""),
        _ => refused("ResourceExistsException", ""),
    });
    let error = secrets(&service).set("db", SECRET).await.unwrap_err();
    assert!(matches!(error, SetError::NotFound { .. }), "{error:?}");
    assert_eq!(service.calls().len(), 3);
}

#[tokio::test]
async fn what_fails_to_be_set_is_told_by_its_kind_and_shows_nothing_of_the_value() {
    type Case = (fn() -> Answer, fn(&SetError) -> bool, usize, &'static str);
    let cases: [Case; 7] = [
        (
            // The token belongs to another value.
            || refused("ResourceExistsException", SECRET),
            SetError::is_already_exists,
            1,
            "ResourceExistsException",
        ),
        (
            || {
                refused(
                    "AccessDeniedException",
                    "no policy allows secretsmanager:PutSecretValue",
                )
            },
            |error| matches!(error, SetError::AccessDenied { .. }),
            1,
            "no policy allows secretsmanager:PutSecretValue",
        ),
        (
            || refused("EncryptionFailure", "the key is disabled"),
            |error| matches!(error, SetError::AccessDenied { .. }),
            1,
            "the key is disabled",
        ),
        (
            || refused("ThrottlingException", "Rate exceeded"),
            |error| matches!(error, SetError::Throttled { .. }),
            3,
            "Rate exceeded",
        ),
        (
            || refused("InvalidRequestException", format!("deleted: {SECRET}")),
            |error| matches!(error, SetError::InvalidRequest { .. }),
            1,
            "InvalidRequestException (request id 4f8e1c2a)",
        ),
        (
            || refused("LimitExceededException", SECRET),
            |error| matches!(error, SetError::Provider { .. }),
            3,
            "LimitExceededException",
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
        let error = secrets(&service).set("db", SECRET).await.unwrap_err();
        let shown = everything(&error);
        assert!(is_kind(&error), "{shown}");
        assert_eq!(error.name(), "db");
        assert!(shown.contains(source), "{source}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(service.calls().len(), calls, "{shown}");
    }
}

#[tokio::test]
async fn a_value_that_has_no_json_is_not_sent() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom(SECRET))
        }
    }
    let service = writable(true);
    let error = secrets(&service)
        .set_json("db", &Unwritable)
        .await
        .unwrap_err();
    assert!(matches!(error, SetError::Json { .. }), "{error:?}");
    assert!(!everything(&error).contains("hunter2"));
    assert!(service.calls().is_empty());
}

#[test]
fn what_a_program_passes_around_is_send_sync_and_clone() {
    fn passes<T: Send + Sync + Clone + Debug>() {}
    fn sends<T: Send>(_: &T) {}
    passes::<SecretsManagerProvider>();
    passes::<Parameters<SecretsManagerProvider>>();
    let service = writable(true);
    let secrets = secrets(&service);
    sends(&secrets.get_by_names(["a"]).into_future());
    sends(&secrets.set("a", "1").into_future());
    // Nothing has been asked for so far.
    assert!(service.calls().is_empty());
}

#[test]
fn the_policy_of_the_docs_allows_what_is_requested() {
    let docs = include_str!("../src/parameters/secrets_manager/mod.rs");
    let actions = aws::actions_of_docs(docs);
    for operation in [
        "GetSecretValue",
        "BatchGetSecretValue",
        "PutSecretValue",
        "CreateSecret",
    ] {
        assert!(
            actions.contains(&format!("secretsmanager:{operation}")),
            "{operation}"
        );
    }
}
