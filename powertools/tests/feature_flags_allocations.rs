//! What deciding a flag costs in memory.
#![cfg(all(feature = "feature-flags", feature = "testing"))]

use std::task::{Context, Poll, Waker};

use powertools::feature_flags::{EvaluationContext, FeatureFlags, FlagDocument, StaticStore};

const DOCUMENT: &str = r#"{
    "new_checkout": {
        "default": false,
        "rules": {
            "paying tenants": {
                "when_match": true,
                "conditions": [
                    {"action": "EQUALS", "key": "tier", "value": "pro"},
                    {"action": "ROLLOUT_PERCENTAGE", "key": "tenant", "value": {"PERCENTAGE": 100}}
                ]
            }
        }
    },
    "page_size": {"boolean_type": false, "default": 20}
}"#;

/// Returns what a future gives that waits for nothing.
fn now<F: Future>(future: F) -> F::Output {
    let future = std::pin::pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn deciding_a_flag_allocates_nothing() {
    let document = FlagDocument::parse(DOCUMENT).unwrap();
    let flags = FeatureFlags::new(StaticStore::new(document));
    let context = EvaluationContext::new()
        .with("tier", "pro")
        .with("tenant", 4711);

    let asked = || {
        assert!(now(flags.is_enabled("new_checkout", &context, false)).unwrap());
        assert_eq!(now(flags.value("page_size", &context, 0)).unwrap(), 20);
    };
    assert_eq!(allocation_counter::measure(asked).count_total, 0);

    let evaluator = now(flags.evaluator(context.clone()));
    let asked = || {
        assert!(evaluator.is_enabled("new_checkout", false).unwrap());
        assert_eq!(evaluator.value("page_size", 0).unwrap(), 20);
    };
    assert_eq!(allocation_counter::measure(asked).count_total, 0);
}
