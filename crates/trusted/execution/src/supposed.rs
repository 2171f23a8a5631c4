//! Changes on top of a view that only a simulation sees.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256, map::B256Map};
use cloister_state::{Account, AccountDelta, StateDelta, StorageCleared};
use revm::state::Bytecode;

use crate::database::{ViewDatabase, bytecode};
use crate::error::ExecutionError;
use crate::overrides::{AccountOverride, StateOverrides};

/// What blocks that are only supposed changed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supposed {
    accounts: BTreeMap<Address, SupposedAccount>,
    codes: B256Map<Bytecode>,
}

#[derive(Clone, Debug, Default)]
struct SupposedAccount {
    account: Option<Account>,
    /// Whether slots that are not named here are zero.
    cleared: StorageCleared,
    storage: BTreeMap<U256, U256>,
}

impl Supposed {
    /// Makes the changes of `delta` on top of those made before.
    pub(crate) fn absorb(&mut self, delta: &StateDelta) {
        for code in &delta.codes {
            self.codes.insert(keccak256(code), bytecode(code.clone()));
        }
        for change in &delta.accounts {
            let entry = self.accounts.entry(change.address).or_default();
            entry.account = change.account;
            if change.account.is_none() || change.storage_cleared == StorageCleared::Yes {
                entry.cleared = StorageCleared::Yes;
                entry.storage.clear();
            }
            entry.storage.extend(change.storage.iter().copied());
        }
    }

    /// The account as it was changed; `None` if it was not.
    pub(crate) fn account(&self, address: Address) -> Option<Option<Account>> {
        self.accounts.get(&address).map(|changed| changed.account)
    }

    /// The slot as it was changed; `None` if it was not.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        let changed = self.accounts.get(&address)?;
        match changed.storage.get(&slot) {
            Some(value) => Some(*value),
            None => (changed.cleared == StorageCleared::Yes).then_some(U256::ZERO),
        }
    }

    /// Whether the account has storage; `None` if the changes leave that to what is below them.
    pub(crate) fn has_storage(&self, address: Address) -> Option<bool> {
        let changed = self.accounts.get(&address)?;
        if changed.storage.values().any(|value| !value.is_zero()) {
            return Some(true);
        }
        (changed.cleared == StorageCleared::Yes).then_some(false)
    }

    /// Code that came with the changes.
    pub(crate) fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }
}

/// What `overrides` change, as if a block had.
///
/// As in geth, an account that any field but a move is given for exists from then on, an empty one
/// as well.
pub(crate) fn delta_of(overrides: &StateOverrides, database: &ViewDatabase<'_>) -> Result<StateDelta, ExecutionError> {
    let mut delta = StateDelta::default();
    for (address, by) in overrides {
        by.check(*address)?;
        if !changes_account(by) {
            continue;
        }
        let mut account = database.account(*address).map_err(|error| error.0)?.unwrap_or_default();
        account.balance = by.balance.unwrap_or(account.balance);
        account.nonce = by.nonce.unwrap_or(account.nonce);
        if let Some(code) = &by.code {
            account.code_hash = keccak256(code);
            if !code.is_empty() {
                delta.codes.push(code.clone());
            }
        }
        let slots = by.state.as_ref().or(by.state_diff.as_ref());
        delta.accounts.push(AccountDelta {
            address: *address,
            account: Some(account),
            storage_cleared: if by.state.is_some() { StorageCleared::Yes } else { StorageCleared::No },
            storage: slots.into_iter().flatten().map(|(slot, value)| (*slot, *value)).collect(),
        });
    }
    delta.sort();
    Ok(delta)
}

const fn changes_account(by: &AccountOverride) -> bool {
    by.balance.is_some() || by.nonce.is_some() || by.code.is_some() || by.state.is_some() || by.state_diff.is_some()
}
