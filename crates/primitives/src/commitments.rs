//! What a header commits to, and what it shows.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};

/// A root together with the salt that hides it in the public header.
///
/// The header shows `keccak256(root ‖ salt)` on a confidential chain and `root` itself where
/// confidentiality is off; there the salt is zero and unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, RlpEncodable, RlpDecodable)]
pub struct Commitment {
    /// The true root.
    pub root: B256,
    /// The salt mixed into the public value.
    pub salt: B256,
    /// The value in the public header.
    pub public: B256,
}

impl Commitment {
    /// A commitment that hides nothing: the public value is the root.
    #[must_use]
    pub const fn open(root: B256) -> Self {
        Self { root, salt: B256::ZERO, public: root }
    }

    /// A commitment that hides the root from whoever does not know the salt. Without one, a root over data that can
    /// be guessed is as good as the data.
    #[must_use]
    pub fn hiding(root: B256, salt: B256) -> Self {
        let mut input = [0; 64];
        input[..32].copy_from_slice(root.as_slice());
        input[32..].copy_from_slice(salt.as_slice());
        Self { root, salt, public: keccak256(input) }
    }
}

/// The true roots of a block, their salts, and what the public header shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, RlpEncodable, RlpDecodable)]
pub struct Commitments {
    /// Root of the account trie after the block.
    pub state: Commitment,
    /// Root of the receipts trie.
    pub receipts: Commitment,
    /// EIP-7685 requests hash; zero before Prague.
    pub requests: Commitment,
}

impl Commitments {
    /// Commitments of a chain with confidentiality off.
    #[must_use]
    pub const fn open(state_root: B256, receipts_root: B256, requests_hash: B256) -> Self {
        Self {
            state: Commitment::open(state_root),
            receipts: Commitment::open(receipts_root),
            requests: Commitment::open(requests_hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_root_shows_the_hash_of_root_and_salt() {
        let (root, salt) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let hidden = Commitment::hiding(root, salt);
        assert_eq!((hidden.root, hidden.salt), (root, salt));
        assert_eq!(hidden.public, keccak256([root.0, salt.0].concat()));
        assert_ne!(hidden.public, Commitment::hiding(root, B256::ZERO).public);
    }
}
