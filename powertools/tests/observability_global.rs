//! The stack as the process's own, in a process of its own: it has one subscriber.
#![cfg(all(feature = "observability", feature = "testing"))]

use std::convert::Infallible;

use lambda_runtime::LambdaEvent;
use powertools::{
    Env, Observability, env,
    logging::Logger,
    testing::{Captured, CapturedTraces, sampled_context},
    trace::Tracer,
};
use tower::{ServiceBuilder, ServiceExt};
use tracing::info;

fn stack(lines: &Captured, traces: &CapturedTraces) -> Observability {
    let env = Env::from([(env::METRICS_NAMESPACE, "Shop")]);
    Observability::from_env(&env)
        .with_logger(Logger::from_env(&env).with_writer(lines.clone()))
        .with_tracer(Tracer::from_env(&env).with_receiver(traces.clone()))
}

#[tokio::test]
async fn the_process_has_one_stack_and_the_first_stays() {
    let (lines, traces) = (Captured::default(), CapturedTraces::default());
    let layer = stack(&lines, &traces).init().unwrap();
    let (other_lines, other_traces) = (Captured::default(), CapturedTraces::default());
    let error = stack(&other_lines, &other_traces).init().unwrap_err();
    // What `main` prints.
    assert!(error.to_string().contains("already been set"), "{error}");

    let service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(|_: LambdaEvent<()>| async {
            info!("order placed");
            log::warn!("of the crate `log`");
            Ok::<_, Infallible>(())
        });
    let event = LambdaEvent::new((), sampled_context("52fdfc07"));
    // On whichever thread it runs.
    tokio::spawn(service.oneshot(event)).await.unwrap().unwrap();
    let lines = lines.json();
    let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
    assert_eq!(messages, ["order placed", "of the crate `log`"]);
    for line in &lines {
        assert_eq!(line["function_request_id"], "52fdfc07");
    }
    assert_eq!(traces.named("## my-function").children().len(), 0);
    assert_eq!(other_lines.lines(), [""; 0]);
    assert!(other_traces.documents().is_empty());
}
