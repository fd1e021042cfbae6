//! A stream in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use jiff::Timestamp;

use super::Random;
use crate::mapping::source::{Kind, Page, Position, Record, Shard, ShardSource, SourceError};
use crate::mapping::time::Clock;

/// What a stream can fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    List,
    Iterator,
    Records,
}

#[derive(Clone, Debug)]
pub(in super::super) struct Stream(Arc<Mutex<StreamState>>);

#[derive(Debug)]
struct StreamState {
    clock: Clock,
    shards: BTreeMap<String, ShardState>,
    is_deleted: bool,
    faults: Vec<Fault>,
    /// Iterators of older generations have expired.
    generation: usize,
    /// How many pages are empty although there are records.
    empty_pages: usize,
    knows_times: bool,
    random: Option<Random>,
    alive: Arc<()>,
}

#[derive(Debug, Default)]
struct ShardState {
    parents: Vec<String>,
    records: Vec<(u64, Timestamp)>,
    /// How many records have left the stream.
    trimmed: usize,
    closed: bool,
}

impl Stream {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(StreamState {
            clock,
            shards: BTreeMap::new(),
            is_deleted: false,
            faults: Vec::new(),
            generation: 0,
            empty_pages: 0,
            knows_times: true,
            random: None,
            alive: Arc::default(),
        })))
    }

    /// Calls fail, and iterators expire, now and then.
    pub(super) fn fail_at_random(&self, random: Random) {
        self.state().random = Some(random);
    }

    fn state(&self) -> MutexGuard<'_, StreamState> {
        self.0.lock().unwrap()
    }

    pub(in super::super) fn create(&self, shard: &str) {
        self.create_child(shard, &[]);
    }

    pub(in super::super) fn create_child(&self, shard: &str, parents: &[&str]) {
        let parents = parents.iter().map(|&parent| parent.to_owned()).collect();
        let mut state = self.state();
        state.is_deleted = false;
        state.shards.insert(
            shard.to_owned(),
            ShardState {
                parents,
                ..ShardState::default()
            },
        );
    }

    pub(in super::super) fn put(&self, shard: &str, records: impl IntoIterator<Item = u64>) {
        let mut state = self.state();
        let now = state.clock.now();
        state.is_deleted = false;
        state
            .shards
            .entry(shard.to_owned())
            .or_default()
            .records
            .extend(records.into_iter().map(|record| (record, now)));
    }

    pub(in super::super) fn close(&self, shard: &str) {
        self.state().shards.get_mut(shard).unwrap().closed = true;
    }

    /// The stream is gone with all its shards, until there is one again.
    pub(in super::super) fn delete(&self) {
        let mut state = self.state();
        state.shards.clear();
        state.is_deleted = true;
    }

    pub(in super::super) fn remove(&self, shard: &str) {
        self.state().shards.remove(shard).unwrap();
    }

    /// The first records leave the stream.
    pub(in super::super) fn trim(&self, shard: &str, records: usize) {
        self.state().shards.get_mut(shard).unwrap().trimmed = records;
    }

    pub(in super::super) fn expire_iterators(&self) {
        self.state().generation += 1;
    }

    /// The next so many pages are empty although there are records, as real streams have it.
    pub(in super::super) fn lag(&self, pages: usize) {
        self.state().empty_pages = pages;
    }

    /// The next call of this kind fails.
    pub(in super::super) fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Whether iterators can start at a time.
    pub(in super::super) fn start_at_times(&self, knows_times: bool) {
        self.state().knows_times = knows_times;
    }

    /// Is gone when nobody holds the stream any more.
    pub(in super::super) fn alive(&self) -> Weak<()> {
        Arc::downgrade(&self.state().alive)
    }
}

impl StreamState {
    fn check(&mut self, call: Fault) -> Result<(), SourceError> {
        let at_random = self.random.as_mut().map_or(1, |random| random.next() % 5);
        if at_random == 0 && call == Fault::Records {
            self.generation += 1;
        }
        match self.faults.iter().position(|fault| *fault == call) {
            Some(fault) => drop(self.faults.remove(fault)),
            None if at_random == 4 => {}
            None => return Ok(()),
        }
        Err(SourceError::other("read")("the source is down"))
    }
}

impl ShardSource for Stream {
    const KIND: Kind = Kind::Kinesis;
    const PAGE: u32 = 12;

    async fn shards(&self) -> Result<Vec<Shard>, SourceError> {
        let mut state = self.state();
        state.check(Fault::List)?;
        if state.is_deleted {
            return Err(SourceError::Gone);
        }
        let shards = state.shards.iter();
        Ok(shards
            .map(|(id, shard)| Shard {
                id: id.clone(),
                parents: shard.parents.clone(),
            })
            .collect())
    }

    async fn iterator(&self, shard: &str, position: &Position) -> Result<String, SourceError> {
        let mut state = self.state();
        state.check(Fault::Iterator)?;
        let (generation, knows_times) = (state.generation, state.knows_times);
        let shard = state.shards.get(shard).ok_or(SourceError::Gone)?;
        let index = match position {
            Position::Latest => shard.records.len(),
            Position::Since(time) if knows_times => {
                shard.records.partition_point(|(_, arrived)| arrived < time)
            }
            Position::TrimHorizon | Position::Since(_) => shard.trimmed,
            Position::After(number) => {
                let found = shard
                    .records
                    .iter()
                    .position(|(record, _)| record.to_string() == *number);
                found.expect("the record was read") + 1
            }
        };
        Ok(format!("{generation}/{index}"))
    }

    async fn records(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, SourceError> {
        let mut state = self.state();
        state.check(Fault::Records)?;
        let (generation, index) = iterator.split_once('/').unwrap();
        if generation != state.generation.to_string() {
            return Err(SourceError::Expired);
        }
        assert!((1..=Self::PAGE).contains(&limit));
        let index: usize = index.parse().unwrap();
        if state.empty_pages > 0 {
            state.empty_pages -= 1;
            return Ok(Page {
                next: Some(iterator.to_owned()),
                more: true,
                ..Page::default()
            });
        }
        let shard = state.shards.get(shard).ok_or(SourceError::Gone)?;
        if index < shard.trimmed {
            return Err(SourceError::Trimmed);
        }
        let end = shard.records.len().min(index + limit as usize);
        let records = shard.records[index..end].iter();
        let records = records.map(|(number, arrived)| Record {
            arrived: *arrived,
            ..Record::for_test(&number.to_string())
        });
        let is_end = shard.closed && end == shard.records.len();
        let next = (!is_end).then(|| format!("{generation}/{end}"));
        Ok(Page {
            records: records.collect(),
            next,
            more: end < shard.records.len(),
        })
    }
}
