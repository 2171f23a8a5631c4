//! What a header commits to, and what it shows.

use alloy_primitives::B256;
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
