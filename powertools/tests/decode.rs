//! The decode layer as a function's author and the layers around it see it.
#![cfg(all(feature = "decode", feature = "testing"))]

use std::{
    convert::Infallible,
    error::Error as _,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Invocation,
    decode::{DecodeError, DecodeLayer, DecodeService, ResponseFuture},
    testing::context,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

#[derive(Debug, Deserialize, PartialEq)]
struct Order {
    id: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Item {
    quantity: u32,
}

const ORDER: &str = r#"{ "id": "a1", "items": [{"quantity": 2}], "total": 12.50 }"#;

fn event(json: &str, request_id: &str) -> LambdaEvent<Box<RawValue>> {
    let json = RawValue::from_string(json.to_owned()).unwrap();
    LambdaEvent::new(json, context(request_id))
}

fn raw_event() -> Option<String> {
    let invocation = Invocation::current()?;
    invocation.raw_event().map(|event| event.get().to_owned())
}

#[tokio::test]
async fn an_event_of_another_shape_does_not_reach_the_handler() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let mut service =
        ServiceBuilder::new()
            .layer(DecodeLayer::new())
            .service_fn(move |_: LambdaEvent<Order>| {
                counted.fetch_add(1, Ordering::Relaxed);
                ready(Ok::<_, Infallible>(()))
            });

    let json = "{\"id\": \"a1\",\n\"items\": [{\"quantity\": \"hunter2\"}]}";
    let error = service
        .ready()
        .await
        .unwrap()
        .call(event(json, "one"))
        .await
        .unwrap_err();
    let message = error.to_string();
    assert_eq!(
        message,
        "cannot decode the event at `items[0].quantity` (line 2, column 32)"
    );
    assert!(
        error
            .source()
            .is_some_and(|source| source.to_string().contains("u32"))
    );

    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "powertools::decode::DecodeError");
    assert_eq!(diagnostic.error_message, message);
    assert_eq!(calls.load(Ordering::Relaxed), 0);

    // The next event is none the worse for it.
    service
        .ready()
        .await
        .unwrap()
        .call(event(ORDER, "two"))
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_event_that_is_no_object_is_named_as_a_whole() {
    let service = DecodeLayer::<Order>::new().layer(service_fn(|_| ready(Ok::<_, Infallible>(()))));
    let error = service.oneshot(event("7", "one")).await.unwrap_err();
    assert!(matches!(&error, DecodeError::Decode { path, .. } if path == "."));
}

#[tokio::test]
async fn a_failed_handler_keeps_its_diagnostic() {
    async fn handler(_: LambdaEvent<Order>) -> Result<(), Error> {
        Err("out of stock".into())
    }

    let service = ServiceBuilder::new()
        .layer(DecodeLayer::new())
        .service_fn(handler);
    let error = service.oneshot(event(ORDER, "one")).await.unwrap_err();
    assert_eq!(error.to_string(), "out of stock");
    assert_eq!(
        Diagnostic::from(error),
        Diagnostic::from(Error::from("out of stock"))
    );
}

#[tokio::test]
async fn a_service_that_cannot_be_ready_says_so() {
    let (mut service, handle) = mock::spawn_with(|inner| {
        let layer: DecodeLayer<Order> = DecodeLayer::new();
        layer.layer(inner)
    });
    let _: &mock::Handle<LambdaEvent<Order>, ()> = &handle;
    drop(handle);
    assert!(matches!(
        service.poll_ready(),
        Poll::Ready(Err(DecodeError::Handler(_)))
    ));
}

#[tokio::test]
async fn readiness_is_that_of_the_handler() {
    let (mut service, mut handle) =
        mock::spawn_with(|inner| DecodeLayer::<Order>::new().layer(inner));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());

    let response = service.call(event(ORDER, "one"));
    let (request, send) = handle.next_request().await.unwrap();
    assert_eq!(request.payload.items, [Item { quantity: 2 }]);
    assert_eq!(request.context.request_id, "one");
    send.send_response("done");
    assert_eq!(response.await.unwrap(), "done");
}

