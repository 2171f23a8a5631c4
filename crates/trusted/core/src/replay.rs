//! Reading the sealed log back, block by block, believing nothing.
//!
//! Shared by the restart of a node, by offline verification and by rebuilding old states: the three
//! must agree on what a sound log is.

use std::sync::Arc;

use alloy_primitives::B256;
use cloister_boundary::{HaltCode, StoredSnapshot};
use cloister_execution::{genesis_block, genesis_delta};
use cloister_keys::{
    BlockAad, BlockBlob, Epoch, Incarnation, LedgerKeys, OpenError, PlatformKey, Sealed, SnapshotAad, SnapshotChunk,
};
use cloister_primitives::{ChainSpec, Genesis, Height};
use cloister_state::{HistoryLimits, SnapshotLoader, State, StateDelta};

use crate::{BlockRecord, Fatal};

/// Everything that follows from a genesis file and a sealing key.
pub(crate) struct Origin {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) keys: Arc<LedgerKeys>,
    /// The state after the genesis block.
    pub(crate) state: State,
    pub(crate) genesis: BlockRecord,
}

impl Origin {
    pub(crate) fn new(genesis: &[u8], platform_key: &[u8], history: HistoryLimits) -> Result<Self, Fatal> {
        let spec = Arc::new(read_spec(genesis)?);
        let platform_key = PlatformKey::from_bytes(platform_key)
            .map_err(|_| Fatal::new(HaltCode::WrongKey, "the sealing key is damaged"))?;
        let state = State::new(history);
        let genesis = genesis_record(&spec, &state)?;
        let binding = spec.ledger_binding(genesis.block.hash);
        let keys = Arc::new(LedgerKeys::derive(&platform_key, spec.chain_id(), binding, Epoch(0)));
        Ok(Self { spec, keys, state, genesis })
    }

    /// Checks that the log's first block is this chain's.
    pub(crate) fn check_genesis(&self, record: &BlockRecord) -> Result<(), Fatal> {
        if record.block.hash == self.genesis.block.hash {
            return Ok(());
        }
        Err(Fatal::new(HaltCode::ForeignLog, "the stored log starts with another genesis block"))
    }
}

fn read_spec(genesis: &[u8]) -> Result<ChainSpec, Fatal> {
    let bad_genesis = || Fatal::new(HaltCode::BadGenesis, "the genesis file is not valid");
    let text = core::str::from_utf8(genesis).map_err(|_| bad_genesis())?;
    let (genesis, _) = Genesis::parse(text).map_err(|_| bad_genesis())?;
    ChainSpec::new(genesis).map_err(|_| bad_genesis())
}

/// The chain that a genesis file begins: its rules, and the hash of its genesis block.
///
/// # Errors
/// [`Fatal`] if the file is no genesis.
pub fn chain_of(genesis: &[u8]) -> Result<(ChainSpec, B256), Fatal> {
    let spec = read_spec(genesis)?;
    let record = genesis_record(&spec, &State::new(HistoryLimits::default()))?;
    Ok((spec, record.block.hash))
}

/// Applies the genesis allocation and makes the block of height 0.
pub(crate) fn genesis_record(spec: &ChainSpec, state: &State) -> Result<BlockRecord, Fatal> {
    let state_root = state
        .apply(Height::GENESIS, &genesis_delta(spec))
        .map_err(|_| Fatal::new(HaltCode::BadGenesis, "the genesis allocation contradicts itself"))?;
    Ok(BlockRecord {
        block: Arc::new(genesis_block(spec, state_root)),
        patches: StateDelta::default(),
        // The allocation follows from the genesis file: no need to store it twice.
        delta: Arc::default(),
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
        Self { keys, expected: (Height::GENESIS, genesis_parent_hash) }
    }

    /// Opens the next blob and checks that it continues the chain.
    pub(crate) fn next(&mut self, blob: Vec<u8>) -> Result<BlockRecord, Fatal> {
        let (height, parent_hash) = self.expected;
        let record = open_block(&self.keys, height, parent_hash, blob).map_err(|fatal| {
            if height == Height::GENESIS {
                Fatal::new(
                    HaltCode::ForeignLog,
                    "the stored log belongs to another chain or was sealed with another key",
                )
            } else {
                fatal
            }
        })?;
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
    let aad = BlockAad { height, incarnation: sealed.incarnation(), parent_hash };
    let plaintext = keys.open_block(&aad, sealed).map_err(|_| {
        damaged(
            "a stored block is not authentic: it was changed, moved, belongs to another chain, or \
             the sealing key is another one",
        )
    })?;
    let record =
        BlockRecord::decode(&plaintext).map_err(|_| damaged("a stored block cannot be read by this version"))?;
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
        state.patch(&record.patches).map_err(|_| damaged("a stored change to the state does not apply"))?;
    }
    let root = state.apply(height, &record.delta).map_err(|_| damaged("a stored block's changes do not apply"))?;
    if root != record.block.commitments.state.root {
        return Err(damaged("a stored block leads to another state root"));
    }
    Ok(())
}

/// Reads one snapshot back, chunk by chunk.
pub struct SnapshotReplay {
    keys: Arc<LedgerKeys>,
    snapshot: StoredSnapshot,
    index: u32,
    /// That of the first chunk: chunks of two snapshots do not mix.
    incarnation: Option<Incarnation>,
    loader: SnapshotLoader,
}

impl SnapshotReplay {
    pub(crate) fn new(keys: Arc<LedgerKeys>, snapshot: StoredSnapshot, history: HistoryLimits) -> Self {
        Self { keys, snapshot, index: 0, incarnation: None, loader: SnapshotLoader::new(history) }
    }

    pub(crate) const fn height(&self) -> Height {
        self.snapshot.height
    }

    /// The chunk that [`Self::next`] expects; `None` once all are there.
    pub(crate) fn expected(&self) -> Option<u32> {
        (self.index < self.snapshot.chunks).then_some(self.index)
    }

    fn damaged(&self, detail: &'static str) -> Fatal {
        Fatal::at(HaltCode::DamagedLog, detail, self.snapshot.height.0)
    }

    /// Opens the next chunk and adds it to the state.
    pub(crate) fn next(&mut self, chunk: Option<Vec<u8>>) -> Result<(), Fatal> {
        let bytes = chunk.ok_or_else(|| self.damaged("a stored snapshot chunk is missing"))?;
        let sealed = Sealed::<SnapshotChunk>::from_bytes(bytes)
            .map_err(|_| self.damaged("a stored snapshot chunk is malformed"))?;
        let incarnation = *self.incarnation.get_or_insert(sealed.incarnation());
        let aad = SnapshotAad { snapshot: self.snapshot.height, index: self.index, incarnation };
        let chunk =
            self.keys.open_chunk(&aad, sealed).map_err(|_| self.damaged("a stored snapshot chunk is not authentic"))?;
        self.loader.push(&chunk).map_err(|_| self.damaged("a stored snapshot chunk cannot be read by this version"))?;
        self.index += 1;
        Ok(())
    }

    /// The state, if it is the one whose root the block at its height names.
    pub(crate) fn finish(self, state_root: B256) -> Result<State, Fatal> {
        let damaged = self.damaged("a stored snapshot leads to another state root");
        self.loader.finish(self.snapshot.height, state_root).map_err(|_| damaged)
    }
}
