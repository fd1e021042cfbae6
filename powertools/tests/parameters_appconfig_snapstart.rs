//! Sessions of AppConfig after the restore of a snapshot, which holds for the whole process.
#![cfg(all(feature = "parameters-appconfig", feature = "testing"))]

mod appconfig;

use appconfig::{AppConfig, Call};
use lambda_runtime::snapstart::SnapStartResource;
use powertools::SnapStart;

/// Whatever is restored from one snapshot has the same tokens, and each serves once.
#[tokio::test]
async fn no_token_outlives_a_snapshot() {
    let service = AppConfig::with("1");
    let parameters = service.parameters();
    let before = parameters.get("limits").await.unwrap();
    service.calls();
    SnapStart::new().after_restore().await.unwrap();

    let after = parameters.get("limits").await.unwrap();
    let calls = service.calls();
    assert!(
        matches!(calls[..], [Call::Start(_), Call::Poll]),
        "{calls:?}"
    );
    assert_eq!(after.as_str().unwrap(), before.as_str().unwrap());
    parameters.get("limits").await.unwrap();
    assert_eq!(service.calls(), []);
}
