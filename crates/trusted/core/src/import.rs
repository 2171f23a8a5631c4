//! Blocks of Ethereum: from their encoding to a block that has been executed and checked in every field.

use std::{borrow::Cow, fmt, sync::Arc};

use alloy_consensus::{Block as EncodedBlock, BlockBody, Header};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable as _;
use cloister_execution::{Claimed, Executed, ExecutionError, Executor, Mismatch, check_block_size, recover_included};
use cloister_primitives::{Block, ChainSpec, Height, RecoveredTransaction, Transaction};
use cloister_state::State;

use crate::{
    BlockRecord,
    work::{BuildOutcome, RecentHashes},
};

/// Bytes of the largest block that is taken: twice what Osaka allows, and more than any that Ethereum's network
/// ever carried.
pub const MAX_FOREIGN_BLOCK_BYTES: usize = 16 << 20;

/// Bytes that a block's record may take: what fits a sealed blob, with room for its padding.
const MAX_RECORD_BYTES: usize = 31 << 20;

/// Why a block was not imported; the names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportCode {
    /// The bytes are no block.
    Malformed,
    /// The block is larger than any that is taken.
    Oversized,
    /// A field is not what consensus rules or the block's execution lead to.
    Invalid,
    /// Blocks before it are missing.
    OutOfOrder,
    /// It is on another branch than the chain that is here.
    Forked,
    /// It grew from another genesis.
    ForeignGenesis,
    /// What it changes does not fit one record.
    RecordTooLarge,
    /// The chain's genesis does not say that its blocks are imported.
    NotImported,
}

impl ImportCode {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-block",
            Self::Oversized => "oversized-block",
            Self::Invalid => "invalid-block",
            Self::OutOfOrder => "out-of-order-block",
            Self::Forked => "forked-block",
            Self::ForeignGenesis => "foreign-genesis",
            Self::RecordTooLarge => "record-too-large",
            Self::NotImported => "not-an-imported-chain",
        }
    }
}

/// A block that was not imported, and what is wrong with it. Imported chains are public: so is this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ImportRefusal {
    /// Why.
    pub code: ImportCode,
    /// The block's height, if it has one.
    pub height: Option<u64>,
    /// The field that is wrong, under its name in JSON-RPC.
    pub field: Cow<'static, str>,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for ImportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(height) = self.height {
            write!(f, "block {height}: ")?;
        }
        write!(f, "{}: expected {}, found {} ({})", self.field, self.expected, self.found, self.code.name())
    }
}

impl ImportRefusal {
    pub(crate) fn new(
        code: ImportCode,
        height: Option<u64>,
        field: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self { code, height, field: field.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl From<Mismatch> for ImportRefusal {
    fn from(mismatch: Mismatch) -> Self {
        let Mismatch { height, field, expected, found } = mismatch;
        Self { code: ImportCode::Invalid, height: Some(height), field, expected, found }
    }
}

/// What became of a block that was to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It was executed and checked, and is committed.
    Committed(ImportedBlock),
    /// It was there already.
    Present(ImportedBlock),
    /// It is wrong; the chain is as it was.
    Refused(Box<ImportRefusal>),
}

/// A block that is part of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedBlock {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: B256,
    /// Transactions in it.
    pub transactions: usize,
    /// Gas they used.
    pub gas_used: u64,
}

/// A block as somebody else made it, its senders recovered.
#[derive(Debug)]
pub struct ForeignBlock {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    encoded_bytes: usize,
    ommers: Vec<Header>,
    transactions: Vec<RecoveredTransaction>,
    withdrawals: Option<alloy_eips::eip4895::Withdrawals>,
}

impl ForeignBlock {
    pub(crate) fn facts(&self) -> ImportedBlock {
        ImportedBlock {
            height: Height(self.header.number),
            hash: self.hash,
            transactions: self.transactions.len(),
            gas_used: self.header.gas_used,
        }
    }

    fn claimed(&self) -> Claimed<'_> {
        Claimed {
            header: &self.header,
            ommers: &self.ommers,
            transactions: &self.transactions,
            withdrawals: self.withdrawals.as_deref().map_or(&[], Vec::as_slice),
        }
    }
}

