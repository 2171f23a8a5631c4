//! Contracts that a genesis has from the start: of a development network, a confidential one, one of several nodes.
//!
//! System contracts come with their EIP's own address and bytecode. The other two are found at the same
//! address on nearly every chain, and tools expect them there; both are public deployments whose code
//! hash the tests pin.

use std::collections::BTreeMap;

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, U256, address, bytes, hex, keccak256};

use crate::genesis::{GenesisAccount, RaftGenesis};

/// Runtime code out of a file with so many bytes of hex.
macro_rules! runtime_code {
    ($file:literal, $bytes:literal) => {{
        static CODE: [u8; $bytes] = match hex::const_decode_to_array(include_bytes!($file)) {
            Ok(code) => code,
            Err(_) => panic!(concat!($file, " is not ", $bytes, " bytes of hex")),
        };
        Bytes::from_static(&CODE)
    }};
}

/// Address of the deterministic deployment proxy (`CREATE2` factory used by Foundry and Hardhat).
pub const DETERMINISTIC_DEPLOYER_ADDRESS: Address = address!("0x4e59b44847b379578588920ca78fbf26c0b4956c");

/// Runtime code of the deterministic deployment proxy.
pub static DETERMINISTIC_DEPLOYER_CODE: Bytes = bytes!(
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// Address of Multicall3, through which clients batch calls.
pub const MULTICALL3_ADDRESS: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// Runtime code of Multicall3, as deployed on Ethereum.
pub static MULTICALL3_CODE: Bytes = runtime_code!("multicall3.hex", 3808);

/// Address of `Visibility`, which says who may see what of each contract on a confidential chain.
pub const VISIBILITY_ADDRESS: Address = address!("0x00000000000000000000000000000000000c1001");

/// Runtime code of `contracts/system/Visibility.sol`.
pub static VISIBILITY_CODE: Bytes = runtime_code!("visibility.hex", 11396);

/// Address of `Nodes`, in which members decide who orders the blocks of a network.
pub const NODES_ADDRESS: Address = address!("0x00000000000000000000000000000000000c1002");

/// Runtime code of `contracts/system/Nodes.sol`, compiled for London, so that older chains run it too.
pub static NODES_CODE: Bytes = runtime_code!("nodes.hex", 2261);

/// EIP-4788, EIP-2935, EIP-7002 and EIP-7251 system contracts.
///
/// Nonce 1 and no balance, as in geth's development genesis; storage starts empty, and the first system
/// calls fill it.
#[must_use]
pub fn system_contracts() -> [(Address, GenesisAccount); 4] {
    [
        (eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE),
        (eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
        (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE),
        (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, &eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE),
    ]
    .map(|(address, code)| (address, contract(code)))
}

/// Contracts that development tools expect on any chain.
#[must_use]
pub fn development_contracts() -> [(Address, GenesisAccount); 2] {
    [
        (DETERMINISTIC_DEPLOYER_ADDRESS, contract(&DETERMINISTIC_DEPLOYER_CODE)),
        (MULTICALL3_ADDRESS, contract(&MULTICALL3_CODE)),
    ]
}

/// Contracts that every confidential chain has: the one that it reads its rules from, which knows the members, and the one
/// that batches queries.
#[must_use]
pub fn confidential_contracts(members: &[Address]) -> [(Address, GenesisAccount); 2] {
    let visibility = GenesisAccount { storage: members_at(VISIBILITY_MEMBERS, members), ..contract(&VISIBILITY_CODE) };
    [(VISIBILITY_ADDRESS, visibility), (MULTICALL3_ADDRESS, contract(&MULTICALL3_CODE))]
}

/// The contract of a network of several nodes: who they are, and who decides about it.
#[must_use]
pub fn network_contracts(members: &[Address], raft: &RaftGenesis) -> [(Address, GenesisAccount); 1] {
    let mut storage = members_at(NODES_MEMBERS, members);
    let voter = U256::from(2);
    for (index, node) in (0_u64..).zip(&raft.nodes) {
        let number = B256::from(U256::from(node.id));
        let first: U256 = keccak256([number, slot(NODES_NODES)].concat()).into();
        storage.insert(first, node.identity.into());
        storage.insert(first + U256::ONE, B256::right_padding_from(node.name.as_bytes()).into());
        storage.insert(first + voter, voter);
        storage.insert(U256::from_be_bytes(keccak256(slot(NODES_NUMBERS)).0) + U256::from(index), number.into());
        storage.insert(keccak256([node.identity, slot(NODES_IDENTITIES)].concat()).into(), U256::ONE);
    }
    storage.insert(slot(NODES_NUMBERS).into(), U256::from(raft.nodes.len()));
    [(NODES_ADDRESS, GenesisAccount { storage, ..contract(&NODES_CODE) })]
}

/// Slot of the mapping of members in `Visibility`; how many they are stands behind it.
const VISIBILITY_MEMBERS: u8 = 12;
/// The same in `Nodes`.
const NODES_MEMBERS: u8 = 0;
/// Slots of `Nodes`: the mapping of its nodes, their numbers, and the identities that are taken.
const NODES_NODES: u8 = 2;
const NODES_NUMBERS: u8 = 3;
const NODES_IDENTITIES: u8 = 4;

const fn slot(number: u8) -> B256 {
    B256::with_last_byte(number)
}

fn members_at(mapping: u8, members: &[Address]) -> BTreeMap<U256, U256> {
    let key = |member: &Address| keccak256([member.into_word(), slot(mapping)].concat()).into();
    let mut storage: BTreeMap<_, _> = members.iter().map(|member| (key(member), U256::ONE)).collect();
    if !members.is_empty() {
        storage.insert(slot(mapping + 1).into(), U256::from(members.len()));
    }
    storage
}

fn contract(code: &Bytes) -> GenesisAccount {
    GenesisAccount { nonce: 1, balance: U256::ZERO, code: code.clone(), ..GenesisAccount::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    #[test]
    fn well_known_code_hashes() {
        assert_eq!(
            keccak256(&DETERMINISTIC_DEPLOYER_CODE),
            b256!("0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989")
        );
        assert_eq!(
            keccak256(&MULTICALL3_CODE),
            b256!("0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891")
        );
    }
}
