//! A report that takes too long fails with an error of ours, and not with the end of the process.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent};
use powertools::{
    deadline::{DeadlineError, DeadlineLayer},
    logging::{Logger, LoggingLayer},
};
use serde::Deserialize;
use tower::{Service, ServiceBuilder};
use tracing_subscriber::prelude::*;

#[derive(Deserialize)]
struct Report {
    pages: u64,
}

async fn handler(event: LambdaEvent<Report>) -> Result<u64, Error> {
    for page in 1..=event.payload.pages {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tracing::info!(page, "page rendered");
    }
    Ok(event.payload.pages)
}

fn stack()
-> impl Service<LambdaEvent<Report>, Response = u64, Error = DeadlineError<Error>, Future: Send> {
    ServiceBuilder::new()
        .layer(LoggingLayer::new())
        .layer(
            DeadlineLayer::new()
                .margin(Duration::from_millis(500))
                .cut_off(),
        )
        .service_fn(handler)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let logger = Logger::new().subscriber_layer();
    tracing_subscriber::registry().with(logger).init();
    lambda_runtime::run(stack()).await
}

#[cfg(test)]
mod tests {
    use powertools::testing::{capture_logs, context};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_report_of_too_many_pages_is_cut_off() {
        let (output, _guard) = capture_logs(Logger::new());
        // The deadline of this context is in 30 s.
        let report = LambdaEvent::new(Report { pages: 60 }, context("52fdfc07"));
        let error = stack().oneshot(report).await.unwrap_err();
        assert!(matches!(error, DeadlineError::Exceeded { .. }));

        let lines = output.json();
        assert_eq!(lines.len(), 30);
        assert_eq!(lines[28]["page"], 29);
        assert_eq!(lines[29]["level"], "WARN");
        assert_eq!(lines[29]["function_request_id"], "52fdfc07");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_report_is_answered() {
        let report = LambdaEvent::new(Report { pages: 3 }, context("52fdfc07"));
        assert_eq!(stack().oneshot(report).await.unwrap(), 3);
    }
}
