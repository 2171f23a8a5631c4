//! All that one state holds, and the elementary changes to it.
//!
//! Each change here keeps three promises at once: what it overwrites is recorded in history and
//! in open snapshot cuts, and code is counted. A reader that takes the lock between two changes
//! finds every older height intact.

use std::sync::{Mutex, Weak};

use alloy_primitives::{B256, Bytes, U256};
use cloister_primitives::Height;

use crate::codes::Codes;
use crate::history::{History, HistoryLimits, OldAccount, Version};
use crate::snapshot::Pinned;
use crate::trie::{AccountId, Tries};
use crate::{Account, StateDelta, StateError};

/// Everything behind the lock.
pub(crate) struct Contents {
    pub(crate) tries: Tries,
    pub(crate) codes: Codes,
    pub(crate) history: History,
    /// Snapshot cuts in progress.
    pub(crate) pins: Vec<Weak<Mutex<Pinned>>>,
    /// The newest height that is complete, hashes included.
    pub(crate) tip: Option<Height>,
    /// Counts how often the contents were opened for writing.
    pub(crate) generation: u64,
}

/// One change; keys are hashed already.
pub(crate) enum Change {
    /// Writes an account, or announces that its storage or itself will go.
    Account { key: B256, account: Option<Account> },
    /// Writes a slot of an account that has been written or announced; zero removes it.
    Slot { account: B256, key: B256, value: U256 },
    /// Removes an account that has been announced and has no storage left.
    Remove { key: B256 },
}

/// Slots whose values are looked up at one time.
const LOOKED_UP_TOGETHER: usize = 8;

