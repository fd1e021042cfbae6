//! A mapping at work: one task that finds shards, and one for each of them.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;

use super::config::StartingPosition;
use super::error::MappingError;
use super::invoke::Invoker;
use super::on_failure::FailureSink;
use super::poller::{Ended, Poller};
use super::settings::{Settings, backoff};
use super::source::{Position, Shard, ShardSource, SourceError};
use super::status::{Board, Status};
use super::time::Clock;

/// What the tasks of a mapping are told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    /// To come to an end.
    pub(super) stopping: bool,
    /// To say whether everything is done; each such question has the next number.
    pub(super) question: u64,
}

/// What the tasks of a mapping have in common.
#[derive(Debug)]
pub(super) struct Shared<S, I, F> {
    pub(super) settings: Settings,
    pub(super) source: S,
    pub(super) invoker: I,
    pub(super) sink: Option<F>,
    pub(super) clock: Clock,
    pub(super) board: Board,
}

/// A started [`Mapping`](super::Mapping). Dropping it ends its tasks at once, also in the middle of an invocation;
/// [`stop`](Self::stop) does so in good order.
#[derive(Debug)]
#[must_use = "dropping it stops the mapping"]
pub struct Running {
    control: watch::Sender<Control>,
    status: watch::Receiver<Status>,
    supervisor: Task,
}

impl Running {
    /// What has been done so far.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether it has ended without having been told to: a task of it panicked.
    pub fn has_ended(&self) -> bool {
        self.supervisor.0.is_finished()
    }

    /// Waits until the status is as wanted.
    ///
    /// # Errors
    /// When the mapping ends before that.
    pub async fn wait_until(
        &self,
        condition: impl FnMut(&Status) -> bool,
    ) -> Result<Status, MappingError> {
        let mut status = self.status.clone();
        let reached = status
            .wait_for(condition)
            .await
            .map_err(|_| MappingError::Stopped)?;
        Ok(reached.clone())
    }

    /// Waits until every record that was in the stream when this was called is delivered or given up.
    ///
    /// # Errors
    /// When the mapping ends before that.
    pub async fn settled(&self) -> Result<Status, MappingError> {
        let mut question = 0;
        self.control.send_modify(|control| {
            control.question += 1;
            question = control.question;
        });
        self.wait_until(|status| status.is_settled(question)).await
    }

    /// Ends the mapping: no further invocation begins, those under way are waited for. Answers what was done in all.
    pub async fn stop(mut self) -> Status {
        self.control.send_modify(|control| control.stopping = true);
        if let Err(error) = (&mut self.supervisor.0).await {
            rethrow(error);
        }
        self.status()
    }
}

/// A task that does not outlive its handle.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the tasks of a mapping.
pub(super) fn spawn<S: ShardSource, I: Invoker, F: FailureSink>(
    settings: Settings,
    start: StartingPosition,
    source: S,
    invoker: I,
    sink: Option<F>,
    clock: Clock,
) -> Running {
    let (board, status) = watch::channel(Status::default());
    let (control, controlled) = watch::channel(Control::default());
    let supervisor = Supervisor {
        shared: Arc::new(Shared {
            settings,
            source,
            invoker,
            sink,
            clock,
            board: Board(board),
        }),
        control: controlled,
        start: Some(start),
        shards: BTreeMap::new(),
        pollers: JoinSet::new(),
    };
    Running {
        control,
        status,
        supervisor: Task(tokio::spawn(supervisor.run())),
    }
}

/// Finds shards and has each of them read once all its parents are done with.
#[derive(Debug)]
struct Supervisor<S, I, F> {
    shared: Arc<Shared<S, I, F>>,
    control: watch::Receiver<Control>,
    /// Until the shards have been listed for the first time.
    start: Option<StartingPosition>,
    shards: BTreeMap<String, State>,
    /// Dropping the set ends the tasks in it.
    pollers: JoinSet<(String, Ended)>,
}

#[derive(Debug)]
enum State {
    Waiting {
        parents: Vec<String>,
        position: Position,
    },
    Running,
    Finished,
}

impl<S: ShardSource, I: Invoker, F: FailureSink> Supervisor<S, I, F> {
    async fn run(mut self) {
        let mut errors = 0_u32;
        while !self.control.borrow().stopping {
            let question = self.control.borrow_and_update().question;
            let shared = Arc::clone(&self.shared);
            let pause = match shared.source.shards().await {
                Ok(shards) => {
                    errors = 0;
                    self.take_in(shards);
                    self.start_pollers();
                    let waiting = self.shards.keys().cloned().collect::<Vec<_>>();
                    shared.board.update(|status| {
                        for shard in waiting {
                            status.shards.entry(shard).or_default();
                        }
                        status.listed = question;
                    });
                    shared.settings.discovery_interval
                }
                Err(error) => {
                    errors = errors.saturating_add(1);
                    shared.board.error(&error);
                    if matches!(error, SourceError::Gone) {
                        self.forget_finished();
                    }
                    backoff(errors)
                }
            };
            tokio::select! {
                Some(ended) = self.pollers.join_next() => self.ended(ended),
                changed = timeout(pause, self.control.changed()) => {
                    if matches!(changed, Ok(Err(_))) {
                        return;
                    }
                }
            }
        }
        while let Some(ended) = self.pollers.join_next().await {
            self.ended(ended);
        }
    }

    /// The stream is gone. Should there be another of its name, its shards are called the same.
    fn forget_finished(&mut self) {
        self.shards
            .retain(|_, state| !matches!(state, State::Finished));
        self.shared
            .board
            .update(|status| status.shards.retain(|_, shard| !shard.finished));
    }

    fn take_in(&mut self, shards: Vec<Shard>) {
        let start = self.start.take();
        for Shard { id, parents } in shards {
            self.shards.entry(id).or_insert_with(|| match start {
                // What the parents still hold came before the start.
                Some(StartingPosition::Latest) => State::Waiting {
                    parents: Vec::new(),
                    position: Position::Latest,
                },
                Some(StartingPosition::TrimHorizon) | None => State::Waiting {
                    parents,
                    position: Position::TrimHorizon,
                },
            });
        }
    }

    fn start_pollers(&mut self) {
        // A parent that is not known has left the stream, and its records with it.
        let is_done =
            |shard: &String| matches!(self.shards.get(shard), None | Some(State::Finished));
        let is_ready = |state: &State| matches!(state, State::Waiting { parents, .. } if parents.iter().all(is_done));
        let ready = self
            .shards
            .iter()
            .filter(|(_, state)| is_ready(state))
            .map(|(shard, _)| shard.clone());
        for shard in ready.collect::<Vec<_>>() {
            let state = self.shards.insert(shard.clone(), State::Running);
            let Some(State::Waiting { position, .. }) = state else {
                continue;
            };
            let poller = Poller::new(
                Arc::clone(&self.shared),
                self.control.clone(),
                shard.clone(),
                position,
            );
            self.pollers
                .spawn(async move { (shard, poller.run().await) });
        }
    }

    fn ended(&mut self, ended: Result<(String, Ended), JoinError>) {
        let (shard, ended) = ended.unwrap_or_else(|error| rethrow(error));
        if ended == Ended::Finished {
            self.shared
                .board
                .update_shard(&shard, |_, status| status.finished = true);
            self.shards.insert(shard, State::Finished);
        }
    }
}

fn rethrow(error: JoinError) -> ! {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // Only we abort tasks, and then nobody is left to wait for them.
        Err(error) => panic!("a task of an event source mapping was cancelled: {error}"),
    }
}

#[cfg(test)]
mod tests;
