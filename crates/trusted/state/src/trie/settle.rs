//! Bringing hashes up to date in steps: storage tries of changed accounts first, then the trie of
//! accounts.

use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;

use super::hash::{self, Settled};
use super::node::{AccountLeaf, Branch, SlotLeaf};
use super::store::NodeStore;
use super::{AccountId, Tries};

/// References computed in one step: bounds the time of a step and the memory between two.
const STEP: usize = 4096;

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
        let mut step = Step::default();
        while let Some(key) = self.accounts.get(self.done) {
            if let Some(id) = tries.account_id(key) {
                if step.slots.len() >= STEP {
                    return Some(step);
                }
                let Some(root) = storage_root(tries, id, &mut step.slots) else {
                    return Some(step);
                };
                step.storage_roots.push((id, root));
            }
            self.done += 1;
        }
        // The storage roots must be in place before the accounts are hashed.
        if !step.storage_roots.is_empty() {
            return Some(step);
        }
        if tries.is_settled() {
            return None;
        }
        let (branches, accounts) = (&tries.branches, &tries.accounts);
        hash::settle(branches, accounts, tries.root, 0, STEP, &mut step.accounts);
        Some(step)
    }
}

fn storage_root<B, S, A>(tries: &Tries<B, S, A>, id: AccountId, out: &mut Settled) -> Option<B256>
where
    B: NodeStore<Branch>,
    S: NodeStore<SlotLeaf>,
    A: NodeStore<AccountLeaf>,
{
    let storage = tries.account(id).storage;
    if storage.is_nothing() {
        return Some(EMPTY_ROOT_HASH);
    }
    let (branches, slots) = (&tries.branches, &tries.slots);
    let root = hash::settle(branches, slots, storage, 0, STEP, out)?;
    Some(root.root_hash())
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
