//! What `pending` means on a development network: the block that would be made now.
//!
//! Other networks have none: there nothing is answered from what is not committed.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes, U256, keccak256};
use cloister_execution::{AccountOverride, StateOverrides};
use cloister_primitives::Height;
use cloister_state::{AccountDelta, StateDelta, StateView, StorageCleared};

use crate::{StoredBlock, ledger::Resident, work::BuildJob};

/// Everything the next block would be made from. Running it changes nothing.
#[derive(Clone, Debug)]
pub struct PendingJob(pub(crate) Box<BuildJob>);

/// The block that would be made now.
#[derive(Clone, Debug)]
pub struct PendingBlock {
    /// The block. Its state root is zero: the trie holds blocks that are made, and nothing else.
    pub block: StoredBlock,
    /// How its state differs from the committed one.
    pub overrides: StateOverrides,
}

impl PendingJob {
    /// Executes the block. `None` if the chain has meanwhile gone on so far, or back, that its parent's
    /// state is not at hand.
    #[must_use]
    pub fn run(self) -> Option<PendingBlock> {
        let job = self.0;
        let view = job.state.view(Height(job.parent.number)).ok()?;
        let built = job.execute(&view).ok()?;
        let (block, delta) = built.seal(B256::ZERO).into_block();
        Some(PendingBlock { overrides: overrides(&view, &delta)?, block: StoredBlock(Resident::new(Arc::new(block))) })
    }
}

/// The accounts that a block changes, as a call on its parent's state would have to see them.
fn overrides(view: &StateView, delta: &StateDelta) -> Option<StateOverrides> {
    let new: BTreeMap<B256, &Bytes> = delta.codes.iter().map(|code| (keccak256(code), code)).collect();
    delta.accounts.iter().map(|change| Some((change.address, account_override(view, change, &new)?))).collect()
}

fn account_override(view: &StateView, change: &AccountDelta, new: &BTreeMap<B256, &Bytes>) -> Option<AccountOverride> {
    let account = change.account.unwrap_or_default();
    let before = view.account(change.address).ok()?.unwrap_or_default();
    let code = if account.code_hash == before.code_hash {
        None
    } else {
        let known = new.get(&account.code_hash).map(|code| (*code).clone());
        Some(known.or(view.code(account.code_hash).ok()?).unwrap_or_default())
    };
    let slots: BTreeMap<U256, U256> = change.storage.iter().copied().collect();
    let cleared = change.account.is_none() || change.storage_cleared == StorageCleared::Yes;
    let (state, state_diff) = if cleared { (Some(slots), None) } else { (None, Some(slots)) };
    let (balance, nonce) = (Some(account.balance), Some(account.nonce));
    Some(AccountOverride { balance, nonce, code, state, state_diff, ..AccountOverride::default() })
}
