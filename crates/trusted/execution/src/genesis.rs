//! The genesis block and its state.

use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, KECCAK256_EMPTY, keccak256};
use cloister_primitives::{Block, ChainSpec, Commitments, GenesisAccount};
use cloister_state::{Account, AccountDelta, StateDelta, StorageCleared};

/// The genesis allocation, as the delta of block 0 on an empty state.
#[must_use]
pub fn genesis_delta(spec: &ChainSpec) -> StateDelta {
    let mut delta = StateDelta::default();
    for (address, allocated) in &spec.genesis().alloc {
        if !allocated.code.is_empty() {
            delta.codes.push(allocated.code.clone());
        }
        delta.accounts.push(AccountDelta {
            address: *address,
            account: Some(account(allocated)),
            storage_cleared: StorageCleared::No,
            storage: allocated
                .storage
                .iter()
                .map(|(slot, value)| (*slot, *value))
                .filter(|(_, value)| !value.is_zero())
                .collect(),
        });
    }
    delta.sort();
    delta
}

fn account(allocated: &GenesisAccount) -> Account {
    Account {
        nonce: allocated.nonce,
        balance: allocated.balance,
        code_hash: if allocated.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&allocated.code) },
    }
}

/// The genesis block, given the root of the state that [`genesis_delta`] makes.
#[must_use]
pub fn genesis_block(spec: &ChainSpec, state_root: B256) -> Block {
    let header = spec.genesis_header(state_root);
    Block {
        hash: header.hash_slow(),
        commitments: Commitments::open(state_root, header.receipts_root, header.requests_hash.unwrap_or_default()),
        withdrawals: header.withdrawals_root.map(|_| Withdrawals::default()),
        header,
        ommers: Vec::new(),
        transactions: Vec::new(),
        receipts: Vec::new(),
    }
}
