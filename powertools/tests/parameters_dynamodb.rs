//! Parameters in a DynamoDB table, from a service in memory.
#![cfg(feature = "parameters-dynamodb")]

mod aws;

use std::{error::Error, fmt, time::Duration};

use aws::{Answer, Call, Service, refused};
use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use powertools::parameters::{
    ParameterError, ParameterProvider, Parameters,
    dynamodb::{DynamoDbOptions, DynamoDbProvider},
};
use serde_json::{Value as Json, json};

fn client(service: &Service, retry: RetryConfig) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(retry)
        .http_client(service.http_client());
    Client::from_conf(config.build())
}

fn provider(service: &Service) -> DynamoDbProvider {
    DynamoDbProvider::new(client(service, RetryConfig::disabled()), "config")
}

fn parameters(service: &Service) -> Parameters<DynamoDbProvider> {
    Parameters::new(provider(service))
}

/// A table whose item has this as its value.
fn with_value(value: Json) -> Service {
    Service::new(move |_, _| Answer::Ok(json!({"Item": {"value": value}})))
}

/// What a name of an expression stands for.
fn named<'a>(call: &'a Call, expression: &str) -> Vec<&'a str> {
    let names = call.input[expression].as_str().unwrap().split(", ");
    let attributes = &call.input["ExpressionAttributeNames"];
    names
        .map(|name| attributes[name].as_str().unwrap())
        .collect()
}

/// An error and all that is behind it, as the most talkative logger shows it.
fn everything(error: &ParameterError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error} {error:?}"));
        source = error.source();
    }
    text
}

#[tokio::test]
async fn a_parameter_is_the_value_of_an_item() {
    let service = with_value(json!({"S": "100"}));
    let parameters = parameters(&service);
    for _ in 0..2 {
        assert_eq!(
            parameters.get("limit").await.unwrap().as_str().unwrap(),
            "100"
        );
    }
    let calls = service.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].operation, "GetItem");
    assert_eq!(calls[0].input["TableName"], "config");
    assert_eq!(calls[0].input["Key"], json!({"id": {"S": "limit"}}));
    assert_eq!(calls[0].input["ConsistentRead"], false);
    assert_eq!(named(&calls[0], "ProjectionExpression"), ["value"]);
}

#[tokio::test]
async fn texts_numbers_switches_and_bytes_are_values() {
    for (value, expected) in [
        (json!({"S": ""}), &b""[..]),
        (json!({"S": "{\"a\":1}"}), b"{\"a\":1}"),
        // As it is stored, without a digit less.
        (
            json!({"N": "1234567890.12345678901234567890"}),
            b"1234567890.12345678901234567890",
        ),
        (json!({"BOOL": true}), b"true"),
        (json!({"B": "/wD+"}), b"\xff\x00\xfe"),
    ] {
        let parameters = parameters(&with_value(value.clone()));
        let fetched = parameters.get("a").await.unwrap();
        assert_eq!(fetched.as_bytes(), expected, "{value}");
    }
    let number = parameters(&with_value(json!({"N": "7"})));
    assert_eq!(*number.get("a").json::<u8>().await.unwrap(), 7);
    let bytes = parameters(&with_value(json!({"B": "/wD+"})));
    assert_eq!(
        bytes.get("a").binary().await.unwrap().as_bytes(),
        b"\xff\x00\xfe"
    );
}

