//! Walking a sealed log offline: the same checks as at a restart, on every block from genesis on.

use alloy_primitives::B256;
use cloister_boundary::StoredSnapshot;
use cloister_primitives::Height;
use cloister_state::HistoryLimits;

use crate::{
    Fatal,
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
        Ok(Self { origin, replay })
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
        Ok(VerifiedBlock {
            height,
            hash: block.hash,
            state_root: block.commitments.state.root,
            transactions: block.transactions.len(),
            timestamp: block.header.timestamp,
        })
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
