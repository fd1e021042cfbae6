//! Cached parameters: ours, beside a bare get of moka and `aws_secretsmanager_caching`; and how many
//! calls of the service many misses at once make.
//!
//! moka is asked under keys of the shape of ours, and hands out a value that is counted by reference as
//! ours is. Its asynchronous cache is the baseline, since a read of ours is asynchronous too; inside it
//! is moka's `sync` cache, which is the row below. What ours does on top of that is to read a clock that
//! goes on while Lambda has frozen the process, and to judge by the reader's max age.
//!
//! `aws_secretsmanager_caching` talks to an HTTP client that answers from memory. It makes a copy of
//! the whole answer for each read.

use std::{
    hash::{Hash, Hasher},
    hint::black_box,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use aws_sdk_secretsmanager::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
};
use aws_secretsmanager_caching::SecretsManagerCachingClient;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use bench::Table;
use moka::{Equivalent, policy::EvictionPolicy};
use powertools::parameters::{Fetched, ParameterProvider, Parameters, ProviderError};
use tokio::{task::JoinSet, time::sleep};

const NAME: &str = "/shop/prod/database/password";
const SECRET: &str = r#"{"username":"shop","password":"correct-horse-battery-staple"}"#;
const HOUR: Duration = Duration::from_secs(3600);

/// How long the service takes to answer.
const LATENCY: Duration = Duration::from_millis(10);
/// How many reads there are at once.
const MISSES: usize = 64;

/// A key like ours, and one that is only looked for.
struct Key {
    name: Arc<str>,
    is_path: bool,
    options: (),
}

#[derive(Hash)]
struct KeyRef<'a> {
    name: &'a str,
    is_path: bool,
    options: &'a (),
}

impl Key {
    fn as_ref(&self) -> KeyRef<'_> {
        KeyRef {
            name: &self.name,
            is_path: self.is_path,
            options: &self.options,
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&*self.name, self.is_path, self.options) == (&*other.name, other.is_path, other.options)
    }
}

impl Eq for Key {}

impl Equivalent<Arc<Key>> for KeyRef<'_> {
    fn equivalent(&self, key: &Arc<Key>) -> bool {
        (self.name, self.is_path, *self.options) == (&*key.name, key.is_path, key.options)
    }
}

fn key() -> Arc<Key> {
    Arc::new(Key {
        name: NAME.into(),
        is_path: false,
        options: (),
    })
}

fn key_ref() -> KeyRef<'static> {
    KeyRef {
        name: black_box(NAME),
        is_path: false,
        options: &(),
    }
}

/// Polls a future that never waits.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing waits in here"),
    }
}

/// Answers after a while, and counts.
#[derive(Clone, Debug, Default)]
struct Service {
    calls: Arc<AtomicUsize>,
}

impl Service {
    async fn answer(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        sleep(LATENCY).await;
    }

    /// Returns the number of calls so far, and begins anew.
    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

impl ParameterProvider for Service {
    type Options = ();

    async fn get(&self, _: &str, (): &()) -> Result<Fetched, ProviderError> {
        self.answer().await;
        Ok(Fetched::text(SECRET))
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.clone();
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        HttpConnectorFuture::new(async move {
            service.answer().await;
            let arn = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{NAME}-AbCdEf");
            let body = match target.as_deref() {
                Some("secretsmanager.DescribeSecret") => serde_json::json!({
                    "ARN": arn,
                    "Name": NAME,
                    "VersionIdsToStages": { "v1": ["AWSCURRENT"] },
                }),
                _ => serde_json::json!({
                    "ARN": arn,
                    "Name": NAME,
                    "VersionId": "v1",
                    "VersionStages": ["AWSCURRENT"],
                    "SecretString": SECRET,
                    "CreatedDate": 1.5e9,
                }),
            };
            let status = 200_u16.try_into().expect("a status");
            Ok(HttpResponse::new(status, SdkBody::from(body.to_string())))
        })
    }
}

impl HttpClient for Service {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn ours(service: &Service) -> Parameters<Service> {
    Parameters::new(service.clone()).max_age(HOUR)
}

fn peer(service: &Service) -> SecretsManagerCachingClient {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("id", "key", None, None, "bench"))
        .http_client(service.clone())
        .build();
    let size = NonZeroUsize::new(1000).expect("not zero");
    SecretsManagerCachingClient::new(Client::from_conf(config), size, HOUR, false)
        .expect("a client")
}

fn hits(runtime: &tokio::runtime::Runtime) {
    let mut table = Table::new("one read of what is cached");

    let future = moka::future::Cache::builder()
        .max_capacity(1000)
        .eviction_policy(EvictionPolicy::lru())
        .build();
    ready(future.insert(key(), Arc::<str>::from(SECRET)));
    table.row("moka::future, bare", || {
        black_box(ready(future.get(&key_ref())).expect("it is kept"));
    });

    let sync = moka::sync::Cache::builder()
        .max_capacity(1000)
        .eviction_policy(EvictionPolicy::lru())
        .build();
    sync.insert(key(), Arc::<str>::from(SECRET));
    table.row("moka::sync, bare", || {
        black_box(sync.get(&key_ref()).expect("it is kept"));
    });

    let service = Service::default();
    let parameters = ours(&service);
    runtime
        .block_on(async { parameters.get(NAME).await })
        .expect("a value");
    table.row("powertools", || {
        let value = ready(parameters.get(black_box(NAME)).into_future());
        black_box(value.expect("a value"));
    });
    table.row("powertools, as JSON of a type", || {
        let json = ready(parameters.get(black_box(NAME)).json::<serde_json::Value>());
        black_box(json.expect("JSON"));
    });

    let caching = peer(&service);
    let read = || caching.get_secret_value(black_box(NAME), None, None, false);
    runtime
        .block_on(async { read().await.map(drop) })
        .expect("a secret");
    table.row("aws_secretsmanager_caching", || {
        black_box(ready(read()).expect("a secret"));
    });
}

fn misses(runtime: &tokio::runtime::Runtime) {
    println!("\n{MISSES} reads at once of what is not cached: calls of the service");
    let service = Service::default();
    runtime.block_on(async {
        let parameters = ours(&service);
        let mut reads = JoinSet::new();
        for _ in 0..MISSES {
            let parameters = parameters.clone();
            reads.spawn(async move { parameters.get(NAME).await.expect("a value") });
        }
        reads.join_all().await;
        println!("{:<48} {:>9}", "powertools", service.calls());

        let caching = peer(&service);
        // Its errors are not to be sent, so its reads share this task.
        let reads = (0..MISSES).map(|_| caching.get_secret_value(NAME, None, None, false));
        futures_util::future::join_all(reads).await;
        println!(
            "{:<48} {:>9}",
            "aws_secretsmanager_caching",
            service.calls()
        );
    });
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    hits(&runtime);
    misses(&runtime);
}
