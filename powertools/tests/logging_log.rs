//! Records of the crate `log`, which arrive where the subscriber of the whole process is installed.
#![cfg(all(feature = "logging", feature = "testing"))]

use powertools::{Env, logging::Logger, testing::Captured};
use tracing_subscriber::prelude::*;

#[test]
fn records_of_the_crate_log_become_lines_like_any_other() {
    let output = Captured::default();
    let env = Env::from([("POWERTOOLS_LOG_LEVEL", "INFO,quiet=WARN")]);
    let logger = Logger::from_env(&env).with_writer(output.clone());
    tracing_subscriber::registry()
        .with(logger.subscriber_layer())
        .init();

    log::debug!("not written");
    log::info!("written {}", 1);
    log::info!(target: "quiet::inside", "not written");
    tracing::info!("an event of `tracing`");

    let lines = output.json();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["message"], "written 1");
    let location = lines[0]["location"].as_str().unwrap();
    assert!(location.starts_with("logging_log:"), "{location}");
    assert_eq!(lines[0].as_object().unwrap().len(), 5, "{}", lines[0]);
}
