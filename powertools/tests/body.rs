//! Invocations whose response has a body that comes later.
#![cfg(feature = "http")]

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use lambda_runtime::Error;
use powertools::{Invocation, body::BodyLayer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

/// A body that makes its frames when it is asked to, in turns with everybody else, and says which
/// invocation it does so in.
struct Stream {
    frames: Vec<fn() -> Result<Bytes, Error>>,
    seen: Seen,
    is_slow: bool,
}

type Seen = Arc<Mutex<Vec<(&'static str, Option<String>)>>>;

fn request_id() -> Option<String> {
    Invocation::current().map(|it| it.context().request_id.clone())
}

fn note(seen: &Seen, what: &'static str) {
    seen.lock().unwrap().push((what, request_id()));
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_slow = !self.is_slow;
        if self.is_slow {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        note(&self.seen, "polled");
        if self.frames.is_empty() {
            return Poll::Ready(None);
        }
        let frame = self.frames.remove(0);
        Poll::Ready(Some(frame().map(Frame::data)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        note(&self.seen, "dropped");
    }
}

fn chunk() -> Result<Bytes, Error> {
    Ok(Bytes::from_static(b"a"))
}

fn request(request_id: &str) -> Request<()> {
    let mut context = lambda_runtime::Context::default();
    context.request_id = request_id.to_owned();
    let mut request = Request::new(());
    request.extensions_mut().insert(context);
    request
}

async fn answer<S, B>(service: S) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    service.oneshot(request("52fdfc07")).await.unwrap()
}

fn stream(frames: &[fn() -> Result<Bytes, Error>], seen: &Seen) -> Stream {
    Stream {
        frames: frames.to_vec(),
        seen: Arc::clone(seen),
        is_slow: false,
    }
}

#[tokio::test]
async fn a_body_belongs_to_its_invocation_until_it_is_gone() {
    let seen = Seen::default();
    let handler = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(stream(&[chunk, chunk], &seen)))
    });
    let response = answer(BodyLayer::new().layer(handler)).await;
    assert_eq!(request_id(), None);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "aa");
    let own = Some("52fdfc07".to_owned());
    assert_eq!(
        *seen.lock().unwrap(),
        ["polled", "polled", "polled", "dropped"].map(|what| (what, own.clone()))
    );

    // And where the client is gone before its end.
    seen.lock().unwrap().clear();
    let mut body = answer(BodyLayer::new().layer(handler)).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(
        *seen.lock().unwrap(),
        ["polled", "dropped"].map(|what| (what, own.clone()))
    );
}

#[tokio::test]
async fn a_body_is_handed_through_as_it_is() {
    async fn with<B: Body + Clone>(body: B) -> powertools::body::InvocationBody<B> {
        let handler =
            service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(body.clone())) });
        answer(BodyLayer::new().layer(handler)).await.into_body()
    }

    fn hints(body: &impl Body) -> (bool, SizeHint) {
        (body.is_end_stream(), body.size_hint())
    }

    fn same(one: (bool, SizeHint), other: (bool, SizeHint)) {
        assert_eq!(one.0, other.0);
        assert_eq!(one.1.exact(), other.1.exact());
    }

    let empty = Empty::<Bytes>::new();
    let mut body = with(empty).await;
    same(hints(&body), hints(&empty));
    assert!(body.frame().await.is_none());
    same(hints(&body), hints(&empty));

    let full = Full::new(Bytes::from_static(b"abc"));
    let mut body = with(full.clone()).await;
    same(hints(&body), hints(&full));
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "abc");
    same(hints(&body), (true, SizeHint::with_exact(0)));
    assert!(body.frame().await.is_none());

    let trailers = Full::new(Bytes::new()).with_trailers(async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-checksum", http::HeaderValue::from_static("1"));
        Some(Ok::<_, Infallible>(trailers))
    });
    let handler = service_fn({
        let trailers = Mutex::new(Some(trailers));
        move |_: Request<()>| {
            let body = trailers.lock().unwrap().take().unwrap();
            async { Ok::<_, Infallible>(Response::new(Box::pin(body))) }
        }
    });
    let body = answer(BodyLayer::new().layer(handler)).await.into_body();
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-checksum"], "1");
}

