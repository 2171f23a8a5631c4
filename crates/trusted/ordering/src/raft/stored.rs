//! A log as it is stored: records, and what they amount to.

use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use cloister_primitives::Height;
use raft::eraftpb::HardState;

use super::codec::{CodecError, LogEntry, VERSION};
use super::recovery::Recovery;
use super::types::{BlockRef, Members};

/// Where a log begins: everything up to here is in the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Base {
    /// Index of the last entry before the log.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Who takes part there.
    pub members: Members,
    /// The last block up to there; the genesis block if there is none.
    pub block: Option<BlockRef>,
    /// The last recovery of the network, if there was one.
    pub recovery: Option<Recovery>,
}

/// What a node must not forget of its votes (Raft figure 2, persistent state).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Vote {
    /// The newest term it knows.
    pub term: u64,
    /// For whom it voted in it; zero for nobody.
    pub vote: u64,
}

/// What one write makes durable. Entries replace those of the same index, and all above.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct LogRecord {
    version: u8,
    /// New entries, in order.
    pub entries: Vec<LogEntry>,
    /// The new vote, or none.
    pub votes: Vec<Vote>,
    /// The new beginning of the log, or none.
    pub bases: Vec<Base>,
}

impl LogRecord {
    pub(super) fn new(entries: Vec<LogEntry>, vote: Option<Vote>, base: Option<Base>) -> Self {
        Self { version: VERSION, entries, votes: vote.into_iter().collect(), bases: base.into_iter().collect() }
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.votes.is_empty() && self.bases.is_empty()
    }

    /// The bytes to seal and store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(self)
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`CodecError`] where they are no record of this version.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, CodecError> {
        let record = <Self as Decodable>::decode(&mut bytes)?;
        match record.version {
            VERSION if bytes.is_empty() => Ok(record),
            VERSION => Err(CodecError::TooLong),
            other => Err(CodecError::Version(other)),
        }
    }
}

/// A log as it was stored: records of one node, put together in the order they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredLog {
    pub(super) base: Base,
    pub(super) entries: Vec<LogEntry>,
    pub(super) vote: Vote,
}

impl StoredLog {
    /// An empty log of a new network with these members.
    #[must_use]
    pub fn new(members: Members) -> Self {
        Self { base: Base { members, ..Base::default() }, ..Self::default() }
    }

    /// Takes the next record.
    pub fn absorb(&mut self, record: LogRecord) {
        if let Some(base) = record.bases.into_iter().next_back() {
            // What follows a beginning that this log does not have is another leader's (Raft §7, figure 13).
            if self.has(base.index, base.term) {
                self.entries.retain(|entry| entry.index > base.index);
            } else {
                self.entries.clear();
            }
            self.base = base;
        }
        for entry in record.entries {
            self.entries.retain(|old| old.index < entry.index);
            self.entries.push(entry);
        }
        if let Some(vote) = record.votes.into_iter().next_back() {
            self.vote = vote;
        }
    }

    fn has(&self, index: u64, term: u64) -> bool {
        let begins = (self.base.index, self.base.term) == (index, term);
        begins || self.entries.iter().any(|entry| (entry.index, entry.term) == (index, term))
    }

    /// All of it as one record, in place of those it was made of.
    #[must_use]
    pub fn record(&self) -> LogRecord {
        LogRecord::new(self.entries.clone(), Some(self.vote), Some(self.base.clone()))
    }

    /// Forgets the entries from the first one on whose block is not `kept`: it was never durable, so nobody was told of it.
    pub fn cut(&mut self, kept: impl Fn(BlockRef) -> bool) {
        let lost = self.entries.iter().position(|entry| entry.block().is_some_and(|block| !kept(block)));
        self.entries.truncate(lost.unwrap_or(self.entries.len()));
    }

    /// The blocks above the beginning of the log, oldest first: they are applied again, and nobody sees them
    /// until the network has confirmed them.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = BlockRef> {
        self.entries.iter().filter_map(LogEntry::block)
    }

    /// What the log calls the block of this height, be it the one that it begins after.
    #[must_use]
    pub fn block_at(&self, height: Height) -> Option<BlockRef> {
        self.base.block.into_iter().chain(self.blocks().rev()).find(|block| block.height == height)
    }

    /// The newest block that the log names, be it the one that it begins after.
    #[must_use]
    pub fn newest(&self) -> Option<BlockRef> {
        self.blocks().next_back().or(self.base.block)
    }

    /// Where the log begins.
    #[must_use]
    pub const fn base(&self) -> &Base {
        &self.base
    }

    pub(super) fn hard_state(&self) -> HardState {
        let commit = self.base.index;
        HardState { term: self.vote.term.max(self.base.term), vote: self.vote.vote, commit, ..HardState::default() }
    }
}
