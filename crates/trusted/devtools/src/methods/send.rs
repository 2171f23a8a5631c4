//! `eth_sendTransaction`: what is missing is filled in, then it is signed and sent.

use std::sync::Arc;

use alloy_consensus::{EthereumTypedTransaction, TxEip4844};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};
use cloister_core::{AnswerAt, CoreError, DevelopmentRequest, RequestBody, Response};
use cloister_execution::impersonate;
use cloister_primitives::{Code, Height, Rejected};
use cloister_rpc::{
    MethodCall,
    calls::{self, TransactionArgs},
    errors::{self, RpcResult},
    send::fill_in,
};

use super::Dev;
use crate::replay::{self, Failure};

/// A transaction of any type this chain takes, before it is signed.
pub(super) type Unsigned = EthereumTypedTransaction<TxEip4844>;

/// Answers the hash. Where blocks are made at once and the transaction had no effect, it answers the
/// revert instead, with its data, as Hardhat does: Hardhat's plugins skip the estimate that would
/// otherwise have told them.
pub(super) async fn send_transaction(dev: Arc<Dev>, call: MethodCall) -> RpcResult<B256> {
    let (args,) = call.params::<(TransactionArgs,)>()?;
    let from = sender(&dev, &args)?;
    let response = {
        // Held until the pool has it: the next send counts its nonce from there.
        let _guard = dev.send_lock(&from).lock().await;
        let unsigned = fill(&call, args, from).await?;
        let request = submission(&dev, &call, unsigned, from).await?;
        call.request(request).await?
    };
    match response {
        Response::Admitted { hash } => Ok(hash),
        Response::Included { hash, height, index } => check_effect(call, hash, height, index).await,
        _ => Err(errors::code(Code::Internal)),
    }
}

/// The sender: the first account where none is given.
pub(super) fn sender(dev: &Dev, args: &TransactionArgs) -> RpcResult<Address> {
    let first = dev.accounts.all().first().map(|account| account.address());
    args.from.or(first).ok_or_else(unknown_account)
}

pub(super) fn unknown_account() -> jsonrpsee::types::ErrorObjectOwned {
    errors::server_error("unknown account")
}

/// Signed, or under the name of an account that is impersonated.
async fn submission(dev: &Dev, call: &MethodCall, unsigned: Unsigned, from: Address) -> RpcResult<RequestBody> {
    let answer_at = AnswerAt::CommitIfInstant;
    // An account's key comes first: a signed transaction is worth more than an impersonated one.
    if let Some(account) = dev.accounts.find(&from) {
        let signed = account.sign_transaction(unsigned);
        return Ok(RequestBody::Submit { raw: Bytes::from(signed.encoded_2718()), answer_at });
    }
    if !dev.impersonates(&from) {
        return Err(unknown_account());
    }
    super::change(call, DevelopmentRequest::Impersonate { address: from }).await?;
    Ok(RequestBody::Development(DevelopmentRequest::SubmitImpersonated {
        transaction: impersonate(unsigned, from),
        answer_at,
    }))
}

/// Fills in what is missing.
pub(super) async fn fill(call: &MethodCall, mut args: TransactionArgs, from: Address) -> RpcResult<Unsigned> {
    args.from = Some(from);
    fill_in(call, args).await
}

/// The hash of a transaction that took effect, the revert of one that did not.
async fn check_effect(call: MethodCall, hash: B256, height: Height, index: u32) -> RpcResult<B256> {
    let Some(block) = call.block_at(height).await? else {
        return Ok(hash);
    };
    let succeeded = block
        .transaction(index)
        .and_then(|transaction| transaction.receipt().map(|receipt| receipt.status()))
        .unwrap_or(true);
    if succeeded {
        return Ok(hash);
    }
    let (context, caller) = (call.context.clone(), call.caller.clone());
    let index = index as usize;
    let told = calls::on_blocking_thread(&call.context, move || {
        Ok(replay::replay(&context, &caller, &block, index..index + 1))
    })
    .await?;
    match told.into_iter().next().and_then(|replayed| replayed.failure) {
        Some(Failure::Reverted(output)) => Err(errors::reverted(&output)),
        Some(halted @ Failure::Halted(_)) => {
            let refusal = Rejected::with_detail(Code::ExecutionHalted, halted.message());
            Err(errors::core(&CoreError::Rejected(refusal)))
        }
        None => Ok(hash),
    }
}
