//! Reading one shard, and giving its records to the function.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::batch::{Batch, Discarded, Others, Outcome, Step};
use super::event;
use super::invoke::{InvokeError, Invoker};
use super::on_failure::{self, FailureSink, Origin};
use super::running::{Control, Shared};
use super::settings::backoff;
use super::source::{Page, Position, Record, ShardSource, SourceError};
use super::status::Status;

/// Reads one shard to its end.
#[derive(Debug)]
pub(super) struct Poller<S, I, F> {
    shared: Arc<Shared<S, I, F>>,
    control: watch::Receiver<Control>,
    shard: String,
    /// Where the next iterator starts. It is behind the last record that was read, which is the checkpoint when nothing is
    /// under way.
    position: Position,
    iterator: Option<String>,
    /// Records before this time are older than the start of the mapping.
    skip_before: Option<Timestamp>,
    /// Records that were read and are in no batch yet.
    buffer: VecDeque<Record>,
    /// Whether the shard has no more records and never will.
    ended: bool,
    /// How often in a row the shard could not be read.
    errors: u32,
}

/// Why a poller ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The shard is closed, and all its records are done with.
    Finished,
    /// The mapping is stopped.
    Stopped,
}

/// The mapping is being stopped.
#[derive(Debug)]
struct Stopping;

impl<S: ShardSource, I: Invoker, F: FailureSink> Poller<S, I, F> {
    pub(super) fn new(
        shared: Arc<Shared<S, I, F>>,
        control: watch::Receiver<Control>,
        shard: String,
        position: Position,
    ) -> Self {
        Self {
            shared,
            control,
            shard,
            position,
            iterator: None,
            skip_before: None,
            buffer: VecDeque::new(),
            ended: false,
            errors: 0,
        }
    }

    /// Reads until the shard ends or the mapping is stopped. An invocation that is under way is waited for.
    pub(super) async fn run(mut self) -> Ended {
        match self.read_to_the_end().await {
            Ok(()) => Ended::Finished,
            Err(Stopping) => Ended::Stopped,
        }
    }

    async fn read_to_the_end(&mut self) -> Result<(), Stopping> {
        while let Some(batch) = self.gather().await? {
            self.process(&batch).await?;
        }
        Ok(())
    }

    /// The next batch; `None` at the end of the shard.
    async fn gather(&mut self) -> Result<Option<Vec<Record>>, Stopping> {
        let window = self.shared.settings.batch_window;
        let mut window_end = Instant::now() + window;
        loop {
            self.check()?;
            let now = Instant::now();
            if !self.buffer.is_empty() && (self.ended || self.is_full() || now >= window_end) {
                return Ok(Some(self.take_batch()));
            }
            if self.ended {
                return Ok(None);
            }
            if now >= window_end {
                window_end = now + window;
            }
            if let Some(mut pause) = self.fetch().await {
                if !self.buffer.is_empty() {
                    pause = pause.min(window_end - Instant::now());
                }
                // A change of the control is a reason to look at once.
                let _ = timeout(pause, self.control.changed()).await;
            }
        }
    }

    fn is_full(&self) -> bool {
        let settings = &self.shared.settings;
        self.buffer.len() >= settings.batch_size
            || event::payload_size(&self.buffer) >= settings.payload_limit
    }

    /// As many records as fit into an invocation, but one at least.
    fn take_batch(&mut self) -> Vec<Record> {
        let settings = &self.shared.settings;
        let mut size = 0;
        let fits = |record: &&Record| {
            size = event::payload_size_with(size, record);
            size <= settings.payload_limit
        };
        let count = self
            .buffer
            .iter()
            .take(settings.batch_size)
            .take_while(fits)
            .count();
        self.buffer.drain(..count.max(1)).collect()
    }

    /// Reads once; answers how long to wait until it makes sense to read again.
    async fn fetch(&mut self) -> Option<Duration> {
        let question = self.control.borrow_and_update().question;
        match self.page().await {
            Ok(page) => {
                self.errors = 0;
                self.ended = page.next.is_none();
                self.iterator = page.next;
                let found = !page.records.is_empty();
                if found {
                    self.take_in(page.records);
                } else if self.buffer.is_empty() && !page.more && !self.ended {
                    self.shared.board.quiet(&self.shard, question);
                }
                if found || self.ended {
                    None
                } else {
                    Some(self.shared.settings.poll_interval)
                }
            }
            Err(error) => {
                self.errors = self.errors.saturating_add(1);
                self.shared.board.error(&error);
                // Whatever it was: a new iterator at the same position loses nothing and repeats nothing.
                self.iterator = None;
                match error {
                    SourceError::Trimmed => self.position = Position::TrimHorizon,
                    SourceError::Gone => self.ended = true,
                    SourceError::Expired | SourceError::Other { .. } => {}
                }
                Some(backoff(self.errors))
            }
        }
    }

