//! From revm's bundle of changes to a canonical delta.

use alloy_primitives::{Bytes, KECCAK256_EMPTY};
use cloister_state::{Account, AccountDelta, StateDelta, StorageCleared};
use revm::database::BundleState;
use revm::database::states::BundleAccount;
use revm::state::AccountInfo;

/// The changes of a block in canonical order.
///
/// Accounts that were touched and did not change are left out; accounts that ended empty are gone
/// (EIP-161) if `clears_empty`, and stay as they are otherwise.
pub(crate) fn state_delta(bundle: BundleState, clears_empty: bool) -> StateDelta {
    let mut delta = StateDelta {
        accounts: Vec::with_capacity(bundle.state.len()),
        codes: bundle
            .contracts
            .into_values()
            .map(|code| code.original_bytes())
            .filter(|code: &Bytes| !code.is_empty())
            .collect(),
    };
    for (address, changed) in bundle.state {
        if let Some(changes) = account_delta(address, changed, clears_empty) {
            delta.accounts.push(changes);
        }
    }
    delta.sort();
    delta
}

fn account_delta(
    address: alloy_primitives::Address,
    changed: BundleAccount,
    clears_empty: bool,
) -> Option<AccountDelta> {
    let info_changed = changed.is_info_changed();
    let was_destroyed = changed.was_destroyed();
    let account = changed.info.as_ref().map(account).filter(|account| !(clears_empty && account.is_empty()));
    let Some(account) = account else {
        // Created and destroyed within the block: it never was.
        changed.original_info.as_ref()?;
        return Some(AccountDelta {
            address,
            account: None,
            storage_cleared: StorageCleared::Yes,
            storage: Vec::new(),
        });
    };
    // After a destruction every slot counts from zero, so zeros need no mention and the rest does.
    let storage: Vec<_> = changed
        .storage
        .into_iter()
        .filter(|(_, slot)| if was_destroyed { !slot.present_value.is_zero() } else { slot.is_changed() })
        .map(|(key, slot)| (key, slot.present_value))
        .collect();
    if !info_changed && !was_destroyed && storage.is_empty() {
        return None;
    }
    Some(AccountDelta {
        address,
        account: Some(account),
        storage_cleared: if was_destroyed { StorageCleared::Yes } else { StorageCleared::No },
        storage,
    })
}

fn account(info: &AccountInfo) -> Account {
    Account {
        nonce: info.nonce,
        balance: info.balance,
        code_hash: if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash },
    }
}