#[tokio::test]
async fn an_error_of_the_handler_passes_untouched() {
    let handler = service_fn(|_: Request<()>| async {
        Err::<Response<Empty<Bytes>>, _>(Error::from("refused"))
    });
    let result = BodyLayer::new()
        .layer(handler)
        .oneshot(request("52fdfc07"))
        .await;
    assert_eq!(result.unwrap_err().to_string(), "refused");
}

#[tokio::test]
async fn two_bodies_of_two_invocations_never_mix() {
    let seen = Seen::default();
    let service = BodyLayer::new().layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(stream(&[chunk, chunk], &seen)))
    }));
    let mut bodies = Vec::new();
    for id in ["one", "two"] {
        let response = service.clone().oneshot(request(id)).await.unwrap();
        bodies.push(response.into_body());
    }
    for index in [1, 0, 1] {
        bodies[index].frame().await.unwrap().unwrap();
    }
    let ids: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, id)| id.clone().unwrap())
        .collect();
    assert_eq!(ids, ["two", "one", "two"]);
}

#[tokio::test]
async fn the_service_is_ready_when_the_handler_is() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<Request<()>, Response<Empty<Bytes>>, _>(BodyLayer::new());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
}

#[test]
fn the_types_can_be_shared_and_sent() {
    fn assert_shareable<T: Send + Sync + Clone + std::fmt::Debug + 'static>(_: &T) {}
    fn assert_body<B: Body + Unpin + Send + 'static>() {}

    assert_shareable(&BodyLayer::new());
    assert_shareable(&BodyLayer::new().layer(0));
    // As lambda_http asks of a body that it streams.
    assert_body::<powertools::body::InvocationBody<Full<Bytes>>>();
}

#[cfg(all(feature = "logging", feature = "testing"))]
#[tokio::test]
async fn lines_are_held_back_until_the_body_has_ended() {
    use powertools::{
        Env,
        logging::{Buffer, Logger, LoggingLayer},
        testing::capture_logs,
    };
    use tracing::{debug, error};

    fn fails() -> Result<Bytes, Error> {
        error!("disk gone");
        Err("disk gone".into())
    }

    for (frame, expected) in [
        (chunk as fn() -> _, &[][..]),
        (fails, &["head sent", "disk gone"]),
    ] {
        let logger = Logger::from_env(&Env::default()).buffer(Buffer::new());
        let (output, _guard) = capture_logs(logger);
        let seen = Seen::default();
        let service = ServiceBuilder::new()
            .layer(LoggingLayer::from_env(&Env::default()))
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                debug!("head sent");
                Ok::<_, Infallible>(Response::new(stream(&[frame], &seen)))
            });
        let response = answer(service).await;
        assert!(output.lines().is_empty());
        let _ = response.into_body().collect().await;
        let lines = output.json();
        let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, expected);
        assert!(
            lines
                .iter()
                .all(|it| it["function_request_id"] == "52fdfc07")
        );
    }
}

#[cfg(all(feature = "testing", feature = "trace"))]
mod trace {
    use powertools::trace::{self, TraceHeader};
    use serde_json::json;
    use tracing::info_span;

    use super::*;
    use crate::daemon::{Daemon, SAMPLED, catch_panic, event, layer, named};

