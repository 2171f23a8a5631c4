//! Bringing hashes up to date in steps: storage tries of changed accounts first, then the trie of
//! accounts.

use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;

use super::hash::{self, Batch, Found, Settled};
use super::node::{AccountLeaf, Branch, NodeId, SlotLeaf};
use super::store::NodeStore;
use super::{AccountId, Tries};

/// References computed in one step: bounds the time of a step, and keeps the nodes it reads in the cache until they are hashed.
const STEP: usize = 512;

/// Progress through the tries whose hashes are out of date.
///
/// Tries must not change between the first step and the last, but for [`Tries::store`].
pub(crate) struct Settling {
    /// Accounts whose storage changed.
    accounts: Vec<B256>,
    /// How many of them are done.
    done: usize,
}

/// What one step found out.
#[derive(Default)]
pub(crate) struct Step {
    slots: Settled,
    storage_roots: Vec<(AccountId, B256)>,
    accounts: Settled,
}

impl Step {
    /// References it computed.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() + self.accounts.len()
    }
}

impl Settling {
    /// Starts over all changed accounts, given those whose storage changed.
    pub(crate) const fn new(accounts: Vec<B256>) -> Self {
        Self { accounts, done: 0 }
    }

    /// Computes the next step, to be given to [`Tries::store`]; `None` once all is up to date.
    pub(crate) fn step<B, S, A>(&mut self, tries: &Tries<B, S, A>) -> Option<Step>
    where
        B: NodeStore<Branch>,
        S: NodeStore<SlotLeaf>,
        A: NodeStore<AccountLeaf>,
    {
        let branches = &tries.branches;
        let mut batch = Batch::default();
        let mut roots = Vec::new();
        while let Some(key) = self.accounts.get(self.done) {
            if let Some(id) = tries.account_id(key) {
                let storage = tries.account(id).storage;
                let Some(root) = batch.add(branches, &tries.slots, storage, 0, STEP) else {
                    break;
                };
                roots.push((id, storage, root));
            }
            self.done += 1;
        }
        // The storage roots must be in place before the accounts are hashed.
        if !roots.is_empty() || batch.len() > 0 {
            let slots = batch.settle(branches, &tries.slots);
            let storage_roots = roots.into_iter().map(|(id, storage, root)| (id, root_hash(storage, root, &slots)));
            return Some(Step { storage_roots: storage_roots.collect(), slots, accounts: Settled::default() });
        }
        if tries.is_settled() {
            return None;
        }
        batch.add(branches, &tries.accounts, tries.root, 0, STEP);
        Some(Step { accounts: batch.settle(branches, &tries.accounts), ..Step::default() })
    }
}

fn root_hash(storage: NodeId, root: Found, settled: &Settled) -> B256 {
    if storage.is_nothing() {
        return EMPTY_ROOT_HASH;
    }
    match root {
        Found::Settled(reference) => reference.root_hash(),
        Found::Changed(place) => settled[place as usize].1.root_hash(),
    }
}

impl<B, S, A> Tries<B, S, A>
where
    B: NodeStore<Branch>,
    S: NodeStore<SlotLeaf>,
    A: NodeStore<AccountLeaf>,
{
    /// Stores what a step found out.
    pub(crate) fn store(&mut self, step: &Step) {
        hash::store(&mut self.branches, &mut self.slots, &step.slots);
        for (account, root) in &step.storage_roots {
            self.put_storage_root(*account, *root);
        }
        hash::store(&mut self.branches, &mut self.accounts, &step.accounts);
    }

    /// Brings all hashes up to date at once and returns the state root.
    pub(crate) fn settle(&mut self, changed_storage: Vec<B256>) -> B256 {
        let mut settling = Settling::new(changed_storage);
        while let Some(step) = settling.step(self) {
            self.store(&step);
        }
        self.root_hash()
    }
}
