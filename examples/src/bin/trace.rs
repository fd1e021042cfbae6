//! X-Ray traces: the invocation's subsegment, and one for each span inside it.

use lambda_runtime::{Error, LambdaEvent};
use powertools::trace::{self, TraceLayer, Tracer};
use tower::{Service, ServiceBuilder};
use tracing_subscriber::prelude::*;

#[tracing::instrument(err)]
async fn charge(total: f64) -> Result<(), Error> {
    trace::annotate("Total", total);
    if total > 1000.0 {
        return Err("card refused".into());
    }
    Ok(())
}

async fn handler(event: LambdaEvent<f64>) -> Result<(), Error> {
    charge(event.payload).await
}

fn stack() -> impl Service<LambdaEvent<f64>, Response = (), Error = Error, Future: Send> {
    ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::registry()
        .with(Tracer::new().subscriber_layer())
        .init();
    lambda_runtime::run(stack()).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::{capture_traces, sampled_context};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_refused_card_is_a_fault_of_its_span() {
        let (traces, _guard) = capture_traces(Tracer::new());
        let event = LambdaEvent::new(2500.0, sampled_context("52fdfc07"));
        let refused = stack().oneshot(event).await;
        assert_eq!(refused.unwrap_err().to_string(), "card refused");

        let charge = traces.named("## my-function").child("charge");
        assert!(charge.is_fault());
        assert_eq!(charge.exceptions(), ["card refused"]);
        assert_eq!(charge.annotation("Total"), Some(&2500.0.into()));
    }
}
