//! Simulated blocks of a confidential chain: what follows from the state of others is a constant.

use alloy_primitives::{B256, Bloom};
use cloister_primitives::{Block, Commitments};

/// Leaves nothing in a block's header that says anything of the state: neither roots, which are not salted here, nor the
/// filter. The hash, which calls in later blocks can ask for, is that of what is left, without the parent's.
pub(super) fn conceal(block: &mut Block) {
    let header = &mut block.header;
    header.state_root = B256::ZERO;
    header.transactions_root = B256::ZERO;
    header.receipts_root = B256::ZERO;
    header.logs_bloom = Bloom::repeat_byte(0xff);
    header.withdrawals_root = header.withdrawals_root.map(|_| B256::ZERO);
    header.requests_hash = header.requests_hash.map(|_| B256::ZERO);
    let mut hashed = header.clone();
    hashed.parent_hash = B256::ZERO;
    block.hash = hashed.hash_slow();
    block.commitments = Commitments::open(B256::ZERO, B256::ZERO, B256::ZERO);
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;

    use super::*;

    #[test]
    fn blocks_on_different_states_look_the_same() {
        let concealed = |byte: u8| {
            let root = B256::repeat_byte(byte);
            let header = Header {
                state_root: root,
                receipts_root: root,
                transactions_root: root,
                requests_hash: Some(root),
                withdrawals_root: Some(root),
                logs_bloom: Bloom::repeat_byte(byte),
                ..Header::default()
            };
            let mut block = Block {
                hash: header.hash_slow(),
                header,
                commitments: Commitments::open(root, root, root),
                transactions: Vec::new(),
                receipts: Vec::new(),
                ommers: Vec::new(),
                withdrawals: None,
            };
            conceal(&mut block);
            (block.header, block.hash, block.commitments)
        };
        assert_eq!(concealed(1), concealed(2));
    }
}
