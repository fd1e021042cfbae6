//! How shards are found and read.

use std::time::Duration;

use super::fakes::{Fault, numbers};
use super::world;
use crate::mapping::StartingPosition;

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_without_a_gap_or_a_repetition() {
    let world = world();
    world.stream.put("shard-0", 0..2);
    let running = world.start();
    running.settled().await.unwrap();
    world.stream.expire_iterators();
    world.stream.put("shard-0", 2..4);
    let status = running.settled().await.unwrap();
    assert_eq!(world.function.calls(), [numbers(0..2), numbers(2..4)]);
    assert_eq!((status.errors, status.records_read), (1, 4));
    assert_eq!(
        status.last_error.as_deref(),
        Some("the shard iterator has expired")
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn from_latest_on_an_expired_iterator_skips_nothing_that_came_since_the_start() {
    for source_knows_times in [true, false] {
        let mut world = world();
        world.starting_position = StartingPosition::Latest;
        world.stream.start_at_times(source_knows_times);
        world.stream.put("shard-0", 0..3);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let running = world.start();
        running.settled().await.unwrap();
        world.stream.expire_iterators();
        world.stream.put("shard-0", 3..5);
        running.settled().await.unwrap();
        assert_eq!(
            world.function.calls(),
            [numbers(3..5)],
            "{source_knows_times}"
        );
        drop(running);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again() {
    let world = world();
    world.stream.put("shard-0", 0..3);
    for fault in [
        Fault::List,
        Fault::List,
        Fault::Iterator,
        Fault::Records,
        Fault::Records,
    ] {
        world.stream.fail(fault);
    }
    let running = world.start();
    let status = running.settled().await.unwrap();
    assert_eq!((status.errors, status.records_delivered), (5, 3));
    assert_eq!(
        status.last_error.as_deref(),
        Some("could not read: the source is down")
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_is_not_the_end_when_the_source_knows_of_more() {
    let world = world();
    world.stream.put("shard-0", 0..3);
    world.stream.lag(5);
    let running = world.start();
    assert_eq!(running.settled().await.unwrap().records_delivered, 3);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_lost_is_told_and_the_rest_is_read() {
    let world = world();
    world.stream.put("shard-0", 0..2);
    let running = world.start();
    running.settled().await.unwrap();
    world.stream.put("shard-0", 2..6);
    world.stream.trim("shard-0", 4);
    let status = running.settled().await.unwrap();
    assert_eq!(world.function.calls(), [numbers(0..2), numbers(4..6)]);
    assert_eq!(
        status.last_error.as_deref(),
        Some("records were removed from the stream before they were read")
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_child_shard_waits_for_all_its_parents() {
    let mut world = world();
    world.settings.batch_size = 2;
    world.function.take_time(Duration::from_secs(3));
    world.stream.put("shard-0", 0..4);
    world.stream.put("shard-1", 10..11);
    world.stream.close("shard-0");
    world.stream.close("shard-1");
    world
        .stream
        .create_child("shard-2", &["shard-0", "shard-1", "gone-long-ago"]);
    world.stream.put("shard-2", 20..22);
    // The listing has the child before its parents.
    world.stream.create_child("a-grandchild", &["shard-2"]);
    world.stream.put("a-grandchild", 30..31);
    let running = world.start();
    running
        .wait_until(|status| status.records_delivered == 7)
        .await
        .unwrap();
    world.stream.close("shard-2");
    let status = running.settled().await.unwrap();

    let calls = world.function.calls();
    assert_eq!(calls[calls.len() - 2..], [numbers(20..22), numbers(30..31)]);
    let finished: Vec<_> = status
        .shards
        .iter()
        .filter(|(_, shard)| shard.finished)
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(finished, ["shard-0", "shard-1", "shard-2"]);
    assert_eq!(status.pending(), 0);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_appears_later_is_found_and_read_from_its_beginning() {
    let mut world = world();
    world.starting_position = StartingPosition::Latest;
    world.stream.put("shard-0", 0..3);
    let running = world.start();
    running.settled().await.unwrap();
    world.stream.close("shard-0");
    world.stream.create_child("shard-1", &["shard-0"]);
    world.stream.put("shard-1", 3..5);
    let status = running.settled().await.unwrap();
    assert_eq!(world.function.calls(), [numbers(3..5)]);
    assert!(status.shards["shard-0"].finished && !status.shards["shard-1"].finished);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_vanishes_ends_after_what_was_read_of_it() {
    let mut world = world();
    world.settings.batch_window = Duration::from_secs(60);
    world.stream.put("shard-0", 0..3);
    let running = world.start();
    running
        .wait_until(|status| status.records_read == 3)
        .await
        .unwrap();
    world.stream.remove("shard-0");
    world.stream.create_child("shard-1", &["shard-0"]);
    world.stream.put("shard-1", 3..4);
    let status = running
        .wait_until(|status| status.records_delivered == 4)
        .await
        .unwrap();
    assert_eq!(world.function.calls(), [numbers(0..3), numbers(3..4)]);
    assert!(status.shards["shard-0"].finished);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn another_stream_of_the_same_name_is_read_from_its_beginning() {
    let world = world();
    world.stream.put("shard-0", 0..2);
    let running = world.start();
    running.settled().await.unwrap();
    world.stream.delete();
    running
        .wait_until(|status| status.shards.is_empty())
        .await
        .unwrap();
    world.stream.put("shard-0", 2..4);
    running.settled().await.unwrap();
    assert_eq!(world.function.calls(), [numbers(0..2), numbers(2..4)]);
    drop(running);
}
