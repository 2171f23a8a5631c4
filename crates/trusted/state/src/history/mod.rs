//! The ring of reverse deltas: what keys held before each block changed them.
//!
//! **Invariants.** Records of a block are contiguous and in the order of blocks. A slot's record
//! comes with one of its account in the same block. A key has at most one record per block, with
//! the value before the block. Every block held has a sequence number of its own, which a height
//! gets anew when it is rewound and rebuilt or patched.

mod buckets;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::VecDeque;

use alloy_primitives::{B256, U256};
use cloister_primitives::Height;

use self::buckets::Short;
use self::versions::{Record, RecordId, Versions};
use crate::{Account, StateError};

/// How much history to keep for readers of older heights and for rewinding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Heights below the tip that always stay readable; raised to [`Self::MIN_BLOCKS`].
    pub blocks: usize,
    /// Bytes that heights beyond those may fill.
    pub bytes: usize,
}

impl HistoryLimits {
    /// Fewest heights below the tip that are kept: as far as Ethereum tools expect to look back.
    pub const MIN_BLOCKS: usize = 128;
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { blocks: Self::MIN_BLOCKS, bytes: 256 << 20 }
    }
}

/// An account before a block changed it or its storage.
#[derive(Clone, Copy)]
pub(crate) struct OldAccount {
    pub(crate) account: Account,
    pub(crate) storage_root: B256,
}

/// A slot before a block changed it.
struct OldSlot {
    /// The record of the slot's account in the same block.
    account: Short,
    value: B256,
}

/// One height that can be read.
#[derive(Clone, Copy)]
struct Block {
    height: Height,
    sequence: u64,
    root: B256,
    start: Mark,
}

/// The sequence number of blocks on their way out; no view has it.
const WITHDRAWN: u64 = 0;

/// A point in the order of records: where those of a block begin.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    account: RecordId,
    slot: RecordId,
}

/// An account whose slots the newest block changes.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    key: B256,
    /// Its record in that block.
    record: Short,
    /// The first slot record that the block may make.
    first_slot: RecordId,
}

/// A height as a view holds on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) height: Height,
    sequence: u64,
}

/// The reverse deltas of all heights above the oldest one held.
pub(crate) struct History {
    /// Never empty once a block has begun. The first block's own records are gone, or were never
    /// made: nothing below it can be read.
    blocks: VecDeque<Block>,
    accounts: Versions<Option<OldAccount>>,
    slots: Versions<OldSlot>,
    limits: HistoryLimits,
    committed: Height,
    next_sequence: u64,
}

fn account_hash(key: &B256) -> u32 {
    u32::from_be_bytes([key[0], key[1], key[2], key[3]])
}

fn slot_hash(account: &B256, key: &B256) -> u32 {
    account_hash(account).rotate_left(16) ^ account_hash(key)
}

impl History {
    pub(crate) fn new(limits: HistoryLimits) -> Self {
        Self {
            blocks: VecDeque::new(),
            accounts: Versions::new(),
            slots: Versions::new(),
            limits,
            committed: Height::GENESIS,
            next_sequence: 0,
        }
    }

    /// The oldest height that can be read.
    pub(crate) fn oldest(&self) -> Option<Height> {
        self.blocks.front().map(|block| block.height)
    }

    /// The height whose records come last.
    pub(crate) fn newest(&self) -> Option<Height> {
        self.blocks.back().map(|block| block.height)
    }

    pub(crate) fn blocks_below_tip(&self) -> usize {
        self.blocks.len().saturating_sub(1)
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.accounts.bytes() + self.slots.bytes() + self.blocks.capacity() * size_of::<Block>()
    }

    pub(crate) fn set_committed(&mut self, height: Height) {
        self.committed = height;
    }

    /// Starts the records of a block.
    pub(crate) fn begin(&mut self, height: Height) {
        if self.blocks.is_empty() {
            self.committed = height;
        }
        let sequence = self.sequence();
        self.blocks.push_back(Block { height, sequence, root: B256::ZERO, start: self.end() });
    }

    /// Makes views of the newest block void, as its contents are about to change.
    pub(crate) fn renew(&mut self) {
        let sequence = self.sequence();
        if let Some(block) = self.blocks.back_mut() {
            block.sequence = sequence;
        }
    }

