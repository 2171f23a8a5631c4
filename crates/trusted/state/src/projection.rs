//! State roots of changes that are only supposed.
//!
//! A simulated block needs a real state root, but its changes must not reach the live tries, and
//! computing it must not hold up whoever writes them. So the changes are made on an overlay, in slices of
//! work under the reader's lock; between two slices the overlay is kept apart from the tries it belongs
//! to. If those changed meanwhile, the overlay is void and the work starts again from the tries as they
//! are now, beginning with undoing what came after the projection's height.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};

use crate::contents::Contents;
use crate::history::Version;
use crate::state::Shared;
use crate::trie::{OverlaidTries, Settling, TrieEdits};
use crate::view::MAX_PROOF_CHANGES;
use crate::{Account, StateDelta, StateError, StorageCleared};

/// Changes made, or references computed, before others get at the tries.
const SLICE: usize = 512;
/// Times the work for one root starts again because blocks came in.
const MAX_STARTS: usize = 32;
/// Changes that one projection follows.
const MAX_CHANGES: usize = 200_000;

/// The state as it would be after changes to one height.
///
/// It knows the changes and the roots after them; values are for the view to read.
pub struct Projection {
    state: Arc<Shared>,
    version: Version,
    /// Everything applied so far.
    changes: Vec<Change>,
    draft: Option<Draft>,
}

/// A change with its keys hashed.
#[derive(Clone, Copy)]
enum Change {
    Account {
        key: B256,
        account: Account,
    },
    /// Of an account that was written before.
    Slot {
        account: B256,
        key: B256,
        value: U256,
    },
    /// Lets go of an account's slots.
    Clear {
        key: B256,
    },
    Remove {
        key: B256,
    },
}

/// Work done on the tries as they were at some time.
struct Draft {
    generation: u64,
    work: Work,
    edits: TrieEdits,
}

/// How far the work has come.
struct Work {
    /// What leads from the tries back to the projection's height.
    undoing: Vec<Change>,
    /// How many changes are made, those of `undoing` first.
    done: usize,
    /// Accounts whose storage changed since hashes were up to date.
    changed_storage: Vec<B256>,
    settling: Option<Settling>,
}

impl Projection {
    pub(crate) const fn new(state: Arc<Shared>, version: Version) -> Self {
        Self { state, version, changes: Vec::new(), draft: None }
    }

    /// Adds the changes of a delta, and returns the state root after them.
    ///
    /// # Errors
    /// [`StateError::Delta`] if the delta contradicts itself, [`StateError::HistoryUnavailable`] once the
    /// height is gone, [`StateError::ProofTooOld`] and [`StateError::ProjectionTooLarge`] where the work
    /// would be too much, [`StateError::Overtaken`] if blocks came in faster than it could be done.
    pub fn apply(&mut self, delta: &StateDelta) -> Result<B256, StateError> {
        delta.check()?;
        self.add(delta);
        let changes = self.changes.len();
        if changes > MAX_CHANGES {
            return Err(StateError::ProjectionTooLarge { changes, limit: MAX_CHANGES });
        }
        for _ in 0..MAX_STARTS {
            if let Some(root) = self.work()? {
                return Ok(root);
            }
        }
        Err(StateError::Overtaken)
    }

    fn add(&mut self, delta: &StateDelta) {
        for change in &delta.accounts {
            let key = keccak256(change.address);
            let Some(account) = change.account else {
                self.changes.push(Change::Remove { key });
                continue;
            };
            self.changes.push(Change::Account { key, account });
            if change.storage_cleared == StorageCleared::Yes {
                self.changes.push(Change::Clear { key });
            }
            for (slot, value) in &change.storage {
                let slot = keccak256(slot.to_be_bytes::<32>());
                self.changes.push(Change::Slot { account: key, key: slot, value: *value });
            }
        }
    }

    /// Works until the root is known; `None` if the tries changed in between.
    fn work(&mut self) -> Result<Option<B256>, StateError> {
        loop {
            let contents = self.state.read();
            let Draft { generation, mut work, edits } = match self.draft.take() {
                Some(draft) if draft.generation == contents.generation => draft,
                Some(_) => return Ok(None),
                None => Draft::start(&contents, self.version)?,
            };
            let mut tries = contents.tries.resume(edits);
            let root = work.slice(&mut tries, &self.changes);
            self.draft = Some(Draft { generation, work, edits: tries.into_edits() });
            if root.is_some() {
                return Ok(root);
            }
        }
    }
}

impl core::fmt::Debug for Projection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut view = f.debug_struct("Projection");
        view.field("version", &self.version).field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl Draft {
    fn start(contents: &Contents, version: Version) -> Result<Self, StateError> {
        let history = &contents.history;
        let since = history.since(version)?;
        let changes = history.changes_since(since);
        if changes > MAX_PROOF_CHANGES {
            return Err(StateError::ProofTooOld { height: version.height, changes });
        }
        // Slots need their account, and an account may go only after its slots.
        let written = history.accounts_since(since).filter_map(|(key, old)| {
            let account = old?.account;
            Some(Change::Account { key, account })
        });
        let slots = history.slots_since(since).map(|(account, key, value)| Change::Slot { account, key, value });
        let removed = history.accounts_since(since).filter(|(_, old)| old.is_none());
        let removed = removed.map(|(key, _)| Change::Remove { key });
        let work = Work {
            undoing: written.chain(slots).chain(removed).collect(),
            done: 0,
            changed_storage: Vec::new(),
            settling: None,
        };
        Ok(Self { generation: contents.generation, work, edits: contents.tries.overlay().into_edits() })
    }
}

impl Work {
    /// Does a slice of the work; returns the root once it is known.
    fn slice(&mut self, tries: &mut OverlaidTries<'_>, changes: &[Change]) -> Option<B256> {
        let mut worked = 0;
        while self.done < self.undoing.len() + changes.len() {
            if worked == SLICE {
                return None;
            }
            let change = match self.undoing.get(self.done) {
                Some(change) => *change,
                None => changes[self.done - self.undoing.len()],
            };
            self.make(tries, change);
            self.done += 1;
            worked += 1;
        }
        let settling = self.settling.get_or_insert_with(|| {
            let mut accounts = core::mem::take(&mut self.changed_storage);
            accounts.sort_unstable();
            accounts.dedup();
            Settling::new(accounts)
        });
        while worked < SLICE {
            let Some(step) = settling.step(tries) else {
                self.settling = None;
                return Some(tries.root_hash());
            };
            tries.store(&step);
            worked += step.len();
        }
        None
    }

    fn make(&mut self, tries: &mut OverlaidTries<'_>, change: Change) {
        match change {
            Change::Account { key, account } => {
                tries.put_account(key, account);
            }
            Change::Slot { account, key, value } => {
                if let Some(id) = tries.account_id(&account) {
                    tries.put_slot(id, key, value);
                    self.changed_storage.push(account);
                }
            }
            Change::Clear { key } => {
                if let Some(id) = tries.account_id(&key) {
                    tries.drop_storage(id);
                    self.changed_storage.push(key);
                }
            }
            Change::Remove { key } => tries.remove_account(&key),
        }
    }
}
