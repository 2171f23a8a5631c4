//! The state as revm reads it.

use core::{cell::Cell, fmt};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, b256, keccak256, map::B256Map};
use cloister_primitives::Rejected;
use cloister_state::{Account, StateError, StateView};
use revm::DatabaseRef;
use revm::context::DBErrorMarker;
use revm::state::{AccountInfo, Bytecode};

use crate::collision::mark_storage;
use crate::overrides::{AccountOverride, BlockOverrides, StateOverrides};
use crate::supposed::Supposed;
use crate::within::BlockState;

/// Hashes of recent blocks, for BLOCKHASH.
pub trait BlockHashes: Send + Sync {
    /// Hash of the block at `height`; `None` where it is not known. Asked for the last 256 heights only.
    fn block_hash(&self, height: u64) -> Option<B256>;
}

/// Knows no block: BLOCKHASH is always zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlockHashes;

impl BlockHashes for NoBlockHashes {
    fn block_hash(&self, _height: u64) -> Option<B256> {
        None
    }
}

impl<F: Fn(u64) -> Option<B256> + Send + Sync> BlockHashes for F {
    fn block_hash(&self, height: u64) -> Option<B256> {
        self(height)
    }
}

/// The state could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ViewError(#[from] pub StateError);

impl DBErrorMarker for ViewError {}

/// Code with its jump table, kept across blocks and calls.
///
/// Analysis of a large contract costs more than a small call. The cache changes what things cost, never
/// what comes out.
#[derive(Default)]
pub(crate) struct CodeCache(Mutex<CachedCode>);

#[derive(Default)]
struct CachedCode {
    by_hash: B256Map<Bytecode>,
    bytes: usize,
}

impl CodeCache {
    /// Bytes of code that are kept.
    const CAPACITY_BYTES: usize = 64 * 1024 * 1024;

    fn get(&self, hash: &B256) -> Option<Bytecode> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.by_hash.get(hash).cloned()
    }

    fn insert(&self, hash: B256, code: Bytecode) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.bytes.saturating_add(code.len()) > Self::CAPACITY_BYTES {
            // Rare, and cheaper to refill than to keep an order of use on every read.
            *cached = CachedCode::default();
        }
        cached.bytes += code.len();
        cached.by_hash.insert(hash, code);
    }
}

impl fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeCache").finish_non_exhaustive()
    }
}

/// `keccak256(Address::ZERO)`
const ZERO_ADDRESS_HASH: B256 = b256!("0x5380c7b7ae81a58eb98d9c78de4a1fd7fd9535fc953ed2be602daaa41767312a");

/// A view of the state, with block hashes and analysed code.
#[derive(Clone)]
pub struct ViewDatabase<'a> {
    view: &'a StateView,
    hashes: &'a dyn BlockHashes,
    codes: &'a CodeCache,
    /// The account that was read last, and the hash of its address.
    last_account: Cell<(Address, B256)>,
    /// The account whose storage was read last: contracts read slot after slot, and payers between them.
    last_storage: Cell<(Address, B256)>,
    supposed: Option<&'a Supposed>,
    designators: Designators,
}

/// What code is that looks like an EIP-7702 delegation. Until London anybody could deploy such code (EIP-3541).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Designators {
    /// A delegation, from Prague on.
    #[default]
    Delegate,
    /// Code that begins with an instruction that does not exist.
    Ordinary,
}

/// The database that blocks execute on: a view, and what the block has changed so far.
pub type BlockDatabase<'a> = BlockState<ViewDatabase<'a>>;

impl fmt::Debug for ViewDatabase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewDatabase").finish_non_exhaustive()
    }
}

impl<'a> ViewDatabase<'a> {
    pub(crate) fn new(view: &'a StateView, hashes: &'a dyn BlockHashes, codes: &'a CodeCache) -> Self {
        // Calls without a sender come from the zero address.
        let none = Cell::new((Address::ZERO, ZERO_ADDRESS_HASH));
        Self {
            view,
            hashes,
            codes,
            last_account: none.clone(),
            last_storage: none,
            supposed: None,
            designators: Designators::default(),
        }
    }

    /// The same view under the rules of a block.
    pub(crate) fn with_designators(self, designators: Designators) -> Self {
        Self { designators, ..self }
    }

    /// The same view with changes on top of it.
    pub(crate) fn with_supposed(self, supposed: &'a Supposed) -> Self {
        Self { supposed: Some(supposed), ..self }
    }

    /// The account at an address.
    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, ViewError> {
        match self.supposed.and_then(|supposed| supposed.account(address)) {
            Some(account) => Ok(account),
            None => Ok(self.view.account(address)?),
        }
    }

    fn account_hash(&self, address: Address) -> B256 {
        let (last, mut hash) = self.last_account.get();
        if last != address {
            hash = keccak256(address);
            self.last_account.set((address, hash));
        }
        hash
    }

    fn has_storage(&self, address: Address) -> Result<bool, ViewError> {
        match self.supposed.and_then(|supposed| supposed.has_storage(address)) {
            Some(has_storage) => Ok(has_storage),
            None => Ok(!self.view.is_storage_empty(address)?),
        }
    }
}

fn info(account: &Account) -> AccountInfo {
    AccountInfo {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: account.code_hash,
        // Without code there is nothing to fetch; with code revm asks when it needs it.
        code: (account.code_hash == KECCAK256_EMPTY).then(Bytecode::default),
        ..AccountInfo::default()
    }
}

