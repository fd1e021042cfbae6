use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use lambda_runtime::Context;
use serde_json::Value;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::trace::Tracer;

/// Captures the traces of the running thread until the guard is dropped, whatever the environment
/// says.
///
/// The tracer becomes the thread's subscriber, so nothing else that wants to be it, `capture_logs`
/// for instance, sees anything meanwhile; for all at once there is `capture`, with feature
/// `observability`. Only [sampled](sampled_context) invocations have spans.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use lambda_runtime::{Error, LambdaEvent};
/// use powertools::{Env, testing, trace::{self, TraceLayer, Tracer}};
/// use serde_json::json;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tracing::Instrument;
///
/// async fn handler(event: LambdaEvent<u32>) -> Result<(), Error> {
///     let span = tracing::info_span!("charge", annotation.attempt = 1, card = "visa");
///     async { trace::add_metadata("total", event.payload) }.instrument(span).await;
///     Err("card refused".into())
/// }
///
/// let (traces, _guard) = testing::capture_traces(Tracer::from_env(&Env::default()).service("orders"));
/// let service = ServiceBuilder::new()
///     .layer(TraceLayer::new().name("place_order"))
///     .service_fn(handler);
/// let event = LambdaEvent::new(2500, testing::sampled_context("52fdfc07"));
/// let _refused = service.oneshot(event).await;
///
/// let handler = traces.named("## place_order");
/// assert!(handler.is_fault());
/// assert_eq!(handler.exceptions(), ["card refused"]);
/// assert_eq!(handler.annotation("Service"), Some(&json!("orders")));
///
/// let charge = handler.child("charge");
/// assert!(charge.children().is_empty());
/// assert_eq!(charge.annotation("attempt"), Some(&json!(1)));
/// assert_eq!(charge.metadata("orders", "total"), Some(&json!(2500)));
/// assert_eq!(charge.metadata("default", "card"), Some(&json!("visa")));
/// # })
/// ```
#[must_use = "nothing is captured any more when the guard is dropped"]
pub fn capture_traces(tracer: Tracer) -> (CapturedTraces, DefaultGuard) {
    // As for captured logs: somebody always listens, so that nothing is remembered to be of no
    // interest to anyone.
    static LISTENS: OnceLock<Dispatch> = OnceLock::new();
    LISTENS.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));

    let traces = CapturedTraces::default();
    let layer = tracer.with_receiver(traces.clone()).subscriber_layer();
    let guard = tracing_subscriber::registry().with(layer).set_default();
    (traces, guard)
}

/// Returns a context as [`context`](super::context) does, of an invocation that is traced: each has a
/// trace header of its own, with `Sampled=1`.
#[must_use]
pub fn sampled_context(request_id: impl Into<String>) -> Context {
    let mut context = super::context(request_id);
    let random = || RandomState::new().hash_one(0_u8);
    let (root, parent) = (random(), random().max(1));
    context.xray_trace_id = Some(format!(
        "Root=1-5759e988-00000000{root:016x};Parent={parent:016x};Sampled=1"
    ));
    context
}

/// A receiver of traces that keeps what is sent; its clones share what they keep.
#[derive(Clone, Default)]
pub struct CapturedTraces {
    documents: Arc<Mutex<Vec<Value>>>,
}

impl CapturedTraces {
    /// Returns the documents as X-Ray would get them, one for each datagram, with subsegments inside.
    #[must_use]
    pub fn documents(&self) -> Vec<Value> {
        self.lock().clone()
    }

    /// Returns the spans, whichever documents they came in: a parent before its children where it
    /// came with them. One that came in progress is shown as it was when it was complete.
    #[must_use]
    pub fn spans(&self) -> Vec<CapturedSpan> {
        let mut spans = Spans::default();
        for document in self.documents() {
            spans.add(document, None);
        }
        let all: Arc<[Value]> = spans.all.into();
        (0..all.len())
            .map(|index| CapturedSpan {
                all: Arc::clone(&all),
                index,
            })
            .collect()
    }

    /// Returns the span of that name.
    ///
    /// # Panics
    ///
    /// Panics if there is none, or more than one.
    #[must_use]
    #[track_caller]
    pub fn named(&self, name: &str) -> CapturedSpan {
        only(name, &self.spans())
    }

