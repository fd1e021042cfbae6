use super::*;

mod properties;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn batch(length: usize, policy: Policy) -> Batch {
    Batch::new(policy, vec![at(0); length])
}

fn retries(maximum: u32) -> Policy {
    Policy {
        maximum_retry_attempts: Some(maximum),
        ..Policy::default()
    }
}

fn exhausted(records: Range<usize>, invocations: u32) -> Step {
    Step::GiveUp(Discarded {
        records,
        condition: Condition::RetryAttemptsExhausted,
        invocations,
    })
}

fn too_old(records: Range<usize>, invocations: u32) -> Step {
    Step::GiveUp(Discarded {
        records,
        condition: Condition::RecordAgeExceeded,
        invocations,
    })
}

/// Asks for the next step, which has to be an invocation with these records, and answers it.
#[track_caller]
fn invoke(batch: &mut Batch, records: Range<usize>, outcome: Outcome) -> Progress {
    assert_eq!(batch.step(at(0)), Some(Step::Invoke(records)));
    batch.record(outcome)
}

#[test]
fn an_empty_batch_is_done() {
    let mut batch = batch(0, Policy::default());
    assert_eq!(batch.step(at(0)), None);
    assert_eq!(
        batch.record(Outcome::Success),
        Progress {
            acknowledged: 0..0,
            others: Others::None
        }
    );
}

#[test]
fn success_acknowledges_the_whole_batch() {
    let mut batch = batch(3, Policy::default());
    let progress = invoke(&mut batch, 0..3, Outcome::Success);
    assert_eq!(
        progress,
        Progress {
            acknowledged: 0..3,
            others: Others::None
        }
    );
    assert_eq!(batch.step(at(0)), None);
}

#[test]
fn a_reported_failure_acknowledges_what_lies_before_it_and_the_rest_is_tried_at_once() {
    let mut batch = batch(5, retries(0));
    let progress = invoke(&mut batch, 0..5, Outcome::FailedAt(2));
    assert_eq!(
        progress,
        Progress {
            acknowledged: 0..2,
            others: Others::Rest
        }
    );
    let progress = invoke(&mut batch, 2..5, Outcome::Success);
    assert_eq!(
        progress,
        Progress {
            acknowledged: 2..5,
            others: Others::None
        }
    );
}

/// What AWS does was recorded by others: with three retries, a record that failed last in its batch is then tried four
/// times alone, and its on-failure record says `"approximateInvokeCount": 4`.
#[test]
fn the_rest_of_a_batch_gets_all_its_attempts() {
    let mut batch = batch(3, retries(3));
    assert_eq!(
        invoke(&mut batch, 0..3, Outcome::Failure).others,
        Others::Again(1)
    );
    assert_eq!(
        invoke(&mut batch, 0..3, Outcome::FailedAt(2)).others,
        Others::Rest
    );
    for attempt in 1..=3 {
        assert_eq!(
            invoke(&mut batch, 2..3, Outcome::FailedAt(2)).others,
            Others::Again(attempt)
        );
    }
    assert_eq!(
        invoke(&mut batch, 2..3, Outcome::FailedAt(2)).others,
        Others::GivenUp
    );
    assert_eq!(batch.step(at(0)), Some(exhausted(2..3, 4)));
    assert_eq!(batch.step(at(0)), None);
}

#[test]
fn a_batch_is_given_up_after_its_retries() {
    let mut batch = batch(2, retries(1));
    assert_eq!(
        invoke(&mut batch, 0..2, Outcome::Failure),
        Progress {
            acknowledged: 0..0,
            others: Others::Again(1)
        }
    );
    assert_eq!(
        invoke(&mut batch, 0..2, Outcome::Failure),
        Progress {
            acknowledged: 0..0,
            others: Others::GivenUp
        }
    );
    assert_eq!(batch.step(at(0)), Some(exhausted(0..2, 2)));
    assert_eq!(batch.step(at(0)), None);
}

#[test]
fn without_a_limit_a_batch_is_tried_on() {
    let mut batch = batch(1, Policy::default());
    for attempt in 1..=20_000 {
        assert_eq!(
            invoke(&mut batch, 0..1, Outcome::Failure).others,
            Others::Again(attempt)
        );
    }
}

