//! Whether an invocation is the first of its execution environment.

use std::sync::atomic::{AtomicBool, Ordering};

/// Says how Lambda initialised the environment.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const INITIALIZATION_TYPE: &str = "AWS_LAMBDA_INITIALIZATION_TYPE";

/// The only initialisation that a request waits for. Under provisioned concurrency, after a
/// SnapStart restore and on managed instances it was over before the request came.
const ON_DEMAND: &str = "on-demand";

static FIRST: AtomicBool = AtomicBool::new(true);

/// Returns `true` for the first call in this process, unless the environment was initialised
/// ahead of its first request.
///
/// One flag serves the process, not a service or a worker: `run_concurrent` clones the stack,
/// and each clone would have its own first invocation.
pub(crate) fn take() -> bool {
    take_from(&FIRST, || std::env::var(INITIALIZATION_TYPE).ok())
}

fn take_from(first: &AtomicBool, initialization_type: impl FnOnce() -> Option<String>) -> bool {
    // The load keeps the cache line shared between workers once the flag has been taken.
    first.load(Ordering::Relaxed)
        && first.swap(false, Ordering::Relaxed)
        && initialization_type().is_none_or(|kind| kind == ON_DEMAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_and_second(initialization_type: Option<&str>) -> [bool; 2] {
        let first = AtomicBool::new(true);
        [(); 2].map(|()| take_from(&first, || initialization_type.map(str::to_owned)))
    }

    #[test]
    fn only_the_first_invocation_is_a_cold_start() {
        assert_eq!(first_and_second(None), [true, false]);
        assert_eq!(first_and_second(Some("on-demand")), [true, false]);
    }

    #[test]
    fn an_environment_initialised_ahead_has_no_cold_start() {
        assert_eq!(
            first_and_second(Some("provisioned-concurrency")),
            [false, false]
        );
        assert_eq!(first_and_second(Some("snap-start")), [false, false]);
        assert_eq!(
            first_and_second(Some("lambda-managed-instances")),
            [false, false]
        );
    }
}