impl Change {
    /// Whether both are of slots of one account. No two changes of one block are of the same slot.
    fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Slot { account: one, .. }, Self::Slot { account: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl Contents {
    pub(crate) fn new(limits: HistoryLimits) -> Self {
        Self {
            tries: Tries::new(),
            codes: Codes::default(),
            history: History::new(limits),
            pins: Vec::new(),
            tip: None,
            generation: 0,
        }
    }

    /// The version of a height at or below the tip, and its root.
    pub(crate) fn version(&self, height: Height) -> Result<(Version, B256), StateError> {
        if self.tip.is_none_or(|tip| height > tip) {
            return Err(StateError::NotYetApplied { height });
        }
        let version = self.history.version(height);
        version.ok_or(StateError::HistoryUnavailable { height })
    }

    /// Adds the codes of a delta, unless one of its accounts names code that is nowhere: then
    /// nothing changes.
    pub(crate) fn add_codes(&mut self, delta: &StateDelta, codes: Vec<(B256, Bytes)>) -> Result<(), StateError> {
        let mut new: Vec<B256> = codes.iter().map(|(hash, _)| *hash).collect();
        new.sort_unstable();
        for change in &delta.accounts {
            let Some(account) = change.account.filter(Account::has_code) else {
                continue;
            };
            let code_hash = account.code_hash;
            if new.binary_search(&code_hash).is_err() && !self.codes.contains(&code_hash) {
                let address = change.address;
                return Err(StateError::UnknownCode { address, code_hash });
            }
        }
        for (hash, code) in codes {
            self.codes.add(hash, code);
        }
        Ok(())
    }

    /// Forgets old history and code that nobody names any more.
    pub(crate) fn tidy(&mut self) {
        let codes = &mut self.codes;
        self.history.forget(|account| codes.unname(account));
        codes.sweep();
    }

    /// Makes changes of the newest block.
    pub(crate) fn change(&mut self, changes: &[Change]) {
        for changes in changes.chunk_by(Change::is_beside) {
            for together in changes.chunks(LOOKED_UP_TOGETHER) {
                match together {
                    [Change::Slot { account, .. }, _, ..] => self.change_slots(account, together),
                    _ => together.iter().for_each(|change| self.change_one(change)),
                }
            }
        }
    }

    /// Makes changes of slots of one account, [`LOOKED_UP_TOGETHER`] at most.
    fn change_slots(&mut self, account: &B256, changes: &[Change]) {
        let Some(id) = self.tries.account_id(account) else {
            return;
        };
        let mut keys = [&B256::ZERO; LOOKED_UP_TOGETHER];
        for (place, change) in keys.iter_mut().zip(changes) {
            if let Change::Slot { key, .. } = change {
                *place = key;
            }
        }
        let (old, newest) = (self.tries.slots(id, keys), self.history.newest_slots(account, keys));
        let owner = self.history.owner_of_slots(account);
        for (change, (old, newest)) in changes.iter().zip(old.into_iter().zip(newest)) {
            if let Change::Slot { key, value, .. } = change
                && old != *value
            {
                if let Some(owner) = owner {
                    self.history.record_slot_after(newest, owner, *key, old);
                }
                self.put_slot(id, account, *key, old, *value);
            }
        }
    }

    fn change_one(&mut self, change: &Change) {
        match change {
            Change::Account { key, account } => {
                let old = self.current_account(key);
                if self.history.record_account(*key, old)
                    && let Some(old) = &old
                {
                    self.codes.name(&old.account);
                }
                if let Some(account) = account {
                    self.put_account(*key, *account);
                }
            }
            Change::Slot { account, key, value } => {
                if let Some(id) = self.tries.account_id(account) {
                    let old = self.tries.slot(id, key);
                    if old != *value {
                        self.history.record_slot(account, *key, old);
                        self.put_slot(id, account, *key, old, *value);
                    }
                }
            }
            Change::Remove { key } => self.remove_account(key),
        }
    }

    /// Removes up to `limit` slots of an announced account. Tells whether none are left.
    pub(crate) fn clear_storage(&mut self, account: &B256, limit: usize) -> Emptied {
        let Some(id) = self.tries.account_id(account) else {
            return Emptied::Yes;
        };
        for _ in 0..limit {
            let mut slots = self.tries.slots_from(id, &B256::ZERO);
            let Some(slot) = slots.next_leaf() else {
                return Emptied::Yes;
            };
            let (key, old) = (slot.key, slot.value());
            self.history.record_slot(account, key, old);
            self.put_slot(id, account, key, old, U256::ZERO);
        }
        Emptied::No
    }

    /// Restores an account that the newest block recorded, if it existed before.
    pub(crate) fn restore_account(&mut self, key: B256, old: Option<OldAccount>) {
        if let Some(old) = old {
            let id = self.put_account(key, old.account);
            self.tries.put_storage_root(id, old.storage_root);
        }
    }

    /// Undoes the last slot change of the newest block, after its accounts were restored.
    pub(crate) fn undo_slot(&mut self) -> Option<()> {
        let (account, key, value) = self.history.take_slot()?;
        if let Some(id) = self.tries.account_id(&account) {
            let current = self.tries.slot(id, &key);
            self.put_slot(id, &account, key, current, value);
        }
        Some(())
    }

    /// Undoes the last account change of the newest block, after its slots.
    pub(crate) fn undo_account(&mut self) -> Option<()> {
        let (key, old) = self.history.take_account()?;
        match old {
            Some(old) => self.codes.unname(&old.account),
            None => self.remove_account(&key),
        }
        Some(())
    }

    pub(crate) fn current_account(&self, key: &B256) -> Option<OldAccount> {
        let leaf = self.tries.account(self.tries.account_id(key)?);
        Some(OldAccount { account: leaf.account, storage_root: leaf.storage_root })
    }

    fn put_account(&mut self, key: B256, account: Account) -> AccountId {
        let current = self.current_account(&key).map(|old| old.account);
        self.pin(|pinned| pinned.note_account(key, current));
        self.codes.name(&account);
        if let Some(current) = &current {
            self.codes.unname(current);
        }
        self.tries.put_account(key, account)
    }

    fn remove_account(&mut self, key: &B256) {
        if let Some(current) = self.current_account(key) {
            self.pin(|pinned| pinned.note_account(*key, Some(current.account)));
            self.codes.unname(&current.account);
            self.tries.remove_account(key);
        }
    }

    fn put_slot(&mut self, id: AccountId, account: &B256, key: B256, current: U256, value: U256) {
        self.pin(|pinned| pinned.note_slot(*account, key, current));
        self.tries.put_slot(id, key, value);
    }

    /// Lets every open cut note what is about to change.
    fn pin(&mut self, note: impl Fn(&mut Pinned)) {
        if self.pins.is_empty() {
            return;
        }
        self.pins.retain(|pin| match pin.upgrade() {
            None => false,
            Some(pinned) => {
                let mut pinned = pinned.lock().expect("a cut does not panic while locked");
                note(&mut pinned);
                true
            }
        });
    }
}

/// Whether all of something is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emptied {
    No,
    Yes,
}
