//! What a call may pretend about the state and the block.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

/// Accounts that a call sees differently.
pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// How a call sees one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountOverride {
    /// Balance in wei.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// All of the storage: slots not named are zero. Excludes `state_diff`.
    pub state: Option<BTreeMap<U256, U256>>,
    /// Some slots; the others keep their values. Excludes `state`.
    pub state_diff: Option<BTreeMap<U256, U256>>,
}

/// How a call sees the block it runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOverrides {
    /// NUMBER.
    pub number: Option<u64>,
    /// TIMESTAMP, seconds since 1970.
    pub timestamp: Option<u64>,
    /// GASLIMIT.
    pub gas_limit: Option<u64>,
    /// COINBASE.
    pub beneficiary: Option<Address>,
    /// PREVRANDAO.
    pub prev_randao: Option<B256>,
    /// DIFFICULTY, before the merge.
    pub difficulty: Option<U256>,
    /// BASEFEE in wei per gas.
    pub base_fee: Option<u64>,
    /// BLOBBASEFEE in wei per gas.
    pub blob_base_fee: Option<u128>,
    /// BLOCKHASH by height.
    pub block_hashes: BTreeMap<u64, B256>,
}
