//! Taking transactions out of the pool.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use cloister_core::{DevelopmentRequest, RequestBody, Response};
use cloister_rpc::{MethodCall, MethodInfo, errors::RpcResult};
use jsonrpsee::core::RegisterMethodError;

use super::{Dev, Done, Table, ask, change};

async fn drop_one(call: &MethodCall) -> RpcResult<(B256, bool)> {
    let (hash,) = call.params::<(B256,)>()?;
    let dropped = match ask(call, DevelopmentRequest::DropTransaction { hash }).await? {
        Response::Flag(dropped) => dropped,
        _ => true,
    };
    Ok((hash, dropped))
}

async fn hardhat_drop(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    Ok(drop_one(&call).await?.1)
}

async fn anvil_drop(_: Arc<Dev>, call: MethodCall) -> RpcResult<Option<B256>> {
    let (hash, dropped) = drop_one(&call).await?;
    Ok(dropped.then_some(hash))
}

async fn drop_all(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    call.no_params()?;
    change(&call, DevelopmentRequest::DropAll).await
}

/// All transactions of one sender.
async fn remove_of(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (sender,) = call.params::<(Address,)>()?;
    if let Response::PoolContent { pending, queued } =
        call.request(RequestBody::PoolContent { sender: Some(sender) }).await?
    {
        for transaction in pending.iter().chain(&queued) {
            change(&call, DevelopmentRequest::DropTransaction { hash: *transaction.tx_hash() }).await?;
        }
    }
    Ok(())
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    table
        .setter(["hardhat_dropAllTransactions", "anvil_dropAllTransactions"], "", "Empties the pool.", drop_all)?
        .method(info("hardhat_dropTransaction", "hash", "Takes a transaction out of the pool."), hardhat_drop)?
        .method(info("anvil_dropTransaction", "hash", "Takes a transaction out of the pool."), anvil_drop)?
        .done(
            info("anvil_removePoolTransactions", "address", "Takes an account's transactions out of the pool."),
            Done::Null,
            remove_of,
        )?;
    Ok(())
}
