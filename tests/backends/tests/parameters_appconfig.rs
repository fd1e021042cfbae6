//! Configurations that AppConfig has deployed, read by `AppConfigProvider`.

use std::{fmt, time::Duration};

use aws_sdk_appconfig::{Client, primitives::Blob, types::GrowthType};
use backend_tests::{emulator, eventually};
use powertools::{
    parameters::{Parameters, appconfig::AppConfigProvider},
    testing::Clock,
};
use serde_json::{Value, json};

/// More than the minute for which AppConfig wants to be left alone.
const LATER: Duration = Duration::from_secs(61);

/// An application with one environment, and what it takes to deploy to it.
struct Application {
    client: Client,
    name: &'static str,
    id: String,
    environment: String,
    strategy: String,
}

impl Application {
    async fn create(name: &'static str) -> Self {
        let client = Client::new(&emulator().await.sdk_config());
        let application = client.create_application().name(name).send().await.unwrap();
        let id = application.id.unwrap();
        let environment = client.create_environment().application_id(&id).name("prod");
        let environment = environment.send().await.unwrap();
        let strategy = client
            .create_deployment_strategy()
            .name(name)
            .deployment_duration_in_minutes(0)
            .final_bake_time_in_minutes(0)
            .growth_type(GrowthType::Linear)
            .growth_factor(100.0)
            .send()
            .await
            .unwrap();
        Self {
            client,
            name,
            id,
            environment: environment.id.unwrap(),
            strategy: strategy.id.unwrap(),
        }
    }

    /// Makes a profile of a type, and returns its id.
    async fn profile(&self, name: &str, kind: &str) -> String {
        let profile = self
            .client
            .create_configuration_profile()
            .application_id(&self.id)
            .name(name)
            .location_uri("hosted")
            .r#type(kind)
            .send()
            .await
            .unwrap();
        profile.id.unwrap()
    }

    async fn deploy(&self, profile: &str, label: &str, content: impl fmt::Display) {
        let version = self
            .client
            .create_hosted_configuration_version()
            .application_id(&self.id)
            .configuration_profile_id(profile)
            .content_type("application/json")
            .content(Blob::new(content.to_string()))
            .version_label(label)
            .send()
            .await
            .unwrap();
        self.client
            .start_deployment()
            .application_id(&self.id)
            .environment_id(&self.environment)
            .deployment_strategy_id(&self.strategy)
            .configuration_profile_id(profile)
            .configuration_version(version.version_number.to_string())
            .send()
            .await
            .unwrap();
    }

    async fn provider(&self) -> AppConfigProvider {
        let config = emulator().await.sdk_config();
        let client = aws_sdk_appconfigdata::Client::new(&config);
        AppConfigProvider::new(client, self.name, "prod")
    }

    async fn parameters(&self, clock: &Clock) -> Parameters<AppConfigProvider> {
        let provider = self.provider().await.with_clock(clock);
        Parameters::new(provider).with_clock(clock)
    }
}

#[tokio::test]
async fn a_deployment_is_read_and_the_next_one_after_the_poll_interval() {
    let application = Application::create("backends-deploy").await;
    let profile = application.profile("limits", "AWS.Freeform").await;
    application
        .deploy(&profile, "first", json!({ "orders": 5 }))
        .await;

    let clock = Clock::new();
    let parameters = application.parameters(&clock).await;
    let first = parameters.get("limits").await.unwrap();
    assert_eq!(*first.json::<Value>().unwrap(), json!({ "orders": 5 }));
    assert_eq!(first.version(), Some("first"));

    // Nothing new.
    clock.advance(LATER);
    assert!(parameters.get("limits").await.unwrap().ptr_eq(&first));

    application
        .deploy(&profile, "second", json!({ "orders": 7 }))
        .await;
    assert!(parameters.get("limits").await.unwrap().ptr_eq(&first));
    let second = eventually("the second deployment", || async {
        clock.advance(LATER);
        let limits = parameters.get("limits").await.unwrap();
        (limits.version() == Some("second")).then_some(limits)
    })
    .await;
    assert_eq!(*second.json::<Value>().unwrap(), json!({ "orders": 7 }));
}

#[tokio::test]
async fn what_does_not_exist_or_was_never_deployed_is_not_found() {
    let application = Application::create("backends-missing").await;
    application.profile("never-deployed", "AWS.Freeform").await;
    let clock = Clock::new();
    let parameters = application.parameters(&clock).await;
    for read in [
        parameters.get("missing"),
        parameters.get("never-deployed"),
        parameters.get("never-deployed").environment("missing"),
        parameters.get("never-deployed").application("missing"),
    ] {
        let error = read.await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }
}

#[tokio::test]
async fn a_profile_that_is_deleted_is_not_found_any_more() {
    let application = Application::create("backends-deleted").await;
    let profile = application.profile("limits", "AWS.Freeform").await;
    application.deploy(&profile, "only", "1").await;
    let clock = Clock::new();
    application
        .parameters(&clock)
        .await
        .get("limits")
        .await
        .unwrap();

    let client = &application.client;
    let delete = client
        .delete_configuration_profile()
        .application_id(&application.id);
    delete
        .configuration_profile_id(profile)
        .send()
        .await
        .unwrap();
    let parameters = application.parameters(&clock).await;
    let error = parameters.get("limits").await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn each_poll_shows_the_token_that_the_last_one_got() {
    let application = Application::create("backends-tokens").await;
    let profile = application.profile("limits", "AWS.Freeform").await;
    application.deploy(&profile, "only", "1").await;
    let clock = Clock::new();
    let parameters = application
        .parameters(&clock)
        .await
        .max_age(Duration::from_secs(1));
    let value = parameters.get("limits").await.unwrap();
    for _ in 0..5 {
        clock.advance(LATER);
        assert!(parameters.get("limits").await.unwrap().ptr_eq(&value));
    }
}

#[tokio::test]
async fn feature_flags_come_as_appconfig_hands_them_out() {
    let application = Application::create("backends-flags").await;
    let profile = application
        .profile("flags", "AWS.AppConfig.FeatureFlags")
        .await;
    let flags = json!({
        "version": "1",
        "flags": { "ten_percent": { "name": "ten percent off" } },
        "values": { "ten_percent": { "enabled": true } },
    });
    application.deploy(&profile, "only", flags).await;
    let clock = Clock::new();
    let parameters = application.parameters(&clock).await;
    let flags = parameters.get("flags").json::<Value>().await.unwrap();
    assert_eq!(*flags, json!({ "ten_percent": { "enabled": true } }));
}
