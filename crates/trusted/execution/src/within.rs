//! The state within a block: that of its parent, and what its transactions have changed so far.
//!
//! revm's own `State` keeps the same three times over, to revert block by block and to hand changes to other databases. A block
//! here is one step: what comes of it is one delta.

use core::fmt;

use alloy_primitives::map::{AddressMap, B256Map, Entry, HashMap};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use cloister_state::{Account, AccountDelta, StateDelta, StorageCleared};
use revm::state::{Account as Executed, AccountInfo, Bytecode, EvmStorageSlot};
use revm::{Database, DatabaseCommit, DatabaseRef};

/// The state within a block, over the parent's as `D` reads it.
///
/// What was read once is kept: transactions of a block ask for the same accounts again and again.
pub struct BlockState<D> {
    parent: D,
    accounts: AddressMap<Tracked>,
    /// Code that was read, and code that is new.
    codes: B256Map<Bytecode>,
}

impl<D> fmt::Debug for BlockState<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockState").finish_non_exhaustive()
    }
}

/// An account that was asked for.
struct Tracked {
    before: Option<Account>,
    now: Option<AccountInfo>,
    touched: Touched,
    /// Whether the account went in this block, and its slots with it. It may have come back.
    cleared: StorageCleared,
    slots: HashMap<U256, Slot>,
}

/// Whether a transaction of the block touched an account (EIP-161). What only was read is no change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    No,
    Yes,
}

#[derive(Clone, Copy)]
struct Slot {
    before: U256,
    now: U256,
}

impl<D> BlockState<D> {
    /// Nothing changed yet.
    pub(crate) fn new(parent: D) -> Self {
        Self { parent, accounts: AddressMap::default(), codes: B256Map::default() }
    }

    /// The changes so far, in canonical order.
    ///
    /// Accounts that were touched and did not change are left out.
    pub(crate) fn delta(&self) -> StateDelta {
        let mut delta = StateDelta { accounts: Vec::with_capacity(self.accounts.len()), codes: Vec::new() };
        for (address, account) in &self.accounts {
            let Some(changes) = account.delta(*address) else {
                continue;
            };
            delta.codes.extend(changes.account.as_ref().and_then(|now| self.new_code(account, now.code_hash)));
            delta.accounts.push(changes);
        }
        delta.sort();
        delta
    }

    /// The code of an account, if it is not the one it had before.
    fn new_code(&self, account: &Tracked, code_hash: B256) -> Option<Bytes> {
        if account.before.as_ref().is_some_and(|before| before.code_hash == code_hash) {
            return None;
        }
        self.codes.get(&code_hash).map(Bytecode::original_bytes).filter(|code| !code.is_empty())
    }

    /// Takes over what a transaction did to an account.
    fn take_over(&mut self, address: Address, executed: Executed) {
        if !executed.is_touched() {
            return;
        }
        let account = self.accounts.entry(address).or_insert_with(|| Tracked::found_by(&executed));
        account.touched = Touched::Yes;
        // Before EIP-161 the journal says of empty accounts that they were created, or not touched.
        if executed.is_selfdestructed() || (executed.is_empty() && !executed.is_created()) {
            account.clear();
            return;
        }
        let Executed { info, storage, .. } = executed;
        let known = account.now.as_ref().is_some_and(|now| now.code_hash == info.code_hash);
        if let Some(code) = info.code.as_ref().filter(|_| !known) {
            self.codes.insert(info.code_hash, code.clone());
        }
        account.now = Some(info);
        for (slot, value) in storage {
            if value.is_changed() {
                account.write(slot, &value);
            }
        }
    }
}

impl Tracked {
    fn read(info: Option<AccountInfo>) -> Self {
        Self {
            before: info.as_ref().map(account),
            now: info,
            touched: Touched::No,
            cleared: StorageCleared::No,
            slots: HashMap::default(),
        }
    }

    /// As a transaction found it that ran on a database of its own.
    fn found_by(executed: &Executed) -> Self {
        Self::read((!executed.is_loaded_as_not_existing()).then(|| executed.original_info()))
    }

    /// Whether slots that nobody asked for yet may have values.
    fn has_former_slots(&self) -> bool {
        self.before.is_some() && self.cleared == StorageCleared::No
    }

