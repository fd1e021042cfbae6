//! Configurations of AppConfig, from a service in memory.
#![cfg(all(feature = "parameters-appconfig", feature = "testing"))]

mod appconfig;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use appconfig::{AppConfig, Call, DAY, Failure, INTERVAL, SECOND, token_problem};
use aws_sdk_appconfigdata::config::retry::RetryConfig;
use powertools::{
    Env,
    parameters::{
        Get, ParameterError, Parameters, Value,
        appconfig::{AppConfigOptions, AppConfigProvider},
    },
};
use serde_json::json;

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

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_configuration_comes_with_its_version() {
    let service = AppConfig::with(r#"{"orders":5}"#);
    let parameters = service.parameters();
    let limits = parameters.get("limits").await.unwrap();
    assert_eq!(text(&limits), r#"{"orders":5}"#);
    assert_eq!(limits.version(), Some("v1"));
    let start = json!({
        "ApplicationIdentifier": "shop",
        "EnvironmentIdentifier": "prod",
        "ConfigurationProfileIdentifier": "limits",
    });
    assert_eq!(service.calls(), [Call::Start(start), Call::Poll]);

    service.deploy("plain", "", "x");
    let plain = parameters.get("plain").await.unwrap();
    assert_eq!((text(&plain), plain.version()), ("x", None));
    service.deploy("image", "v1", [0xff, 0xfe]);
    let image = parameters.get("image").await.unwrap();
    assert_eq!(image.as_bytes(), [0xff, 0xfe]);
    assert!(matches!(
        image.as_str(),
        Err(ParameterError::NotText { .. })
    ));
}

#[tokio::test]
async fn appconfig_is_left_alone_for_as_long_as_it_asks() {
    let service = AppConfig::with("1");
    let parameters = service.parameters().max_age(SECOND);
    parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.calls();
    for _ in 0..59 {
        service.clock.advance(SECOND);
        assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");
    }
    assert_eq!(service.calls(), []);
    service.clock.advance(2 * SECOND);
    let limits = parameters.get("limits").await.unwrap();
    assert_eq!((text(&limits), limits.version()), ("2", Some("v2")));
    assert_eq!(service.calls(), [Call::Poll]);
}

#[tokio::test]
async fn a_forced_fetch_within_the_interval_is_no_call() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    let first = parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.calls();
    let forced = parameters.get("limits").force_fetch().await.unwrap();
    assert!(forced.ptr_eq(&first));
    parameters.clear();
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");
    assert_eq!(service.calls(), []);
    service.clock.advance(INTERVAL + SECOND);
    let forced = parameters.get("limits").force_fetch().await.unwrap();
    assert_eq!(text(&forced), "2");
}

#[tokio::test]
async fn what_is_unchanged_stays_the_same_value() {
    let service = AppConfig::with("[1]");
    let parameters = service.parameters();
    let value = parameters.get("limits").await.unwrap();
    let parsed = value.json::<Vec<u8>>().unwrap();
    for _ in 0..3 {
        service.clock.advance(INTERVAL + SECOND);
        let again = parameters.get("limits").await.unwrap();
        assert!(again.ptr_eq(&value));
        assert_eq!(again.version(), Some("v1"));
        assert!(Arc::ptr_eq(&again.json().unwrap(), &parsed));
    }
    // A new session is told everything anew.
    service.clock.advance(DAY);
    assert!(parameters.get("limits").await.unwrap().ptr_eq(&value));
    assert_eq!(service.starts(), 2);
}

#[tokio::test]
async fn a_token_that_has_expired_is_renewed() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.clock.advance(DAY);
    service.calls();
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
    let calls = service.calls();
    assert!(
        matches!(calls[..], [Call::Poll, Call::Start(_), Call::Poll]),
        "{calls:?}"
    );
}

