//! The reference's state: ordered maps, and roots built from nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};
use revm::bytecode::Bytecode;
use revm::state::{Account, AccountInfo};
use revm::{Database, DatabaseCommit, DatabaseRef};

use super::Fault;
use crate::differential::case::Allocated;

/// One account.
#[derive(Clone, Debug)]
pub(in crate::differential) struct Entry {
    hashed: B256,
    pub(in crate::differential) nonce: u64,
    pub(in crate::differential) balance: U256,
    pub(in crate::differential) code_hash: B256,
    pub(in crate::differential) storage: BTreeMap<U256, U256>,
    /// Root of the storage, while it is known.
    root: Option<B256>,
}

/// All accounts, the codes they have had, and the hashes of earlier blocks.
#[derive(Clone, Debug, Default)]
pub(in crate::differential) struct World {
    accounts: BTreeMap<Address, Entry>,
    codes: BTreeMap<B256, Bytecode>,
    hashes: Vec<B256>,
    fault: Fault,
}

impl Entry {
    fn new(address: Address) -> Self {
        Self {
            hashed: keccak256(address),
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK256_EMPTY,
            storage: BTreeMap::new(),
            root: None,
        }
    }

    fn set(&mut self, slot: U256, value: U256) {
        self.root = None;
        if value.is_zero() {
            self.storage.remove(&slot);
        } else {
            self.storage.insert(slot, value);
        }
    }

    fn storage_root(&mut self) -> B256 {
        let storage = &self.storage;
        *self.root.get_or_insert_with(|| {
            let mut leaves: Vec<_> =
                storage.iter().map(|(slot, value)| (keccak256(B256::from(*slot)), value)).collect();
            leaves.sort_unstable_by_key(|(hashed, _)| *hashed);
            root_of(leaves.into_iter().map(|(hashed, value)| (Nibbles::unpack(hashed), alloy_rlp::encode(value))))
        })
    }
}

/// Root of the trie with these leaves, which ascend.
pub(super) fn root_of(leaves: impl Iterator<Item = (Nibbles, Vec<u8>)>) -> B256 {
    let mut builder = HashBuilder::default();
    let mut none = true;
    for (key, value) in leaves {
        builder.add_leaf(key, &value);
        none = false;
    }
    if none { EMPTY_ROOT_HASH } else { builder.root() }
}

/// Root of a list, whose keys are its indices in RLP.
pub(super) fn root_of_list(items: &[Vec<u8>]) -> B256 {
    let keyed: BTreeMap<Vec<u8>, &Vec<u8>> =
        items.iter().enumerate().map(|(index, item)| (alloy_rlp::encode(index as u64), item)).collect();
    root_of(keyed.into_iter().map(|(key, item)| (Nibbles::unpack(key), item.clone())))
}

impl World {
    pub(super) fn new(alloc: &BTreeMap<Address, Allocated>, fault: Fault) -> Self {
        let mut world = Self { fault, ..Self::default() };
        for (address, allocated) in alloc {
            let mut entry = Entry::new(*address);
            entry.nonce = allocated.nonce;
            entry.balance = allocated.balance;
            if !allocated.code.is_empty() {
                entry.code_hash = keccak256(&allocated.code);
                let code = Bytecode::new_raw_checked(allocated.code.clone());
                world
                    .codes
                    .insert(entry.code_hash, code.unwrap_or_else(|_| Bytecode::new_legacy(allocated.code.clone())));
            }
            for (slot, value) in &allocated.storage {
                entry.set(*slot, *value);
            }
            world.accounts.insert(*address, entry);
        }
        world
    }

    pub(in crate::differential) fn accounts(&self) -> impl Iterator<Item = (&Address, &Entry)> {
        self.accounts.iter()
    }

    pub(in crate::differential) fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }

    pub(in crate::differential) fn nonce(&self, address: Address) -> u64 {
        self.accounts.get(&address).map_or(0, |entry| entry.nonce)
    }

    pub(super) fn add_hash(&mut self, hash: B256) {
        self.hashes.push(hash);
    }

    pub(in crate::differential) fn hashes(&self) -> &[B256] {
        &self.hashes
    }

    /// Writes into a system contract, which has code on every chain here.
    pub(super) fn set(&mut self, address: Address, slot: U256, value: U256) {
        if let Some(entry) = self.accounts.get_mut(&address) {
            entry.set(slot, value);
        }
    }

    pub(super) fn root(&mut self) -> B256 {
        let mut leaves: Vec<(B256, Vec<u8>)> = Vec::with_capacity(self.accounts.len());
        for entry in self.accounts.values_mut() {
            let storage_root = entry.storage_root();
            let account =
                TrieAccount { nonce: entry.nonce, balance: entry.balance, storage_root, code_hash: entry.code_hash };
            let mut encoded = Vec::with_capacity(account.length());
            account.encode(&mut encoded);
            leaves.push((entry.hashed, encoded));
        }
        leaves.sort_unstable_by_key(|(hashed, _)| *hashed);
        root_of(leaves.into_iter().map(|(hashed, encoded)| (Nibbles::unpack(hashed), encoded)))
    }

    fn change(&mut self, address: Address, account: Account) {
        if account.is_selfdestructed() && self.fault != Fault::SelfdestructForgotten {
            self.accounts.remove(&address);
            return;
        }
        let entry = self.accounts.entry(address).or_insert_with(|| Entry::new(address));
        if account.is_created() {
            entry.storage.clear();
            entry.root = None;
        }
        entry.nonce = account.info.nonce;
        entry.balance = account.info.balance;
        entry.code_hash = account.info.code_hash;
        for (slot, value) in account.storage {
            if value.is_changed() {
                entry.set(slot, value.present_value());
            }
        }
        if let Some(code) = account.info.code
            && !code.is_empty()
        {
            self.codes.entry(account.info.code_hash).or_insert(code);
        }
        // EIP-161: what a transaction touched and left empty is gone.
        if entry.nonce == 0 && entry.balance.is_zero() && entry.code_hash == KECCAK256_EMPTY {
            self.accounts.remove(&address);
        }
    }
}

impl DatabaseCommit for World {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            if account.is_touched() {
                self.change(address, account);
            }
        }
    }
}

impl DatabaseRef for World {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.accounts.get(&address).map(|entry| AccountInfo {
            balance: entry.balance,
            nonce: entry.nonce,
            code_hash: entry.code_hash,
            code: Some(self.codes.get(&entry.code_hash).cloned().unwrap_or_default()),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.codes.get(&code_hash).cloned().unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.accounts.get(&address).and_then(|entry| entry.storage.get(&slot)).copied().unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let index = usize::try_from(number).ok();
        Ok(index.and_then(|index| self.hashes.get(index)).copied().unwrap_or_default())
    }
}

impl Database for World {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        self.basic_ref(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Infallible> {
        self.code_by_hash_ref(code_hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        self.storage_ref(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        self.block_hash_ref(number)
    }
}
