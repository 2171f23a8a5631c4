//! The log as the engine below reads it: resident, as its entries are small and its blocks lie elsewhere.

use std::collections::VecDeque;

use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::codec::{CodecError, conf_state_of, snapshot_of};
use super::stored::{Base, StoredLog};

/// Entries, where they begin, and the vote.
#[derive(Debug)]
pub(super) struct Log {
    /// What a restart begins from, and what a node gets that is too far behind.
    base: Base,
    /// Index and term of the entry before the first one held; at or below `base`.
    before: (u64, u64),
    entries: VecDeque<Entry>,
    hard_state: HardState,
    /// Entries kept below the beginning of the log, for followers that are a little behind.
    kept_entries: usize,
}

impl Log {
    pub(super) fn new(stored: &StoredLog, kept_entries: usize) -> core::result::Result<Self, CodecError> {
        let entries =
            stored.entries.iter().map(super::codec::LogEntry::to_entry).collect::<core::result::Result<_, _>>()?;
        Ok(Self {
            before: (stored.base.index, stored.base.term),
            base: stored.base.clone(),
            entries,
            hard_state: stored.hard_state(),
            kept_entries,
        })
    }

    pub(super) const fn base(&self) -> &Base {
        &self.base
    }

    fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// Appends entries; those of the same index and all above are replaced.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            let keep = first.index.saturating_sub(self.first());
            self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            self.entries.extend(entries.iter().cloned());
        }
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Everything up to `base` is in the state; the log may begin there.
    pub(super) fn rebase(&mut self, base: Base) {
        let beyond = base.index > self.last();
        self.base = base;
        if beyond {
            self.entries.clear();
            self.before = (self.base.index, self.base.term);
        }
        while self.entries.len() > self.kept_entries
            && self.entries.front().is_some_and(|entry| entry.index <= self.base.index)
        {
            if let Some(entry) = self.entries.pop_front() {
                self.before = (entry.index, entry.term);
            }
        }
    }

    /// A snapshot replaces everything.
    pub(super) fn restore(&mut self, base: Base) {
        self.entries.clear();
        self.before = (base.index, base.term);
        self.base = base;
    }

    fn get(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.checked_sub(self.first())?).ok()?)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState { hard_state: self.hard_state.clone(), conf_state: conf_state_of(&self.base.members) })
    }

    fn entries(&self, low: u64, high: u64, max: impl Into<Option<u64>>, _: GetEntriesContext) -> Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let mut entries: Vec<Entry> = (low..high).filter_map(|index| self.get(index).cloned()).collect();
        raft::util::limit_size(&mut entries, max.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.get(index).map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        if self.base.index < request_index.max(1) {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        snapshot_of(&self.base).map_err(|_| Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
