use std::{
    collections::HashMap,
    convert::Infallible,
    future, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
};

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";

/// How long a test waits for a function to ask for its event, and to be done with it; one that hangs
/// ends here.
const PATIENCE: Duration = Duration::from_secs(60);

/// One invocation to be made.
#[derive(Clone, Debug)]
pub struct Event {
    /// The request's id.
    pub request_id: String,
    /// What the handler gets.
    pub payload: Value,
    /// The X-Ray header Lambda would hand over.
    pub trace_header: Option<String>,
    /// How long the function may take, from when it is handed the event.
    pub timeout: Duration,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It succeeded.
    Response(Value),
    /// It failed: `errorType` and `errorMessage`.
    Error(Value),
    /// There was none when its time was over. At this moment Lambda ends the process.
    TimedOut,
}

/// Lambda's Runtime API, on loopback. Dropping it closes the server.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<Event>,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    queue: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    stalls: AtomicBool,
}

impl RuntimeApi {
    /// Starts the server on a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, queue) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            queue: AsyncMutex::new(queue),
            waiting: Mutex::default(),
            stalls: AtomicBool::new(false),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            events,
            state,
            server,
        })
    }

    /// Returns what `AWS_LAMBDA_RUNTIME_API` has to be.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on takes what a function answers and does not reply to it: the function learns
    /// nothing of the end of its invocation.
    pub fn stall(&self) {
        self.state.stalls.store(true, Ordering::Relaxed);
    }

    /// Makes one invocation and waits for its answer, until its deadline.
    ///
    /// # Panics
    ///
    /// Panics if the function does not even ask for the event.
    pub async fn invoke(&self, event: Event) -> Answer {
        let (sender, answer) = oneshot::channel();
        self.state
            .waiting
            .lock()
            .expect("no holder of the lock panics")
            .insert(event.request_id.clone(), sender);
        let request_id = event.request_id.clone();
        self.events
            .send(event)
            .expect("the queue lives as long as the server");
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("nobody asked for invocation `{request_id}`"))
            .expect("an answer is sent or the sender kept")
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

impl State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(rest) = path.strip_prefix(INVOCATION) else {
            return status(StatusCode::NOT_FOUND);
        };
        if request.method() == Method::GET && rest == "next" {
            let event = self.queue.lock().await.recv().await;
            return match event {
                Some(event) => self.next(event),
                None => status(StatusCode::GONE),
            };
        }
        let Some((request_id, kind)) = rest.split_once('/') else {
            return status(StatusCode::NOT_FOUND);
        };
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return status(StatusCode::BAD_REQUEST),
        };
        let Ok(value) = serde_json::from_slice(&body) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let answer = match kind {
            "response" => Answer::Response(value),
            "error" => Answer::Error(value),
            _ => return status(StatusCode::NOT_FOUND),
        };
        if !self.end(request_id, answer) {
            return status(StatusCode::FORBIDDEN);
        }
        if self.stalls.load(Ordering::Relaxed) {
            future::pending::<()>().await;
        }
        status(StatusCode::ACCEPTED)
    }

    /// Hands an event to the function; from now on its time runs.
    fn next(self: Arc<Self>, event: Event) -> Response<Full<Bytes>> {
        let deadline = (SystemTime::now() + event.timeout)
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        let mut response = Response::builder()
            .header("lambda-runtime-aws-request-id", &event.request_id)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:eu-west-1:123456789012:function:my-function",
            );
        if let Some(header) = event.trace_header {
            response = response.header("lambda-runtime-trace-id", header);
        }
        tokio::spawn(async move {
            tokio::time::sleep(event.timeout).await;
            self.end(&event.request_id, Answer::TimedOut);
        });
        response
            .body(Full::from(event.payload.to_string()))
            .expect("request ids and trace headers of tests are valid header values")
    }

    /// Ends an invocation, and returns whether it was under way.
    fn end(&self, request_id: &str, answer: Answer) -> bool {
        let waiting = self
            .waiting
            .lock()
            .expect("no holder of the lock panics")
            .remove(request_id);
        // A test that gave up waiting has failed already.
        waiting.is_some_and(|sender| sender.send(answer).is_ok())
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
