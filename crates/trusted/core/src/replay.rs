//! Reading the sealed log back, block by block, believing nothing.
//!
//! Shared by the restart of a node, by offline verification and by rebuilding old states: the three
//! must agree on what a sound log is.

use std::sync::Arc;

use alloy_primitives::B256;
use cloister_boundary::HaltCode;
use cloister_execution::{genesis_block, genesis_delta};
use cloister_keys::{BlockAad, BlockBlob, LedgerKeys, OpenError, Sealed};
use cloister_primitives::{ChainSpec, Height};
use cloister_state::{State, StateDelta};

use crate::{BlockRecord, Fatal};

/// Applies the genesis allocation and makes the block of height 0.
pub(crate) fn genesis_record(spec: &ChainSpec, state: &State) -> Result<BlockRecord, Fatal> {
    let state_root = state
        .apply(Height::GENESIS, &genesis_delta(spec))
        .map_err(|_| {
            Fatal::new(
                HaltCode::BadGenesis,
                "the genesis allocation contradicts itself",
            )
        })?;
    Ok(BlockRecord {
        block: Arc::new(genesis_block(spec, state_root)),
        patches: StateDelta::default(),
        // The allocation follows from the genesis file: no need to store it twice.
        delta: StateDelta::default(),
    })
}

/// Follows the log from the genesis block on.
#[derive(Debug)]
pub(crate) struct Replay {
    keys: Arc<LedgerKeys>,
    /// The height that comes next, and the hash its parent must have.
    expected: (Height, B256),
}

impl Replay {
    /// Starts below the genesis block, whose parent hash is whatever the genesis file says.
    pub(crate) const fn new(keys: Arc<LedgerKeys>, genesis_parent_hash: B256) -> Self {
        Self {
            keys,
            expected: (Height::GENESIS, genesis_parent_hash),
        }
    }

    /// Opens the next blob and checks that it continues the chain.
    pub(crate) fn next(&mut self, blob: Vec<u8>) -> Result<BlockRecord, Fatal> {
        let (height, parent_hash) = self.expected;
        let record = open_block(&self.keys, height, parent_hash, blob)?;
        self.expected = (height.next(), record.block.hash);
        Ok(record)
    }

    /// The height that [`Self::next`] expects.
    pub(crate) const fn expected(&self) -> Height {
        self.expected.0
    }
}

/// Opens one blob that must continue the block with this hash.
pub(crate) fn open_block(
    keys: &LedgerKeys,
    height: Height,
    parent_hash: B256,
    blob: Vec<u8>,
) -> Result<BlockRecord, Fatal> {
    let damaged = |detail| Fatal::at(HaltCode::DamagedLog, detail, height.0);
    let sealed = Sealed::<BlockBlob>::from_bytes(blob).map_err(|error| match error {
        OpenError::Truncated { .. } => damaged("a stored block is truncated"),
        OpenError::UnknownVersion(_) => damaged("a stored block has an unknown format version"),
        _ => damaged("a stored block is malformed"),
    })?;
    let aad = BlockAad {
        height,
        incarnation: sealed.incarnation(),
        parent_hash,
    };
    let plaintext = keys.open_block(&aad, sealed).map_err(|_| {
        damaged(
            "a stored block is not authentic: it was changed, moved, belongs to another chain, or \
             the sealing key is another one",
        )
    })?;
    let record = BlockRecord::decode(&plaintext)
        .map_err(|_| damaged("a stored block cannot be read by this version"))?;
    let header = &record.block.header;
    if header.number != height.0 || header.parent_hash != parent_hash {
        return Err(damaged("a stored block does not continue the chain"));
    }
    Ok(record)
}

/// Applies a block read back and checks the root it leads to.
pub(crate) fn apply_record(state: &State, record: &BlockRecord) -> Result<(), Fatal> {
    let height = record.block.height();
    let damaged = |detail| Fatal::at(HaltCode::DamagedLog, detail, height.0);
    if !record.patches.is_empty() {
        state
            .patch(&record.patches)
            .map_err(|_| damaged("a stored change to the state does not apply"))?;
    }
    let root = state
        .apply(height, &record.delta)
        .map_err(|_| damaged("a stored block's changes do not apply"))?;
    if root != record.block.commitments.state.root {
        return Err(damaged("a stored block leads to another state root"));
    }
    Ok(())
}
