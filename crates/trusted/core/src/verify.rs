//! Walking a sealed log offline: the same checks as at a restart, on every block from genesis on.

use alloy_primitives::B256;
use cloister_boundary::{HaltCode, StoredSnapshot};
use cloister_primitives::Height;
use cloister_state::HistoryLimits;

use crate::{
    Fatal,
    log_index::{OpenLogsJob, Section, SectionDraft, log_section_end},
    replay::{Origin, Replay, SnapshotReplay, apply_record},
};

/// A block that was opened, continues the chain, and leads to the state root it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedBlock {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: B256,
    /// The root of the state after it.
    pub state_root: B256,
    /// Transactions in it.
    pub transactions: usize,
    /// Its time, seconds since 1970.
    pub timestamp: u64,
}

/// Takes the blobs of a log one after the other.
pub struct Verifier {
    origin: Origin,
    replay: Replay,
    /// The section of the log index that the next block is in.
    draft: SectionDraft,
    /// The section that ended with the last block, if one did.
    section: Option<Section>,
}

impl core::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for the chain of this genesis file (JSON) and sealing key.
    ///
    /// # Errors
    /// [`Fatal`] if either cannot be used.
    pub fn new(genesis: &[u8], platform_key: &[u8]) -> Result<Self, Fatal> {
        let origin = Origin::new(genesis, platform_key, HistoryLimits::default())?;
        let replay = Replay::new(origin.keys.clone(), origin.genesis.block.header.parent_hash);
        Ok(Self { origin, replay, draft: SectionDraft::default(), section: None })
    }

    /// Hash of the genesis block.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.origin.genesis.block.hash
    }

    /// Checks the next block's blob, starting with the genesis block's.
    ///
    /// # Errors
    /// [`Fatal`] names the height and what is wrong.
    pub fn block(&mut self, blob: Vec<u8>) -> Result<VerifiedBlock, Fatal> {
        let height = self.replay.expected();
        let record = self.replay.next(blob)?;
        if height == Height::GENESIS {
            self.origin.check_genesis(&record)?;
        } else {
            apply_record(&self.origin.state, &record)?;
            self.origin.state.set_committed(height);
        }
        let block = &record.block;
        self.draft.push(&self.origin.keys, block);
        let ends = height == log_section_end(height);
        self.section = ends.then(|| core::mem::take(&mut self.draft).finish(height, block.hash));
        Ok(VerifiedBlock {
            height,
            hash: block.hash,
            state_root: block.commitments.state.root,
            transactions: block.transactions.len(),
            timestamp: block.header.timestamp,
        })
    }

    /// Whether a section of the log index ends with the block checked last.
    #[must_use]
    pub const fn ends_log_section(&self) -> bool {
        self.section.is_some()
    }

    /// Checks the section of the log index that ends with the block checked last.
    ///
    /// # Errors
    /// [`Fatal`] names the section's last height and what is wrong.
    pub fn log_section(&self, blob: Vec<u8>) -> Result<(), Fatal> {
        let Some(expected) = &self.section else {
            return Err(Fatal::new(HaltCode::DamagedLog, "a section of the log index ends within its blocks"));
        };
        let (last, last_hash) = (expected.last(), expected.last_hash());
        let damaged = |detail| Fatal::at(HaltCode::DamagedLog, detail, last.0);
        let job = OpenLogsJob { keys: self.origin.keys.clone(), last, last_hash, blob };
        let stored = job.run().ok_or_else(|| damaged("a stored section of the log index is not authentic"))?;
        if *stored.0 != *expected {
            return Err(damaged("a stored section of the log index does not fit its blocks"));
        }
        Ok(())
    }

    /// Checks a snapshot against the state root of the block at its height.
    ///
    /// # Errors
    /// [`Fatal`] names the snapshot's height and what is wrong.
    pub fn snapshot(
        &self,
        snapshot: StoredSnapshot,
        state_root: B256,
        mut read: impl FnMut(u32) -> Option<Vec<u8>>,
    ) -> Result<(), Fatal> {
        let history = HistoryLimits::default();
        let mut replay = SnapshotReplay::new(self.origin.keys.clone(), snapshot, history);
        while let Some(index) = replay.expected() {
            replay.next(read(index))?;
        }
        replay.finish(state_root).map(|_| ())
    }
}
