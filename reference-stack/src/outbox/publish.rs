use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{EventStream, MAX_PUT_BYTES, MAX_PUT_MESSAGES, Message, Rejected};
use crate::store::StoreError;

/// How often one message is put before it counts as failed.
const ATTEMPTS: u32 = 3;
/// How long to wait before the second attempt; doubled before each further one.
const BACKOFF: Duration = Duration::from_millis(100);

/// Why a message was not put on the stream.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The stream rejected it at every attempt.
    #[error("the stream rejected the message")]
    Rejected(#[source] Rejected),
    /// The request that it was part of failed.
    #[error("the stream could not be written")]
    Stream(#[source] Arc<StoreError>),
    /// It was not tried, because an earlier message of its key, or the stream, failed.
    #[error("the message was held back after an earlier failure")]
    HeldBack,
    /// It was not tried, because no time was left for it.
    #[error("the message was held back: the invocation's time is running out")]
    OutOfTime,
}

/// Puts messages on a stream, with as few requests as keep the messages of each key in order.
///
/// A request may hold a key once only: the stream may reject the first message of a key and take
/// the second. After a message that failed, later ones of its key are held back; after a request
/// that failed, all that are left. No request is begun after `last_start`.
///
/// Returns one outcome for each message, in their order.
pub async fn publish<S: EventStream>(
    stream: &S,
    messages: &[Message],
    last_start: Instant,
) -> Vec<Result<(), PublishError>> {
    let mut failed = HashMap::new();
    let mut failed_keys = HashSet::new();
    let mut waiting: Vec<usize> = (0..messages.len()).collect();
    while !waiting.is_empty() {
        if Instant::now() > last_start {
            let left = waiting.drain(..);
            failed.extend(left.map(|index| (index, PublishError::OutOfTime)));
            break;
        }
        let request = take_request(messages, &mut waiting);
        match put(stream, messages, request, last_start).await {
            Ok(rejected) => {
                for (index, rejected) in rejected {
                    failed_keys.insert(&messages[index].partition_key);
                    failed.insert(index, PublishError::Rejected(rejected));
                }
                waiting.retain(|index| {
                    let may_follow = !failed_keys.contains(&messages[*index].partition_key);
                    if !may_follow {
                        failed.insert(*index, PublishError::HeldBack);
                    }
                    may_follow
                });
            }
            Err((request, error)) => {
                let error = PublishError::Stream(Arc::new(error));
                failed.extend(request.into_iter().map(|index| (index, error.clone())));
                failed.extend(
                    waiting
                        .drain(..)
                        .map(|index| (index, PublishError::HeldBack)),
                );
            }
        }
    }
    (0..messages.len())
        .map(|index| failed.remove(&index).map_or(Ok(()), Err))
        .collect()
}

/// Takes the messages of the next request out of those that wait: of every key the first, as far as
/// the limits of a request allow.
fn take_request(messages: &[Message], waiting: &mut Vec<usize>) -> Vec<usize> {
    let mut keys = HashSet::new();
    let mut request = Vec::new();
    let mut bytes = 0;
    waiting.retain(|index| {
        let message = &messages[*index];
        // A key is marked also when its message has to wait: the next one may not overtake it.
        let is_first = keys.insert(&message.partition_key);
        let fits = request.is_empty()
            || (request.len() < MAX_PUT_MESSAGES && bytes + message.size() <= MAX_PUT_BYTES);
        let is_taken = is_first && fits;
        if is_taken {
            bytes += message.size();
            request.push(*index);
        }
        !is_taken
    });
    request
}

/// Puts messages, and those that are rejected again, while there is time. Returns what was rejected
/// to the last, or the messages that the failed request held.
async fn put<S: EventStream>(
    stream: &S,
    messages: &[Message],
    mut request: Vec<usize>,
    last_start: Instant,
) -> Result<Vec<(usize, Rejected)>, (Vec<usize>, StoreError)> {
    let mut attempt = 1;
    loop {
        let batch: Vec<&Message> = request.iter().map(|index| &messages[*index]).collect();
        let outcomes = match stream.put(&batch).await {
            Ok(outcomes) => outcomes,
            Err(error) => return Err((request, error)),
        };
        let rejected: Vec<_> = request
            .into_iter()
            .zip(outcomes)
            .filter_map(|(index, outcome)| Some((index, outcome.err()?)))
            .collect();
        let next = Instant::now() + BACKOFF * 2_u32.pow(attempt - 1);
        if rejected.is_empty() || attempt == ATTEMPTS || next > last_start {
            return Ok(rejected);
        }
        tokio::time::sleep_until(next).await;
        attempt += 1;
        request = rejected.into_iter().map(|(index, _)| index).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    fn message(key: &str, data: &str) -> Message {
        Message {
            partition_key: key.to_owned(),
            data: data.into(),
        }
    }

    /// Later than any test takes.
    fn in_time() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    /// Keeps requests as text, and rejects or fails by a rule.
    struct Scripted<F> {
        rule: F,
        requests: Mutex<Vec<Vec<String>>>,
    }

    impl<F> Scripted<F> {
        fn new(rule: F) -> Self {
            Self {
                rule,
                requests: Mutex::default(),
            }
        }

        fn requests(&self) -> Vec<Vec<String>> {
            self.requests.lock().unwrap().clone()
        }
    }

    /// Answers for a message, given how many requests there were before: `None` fails the request.
    type Answer = Option<Result<(), Rejected>>;

    fn rejected() -> Answer {
        Some(Err(Rejected {
            code: "ProvisionedThroughputExceededException".to_owned(),
        }))
    }

    impl<F> EventStream for Scripted<F>
    where
        F: Fn(usize, &str) -> Answer + Send + Sync + 'static,
    {
        async fn put(
            &self,
            messages: &[&Message],
        ) -> Result<Vec<Result<(), Rejected>>, StoreError> {
            let texts: Vec<_> = messages
                .iter()
                .map(|it| String::from_utf8(it.data.clone()).unwrap())
                .collect();
            let mut requests = self.requests.lock().unwrap();
            let answers = texts
                .iter()
                .map(|text| (self.rule)(requests.len(), text))
                .collect();
            requests.push(texts);
            Option::ok_or(answers, StoreError::Unavailable("throttled".into()))
        }
    }

    #[tokio::test]
    async fn messages_of_different_keys_share_a_request_and_those_of_one_key_do_not() {
        let stream = Scripted::new(|_, _: &str| Some(Ok(())));
        let messages = [
            message("a", "a1"),
            message("a", "a2"),
            message("b", "b1"),
            message("a", "a3"),
            message("c", "c1"),
        ];
        let outcomes = publish(&stream, &messages, in_time()).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(
            stream.requests(),
            [vec!["a1", "b1", "c1"], vec!["a2"], vec!["a3"]]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_rejected_is_put_again() {
        let stream = Scripted::new(|request, text: &str| {
            if request == 0 && text == "b1" {
                rejected()
            } else {
                Some(Ok(()))
            }
        });
        let outcomes = publish(
            &stream,
            &[message("a", "a1"), message("b", "b1")],
            in_time(),
        )
        .await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(stream.requests(), [vec!["a1", "b1"], vec!["b1"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_rejected_to_the_last_holds_back_its_own_key_only() {
        let stream = Scripted::new(|_, text: &str| {
            if text == "a1" {
                rejected()
            } else {
                Some(Ok(()))
            }
        });
        let messages = [
            message("a", "a1"),
            message("b", "b1"),
            message("a", "a2"),
            message("b", "b2"),
        ];
        let outcomes = publish(&stream, &messages, in_time()).await;
        assert!(
            matches!(
                outcomes.as_slice(),
                [
                    Err(PublishError::Rejected(_)),
                    Ok(()),
                    Err(PublishError::HeldBack),
                    Ok(())
                ]
            ),
            "{outcomes:?}"
        );
        assert_eq!(
            stream.requests(),
            [vec!["a1", "b1"], vec!["a1"], vec!["a1"], vec!["b2"]]
        );
    }

    #[tokio::test]
    async fn nothing_more_is_tried_when_a_request_fails() {
        let stream = Scripted::new(|_, _: &str| None);
        let outcomes = publish(
            &stream,
            &[message("a", "a1"), message("a", "a2"), message("b", "b1")],
            in_time(),
        )
        .await;
        assert!(
            matches!(
                outcomes.as_slice(),
                [
                    Err(PublishError::Stream(_)),
                    Err(PublishError::HeldBack),
                    Err(PublishError::Stream(_))
                ]
            ),
            "{outcomes:?}"
        );
        assert_eq!(stream.requests().len(), 1);
    }

    /// Takes as long for each request as a call may.
    struct Slow;

    impl EventStream for Slow {
        async fn put(
            &self,
            messages: &[&Message],
        ) -> Result<Vec<Result<(), Rejected>>, StoreError> {
            tokio::time::sleep(crate::aws::OPERATION_TIMEOUT).await;
            Ok(vec![Ok(()); messages.len()])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_begun_after_the_last_start() {
        let begin = Instant::now();
        let messages = vec![message("a", "of one key"); 100];
        let outcomes = publish(&Slow, &messages, begin + Duration::from_secs(20)).await;
        assert!(begin.elapsed() < Duration::from_secs(28));
        let (sent, held_back) = outcomes.split_at(3);
        assert!(sent.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(
            held_back
                .iter()
                .all(|it| matches!(it, Err(PublishError::OutOfTime))),
            "{outcomes:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_rejected_is_not_put_again_after_the_last_start() {
        let stream = Scripted::new(|_, _: &str| rejected());
        let last_start = Instant::now() + Duration::from_millis(150);
        let outcomes = publish(&stream, &[message("a", "a1")], last_start).await;
        assert!(
            matches!(outcomes.as_slice(), [Err(PublishError::Rejected(_))]),
            "{outcomes:?}"
        );
        assert_eq!(stream.requests(), [["a1"], ["a1"]]);
    }

    #[test]
    fn a_request_keeps_to_the_limits() {
        let messages: Vec<_> = (0..1200)
            .map(|n| message(&format!("key-{n}"), "x"))
            .collect();
        let mut waiting: Vec<_> = (0..messages.len()).collect();
        let mut sizes = Vec::new();
        while !waiting.is_empty() {
            sizes.push(take_request(&messages, &mut waiting).len());
        }
        assert_eq!(sizes, [500, 500, 200]);

        let large = "x".repeat(MAX_PUT_BYTES / 2);
        let messages = [
            message("a", &large),
            message("b", &large),
            message("c", "small"),
        ];
        let mut waiting = vec![0, 1, 2];
        assert_eq!(take_request(&messages, &mut waiting), [0, 2]);
        assert_eq!(take_request(&messages, &mut waiting), [1]);
    }

    proptest! {
        #[test]
        fn each_key_keeps_its_order_whatever_is_rejected(
            keys in prop::collection::vec(0..4_u8, 0..40),
            rejections in prop::collection::vec(any::<bool>(), 200),
        ) {
            let messages: Vec<_> = keys
                .iter()
                .enumerate()
                .map(|(index, key)| message(&key.to_string(), &index.to_string()))
                .collect();
            let taken = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&taken);
            let stream = Scripted::new(move |request, text: &str| {
                let index: usize = text.parse().unwrap();
                if rejections[(request * 7 + index) % rejections.len()] {
                    return rejected();
                }
                log.lock().unwrap().push(index);
                Some(Ok(()))
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let outcomes = runtime.block_on(async { publish(&stream, &messages, in_time()).await });

            let taken = taken.lock().unwrap();
            for key in 0..4 {
                let of_key = |indexes: Vec<usize>| -> Vec<usize> {
                    indexes.into_iter().filter(|index| keys[*index] == key).collect()
                };
                let put = of_key(taken.clone());
                let reported = of_key((0..keys.len()).filter(|index| outcomes[*index].is_ok()).collect());
                // In order, each once, none missing that was reported, and no gap before a later one.
                prop_assert_eq!(&put, &reported);
                let all = of_key((0..keys.len()).collect());
                prop_assert_eq!(&put, &all[..put.len()]);
            }
        }
    }
}
