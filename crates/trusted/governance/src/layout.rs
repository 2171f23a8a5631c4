//! Where `Visibility` keeps what: Solidity's layout of mappings and arrays.

use alloy_primitives::{Address, B256, U256, keccak256};

/// Mappings of the contract, by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Account to head.
    Heads = 0,
    /// Account and function to rules.
    Functions = 1,
    /// Account and event to all rules that it had.
    Events = 2,
    /// Account and member to roles.
    Roles = 3,
    /// Account and proxy to whether it may delegate to the account's code.
    Delegations = 4,
    /// Account and number to judge.
    Judges = 5,
    /// Adopted account to whose rules it has.
    Templates = 6,
    /// Account and auditor to what he may ask about.
    Audits = 10,
    /// Account and auditor to what he last said that he is going to ask.
    Uses = 11,
    /// Member to whether he is one.
    Members = 12,
}

/// The slot of what stands for all rules.
pub(crate) const REVISION: B256 = B256::with_last_byte(7);

/// The slot of a mapping's value.
pub(crate) fn value(mapping: Mapping, account: Address) -> B256 {
    nested(B256::with_last_byte(mapping as u8), account.into_word())
}

/// The slot of a value in a mapping of mappings.
pub(crate) fn pair(mapping: Mapping, account: Address, key: B256) -> B256 {
    nested(value(mapping, account), key)
}

/// The slot of an array's element; the array's own slot has its length.
pub(crate) fn element(array: B256, index: u64) -> B256 {
    (U256::from_be_bytes(keccak256(array).0).wrapping_add(U256::from(index))).into()
}

fn nested(mapping: B256, key: B256) -> B256 {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(key.as_slice());
    bytes[32..].copy_from_slice(mapping.as_slice());
    keccak256(bytes)
}
