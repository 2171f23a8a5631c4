//! Merkle proofs as `eth_getProof` gives them (EIP-1186).

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::Account;

/// Proof that an account has certain contents, or does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Whose proof this is.
    pub address: Address,
    /// The account; `None` proves absence.
    pub account: Option<Account>,
    /// Root of its storage trie; the empty root where there is no account.
    pub storage_root: B256,
    /// Nodes from the state root down, each as RLP. Nodes that are part of their parent's RLP
    /// do not appear.
    pub account_proof: Vec<Bytes>,
    /// One proof per slot asked for, in the order asked.
    pub storage: Vec<StorageProof>,
}

/// Proof that a slot has a value; zero proves absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot, as the contract knows it.
    pub slot: U256,
    /// Its value.
    pub value: U256,
    /// Nodes from the storage root down, each as RLP.
    pub proof: Vec<Bytes>,
}
