//! A state as anyone would write it, and deltas to feed both with.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use alloy_trie::{Nibbles, TrieAccount};
use proptest::prelude::*;

use crate::{Account, AccountDelta, StateDelta, StateView, StorageCleared};

pub(crate) const ADDRESSES: u8 = 6;
pub(crate) const SLOTS: u64 = 8;

pub(crate) fn address(n: u8) -> Address {
    Address::repeat_byte(n + 1)
}

pub(crate) fn code(n: u8) -> Bytes {
    vec![n + 1; 40 * usize::from(n) + 1].into()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) accounts: BTreeMap<Address, (Account, BTreeMap<U256, U256>)>,
}

impl Model {
    pub(crate) fn apply(&mut self, delta: &StateDelta) {
        for change in &delta.accounts {
            let Some(account) = change.account else {
                self.accounts.remove(&change.address);
                continue;
            };
            let entry = self.accounts.entry(change.address).or_default();
            entry.0 = account;
            if change.storage_cleared == StorageCleared::Yes {
                entry.1.clear();
            }
            for (slot, value) in &change.storage {
                if value.is_zero() {
                    entry.1.remove(slot);
                } else {
                    entry.1.insert(*slot, *value);
                }
            }
        }
    }

    pub(crate) fn root(&self) -> B256 {
        state_root_unhashed(
            self.accounts.iter().map(|(address, (account, storage))| (*address, trie_account(account, storage))),
        )
    }

    pub(crate) fn slots(&self) -> u64 {
        let accounts = self.accounts.values();
        accounts.map(|(_, storage)| storage.len() as u64).sum()
    }

    /// Checks everything a view can answer.
    pub(crate) fn check(&self, view: &StateView) {
        assert_eq!(view.root(), self.root());
        for n in 0..=ADDRESSES {
            let address = address(n);
            let expected = self.accounts.get(&address);
            let account = view.account(address).unwrap();
            assert_eq!(account, expected.map(|(account, _)| *account));
            if let Some(account) = account {
                let code = view.code(account.code_hash).unwrap().unwrap();
                assert_eq!(keccak256(code), account.code_hash);
            }
            let empty = expected.is_none_or(|(_, storage)| storage.is_empty());
            assert_eq!(view.is_storage_empty(address).unwrap(), empty);
            for slot in (0..=SLOTS).map(U256::from) {
                let value = expected.and_then(|(_, storage)| storage.get(&slot));
                let value = value.copied().unwrap_or_default();
                assert_eq!(view.storage(address, slot).unwrap(), value, "{address} {slot}");
            }
        }
    }

    /// Checks proofs of everything, present and absent.
    pub(crate) fn check_proofs(&self, view: &StateView) {
        let slots: Vec<U256> = (0..=SLOTS).map(U256::from).collect();
        for n in 0..=ADDRESSES {
            let address = address(n);
            let found = self.accounts.get(&address);
            let without_slots = view.proof(address, &[]).unwrap();
            let proof = view.proof(address, &slots).unwrap();
            assert_eq!(without_slots.account_proof, proof.account_proof);
            assert_eq!(without_slots.storage_root, proof.storage_root);
            assert_eq!(proof.storage_root, view.storage_root(address).unwrap());
            assert_eq!(proof.account, found.map(|(account, _)| *account));
            let key = Nibbles::unpack(keccak256(address));
            let value = found.map(|(account, storage)| alloy_rlp::encode(trie_account(account, storage)));
            verify_proof(view.root(), key, value, &proof.account_proof).unwrap();
            for (slot, proven) in slots.iter().zip(&proof.storage) {
                let value = found.and_then(|(_, storage)| storage.get(slot)).copied();
                assert_eq!(proven.slot, *slot);
                assert_eq!(proven.value, value.unwrap_or_default());
                let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
                let value = value.map(alloy_rlp::encode);
                verify_proof(proof.storage_root, key, value, &proven.proof).unwrap();
            }
        }
    }
}

fn trie_account(account: &Account, storage: &BTreeMap<U256, U256>) -> TrieAccount {
    let slots = storage.iter();
    TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: storage_root_unhashed(slots.map(|(slot, value)| (B256::from(*slot), *value))),
        code_hash: account.code_hash,
    }
}

fn account() -> impl Strategy<Value = (Account, Option<Bytes>)> {
    (any::<u8>(), any::<u64>(), prop::option::of(0u8..4)).prop_map(|(nonce, balance, n)| {
        let code = n.map(code);
        let mut account =
            Account { nonce: nonce.into(), balance: U256::from(balance) << (nonce % 190), ..Account::default() };
        if let Some(code) = &code {
            account.code_hash = keccak256(code);
        }
        (account, code)
    })
}

fn storage() -> impl Strategy<Value = Vec<(U256, U256)>> {
    let value = prop_oneof![
        2 => Just(U256::ZERO),
        2 => (1u64..300).prop_map(U256::from),
        1 => any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ];
    prop::collection::btree_map((0..SLOTS).prop_map(U256::from), value, 0..5)
        .prop_map(|slots| slots.into_iter().collect())
}

/// A canonical delta over the few addresses and slots there are.
pub(crate) fn delta() -> impl Strategy<Value = StateDelta> {
    let change = prop_oneof![
        1 => Just(None),
        4 => (account(), storage(), prop::bool::weighted(0.2)).prop_map(Some),
    ];
    let changes = prop::collection::btree_map(0..ADDRESSES, change, 0..4);
    changes.prop_map(|changes| {
        let mut delta = StateDelta::default();
        for (n, change) in changes {
            let mut account_delta = AccountDelta {
                address: address(n),
                account: None,
                storage_cleared: StorageCleared::No,
                storage: Vec::new(),
            };
            if let Some(((account, code), storage, cleared)) = change {
                delta.codes.extend(code);
                account_delta.account = Some(account);
                account_delta.storage = storage;
                if cleared {
                    account_delta.storage_cleared = StorageCleared::Yes;
                }
            }
            delta.accounts.push(account_delta);
        }
        delta.sort();
        delta
    })
}