#[tokio::test]
async fn the_handler_finds_type_and_text() {
    let handler = |event: LambdaEvent<Order>| async move {
        let here = raw_event();
        yield_now().await;
        assert_eq!(here, raw_event());
        let invocation = Invocation::current().unwrap();
        let spawned = tokio::spawn(invocation.scope(async { raw_event() }))
            .await
            .unwrap();
        assert_eq!(here, spawned);
        Ok::<_, Infallible>((event.payload.id, here))
    };
    let service = DecodeLayer::<Order>::new().layer(service_fn(handler));
    let (id, text) = service.oneshot(event(ORDER, "one")).await.unwrap();
    assert_eq!(id, "a1");
    assert_eq!(text.as_deref(), Some(ORDER));
}

#[tokio::test]
async fn a_layer_outside_finds_the_text_after_the_call() {
    let decode = DecodeLayer::<Order>::new().layer(service_fn(|_| ready(Ok::<_, Infallible>(()))));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    assert!(invocation.raw_event().is_none());
    invocation
        .scope(decode.oneshot(event(ORDER, "one")))
        .await
        .unwrap();
    assert_eq!(invocation.raw_event().map(RawValue::get), Some(ORDER));
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_is_kept_all_the_same() {
    let decode = DecodeLayer::<Order>::new().layer(service_fn(|_| ready(Ok::<_, Infallible>(()))));
    let invocation = Invocation::current_or_open(Some(&context("one")));
    let failed = invocation.scope(decode.oneshot(event("{}", "one"))).await;
    assert!(failed.is_err());
    assert_eq!(invocation.raw_event().map(RawValue::get), Some("{}"));
}

#[tokio::test]
async fn a_handler_that_is_cancelled_leaves_nothing_behind() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let service = DecodeLayer::<Order>::new().layer(service_fn(move |_| {
        let held = sender.lock().unwrap().take();
        async move {
            let _held = held;
            pending::<Result<(), Infallible>>().await
        }
    }));
    let mut call = Box::pin(service.oneshot(event(ORDER, "one")));
    assert!(futures_poll(call.as_mut()).is_pending());
    drop(call);
    assert!(receiver.await.is_err());
    assert!(Invocation::current().is_none());
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invocations_at_once_never_see_each_others_event() {
    let handler = |event: LambdaEvent<Order>| async move {
        yield_now().await;
        let text = raw_event().unwrap();
        assert!(
            text.contains(&format!("\"{}\"", event.payload.id)),
            "{text}"
        );
        yield_now().await;
        Ok::<_, Infallible>(raw_event() == Some(text))
    };
    let service = DecodeLayer::<Order>::new().layer(service_fn(handler));
    let calls: Vec<_> = (0..2_000)
        .map(|n| {
            let json = format!(r#"{{"id": "order-{n}", "items": []}}"#);
            let call = service
                .clone()
                .oneshot(event(&json, &format!("request-{n}")));
            tokio::spawn(call)
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap());
    }
}

#[test]
fn the_stack_can_be_run_concurrently() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_sent<T: Send>() {}

    async fn handler(event: LambdaEvent<Order>) -> Result<String, Error> {
        Ok(event.payload.id)
    }

    let layer = DecodeLayer::<Order>::new();
    is_shared(&layer);
    let service = ServiceBuilder::new().layer(layer).service_fn(handler);
    is_shared(&service);
    is_sent::<ResponseFuture<std::future::Ready<Result<(), Error>>, Error>>();
    drop(lambda_runtime::run(service.clone()));
    drop(lambda_runtime::run_concurrent(service));
}

#[test]
fn debug_output_names_the_type_and_not_the_event() {
    let layer = DecodeLayer::<Order>::default();
    assert_eq!(format!("{layer:?}"), "DecodeLayer { event: decode::Order }");
    let service: DecodeService<_, Order> = layer.layer("inner");
    assert_eq!(
        format!("{service:?}"),
        r#"DecodeService { inner: "inner", event: decode::Order }"#
    );
}
