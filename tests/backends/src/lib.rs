//! What the tests of the library's stores, providers and sinks stand on: one
//! [emulator](local_cloud::Emulator) of AWS for all tests of a binary, started by the first of them.
//!
//! Here the real client of the AWS SDK talks to a service, and what the library has sent or kept is
//! read back by that service's own API. How the library copes with services that fail is tested
//! beside it, in `powertools/tests`, where they fail as they are told.
//!
//! `tests/` has one file for each tool:
//!
//! | file | of the library | service |
//! |---|---|---|
//! | `batch.rs` | `batch`, `batch::SqsActions`, `batch::LargeMessages` | Lambda's event source mappings of SQS, Kinesis and DynamoDB streams; SQS; S3 |
//! | `metrics.rs` | `metrics::cloudwatch` | CloudWatch |
//! | `parameters_appconfig.rs` | `parameters::appconfig` | AppConfig |
//! | `parameters_dynamodb.rs` | `parameters::dynamodb` | DynamoDB |
//! | `parameters_secrets_manager.rs` | `parameters::secrets_manager` | Secrets Manager |
//! | `parameters_ssm.rs` | `parameters::ssm` | Systems Manager |
//!
//! The function that `batch.rs` has mapped to its queues and streams is `src/bin/batch-function.rs`.
//!
//! A test asks for the [`emulator`], makes clients of its configuration, and takes names that no
//! other test takes: a namespace, a table, a parameter's path.

use std::time::Duration;

use local_cloud::Emulator;
use tokio::sync::OnceCell;

/// How long something may take to become visible.
const PATIENCE: Duration = Duration::from_secs(30);

static EMULATOR: OnceCell<Emulator> = OnceCell::const_new();

/// Returns the emulator, which the first test starts.
///
/// A static is never dropped; the emulator ends with this process, whose pipe it watches.
///
/// # Panics
///
/// Panics if it cannot be started.
pub async fn emulator() -> &'static Emulator {
    let started = EMULATOR.get_or_try_init(Emulator::alone).await;
    started.unwrap_or_else(|error| panic!("{}", local_cloud::chain(&error)))
}

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// Panics if there is none after half a minute.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
