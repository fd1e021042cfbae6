//! What a read of a cached parameter costs in memory.
#![cfg(all(feature = "parameters", feature = "testing"))]

use std::time::Duration;

use futures_util::FutureExt as _;
use powertools::parameters::{MapProvider, Parameters};

#[test]
fn a_read_of_what_is_kept_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let provider = MapProvider::from([("/app/limits", "[1, 2, 3]"), ("/app/key", "AQ==")]);
    let parameters = Parameters::new(provider).max_age(Duration::from_secs(3600));
    let read = || {
        let value = parameters.get("/app/limits").into_future();
        value.now_or_never().unwrap().unwrap();
        let json = parameters.get("/app/limits").json::<[u8; 3]>();
        assert_eq!(*json.now_or_never().unwrap().unwrap(), [1, 2, 3]);
        let key = parameters.get("/app/key").binary();
        assert_eq!(key.now_or_never().unwrap().unwrap().as_bytes(), [1]);
        let values = parameters.get_multiple("/app").into_future();
        assert_eq!(values.now_or_never().unwrap().unwrap().len(), 2);
    };
    runtime.block_on(async {
        parameters.get("/app/limits").await.unwrap();
        parameters.get("/app/key").await.unwrap();
        parameters.get_multiple("/app").await.unwrap();
    });
    // The cache notes reads, and tidies up after some hundreds of them.
    for _ in 0..1000 {
        read();
    }
    let mut least = u64::MAX;
    for _ in 0..10 {
        least = least.min(allocation_counter::measure(read).count_total);
    }
    assert_eq!(least, 0);
    let many = allocation_counter::measure(|| (0..1000).for_each(|_| read()));
    assert_eq!(many.count_total, 0, "tidying up");
}
