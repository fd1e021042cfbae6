//! What a line costs in memory.
#![cfg(all(feature = "logging", feature = "testing"))]

use powertools::{Env, logging::Logger, testing};
use tracing::{debug, info};
use tracing_subscriber::prelude::*;

#[test]
fn a_line_allocates_nothing_once_the_thread_is_warm() {
    let logger = Logger::from_env(&Env::default()).with_writer(std::io::sink());
    tracing_subscriber::registry()
        .with(logger.subscriber_layer())
        .init();
    let line = || {
        info!(order_id = "a1", total = 2500_u64, rate = 0.19, paid = true, attempt = %3, "order placed");
        debug!("below the level");
    };

    let invocation = testing::invocation(testing::context("52fdfc07"), false);
    invocation.sync_scope(|| {
        line();
        assert_eq!(allocation_counter::measure(line).count_total, 0);
    });
}
