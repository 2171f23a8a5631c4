//! The Merkle-Patricia tries of accounts and of their storage, in one set of arenas.
//!
//! **Invariants.** A leaf's value is never zero, an account's storage goes with it, and a node's
//! reference is known only if it is right and all those below are known.

mod edit;
mod hash;
mod node;
mod path;
mod rlp;
mod settle;
mod store;
#[cfg(test)]
mod tests;
mod walk;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

pub(crate) use self::node::{AccountLeaf, SlotLeaf};
pub(crate) use self::settle::Settling;

use self::node::{Branch, NodeId};
use self::rlp::Reference;
use self::store::{Arena, Edits, NodeStore, Overlay};
use self::walk::Leaves;
use crate::{Account, AccountProof, StorageProof};

/// All tries of one state.
pub(crate) struct Tries<B = Arena<Branch>, S = Arena<SlotLeaf>, A = Arena<AccountLeaf>> {
    branches: B,
    slots: S,
    accounts: A,
    root: NodeId,
}

/// Tries of an older height, or of none: changes on top of the live ones.
pub(crate) type OverlaidTries<'a> = Tries<Overlay<'a, Branch>, Overlay<'a, SlotLeaf>, Overlay<'a, AccountLeaf>>;

/// The changes of overlaid tries by themselves, good as long as the live ones stay as they are.
pub(crate) struct TrieEdits {
    branches: Edits<Branch>,
    slots: Edits<SlotLeaf>,
    accounts: Edits<AccountLeaf>,
    root: NodeId,
}

/// Index of an account's leaf, good until the account is removed.
#[derive(Clone, Copy)]
pub(crate) struct AccountId(u32);

impl Tries {
    pub(crate) const fn new() -> Self {
        Self { branches: Arena::new(), slots: Arena::new(), accounts: Arena::new(), root: NodeId::NOTHING }
    }

    /// A copy to change at will.
    pub(crate) fn overlay(&self) -> OverlaidTries<'_> {
        Tries {
            branches: Overlay::new(&self.branches),
            slots: Overlay::new(&self.slots),
            accounts: Overlay::new(&self.accounts),
            root: self.root,
        }
    }

    /// Goes on with changes made earlier on the same tries.
    pub(crate) fn resume(&self, edits: TrieEdits) -> OverlaidTries<'_> {
        Tries {
            branches: Overlay::resume(&self.branches, edits.branches),
            slots: Overlay::resume(&self.slots, edits.slots),
            accounts: Overlay::resume(&self.accounts, edits.accounts),
            root: edits.root,
        }
    }

    pub(crate) const fn live_accounts(&self) -> u64 {
        self.accounts.live() as u64
    }

    pub(crate) const fn live_slots(&self) -> u64 {
        self.slots.live() as u64
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.branches.bytes() + self.slots.bytes() + self.accounts.bytes()
    }
}

impl OverlaidTries<'_> {
    pub(crate) fn into_edits(self) -> TrieEdits {
        TrieEdits {
            branches: self.branches.into_edits(),
            slots: self.slots.into_edits(),
            accounts: self.accounts.into_edits(),
            root: self.root,
        }
    }

    /// Lets go of all slots of an account, however many: the overlay ends before they are missed.
    pub(crate) fn drop_storage(&mut self, account: AccountId) {
        self.accounts.get_mut(account.0).storage = NodeId::NOTHING;
    }
}

