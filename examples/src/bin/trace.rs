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
    use std::net::UdpSocket;

    use powertools::{Env, env, testing::context};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_refused_card_is_a_fault_of_its_span() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = daemon.local_addr().unwrap().to_string();
        let env = Env::from([
            (env::FUNCTION_NAME, "my-function"),
            (env::XRAY_DAEMON_ADDRESS, &address),
        ]);
        let tracer = Tracer::from_env(&env);
        let _guard = tracing_subscriber::registry()
            .with(tracer.subscriber_layer())
            .set_default();

        let mut context = context("52fdfc07");
        context.xray_trace_id = Some(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned(),
        );
        let refused = stack().oneshot(LambdaEvent::new(2500.0, context)).await;
        assert_eq!(refused.unwrap_err().to_string(), "card refused");

        let mut datagram = [0; 4096];
        let length = daemon.recv(&mut datagram).unwrap();
        let charge = String::from_utf8_lossy(&datagram[..length]);
        assert!(charge.contains(r#""name":"charge""#), "{charge}");
        assert!(charge.contains(r#""fault":true"#), "{charge}");
        assert!(
            charge.contains(r#""annotations":{"Total":2500.0}"#),
            "{charge}"
        );
    }
}