impl DatabaseRef for ViewDatabase<'_> {
    type Error = ViewError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        let found = match self.supposed.and_then(|supposed| supposed.account(address)) {
            Some(Some(account)) => Some((account, self.has_storage(address)?)),
            Some(None) => None,
            None => {
                let found = self.view.account_with_storage_root_of_hashed(self.account_hash(address))?;
                found.map(|(account, storage_root)| (account, storage_root != EMPTY_ROOT_HASH))
            }
        };
        Ok(found.map(|(account, has_storage)| {
            let mut info = info(&account);
            mark_storage(&mut info, has_storage && account.nonce == 0 && !account.has_code());
            info
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, ViewError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.supposed.and_then(|supposed| supposed.code(&hash)) {
            return Ok(code.clone());
        }
        let code = match self.codes.get(&hash) {
            Some(code) => code,
            None => {
                let Some(code) = self.view.code(hash)? else {
                    return Ok(Bytecode::default());
                };
                let code = bytecode(code);
                self.codes.insert(hash, code.clone());
                code
            }
        };
        if self.designators == Designators::Ordinary && code.is_eip7702() {
            return Ok(Bytecode::new_legacy(code.original_bytes()));
        }
        Ok(code)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, ViewError> {
        if let Some(value) = self.supposed.and_then(|supposed| supposed.slot(address, slot)) {
            return Ok(value);
        }
        let (last, mut hash) = self.last_storage.get();
        if last != address {
            hash = self.account_hash(address);
            self.last_storage.set((address, hash));
        }
        Ok(self.view.storage_of_hashed(hash, slot)?)
    }

    fn block_hash_ref(&self, height: u64) -> Result<B256, ViewError> {
        Ok(self.hashes.block_hash(height).unwrap_or_default())
    }
}

impl revm::Database for ViewDatabase<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        self.basic_ref(address)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ViewError> {
        self.code_by_hash_ref(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        self.storage_ref(address, slot)
    }

    fn block_hash(&mut self, height: u64) -> Result<B256, ViewError> {
        self.block_hash_ref(height)
    }
}

/// Analysed code. Bytes that start like an EIP-7702 delegation but are none run as ordinary code.
pub(crate) fn bytecode(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// The database that calls execute on: a view, or a block so far, seen through overrides.
pub struct CallDatabase<'a, B = ViewDatabase<'a>> {
    base: B,
    accounts: &'a StateOverrides,
    hashes: &'a BlockOverrides,
    codes: B256Map<Bytecode>,
}

impl<B> fmt::Debug for CallDatabase<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallDatabase").finish_non_exhaustive()
    }
}

impl<'a, B> CallDatabase<'a, B> {
    /// # Errors
    /// [`Code::InvalidOverride`] if an account has both `state` and `state_diff`.
    pub(crate) fn new(base: B, accounts: &'a StateOverrides, hashes: &'a BlockOverrides) -> Result<Self, Rejected> {
        let mut codes = B256Map::default();
        for (address, account) in accounts {
            account.check(*address)?;
            if let Some(code) = &account.code {
                codes.insert(keccak256(code), bytecode(code.clone()));
            }
        }
        Ok(Self { base, accounts, hashes, codes })
    }

    /// The account as overridden, where it is.
    fn account(&self, address: Address, base: Option<AccountInfo>) -> Option<AccountInfo> {
        match self.accounts.get(&address) {
            Some(by) => Some(overridden(base, by)),
            None => base,
        }
    }

    /// The value that an override gives a slot, if one does.
    fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        let by = self.accounts.get(&address)?;
        match &by.state {
            Some(state) => Some(state.get(&slot).copied().unwrap_or_default()),
            None => by.state_diff.as_ref()?.get(&slot).copied(),
        }
    }
}

fn overridden(account: Option<AccountInfo>, by: &AccountOverride) -> AccountInfo {
    let mut account = account.unwrap_or_default();
    if let Some(balance) = by.balance {
        account.balance = balance;
    }
    if let Some(nonce) = by.nonce {
        account.nonce = nonce;
    }
    if let Some(code) = &by.code {
        account.code_hash = keccak256(code);
        account.code = None;
    }
    let written = |slots: &BTreeMap<U256, U256>| slots.values().any(|value| !value.is_zero());
    if let Some(state) = &by.state {
        mark_storage(&mut account, written(state));
    } else if by.state_diff.as_ref().is_some_and(written) {
        mark_storage(&mut account, true);
    }
    account
}

impl<B: revm::Database> revm::Database for CallDatabase<'_, B> {
    type Error = B::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let account = self.base.basic(address)?;
        Ok(self.account(address, account))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, B::Error> {
        match self.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code_by_hash(hash),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, B::Error> {
        match self.slot(address, slot) {
            Some(value) => Ok(value),
            None => self.base.storage(address, slot),
        }
    }

    fn block_hash(&mut self, height: u64) -> Result<B256, B::Error> {
        match self.hashes.block_hashes.get(&height) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash(height),
        }
    }
}

impl<B: DatabaseRef> DatabaseRef for CallDatabase<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let account = self.base.basic_ref(address)?;
        Ok(self.account(address, account))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        match self.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code_by_hash_ref(hash),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, B::Error> {
        match self.slot(address, slot) {
            Some(value) => Ok(value),
            None => self.base.storage_ref(address, slot),
        }
    }

    fn block_hash_ref(&self, height: u64) -> Result<B256, B::Error> {
        match self.hashes.block_hashes.get(&height) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash_ref(height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_zero_address_is_the_one_written_down() {
        assert_eq!(keccak256(Address::ZERO), ZERO_ADDRESS_HASH);
    }
}
