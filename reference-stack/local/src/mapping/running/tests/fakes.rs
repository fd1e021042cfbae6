//! A stream, a function and a queue in memory.

mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

pub(super) use self::stream::{Fault, Stream};
use super::super::{Running, Settings, spawn};
use crate::error::BoxError;
use crate::mapping::StartingPosition;
use crate::mapping::answer::Answer;
use crate::mapping::invoke::{InvokeError, Invoker};
use crate::mapping::on_failure::FailureSink;
use crate::mapping::time::Clock;

/// What a mapping deals with.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) starting_position: StartingPosition,
    pub(super) stream: Stream,
    pub(super) function: Function,
    pub(super) mailbox: Mailbox,
    destination: bool,
    clock: Clock,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let clock = Clock::of_tokio();
        Self {
            settings,
            starting_position: StartingPosition::TrimHorizon,
            stream: Stream::new(clock.clone()),
            function: Function::new(),
            mailbox: Mailbox::default(),
            destination: true,
            clock,
        }
    }

    pub(super) fn without_destination(&mut self) {
        self.destination = false;
    }

    pub(super) fn start(&self) -> Running {
        let sink = self.destination.then(|| self.mailbox.clone());
        let (stream, function) = (self.stream.clone(), self.function.clone());
        spawn(
            self.settings.clone(),
            self.starting_position,
            stream,
            function,
            sink,
            self.clock.clone(),
        )
    }

    /// Lets the stream, the function and the queue fail now and then, always in the same way for the same seed.
    pub(super) fn misbehave(&self, seed: u64) {
        let faults = Random(seed ^ 0x5DEE_CE66);
        self.stream.fail_at_random(faults);
        self.mailbox.fail((seed % 4) as usize);
        let mut random = Random(seed + 1);
        self.function.reply(move |records| match random.next() % 8 {
            0 => Reply::Error,
            1 => Reply::Throttled,
            2 => Reply::ServiceError,
            3 | 4 => {
                let failed = random.next() as usize % records.len();
                Reply::Report(vec![
                    records[records.len() - 1].clone(),
                    records[failed].clone(),
                ])
            }
            5 => Reply::Report(vec!["unknown".to_owned()]),
            _ => Reply::Success,
        });
    }
}

/// A small generator: xorshift.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// The sequence numbers of records, as texts.
pub(super) fn numbers(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// What a function does with an event.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Success,
    /// Reports these sequence numbers.
    Report(Vec<String>),
    Error,
    Throttled,
    TooLarge,
    ServiceError,
}

#[derive(Clone, Debug)]
pub(super) struct Function(Arc<FunctionState>);

type ReplyTo = dyn FnMut(&[String]) -> Reply + Send;

struct FunctionState {
    calls: watch::Sender<Vec<Vec<String>>>,
    time: Mutex<Duration>,
    reply: Mutex<Box<ReplyTo>>,
}

impl fmt::Debug for FunctionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionState")
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Function {
    fn new() -> Self {
        Self(Arc::new(FunctionState {
            calls: watch::Sender::default(),
            time: Mutex::default(),
            reply: Mutex::new(Box::new(|_| Reply::Success)),
        }))
    }

    pub(super) fn reply(&self, reply: impl FnMut(&[String]) -> Reply + Send + 'static) {
        *self.0.reply.lock().unwrap() = Box::new(reply);
    }

    pub(super) fn reply_in_turn(&self, replies: impl Into<VecDeque<Reply>>) {
        let mut replies = replies.into();
        self.reply(move |_| replies.pop_front().expect("a reply for each call"));
    }

    pub(super) fn take_time(&self, time: Duration) {
        *self.0.time.lock().unwrap() = time;
    }

    /// The records of each invocation.
    pub(super) fn calls(&self) -> Vec<Vec<String>> {
        self.0.calls.borrow().clone()
    }

    pub(super) async fn wait_for_calls(&self, count: usize) {
        self.0
            .calls
            .subscribe()
            .wait_for(|calls| calls.len() >= count)
            .await
            .unwrap();
    }
}

impl Invoker for Function {
    async fn invoke(&self, payload: Vec<u8>) -> Result<Answer, InvokeError> {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let records: Vec<String> = serde_json::from_value(event["Records"].clone()).unwrap();
        let reply = (self.0.reply.lock().unwrap())(&records);
        self.0.calls.send_modify(|calls| calls.push(records));
        let time = *self.0.time.lock().unwrap();
        tokio::time::sleep(time).await;
        let answer = Answer {
            status: 200,
            ..Answer::default()
        };
        match reply {
            Reply::Success => Ok(answer),
            Reply::Report(failures) => {
                let failures: Vec<_> = failures
                    .into_iter()
                    .map(|failure| json!({"itemIdentifier": failure}))
                    .collect();
                Ok(Answer {
                    payload: json!({"batchItemFailures": failures})
                        .to_string()
                        .into_bytes(),
                    ..answer
                })
            }
            Reply::Error => Ok(Answer {
                function_error: Some("Unhandled".to_owned()),
                ..answer
            }),
            Reply::Throttled => Err(InvokeError::Throttled),
            Reply::TooLarge => Err(InvokeError::TooLarge),
            Reply::ServiceError => Err(InvokeError::Service("connection refused".into())),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Mailbox(Arc<Mutex<MailboxState>>);

#[derive(Debug, Default)]
struct MailboxState {
    letters: Vec<Value>,
    failures: usize,
}

impl Mailbox {
    /// The next so many letters are refused.
    pub(super) fn fail(&self, times: usize) {
        self.0.lock().unwrap().failures = times;
    }

    pub(super) fn letters(&self) -> Vec<Value> {
        self.0.lock().unwrap().letters.clone()
    }
}

impl FailureSink for Mailbox {
    async fn send(&self, record: String) -> Result<(), BoxError> {
        let mut state = self.0.lock().unwrap();
        if state.failures > 0 {
            state.failures -= 1;
            return Err("the queue is down".into());
        }
        state.letters.push(serde_json::from_str(&record)?);
        Ok(())
    }
}
