//! What readers hold: one height, as it was.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use cloister_primitives::Height;

use crate::contents::Contents;
use crate::history::{Mark, OldAccount, Version};
use crate::state::Shared;
use crate::{Account, AccountProof, Projection, StateError};

/// Most changes since a height through which a proof is still built: about half a second of work,
/// during which the writer has to wait.
pub(crate) const MAX_PROOF_CHANGES: u64 = 100_000;

/// An immutable view of one height.
///
/// Every method answers as of that height, or [`StateError::HistoryUnavailable`] once the height
/// has been forgotten, rewound, or patched.
#[derive(Clone)]
pub struct StateView {
    state: Arc<Shared>,
    version: Version,
    root: B256,
}

impl StateView {
    pub(crate) const fn new(state: Arc<Shared>, version: Version, root: B256) -> Self {
        Self { state, version, root }
    }

    /// The height this view shows.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.version.height
    }

    /// The state root at this height.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The account at an address.
    pub fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.lookup(address)?.map(|found| found.account))
    }

    /// The account whose address has this keccak-256 hash; for who looks up many at one time.
    pub fn account_of_hashed(&self, hash: B256) -> Result<Option<Account>, StateError> {
        Ok(self.lookup_hashed(hash)?.map(|found| found.account))
    }

    /// The account whose address has this keccak-256 hash, with the root of its storage trie.
    pub fn account_with_storage_root_of_hashed(&self, hash: B256) -> Result<Option<(Account, B256)>, StateError> {
        Ok(self.lookup_hashed(hash)?.map(|found| (found.account, found.storage_root)))
    }

    /// The value of a slot; zero where there is none.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.storage_of_hashed(keccak256(address), slot)
    }

    /// The value of a slot of the account whose address has this keccak-256 hash; for who reads many slots
    /// of one account.
    pub fn storage_of_hashed(&self, account: B256, slot: U256) -> Result<U256, StateError> {
        let key = keccak256(slot.to_be_bytes::<32>());
        let contents = self.state.read();
        let since = contents.history.since(self.version)?;
        Ok(contents.slot(since, &account, &key))
    }

    /// Code by its hash.
    pub fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Some(Bytes::new()));
        }
        let contents = self.state.read();
        contents.history.since(self.version)?;
        Ok(contents.codes.get(&hash).cloned())
    }

    /// The root of an account's storage trie; the empty root where there is no account.
    pub fn storage_root(&self, address: Address) -> Result<B256, StateError> {
        let found = self.lookup(address)?;
        Ok(found.map_or(EMPTY_ROOT_HASH, |found| found.storage_root))
    }

    /// Whether an account has no storage.
    pub fn is_storage_empty(&self, address: Address) -> Result<bool, StateError> {
        Ok(self.storage_root(address)? == EMPTY_ROOT_HASH)
    }

    /// Proves an account and some of its slots against [`Self::root`].
    ///
    /// At the tip this is a walk down the trie. For an older height the trie is rebuilt as far as
    /// it has changed since, which takes microseconds per change; where too much has changed, the
    /// answer is [`StateError::ProofTooOld`].
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
        let key = keccak256(address);
        let contents = self.state.read();
        let since = contents.history.since(self.version)?;
        if contents.history.is_end(since) && contents.tries.is_settled() {
            return Ok(contents.tries.prove(address, slots));
        }
        let history = &contents.history;
        let changed_slots = || {
            let wanted = !slots.is_empty();
            let changed = wanted.then(|| history.slots_since(since));
            changed.into_iter().flatten().filter(|(account, ..)| *account == key)
        };
        let changes = history.account_changes_since(since) + changed_slots().count() as u64;
        if changes > MAX_PROOF_CHANGES {
            let height = self.version.height;
            return Err(StateError::ProofTooOld { height, changes });
        }
        let mut tries = contents.tries.overlay();
        for (_, slot, value) in changed_slots() {
            // The account may be gone by now; it is put right below.
            let id = tries.account_id(&key).unwrap_or_else(|| tries.put_account(key, Account::default()));
            tries.put_slot(id, slot, value);
        }
        for (key, old) in history.accounts_since(since) {
            match old {
                None => tries.remove_account(&key),
                // Storage of other accounts stays as it is now: their old roots are recorded.
                Some(old) => {
                    let id = tries.put_account(key, old.account);
                    tries.put_storage_root(id, old.storage_root);
                }
            }
        }
        tries.settle(if slots.is_empty() { vec![] } else { vec![key] });
        Ok(tries.prove(address, slots))
    }

    /// Starts to follow changes that this height might see and that are never applied.
    #[must_use]
    pub fn project(&self) -> Projection {
        Projection::new(Arc::clone(&self.state), self.version)
    }

    fn lookup(&self, address: Address) -> Result<Option<OldAccount>, StateError> {
        self.lookup_hashed(keccak256(address))
    }

    fn lookup_hashed(&self, key: B256) -> Result<Option<OldAccount>, StateError> {
        let contents = self.state.read();
        let since = contents.history.since(self.version)?;
        Ok(contents.account(since, &key))
    }
}

impl core::fmt::Debug for StateView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut view = f.debug_struct("StateView");
        view.field("version", &self.version).field("root", &self.root).finish_non_exhaustive()
    }
}

impl Contents {
    /// The account as it was at a mark.
    pub(crate) fn account(&self, since: Mark, key: &B256) -> Option<OldAccount> {
        match self.history.account_since(since, key) {
            Some(old) => old,
            None => self.current_account(key),
        }
    }

    fn slot(&self, since: Mark, account: &B256, key: &B256) -> U256 {
        if let Some(old) = self.history.slot_since(since, account, key) {
            return old;
        }
        let id = self.tries.account_id(account);
        id.map_or(U256::ZERO, |id| self.tries.slot(id, key))
    }
}
