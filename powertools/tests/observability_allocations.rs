//! What the stack costs an invocation in memory, in a process of its own: it has one subscriber.
#![cfg(all(feature = "observability", feature = "testing"))]

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use lambda_runtime::LambdaEvent;
use powertools::{Env, Observability, env, testing};
use tower::{Service, ServiceBuilder};
use tracing::info_span;

const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

/// What the runtime's own span is kept in takes 3, the invocation with a copy of its context 4, and
/// its metrics 1.
const ALLOCATIONS: u64 = 8;

#[test]
fn an_invocation_that_says_nothing_and_is_not_sampled_takes_few_allocations() {
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, "127.0.0.1:2000"),
        (env::METRICS_NAMESPACE, "Shop"),
        (env::SERVICE_NAME, "orders"),
    ]);
    let mut service = ServiceBuilder::new()
        .layer(Observability::from_env(&env).init().unwrap())
        .service_fn(|_: LambdaEvent<()>| async { Ok::<_, Infallible>(()) });
    let mut allocations = || {
        let mut context = testing::context("52fdfc07");
        context.xray_trace_id = Some(UNSAMPLED.to_owned());
        let measured = allocation_counter::measure(|| {
            // As the runtime does it.
            let (id, header) = (&context.request_id, context.xray_trace_id.as_ref());
            let span = info_span!(
                "Lambda runtime invoke",
                requestId = id,
                xrayTraceId = header
            );
            let answer = span.in_scope(|| {
                let response = pin!(service.call(LambdaEvent::new((), context)));
                response.poll(&mut Context::from_waker(Waker::noop()))
            });
            assert_eq!(answer, Poll::Ready(Ok(())));
        });
        measured.count_total
    };
    allocations();
    let taken = allocations();
    assert!(taken <= ALLOCATIONS, "{taken}");
}