    /// Makes views of all blocks above `to` void, as they are about to be taken back.
    pub(crate) fn withdraw(&mut self, to: Height) {
        let withdrawn = self.blocks.iter_mut().rev();
        for block in withdrawn.take_while(|block| block.height > to) {
            block.sequence = WITHDRAWN;
        }
    }

    fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    /// Notes the root of the newest block.
    pub(crate) fn set_root(&mut self, root: B256) {
        if let Some(block) = self.blocks.back_mut() {
            block.root = root;
        }
    }

    /// Where the newest block's records begin; `None` where nothing is recorded, as nothing
    /// below can be read.
    fn recording(&self) -> Option<Mark> {
        let newest = self.blocks.back()?;
        (self.blocks.len() > 1).then_some(newest.start)
    }

    /// Records an account that the newest block is about to change. Tells whether it did so now.
    pub(crate) fn record_account(&mut self, key: B256, old: Option<OldAccount>) -> bool {
        let Some(start) = self.recording() else {
            return false;
        };
        let newest = self.newest_account(&key);
        if newest.is_some_and(|id| id >= start.account) {
            return false;
        }
        self.accounts.push(account_hash(&key), key, old, newest);
        true
    }

    /// Records a slot that the newest block is about to change, after its account.
    pub(crate) fn record_slot(&mut self, account: &B256, key: B256, old: U256) {
        let (owner, newest) = (self.owner_of_slots(account), self.newest_slot(account, &key));
        if let Some(owner) = owner {
            self.record_slot_after(newest, owner, key, old);
        }
    }

    /// The account as it owns the slots that the newest block changes; `None` where nothing is recorded.
    pub(crate) fn owner_of_slots(&self, account: &B256) -> Option<Owner> {
        let start = self.recording()?;
        let record = self.newest_account(account).filter(|id| *id >= start.account);
        debug_assert!(record.is_some(), "a slot was recorded before its account");
        Some(Owner { key: *account, record: Short::of(record?), first_slot: start.slot })
    }

    /// As [`Self::record_slot`], given its owner and its newest record.
    pub(crate) fn record_slot_after(&mut self, newest: Option<RecordId>, owner: Owner, key: B256, old: U256) {
        if newest.is_some_and(|id| id >= owner.first_slot) {
            return;
        }
        let old = OldSlot { account: owner.record, value: old.into() };
        self.slots.push(slot_hash(&owner.key, &key), key, old, newest);
    }

    fn newest_account(&self, key: &B256) -> Option<RecordId> {
        self.accounts.newest(account_hash(key), |record| record.key == *key)
    }

    fn newest_slot(&self, account: &B256, key: &B256) -> Option<RecordId> {
        self.slots.newest(slot_hash(account, key), |record| record.key == *key && self.owner(record) == Some(account))
    }

    /// The newest records of several slots; they stay so while other slots are recorded.
    pub(crate) fn newest_slots<const N: usize>(&self, account: &B256, keys: [&B256; N]) -> [Option<RecordId>; N] {
        // Nothing else is done in between, so that the processor waits for all of them together.
        keys.map(|key| self.newest_slot(account, key))
    }

    fn owner(&self, slot: &Record<OldSlot>) -> Option<&B256> {
        let id = self.accounts.resolve(slot.old.account)?;
        self.accounts.get(id).map(|record| &record.key)
    }

    fn end(&self) -> Mark {
        Mark { account: self.accounts.next_id(), slot: self.slots.next_id() }
    }

    fn position(&self, height: Height) -> Option<usize> {
        let oldest = self.oldest()?;
        let position = usize::try_from(height.0.checked_sub(oldest.0)?).ok()?;
        (position < self.blocks.len()).then_some(position)
    }

    /// The version of a height, for a view to hold on to, and its root.
    pub(crate) fn version(&self, height: Height) -> Option<(Version, B256)> {
        let block = self.blocks.get(self.position(height)?)?;
        let sequence = block.sequence;
        Some((Version { height, sequence }, block.root))
    }

    /// Where changes after a version begin; an error if the version is no more.
    pub(crate) fn since(&self, version: Version) -> Result<Mark, StateError> {
        let position = self.position(version.height);
        position
            .filter(|at| self.blocks[*at].sequence == version.sequence)
            .map(|at| self.blocks.get(at + 1).map_or(self.end(), |b| b.start))
            .ok_or(StateError::HistoryUnavailable { height: version.height })
    }

