//! A batch, from its event to its answer.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use futures_util::{FutureExt, StreamExt, future::OptionFuture, stream::FuturesUnordered};
use serde_json::value::RawValue;
use tower_service::Service;
use tracing::{Instrument, Span, error_span, warn};

use super::{
    BatchError, BatchEvent, BatchResponse, ClassifyFailure, Decode, DecodeError, Disposition,
    FailedRecord, ItemIdentifier, MAX_FAILURES, Record, RecordError, RecordFailure, Settlement,
    Source, UndecodableRecord,
    config::Config,
    deadline::Deadline,
    metrics,
    schedule::{Item, Schedule, State, Work},
    source::{Order, Parsed, TARGET},
};
use crate::Invocation;

/// Handles a batch.
pub(super) async fn run<Inner, T, S, F, C>(
    inner: Inner,
    event: BatchEvent,
    invocation: Invocation,
    config: Arc<Config<T, S, F, C>>,
) -> Result<BatchResponse, BatchError<Inner::Error>>
where
    Inner: Service<Record<T, S::Record>> + Clone,
    Inner::Error: fmt::Debug,
    S: Source,
    F: Decode<S, T>,
    C: ClassifyFailure<Inner::Error>,
{
    let records = check::<S, _>(event, config.settings.refuse_empty)?;
    let batch = Batch {
        config: &config,
        records: &records,
        invocation: &invocation,
    };
    batch.handle(inner).await
}

/// Takes the records out of an event that is of the right kind.
pub(super) fn check<S: Source, E>(
    event: BatchEvent,
    refuse_empty: bool,
) -> Result<Vec<Box<RawValue>>, BatchError<E>> {
    let is_ours = S::is_source_of(&event) && !(refuse_empty && event.is_empty());
    match event.records {
        Some(records) if is_ours => Ok(records.list),
        _ => Err(BatchError::UnexpectedBatchType { expected: S::NAME }),
    }
}

/// What all records of a batch have in common.
pub(super) struct Batch<'r, T, S: Source, F, C> {
    pub(super) config: &'r Config<T, S, F, C>,
    pub(super) records: &'r [Box<RawValue>],
    pub(super) invocation: &'r Invocation,
}

/// A record that has been given back by its handler.
pub(super) struct Done<S: Source, R, E> {
    pub(super) work: Work<S>,
    pub(super) fate: Fate<R, E>,
}

/// What became of a record.
pub(super) enum Fate<R, E> {
    /// With what its handler answered, if it was called.
    Handled(Option<R>),
    Failed(RecordError<E>, Disposition),
}

/// What is known of a batch while it is handled.
pub(super) struct Progress<'r, S: Source, E> {
    pub(super) schedule: Schedule<'r, S>,
    failures: Vec<RecordFailure<E>>,
    /// What a sink is to be given at the end.
    deferred: Vec<(usize, Disposition)>,
    pub(super) deadline: Deadline,
    /// The moment by which a sink is to be done.
    last_moment: Deadline,
}

