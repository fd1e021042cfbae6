//! Parameters read and set by `SsmProvider`, beside what Systems Manager's own client says.

use std::time::Duration;

use aws_sdk_ssm::{
    Client,
    types::{ParameterTier, ParameterType},
};
use backend_tests::emulator;
use powertools::{
    Env,
    parameters::{ByName, ParameterError, Parameters, SetError, Value, ssm::SsmProvider},
    testing::Clock,
};

const SECRET: &str = "hunter2-and-more";
const MINUTE: Duration = Duration::from_secs(60);

async fn client() -> Client {
    Client::new(&emulator().await.sdk_config())
}

fn parameters(client: &Client) -> Parameters<SsmProvider> {
    Parameters::from_env(SsmProvider::new(client.clone()), &Env::default())
}

async fn put(client: &Client, name: &str, value: &str, of_type: ParameterType) {
    let put = client
        .put_parameter()
        .name(name)
        .value(value)
        .r#type(of_type);
    put.overwrite(true).send().await.unwrap();
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_parameter_is_created_read_changed_and_deleted() {
    const NAME: &str = "/backends/ssm/life/url";
    let client = client().await;
    let clock = Clock::new();
    let parameters = parameters(&client).with_clock(&clock).max_age(MINUTE);
    let error = parameters.get(NAME).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");

    assert_eq!(parameters.set(NAME, "one").await.unwrap(), 1);
    let error = parameters.set(NAME, "other").await.unwrap_err();
    assert!(matches!(error, SetError::AlreadyExists { .. }), "{error:?}");
    let one = parameters.get(NAME).await.unwrap();
    assert_eq!((text(&one), one.version()), ("one", Some("1")));

    // Changed by somebody else, and seen when it is too old.
    put(&client, NAME, "two", ParameterType::String).await;
    assert_eq!(text(&parameters.get(NAME).await.unwrap()), "one");
    clock.advance(2 * MINUTE);
    let two = parameters.get(NAME).await.unwrap();
    assert_eq!((text(&two), two.version()), ("two", Some("2")));

    // Changed by ourselves, and seen at once.
    assert_eq!(parameters.set(NAME, "three").overwrite().await.unwrap(), 3);
    assert_eq!(text(&parameters.get(NAME).await.unwrap()), "three");
    let first = parameters.get("/backends/ssm/life/url:1").await.unwrap();
    assert_eq!((text(&first), first.version()), ("one", Some("1")));

    client.delete_parameter().name(NAME).send().await.unwrap();
    let error = parameters.get(NAME).force_fetch().await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(parameters.get(NAME).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_secret_is_stored_encrypted_and_stays_so() {
    const NAME: &str = "/backends/ssm/secure/key";
    let client = client().await;
    let parameters = parameters(&client);
    let set = parameters
        .set(NAME, SECRET)
        .secure()
        .description("of a test");
    set.tier(ParameterTier::Advanced).await.unwrap();
    let decrypted = parameters.get(NAME).decrypt().await.unwrap();
    assert_eq!(text(&decrypted), SECRET);
    let encrypted = parameters.get(NAME).await.unwrap();
    assert!(!text(&encrypted).contains(SECRET));

    parameters.set(NAME, "another").overwrite().await.unwrap();
    let decrypted = parameters.get(NAME).decrypt().await.unwrap();
    assert_eq!(
        (text(&decrypted), decrypted.version()),
        ("another", Some("2"))
    );
    let is = client.get_parameter().name(NAME).send().await.unwrap();
    let is = is.parameter.unwrap();
    assert_eq!(is.r#type, Some(ParameterType::SecureString));
    assert!(!is.value.unwrap().contains("another"));
}

#[tokio::test]
async fn overwriting_makes_what_does_not_exist() {
    const NAME: &str = "/backends/ssm/upsert/url";
    let client = client().await;
    let parameters = parameters(&client);
    assert_eq!(parameters.set(NAME, "u").overwrite().await.unwrap(), 1);
    let is = client.get_parameter().name(NAME).send().await.unwrap();
    let is = is.parameter.unwrap();
    assert_eq!(
        (is.r#type, is.value.as_deref()),
        (Some(ParameterType::String), Some("u"))
    );
}

#[tokio::test]
async fn a_label_is_read_as_a_part_of_the_name() {
    const NAME: &str = "/backends/ssm/labels/limits";
    let client = client().await;
    let parameters = parameters(&client);
    parameters.set(NAME, "[1]").await.unwrap();
    parameters.set(NAME, "[2]").overwrite().await.unwrap();
    let label = client.label_parameter_version().name(NAME).labels("stable");
    label.parameter_version(1).send().await.unwrap();
    let stable = parameters
        .get("/backends/ssm/labels/limits:stable")
        .json::<Vec<u8>>();
    assert_eq!(*stable.await.unwrap(), [1]);
    let last = parameters.get(NAME).json::<Vec<u8>>().await.unwrap();
    assert_eq!(*last, [2]);

    let names = [":stable", ":2", ":none"].map(|selector| format!("{NAME}{selector}"));
    let values = parameters.get_by_names(&names).await;
    assert_eq!(text(&values.get(&names[0]).unwrap()), "[1]");
    assert_eq!(text(&values.get(&names[1]).unwrap()), "[2]");
    assert!(values.get(&names[2]).unwrap_err().is_not_found());
    let error = parameters.get(&names[2]).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

/// More than one page has.
#[tokio::test]
async fn a_path_has_all_that_is_below_it() {
    const PATH: &str = "/backends/ssm/path";
    let client = client().await;
    for number in 0..25 {
        let name = format!("{PATH}/many/{number:02}");
        put(&client, &name, &number.to_string(), ParameterType::String).await;
    }
    put(&client, &format!("{PATH}/url"), "u", ParameterType::String).await;
    put(
        &client,
        &format!("{PATH}/key"),
        SECRET,
        ParameterType::SecureString,
    )
    .await;
    put(&client, &format!("{PATH}-not"), "n", ParameterType::String).await;

    let parameters = parameters(&client);
    let all = parameters.get_multiple(PATH).decrypt().await.unwrap();
    let numbers = (0..25).map(|number| (format!("many/{number:02}"), number.to_string()));
    let rest =
        [("key", SECRET), ("url", "u")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut expected: Vec<_> = numbers.chain(rest).collect();
    expected.sort();
    let seen: Vec<_> = all
        .iter()
        .map(|(name, value)| (name.to_owned(), text(value).to_owned()))
        .collect();
    assert_eq!(seen, expected);

    let level = parameters
        .get_multiple(PATH)
        .recursive(false)
        .await
        .unwrap();
    let names: Vec<_> = level.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["key", "url"]);
    assert!(
        parameters
            .get_multiple("/backends/ssm/none")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn names_come_in_chunks_with_their_own_options() {
    let client = client().await;
    let names: Vec<_> = (0..23)
        .map(|number| format!("/backends/ssm/names/{number:02}"))
        .collect();
    for name in &names {
        put(&client, name, SECRET, ParameterType::SecureString).await;
    }
    put(
        &client,
        "_errors",
        "is a name like others",
        ParameterType::String,
    )
    .await;

    let parameters = parameters(&client);
    let asked = names.iter().enumerate().map(|(number, name)| {
        let name = ByName::new(name.as_str());
        if number % 2 == 0 {
            name.decrypt()
        } else {
            name
        }
    });
    let asked = asked.chain([
        ByName::new("_errors"),
        ByName::new("/backends/ssm/names/none"),
    ]);
    let values = parameters.get_by_names(asked).await;
    assert_eq!(values.len(), 25);
    for (number, name) in names.iter().enumerate() {
        let value = values.get(name).unwrap();
        assert_eq!(text(&value) == SECRET, number % 2 == 0, "{name}");
    }
    assert_eq!(
        text(&values.get("_errors").unwrap()),
        "is a name like others"
    );
    let wrong: Vec<_> = values.errors().collect();
    assert!(
        matches!(wrong[..], [ParameterError::NotFound { .. }]),
        "{wrong:?}"
    );
}
