//! The public header of a confidential chain: what it shows in place of what it must not tell.

use alloy_primitives::{B256, Bloom};
use cloister_primitives::{Commitment, Commitments, Protection};

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
        let requests_hash = header.requests_hash.unwrap_or_default();
        let commitments = if Protection::HeaderCommitments.holds() {
            Commitments {
                state: Commitment::hiding(header.state_root, salts.state),
                receipts: Commitment::hiding(header.receipts_root, salts.receipts),
                requests: Commitment::hiding(requests_hash, salts.requests),
            }
        } else {
            Commitments::open(header.state_root, header.receipts_root, requests_hash)
        };
        header.state_root = commitments.state.public;
        header.receipts_root = commitments.receipts.public;
        header.requests_hash = header.requests_hash.map(|_| commitments.requests.public);
        if Protection::HeaderBloom.holds() {
            header.logs_bloom = Bloom::repeat_byte(0xff);
        }
        if Protection::HeaderGas.holds() {
            let shown = SHOWN_GAS_PER_TRANSACTION.saturating_mul(self.transactions.len() as u64);
            header.gas_used = shown.min(header.gas_limit);
        }
        self.hash = header.hash_slow();
        self.commitments = commitments;
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::TxEip1559;
    use alloy_primitives::{TxKind, keccak256};

    use super::*;
    use crate::testing::{TOKEN, World, address, dynamic, recovered, transfer_input};

    const SALTS: Salts =
        Salts { state: B256::repeat_byte(1), receipts: B256::repeat_byte(2), requests: B256::repeat_byte(3) };

    /// Blocks of a plain transfer, and of one of tokens, which logs and uses more gas.
    fn blocks() -> [Executed; 2] {
        let plain = TxEip1559 { to: TxKind::Call(address(2)), ..dynamic(0) };
        let token = TxEip1559 { to: TxKind::Call(TOKEN), input: transfer_input(address(3), 5), ..dynamic(0) };
        [plain, token].map(|transaction| World::new().mine(vec![recovered(1, transaction)]))
    }

    #[test]
    fn a_header_says_the_same_of_different_blocks_but_for_hashes() {
        let open = blocks();
        assert_ne!(open[0].header.gas_used, open[1].header.gas_used);
        assert_ne!(open[0].header.logs_bloom, open[1].header.logs_bloom);
        let [mut one, mut other] = blocks().map(|block| block.conceal(&SALTS).header);
        for header in [&mut one, &mut other] {
            assert_eq!(header.gas_used, 21_000);
            assert_eq!(header.logs_bloom, Bloom::repeat_byte(0xff));
            header.transactions_root = B256::ZERO;
            header.state_root = B256::ZERO;
            header.receipts_root = B256::ZERO;
        }
        assert_eq!(one, other);
    }

    #[test]
    fn roots_are_hidden_by_their_own_salts_and_kept_beside() {
        let [open, _] = blocks();
        let hidden = open.clone().conceal(&SALTS);
        let hash = |root: B256, salt: B256| keccak256([root.0, salt.0].concat());
        assert_eq!(hidden.header.state_root, hash(open.header.state_root, SALTS.state));
        assert_eq!(hidden.header.receipts_root, hash(open.header.receipts_root, SALTS.receipts));
        let requests = open.header.requests_hash.unwrap();
        assert_eq!(hidden.header.requests_hash, Some(hash(requests, SALTS.requests)));
        assert_eq!(hidden.commitments.state.root, open.header.state_root);
        assert_eq!(hidden.commitments.receipts.root, open.header.receipts_root);
        assert_eq!(hidden.hash, hidden.header.hash_slow());
        assert_ne!(hidden.hash, open.hash);
    }
}
