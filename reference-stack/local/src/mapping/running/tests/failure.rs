//! What happens when the function or the destination fails.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::fakes::{Reply, numbers};
use super::world;
use crate::mapping::batch::Policy;

#[tokio::test(start_paused = true)]
async fn a_poisoned_record_ends_in_the_queue_and_its_neighbours_are_delivered() {
    let mut world = world();
    world.settings.reports_failures = true;
    world.settings.policy = Policy {
        bisect_on_error: true,
        maximum_retry_attempts: Some(3),
        maximum_record_age: None,
    };
    world.function.reply(
        |records| match records.iter().find(|record| *record == "4") {
            Some(poisoned) => Reply::Report(vec![poisoned.clone()]),
            None => Reply::Success,
        },
    );
    world.stream.put("shard-0", 0..8);
    let running = world.start();
    let status = running.settled().await.unwrap();

    assert_eq!(
        (
            status.records_delivered,
            status.records_discarded,
            status.failure_records
        ),
        (7, 1, 1)
    );
    assert_eq!(status.pending(), 0);
    let calls = world.function.calls();
    let (first, last) = (&calls[..2], &calls[calls.len() - 2..]);
    assert_eq!(first, [numbers(0..8), numbers(4..8)]);
    assert_eq!(calls.iter().filter(|call| **call == ["4"]).count(), 4);
    assert_eq!(last, [numbers(5..6), numbers(6..8)]);

    let letters = world.mailbox.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0]["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    assert_eq!(letters[0]["requestContext"]["approximateInvokeCount"], 4);
    assert_eq!(letters[0]["responseContext"]["functionError"], Value::Null);
    let info = &letters[0]["KinesisBatchInfo"];
    assert_eq!(info["shardId"], "shard-0");
    assert_eq!(
        (&info["startSequenceNumber"], &info["endSequenceNumber"]),
        (&json!("4"), &json!("4"))
    );
    assert_eq!(info["batchSize"], 1);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn failures_are_repeated_with_growing_pauses_and_given_up_without_a_destination() {
    let mut world = world();
    world.settings.policy.maximum_retry_attempts = Some(3);
    world.without_destination();
    world.function.reply(|records| {
        if records[0] == "0" {
            Reply::Error
        } else {
            Reply::Success
        }
    });
    world.stream.put("shard-0", 0..10);
    world.stream.put("shard-0", 10..12);
    let start = Instant::now();
    let running = world.start();
    let status = running.settled().await.unwrap();
    assert_eq!(
        (
            status.records_discarded,
            status.records_delivered,
            status.failure_records
        ),
        (10, 2, 0)
    );
    assert_eq!((status.invocations, status.failed_invocations), (5, 4));
    assert_eq!(start.elapsed(), Duration::from_millis(50 + 100 + 200));
    assert_eq!(world.mailbox.letters().len(), 0);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn throttles_do_not_count_as_attempts_but_the_age_of_records_does() {
    let mut world = world();
    world.settings.policy = Policy {
        maximum_retry_attempts: Some(0),
        maximum_record_age: Some(Duration::from_secs(60)),
        ..Policy::default()
    };
    world.function.reply(|_| Reply::Throttled);
    world.stream.put("shard-0", 0..1);
    let running = world.start();
    let status = running
        .wait_until(|status| status.records_discarded == 1)
        .await
        .unwrap();
    assert!(status.unreached > 10, "{status:?}");
    assert_eq!(
        (status.invocations, status.last_error.as_deref()),
        (0, Some("the function is throttled"))
    );
    let letters = world.mailbox.letters();
    assert_eq!(
        letters[0]["requestContext"]["condition"],
        "RecordAgeExceeded"
    );
    assert_eq!(letters[0]["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(letters[0].get("responseContext"), None);

    world.function.reply(|_| Reply::Success);
    world.stream.put("shard-0", 1..2);
    let status = running.settled().await.unwrap();
    assert_eq!((status.records_delivered, status.invocations), (1, 1));
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_asked_again() {
    let world = world();
    world
        .function
        .reply_in_turn([Reply::ServiceError, Reply::ServiceError, Reply::Success]);
    world.stream.put("shard-0", 0..2);
    let running = world.start();
    let status = running.settled().await.unwrap();
    assert_eq!(
        (
            status.unreached,
            status.invocations,
            status.records_delivered
        ),
        (2, 1, 2)
    );
    assert_eq!(
        status.last_error.as_deref(),
        Some("could not invoke the function: connection refused")
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_for_the_function_is_halved() {
    let mut world = world();
    world.settings.policy = Policy {
        bisect_on_error: true,
        maximum_retry_attempts: Some(0),
        maximum_record_age: None,
    };
    world.function.reply(|records| {
        if records.len() > 2 {
            Reply::TooLarge
        } else {
            Reply::Success
        }
    });
    world.stream.put("shard-0", 0..4);
    let running = world.start();
    let status = running.settled().await.unwrap();
    assert_eq!((status.records_delivered, status.records_discarded), (4, 0));
    assert_eq!(
        world.function.calls(),
        [numbers(0..4), numbers(0..2), numbers(2..4)]
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_fails_is_tried_until_it_takes_the_record() {
    let mut world = world();
    world.settings.policy.maximum_retry_attempts = Some(0);
    world.function.reply(|records| {
        if records[0] == "0" {
            Reply::Error
        } else {
            Reply::Success
        }
    });
    world.mailbox.fail(3);
    world.stream.put("shard-0", 0..1);
    let running = world.start();
    let status = running
        .wait_until(|status| status.errors == 2)
        .await
        .unwrap();
    assert_eq!((status.records_discarded, status.pending()), (0, 1));
    world.stream.put("shard-0", 1..2);
    let status = running.settled().await.unwrap();
    assert_eq!(
        (
            status.records_discarded,
            status.records_delivered,
            status.errors
        ),
        (1, 1, 3)
    );
    assert_eq!(world.mailbox.letters().len(), 1);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_everything_fails_now_and_then() {
    for seed in 0..20 {
        let mut world = world();
        world.settings.batch_size = 7;
        world.settings.reports_failures = true;
        world.settings.policy = Policy {
            bisect_on_error: seed % 2 == 0,
            maximum_retry_attempts: Some(2),
            maximum_record_age: None,
        };
        world.misbehave(seed);
        for shard in 0..3_u64 {
            world
                .stream
                .put(&format!("shard-{shard}"), shard * 100..shard * 100 + 40);
        }
        let running = world.start();
        let status = running.settled().await.unwrap();
        assert_eq!(
            status.records_delivered + status.records_discarded,
            120,
            "seed {seed}: {status:?}"
        );
        assert_eq!(status.records_read, 120);

        let letters = world.mailbox.letters();
        let sizes = letters
            .iter()
            .map(|letter| letter["KinesisBatchInfo"]["batchSize"].as_u64().unwrap());
        assert_eq!(sizes.sum::<u64>(), status.records_discarded, "seed {seed}");
        for shard in 0..3_u64 {
            // The first time a record is seen, all before it were seen.
            let mut next = shard * 100;
            for record in world.function.calls().concat() {
                let record: u64 = record.parse().unwrap();
                if record / 100 == shard {
                    assert!(record <= next, "seed {seed}: {record} came before {next}");
                    next = next.max(record + 1);
                }
            }
            assert_eq!(next, shard * 100 + 40, "seed {seed}");
        }
        drop(running);
    }
}
