//! What reaches the function.

use std::time::Duration;

use tokio::time::Instant;

use super::fakes::{Reply, numbers};
use super::world;

#[tokio::test(start_paused = true)]
async fn records_are_delivered_in_order_and_in_batches() {
    let world = world();
    world.stream.put("shard-0", 0..25);
    let running = world.start();
    let status = running.settled().await.unwrap();

    assert_eq!(
        world.function.calls(),
        [numbers(0..10), numbers(10..20), numbers(20..25)]
    );
    assert_eq!(
        (
            status.records_read,
            status.records_delivered,
            status.invocations
        ),
        (25, 25, 3)
    );
    assert_eq!(
        (status.failed_invocations, status.errors, status.pending()),
        (0, 0, 0)
    );
    assert_eq!(status.shards["shard-0"].checkpoint.as_deref(), Some("24"));
    assert_eq!(running.stop().await, status);
}

#[tokio::test(start_paused = true)]
async fn settled_includes_what_was_put_just_before() {
    let world = world();
    world.stream.create("shard-0");
    let running = world.start();
    for round in 0..20 {
        world.stream.put("shard-0", round..round + 1);
        let status = running.settled().await.unwrap();
        assert_eq!(status.records_delivered, round + 1);
    }
    assert_eq!(running.stop().await.invocations, 20);
}

#[tokio::test(start_paused = true)]
async fn a_batch_window_gathers_records() {
    let mut world = world();
    world.settings.batch_window = Duration::from_secs(5);
    world.stream.create("shard-0");
    let running = world.start();
    let start = Instant::now();
    for number in 0..3 {
        world.stream.put("shard-0", number..number + 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    running
        .wait_until(|status| status.records_delivered == 3)
        .await
        .unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    // A full batch does not wait for the window to end.
    world.stream.put("shard-0", 3..13);
    running
        .wait_until(|status| status.records_delivered == 13)
        .await
        .unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(world.function.calls(), [numbers(0..3), numbers(3..13)]);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_batch_can_be_larger_than_a_page() {
    let mut world = world();
    world.settings.batch_size = 30;
    world.settings.batch_window = Duration::from_secs(5);
    world.stream.put("shard-0", 0..45);
    let start = Instant::now();
    let running = world.start();
    running.settled().await.unwrap();
    assert_eq!(world.function.calls(), [numbers(0..30), numbers(30..45)]);
    assert_eq!(start.elapsed().as_secs(), 5);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_larger_than_an_invocation_may_be() {
    let mut world = world();
    // `{"Records":["0","1"]}` has 21 bytes.
    world.settings.payload_limit = 21;
    world.stream.put("shard-0", 0..5);
    world.stream.put("shard-1", [1_000_000_000_000_000]);
    let running = world.start();
    running.settled().await.unwrap();
    let mut calls = world.function.calls();
    calls.sort_by_key(|call| call[0].len());
    assert_eq!(calls[..3], [numbers(0..2), numbers(2..4), numbers(4..5)]);
    assert_eq!(
        calls[3],
        ["1000000000000000"],
        "a record that is too large goes alone"
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn shards_are_independent_of_each_other() {
    let mut world = world();
    world.settings.policy.maximum_retry_attempts = None;
    world.function.reply(|records| {
        if records[0] == "0" {
            Reply::Error
        } else {
            Reply::Success
        }
    });
    world.stream.put("shard-0", [0]);
    world.stream.put("shard-1", [1]);
    let running = world.start();
    running
        .wait_until(|status| status.records_delivered == 1 && status.failed_invocations > 5)
        .await
        .unwrap();
    assert_eq!(running.status().shards["shard-0"].pending, 1);
    drop(running);
}
