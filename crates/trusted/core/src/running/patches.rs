//! Changes that a development network makes to its head's state without a block.
//!
//! Each is applied at once, kept with what undoes it, and carried by the record of the block that is
//! built on it, so that a restart leads to the same state.

use alloy_primitives::keccak256;
use cloister_primitives::{Code, Height, Rejected};
use cloister_state::{AccountDelta, State, StateDelta, StateError, StorageCleared};

use crate::{CoreError, PatchChange, StatePatch};

/// Bytes of changes that wait for one block, roughly: its record has to hold them beside all else.
const MAX_PENDING_BYTES: usize = 6 << 20;
/// What a changed account or slot takes in a record at most.
const ENTRY_BYTES: usize = 160;

/// How many patches had been made at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatchCount(u64);

impl PatchCount {
    /// Before the first one.
    pub(super) const NONE: Self = Self(0);
}

#[derive(Debug)]
struct Patch {
    number: PatchCount,
    height: Height,
    change: StateDelta,
    /// Leads back to the state before.
    inverse: StateDelta,
}

/// The patches that may still have to be undone or carried by a block.
#[derive(Debug, Default)]
pub(super) struct Patches {
    made: Vec<Patch>,
    count: PatchCount,
}

impl Patches {
    pub(super) const fn count(&self) -> PatchCount {
        self.count
    }

    /// What the record of the block above `height` has to carry.
    pub(super) fn at(&self, height: Height) -> StateDelta {
        let mut merged = StateDelta::default();
        for patch in self.made.iter().filter(|patch| patch.height == height) {
            merge(&mut merged, &patch.change);
        }
        merged
    }

    /// Forgets patches at heights that nothing can go back to.
    pub(super) fn retain(&mut self, keep: impl Fn(Height) -> bool) {
        self.made.retain(|patch| keep(patch.height));
    }

    /// Applies a patch to the head's state.
    pub(super) fn make(&mut self, state: &State, head: Height, patch: &StatePatch) -> Result<(), CoreError> {
        let (change, inverse) = deltas(state, head, patch)?;
        let pending = self.made.iter().filter(|made| made.height == head).map(|made| &made.change);
        if pending.chain([&change]).map(record_bytes).sum::<usize>() > MAX_PENDING_BYTES {
            let detail = "too many changes without a block between them: mine one";
            return Err(Rejected::with_detail(Code::OversizedData, detail).into());
        }
        state.patch(&change)?;
        self.count.0 += 1;
        self.made.push(Patch { number: self.count, height: head, change, inverse });
        Ok(())
    }

    /// Undoes the patches at `height` that were made after the first `count`; those above are gone with
    /// their blocks.
    pub(super) fn undo(&mut self, state: &State, height: Height, count: PatchCount) -> Result<(), StateError> {
        while let Some(patch) = self.made.pop_if(|patch| patch.number > count || patch.height > height) {
            if patch.height == height {
                state.patch(&patch.inverse)?;
            }
        }
        Ok(())
    }
}

/// What a patch takes in a block's record, roughly.
fn record_bytes(change: &StateDelta) -> usize {
    change.codes.iter().map(|code| code.len()).sum::<usize>() + ENTRY_BYTES
}

/// What a patch changes, and what undoes it.
fn deltas(state: &State, head: Height, patch: &StatePatch) -> Result<(StateDelta, StateDelta), StateError> {
    let view = state.view(head)?;
    let before = view.account(patch.address)?;
    let mut account = before.unwrap_or_default();
    let mut change = StateDelta::default();
    let mut inverse = StateDelta::default();
    let mut slots = (Vec::new(), Vec::new());
    match &patch.change {
        PatchChange::Balance(balance) => account.balance = *balance,
        PatchChange::Nonce(nonce) => account.nonce = *nonce,
        PatchChange::Code(code) => {
            inverse.codes.extend(view.code(account.code_hash)?.filter(|code| !code.is_empty()));
            account.code_hash = keccak256(code);
            change.codes.extend((!code.is_empty()).then(|| code.clone()));
        }
        PatchChange::Storage(slot, value) => {
            slots.0.push((*slot, *value));
            if before.is_some() {
                slots.1.push((*slot, view.storage(patch.address, *slot)?));
            }
        }
    }
    let gone = account.is_empty() && slots.0.is_empty();
    change.accounts.push(AccountDelta {
        address: patch.address,
        account: (!gone).then_some(account),
        storage_cleared: StorageCleared::No,
        storage: slots.0,
    });
    inverse.accounts.push(AccountDelta {
        address: patch.address,
        account: before,
        storage_cleared: StorageCleared::No,
        storage: slots.1,
    });
    Ok((change, inverse))
}

/// Adds a later patch of one account to earlier ones.
fn merge(merged: &mut StateDelta, patch: &StateDelta) {
    merged.codes.extend(patch.codes.iter().cloned());
    for change in &patch.accounts {
        let Some(earlier) = merged.accounts.iter_mut().find(|earlier| earlier.address == change.address) else {
            merged.accounts.push(change.clone());
            continue;
        };
        earlier.account = change.account;
        if earlier.account.is_none() {
            earlier.storage.clear();
            earlier.storage_cleared = StorageCleared::Yes;
        }
        for (slot, value) in &change.storage {
            earlier.storage.retain(|(other, _)| other != slot);
            earlier.storage.push((*slot, *value));
        }
    }
    merged.sort();
}