impl<B, S, A> Tries<B, S, A>
where
    B: NodeStore<Branch>,
    S: NodeStore<SlotLeaf>,
    A: NodeStore<AccountLeaf>,
{
    pub(crate) fn account_id(&self, key: &B256) -> Option<AccountId> {
        edit::find(&self.branches, &self.accounts, self.root, key).map(AccountId)
    }

    pub(crate) fn account(&self, id: AccountId) -> &AccountLeaf {
        self.accounts.get(id.0)
    }

    pub(crate) fn slot(&self, account: AccountId, key: &B256) -> U256 {
        let storage = self.account(account).storage;
        let slot = edit::find(&self.branches, &self.slots, storage, key);
        slot.map_or(U256::ZERO, |index| self.slots.get(index).value())
    }

    /// The values of several slots.
    pub(crate) fn slots<const N: usize>(&self, account: AccountId, keys: [&B256; N]) -> [U256; N] {
        let storage = self.account(account).storage;
        let found = edit::find_each(&self.branches, &self.slots, storage, keys);
        found.map(|slot| slot.map_or(U256::ZERO, |index| self.slots.get(index).value()))
    }

    /// Writes an account, leaving its storage alone.
    pub(crate) fn put_account(&mut self, key: B256, account: Account) -> AccountId {
        let existing = edit::touch(&mut self.branches, &mut self.accounts, self.root, &key);
        if let Some(index) = existing {
            self.accounts.get_mut(index).account = account;
            return AccountId(index);
        }
        let leaf = AccountLeaf {
            key,
            account,
            storage: NodeId::NOTHING,
            storage_root: EMPTY_ROOT_HASH,
            reference: Reference::UNKNOWN,
        };
        let accounts = &mut self.accounts;
        AccountId(edit::insert(&mut self.branches, accounts, &mut self.root, leaf))
    }

    /// Removes an account. Its storage must have been emptied before.
    pub(crate) fn remove_account(&mut self, key: &B256) {
        edit::remove(&mut self.branches, &mut self.accounts, &mut self.root, key);
    }

    /// Sets the storage root without the storage behind it: for the older version of an account
    /// whose storage nobody will read.
    pub(crate) fn put_storage_root(&mut self, account: AccountId, storage_root: B256) {
        self.accounts.get_mut(account.0).storage_root = storage_root;
    }

    /// Writes a slot; zero removes it. The account must have been written since hashes were last
    /// brought up to date, or its own reference would stay.
    pub(crate) fn put_slot(&mut self, account: AccountId, key: B256, value: U256) {
        let mut storage = self.account(account).storage;
        let (branches, slots) = (&mut self.branches, &mut self.slots);
        if value.is_zero() {
            edit::remove(branches, slots, &mut storage, &key);
        } else {
            edit::insert(branches, slots, &mut storage, SlotLeaf::new(key, value));
        }
        self.accounts.get_mut(account.0).storage = storage;
    }

    /// Accounts with keys from `start` on.
    pub(crate) fn accounts_from(&self, start: &B256) -> Leaves<'_, B, A> {
        Leaves::from(&self.branches, &self.accounts, self.root, start)
    }

    /// Slots of an account with keys from `start` on.
    pub(crate) fn slots_from(&self, account: AccountId, start: &B256) -> Leaves<'_, B, S> {
        let storage = self.account(account).storage;
        Leaves::from(&self.branches, &self.slots, storage, start)
    }

    /// Whether all hashes are up to date.
    pub(crate) fn is_settled(&self) -> bool {
        self.root.is_nothing() || hash::reference(&self.branches, &self.accounts, self.root).is_known()
    }

    /// The state root. Hashes must be up to date.
    pub(crate) fn root_hash(&self) -> B256 {
        if self.root.is_nothing() {
            return EMPTY_ROOT_HASH;
        }
        hash::reference(&self.branches, &self.accounts, self.root).root_hash()
    }

    /// Proves an account and some of its slots, or their absence. Hashes must be up to date.
    pub(crate) fn prove(&self, address: Address, slots: &[U256]) -> AccountProof {
        let key = keccak256(address);
        let found = self.account_id(&key).map(|id| self.account(id));
        let storage = found.map_or(NodeId::NOTHING, |leaf| leaf.storage);
        let slots = slots.iter().map(|slot| {
            let key = keccak256(slot.to_be_bytes::<32>());
            let found = edit::find(&self.branches, &self.slots, storage, &key);
            StorageProof {
                slot: *slot,
                value: found.map_or(U256::ZERO, |index| self.slots.get(index).value()),
                proof: hash::prove(&self.branches, &self.slots, storage, &key),
            }
        });
        AccountProof {
            address,
            account: found.map(|leaf| leaf.account),
            storage_root: found.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root),
            account_proof: hash::prove(&self.branches, &self.accounts, self.root, &key),
            storage: slots.collect(),
        }
    }
}