    async fn page(&mut self) -> Result<Page, SourceError> {
        let source = &self.shared.source;
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let now = self.shared.clock.now();
                let iterator = source.iterator(&self.shard, &self.position).await?;
                match self.position {
                    // Another `Latest` would leave out what comes in between.
                    Position::Latest => self.position = Position::Since(now),
                    Position::Since(start) => self.skip_before = Some(start),
                    Position::TrimHorizon | Position::After(_) => {}
                }
                self.iterator.insert(iterator)
            }
        };
        let room = self
            .shared
            .settings
            .batch_size
            .saturating_sub(self.buffer.len());
        let limit = u32::try_from(room).unwrap_or(S::PAGE).clamp(1, S::PAGE);
        source.records(&self.shard, iterator, limit).await
    }

    fn take_in(&mut self, mut records: Vec<Record>) {
        if let Some(last) = records.last() {
            self.position = Position::After(last.sequence_number.clone());
        }
        if let Some(start) = self.skip_before {
            // DynamoDB knows the second only.
            records.retain(|record| record.arrived.as_second() >= start.as_second());
            if records.is_empty() {
                return;
            }
            self.skip_before = None;
        }
        self.shared
            .board
            .update_shard(&self.shard, |status, shard| {
                status.records_read += records.len() as u64;
                shard.pending += records.len();
            });
        self.buffer.extend(records);
    }

    /// Invokes the function until all records of a batch are done with.
    async fn process(&mut self, records: &[Record]) -> Result<(), Stopping> {
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch::new(
            shared.settings.policy,
            records.iter().map(|record| record.arrived).collect(),
        );
        let mut last = None;
        while let Some(step) = batch.step(shared.clock.now()) {
            match step {
                Step::GiveUp(discarded) => {
                    let answer = last.as_ref().filter(|_| discarded.invocations > 0);
                    self.give_up(records, &discarded, answer).await?;
                }
                Step::Invoke(range) => {
                    self.check()?;
                    let payload = event::payload(&records[range.clone()]);
                    let outcome = match shared.invoker.invoke(payload).await {
                        Ok(answer) => {
                            let reports_failures = shared.settings.reports_failures;
                            let outcome = answer.outcome(records, range, reports_failures);
                            shared.board.invoked(outcome);
                            last = Some(answer);
                            outcome
                        }
                        Err(error) => {
                            shared.board.unreached(&error);
                            if matches!(error, InvokeError::TooLarge) {
                                // Halves may get through, and a record that never will must not block the shard.
                                last = None;
                                Outcome::Failure
                            } else {
                                Outcome::NotInvoked
                            }
                        }
                    };
                    let progress = batch.record(outcome);
                    self.done_with(records, progress.acknowledged, |status, records| {
                        status.records_delivered += records;
                    });
                    if let Others::Again(failures) = progress.others {
                        self.pause(backoff(failures)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells the destination about records. As long as it does not hear, the shard stands still: nothing is lost.
    async fn give_up(
        &mut self,
        records: &[Record],
        discarded: &Discarded,
        answer: Option<&Answer>,
    ) -> Result<(), Stopping> {
        let shared = Arc::clone(&self.shared);
        if let Some(sink) = &shared.sink {
            let origin = Origin {
                kind: S::KIND,
                stream_arn: &shared.settings.stream_arn,
                shard: &self.shard,
                function_arn: &shared.settings.function_arn,
            };
            let record = on_failure::record(origin, records, discarded, answer, shared.clock.now());
            let mut failures = 0_u32;
            while let Err(error) = sink.send(record.clone()).await {
                failures = failures.saturating_add(1);
                shared.board.error(&*error);
                self.pause(backoff(failures)).await?;
            }
        }
        self.done_with(records, discarded.records.clone(), |status, records| {
            status.records_discarded += records;
            status.failure_records += u64::from(shared.sink.is_some());
        });
        Ok(())
    }

    /// Moves the checkpoint behind these records.
    fn done_with(
        &self,
        records: &[Record],
        range: Range<usize>,
        count: impl FnOnce(&mut Status, u64),
    ) {
        let Some(last) = records[range.clone()].last() else {
            return;
        };
        self.shared
            .board
            .update_shard(&self.shard, |status, shard| {
                count(status, range.len() as u64);
                shard.pending -= range.len();
                shard.checkpoint = Some(last.sequence_number.clone());
            });
    }

    fn check(&self) -> Result<(), Stopping> {
        let stopping = self.control.borrow().stopping || self.control.has_changed().is_err();
        if stopping { Err(Stopping) } else { Ok(()) }
    }

    async fn pause(&mut self, time: Duration) -> Result<(), Stopping> {
        match timeout(time, self.control.wait_for(|control| control.stopping)).await {
            Ok(_) => Err(Stopping),
            Err(_elapsed) => Ok(()),
        }
    }
}
