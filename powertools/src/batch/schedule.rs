//! Which record is handled next.

use std::collections::{HashMap, HashSet, VecDeque, hash_map::Entry};

use serde_json::value::RawValue;

use super::{
    DecodeError, Source,
    source::{AfterFailure, Keys, Order},
};

/// Hands out the records of a batch in an order that its source allows.
///
/// Of what has been handed out, no two are of one group at the same time, and none is of a group or a
/// shard that a failure has stopped.
pub(super) struct Schedule<'r, S: Source> {
    source: &'r S,
    records: &'r [Box<RawValue>],
    order: Order,
    /// Whether records are handed out before others have been given back.
    is_concurrent: bool,
    next: usize,
    /// What the record before `next` was taken apart into.
    parts: VecDeque<Work<S>>,
    /// The groups of what is handed out, and what waits for its turn in them.
    groups: HashMap<u64, VecDeque<Work<S>>>,
    /// How many wait in all groups.
    waiting: usize,
    /// Whose turn has come.
    ready: VecDeque<Work<S>>,
    failed_groups: HashSet<u64>,
    failed_shards: HashSet<u64>,
    states: Vec<State>,
    /// How many parts of a record have not been handled.
    open_parts: HashMap<usize, usize>,
}

/// A record, or a part of one, that is to be handled.
pub(super) struct Work<S: Source> {
    pub(super) index: usize,
    pub(super) item: Item<S>,
    pub(super) keys: Keys,
}

pub(super) enum Item<S: Source> {
    Whole,
    Part(Box<S::Part>),
    /// It holds several records, but cannot be taken apart.
    Broken(Box<DecodeError>),
}

/// How many records may wait for others of their group while later ones are handled: one group that
/// nearly all belong to must not cost memory for all.
const LOOK_AHEAD: usize = 1000;

/// What has become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not been begun.
    Waiting,
    /// It has been begun, but is not wholly handled.
    Begun,
    Handled,
    Failed,
}

impl<'r, S: Source> Schedule<'r, S> {
    pub(super) fn new(source: &'r S, records: &'r [Box<RawValue>], concurrency: usize) -> Self {
        Self {
            source,
            records,
            order: source.order(),
            is_concurrent: concurrency > 1,
            next: 0,
            parts: VecDeque::new(),
            groups: HashMap::new(),
            waiting: 0,
            ready: VecDeque::new(),
            failed_groups: HashSet::new(),
            failed_shards: HashSet::new(),
            states: vec![State::Waiting; records.len()],
            open_parts: HashMap::new(),
        }
    }

    /// Returns a record that may be handled now, if there is one.
    pub(super) fn next(&mut self) -> Option<Work<S>> {
        let work = self.find()?;
        let state = &mut self.states[work.index];
        if *state == State::Waiting {
            *state = State::Begun;
        }
        Some(work)
    }

    fn find(&mut self) -> Option<Work<S>> {
        while let Some(work) = self.ready.pop_front() {
            if !self.is_stopped(work.keys) {
                return Some(work);
            }
            // It waits forever. Those behind it are to be looked at as well.
            self.release(work.keys);
        }
        while self.waiting < LOOK_AHEAD {
            let work = match self.parts.pop_front() {
                Some(part) => part,
                None => self.take()?,
            };
            if self.is_stopped(work.keys) {
                continue;
            }
            if self.is_concurrent && self.order != Order::Any {
                match self.groups.entry(work.keys.group) {
                    Entry::Occupied(mut group) => {
                        group.get_mut().push_back(work);
                        self.waiting += 1;
                        continue;
                    }
                    Entry::Vacant(group) => {
                        group.insert(VecDeque::new());
                    }
                }
            }
            return Some(work);
        }
        None
    }

    /// Takes the next record of the event, or the first of its parts.
    fn take(&mut self) -> Option<Work<S>> {
        loop {
            let index = self.next;
            let raw = self.records.get(index)?;
            self.next += 1;
            let item = match self.source.unpack(raw) {
                Ok(None) => Item::Whole,
                Err(error) => Item::Broken(Box::new(error)),
                Ok(Some(parts)) => {
                    self.open_parts.insert(index, parts.len());
                    if parts.is_empty() {
                        self.states[index] = State::Handled;
                    }
                    self.parts
                        .extend(parts.into_iter().map(|(part, keys)| Work {
                            index,
                            item: Item::Part(Box::new(part)),
                            keys,
                        }));
                    match self.parts.pop_front() {
                        Some(part) => return Some(part),
                        None => continue,
                    }
                }
            };
            let keys = if self.needs_keys() {
                self.source.keys(raw)
            } else {
                Keys::default()
            };
            return Some(Work { index, item, keys });
        }
    }

    /// To look for a record's keys takes time.
    fn needs_keys(&self) -> bool {
        match self.order {
            Order::Any => false,
            Order::Groups(after) => self.is_concurrent || after != AfterFailure::Continue,
        }
    }

    fn is_stopped(&self, keys: Keys) -> bool {
        self.failed_groups.contains(&keys.group) || self.failed_shards.contains(&keys.shard)
    }

    /// Takes back a record that has been handled.
    pub(super) fn handled(&mut self, index: usize, keys: Keys) {
        let is_whole = match self.open_parts.get_mut(&index) {
            None => true,
            Some(open) => {
                *open -= 1;
                *open == 0
            }
        };
        if is_whole && self.states[index] == State::Begun {
            self.states[index] = State::Handled;
        }
        self.release(keys);
    }

    /// Takes back a record that has failed.
    pub(super) fn failed(&mut self, index: usize, keys: Keys) {
        self.states[index] = State::Failed;
        match self.order {
            Order::Any | Order::Groups(AfterFailure::Continue) => {}
            Order::Groups(AfterFailure::SkipKey) => {
                self.failed_groups.insert(keys.group);
            }
            Order::Groups(AfterFailure::Stop) => {
                self.failed_shards.insert(keys.shard);
            }
        }
        self.release(keys);
    }

    /// Says that somebody else has a record that failed.
    pub(super) fn taken(&mut self, index: usize) {
        // Of a record that was taken apart, others may have failed for good or are not handled.
        if !self.open_parts.contains_key(&index) {
            self.states[index] = State::Handled;
        }
    }

    /// Lets the next of a group have its turn.
    fn release(&mut self, keys: Keys) {
        if let Entry::Occupied(mut group) = self.groups.entry(keys.group) {
            match group.get_mut().pop_front() {
                Some(next) => {
                    self.waiting -= 1;
                    self.ready.push_back(next);
                }
                None => {
                    group.remove();
                }
            }
        }
    }

    /// Returns whether a record is wholly handled.
    pub(super) fn is_handled(&self, index: usize) -> bool {
        self.states[index] == State::Handled
    }

    /// Returns whether all records are.
    pub(super) fn is_all_handled(&self) -> bool {
        self.unhandled().next().is_none()
    }

    /// Returns the records that are to be delivered again, in the order of the event.
    pub(super) fn unhandled(&self) -> impl Iterator<Item = (usize, State)> + '_ {
        let states = self.states.iter().copied().enumerate();
        states.filter(|(_, state)| *state != State::Handled)
    }
}
