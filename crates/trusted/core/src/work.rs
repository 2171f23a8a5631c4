//! Long pure computations that leave the core as values and come back as messages.
//!
//! The shell runs them on all cores, the simulator in place. A [`Work`] owns or shares everything it
//! needs; running it twice gives the same result.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use cloister_crypto::Nonce;
use cloister_execution::{
    BlockAttributes, BlockHashes, Built, ExecutionError, Executor, Parent, Salts, ValidTx, recover_all,
    recover_with_blobs,
};
use cloister_keys::{BlockAad, LedgerKeys, NotOpened, OpenedContext, Opener, SnapshotAad};
use cloister_ordering::Empty;
use cloister_primitives::{Block, ChainSpec, Code, Height, RecoveredTransaction, Rejected};
use cloister_state::{HistoryLimits, SnapshotCut, State, StateDelta, StateView};

use crate::{
    BlockRecord, Fatal, ImportRefusal, LogSection, Reexecution,
    replay::{SnapshotReplay, apply_record, genesis_record, open_block},
};

pub use crate::import::{DecodeJob, ForeignBlock, ImportJob};
pub use crate::log_index::{IndexJob, IndexOutcome, IndexSource, OpenLogsJob};

/// Something to compute.
#[derive(Debug)]
pub enum Work {
    /// Decode transactions and recover their senders.
    Recover {
        /// As clients sent them.
        submitted: Vec<Submitted>,
        /// The chain, which limits what one transaction may be.
        spec: Arc<ChainSpec>,
        /// Hash of its first block, which sealed transactions are bound to.
        genesis_hash: B256,
    },
    /// Execute a block on the newest speculative state and compute its roots.
    Build(Box<BuildJob>),
    /// Read a block of Ethereum's and recover its senders.
    DecodeBlock(Box<DecodeJob>),
    /// Execute a block of Ethereum's on the newest speculative state and check all of it.
    Import(Box<ImportJob>),
    /// Encode, pad and seal a block's record.
    Seal(Box<SealJob>),
    /// Cut and seal the next chunk of a snapshot.
    Cut(Box<CutJob>),
    /// Open a section of old blocks.
    Open(Box<OpenJob>),
    /// Add blocks to a section of the log index; seal it once it is complete.
    IndexLogs(Box<IndexJob>),
    /// Open a section of the log index.
    OpenLogs(Box<OpenLogsJob>),
    /// Take a rebuild of an old state one step further.
    Rebuild(Box<RebuildJob>),
    /// Opens a block that another node built, and applies it.
    Adopt(Box<AdoptJob>),
}

/// What came of it.
#[derive(Debug)]
pub enum WorkResult {
    /// One entry per transaction, in order.
    Recovered(Vec<Recovered>),
    /// The block, or why there is none.
    Built(Box<BuildOutcome>),
    /// A block to import, or why it is none.
    DecodedBlock(Box<Result<ForeignBlock, ImportRefusal>>),
    /// The sealed record; `None` if the key is exhausted.
    Sealed(Option<Vec<u8>>),
    /// The next chunk, and the cut to go on with.
    Cut(Box<CutOutcome>),
    /// The blocks.
    Opened(Box<OpenOutcome>),
    /// The section, as far as it is known.
    IndexedLogs(Box<IndexOutcome>),
    /// The section; `None` if it is damaged.
    OpenedLogs(Option<LogSection>),
    /// The rebuild, one step further.
    Rebuilt(Box<RebuildOutcome>),
    /// Of [`Work::Adopt`].
    Adopted(Box<Result<BlockRecord, Fatal>>),
}

/// A transaction as a client sent it.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// In the clear.
    Plain(Bytes),
    /// In an envelope.
    Sealed {
        /// All of it.
        envelope: Bytes,
        /// What opens it, if anything does.
        opener: Result<Opener, NotOpened>,
    },
}

/// A submitted transaction, read.
#[derive(Debug)]
pub struct Recovered {
    /// The transaction with its sender, or why it is none.
    pub transaction: Result<RecoveredTransaction, Rejected>,
    /// The context that its envelope opened.
    pub context: Option<OpenedContext>,
}

