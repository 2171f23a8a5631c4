//! Block, transaction and receipt types: alloy's consensus types under the names this project uses.

use alloy_consensus::{EthereumTxEnvelope, Header, ReceiptEnvelope, TxEip4844, transaction::Recovered};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::B256;
use std::sync::Arc;

use crate::{Commitments, Height};

/// A signed transaction as it stands in a block: blob transactions without their sidecar.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// A signed transaction with its recovered sender; shared, because pool, builder, block and readers
/// hold it at the same time.
pub type RecoveredTransaction = Arc<Recovered<Transaction>>;

/// A receipt with its type and bloom filter, as it enters `receiptsRoot`.
pub type Receipt = ReceiptEnvelope;

/// An executed block with everything a reader may ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The public header.
    pub header: Header,
    /// keccak256 of the RLP of `header`.
    pub hash: B256,
    /// True roots and their salts; equal to the header's where confidentiality is off.
    pub commitments: Commitments,
    /// Transactions in block order.
    pub transactions: Vec<RecoveredTransaction>,
    /// One receipt per transaction, in the same order.
    pub receipts: Vec<Receipt>,
    /// Ommers; only imported blocks of proof of work have any.
    pub ommers: Vec<Header>,
    /// Withdrawals (EIP-4895); `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
}

impl Block {
    /// The block's height.
    #[must_use]
    pub const fn height(&self) -> Height {
        Height(self.header.number)
    }
}
