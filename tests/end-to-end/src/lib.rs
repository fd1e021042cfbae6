//! What the tests of the reference stack stand on: one [local cloud](local_cloud::Cloud) for all
//! tests of a binary, started by the first of them.

use std::{sync::LazyLock, time::Duration};

use local_cloud::{Cloud, Options};
use tokio::{runtime::Runtime, sync::OnceCell};

/// How long something may take to become visible.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cloud's own tasks live on this runtime, so it outlives every test.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("a runtime needs threads and nothing else"));

static CLOUD: OnceCell<Cloud> = OnceCell::const_new();

/// Runs a test against the cloud, which the first test starts.
///
/// A static is never dropped; the cloud's processes end with this one, whose pipe they watch.
///
/// # Panics
///
/// Panics if the cloud cannot be started, and when the test does.
pub fn on_the_cloud(test: impl AsyncFnOnce(&'static Cloud)) {
    RUNTIME.block_on(async {
        let started = CLOUD.get_or_try_init(|| Cloud::start(Options::new())).await;
        let cloud = started.unwrap_or_else(|error| panic!("{}", local_cloud::chain(&error)));
        test(cloud).await;
    });
}

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// Panics if there is none after a minute.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