    /// The account is gone (EIP-161, EIP-6780).
    fn clear(&mut self) {
        if self.now.take().is_some() {
            self.cleared = StorageCleared::Yes;
            self.slots.clear();
        }
    }

    fn write(&mut self, slot: U256, value: &EvmStorageSlot) {
        let unread = Slot { before: value.original_value, now: value.original_value };
        self.slots.entry(slot).or_insert(unread).now = value.present_value;
    }

    fn delta(&self, address: Address) -> Option<AccountDelta> {
        if self.touched == Touched::No {
            return None;
        }
        let Some(info) = &self.now else {
            // Created and destroyed within the block: it never was.
            self.before.as_ref()?;
            let gone = StorageCleared::Yes;
            return Some(AccountDelta { address, account: None, storage_cleared: gone, storage: Vec::new() });
        };
        // After a destruction every slot counts from zero, so zeros need no mention and the rest does.
        let is_change = |slot: &Slot| match self.cleared {
            StorageCleared::Yes => !slot.now.is_zero(),
            StorageCleared::No => slot.now != slot.before,
        };
        let slots = self.slots.iter().filter(|(_, slot)| is_change(slot));
        let storage: Vec<_> = slots.map(|(key, slot)| (*key, slot.now)).collect();
        let now = account(info);
        if self.cleared == StorageCleared::No && storage.is_empty() && self.before == Some(now) {
            return None;
        }
        Some(AccountDelta { address, account: Some(now), storage_cleared: self.cleared, storage })
    }
}

fn account(info: &AccountInfo) -> Account {
    Account {
        nonce: info.nonce,
        balance: info.balance,
        code_hash: if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash },
    }
}

/// The account at `address`, read now unless it was before.
fn tracked<'a, D: Database>(
    accounts: &'a mut AddressMap<Tracked>,
    parent: &mut D,
    address: Address,
) -> Result<&'a mut Tracked, D::Error> {
    match accounts.entry(address) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(unknown) => Ok(unknown.insert(Tracked::read(parent.basic(address)?))),
    }
}

impl<D: Database> Database for BlockState<D> {
    type Error = D::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, D::Error> {
        Ok(tracked(&mut self.accounts, &mut self.parent, address)?.now.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, D::Error> {
        match self.codes.entry(hash) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(unknown) => Ok(unknown.insert(self.parent.code_by_hash(hash)?).clone()),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, D::Error> {
        let account = tracked(&mut self.accounts, &mut self.parent, address)?;
        let has_former_slots = account.has_former_slots();
        match account.slots.entry(slot) {
            Entry::Occupied(known) => Ok(known.get().now),
            Entry::Vacant(_) if !has_former_slots => Ok(U256::ZERO),
            Entry::Vacant(unknown) => {
                let value = self.parent.storage(address, slot)?;
                unknown.insert(Slot { before: value, now: value });
                Ok(value)
            }
        }
    }

    fn block_hash(&mut self, height: u64) -> Result<B256, D::Error> {
        self.parent.block_hash(height)
    }
}

impl<D: DatabaseRef> DatabaseRef for BlockState<D> {
    type Error = D::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, D::Error> {
        match self.accounts.get(&address) {
            Some(known) => Ok(known.now.clone()),
            None => self.parent.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, D::Error> {
        match self.codes.get(&hash) {
            Some(known) => Ok(known.clone()),
            None => self.parent.code_by_hash_ref(hash),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, D::Error> {
        if let Some(account) = self.accounts.get(&address) {
            match account.slots.get(&slot) {
                Some(known) => return Ok(known.now),
                None if !account.has_former_slots() => return Ok(U256::ZERO),
                None => {}
            }
        }
        self.parent.storage_ref(address, slot)
    }

    fn block_hash_ref(&self, height: u64) -> Result<B256, D::Error> {
        self.parent.block_hash_ref(height)
    }
}

impl<D> DatabaseCommit for BlockState<D> {
    fn commit(&mut self, changes: AddressMap<Executed>) {
        for (address, executed) in changes {
            self.take_over(address, executed);
        }
    }

    fn commit_iter(&mut self, changes: &mut dyn Iterator<Item = (Address, Executed)>) {
        for (address, executed) in changes {
            self.take_over(address, executed);
        }
    }
}

#[cfg(test)]
#[path = "within_tests.rs"]
mod tests;