    /// Whether nothing has been recorded since.
    pub(crate) fn is_end(&self, since: Mark) -> bool {
        since.account == self.accounts.next_id()
    }

    /// The account as it was before the first change since a mark; `None` if none changed it.
    pub(crate) fn account_since(&self, since: Mark, key: &B256) -> Option<Option<OldAccount>> {
        if self.is_end(since) {
            return None;
        }
        let newest = self.newest_account(key)?;
        let record = self.accounts.oldest_since(newest, since.account)?;
        Some(record.old)
    }

    /// The slot as it was before the first change since a mark; `None` if none changed it.
    pub(crate) fn slot_since(&self, since: Mark, account: &B256, key: &B256) -> Option<U256> {
        if since.slot == self.slots.next_id() {
            return None;
        }
        let newest = self.newest_slot(account, key)?;
        let record = self.slots.oldest_since(newest, since.slot)?;
        Some(record.old.value.into())
    }

    /// Upper bound on the number of accounts changed since a mark.
    pub(crate) fn account_changes_since(&self, since: Mark) -> u64 {
        self.accounts.next_id() - since.account
    }

    /// Upper bound on the number of accounts and slots changed since a mark.
    pub(crate) fn changes_since(&self, since: Mark) -> u64 {
        self.account_changes_since(since) + (self.slots.next_id() - since.slot)
    }

    /// Every account changed since a mark, once, as it was then.
    pub(crate) fn accounts_since(&self, since: Mark) -> impl Iterator<Item = (B256, Option<OldAccount>)> {
        (since.account..self.accounts.next_id())
            .filter_map(|id| self.accounts.get(id))
            .filter(move |record| self.accounts.is_oldest_since(record, since.account))
            .map(|record| (record.key, record.old))
    }

    /// Every slot changed since a mark, once, with its account and its value then.
    pub(crate) fn slots_since(&self, since: Mark) -> impl Iterator<Item = (B256, B256, U256)> {
        (since.slot..self.slots.next_id())
            .filter_map(|id| self.slots.get(id))
            .filter(move |record| self.slots.is_oldest_since(record, since.slot))
            .filter_map(|record| Some((*self.owner(record)?, record.key, record.old.value.into())))
    }

    /// Accounts the newest block recorded, in order, starting with the `skip`th.
    pub(crate) fn newest_accounts(&self, skip: u64) -> impl Iterator<Item = (B256, Option<OldAccount>)> {
        let start = self.recording().unwrap_or_else(|| self.end()).account;
        (start + skip..self.accounts.next_id())
            .filter_map(|id| self.accounts.get(id))
            .map(|record| (record.key, record.old))
    }

    /// Takes back the last slot that the newest block recorded: account, slot, old value.
    pub(crate) fn take_slot(&mut self) -> Option<(B256, B256, U256)> {
        if self.slots.next_id() == self.recording()?.slot {
            return None;
        }
        let record = self.slots.pop_back()?;
        Some((*self.owner(&record)?, record.key, record.old.value.into()))
    }

    /// Takes back the last account that the newest block recorded, after all its slots.
    pub(crate) fn take_account(&mut self) -> Option<(B256, Option<OldAccount>)> {
        if self.accounts.next_id() == self.recording()?.account {
            return None;
        }
        let record = self.accounts.pop_back()?;
        Some((record.key, record.old))
    }

    /// Takes back the newest block, after its records; returns the root of the one before.
    pub(crate) fn take_block(&mut self) -> Option<B256> {
        if self.blocks.len() > 1 {
            self.blocks.pop_back();
        }
        let newest = self.blocks.back()?;
        self.committed = self.committed.min(newest.height);
        Some(newest.root)
    }

    /// Forgets what lies beyond both limits, never anything that is not committed. Hands over the
    /// accounts that were held.
    pub(crate) fn forget(&mut self, mut forgotten: impl FnMut(&Account)) {
        let keep = self.limits.blocks.max(HistoryLimits::MIN_BLOCKS);
        while self.blocks_below_tip() > keep
            && self.bytes() > self.limits.bytes
            && self.blocks[1].height <= self.committed
        {
            let end = self.blocks.get(2).map_or(self.end(), |block| block.start);
            self.slots.forget_before(end.slot, |_| ());
            self.accounts.forget_before(end.account, |old| {
                if let Some(old) = old {
                    forgotten(&old.account);
                }
            });
            self.blocks.pop_front();
        }
    }
}
