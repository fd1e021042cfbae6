//! A function behind HTTP, with the whole observability stack, whose responses have bodies that come
//! piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use lambda_http::{Error, Request, Response};
use lambda_runtime::Diagnostic;
use powertools::{
    Env, Observability,
    body::BodyLayer,
    classify::ByStatus,
    metrics::{Metric, MetricsLayer, Unit},
    trace::TraceLayer,
};
use tokio::time::{Sleep, sleep};
use tower::ServiceBuilder;
use tracing::{info, info_span};

const HANDLED: Metric = Metric::new("Handled", Unit::Count);
const PIECES: Metric = Metric::new("Pieces", Unit::Count);

/// Which of `lambda_http`'s functions runs it.
const RUN: &str = "RUN";

/// How a body ends.
#[derive(Clone, Copy)]
enum Ending {
    Whole,
    Failed,
    Never,
}

/// A body of three pieces, each of which takes a while.
struct Pieces {
    sent: u32,
    ending: Ending,
    pause: Pin<Box<Sleep>>,
}

impl Pieces {
    fn new(ending: Ending) -> Self {
        Self {
            sent: 0,
            ending,
            pause: Box::pin(sleep(Duration::from_millis(1))),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        ready!(self.pause.as_mut().poll(cx));
        self.pause = Box::pin(sleep(Duration::from_millis(1)));
        self.sent += 1;
        match self.ending {
            Ending::Whole if self.sent > 3 => return Poll::Ready(None),
            Ending::Failed if self.sent == 4 => return Poll::Ready(Some(Err("cut short".into()))),
            // The runtime goes on after an error.
            Ending::Failed if self.sent > 4 => return Poll::Ready(None),
            _ => {}
        }
        if self.sent <= 3 {
            let _span = info_span!("piece", annotation.number = self.sent).entered();
            info!(number = self.sent, "piece");
            PIECES.record(self.sent);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"tea ")))))
    }
}

/// Why there is no response.
#[derive(Debug)]
struct NoTea;

impl From<NoTea> for Diagnostic {
    fn from(_: NoTea) -> Self {
        Self {
            error_type: "NoTea".to_owned(),
            error_message: "out of tea".to_owned(),
        }
    }
}

async fn handler(request: Request) -> Result<Response<Pieces>, NoTea> {
    HANDLED.record(1);
    info!("handled");
    let (status, ending) = match request.uri().path() {
        "/whole" => (200, Ending::Whole),
        "/unavailable" => (503, Ending::Whole),
        "/failed" => (200, Ending::Failed),
        "/never" => (200, Ending::Never),
        "/panic" => panic!("teapot broken"),
        _ => return Err(NoTea),
    };
    let mut response = Response::new(Pieces::new(ending));
    *response.status_mut() = lambda_http::http::StatusCode::from_u16(status).map_err(|_| NoTea)?;
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let env = Env::process();
    let metrics = MetricsLayer::from_env(&env)
        .error_metrics(true)
        .classify_with(ByStatus);
    let observability = Observability::from_env(&env)
        .with_trace(TraceLayer::from_env(&env).http())
        .with_metrics(metrics)
        .init()?;
    let service = ServiceBuilder::new()
        .layer(observability)
        .layer(BodyLayer::new())
        .service_fn(handler);
    match env.get(RUN) {
        Some("run") => lambda_http::run(service).await,
        Some("run_concurrent") => lambda_http::run_concurrent(service).await,
        Some("run_with_streaming_response_concurrent") => {
            lambda_http::run_with_streaming_response_concurrent(service).await
        }
        _ => lambda_http::run_with_streaming_response(service).await,
    }
}
