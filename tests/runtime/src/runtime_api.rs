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
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex as AsyncMutex, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";

/// Where a function says that its snapshot can be taken, and learns that it is restored.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html>
const RESTORE: &str = "/2018-06-01/runtime/restore/next";

/// How a response says that it is streamed.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

/// What is between the head of a streamed HTTP response, which is JSON, and its body.
const HEAD_END: &[u8] = &[0; 8];

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
    /// It succeeded, and streamed an HTTP response: the head, and the body up to its end.
    Streamed(Value, String),
    /// It was streaming when the client hung up.
    HungUp,
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
    hangs_up: AtomicBool,
    /// One permit once the function is ready for its snapshot.
    ready: Semaphore,
    /// One permit once it may go on.
    restored: Semaphore,
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
            hangs_up: AtomicBool::new(false),
            ready: Semaphore::new(0),
            restored: Semaphore::new(0),
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

    /// From now on closes the connection of a function that streams as soon as it has begun, as
    /// happens when the client is gone.
    pub fn hang_up(&self) {
        self.state.hangs_up.store(true, Ordering::Relaxed);
    }

    /// Waits until a function with SnapStart is ready for its snapshot. It does nothing then.
    ///
    /// # Panics
    ///
    /// Panics if that takes too long.
    pub async fn snapshot(&self) {
        let ready = tokio::time::timeout(PATIENCE, self.state.ready.acquire()).await;
        let ready = ready.expect("the function does not become ready");
        ready.expect("the semaphore is never closed").forget();
    }

    /// Has a function that is ready for its snapshot go on, as one that is restored from it.
    pub fn restore(&self) {
        self.state.restored.add_permits(1);
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
        if path == RESTORE {
            self.ready.add_permits(1);
            if let Ok(restored) = self.restored.acquire().await {
                restored.forget();
            }
            return status(StatusCode::OK);
        }
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
        let is_streamed = request.headers().contains_key(RESPONSE_MODE);
        let answer = if is_streamed && self.hangs_up.load(Ordering::Relaxed) {
            let mut body = request.into_body();
            if !matches!(body.frame().await, Some(Ok(_))) {
                return status(StatusCode::BAD_REQUEST);
            }
            Some(Answer::HungUp)
        } else {
            let Ok(body) = request.into_body().collect().await else {
                return status(StatusCode::BAD_REQUEST);
            };
            parse(kind, is_streamed, &body.to_bytes())
        };
        let Some(answer) = answer else {
            return status(StatusCode::BAD_REQUEST);
        };
        let has_hung_up = answer == Answer::HungUp;
        if !self.end(request_id, answer) {
            return status(StatusCode::FORBIDDEN);
        }
        if self.stalls.load(Ordering::Relaxed) {
            future::pending::<()>().await;
        }
        let mut response = status(StatusCode::ACCEPTED);
        if has_hung_up {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
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

/// Reads what a function answered; `None` if it is not what the API takes.
fn parse(kind: &str, is_streamed: bool, body: &[u8]) -> Option<Answer> {
    match kind {
        "response" if is_streamed => {
            let mut windows = body.windows(HEAD_END.len());
            let end = windows.position(|window| window == HEAD_END)?;
            let head = serde_json::from_slice(&body[..end]).ok()?;
            let body = String::from_utf8(body[end + HEAD_END.len()..].to_vec()).ok()?;
            Some(Answer::Streamed(head, body))
        }
        "response" => Some(Answer::Response(serde_json::from_slice(body).ok()?)),
        "error" => Some(Answer::Error(serde_json::from_slice(body).ok()?)),
        _ => None,
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