impl Submitted {
    /// The transaction as its sender signed it, and the context that its envelope opened.
    fn open(&self, spec: &ChainSpec, genesis_hash: B256) -> (Result<Bytes, Rejected>, Option<OpenedContext>) {
        let (envelope, opener) = match self {
            Self::Plain(raw) => return (Ok(raw.clone()), None),
            Self::Sealed { envelope, opener } => (envelope, opener),
        };
        let opened = opener.as_ref().map_err(|refused| *refused);
        match opened.and_then(|opener| opener.open(envelope, spec.chain_id(), genesis_hash)) {
            Ok(opened) => (Ok(opened.transaction.into()), opened.context),
            Err(NotOpened) => (Err(Code::SealedTransactionRefused.into()), None),
        }
    }
}

fn recover_submitted(submitted: &[Submitted], spec: &ChainSpec, genesis_hash: B256) -> Vec<Recovered> {
    let opened: Vec<_> = submitted.iter().map(|one| one.open(spec, genesis_hash)).collect();
    let raws: Vec<_> = opened.iter().filter_map(|(raw, _)| raw.as_ref().ok().cloned()).collect();
    let max_bytes = spec.limits().max_transaction_size_bytes;
    let mut recovered = if spec.is_imported() {
        raws.iter().map(|raw| recover_with_blobs(raw, max_bytes)).collect()
    } else {
        recover_all(&raws, max_bytes)
    }
    .into_iter();
    let one = |(raw, context): (Result<Bytes, Rejected>, Option<OpenedContext>)| {
        let transaction = raw.and_then(|_| recovered.next().unwrap_or_else(|| Err(Code::Internal.into())));
        // Who sends no transaction has no use for a context, and others need its place.
        Recovered { context: context.filter(|_| transaction.is_ok()), transaction }
    };
    opened.into_iter().map(one).collect()
}

/// Everything one block is made from.
#[derive(Clone, Debug)]
pub struct BuildJob {
    /// Executes.
    pub executor: Arc<Executor>,
    /// The state, whose tip is the parent.
    pub state: State,
    /// The parent's header.
    pub parent: Header,
    /// The parent's hash.
    pub parent_hash: B256,
    /// What the builder chooses.
    pub attributes: BlockAttributes,
    /// Hashes that `BLOCKHASH` can reach.
    pub hashes: RecentHashes,
    /// Transactions in order of preference.
    pub candidates: Vec<ValidTx>,
    /// What to do when none can be included.
    pub empty: Empty,
    /// What hides the block's roots; `None` where the chain hides nothing.
    pub salts: Option<Salts>,
}

/// A block was built, or nothing was there to include, or the machine is broken.
#[derive(Debug, Default)]
pub struct BuildOutcome {
    /// The block and what it changed.
    pub block: Option<(Arc<Block>, Arc<StateDelta>)>,
    /// Candidates that can never be included as they are.
    pub evicted: Vec<(B256, Rejected)>,
    /// Why a block that was to be imported is none of this chain's.
    pub refused: Option<Box<ImportRefusal>>,
    /// A state that the program excludes; the node halts.
    pub fault: Option<&'static str>,
}

/// The last 256 block hashes below a block, by height.
#[derive(Clone, Debug, Default)]
pub struct RecentHashes {
    /// Height of the first entry.
    pub first: u64,
    /// Hashes of consecutive blocks.
    pub hashes: Arc<Vec<B256>>,
}

impl BlockHashes for RecentHashes {
    fn block_hash(&self, height: u64) -> Option<B256> {
        let index = usize::try_from(height.checked_sub(self.first)?).ok()?;
        self.hashes.get(index).copied()
    }
}

/// A record to seal.
#[derive(Debug)]
pub struct SealJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// A fresh nonce.
    pub nonce: Nonce,
    /// What the ciphertext is bound to.
    pub aad: BlockAad,
    /// The record.
    pub record: BlockRecord,
}

/// A block that another node built.
#[derive(Clone, Debug)]
pub struct AdoptJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// The state it is applied to.
    pub state: State,
    /// Its height.
    pub height: Height,
    /// Hash of the block it continues.
    pub parent_hash: B256,
    /// Its sealed bytes.
    pub sealed: Bytes,
    /// How to execute it as well, if this node does that.
    pub reexecution: Option<Reexecution>,
}

