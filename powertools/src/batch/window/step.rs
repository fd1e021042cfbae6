use std::fmt;

use lambda_runtime::Context;

use crate::{
    Invocation,
    batch::{KinesisRecord, Record},
};

/// What the handler of a [`WindowLayer`](super::super::WindowLayer) is called with: a record and the
/// state so far, or the end of the window. It returns the state that follows.
#[derive(Clone, Debug)]
pub enum WindowStep<T, State, M = KinesisRecord> {
    /// A record of the window.
    Record {
        /// The record.
        record: Record<T, M>,
        /// What the records before it have come to.
        state: State,
    },
    /// The window is over: what its records have come to is to be kept now.
    End(WindowEnd<State>),
}

impl<T, State, M> WindowStep<T, State, M> {
    /// Returns the context of the invocation.
    #[must_use]
    pub fn context(&self) -> &Context {
        match self {
            Self::Record { record, .. } => record.context(),
            Self::End(end) => end.invocation.context(),
        }
    }
}

/// The end of a window, of one shard.
#[derive(Clone)]
#[non_exhaustive]
pub struct WindowEnd<State> {
    /// What the records of the window have come to.
    pub state: State,
    /// The window.
    pub window: Window,
    /// Whether Lambda has ended it before its time, because the state has become too large. What
    /// follows until then comes with a state of its own, in the same window.
    pub is_early: bool,
    invocation: Invocation,
}

/// A window of time, of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// When it begins, as Lambda writes it: `2020-12-09T07:04:00Z`.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// The shard, such as `shardId-000000000006`.
    pub shard_id: String,
}

impl<State> WindowEnd<State> {
    /// Makes one of the running invocation, for tests; outside of one its context is empty.
    #[must_use]
    pub fn new(state: State, window: Window) -> Self {
        Self::of(state, window, false, Invocation::current_or_open(None))
    }

    pub(super) const fn of(
        state: State,
        window: Window,
        is_early: bool,
        invocation: Invocation,
    ) -> Self {
        Self {
            state,
            window,
            is_early,
            invocation,
        }
    }
}

impl<State: fmt::Debug> fmt::Debug for WindowEnd<State> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowEnd")
            .field("state", &self.state)
            .field("window", &self.window)
            .field("is_early", &self.is_early)
            .finish_non_exhaustive()
    }
}
