//! The tag `pending`: on a development network the block that would be made now, elsewhere `latest`.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U256};
use cloister_core::{DevelopmentRequest, RequestBody, Response, SeenBlock};
use cloister_execution::{AccountOverride, StateOverrides};
use cloister_primitives::Code;
use serde_json::Value;

use crate::{
    MethodCall,
    calls::on_blocking_thread,
    convert::{BlockJson, Bodies},
    errors::{self, RpcResult},
};

/// Whether an id is the tag `pending`.
pub(crate) fn is_pending(id: Option<BlockId>) -> bool {
    id == Some(BlockId::Number(BlockNumberOrTag::Pending))
}

/// The block that would be made now, and how its state differs from the head's.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) block: SeenBlock,
    pub(crate) overrides: StateOverrides,
}

impl MethodCall {
    /// The pending block, if `id` asks for it and this network has one.
    pub(crate) async fn pending(&self, id: Option<BlockId>) -> RpcResult<Option<Pending>> {
        if !is_pending(id) || !self.reader().sees_development() {
            return Ok(None);
        }
        let Response::Pending(job) = self.request(RequestBody::Development(DevelopmentRequest::Pending)).await? else {
            return Err(errors::code(Code::Internal));
        };
        let run = move || job.run().ok_or_else(|| errors::code(Code::StateUnavailable));
        let pending = on_blocking_thread(&self.context, run).await?;
        Ok(Some(Pending { block: self.reader().open(&pending.block), overrides: pending.overrides }))
    }
}

impl Pending {
    fn account(&self, address: Address) -> Option<&AccountOverride> {
        self.overrides.get(&address)
    }

    /// The balance, where the block changes the account.
    pub(crate) fn balance(&self, address: Address) -> Option<U256> {
        self.account(address)?.balance
    }

    /// The code, where the block changes it.
    pub(crate) fn code(&self, address: Address) -> Option<alloy_primitives::Bytes> {
        self.account(address)?.code.clone()
    }

    /// A storage slot, where the block changes it.
    pub(crate) fn storage(&self, address: Address, slot: U256) -> Option<B256> {
        let account = self.account(address)?;
        let changed = |slots: &std::collections::BTreeMap<U256, U256>| slots.get(&slot).copied();
        let value = match (&account.state, &account.state_diff) {
            (Some(all), _) => Some(changed(all).unwrap_or_default()),
            (None, Some(some)) => changed(some),
            (None, None) => None,
        };
        value.map(B256::from)
    }

    /// The block as geth shows a pending one: without what is only known once it is made.
    pub(crate) fn json(self, bodies: Bodies) -> RpcResult<Value> {
        let mut json = without_identity(&BlockJson::new(self.block, bodies))?;
        for transaction in json["transactions"].as_array_mut().into_iter().flatten() {
            forget(transaction, &["blockHash", "blockNumber", "transactionIndex", "blockTimestamp"]);
        }
        Ok(json)
    }
}

/// A block without what only one that is made can have.
pub(crate) fn without_identity(block: &BlockJson) -> RpcResult<Value> {
    let mut json = serde_json::to_value(block).map_err(|_| errors::code(Code::Internal))?;
    forget(&mut json, &["hash", "nonce", "miner"]);
    Ok(json)
}

/// Makes fields of an object `null`, where they are there.
fn forget(json: &mut Value, fields: &[&str]) {
    for field in fields {
        if let Some(value) = json.get_mut(*field) {
            *value = Value::Null;
        }
    }
}

/// What a call asks to see differently, on top of the pending block's state.
pub(crate) fn on_top(mut pending: StateOverrides, asked: StateOverrides) -> StateOverrides {
    for (address, over) in asked {
        let under = pending.entry(address).or_default();
        under.balance = over.balance.or(under.balance);
        under.nonce = over.nonce.or(under.nonce);
        under.code = over.code.or(under.code.take());
        if over.state.is_some() {
            (under.state, under.state_diff) = (over.state, None);
        } else if let Some(some) = over.state_diff {
            match &mut under.state {
                Some(all) => all.extend(some),
                None => under.state_diff.get_or_insert_default().extend(some),
            }
        }
    }
    pending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(pairs: &[(u64, u64)]) -> Option<std::collections::BTreeMap<U256, U256>> {
        Some(pairs.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect())
    }

    #[test]
    fn what_a_call_asks_for_wins_over_the_pending_block() {
        let address = Address::repeat_byte(1);
        let of = |over: AccountOverride| StateOverrides::from([(address, over)]);
        let pending = || {
            of(AccountOverride {
                balance: Some(U256::from(1)),
                nonce: Some(2),
                state_diff: slots(&[(1, 1), (2, 2)]),
                ..AccountOverride::default()
            })
        };
        let diff = AccountOverride { nonce: Some(9), state_diff: slots(&[(2, 5)]), ..AccountOverride::default() };
        let seen = on_top(pending(), of(diff));
        assert_eq!((seen[&address].balance, seen[&address].nonce), (Some(U256::from(1)), Some(9)));
        assert_eq!(seen[&address].state_diff, slots(&[(1, 1), (2, 5)]));
        let whole = AccountOverride { state: slots(&[(7, 7)]), ..AccountOverride::default() };
        let seen = on_top(pending(), of(whole));
        assert_eq!((seen[&address].state.clone(), seen[&address].state_diff.clone()), (slots(&[(7, 7)]), None));
    }
}
