//! Changes to the state of the head: balances, code, nonces, storage.

use std::sync::Arc;

use alloy_eips::{eip7002, eip7251};
use alloy_primitives::{Address, Bytes};
use cloister_core::{DevelopmentRequest, PatchChange, StatePatch};
use cloister_rpc::{
    MethodCall, MethodInfo,
    errors::{self, RpcResult},
};
use jsonrpsee::core::RegisterMethodError;

use super::{
    Dev, Done, Table, change,
    flexible::{Number, Uint, Word},
};

pub(super) async fn patch(call: &MethodCall, address: Address, what: PatchChange) -> RpcResult<()> {
    let patch = StatePatch { address, change: what };
    change(call, DevelopmentRequest::Patch(patch)).await
}

async fn set_balance(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address, balance) = call.params::<(Address, Number)>()?;
    patch(&call, address, PatchChange::Balance(balance.0)).await
}

async fn add_balance(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address, more) = call.params::<(Address, Number)>()?;
    let head = call.state(None).await?;
    let account = head.account(address).map_err(|error| errors::state(&error))?;
    let balance = account.balance.saturating_add(more.0);
    patch(&call, address, PatchChange::Balance(balance)).await
}

async fn set_nonce(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address, nonce) = call.params::<(Address, Uint)>()?;
    patch(&call, address, PatchChange::Nonce(nonce.0)).await
}

/// Contracts that every block calls and that must not fail: a block in which one does is invalid
/// (EIP-7002, EIP-7251), so that none could be made any more.
const ESSENTIAL: [Address; 2] =
    [eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS];

async fn set_code(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address, code) = call.params::<(Address, Bytes)>()?;
    if ESSENTIAL.contains(&address) {
        let current = call.state(None).await?.code(address).map_err(|error| errors::state(&error))?;
        if current != code {
            return Err(errors::invalid_params(format!("no block could be made without the code at {address}")));
        }
    }
    patch(&call, address, PatchChange::Code(code)).await
}

async fn set_storage(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address, slot, value) = call.params::<(Address, Number, Word)>()?;
    patch(&call, address, PatchChange::Storage(slot.0, value.0.into())).await
}

async fn impersonate(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address,) = call.params::<(Address,)>()?;
    change(&call, DevelopmentRequest::Impersonate { address }).await?;
    dev.impersonation().accounts.insert(address);
    Ok(())
}

async fn stop_impersonating(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (address,) = call.params::<(Address,)>()?;
    change(&call, DevelopmentRequest::StopImpersonating { address }).await?;
    dev.impersonation().accounts.remove(&address);
    Ok(())
}

async fn auto_impersonate(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (everyone,) = call.params::<(bool,)>()?;
    dev.impersonation().everyone = everyone;
    Ok(())
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    table
        .setter(["hardhat_setBalance", "anvil_setBalance"], "address, amount", "Sets a balance.", set_balance)?
        .setter(["hardhat_setNonce", "anvil_setNonce"], "address, nonce", "Sets a nonce.", set_nonce)?
        .setter(["hardhat_setCode", "anvil_setCode"], "address, code", "Puts code at an address.", set_code)?
        .setter(
            ["hardhat_impersonateAccount", "anvil_impersonateAccount"],
            "address",
            "Lets transactions be sent in an account's name without its key.",
            impersonate,
        )?
        .setter(
            ["hardhat_stopImpersonatingAccount", "anvil_stopImpersonatingAccount"],
            "address",
            "Ends an impersonation.",
            stop_impersonating,
        )?
        .setter(
            ["hardhat_autoImpersonateAccount", "anvil_autoImpersonateAccount"],
            "on",
            "Lets transactions be sent in every account's name.",
            auto_impersonate,
        )?;
    // tenderly's and ganache's names.
    let info = MethodInfo::new;
    table
        .done(info("tenderly_setBalance", "address, wei", "Sets a balance."), Done::Null, set_balance)?
        .done(info("tenderly_addBalance", "address, wei", "Adds to a balance."), Done::Null, add_balance)?
        .done(info("evm_setAccountBalance", "address, wei", "Sets a balance."), Done::True, set_balance)?
        .done(info("evm_setAccountNonce", "address, nonce", "Sets a nonce."), Done::True, set_nonce)?
        .done(info("evm_setAccountCode", "address, code", "Puts code at an address."), Done::True, set_code)?;
    for name in ["hardhat_setStorageAt", "anvil_setStorageAt", "evm_setAccountStorageAt"] {
        let about = MethodInfo::new(name, "address, slot, value", "Sets a storage slot.");
        table.done(about, Done::True, set_storage)?;
    }
    table.setter(["hardhat_addBalance", "anvil_addBalance"], "address, wei", "Adds to a balance.", add_balance)?;
    Ok(())
}
