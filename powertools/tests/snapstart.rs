//! What is to be done around a snapshot, in a process of its own: its metrics are global.
#![cfg(all(feature = "observability", feature = "testing"))]

use std::{
    convert::Infallible,
    net::{SocketAddr, UdpSocket},
};

use lambda_runtime::{LambdaEvent, snapstart::SnapStartResource};
use powertools::{
    Env, Observability, SnapStart, env,
    logging::Logger,
    metrics::{Metric, MetricsLayer, Unit},
    testing::{Captured, sampled_context},
};
use tower::{ServiceBuilder, ServiceExt};
use tracing_subscriber::prelude::*;

const CACHE_WARMED: Metric = Metric::new("CacheWarmed", Unit::Count);

/// Plays the X-Ray daemon, and tells from where it was sent to.
struct Daemon(UdpSocket);

impl Daemon {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Over loopback a datagram has arrived when it has been sent.
    fn senders(&self) -> Vec<SocketAddr> {
        let mut buffer = vec![0; 1 << 16];
        std::iter::from_fn(|| Some(self.0.recv_from(&mut buffer).ok()?.1)).collect()
    }
}

#[tokio::test]
async fn metrics_are_written_before_the_snapshot_and_sockets_opened_after_the_restore() {
    let (daemon, objects) = (Daemon::start(), Captured::default());
    let address = daemon.0.local_addr().unwrap().to_string();
    let env = Env::from([
        (env::FUNCTION_NAME, "my-function"),
        (env::XRAY_DAEMON_ADDRESS, &address),
        (env::METRICS_NAMESPACE, "Shop"),
    ]);
    let metrics = MetricsLayer::from_env(&env).with_writer(objects.clone());
    metrics.recorder().set_global().unwrap();
    let observability = Observability::from_env(&env)
        .with_logger(Logger::from_env(&env).with_writer(Captured::default()))
        .with_metrics(metrics);
    let _guard = tracing_subscriber::registry()
        .with(observability.subscriber_layer())
        .set_default();
    let service = ServiceBuilder::new()
        .layer(observability.into_layer())
        .service_fn(|_: LambdaEvent<()>| async { Ok::<_, Infallible>(()) });
    let invoke = || {
        let event = LambdaEvent::new((), sampled_context("52fdfc07"));
        let call = service.clone().oneshot(event);
        async {
            call.await.unwrap();
            daemon.senders()
        }
    };

    let before = invoke().await;
    assert_eq!(before.len(), 1);
    assert_eq!(invoke().await, before);
    CACHE_WARMED.record(1);
    assert_eq!(objects.lines(), [""; 0]);

    let snap_start = SnapStart::new();
    snap_start.before_snapshot().await.unwrap();
    let written = objects.json();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0]["CacheWarmed"], 1);

    snap_start.after_restore().await.unwrap();
    // The old socket is closed. Nor would a new one by chance be taken for it.
    let _taken = UdpSocket::bind(before[0]).unwrap();
    let after = invoke().await;
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
    assert_eq!(invoke().await, after);
    // Nothing is written twice.
    assert_eq!(objects.json(), written);
}