#[test]
fn what_did_not_reach_the_function_does_not_count_as_an_attempt() {
    let mut batch = batch(1, retries(0));
    for attempt in 1..=100 {
        assert_eq!(
            invoke(&mut batch, 0..1, Outcome::NotInvoked).others,
            Others::Again(attempt)
        );
    }
    assert_eq!(
        invoke(&mut batch, 0..1, Outcome::Failure).others,
        Others::GivenUp
    );
    assert_eq!(batch.step(at(0)), Some(exhausted(0..1, 1)));
}

#[test]
fn bisecting_isolates_a_record_and_costs_it_no_attempt() {
    let mut batch = batch(
        4,
        Policy {
            bisect_on_error: true,
            ..retries(0)
        },
    );
    assert_eq!(
        invoke(&mut batch, 0..4, Outcome::Failure).others,
        Others::Halves
    );
    assert_eq!(
        invoke(&mut batch, 0..2, Outcome::Success).acknowledged,
        0..2
    );
    assert_eq!(
        invoke(&mut batch, 2..4, Outcome::Failure).others,
        Others::Halves
    );
    assert_eq!(
        invoke(&mut batch, 2..3, Outcome::Failure).others,
        Others::GivenUp
    );
    assert_eq!(batch.step(at(0)), Some(exhausted(2..3, 1)));
    assert_eq!(
        invoke(&mut batch, 3..4, Outcome::Success).acknowledged,
        3..4
    );
    assert_eq!(batch.step(at(0)), None);
}

#[test]
fn with_a_report_a_batch_is_cut_at_the_checkpoint() {
    let mut batch = batch(
        5,
        Policy {
            bisect_on_error: true,
            ..retries(0)
        },
    );
    assert_eq!(
        invoke(&mut batch, 0..5, Outcome::FailedAt(3)).others,
        Others::Rest
    );
    // The checkpoint cannot move any further, so only halving helps.
    assert_eq!(
        invoke(&mut batch, 3..5, Outcome::FailedAt(3)).others,
        Others::Halves
    );
    assert_eq!(
        invoke(&mut batch, 3..4, Outcome::FailedAt(3)).others,
        Others::GivenUp
    );
    assert_eq!(batch.step(at(0)), Some(exhausted(3..4, 1)));
    assert_eq!(
        invoke(&mut batch, 4..5, Outcome::Success).acknowledged,
        4..5
    );
}

#[test]
fn a_report_about_a_record_outside_the_range_is_a_failure() {
    let mut batch = batch(3, retries(5));
    invoke(&mut batch, 0..3, Outcome::FailedAt(1));
    assert_eq!(
        invoke(&mut batch, 1..3, Outcome::FailedAt(0)),
        Progress {
            acknowledged: 1..1,
            others: Others::Again(1)
        }
    );
    assert_eq!(
        invoke(&mut batch, 1..3, Outcome::FailedAt(3)),
        Progress {
            acknowledged: 1..1,
            others: Others::Again(2)
        }
    );
}

#[test]
fn only_the_records_that_are_too_old_are_given_up_for_their_age() {
    let policy = Policy {
        maximum_record_age: Some(Duration::from_secs(60)),
        ..Policy::default()
    };
    let mut batch = Batch::new(policy, vec![at(0), at(10), at(100)]);
    assert_eq!(
        batch.step(at(60)),
        Some(Step::Invoke(0..3)),
        "a record may be as old as the limit"
    );
    batch.record(Outcome::Failure);
    assert_eq!(batch.step(at(71)), Some(too_old(0..2, 1)));
    assert_eq!(batch.step(at(71)), Some(Step::Invoke(2..3)));
    batch.record(Outcome::NotInvoked);
    assert_eq!(batch.step(at(161)), Some(too_old(2..3, 1)));
    assert_eq!(batch.step(at(161)), None);
}

#[test]
fn age_frees_a_shard_whose_function_cannot_be_reached() {
    let policy = Policy {
        maximum_record_age: Some(Duration::from_secs(60)),
        ..Policy::default()
    };
    let mut batch = Batch::new(policy, vec![at(0)]);
    assert_eq!(batch.step(at(59)), Some(Step::Invoke(0..1)));
    batch.record(Outcome::NotInvoked);
    assert_eq!(batch.step(at(61)), Some(too_old(0..1, 0)));
}