impl AdoptJob {
    fn run(self) -> Result<BlockRecord, Fatal> {
        let record = open_block(&self.keys, self.height, self.parent_hash, self.sealed.into())?;
        if let Some(reexecution) = &self.reexecution {
            reexecution.check(&self.state, self.parent_hash, &record)?;
        }
        apply_record(&self.state, &record)?;
        Ok(record)
    }
}

/// A snapshot to go on with.
#[derive(Debug)]
pub struct CutJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// A fresh nonce.
    pub nonce: Nonce,
    /// What the ciphertext is bound to.
    pub aad: SnapshotAad,
    /// The pinned state.
    pub cut: SnapshotCut,
}

/// One more chunk, or the end.
#[derive(Debug)]
pub struct CutOutcome {
    /// The cut to go on with.
    pub cut: SnapshotCut,
    /// The sealed chunk; `None` when all has been written.
    pub sealed: Option<Vec<u8>>,
    /// The state could not be read or sealed: the snapshot is given up.
    pub failed: bool,
}

impl Work {
    /// Computes.
    #[must_use]
    pub fn run(self) -> WorkResult {
        match self {
            Self::Recover { submitted, spec, genesis_hash } => {
                WorkResult::Recovered(recover_submitted(&submitted, &spec, genesis_hash))
            }
            Self::Build(job) => WorkResult::Built(Box::new(job.run())),
            Self::DecodeBlock(job) => WorkResult::DecodedBlock(Box::new(job.run())),
            Self::Import(job) => WorkResult::Built(Box::new(job.run())),
            Self::Seal(job) => WorkResult::Sealed(job.run()),
            Self::Cut(job) => WorkResult::Cut(Box::new(job.run())),
            Self::Open(job) => WorkResult::Opened(Box::new(job.run())),
            Self::IndexLogs(job) => WorkResult::IndexedLogs(Box::new(job.run())),
            Self::OpenLogs(job) => WorkResult::OpenedLogs(job.run()),
            Self::Adopt(job) => WorkResult::Adopted(Box::new(job.run())),
            Self::Rebuild(job) => WorkResult::Rebuilt(Box::new(RebuildOutcome { so_far: job.run().ok() })),
        }
    }
}

impl BuildOutcome {
    pub(crate) const fn fault(fault: &'static str) -> Self {
        Self { block: None, evicted: Vec::new(), refused: None, fault: Some(fault) }
    }
}

impl BuildJob {
    fn run(self) -> BuildOutcome {
        let height = Height(self.parent.number).next();
        let Ok(view) = self.state.view(Height(self.parent.number)) else {
            return BuildOutcome::fault("the parent's state is gone");
        };
        let (state, empty, salts) = (self.state.clone(), self.empty, self.salts);
        let Ok(built) = self.execute(&view) else {
            return BuildOutcome::fault("a block could not be executed");
        };
        let evicted =
            built.evicted.iter().map(|(transaction, rejected)| (*transaction.tx_hash(), rejected.clone())).collect();
        if built.transactions.is_empty() && empty == Empty::Skip {
            return BuildOutcome { evicted, ..BuildOutcome::default() };
        }
        let Ok(state_root) = state.apply(height, &built.delta) else {
            return BuildOutcome::fault("a block's delta does not fit the state");
        };
        let executed = built.seal(state_root);
        let executed = match &salts {
            Some(salts) => executed.conceal(salts),
            None => executed,
        };
        let (block, delta) = executed.into_block();
        BuildOutcome { block: Some((Arc::new(block), Arc::new(delta))), evicted, ..BuildOutcome::default() }
    }

    /// Executes the block on its parent's state, which stays as it is.
    pub(crate) fn execute(self, view: &StateView) -> Result<Built, ExecutionError> {
        let parent = Parent { header: &self.parent, hash: self.parent_hash };
        self.executor.build(parent, self.attributes, view, &self.hashes, self.candidates)
    }
}

impl SealJob {
    fn run(self) -> Option<Vec<u8>> {
        let plaintext = self.record.encode();
        self.keys.seal_block(self.nonce, &self.aad, plaintext).ok().map(cloister_keys::Sealed::into_bytes)
    }
}

