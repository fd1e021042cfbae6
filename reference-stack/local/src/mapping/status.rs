use std::collections::BTreeMap;

use tokio::sync::watch;

use super::batch::Outcome;
use crate::error::chain;

/// What a mapping has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Records that were read from the stream.
    pub records_read: u64,
    /// Records that the function processed.
    pub records_delivered: u64,
    /// Records that were given up.
    pub records_discarded: u64,
    /// How often the function was invoked and answered.
    pub invocations: u64,
    /// Invocations that failed, wholly or in part.
    pub failed_invocations: u64,
    /// How often the function was not reached: it was throttled, the event was too large, or the service failed.
    pub unreached: u64,
    /// Messages that were sent to the on-failure destination.
    pub failure_records: u64,
    /// How often the stream could not be read, or the destination not be written to.
    pub errors: u64,
    /// What went wrong last, other than in the function.
    pub last_error: Option<String>,
    /// Each shard by its id.
    pub shards: BTreeMap<String, ShardStatus>,
    /// The last question whether everything is done for which the shards were listed.
    pub(super) listed: u64,
}

/// What has become of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStatus {
    /// The sequence number of the last record that is done with.
    pub checkpoint: Option<String>,
    /// Records that were read and are not done with.
    pub pending: usize,
    /// Whether the shard is closed and done with.
    pub finished: bool,
    /// The last question whether everything is done that this shard answers with yes.
    pub(super) quiet: u64,
}

impl Status {
    /// Records that were read and are not done with.
    pub fn pending(&self) -> usize {
        self.shards.values().map(|shard| shard.pending).sum()
    }

    /// Whether everything was done when this question was asked.
    pub(super) fn is_settled(&self, question: u64) -> bool {
        let done =
            |shard: &ShardStatus| shard.pending == 0 && (shard.finished || shard.quiet >= question);
        self.listed >= question && self.shards.values().all(done)
    }
}

/// Where the tasks of a mapping write what they do.
#[derive(Debug)]
pub(super) struct Board(pub(super) watch::Sender<Status>);

impl Board {
    /// Changes the status.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// Changes the status and that of a shard in one.
    pub(super) fn update_shard(
        &self,
        shard: &str,
        change: impl FnOnce(&mut Status, &mut ShardStatus),
    ) {
        self.update(|status| {
            // The shard is taken out and put back so that both can be changed.
            let (id, mut of_shard) = status
                .shards
                .remove_entry(shard)
                .unwrap_or_else(|| (shard.to_owned(), ShardStatus::default()));
            change(status, &mut of_shard);
            status.shards.insert(id, of_shard);
        });
    }

    /// The shard has nothing left to do. Wakes nobody when that is known already.
    pub(super) fn quiet(&self, shard: &str, question: u64) {
        self.0
            .send_if_modified(|status| match status.shards.get_mut(shard) {
                Some(of_shard) if of_shard.quiet < question => {
                    of_shard.quiet = question;
                    true
                }
                _ => false,
            });
    }

    /// The stream could not be read, or the destination not be written to.
    pub(super) fn error(&self, error: &(dyn std::error::Error + 'static)) {
        self.update(|status| {
            status.errors += 1;
            status.last_error = Some(chain(error));
        });
    }

    /// The function was invoked, and answered.
    pub(super) fn invoked(&self, outcome: Outcome) {
        self.update(|status| {
            status.invocations += 1;
            status.failed_invocations += u64::from(outcome != Outcome::Success);
        });
    }

    /// The function was not invoked.
    pub(super) fn unreached(&self, error: &(dyn std::error::Error + 'static)) {
        self.update(|status| {
            status.unreached += 1;
            status.last_error = Some(chain(error));
        });
    }
}
