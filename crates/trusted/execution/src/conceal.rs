//! The public header of a confidential chain: what it shows in place of what it must not tell.

use alloy_primitives::{B256, Bloom};
use cloister_primitives::{Commitment, Commitments};

use crate::block::Executed;

/// Gas that the header says of each transaction, whatever it used (that of a plain transfer).
const SHOWN_GAS_PER_TRANSACTION: u64 = 21_000;

/// What hides a block's roots. Drawn from a key that only the enclaves of the network have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salts {
    /// For the root of the state.
    pub state: B256,
    /// For the root of the receipts.
    pub receipts: B256,
    /// For the hash of the requests (EIP-7685).
    pub requests: B256,
}

impl Executed {
    /// The same block, whose header says nothing but what everybody may know: salted hashes of the roots, a filter
    /// that never misses, and an amount of gas that follows from the number of transactions.
    #[must_use]
    pub fn conceal(mut self, salts: &Salts) -> Self {
        let header = &mut self.header;
        let commitments = Commitments {
            state: Commitment::hiding(header.state_root, salts.state),
            receipts: Commitment::hiding(header.receipts_root, salts.receipts),
            requests: Commitment::hiding(header.requests_hash.unwrap_or_default(), salts.requests),
        };
        header.state_root = commitments.state.public;
        header.receipts_root = commitments.receipts.public;
        header.requests_hash = header.requests_hash.map(|_| commitments.requests.public);
        header.logs_bloom = Bloom::repeat_byte(0xff);
        let shown = SHOWN_GAS_PER_TRANSACTION.saturating_mul(self.transactions.len() as u64);
        header.gas_used = shown.min(header.gas_limit);
        self.hash = header.hash_slow();
        self.commitments = commitments;
        self
    }
}
