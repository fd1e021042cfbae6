//! What the Lambda extensions of AppConfig and of Parameters and Secrets hold, from servers on
//! loopback that play them.
#![cfg(feature = "parameters-extension")]

use std::{
    error::Error,
    fmt,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};
use powertools::{
    Env,
    parameters::{
        ParameterError, ParameterProvider, Parameters, Value,
        extension::{
            AppConfigExtensionProvider, SecretsManagerExtensionProvider, SsmExtensionProvider,
        },
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const TOKEN: &str = "session-token";

/// An extension that plays its part.
struct Extension {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request, as it came.
#[derive(Clone, Debug)]
struct Seen {
    target: String,
    headers: HeaderMap,
}

#[derive(Clone)]
struct Playing {
    answer: Arc<dyn Fn() -> Option<Response<Body>> + Send + Sync>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Extension {
    /// Plays one that gives this answer, or none at all.
    async fn start(answer: impl Fn() -> Option<Response<Body>> + Send + Sync + 'static) -> Self {
        let seen = Arc::default();
        let playing = Playing {
            answer: Arc::new(answer),
            seen: Arc::clone(&seen),
        };
        let app = Router::new().fallback(respond).with_state(playing);
        let (listener, port) = listen().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, seen }
    }

    async fn answering(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::start(move || Some(answer(status, body.clone()))).await
    }

    fn targets(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|seen| seen.target.clone()).collect()
    }

    fn token(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap();
        let token = seen.last()?.headers.get("X-Aws-Parameters-Secrets-Token")?;
        Some(token.to_str().unwrap().to_owned())
    }

    fn env(&self) -> Env {
        let port = self.port.to_string();
        Env::from([
            ("AWS_APPCONFIG_EXTENSION_HTTP_PORT", &*port),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", &port),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("POWERTOOLS_SERVICE_NAME", "shop"),
        ])
    }

    fn appconfig(&self) -> Parameters<AppConfigExtensionProvider> {
        Parameters::new(AppConfigExtensionProvider::from_env("prod", &self.env()))
    }

    fn ssm(&self) -> Parameters<SsmExtensionProvider> {
        Parameters::new(SsmExtensionProvider::from_env(&self.env()))
    }

    fn secrets(&self) -> Parameters<SecretsManagerExtensionProvider> {
        Parameters::new(SecretsManagerExtensionProvider::from_env(&self.env()))
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn respond(State(playing): State<Playing>, request: Request) -> Response<Body> {
    playing.seen.lock().unwrap().push(Seen {
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    });
    match (playing.answer)() {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

fn parameter(value: &str) -> String {
    json!({
        "Parameter": {
            "ARN": "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/limit",
            "DataType": "text",
            "LastModifiedDate": "2025-01-01T00:00:00Z",
            "Name": "/shop/limit",
            "Selector": null,
            "SourceResult": null,
            "Type": "String",
            "Value": value,
            "Version": 3,
        },
        "ResultMetadata": {},
    })
    .to_string()
}

fn secret(string: Option<&str>, binary: Option<&str>) -> String {
    json!({
        "ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        "CreatedDate": "2025-01-01T00:00:00Z",
        "Name": "db",
        "SecretBinary": binary,
        "SecretString": string,
        "VersionId": "a1b2c3d4",
        "VersionStages": ["AWSCURRENT"],
        "ResultMetadata": {},
    })
    .to_string()
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_configuration_is_asked_for_by_its_path() {
    let extension = Extension::start(|| {
        let mut answer = answer(200, r#"{"orders":5}"#);
        let version = "v7".parse().unwrap();
        answer
            .headers_mut()
            .insert("Configuration-Version", version);
        Some(answer)
    })
    .await;
    let parameters = extension.appconfig();
    for _ in 0..2 {
        let limits = parameters.get("limits").await.unwrap();
        assert_eq!(text(&limits), r#"{"orders":5}"#);
        assert_eq!(limits.version(), Some("v7"));
    }
    let flags = parameters.get("flags").flag("ten percent").flag("a&b=c");
    flags
        .application("de/pot")
        .environment("täst")
        .await
        .unwrap();
    assert_eq!(
        extension.targets(),
        [
            "/applications/shop/environments/prod/configurations/limits",
            "/applications/de%2Fpot/environments/t%C3%A4st/configurations/flags\
             ?flag=ten%20percent&flag=a%26b%3Dc",
        ]
    );
    assert_eq!(extension.token(), None);
}

#[tokio::test]
async fn a_configuration_may_be_binary() {
    let extension = Extension::answering(200, vec![0xff, 0xfe]).await;
    let value = extension.appconfig().get("image").await.unwrap();
    assert_eq!(value.as_bytes(), [0xff, 0xfe]);
    assert_eq!(value.version(), None);
}

#[tokio::test]
async fn a_parameter_is_asked_for_with_the_functions_token() {
    let extension = Extension::answering(200, parameter("100")).await;
    let parameters = extension.ssm();
    let limit = parameters.get("/shop/limit").await.unwrap();
    assert_eq!((text(&limit), limit.version()), ("100", Some("3")));
    assert_eq!(extension.token().as_deref(), Some(TOKEN));
    parameters.get("a b").decrypt().await.unwrap();
    parameters.get("a").version(3).await.unwrap();
    parameters.get("a").label("stable").await.unwrap();
    assert_eq!(
        extension.targets(),
        [
            "/systemsmanager/parameters/get?name=%2Fshop%2Flimit",
            "/systemsmanager/parameters/get?name=a%20b&withDecryption=true",
            "/systemsmanager/parameters/get?name=a&version=3",
            "/systemsmanager/parameters/get?name=a&label=stable",
        ]
    );
}

#[tokio::test]
async fn a_secret_is_text_or_binary() {
    let extension = Extension::answering(200, secret(Some("hunter2"), None)).await;
    let secrets = extension.secrets();
    let password = secrets.get("db").await.unwrap();
    assert_eq!(
        (text(&password), password.version()),
        ("hunter2", Some("a1b2c3d4"))
    );
    assert_eq!(extension.token().as_deref(), Some(TOKEN));
    secrets.get("db").version_id("a1").await.unwrap();
    secrets
        .get("db")
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    assert_eq!(
        extension.targets(),
        [
            "/secretsmanager/get?secretId=db",
            "/secretsmanager/get?secretId=db&versionId=a1",
            "/secretsmanager/get?secretId=db&versionStage=AWSPREVIOUS",
        ]
    );

    let extension = Extension::answering(200, secret(None, Some("/wD+"))).await;
    let key = extension.secrets().get("key").await.unwrap();
    assert_eq!(key.as_bytes(), [0xff, 0x00, 0xfe]);
}

#[tokio::test]
async fn options_are_a_part_of_what_is_cached() {
    let extension = Extension::answering(200, parameter("100")).await;
    let parameters = extension.ssm();
    for _ in 0..2 {
        parameters.get("a").await.unwrap();
        parameters.get("a").decrypt().await.unwrap();
        parameters.get("a").version(1).await.unwrap();
    }
    assert_eq!(extension.targets().len(), 3);
}

#[tokio::test]
async fn a_function_without_a_token_is_told_what_is_missing() {
    let extension = Extension::answering(200, parameter("100")).await;
    let port = extension.port.to_string();
    let env = Env::from([("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", &*port)]);
    let parameters = Parameters::new(SsmExtensionProvider::from_env(&env));
    let error = parameters.get("/shop/limit").await.unwrap_err();
    assert!(error.is_access_denied(), "{error:?}");
    assert!(everything(&error).contains("`AWS_SESSION_TOKEN` is not set"));
    assert_eq!(extension.targets(), [""; 0]);
}

#[tokio::test]
async fn a_configuration_without_an_application_is_no_request() {
    let provider = AppConfigExtensionProvider::from_env("prod", &Env::default());
    let error = Parameters::new(provider).get("limits").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::InvalidRequest { .. }),
        "{error:?}"
    );
    assert!(everything(&error).contains("`POWERTOOLS_SERVICE_NAME`"));
}

#[tokio::test]
async fn what_the_code_says_wins_over_the_environment() {
    let extension = Extension::answering(200, "1").await;
    let env = Env::from([
        ("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "1"),
        ("POWERTOOLS_SERVICE_NAME", "shop"),
    ]);
    let provider = AppConfigExtensionProvider::from_env("prod", &env);
    let provider = provider.application("depot").port(extension.port);
    Parameters::new(provider).get("limits").await.unwrap();
    let target = "/applications/depot/environments/prod/configurations/limits";
    assert_eq!(extension.targets(), [target]);
}

#[test]
fn the_default_ports_are_those_of_aws() {
    for env in [
        Env::default(),
        Env::from([
            ("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "no port"),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "99999"),
        ]),
    ] {
        let appconfig = AppConfigExtensionProvider::from_env("prod", &env);
        assert!(format!("{appconfig:?}").contains("port: 2772"));
        let ssm = SsmExtensionProvider::from_env(&env);
        assert!(format!("{ssm:?}").contains("port: 2773"));
        let secrets = SecretsManagerExtensionProvider::from_env(&env);
        assert!(format!("{secrets:?}").contains("port: 2773"));
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_of_its_kind() {
    let unexpected = "an unexpected error occurred while executing request";
    let not_ready = "not ready to serve traffic, please wait";
    for (status, body, kind) in [
        (404, "profile not found", "NotFound"),
        (400, "ParameterNotFound: no such", "NotFound"),
        (
            400,
            "api error AccessDeniedException: User is not authorized",
            "AccessDenied",
        ),
        (500, "User is not authorized to perform", "AccessDenied"),
        (401, "", "AccessDenied"),
        (403, "token", "AccessDenied"),
        (429, "", "Throttled"),
        (
            400,
            "api error ThrottlingException: Rate exceeded",
            "Throttled",
        ),
        (504, "", "TimedOut"),
        (400, "what?", "InvalidRequest"),
        (400, unexpected, "Provider"),
        (400, not_ready, "Provider"),
        (500, "", "Provider"),
        (502, "", "Provider"),
        (302, "", "Provider"),
        (204, "", "Provider"),
    ] {
        let extension = Extension::answering(status, body).await;
        let errors = [
            extension.appconfig().get("a").await.unwrap_err(),
            extension.ssm().get("a").await.unwrap_err(),
            extension.secrets().get("a").await.unwrap_err(),
        ];
        for error in errors {
            let debug = format!("{error:?}");
            assert!(debug.starts_with(kind), "{status} {body}: {debug}");
            assert_eq!(error.name(), "a");
            assert!(everything(&error).contains(body), "{debug}");
            assert!(everything(&error).contains(&status.to_string()), "{debug}");
        }
    }
}

#[tokio::test]
async fn a_long_refusal_is_cut() {
    let body = format!("{}\n\u{1b}[31m{}", "ü".repeat(200), "x".repeat(1_000));
    let extension = Extension::answering(500, body).await;
    let error = extension.ssm().get("a").await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.chars().count() < 400, "{source}");
    assert!(!source.contains(char::is_control), "{source}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_repeated() {
    for body in [
        "hunter2".to_owned(),
        r#"{"Parameter":"hunter2","SecretString":{"hunter2":1}}"#.to_owned(),
        r#"{"Parameter":{"Value":["hunter2"]},"SecretBinary":["hunter2"]}"#.to_owned(),
        r#"{"Parameter":{"Value":"x","Version":"hunter2"},"SecretBinary":"hunter2!"}"#.to_owned(),
        secret(None, None),
        String::new(),
    ] {
        let extension = Extension::answering(200, body.clone()).await;
        let errors = [
            extension.ssm().get("a").await.unwrap_err(),
            extension.secrets().get("a").await.unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, ParameterError::Provider { .. }),
                "{error:?}"
            );
            let text = everything(&error);
            assert!(text.contains("the extension's answer"), "{text}");
            assert!(!text.contains("hunter2"), "{body}: {text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_an_error() {
    for answer in [
        &b"hunter2\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhunter2",
        b"",
    ] {
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let provider = AppConfigExtensionProvider::new("shop", "prod").port(port);
        let error = Parameters::new(provider).get("a").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
        assert!(!everything(&error).contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn where_no_extension_listens_the_port_is_named() {
    let (listener, port) = listen().await;
    drop(listener);
    let provider = AppConfigExtensionProvider::new("shop", "prod").port(port);
    let error = Parameters::new(provider).get("a").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Provider { .. }),
        "{error:?}"
    );
    let named = format!("no extension can be reached at port {port}");
    assert_eq!(error.source().unwrap().to_string(), named);
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_hangs_is_given_up_after_three_seconds() {
    let extension = Extension::start(|| None).await;
    let parameters = extension.ssm().timeout(Duration::from_secs(60));
    let error = parameters.get("a").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::TimedOut { .. }),
        "{error:?}"
    );
    let source = error.source().unwrap().to_string();
    assert_eq!(source, "the extension did not answer within 3000 ms");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up_as_well() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhunter2";
        stream.write_all(head).await.unwrap();
        std::future::pending::<()>().await;
    });
    let provider = AppConfigExtensionProvider::new("shop", "prod").port(port);
    let provider = provider.timeout(Duration::from_millis(100));
    let error = Parameters::new(provider).get("a").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::TimedOut { .. }),
        "{error:?}"
    );
    assert!(!everything(&error).contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    for status in [200, 500] {
        let extension = Extension::answering(status, vec![b'x'; 10_000_000]).await;
        let error = extension.ssm().get("a").await.unwrap_err();
        assert!(
            matches!(error, ParameterError::Provider { .. }),
            "{error:?}"
        );
        let source = error.source().unwrap().to_string();
        assert_eq!(source, "the extension's answer has more than 4194304 bytes");
    }
}

#[tokio::test]
async fn many_at_once_are_one_request_and_different_ones_do_not_wait() {
    let extension = Extension::answering(200, parameter("100")).await;
    let parameters = extension.ssm();
    let reads: Vec<_> = (0..64)
        .map(|number| {
            let parameters = parameters.clone();
            let name = ["a", "b"][number % 2];
            tokio::spawn(async move { parameters.get(name).await.unwrap() })
        })
        .collect();
    for read in reads {
        assert_eq!(text(&read.await.unwrap()), "100");
    }
    assert_eq!(extension.targets().len(), 2);
}

/// A provider may be made before the runtime in which it is used, and outlive it.
#[test]
fn a_provider_belongs_to_no_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let server = runtime();
    let extension = server.block_on(Extension::answering(200, "1"));
    std::thread::spawn(move || server.block_on(std::future::pending::<()>()));
    let parameters = extension.appconfig();
    for _ in 0..2 {
        let value = runtime().block_on(parameters.get("limits").force_fetch().into_future());
        assert_eq!(text(&value.unwrap()), "1");
    }
}

#[tokio::test]
async fn nothing_of_a_value_or_the_token_is_shown() {
    let extension = Extension::answering(200, secret(Some("hunter2"), None)).await;
    let secrets = extension.secrets();
    let value = secrets.get("db").await.unwrap();
    let text = format!("{value:?} {secrets:?} {:?}", secrets.provider());
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    let error = extension.ssm().get("db").await.unwrap_err();
    assert!(!everything(&error).contains("hunter2"));
}

#[tokio::test]
async fn a_path_is_nothing_that_an_extension_knows() {
    let extension = Extension::answering(200, "1").await;
    let error = extension.ssm().get_multiple("/shop").await.unwrap_err();
    assert!(
        matches!(error, ParameterError::Unsupported { .. }),
        "{error:?}"
    );
    assert_eq!(extension.targets(), [""; 0]);
}

#[test]
fn providers_go_everywhere() {
    fn check<P: ParameterProvider + Clone + fmt::Debug>() {}
    check::<AppConfigExtensionProvider>();
    check::<SsmExtensionProvider>();
    check::<SecretsManagerExtensionProvider>();
}
