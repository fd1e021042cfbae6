//! Whatever a batch is made of, and whatever its handler does.
#![cfg(all(feature = "batch", feature = "testing"))]

use std::{
    collections::{HashMap, HashSet},
    panic,
    sync::{Arc, Mutex, Once},
    time::{Duration, UNIX_EPOCH},
};

use lambda_runtime::LambdaEvent;
use powertools::{
    batch::{AfterFailure, BatchError, BatchEvent, BatchLayer, BatchResponse, Record, Text},
    testing,
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, service_fn};

/// What the panics of the handlers say, so that nobody prints them.
const EXPECTED: &str = "as the test wants it";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Sqs,
    Fifo,
    FifoSkip,
    Kinesis(AfterFailure),
    DynamoDb(AfterFailure),
    Kafka(AfterFailure),
}

impl Source {
    /// What a failure means for those that follow.
    fn after_failure(self) -> Option<AfterFailure> {
        match self {
            Self::Sqs => None,
            Self::Fifo => Some(AfterFailure::Stop),
            Self::FifoSkip => Some(AfterFailure::SkipKey),
            Self::Kinesis(after) | Self::DynamoDb(after) | Self::Kafka(after) => Some(after),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Behaviour {
    Succeed,
    Fail,
    Panic,
    PanicAtOnce,
    /// The record does not get to the handler.
    Malformed,
}

#[derive(Clone, Debug)]
struct Item {
    group: u8,
    behaviour: Behaviour,
    delay: u64,
}

#[derive(Clone, Debug)]
struct Case {
    source: Source,
    items: Vec<Item>,
    concurrency: usize,
    raise: bool,
    /// In milliseconds from the beginning.
    deadline: Option<u64>,
}

/// What a handler did, in the order of all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Begun(usize),
    Succeeded(usize),
    Failed(usize),
}

type Steps = Arc<Mutex<Vec<Step>>>;

fn items() -> impl Strategy<Value = Vec<Item>> {
    let behaviour = prop_oneof![
        12 => Just(Behaviour::Succeed),
        2 => Just(Behaviour::Fail),
        1 => Just(Behaviour::Panic),
        1 => Just(Behaviour::PanicAtOnce),
        1 => Just(Behaviour::Malformed),
    ];
    let delay = prop_oneof![Just(0), 0..40_u64];
    let item = (0..5_u8, behaviour, delay).prop_map(|(group, behaviour, delay)| Item {
        group,
        behaviour,
        delay,
    });
    proptest::collection::vec(item, 0..30)
}

fn cases() -> impl Strategy<Value = Case> {
    let after = prop_oneof![
        Just(AfterFailure::Continue),
        Just(AfterFailure::SkipKey),
        Just(AfterFailure::Stop),
    ];
    let source = prop_oneof![
        Just(Source::Sqs),
        Just(Source::Fifo),
        Just(Source::FifoSkip),
        after.clone().prop_map(Source::Kinesis),
        after.clone().prop_map(Source::DynamoDb),
        after.prop_map(Source::Kafka),
    ];
    let deadline = proptest::option::of(20..400_u64);
    (source, items(), 1..9_usize, any::<bool>(), deadline).prop_map(
        |(source, items, concurrency, raise, deadline)| Case {
            source,
            items,
            concurrency,
            raise,
            deadline,
        },
    )
}

fn base64(text: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text)
}

fn record(source: Source, index: usize, item: &Item) -> Value {
    let is_malformed = item.behaviour == Behaviour::Malformed;
    let group = format!("group-{}", item.group);
    let text = index.to_string();
    match source {
        Source::Sqs | Source::Fifo | Source::FifoSkip => json!({
            "messageId": text,
            "body": if is_malformed { json!(7) } else { json!(text) },
            "attributes": {"MessageGroupId": group},
            "eventSource": "aws:sqs",
        }),
        Source::Kinesis(_) => json!({
            "kinesis": {
                "sequenceNumber": text,
                "partitionKey": group,
                "data": if is_malformed { "#".to_owned() } else { base64(&text) },
            },
            "eventSource": "aws:kinesis",
        }),
        Source::DynamoDb(_) => json!({
            "dynamodb": {
                "SequenceNumber": text,
                "Keys": {"id": {"S": group}},
                "NewImage": {"n": if is_malformed { json!({"Q": 1}) } else { json!({"S": text}) }},
            },
            "eventSource": "aws:dynamodb",
        }),
        Source::Kafka(_) => json!({
            "topic": "t",
            "partition": item.group % 2,
            "offset": index,
            "key": base64(&group),
            "value": if is_malformed { "#".to_owned() } else { base64(&text) },
        }),
    }
}

/// The event, and the records in the order in which it has them.
fn event(case: &Case) -> (String, Vec<usize>) {
    let all = case.items.iter().enumerate();
    let records = all.map(|(index, item)| (index, item, record(case.source, index, item)));
    if !matches!(case.source, Source::Kafka(_)) {
        let (order, records): (Vec<_>, Vec<_>) = records.map(|(index, _, it)| (index, it)).unzip();
        return (json!({"Records": records}).to_string(), order);
    }
    let mut order = Vec::new();
    let mut partitions = [Vec::new(), Vec::new()];
    let all: Vec<_> = records.collect();
    for partition in 0..2 {
        for (index, item, record) in &all {
            if item.group % 2 == partition {
                order.push(*index);
                partitions[usize::from(partition)].push(record.clone());
            }
        }
    }
    let [zero, one] = partitions;
    let event = json!({"eventSource": "aws:kafka", "records": {"t-0": zero, "t-1": one}});
    (event.to_string(), order)
}

fn handler<T: 'static, M: 'static>(
    case: &Case,
    steps: &Steps,
    index: impl Fn(&T) -> usize + Clone + Send + 'static,
) -> impl Service<Record<T, M>, Response = (), Error = &'static str, Future: Send> + Clone + Send + 'static
{
    let items = Arc::new(case.items.clone());
    let steps = Arc::clone(steps);
    service_fn(move |record: Record<T, M>| {
        let index = index(&record.payload);
        let Item {
            behaviour, delay, ..
        } = items[index];
        let steps = Arc::clone(&steps);
        steps.lock().unwrap().push(Step::Begun(index));
        if behaviour == Behaviour::PanicAtOnce {
            steps.lock().unwrap().push(Step::Failed(index));
            panic!("{EXPECTED}");
        }
        async move {
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            let step = match behaviour {
                Behaviour::Succeed => Step::Succeeded(index),
                _ => Step::Failed(index),
            };
            steps.lock().unwrap().push(step);
            match behaviour {
                Behaviour::Succeed => Ok(()),
                Behaviour::Panic => panic!("{EXPECTED}"),
                _ => Err("refused"),
            }
        }
    })
}

async fn call<S>(
    mut service: S,
    text: &str,
    case: &Case,
) -> Result<BatchResponse, BatchError<&'static str>>
where
    S: Service<LambdaEvent<BatchEvent>, Response = BatchResponse, Error = BatchError<&'static str>>,
{
    let mut context = testing::context("52fdfc07");
    context.deadline = case.deadline.unwrap_or(0);
    let event = LambdaEvent::new(serde_json::from_str(text).unwrap(), context);
    service.call(event).await
}

async fn run(
    case: &Case,
    text: &str,
    steps: &Steps,
) -> Result<BatchResponse, BatchError<&'static str>> {
    macro_rules! run {
        ($layer:expr, $index:expr) => {{
            let layer = $layer
                .concurrency(case.concurrency)
                .raise_on_entire_batch_failure(case.raise)
                .margin(Duration::from_millis(10))
                .with_clock(|| UNIX_EPOCH);
            call(layer.layer(handler(case, steps, $index)), text, case).await
        }};
    }
    let by_text = |text: &String| text.parse().unwrap();
    let by_image = |change: &powertools::batch::Change<HashMap<String, String>>| {
        change.new.as_ref().unwrap()["n"].parse().unwrap()
    };
    match case.source {
        Source::Sqs => run!(BatchLayer::sqs().format(Text), by_text),
        Source::Fifo => run!(BatchLayer::sqs_fifo().format(Text), by_text),
        Source::FifoSkip => {
            let layer = BatchLayer::sqs_fifo().format(Text);
            run!(layer.skip_group_on_error(true), by_text)
        }
        Source::Kinesis(after) => {
            run!(
                BatchLayer::kinesis().format(Text).after_failure(after),
                by_text
            )
        }
        Source::DynamoDb(after) => {
            run!(BatchLayer::dynamodb().after_failure(after), by_image)
        }
        Source::Kafka(after) => {
            run!(
                BatchLayer::kafka().format(Text).after_failure(after),
                by_text
            )
        }
    }
}

