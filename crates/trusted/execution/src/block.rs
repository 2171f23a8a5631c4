//! A block on its way: built, then sealed with its state root.

use std::borrow::Cow;

use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_consensus::{Header, TxReceipt};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bloom, Bytes};
use cloister_primitives::{Block, Commitments, Receipt, RecoveredTransaction, Rejected};
use cloister_state::StateDelta;

use crate::ordered_root::ordered_root;
use crate::validate::ValidTx;

/// The block that a new one follows.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its hash.
    pub hash: B256,
}

/// What a new block is to say that follows from nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Seconds since 1970; after the parent's, or equal where the chain allows it.
    pub timestamp: u64,
    /// Who gets the tips.
    pub beneficiary: Address,
    /// `prevRandao` (EIP-4399).
    pub prev_randao: B256,
    /// Extra data of the header.
    pub extra_data: Bytes,
    /// Root handed to the EIP-4788 contract; `None` stands for zero from Cancun on.
    pub parent_beacon_block_root: Option<B256>,
    /// Withdrawals (EIP-4895); must be empty before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Base fee that replaces the computed one; without effect outside development networks.
    pub base_fee_override: Option<u64>,
}

/// An executed block that waits for its state root.
#[derive(Clone, Debug)]
pub struct Built {
    /// The header, complete but for the roots, the bloom and the requests hash.
    pub header_draft: Header,
    /// Transactions in block order.
    pub transactions: Vec<RecoveredTransaction>,
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// What the block changes.
    pub delta: StateDelta,
    /// EIP-7685 requests; `None` before Prague.
    pub requests: Option<Requests>,
    /// Ommers; none where the block was built here.
    pub ommers: Vec<Header>,
    /// Withdrawals; `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// Candidates that can never enter a block that follows, and why.
    pub evicted: Vec<(RecoveredTransaction, Rejected)>,
    /// Candidates that may enter a later block: no room, a nonce gap, or a fee cap below the base fee.
    pub deferred: Vec<ValidTx>,
}

/// A block that is complete, with what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// True roots and what the header shows.
    pub commitments: Commitments,
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Transactions in block order.
    pub transactions: Vec<RecoveredTransaction>,
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// Ommers; none where the block was built here.
    pub ommers: Vec<Header>,
    /// Withdrawals; `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// What the block changes.
    pub delta: StateDelta,
}

/// A block that somebody claims to be true.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its ommers; only blocks of proof of work have any.
    pub ommers: &'a [Header],
    /// Its transactions.
    pub transactions: &'a [RecoveredTransaction],
    /// Its withdrawals; none before Shanghai.
    pub withdrawals: &'a [Withdrawal],
}

impl<'a> From<&'a Block> for Claimed<'a> {
    fn from(block: &'a Block) -> Self {
        Self {
            header: &block.header,
            ommers: &block.ommers,
            transactions: &block.transactions,
            withdrawals: block.withdrawals.as_deref().map_or(&[], Vec::as_slice),
        }
    }
}

/// A block that says something else than consensus rules or its execution do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {height}: {field}: expected {expected}, found {found}")]
pub struct Mismatch {
    /// Height of the block.
    pub height: u64,
    /// The field, under its name in JSON-RPC.
    pub field: Cow<'static, str>,
    /// What the rules or its execution lead to.
    pub expected: String,
    /// What the block says.
    pub found: String,
}

impl Mismatch {
    /// A field that says something else than it should.
    pub fn new(
        height: u64,
        field: impl Into<Cow<'static, str>>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self { height, field: field.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl Built {
    /// Completes the block with the root of the state after its delta.
    #[must_use]
    pub fn seal(self, state_root: B256) -> Executed {
        let mut header = self.header_draft;
        header.state_root = state_root;
        header.transactions_root =
            ordered_root(&self.transactions, |transaction, out| transaction.inner().encode_2718(out));
        header.receipts_root = ordered_root(&self.receipts, |receipt, out| receipt.encode_2718(out));
        header.logs_bloom = self.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
        header.withdrawals_root = self.withdrawals.as_ref().map(|withdrawals| calculate_withdrawals_root(withdrawals));
        header.requests_hash = self.requests.as_ref().map(Requests::requests_hash);
        Executed {
            commitments: Commitments::open(state_root, header.receipts_root, header.requests_hash.unwrap_or_default()),
            hash: header.hash_slow(),
            header,
            transactions: self.transactions,
            receipts: self.receipts,
            ommers: self.ommers,
            withdrawals: self.withdrawals,
            delta: self.delta,
        }
    }
}

impl Executed {
    /// The block as readers see it, and what it changes.
    #[must_use]
    pub fn into_block(self) -> (Block, StateDelta) {
        let block = Block {
            header: self.header,
            hash: self.hash,
            commitments: self.commitments,
            transactions: self.transactions,
            receipts: self.receipts,
            ommers: self.ommers,
            withdrawals: self.withdrawals,
        };
        (block, self.delta)
    }

    /// Compares with the header that someone else claims for the same block.
    ///
    /// # Errors
    /// [`Mismatch`], naming the first field that differs.
    pub fn verify(&self, claimed: &Header) -> Result<(), Mismatch> {
        let ours = &self.header;
        let fields = [
            differ("gasUsed", &ours.gas_used, &claimed.gas_used),
            differ("transactionsRoot", &ours.transactions_root, &claimed.transactions_root),
            differ("withdrawalsRoot", &ours.withdrawals_root, &claimed.withdrawals_root),
            differ("receiptsRoot", &ours.receipts_root, &claimed.receipts_root),
            differ("logsBloom", &ours.logs_bloom, &claimed.logs_bloom),
            differ("blobGasUsed", &ours.blob_gas_used, &claimed.blob_gas_used),
            differ("stateRoot", &ours.state_root, &claimed.state_root),
            differ("requestsHash", &ours.requests_hash, &claimed.requests_hash),
            differ("hash", &self.hash, &claimed.hash_slow()),
        ];
        match fields.into_iter().flatten().next() {
            None => Ok(()),
            Some((field, expected, found)) => Err(Mismatch::new(ours.number, field, expected, found)),
        }
    }
}

/// A field, and what two headers say in it, if that differs.
fn differ<T: Shown + PartialEq>(field: &'static str, ours: &T, claimed: &T) -> Option<(&'static str, String, String)> {
    (ours != claimed).then(|| (field, ours.shown(), claimed.shown()))
}

/// A field of a header, as a person is shown it.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for B256 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Bloom {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}
