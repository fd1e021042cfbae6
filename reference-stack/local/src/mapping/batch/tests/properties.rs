use proptest::prelude::*;

use super::*;

/// Everything that happened to a batch until it was done.
#[derive(Debug, Default)]
struct Run {
    invocations: Vec<Range<usize>>,
    acknowledged: Vec<usize>,
    discarded: Vec<Discarded>,
    /// All records in the order in which they were done with.
    order: Vec<usize>,
}

/// Runs a batch to its end. The function's answer to the `n`th invocation is `answer(n, records)`; each takes `tick` seconds.
fn run(
    mut batch: Batch,
    tick: i64,
    mut answer: impl FnMut(usize, &Range<usize>) -> Outcome,
) -> Run {
    let mut run = Run::default();
    let mut now = 0;
    while let Some(step) = batch.step(at(now)) {
        match step {
            Step::Invoke(records) => {
                assert!(!records.is_empty());
                assert_eq!(records.start, run.order.len(), "invoked out of order");
                let outcome = answer(run.invocations.len(), &records);
                run.invocations.push(records.clone());
                assert!(run.invocations.len() < 10_000, "does not end");
                let progress = batch.record(outcome);
                assert!(
                    progress.acknowledged.is_empty()
                        || progress.acknowledged.start == records.start
                );
                assert!(progress.acknowledged.end <= records.end);
                run.acknowledged.extend(progress.acknowledged.clone());
                run.order.extend(progress.acknowledged);
                now += tick;
            }
            Step::GiveUp(discarded) => {
                assert!(!discarded.records.is_empty());
                run.order.extend(discarded.records.clone());
                run.discarded.push(discarded);
            }
        }
    }
    run
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), 0..4_u32, proptest::option::of(0..90_u64)).prop_map(
        |(bisect_on_error, retries, age)| Policy {
            bisect_on_error,
            maximum_retry_attempts: Some(retries),
            maximum_record_age: age.map(Duration::from_secs),
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        (0..40_usize).prop_map(Outcome::FailedAt),
        Just(Outcome::Failure),
        Just(Outcome::NotInvoked),
    ]
}

proptest! {
    #[test]
    fn every_record_is_done_with_once_and_in_order_whatever_the_function_answers(
        length in 0..40_usize,
        policy in policy(),
        outcomes in prop::collection::vec(outcome(), 0..120),
        tick in 0..5_i64,
    ) {
        let retries = policy.maximum_retry_attempts.unwrap();
        let run = run(batch(length, policy), tick, |n, _| outcomes.get(n).copied().unwrap_or(Outcome::Failure));

        prop_assert_eq!(&run.order, &(0..length).collect::<Vec<_>>());
        for discarded in &run.discarded {
            prop_assert!(discarded.invocations <= retries + 1);
            if discarded.condition == Condition::RetryAttemptsExhausted {
                prop_assert_eq!(discarded.invocations, retries + 1);
                // Records may have grown too old at the front of the range in between.
                let same = |records: &&Range<usize>| {
                    records.end == discarded.records.end && records.start <= discarded.records.start
                };
                prop_assert!(run.invocations.iter().filter(same).count() >= discarded.invocations as usize);
            } else {
                prop_assert!(policy.maximum_record_age.is_some());
            }
        }
        // Each cut makes one more range, and each range is tried at most so often.
        let reached = run.invocations.len()
            - outcomes.iter().take(run.invocations.len()).filter(|outcome| **outcome == Outcome::NotInvoked).count();
        prop_assert!(reached <= length.saturating_mul(2) + length * (retries as usize + 1));
    }

    #[test]
    fn with_bisecting_only_the_poisoned_records_are_given_up(
        poisoned in prop::collection::vec(any::<bool>(), 1..60),
        retries in 0..3_u32,
        reports in any::<bool>(),
    ) {
        let policy = Policy { bisect_on_error: true, maximum_retry_attempts: Some(retries), maximum_record_age: None };
        let run = run(batch(poisoned.len(), policy), 1, |_, records| {
            match records.clone().find(|record| poisoned[*record]) {
                None => Outcome::Success,
                Some(failed) if reports => Outcome::FailedAt(failed),
                Some(_) => Outcome::Failure,
            }
        });
        let expected = (0..poisoned.len()).filter(|record| poisoned[*record]);
        let given_up = run.discarded.iter().flat_map(|discarded| discarded.records.clone());
        prop_assert!(expected.eq(given_up));
        prop_assert!(run.discarded.iter().all(|discarded| discarded.records.len() == 1));
        prop_assert!(run.discarded.iter().all(|discarded| discarded.invocations == retries + 1));
    }

    #[test]
    fn without_bisecting_a_poisoned_record_takes_its_range_along(
        length in 1..30_usize,
        poisoned in 0..30_usize,
        retries in 0..3_u32,
        reports in any::<bool>(),
    ) {
        let poisoned = poisoned % length;
        let run = run(batch(length, super::retries(retries)), 1, |_, records| {
            if !records.contains(&poisoned) {
                Outcome::Success
            } else if reports {
                Outcome::FailedAt(poisoned)
            } else {
                Outcome::Failure
            }
        });
        let records = if reports { poisoned..length } else { 0..length };
        prop_assert_eq!(run.acknowledged.len(), records.start);
        let discarded =
            Discarded { records, condition: Condition::RetryAttemptsExhausted, invocations: retries + 1 };
        prop_assert_eq!(run.discarded, vec![discarded]);
    }

    #[test]
    fn age_alone_ends_a_batch_that_is_tried_without_limit(
        arrivals in prop::collection::vec(0..50_i64, 1..30),
        age in 1..60_u64,
        bisect_on_error in any::<bool>(),
        reached in any::<bool>(),
    ) {
        let policy = Policy { bisect_on_error, maximum_retry_attempts: None, maximum_record_age: Some(Duration::from_secs(age)) };
        let length = arrivals.len();
        let batch = Batch::new(policy, arrivals.into_iter().map(at).collect());
        let outcome = if reached { Outcome::Failure } else { Outcome::NotInvoked };
        let run = run(batch, 1, |_, _| outcome);
        prop_assert_eq!(run.order.len(), length);
        prop_assert!(run.discarded.iter().all(|discarded| discarded.condition == Condition::RecordAgeExceeded));
    }
}