#[tokio::test]
async fn an_answer_that_was_lost_begins_a_new_session() {
    for failure in [
        Failure::Lost,
        Failure::Broken,
        Failure::Refused(500, "InternalServerException", json!({})),
        Failure::Garbage,
    ] {
        let service = AppConfig::with("1");
        let parameters = service.parameters();
        parameters.get("limits").await.unwrap();
        service.deploy("limits", "v2", "2");
        service.clock.advance(INTERVAL + SECOND);
        service.fail(failure);
        let error = parameters.get("limits").await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        service.calls();
        assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
        let calls = service.calls();
        assert!(
            matches!(calls[..], [Call::Start(_), Call::Poll]),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn the_clients_own_retry_shows_a_token_twice_and_is_understood() {
    let service = AppConfig::with("1");
    let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let provider = AppConfigProvider::new(service.client(retry), "shop", "prod");
    let parameters = Parameters::new(provider.with_clock(&service.clock));
    let parameters = parameters.with_clock(&service.clock);
    parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.clock.advance(INTERVAL + SECOND);
    service.calls();
    service.fail(Failure::Lost);
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
    let calls = service.calls();
    assert!(
        matches!(
            calls[..],
            [Call::Poll, Call::Poll, Call::Start(_), Call::Poll]
        ),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_that_was_given_up_begins_a_new_session() {
    let service = AppConfig::with("1");
    let parameters = service.parameters().timeout(SECOND);
    parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.clock.advance(INTERVAL + SECOND);
    service.fail(Failure::Hanging);
    let error = parameters.get("limits").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::TimedOut { .. }),
        "{error:?}"
    );
    service.fail(Failure::Hanging);
    let reading = parameters.get("limits").into_future();
    tokio::time::timeout(SECOND / 2, reading).await.unwrap_err();
    service.calls();
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
    assert_eq!(service.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_hangs_keeps_no_other_waiting() {
    let service = AppConfig::with("1");
    service.deploy("other", "v1", "x");
    let parameters = service.parameters().timeout(60 * SECOND);
    service.fail(Failure::Hanging);
    let hanging = parameters.get("limits").into_future();
    tokio::pin!(hanging);
    let other = async {
        tokio::task::yield_now().await;
        parameters.get("other").await
    };
    tokio::select! {
        biased;
        _ = &mut hanging => panic!("it has no answer"),
        other = other => assert_eq!(text(&other.unwrap()), "x"),
    }
    assert!(matches!(
        hanging.await,
        Err(ParameterError::TimedOut { .. })
    ));
}

#[tokio::test]
async fn many_at_once_are_one_session() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    let reads: Vec<_> = (0..64)
        .map(|_| {
            let parameters = parameters.clone();
            tokio::spawn(async move { parameters.get("limits").await.unwrap() })
        })
        .collect();
    for read in reads {
        assert_eq!(text(&read.await.unwrap()), "1");
    }
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn clones_share_their_sessions() {
    let service = AppConfig::with("1");
    let provider = service.provider();
    for _ in 0..2 {
        let parameters = Parameters::new(provider.clone()).with_clock(&service.clock);
        assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");
    }
    assert_eq!(service.calls().len(), 2);
}

#[tokio::test]
async fn throttled_and_denied_requests_leave_the_token_as_it_is() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.clock.advance(INTERVAL + SECOND);
    service.calls();
    service.fail(Failure::Refused(429, "ThrottlingException", json!({})));
    let error = parameters.get("limits").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Throttled { .. }),
        "{error:?}"
    );
    service.fail(Failure::Refused(403, "AccessDeniedException", json!({})));
    let error = parameters.get("limits").await.unwrap_err();
    assert!(error.is_access_denied(), "{error:?}");
    assert_eq!(error.name(), "limits");
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
    assert_eq!(service.calls(), [Call::Poll, Call::Poll, Call::Poll]);
}

#[tokio::test]
async fn the_last_value_is_served_while_appconfig_finds_it_too_early() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    let first = parameters.get("limits").await.unwrap();
    service.deploy("limits", "v2", "2");
    service.calls();
    // Our clock is ahead of AppConfig's.
    let early = token_problem("PollIntervalNotSatisfied");
    service.clock.advance(INTERVAL + SECOND);
    service.fail(Failure::Refused(400, "BadRequestException", early));
    assert!(parameters.get("limits").await.unwrap().ptr_eq(&first));
    service.clock.advance(INTERVAL - SECOND);
    assert!(parameters.get("limits").await.unwrap().ptr_eq(&first));
    service.clock.advance(2 * SECOND);
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "2");
    assert_eq!(service.calls(), [Call::Poll, Call::Poll]);
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_not_found_until_it_does() {
    let service = AppConfig::new();
    let parameters = service.parameters();
    let error = parameters.get("missing").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(error.to_string(), "parameter `missing` does not exist");
    assert_eq!(service.starts(), 1);

    // It exists, and nothing has been deployed.
    for _ in 0..3 {
        let error = parameters.get("limits").await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        assert!(everything(&error).contains("nothing has been deployed"));
    }
    assert_eq!(service.calls().len(), 2);
    service.deploy("limits", "v1", "1");
    service.clock.advance(INTERVAL + SECOND);
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");
    assert_eq!(service.calls(), [Call::Poll]);
}

#[tokio::test]
async fn what_is_not_deployed_any_more_is_not_found_by_a_new_session() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    parameters.get("limits").await.unwrap();
    service.undeploy();
    service.clock.advance(DAY);
    let error = parameters.get("limits").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn application_and_environment_are_a_part_of_what_is_asked_for() {
    let service = AppConfig::with("shop in prod");
    service.deploy_to(["shop", "test", "limits"], "v1", "shop in test");
    service.deploy_to(["depot", "prod", "limits"], "v1", "depot in prod");
    let parameters = service.parameters();
    let get = || parameters.get("limits");
    for _ in 0..2 {
        assert_eq!(text(&get().await.unwrap()), "shop in prod");
        assert_eq!(
            text(&get().environment("test").await.unwrap()),
            "shop in test"
        );
        assert_eq!(
            text(&get().application("depot").await.unwrap()),
            "depot in prod"
        );
        let options = AppConfigOptions::default().environment("test");
        let of_test = get().with(|_| options.clone()).await.unwrap();
        assert_eq!(text(&of_test), "shop in test");
    }
    assert_eq!(service.calls().len(), 6);
}

#[tokio::test]
async fn the_application_is_called_like_the_service_if_it_is_not_said() {
    let service = AppConfig::with("1");
    let client = service.client(RetryConfig::disabled());
    let env = Env::from([("POWERTOOLS_SERVICE_NAME", "shop")]);
    let provider = AppConfigProvider::from_env(client.clone(), "prod", &env);
    let parameters = Parameters::new(provider);
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");

    let parameters = Parameters::new(AppConfigProvider::from_env(client, "prod", &Env::default()));
    let error = parameters.get("limits").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::InvalidRequest { .. }),
        "{error:?}"
    );
    assert!(everything(&error).contains("`POWERTOOLS_SERVICE_NAME`"));
    let limits = parameters.get("limits").application("shop").await.unwrap();
    assert_eq!(text(&limits), "1");
}