    fn request() -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(event((), SAMPLED).context);
        request
    }

    /// A frame that leaves something in the trace.
    fn traced() -> Result<Bytes, Error> {
        trace::annotate("in_body", TraceHeader::current().is_some());
        info_span!("chunk").in_scope(|| {});
        Ok(Bytes::from_static(b"a"))
    }

    #[tokio::test]
    async fn the_handlers_span_ends_with_the_body() {
        let daemon = Daemon::start();
        let _guard = daemon.listen();
        let seen = Seen::default();
        let service = ServiceBuilder::new()
            .layer(layer().http())
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(stream(&[traced], &seen)))
            });
        let mut body = service.oneshot(request()).await.unwrap().into_body();
        assert!(daemon.documents().is_empty());
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().await.is_none());
        // Before the body is dropped: when who sends it has learnt of its end, it is too late.
        let documents = daemon.documents();
        let handler = named(&documents, "## my-function");
        assert_eq!(handler["annotations"]["in_body"], true);
        assert_eq!(handler["http"]["response"], json!({"status": 200}));
        assert_eq!(handler.get("fault"), None);
        assert_eq!(named(&documents, "chunk")["parent_id"], handler["id"]);
        drop(body);
        assert!(daemon.documents().is_empty());
    }

    #[tokio::test]
    async fn a_body_that_is_complete_ends_the_span_with_the_head() {
        let daemon = Daemon::start();
        let _guard = daemon.listen();
        let service = ServiceBuilder::new()
            .layer(layer())
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            });
        let response = service.oneshot(request()).await.unwrap();
        assert_eq!(daemon.documents().len(), 1);
        drop(response);
    }

    #[tokio::test]
    async fn a_body_that_fails_is_a_fault() {
        fn fails() -> Result<Bytes, Error> {
            Err("disk gone".into())
        }

        fn panics() -> Result<Bytes, Error> {
            panic!("disk gone")
        }

        for fail in [fails, panics] {
            let daemon = Daemon::start();
            let _guard = daemon.listen();
            let seen = Seen::default();
            let service = ServiceBuilder::new()
                .layer(layer().http())
                .layer(BodyLayer::new())
                .service_fn(|_: Request<()>| async {
                    Ok::<_, Infallible>(Response::new(stream(&[fail], &seen)))
                });
            let mut body = Box::pin(service.oneshot(request()).await.unwrap().into_body());
            let mut frame = Box::pin(async move {
                let failed = body.frame().await.unwrap().is_err();
                assert!(failed);
            });
            catch_panic(&mut frame).await;
            drop(frame);
            let documents = daemon.documents();
            assert_eq!(documents.len(), 1);
            assert_eq!(documents[0]["fault"], true, "{}", documents[0]);
        }
    }

    #[tokio::test]
    async fn a_panic_of_a_body_that_is_caught_around_it_is_a_fault() {
        /// A body that panics when it is asked for a frame, or else when it is dropped.
        struct Panics {
            in_drop: bool,
        }

        impl Body for Panics {
            type Data = Bytes;
            type Error = Error;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
                assert!(self.in_drop, "disk gone");
                Poll::Ready(None)
            }
        }

        impl Drop for Panics {
            fn drop(&mut self) {
                assert!(!self.in_drop, "disk gone");
            }
        }

        for in_drop in [false, true] {
            let daemon = Daemon::start();
            let _guard = daemon.listen();
            let service = ServiceBuilder::new()
                .layer(layer().http())
                .layer(BodyLayer::new())
                .service_fn(|_: Request<()>| async {
                    Ok::<_, Infallible>(Response::new(Panics { in_drop }))
                });
            let mut body = service.oneshot(request()).await.unwrap().into_body();
            let mut frame = Box::pin(body.frame());
            assert!(catch_panic(&mut frame).await);
            drop(frame);
            // Here nothing panics any more.
            drop(body);
            let documents = daemon.documents();
            assert_eq!(documents.len(), 1);
            assert_eq!(documents[0]["fault"], true, "{}", documents[0]);
        }
    }

    #[tokio::test]
    async fn a_client_that_has_gone_ends_the_span_and_nothing_is_wrong() {
        let daemon = Daemon::start();
        let _guard = daemon.listen();
        let seen = Seen::default();
        let service = ServiceBuilder::new()
            .layer(layer().http())
            .layer(BodyLayer::new())
            .service_fn(|_: Request<()>| async {
                Ok::<_, Infallible>(Response::new(stream(&[traced, traced], &seen)))
            });
        let mut body = service.oneshot(request()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        let documents = daemon.documents();
        assert_eq!(named(&documents, "## my-function").get("fault"), None);
    }
}

#[cfg(all(feature = "testing", feature = "trace"))]
mod daemon;
mod subscriber;