#[tokio::test]
async fn other_types_are_no_values() {
    for value in [
        json!({"NULL": true}),
        json!({"M": {"a": {"S": "hunter2"}}}),
        json!({"L": [{"S": "hunter2"}]}),
        json!({"SS": ["hunter2"]}),
    ] {
        let error = parameters(&with_value(value)).get("a").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
        let text = everything(&error);
        assert!(text.contains("attribute `value`"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn an_item_that_does_not_exist_is_not_found_and_one_without_a_value_is_told() {
    let service = Service::new(|_, _| Answer::Ok(json!({})));
    let error = parameters(&service).get("limit").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(error.name(), "limit");

    let service = Service::new(|_, _| Answer::Ok(json!({"Item": {}})));
    let error = parameters(&service).get("limit").await.unwrap_err();
    assert!(!error.is_not_found(), "{error:?}");
    assert!(everything(&error).contains("no attribute `value`"));
}

#[tokio::test]
async fn all_that_have_a_key_in_common_are_read_page_by_page() {
    let service = Service::new(|number, _| {
        let item = |sort: &str, value: &str| json!({"sk": {"S": sort}, "value": {"S": value}});
        Answer::Ok(match number {
            0 => json!({
                "Items": [item("b", "2"), item("a", "1")],
                "LastEvaluatedKey": {"id": {"S": "limits"}, "sk": {"S": "b"}},
            }),
            // A page may be empty and not the last.
            1 => {
                json!({"Items": [], "LastEvaluatedKey": {"id": {"S": "limits"}, "sk": {"S": "c"}}})
            }
            _ => json!({"Items": [{"sk": {"N": "7"}, "value": {"N": "3"}}]}),
        })
    });
    let values = parameters(&service).get_multiple("limits").await.unwrap();
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name, value.as_str().unwrap()))
        .collect();
    assert_eq!(values, [("7", "3"), ("a", "1"), ("b", "2")]);

    let calls = service.calls();
    assert_eq!(service.operations(), ["Query"; 3]);
    let input = &calls[0].input;
    assert_eq!(input["TableName"], "config");
    let (name, value) = input["KeyConditionExpression"]
        .as_str()
        .unwrap()
        .split_once(" = ")
        .unwrap();
    assert_eq!(input["ExpressionAttributeNames"][name], "id");
    assert_eq!(
        input["ExpressionAttributeValues"][value],
        json!({"S": "limits"})
    );
    assert_eq!(named(&calls[0], "ProjectionExpression"), ["sk", "value"]);
    assert_eq!(calls[2].input["ExclusiveStartKey"]["sk"], json!({"S": "c"}));
}

#[tokio::test]
async fn a_key_that_no_item_has_is_no_value() {
    let service = Service::new(|_, _| Answer::Ok(json!({"Items": [], "Count": 0})));
    assert!(
        parameters(&service)
            .get_multiple("none")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_item_that_is_no_parameter_fails_all_of_its_key() {
    for (item, attribute) in [
        (json!({"value": {"S": "hunter2"}}), "sk"),
        (
            json!({"sk": {"B": "/w=="}, "value": {"S": "hunter2"}}),
            "sk",
        ),
        (json!({"sk": {"S": "a"}}), "value"),
        (
            json!({"sk": {"S": "a"}, "value": {"L": [{"S": "hunter2"}]}}),
            "value",
        ),
    ] {
        let service = Service::new(move |_, _| Answer::Ok(json!({"Items": [item]})));
        let error = parameters(&service)
            .get_multiple("limits")
            .await
            .unwrap_err();
        let text = everything(&error);
        assert!(text.contains(&format!("attribute `{attribute}`")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn attributes_have_the_names_that_the_table_gives_them() {
    let service = Service::new(|_, call| {
        let item = json!({"sort-key": {"S": "a"}, "the.value": {"S": "1"}});
        Answer::Ok(match &*call.operation {
            "GetItem" => json!({"Item": item}),
            _ => json!({"Items": [item]}),
        })
    });
    let provider = provider(&service)
        .key_attribute("name")
        .sort_attribute("sort-key")
        .value_attribute("the.value");
    let parameters = Parameters::new(provider);
    assert_eq!(parameters.get("a").await.unwrap().as_str().unwrap(), "1");
    assert!(
        parameters
            .get_multiple("a")
            .await
            .unwrap()
            .get("a")
            .is_some()
    );
    let calls = service.calls();
    assert_eq!(calls[0].input["Key"], json!({"name": {"S": "a"}}));
    assert_eq!(named(&calls[0], "ProjectionExpression"), ["the.value"]);
    assert_eq!(
        named(&calls[1], "ProjectionExpression"),
        ["sort-key", "the.value"]
    );
}

#[tokio::test]
async fn a_read_may_be_consistent_and_is_another_one_then() {
    let service = Service::new(|_, call| {
        let item = json!({"sk": {"S": "a"}, "value": {"S": "1"}});
        Answer::Ok(match &*call.operation {
            "GetItem" => json!({"Item": item}),
            _ => json!({"Items": [item]}),
        })
    });
    let parameters = parameters(&service);
    for _ in 0..2 {
        parameters.get("a").await.unwrap();
        parameters.get("a").consistent_read().await.unwrap();
        parameters
            .get_multiple("a")
            .consistent_read()
            .await
            .unwrap();
    }
    let consistent: Vec<_> = service
        .calls()
        .iter()
        .map(|call| call.input["ConsistentRead"].as_bool().unwrap())
        .collect();
    assert_eq!(consistent, [false, true, true]);
}

#[tokio::test]
async fn a_refusal_is_an_error_of_its_kind() {
    for (code, kind) in [
        ("AccessDeniedException", "AccessDenied"),
        ("ProvisionedThroughputExceededException", "Throttled"),
        ("ThrottlingException", "Throttled"),
        ("RequestLimitExceeded", "Throttled"),
        ("ValidationException", "InvalidRequest"),
        ("InternalServerError", "Provider"),
    ] {
        let service = Service::new(move |_, _| refused(code, "no"));
        let parameters = parameters(&service);
        let errors = [
            parameters.get("limit").await.unwrap_err(),
            parameters.get_multiple("limit").await.unwrap_err(),
        ];
        for error in errors {
            assert!(format!("{error:?}").starts_with(kind), "{code}: {error:?}");
            assert_eq!(error.name(), "limit");
            assert!(everything(&error).contains(code));
        }
    }
}

/// Otherwise a function whose table has another name would run with its defaults.
#[tokio::test]
async fn a_table_that_does_not_exist_is_no_missing_parameter() {
    let service = Service::new(|_, _| refused("ResourceNotFoundException", "no table"));
    let parameters = parameters(&service);
    let errors = [
        parameters.get("limit").await.unwrap_err(),
        parameters.get_multiple("limit").await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
        assert_eq!(
            error.source().unwrap().to_string(),
            "table `config` does not exist"
        );
    }
}

#[tokio::test]
async fn the_clients_own_retry_is_used() {
    let service = Service::new(|number, _| match number {
        0 => refused("ThrottlingException", "slow down"),
        1 => Answer::Broken,
        _ => Answer::Ok(json!({"Item": {"value": {"S": "1"}}})),
    });
    let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let provider = DynamoDbProvider::new(client(&service, retry), "config");
    Parameters::new(provider).get("a").await.unwrap();
    assert_eq!(service.calls().len(), 3);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_repeated() {
    for body in [
        r#"{"Item":{"value":{"S":"hunter2"#,
        r#"{"Item":{"value":"hunter2"}}"#,
        "hunter2",
    ] {
        let service = Service::new(move |_, _| Answer::Garbage(body.to_owned()));
        let error = parameters(&service).get("a").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
        assert!(!everything(&error).contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_slow_is_given_up() {
    let service = Service::new(|_, _| {
        let late = Answer::Ok(json!({"Item": {"value": {"S": "1"}}}));
        Answer::Late(Duration::from_secs(60), Box::new(late))
    });
    let parameters = parameters(&service).timeout(Duration::from_secs(1));
    let error = parameters.get("a").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::TimedOut { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn many_at_once_are_one_request() {
    let service = with_value(json!({"S": "1"}));
    let parameters = parameters(&service);
    let reads: Vec<_> = (0..64)
        .map(|_| {
            let parameters = parameters.clone();
            tokio::spawn(async move { parameters.get("a").await.unwrap() })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap().as_str().unwrap(), "1");
    }
    assert_eq!(service.calls().len(), 1);
}

#[test]
fn providers_go_everywhere() {
    fn check<P: ParameterProvider<Options = DynamoDbOptions> + Clone + fmt::Debug>() {}
    check::<DynamoDbProvider>();
}