    /// Forgets what has been sent.
    pub fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn receive(&self, datagram: &[u8]) {
        // What leaves is a line that says the format, and JSON.
        let document = datagram.split(|&byte| byte == b'\n').nth(1);
        if let Some(Ok(document)) = document.map(serde_json::from_slice) {
            self.lock().push(document);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans in the order that they came, and where each is.
#[derive(Default)]
struct Spans {
    all: Vec<Value>,
    indices: HashMap<String, usize>,
}

impl Spans {
    /// Takes subsegments out, each with the trace and the parent that a document of its own would
    /// have.
    fn add(&mut self, mut document: Value, place: Option<(Value, Value)>) {
        let Some(fields) = document.as_object_mut() else {
            return;
        };
        if let Some((trace, parent)) = place {
            fields.insert("trace_id".to_owned(), trace);
            fields.insert("parent_id".to_owned(), parent);
            fields.insert("type".to_owned(), "subsegment".into());
        }
        let children = fields.remove("subsegments");
        let place = (document["trace_id"].clone(), document["id"].clone());
        let id = document["id"].as_str().unwrap_or_default().to_owned();
        match self.indices.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(self.all.len());
                self.all.push(document);
            }
            Entry::Occupied(entry) => {
                let earlier = &mut self.all[*entry.get()];
                if earlier["in_progress"] == true {
                    *earlier = document;
                }
            }
        }
        if let Some(Value::Array(children)) = children {
            for child in children {
                self.add(child, Some(place.clone()));
            }
        }
    }
}

#[track_caller]
fn only(name: &str, spans: &[CapturedSpan]) -> CapturedSpan {
    let mut found = spans.iter().filter(|span| span.name() == name);
    match (found.next(), found.next()) {
        (Some(span), None) => span.clone(),
        (None, _) if spans.is_empty() => panic!(
            "no span `{name}`, and no other: was the invocation sampled (`sampled_context`), is a \
             `TraceLayer` around the handler, and is the tracer still the thread's subscriber?"
        ),
        (None, _) => {
            let names: Vec<_> = spans.iter().map(CapturedSpan::name).collect();
            panic!("no span `{name}` among {names:?}")
        }
        (Some(_), Some(_)) => panic!("more than one span `{name}`"),
    }
}

impl fmt::Debug for CapturedTraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.spans()).finish()
    }
}

/// A span that was captured: one subsegment, and its place in the trace.
#[derive(Clone)]
pub struct CapturedSpan {
    all: Arc<[Value]>,
    index: usize,
}

impl CapturedSpan {
    /// Returns the document, as one that was sent by itself and without the spans inside.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.all[self.index]
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// Returns the id, 16 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// Returns the id of the span around it, which for an invocation's is the `Parent` of the trace
    /// header.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        self.text("parent_id")
    }

    /// Returns the trace's id, `1-<8 hex digits>-<24 hex digits>`.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.text("trace_id")
    }

    /// Returns the spans directly inside, in the order they were sent.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        let all = (0..self.all.len()).map(|index| Self {
            all: Arc::clone(&self.all),
            index,
        });
        all.filter(|it| it.parent_id() == self.id() && it.trace_id() == self.trace_id())
            .collect()
    }

    /// Returns the span of that name directly inside.
    ///
    /// # Panics
    ///
    /// Panics if there is none, or more than one.
    #[must_use]
    #[track_caller]
    pub fn child(&self, name: &str) -> Self {
        only(name, &self.children())
    }

    /// Returns an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.document().get("annotations")?.get(key)
    }

    /// Returns a value of the metadata: under the service's name what was added as metadata, under
    /// `default` the span's other fields.
    #[must_use]
    pub fn metadata(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.document().get("metadata")?.get(namespace)?.get(key)
    }

    /// Returns the messages of the exceptions, each before the one that caused it.
    #[must_use]
    pub fn exceptions(&self) -> Vec<&str> {
        let exceptions = self.document()["cause"]["exceptions"].as_array();
        let exceptions = exceptions.map_or(&[][..], Vec::as_slice);
        exceptions
            .iter()
            .filter_map(|it| it["message"].as_str())
            .collect()
    }

    /// Returns whether it was the caller's mistake.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.flag("error")
    }

    /// Returns whether the caller asked too often.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        self.flag("throttle")
    }

    /// Returns whether it was the function's own failure.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.flag("fault")
    }

    /// Returns whether it was still open when it was sent, and has not been sent again.
    #[must_use]
    pub fn is_in_progress(&self) -> bool {
        self.flag("in_progress")
    }

    fn text(&self, field: &str) -> &str {
        self.document()[field].as_str().unwrap_or_default()
    }

    fn flag(&self, field: &str) -> bool {
        self.document()[field] == true
    }
}

impl fmt::Debug for CapturedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.document(), f)
    }
}