impl CutJob {
    fn run(mut self) -> CutOutcome {
        let (sealed, failed) = match self.cut.next_chunk(cloister_keys::SNAPSHOT_CHUNK_BYTES) {
            Ok(None) => (None, false),
            Ok(Some(chunk)) => match self.keys.seal_chunk(self.nonce, &self.aad, chunk) {
                Ok(sealed) => (Some(sealed.into_bytes()), false),
                Err(_) => (None, true),
            },
            Err(_) => (None, true),
        };
        CutOutcome { cut: self.cut, sealed, failed }
    }
}

/// A section of the sealed log to open.
#[derive(Debug)]
pub struct OpenJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// Height of the first blob.
    pub first: Height,
    /// Hash of the block before it.
    pub parent_hash: B256,
    /// Blobs of consecutive heights.
    pub blobs: Vec<Vec<u8>>,
}

/// The blocks of a section.
#[derive(Debug)]
pub struct OpenOutcome {
    /// In order of height; `None` if any of them is damaged.
    pub blocks: Option<Vec<Arc<Block>>>,
}

impl OpenJob {
    fn run(self) -> OpenOutcome {
        let mut blocks = Vec::with_capacity(self.blobs.len());
        let mut parent_hash = self.parent_hash;
        for (height, blob) in (self.first.0..).zip(self.blobs) {
            match open_block(&self.keys, Height(height), parent_hash, blob) {
                Ok(record) => {
                    parent_hash = record.block.hash;
                    blocks.push(record.block);
                }
                Err(_) => return OpenOutcome { blocks: None },
            }
        }
        OpenOutcome { blocks: Some(blocks) }
    }
}

/// An old state as far as it has been rebuilt.
pub enum Rebuilding {
    /// Not begun: it starts from genesis.
    Nothing,
    /// A snapshot, some of whose chunks are read.
    Snapshot(Box<SnapshotReplay>),
    /// A state below the height wanted.
    State(State),
}

impl core::fmt::Debug for Rebuilding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rebuilding")
    }
}

impl Rebuilding {
    /// Height of the next block it needs.
    pub(crate) fn next_block(&self) -> Height {
        match self {
            Self::Nothing => Height::GENESIS,
            Self::Snapshot(replay) => replay.height(),
            Self::State(state) => state.tip().map_or(Height::GENESIS, Height::next),
        }
    }
}

/// What takes a rebuild further.
#[derive(Debug)]
pub enum Advance {
    /// Start from genesis.
    Begin,
    /// The next chunk of the snapshot.
    Chunk(Vec<u8>),
    /// The next blocks.
    Blocks(Vec<Vec<u8>>),
}

/// One step of a rebuild.
#[derive(Debug)]
pub struct RebuildJob {
    /// The keys.
    pub keys: Arc<LedgerKeys>,
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Bounds of the scratch state's own history.
    pub history: HistoryLimits,
    /// What there is.
    pub so_far: Rebuilding,
    /// Hash of the block before the next one needed.
    pub parent_hash: B256,
    /// What was read.
    pub advance: Advance,
}

/// What a step led to.
#[derive(Debug)]
pub struct RebuildOutcome {
    /// `None` if what was read is damaged.
    pub so_far: Option<Rebuilding>,
}

impl RebuildJob {
    fn run(self) -> Result<Rebuilding, Fatal> {
        let height = self.so_far.next_block();
        match (self.so_far, self.advance) {
            (Rebuilding::Snapshot(mut replay), Advance::Chunk(bytes)) => {
                replay.next(Some(bytes))?;
                Ok(Rebuilding::Snapshot(replay))
            }
            (Rebuilding::Snapshot(replay), Advance::Blocks(mut blobs)) => {
                let blob = blobs.pop().unwrap_or_default();
                let record = open_block(&self.keys, height, self.parent_hash, blob)?;
                let root = record.block.commitments.state.root;
                replay.finish(root).map(Rebuilding::State)
            }
            (Rebuilding::State(state), Advance::Blocks(blobs)) => {
                let mut parent_hash = self.parent_hash;
                for (height, blob) in (height.0..).map(Height).zip(blobs) {
                    let record = open_block(&self.keys, height, parent_hash, blob)?;
                    apply_record(&state, &record)?;
                    state.set_committed(height);
                    parent_hash = record.block.hash;
                }
                Ok(Rebuilding::State(state))
            }
            (_, _) => {
                let state = State::new(self.history);
                genesis_record(&self.spec, &state)?;
                Ok(Rebuilding::State(state))
            }
        }
    }
}
