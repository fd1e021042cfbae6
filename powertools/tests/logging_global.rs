//! What only the subscriber of the whole process can show: tracing drops an event made inside
//! another one when the subscriber is a scoped one.
#![cfg(all(feature = "logging", feature = "testing"))]

use std::fmt;

use powertools::{Env, logging::Logger, testing::Captured};
use tracing::info;
use tracing_subscriber::prelude::*;

#[test]
fn a_value_that_logs_while_it_is_formatted_gets_a_line_of_its_own() {
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!(inner = 1, "inner");
            f.write_str("chatty")
        }
    }

    let output = Captured::default();
    let logger = Logger::from_env(&Env::default()).with_writer(output.clone());
    tracing_subscriber::registry()
        .with(logger.subscriber_layer())
        .init();

    info!(before = 1, value = ?Chatty, "outer");
    let lines = output.json();
    assert_eq!(
        (&lines[0]["message"], lines[0].get("before")),
        (&"inner".into(), None)
    );
    assert_eq!(
        (&lines[1]["message"], lines[1].get("inner")),
        (&"outer".into(), None)
    );
    assert_eq!(lines[1]["value"], "chatty");
}