impl<'r, T, S, F, C> Batch<'r, T, S, F, C>
where
    S: Source,
{
    pub(super) fn begin<E>(&self) -> Progress<'r, S, E> {
        let settings = &self.config.settings;
        let now = (settings.now)();
        if settings.metrics {
            let arrival = self.records.last().and_then(|record| S::arrival(record));
            metrics::begin(self.records.len(), arrival, now);
        }
        let context = self.invocation.context();
        let concurrency = settings.concurrency.get();
        Progress {
            schedule: Schedule::new(&self.config.source, self.records, concurrency),
            failures: Vec::new(),
            deferred: Vec::new(),
            deadline: Deadline::new(context, settings.margin, now),
            last_moment: Deadline::new(context, settings.margin / 4, now),
        }
    }

    async fn handle<Inner>(&self, inner: Inner) -> Result<BatchResponse, BatchError<Inner::Error>>
    where
        Inner: Service<Record<T, S::Record>> + Clone,
        Inner::Error: fmt::Debug,
        F: Decode<S, T>,
        C: ClassifyFailure<Inner::Error>,
    {
        let mut progress = self.begin();
        match self.config.settings.concurrency.get() {
            1 => self.one_by_one(inner, &mut progress).await,
            concurrency => self.side_by_side(inner, concurrency, &mut progress).await,
        }
        let failures = self.end(progress).await?;
        Ok(BatchResponse::new(failures))
    }

    /// Returns the records that are to be delivered again.
    pub(super) async fn end<E: fmt::Debug>(
        &self,
        mut progress: Progress<'_, S, E>,
    ) -> Result<Vec<ItemIdentifier>, BatchError<E>> {
        self.tell_of_unhandled(&mut progress);
        let settled = self.settle(&progress.deferred);
        for index in progress
            .last_moment
            .limit(settled)
            .await
            .unwrap_or_default()
        {
            progress.schedule.taken(index);
        }
        let unhandled = progress.schedule.unhandled();
        let unhandled: Vec<_> = unhandled.map(|(index, _)| index).collect();
        self.report(&unhandled, progress.failures)
    }

    async fn one_by_one<Inner>(&self, inner: Inner, progress: &mut Progress<'_, S, Inner::Error>)
    where
        Inner: Service<Record<T, S::Record>> + Clone,
        Inner::Error: fmt::Debug,
        F: Decode<S, T>,
        C: ClassifyFailure<Inner::Error>,
    {
        while !progress.deadline.is_over()
            && let Some(work) = progress.schedule.next()
        {
            let handled = pin!(self.handle_one(inner.clone(), work));
            let Some(done) = progress.deadline.limit(handled).await else {
                break;
            };
            self.note(progress, done);
        }
    }

    async fn side_by_side<Inner>(
        &self,
        inner: Inner,
        concurrency: usize,
        progress: &mut Progress<'_, S, Inner::Error>,
    ) where
        Inner: Service<Record<T, S::Record>> + Clone,
        Inner::Error: fmt::Debug,
        F: Decode<S, T>,
        C: ClassifyFailure<Inner::Error>,
    {
        let mut running = FuturesUnordered::new();
        let mut next = Box::pin(OptionFuture::default());
        loop {
            while running.len() < concurrency
                && !progress.deadline.is_over()
                && let Some(work) = progress.schedule.next()
            {
                next.set(Some(self.handle_one(inner.clone(), work)).into());
                // Where no other is kept waiting by that, it may be done without having to wait.
                if running.is_empty()
                    && let Poll::Ready(Some(done)) = poll_once(next.as_mut()).await
                {
                    self.note(progress, done);
                } else {
                    running.push(mem::replace(&mut next, Box::pin(OptionFuture::default())));
                }
            }
            match progress.deadline.limit(running.next()).await.flatten() {
                Some(Some(done)) => {
                    self.note(progress, done);
                }
                // All are done, or the time is over.
                Some(None) | None => break,
            }
        }
    }

    /// Handles a record, and decides what is to become of it if it fails.
    pub(super) async fn handle_one<Inner>(
        &self,
        inner: Inner,
        mut work: Work<S>,
    ) -> Done<S, Inner::Response, Inner::Error>
    where
        Inner: Service<Record<T, S::Record>>,
        Inner::Error: fmt::Debug,
        F: Decode<S, T>,
        C: ClassifyFailure<Inner::Error>,
    {
        let mut span = Span::none();
        let item = mem::replace(&mut work.item, Item::Whole);
        let result = {
            // Pinned here: it is large, and would be moved with every future around it.
            let attempt = pin!(self.attempt(inner, work.index, item, &mut span));
            // What a handler leaves behind when it panics is dropped with its clone of the service.
            AssertUnwindSafe(attempt).catch_unwind().await
        };
        let error = match result {
            Ok(Ok(response)) => {
                let fate = Fate::Handled(response);
                return Done { work, fate };
            }
            Ok(Err(error)) => error,
            Err(panic) => RecordError::Panicked {
                message: message(&*panic),
            },
        };
        self.tell_of_failure(&span, &error);
        let disposition = self.classify(&error);
        let fate = if self.is_offered_at_once(&disposition)
            && self.offer(work.index, &disposition).instrument(span).await
        {
            Fate::Handled(None)
        } else {
            Fate::Failed(error, disposition)
        };
        Done { work, fate }
    }

    /// Decodes a record and calls the handler with it.
    async fn attempt<Inner>(
        &self,
        mut inner: Inner,
        index: usize,
        item: Item<S>,
        span: &mut Span,
    ) -> Result<Option<Inner::Response>, RecordError<Inner::Error>>
    where
        Inner: Service<Record<T, S::Record>>,
        F: Decode<S, T>,
    {
        let raw = &*self.records[index];
        let is_whole = matches!(item, Item::Whole);
        let parsed = match item {
            Item::Whole => S::parse(raw),
            Item::Part(part) => Ok(S::parse_part(*part)),
            Item::Broken(error) => Err(*error),
        };
        let decoded = match parsed {
            Ok(Parsed { record, body }) => {
                *span = S::span(&record);
                let payload = self.config.format.decode(body).await;
                payload.map(|payload| Record::of(payload, record, self.invocation.clone()))
            }
            Err(error) => {
                let identifier = S::identify(raw);
                let identifier = identifier.as_ref().map(tracing::field::display);
                *span = error_span!(target: TARGET, "record", identifier, index);
                Err(error)
            }
        };
        let record = match decoded {
            Ok(record) => record,
            Err(error) => return self.undecodable(raw, error).await.map(|()| None),
        };
        #[cfg(feature = "trace")]
        self.connect(span, &record);
        let handler = async {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(record).await
        };
        let response = handler.instrument(span.clone()).await;
        let response = response.map_err(RecordError::Handler)?;
        if F::AFTER_SUCCESS
            && is_whole
            && let Ok(Parsed { body, .. }) = S::parse(raw)
        {
            self.config.format.after_success(body).await;
        }
        Ok(Some(response))
    }

    async fn undecodable<E>(
        &self,
        raw: &RawValue,
        error: DecodeError,
    ) -> Result<(), RecordError<E>> {
        let result = match &self.config.settings.undecodable {
            Some(handler) => {
                let record = UndecodableRecord {
                    error,
                    identifier: S::identify(raw),
                    raw: raw.to_owned(),
                };
                handler(record).await
            }
            None => Err(error),
        };
        result.map_err(RecordError::Decode)
    }

    /// Makes the record's span a part of the trace that the record came with.
    #[cfg(feature = "trace")]
    fn connect(&self, span: &Span, record: &Record<T, S::Record>) {
        use crate::trace::SpanExt;

        if span.is_disabled() {
            return;
        }
        let header = match &self.config.trace_header {
            Some(find) => find(record).and_then(|header| header.parse().ok()),
            None => S::trace_header(&record.source).and_then(|header| header.parse().ok()),
        };
        if let Some(header) = header {
            span.continue_trace(&header);
        }
    }

    fn tell_of_failure<E: fmt::Debug>(&self, span: &Span, error: &RecordError<E>) {
        #[cfg(feature = "trace")]
        crate::trace::SpanExt::record_outcome(span, crate::classify::Outcome::Fault);
        if self.config.settings.log_failures {
            span.in_scope(|| warn!(?error, "a record of the batch failed"));
        }
    }

    /// Decides what is to become of a record. Who panics over it has not decided.
    fn classify<E>(&self, error: &RecordError<E>) -> Disposition
    where
        C: ClassifyFailure<E>,
    {
        let classify = AssertUnwindSafe(|| self.config.classify.classify(error));
        catch_unwind(classify).unwrap_or(Disposition::Retry)
    }

    /// Where order is kept, the next of a group waits to know whether somebody else has this one.
    fn is_offered_at_once(&self, disposition: &Disposition) -> bool {
        matches!(disposition, Disposition::GiveUp { .. })
            && self.config.source.order() != Order::Any
            && self.config.settings.sink.is_some()
    }

    /// Offers the sink one record, and returns whether it has taken it.
    async fn offer(&self, index: usize, disposition: &Disposition) -> bool {
        let failed = [FailedRecord::new(self.records[index].get(), disposition)];
        self.give(&failed).await.first() == Some(&Settlement::Taken)
    }

    /// Gives the sink what is not simply to be tried again, and returns what it has taken.
    async fn settle(&self, deferred: &[(usize, Disposition)]) -> Vec<usize> {
        if deferred.is_empty() {
            return Vec::new();
        }
        let failed: Vec<_> = deferred
            .iter()
            .map(|(index, disposition)| FailedRecord::new(self.records[*index].get(), disposition))
            .collect();
        let settled = self.give(&failed).await;
        let taken = deferred.iter().zip(settled);
        taken
            .filter(|(_, settlement)| *settlement == Settlement::Taken)
            .map(|((index, _), _)| *index)
            .collect()
    }

    /// Asks the sink. One that panics has taken nothing, and does not cost the others their answer.
    async fn give(&self, failed: &[FailedRecord<'_>]) -> Vec<Settlement> {
        let Some(sink) = &self.config.settings.sink else {
            return Vec::new();
        };
        let settled = async { sink.settle(failed).await };
        let settled = AssertUnwindSafe(settled).catch_unwind().await;
        settled.unwrap_or_else(|panic| {
            warn!(
                message = message(&*panic),
                records = failed.len(),
                "the failure sink of the batch panicked"
            );
            Vec::new()
        })
    }

    /// Takes back a record, and returns what its handler answered.
    pub(super) fn note<R, E>(
        &self,
        progress: &mut Progress<'_, S, E>,
        done: Done<S, R, E>,
    ) -> Option<R> {
        let Work { index, keys, .. } = done.work;
        let (error, disposition) = match done.fate {
            Fate::Handled(response) => {
                progress.schedule.handled(index, keys);
                return response;
            }
            Fate::Failed(error, disposition) => (error, disposition),
        };
        progress.schedule.failed(index, keys);
        self.keep(&mut progress.failures, index, error);
        if disposition != Disposition::Retry
            && self.config.settings.sink.is_some()
            && !self.is_offered_at_once(&disposition)
        {
            progress.deferred.push((index, disposition));
        }
        None
    }

    /// Keeps the first failures.
    fn keep<E>(&self, failures: &mut Vec<RecordFailure<E>>, index: usize, error: RecordError<E>) {
        if failures.len() < MAX_FAILURES {
            failures.push(RecordFailure {
                index,
                identifier: S::identify(&self.records[index]),
                error,
            });
        }
    }

    /// What was not begun, or was cut off, has told nothing itself.
    fn tell_of_unhandled<E>(&self, progress: &mut Progress<'_, S, E>) {
        let Progress {
            schedule, failures, ..
        } = progress;
        let mut waiting = 0_usize;
        for (index, state) in schedule.unhandled() {
            match state {
                State::Begun => {
                    self.tell_of_cut_off(index);
                    self.keep(failures, index, RecordError::CutOff);
                }
                State::Waiting => waiting += 1,
                State::Handled | State::Failed => {}
            }
        }
        if waiting > 0 && self.config.settings.log_failures {
            warn!(records = waiting, "records of the batch were not handled");
        }
    }

    fn tell_of_cut_off(&self, index: usize) {
        if self.config.settings.log_failures {
            let identifier = S::identify(&self.records[index]);
            let identifier = identifier.as_ref().map(tracing::field::display);
            warn!(
                identifier,
                index, "a record of the batch was cut off: the deadline is near"
            );
        }
    }

    /// Names the records that are to be delivered again.
    fn report<E>(
        &self,
        unhandled: &[usize],
        mut failures: Vec<RecordFailure<E>>,
    ) -> Result<Vec<ItemIdentifier>, BatchError<E>> {
        if self.config.settings.metrics {
            metrics::end(unhandled.len());
        }
        if self.config.settings.raise
            && !unhandled.is_empty()
            && unhandled.len() == self.records.len()
        {
            failures.sort_by_key(|failure| failure.index);
            return Err(BatchError::AllFailed {
                records: unhandled.len(),
                failures,
            });
        }
        unhandled
            .iter()
            .map(|&index| {
                S::identify(&self.records[index]).ok_or(BatchError::Unidentified { index })
            })
            .collect()
    }
}

/// Polls a future, and returns what that has come to.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Finds what a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("no message").to_owned()
}
