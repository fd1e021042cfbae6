//! Secrets read and set by `SecretsManagerProvider`, beside what Secrets Manager's own client says.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_secretsmanager::{Client, primitives::Blob};
use backend_tests::emulator;
use powertools::{
    Env,
    parameters::{ByName, Parameters, Value, secrets_manager::SecretsManagerProvider},
    testing::Clock,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn client() -> Client {
    Client::new(&emulator().await.sdk_config())
}

fn secrets(client: &Client) -> Parameters<SecretsManagerProvider> {
    Parameters::from_env(SecretsManagerProvider::new(client.clone()), &Env::default())
}

async fn create(client: &Client, name: &str, value: &str) -> String {
    let create = client.create_secret().name(name).secret_string(value);
    create.send().await.unwrap().version_id.unwrap()
}

async fn rotate(client: &Client, name: &str, value: &str) -> String {
    let put = client
        .put_secret_value()
        .secret_id(name)
        .secret_string(value);
    put.send().await.unwrap().version_id.unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_secret_is_created_read_rotated_and_deleted() {
    const NAME: &str = "backends/life";
    let client = client().await;
    let clock = Clock::new();
    let secrets = secrets(&client).with_clock(&clock).max_age(MINUTE);
    assert!(secrets.get(NAME).await.unwrap_err().is_not_found());

    let first = create(&client, NAME, "one").await;
    let one = secrets.get(NAME).await.unwrap();
    assert_eq!((text(&one), one.version()), ("one", Some(&*first)));

    // Rotated by somebody else, and seen when it is too old.
    let second = rotate(&client, NAME, "two").await;
    assert_eq!(text(&secrets.get(NAME).await.unwrap()), "one");
    clock.advance(2 * MINUTE);
    let two = secrets.get(NAME).await.unwrap();
    assert_eq!((text(&two), two.version()), ("two", Some(&*second)));
    let previous = secrets
        .get(NAME)
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    assert_eq!(
        (text(&previous), previous.version()),
        ("one", Some(&*first))
    );
    let pinned = secrets.get(NAME).version_id(&*first).await.unwrap();
    assert_eq!(text(&pinned), "one");

    // Or at once by whoever is refused.
    rotate(&client, NAME, "three").await;
    let log_in = |secret: Value| async move {
        if text(&secret) == "three" {
            Ok(())
        } else {
            Err("refused")
        }
    };
    let logged_in = secrets
        .with_secret(NAME, log_in, |error| *error == "refused")
        .await;
    assert!(logged_in.is_ok());
    assert_eq!(text(&secrets.get(NAME).await.unwrap()), "three");

    client.delete_secret().secret_id(NAME).send().await.unwrap();
    let error = secrets.get(NAME).force_fetch().await.unwrap_err();
    assert!(error.is_not_found(), "scheduled for deletion: {error:?}");
    let delete = client.delete_secret().secret_id(NAME);
    delete
        .force_delete_without_recovery(true)
        .send()
        .await
        .unwrap();
    let error = secrets.get(NAME).force_fetch().await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    let error = secrets.get_by_names([NAME]).await.get(NAME).unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn a_secret_is_set_whether_it_exists_or_not() {
    const NAME: &str = "backends/set";
    const TOKEN: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let client = client().await;
    let secrets = secrets(&client);
    let login = BTreeMap::from([("user", "shop"), ("password", "hunter2")]);
    let created = secrets
        .set_json(NAME, &login)
        .description("of a test")
        .await
        .unwrap();
    let value = secrets.get(NAME).await.unwrap();
    assert_eq!(text(&value), r#"{"password":"hunter2","user":"shop"}"#);
    assert_eq!(value.version(), Some(&*created));
    let read = secrets
        .get(NAME)
        .json::<BTreeMap<String, String>>()
        .await
        .unwrap();
    assert_eq!(read["user"], "shop");

    let version = secrets
        .set(NAME, "new")
        .client_request_token(TOKEN)
        .await
        .unwrap();
    assert_eq!(version, TOKEN);
    assert_eq!(text(&secrets.get(NAME).await.unwrap()), "new");
    let previous = secrets
        .get(NAME)
        .version_stage("AWSPREVIOUS")
        .await
        .unwrap();
    assert_eq!(previous.version(), Some(&*created));
    let is = client
        .describe_secret()
        .secret_id(NAME)
        .send()
        .await
        .unwrap();
    assert_eq!(is.description.as_deref(), Some("of a test"));

    secrets
        .set_binary("backends/set-binary", [0xff, 0xfe])
        .await
        .unwrap();
    let is = client
        .get_secret_value()
        .secret_id("backends/set-binary")
        .send()
        .await
        .unwrap();
    assert_eq!(is.secret_binary, Some(Blob::new([0xff, 0xfe])));
    let bytes = secrets.get("backends/set-binary").await.unwrap();
    assert_eq!(bytes.as_bytes(), [0xff, 0xfe]);
}

/// Whoever is first, nobody fails.
#[tokio::test]
async fn many_who_set_a_secret_that_does_not_exist_all_succeed() {
    const NAME: &str = "backends/race";
    let client = client().await;
    let secrets = secrets(&client);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let secrets = secrets.clone();
        tasks.spawn(async move { secrets.set(NAME, number.to_string()).await });
    }
    let mut versions = tasks
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect::<Vec<_>>();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 8);
}

#[tokio::test]
async fn names_come_in_chunks_with_their_own_versions() {
    let client = client().await;
    let names: Vec<_> = (0..45)
        .map(|number| format!("backends/names/{number:02}"))
        .collect();
    for name in &names {
        create(&client, name, &format!("of {name}")).await;
    }
    rotate(&client, &names[7], "newer").await;

    let secrets = secrets(&client);
    let asked = names.iter().map(ByName::from);
    let asked = asked.chain([ByName::new("backends/names/none")]);
    let values = secrets.get_by_names(asked).await;
    assert_eq!(values.len(), 46);
    for (number, name) in names.iter().enumerate() {
        let expected = if number == 7 {
            "newer".to_owned()
        } else {
            format!("of {name}")
        };
        assert_eq!(text(&values.get(name).unwrap()), expected);
    }
    assert!(
        values
            .get("backends/names/none")
            .unwrap_err()
            .is_not_found()
    );

    let previous = ByName::new(&*names[7]).version_stage("AWSPREVIOUS");
    let values = secrets
        .get_by_names([previous, ByName::new(&*names[8])])
        .await;
    let values = values.all().unwrap();
    let texts: Vec<_> = values.iter().map(|(_, value)| text(value)).collect();
    assert_eq!(texts, ["of backends/names/07", "of backends/names/08"]);
}
