//! What a restore from a snapshot does to what is cached, in a process of its own: it is done to all of
//! it.
#![cfg(all(feature = "parameters", feature = "testing"))]

use std::time::Duration;

use futures_util::FutureExt as _;
use lambda_runtime::snapstart::SnapStartResource as _;
use powertools::{
    SnapStart,
    parameters::{Parameters, ProviderErrorKind},
    testing::MemoryProvider,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn nothing_from_before_a_snapshot_is_served_after_the_restore() {
    let provider = MemoryProvider::from([("secret", "before"), ("/app/a", "before")]);
    let parameters = Parameters::new(provider.clone())
        .max_age(HOUR)
        .stale_if_error(HOUR)
        .refresh_in_background(HOUR)
        .cache_not_found(HOUR);
    parameters.get("secret").await.unwrap();
    parameters.get_multiple("/app").await.unwrap();
    parameters.get("missing").await.unwrap_err();
    // One is just being fetched.
    provider.hold();
    let mut frozen = std::pin::pin!(parameters.get("other").into_future());
    assert!(frozen.as_mut().now_or_never().is_none());

    SnapStart::new().after_restore().await.unwrap();
    for name in ["secret", "missing", "/app/a", "other"] {
        provider.set(name, "after");
    }
    let mut joins = std::pin::pin!(parameters.get("other").into_future());
    assert!(joins.as_mut().now_or_never().is_none());
    assert_eq!(provider.calls_of("other"), 2);
    provider.release();

    provider.fail(ProviderErrorKind::Throttled);
    parameters.get("secret").await.unwrap_err();
    provider.recover();
    for name in ["secret", "missing"] {
        assert_eq!(parameters.get(name).await.unwrap().as_bytes(), b"after");
    }
    let values = parameters.get_multiple("/app").await.unwrap();
    assert_eq!(values.get("a").unwrap().as_bytes(), b"after");
    let calls = provider.calls();
    parameters.get("secret").await.unwrap();
    assert_eq!(provider.calls(), calls);
    frozen.await.unwrap();
    joins.await.unwrap();
}
