//! What a call may pretend about the state and the block.

use std::collections::BTreeMap;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_primitives::{Code, Rejected};

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
    /// Where the precompile at this address is found instead.
    pub move_precompile_to: Option<Address>,
}

impl AccountOverride {
    /// Checks that no field contradicts another.
    ///
    /// # Errors
    /// [`Code::InvalidOverride`] in geth's words, if all of the storage is given and changes to it as well.
    pub(crate) fn check(&self, address: Address) -> Result<(), Rejected> {
        if self.state.is_some() && self.state_diff.is_some() {
            let message = format!("account {address} has both 'state' and 'stateDiff'");
            return Err(Rejected::with_detail(Code::InvalidOverride, message));
        }
        Ok(())
    }
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
    /// Root handed to the EIP-4788 contract; only blocks of a simulation have one.
    pub beacon_root: Option<B256>,
    /// Withdrawals (EIP-4895); only blocks of a simulation have any.
    pub withdrawals: Option<Vec<Withdrawal>>,
}
