//! How a mapping ends.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{MappingError, Running, Shared};
use super::fakes::{Function, Mailbox, Reply, Stream};
use super::world;

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_invocation_under_way_and_begins_no_other() {
    let mut world = world();
    world.settings.batch_size = 1;
    world.function.take_time(Duration::from_secs(30));
    world.stream.put("shard-0", 0..5);
    let start = Instant::now();
    let running = world.start();
    world.function.wait_for_calls(1).await;
    let status = running.stop().await;
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(
        (status.records_delivered, world.function.calls().len()),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_pause_to_end() {
    let world = world();
    world.function.reply(|_| Reply::Error);
    world.stream.put("shard-0", 0..1);
    let running = world.start();
    running
        .wait_until(|status| status.failed_invocations == 12)
        .await
        .unwrap();
    let start = Instant::now();
    let status = running.stop().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        (status.pending(), status.records_discarded),
        (1, 0),
        "a record is not given up because of a stop"
    );
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_the_handle() {
    let world = world();
    world.function.take_time(Duration::from_secs(3600));
    world.stream.put("shard-0", 0..1);
    world.stream.put("shard-1", 1..2);
    let alive: Weak<()> = world.stream.alive();
    let running = world.start();
    world.function.wait_for_calls(2).await;
    let mut status = running.status.clone();
    drop(running);
    // The tasks hold the sender.
    while status.changed().await.is_ok() {}
    drop(world);
    assert_eq!(alive.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_what_never_comes_ends_with_the_mapping() {
    let world = world();
    world.stream.put("shard-0", 0..1);
    let mut status = world.start().status.clone();
    assert!(
        status
            .wait_for(|status| status.records_delivered == 2)
            .await
            .is_err()
    );

    let running = world.start();
    running
        .control
        .send_modify(|control| control.stopping = true);
    let waited = running
        .wait_until(|status| status.records_delivered == 1_000)
        .await;
    assert!(matches!(waited, Err(MappingError::Stopped)));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the function panicked")]
async fn a_panic_is_not_swallowed() {
    let world = world();
    world.function.reply(|_| panic!("the function panicked"));
    world.stream.put("shard-0", 0..1);
    let running = world.start();
    assert!(!running.has_ended());
    let _ = running
        .wait_until(|status| status.records_delivered == 1)
        .await;
    assert!(running.has_ended());
    running.stop().await;
}

/// What the fakes stand for can be used from several threads.
#[test]
fn handles_can_be_shared() {
    fn check<T: Send + Sync>() {}
    check::<Running>();
    check::<Shared<Stream, Function, Mailbox>>();
}