/// Bytes to be read as a block.
#[derive(Debug)]
pub struct DecodeJob {
    /// The chain, whose forks decide how signatures are read.
    pub spec: Arc<ChainSpec>,
    /// RLP of the block.
    pub block: Bytes,
}

impl DecodeJob {
    pub(crate) fn run(self) -> Result<ForeignBlock, ImportRefusal> {
        let encoded_bytes = self.block.len();
        if encoded_bytes > MAX_FOREIGN_BLOCK_BYTES {
            let most = format!("at most {MAX_FOREIGN_BLOCK_BYTES} bytes");
            return Err(ImportRefusal::new(ImportCode::Oversized, None, "size", most, encoded_bytes));
        }
        let malformed = |found: String| ImportRefusal::new(ImportCode::Malformed, None, "rlp", "a block", found);
        let mut rest = self.block.as_ref();
        let block = EncodedBlock::<Transaction>::decode(&mut rest).map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed(format!("{} bytes behind the block", rest.len())));
        }
        let EncodedBlock { header, body: BlockBody { transactions, ommers, withdrawals } } = block;
        let transactions = transactions
            .into_iter()
            .enumerate()
            .map(|(index, transaction)| {
                recover_included(transaction, &self.spec, &header).map_err(|refused| {
                    Mismatch::new(header.number, format!("transactions[{index}]"), "a valid transaction", refused)
                })
            })
            .collect::<Result<_, _>>()?;
        let hash = header.hash_slow();
        Ok(ForeignBlock { header, hash, encoded_bytes, ommers, transactions, withdrawals })
    }
}

/// A block to execute and check on top of its parent.
#[derive(Clone, Debug)]
pub struct ImportJob {
    /// Executes.
    pub executor: Arc<Executor>,
    /// The state, whose tip is the parent.
    pub state: State,
    /// The blocks before it, newest first.
    pub ancestors: Vec<Arc<Block>>,
    /// Hashes that `BLOCKHASH` can reach.
    pub hashes: RecentHashes,
    /// The block.
    pub block: Arc<ForeignBlock>,
}

impl ImportJob {
    pub(crate) fn run(self) -> BuildOutcome {
        let height = Height(self.block.header.number);
        let parent = height.parent().unwrap_or(Height::GENESIS);
        match self.check(height, parent) {
            Ok(executed) => {
                let (block, delta) = executed.into_block();
                let record =
                    BlockRecord { block: Arc::new(block), patches: Default::default(), delta: Arc::new(delta) };
                let bytes = record.encoded_len();
                if bytes > MAX_RECORD_BYTES {
                    let most = format!("at most {MAX_RECORD_BYTES} bytes");
                    let code = ImportCode::RecordTooLarge;
                    return self.undo(parent, ImportRefusal::new(code, Some(height.0), "record", most, bytes));
                }
                BuildOutcome { block: Some((record.block, record.delta)), ..BuildOutcome::default() }
            }
            Err(ExecutionError::Invalid(mismatch)) => self.undo(parent, mismatch.into()),
            Err(_) => BuildOutcome::fault("a block to import could not be executed"),
        }
    }

    fn check(&self, height: Height, parent: Height) -> Result<Executed, ExecutionError> {
        let block = &*self.block;
        check_block_size(self.executor.spec(), &block.header, block.encoded_bytes)?;
        if block.withdrawals.is_some() != block.header.withdrawals_root.is_some() {
            let said = |present| if present { "a list" } else { "none" };
            let (expected, found) = (said(block.header.withdrawals_root.is_some()), said(block.withdrawals.is_some()));
            return Err(Mismatch::new(height.0, "withdrawals", expected, found).into());
        }
        let view = self.state.view(parent)?;
        let apply = |delta: &_| self.state.apply(height, delta);
        self.executor.check_foreign_block(&self.ancestors, block.claimed(), &view, &self.hashes, apply)
    }

    /// The chain stays as it was before the block.
    fn undo(&self, parent: Height, refusal: ImportRefusal) -> BuildOutcome {
        if self.state.tip() != Some(parent) && self.state.rewind(parent).is_err() {
            return BuildOutcome::fault("a wrong block cannot be undone");
        }
        BuildOutcome { refused: Some(Box::new(refusal)), ..BuildOutcome::default() }
    }
}