/// The records that the answer names, in its order.
fn reported(response: &BatchResponse) -> Vec<usize> {
    let answer = serde_json::to_value(response).unwrap();
    let members: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["batchItemFailures"]);
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let index = |failure: &Value| {
        assert_eq!(failure.as_object().unwrap().len(), 1);
        match &failure["itemIdentifier"] {
            Value::String(id) => id.parse().unwrap(),
            id => {
                assert!(["t-0", "t-1"].contains(&id["partition"].as_str().unwrap()));
                usize::try_from(id["offset"].as_u64().unwrap()).unwrap()
            }
        }
    };
    failures.iter().map(index).collect()
}

fn check(case: &Case) {
    let steps = Steps::default();
    let (text, order) = event(case);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (answer, took) = runtime.block_on(async {
        let start = Instant::now();
        let answer = run(case, &text, &steps).await;
        (answer, start.elapsed())
    });
    let steps = steps.lock().unwrap().clone();
    let group = |index: usize| match case.source {
        // The key of the shard is not the group.
        Source::Sqs => None,
        _ => Some(case.items[index].group),
    };

    // Nothing is begun twice, or at all if it cannot be decoded; and never too many at once.
    let mut begun = HashSet::new();
    let mut succeeded = HashSet::new();
    let mut running = HashMap::new();
    let mut failed_groups = HashSet::new();
    let mut last_of_group = HashMap::new();
    let mut begun_after_failure = 0;
    let place: HashMap<_, _> = order
        .iter()
        .zip(0..)
        .map(|(index, place)| (*index, place))
        .collect();
    for step in &steps {
        match *step {
            Step::Begun(index) => {
                assert!(begun.insert(index), "twice: {index}");
                assert_ne!(case.items[index].behaviour, Behaviour::Malformed);
                running.insert(index, group(index));
                assert!(running.len() <= case.concurrency);
                if let Some(group) = group(index) {
                    // In order, and one after the other.
                    let of_group = running.values().filter(|it| **it == Some(group));
                    assert_eq!(of_group.count(), 1, "{steps:?}");
                    let last = last_of_group.insert(group, place[&index]);
                    assert!(last.is_none_or(|last| last < place[&index]), "{steps:?}");
                    if matches!(
                        case.source.after_failure(),
                        Some(AfterFailure::SkipKey | AfterFailure::Stop)
                    ) {
                        assert!(!failed_groups.contains(&group), "{steps:?}");
                    }
                }
                if !failed_groups.is_empty() {
                    begun_after_failure += 1;
                }
            }
            Step::Succeeded(index) => {
                running.remove(&index);
                succeeded.insert(index);
            }
            Step::Failed(index) => {
                running.remove(&index);
                if let Some(group) = group(index) {
                    failed_groups.insert(group);
                }
            }
        }
    }
    let is_one_shard = !matches!(case.source, Source::Kafka(_));
    if is_one_shard && case.source.after_failure() == Some(AfterFailure::Stop) {
        // What had been handed out when it failed.
        assert!(begun_after_failure < case.concurrency, "{steps:?}");
    }

    // All that did not succeed is reported, in the order of the event, and nothing else.
    let unhandled: Vec<_> = order
        .iter()
        .copied()
        .filter(|it| !succeeded.contains(it))
        .collect();
    let is_all = unhandled.len() == case.items.len() && !unhandled.is_empty();
    match answer {
        Ok(response) => {
            assert_eq!(reported(&response), unhandled, "{steps:?}");
            assert!(!(is_all && case.raise));
        }
        Err(BatchError::AllFailed { records, .. }) => {
            assert!(is_all && case.raise);
            assert_eq!(records, case.items.len());
        }
        Err(error) => panic!("{error:?}"),
    }

    match case.deadline {
        Some(deadline) => assert!(took <= Duration::from_millis(deadline - 10)),
        // Only a failure keeps a record from being begun.
        None => {
            let goes_on = matches!(
                case.source.after_failure(),
                None | Some(AfterFailure::Continue)
            );
            if goes_on {
                let decodable = case
                    .items
                    .iter()
                    .filter(|it| it.behaviour != Behaviour::Malformed);
                assert_eq!(begun.len(), decodable.count());
            }
        }
    }
}

fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(EXPECTED) {
                print(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_record_is_handled_once_or_reported_and_order_is_kept(case in cases()) {
        silence_expected_panics();
        check(&case);
    }

    /// Whatever comes, it is answered or refused.
    #[test]
    fn no_event_makes_it_panic(
        bytes in proptest::collection::vec((0..2000_usize, 0x20..0x7f_u8), 1..4),
        case in cases(),
    ) {
        silence_expected_panics();
        let (text, _) = event(&case);
        let mut text = text.into_bytes();
        for (at, byte) in bytes {
            if let Some(it) = text.get_mut(at) {
                *it = byte;
            }
        }
        let Ok(event) = serde_json::from_slice::<BatchEvent>(&text) else {
            return Ok(());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        macro_rules! answered {
            ($layer:expr) => {{
                let handler = service_fn(|record| async move {
                    drop::<Record<_, _>>(record);
                    Ok::<_, &'static str>(())
                });
                let mut service = $layer.log_failures(false).layer(handler);
                let event = LambdaEvent::new(event.clone(), testing::context("52fdfc07"));
                drop(runtime.block_on(service.call(event)));
            }};
        }
        answered!(BatchLayer::<String>::sqs().format(Text));
        answered!(BatchLayer::<Value, _>::sqs_fifo().concurrency(2));
        answered!(BatchLayer::<Value, _>::kinesis().concurrency(2).deaggregate(true));
        answered!(BatchLayer::<powertools::batch::Change<Value>, _, _>::dynamodb().concurrency(2));
        answered!(BatchLayer::<Value, _>::kafka().concurrency(2));
    }
}
