//! Balances and allowances of ERC-20 tokens, set in the storage of the token.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};
use cloister_core::PatchChange;
use cloister_execution::{AccountOverride, CallRequest, Executor};
use cloister_rpc::{
    MethodCall, MethodInfo,
    calls::{Execution, StateOverridesArg},
    errors::{self, RpcResult},
};
use jsonrpsee::core::RegisterMethodError;

use super::{Dev, Done, Table, flexible::Number, state::patch};

sol! {
    function balanceOf(address account) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
}

async fn set_balance(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (account, token, amount) = call.params::<(Address, Address, Number)>()?;
    set_word(&call, token, balanceOfCall { account }.abi_encode().into(), amount.0).await
}

async fn set_allowance(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (owner, spender, token, amount) = call.params::<(Address, Address, Address, Number)>()?;
    set_word(&call, token, allowanceCall { owner, spender }.abi_encode().into(), amount.0).await
}

/// Finds the slot whose value a view of the token answers, and sets it.
async fn set_word(call: &MethodCall, token: Address, input: Bytes, value: U256) -> RpcResult<()> {
    let request = CallRequest { to: Some(token), input, ..CallRequest::default() };
    let read = Execution::prepare(call, request.clone(), None).await?;
    let found = read.run(&call.context, Executor::create_access_list).await?;
    for item in found.access_list.0 {
        for slot in item.storage_keys {
            let slot: U256 = slot.into();
            // Two values: a slot that has nothing to do with it could hold the one by chance.
            let mut follows = true;
            for probe in [value.wrapping_add(U256::ONE), value] {
                follows = follows && view(call, &request, item.address, slot, probe).await? == Some(probe);
            }
            if follows {
                return patch(call, item.address, PatchChange::Storage(slot, value)).await;
            }
        }
    }
    Err(errors::server_error("no storage slot of the token holds this amount as it is"))
}

/// What the view answers where a slot holds `value`.
async fn view(
    call: &MethodCall,
    request: &CallRequest,
    address: Address,
    slot: U256,
    value: U256,
) -> RpcResult<Option<U256>> {
    let state_diff = Some(BTreeMap::from([(slot, value)]));
    let pretended = BTreeMap::from([(address, AccountOverride { state_diff, ..AccountOverride::default() })]);
    let execution = Execution::prepare(call, request.clone(), None)
        .await?
        .with_overrides(Some(StateOverridesArg(pretended)), None)?;
    let answer =
        execution.run(&call.context, |executor, view, env, request| executor.call(view, env, request)?.into_output());
    Ok(answer.await.ok().and_then(|output| U256::try_from_be_slice(output.get(..32)?)))
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    for name in ["anvil_dealERC20", "anvil_setERC20Balance", "hardhat_dealERC20"] {
        let about = info(name, "address, token, amount", "Sets a balance of an ERC-20 token.");
        table.done(about, Done::Null, set_balance)?;
    }
    let about = "Sets an allowance of an ERC-20 token.";
    table.done(info("anvil_setERC20Allowance", "owner, spender, token, amount", about), Done::Null, set_allowance)?;
    Ok(())
}