#[tokio::test]
async fn the_poll_interval_is_what_the_session_is_begun_with() {
    let service = AppConfig::with("1");
    service.deploy("fast", "v1", "1");
    let provider = service
        .provider()
        .poll_interval(Duration::from_millis(299_500));
    let parameters = Parameters::new(provider).with_clock(&service.clock);
    let fast = |get: Get<'static, AppConfigProvider>| get.poll_interval(15 * SECOND);
    let parameters: &'static _ = Box::leak(Box::new(parameters));
    parameters.get("limits").await.unwrap();
    fast(parameters.get("fast")).await.unwrap();
    let intervals: Vec<_> = service
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Start(input) => input["RequiredMinimumPollIntervalInSeconds"].as_u64(),
            Call::Poll => None,
        })
        .collect();
    assert_eq!(intervals, [300, 15]);
    service.clock.advance(16 * SECOND);
    parameters.get("limits").await.unwrap();
    fast(parameters.get("fast")).await.unwrap();
    assert_eq!(service.calls(), [Call::Poll]);
}

#[tokio::test]
async fn nothing_of_a_configuration_or_a_token_is_shown() {
    let service = AppConfig::with("hunter2");
    let provider = service.provider();
    let parameters = Parameters::new(provider.clone()).with_clock(&service.clock);
    let value = parameters.get("limits").await.unwrap();
    let mut shown = vec![
        format!("{provider:?} {parameters:?} {value:?}"),
        everything(&value.json::<u8>().unwrap_err()),
    ];
    // An answer that cannot be read holds a value.
    for failure in [Failure::Garbage, Failure::Lost, Failure::Broken] {
        service.clock.advance(INTERVAL + SECOND);
        // With a token, as the last one may have got lost.
        parameters.get("limits").await.unwrap();
        service.clock.advance(INTERVAL + SECOND);
        service.fail(failure);
        shown.push(everything(&parameters.get("limits").await.unwrap_err()));
    }
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("token-"), "{text}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_too_large_is_not_kept() {
    let service = AppConfig::with(&"x".repeat(10_000_000));
    let parameters = service.parameters();
    let error = parameters.get("limits").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::TooLarge { .. }),
        "{error:?}"
    );
    assert_eq!(error.name(), "limits");
}

#[tokio::test]
async fn what_is_kept_is_served_while_appconfig_fails_if_that_is_allowed() {
    let service = AppConfig::with("1");
    let parameters = service.parameters().stale_if_error(10 * SECOND);
    parameters.get("limits").await.unwrap();
    service.clock.advance(INTERVAL + 5 * SECOND);
    service.fail(Failure::Broken);
    assert_eq!(text(&parameters.get("limits").await.unwrap()), "1");
    service.clock.advance(60 * SECOND);
    service.fail(Failure::Broken);
    parameters.get("limits").await.unwrap_err();
}

#[tokio::test]
async fn a_path_is_nothing_that_appconfig_knows() {
    let error = AppConfig::new()
        .parameters()
        .get_multiple("/")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ParameterError::Unsupported { .. }),
        "{error:?}"
    );
}

#[test]
fn providers_go_everywhere() {
    fn check<T: Clone + fmt::Debug + Send + Sync + 'static>() {}
    check::<AppConfigProvider>();
    check::<AppConfigOptions>();
    check::<Parameters<AppConfigProvider>>();
}
