//! `eth_sendTransaction`: what is missing is filled in, then it is signed and sent.

use std::sync::Arc;

use alloy_consensus::{EthereumTypedTransaction, Transaction as _, TxEip4844};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_core::{AnswerAt, CoreError, DevelopmentRequest, Pace, RequestBody, Response};
use cloister_execution::impersonate;
use cloister_primitives::{Code, Height};
use cloister_rpc::{
    MethodCall,
    calls::{self, TransactionArgs},
    errors::{self, RpcResult},
    send::fill_in,
};
use jsonrpsee::types::ErrorObjectOwned;

use super::{Dev, ask, chain};
use crate::{
    hardhat::{self, Refused},
    replay::{self, Failure},
};

/// A transaction of any type this chain takes, before it is signed.
pub(super) type Unsigned = EthereumTypedTransaction<TxEip4844>;

/// Whose transactions need no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unkeyed {
    /// Those of accounts that are impersonated.
    Impersonated,
    /// Everyone's.
    Anyone,
}

/// Answers the hash. Where blocks are made at once and the transaction had no effect, it answers the
/// revert instead, with its data, as Hardhat does: Hardhat's plugins skip the estimate that would
/// otherwise have told them.
pub(super) async fn send_transaction(dev: Arc<Dev>, call: MethodCall) -> RpcResult<B256> {
    send(dev, call, Unkeyed::Impersonated).await
}

/// anvil's: in the name of any account, impersonated or not.
pub(super) async fn send_unsigned(dev: Arc<Dev>, call: MethodCall) -> RpcResult<B256> {
    send(dev, call, Unkeyed::Anyone).await
}

async fn send(dev: Arc<Dev>, call: MethodCall, unkeyed: Unkeyed) -> RpcResult<B256> {
    let (args,) = call.params::<(TransactionArgs,)>()?;
    let from = sender(&dev, &args)?;
    let response = {
        // One after the other, in the order they came: with instant blocks each has a block of its own.
        let _turn = dev.turn().await;
        let unsigned = fill(&call, args, from).await.map_err(in_hardhats_words)?;
        check_fee(&call, &unsigned).await?;
        let refused = Refused {
            nonce: unsigned.nonce(),
            gas_limit: unsigned.gas_limit(),
            cost: cost(&unsigned),
            ..Refused::default()
        };
        let body = submission(&dev, &call, unsigned, from, unkeyed).await?;
        match call.context.core.request(&call.caller, body).await {
            Ok(response) => response,
            Err(error) => return Err(refusal(&call, from, refused, &error).await),
        }
    };
    match response {
        Response::Admitted { hash } => Ok(hash),
        Response::Included { hash, height, index } => check_effect(call, hash, height, index).await,
        _ => Err(errors::code(Code::Internal)),
    }
}

/// A transaction to be admitted, as its fields say.
pub(super) async fn body(dev: &Dev, call: &MethodCall, args: TransactionArgs) -> RpcResult<RequestBody> {
    let from = sender(dev, &args)?;
    let unsigned = fill(call, args, from).await?;
    submission(dev, call, unsigned, from, Unkeyed::Impersonated).await
}

/// The sender: the first account where none is given.
pub(super) fn sender(dev: &Dev, args: &TransactionArgs) -> RpcResult<Address> {
    let first = dev.accounts.all().first().map(|account| account.address());
    args.from.or(first).ok_or_else(unknown_account)
}

pub(super) fn unknown_account() -> ErrorObjectOwned {
    errors::server_error("unknown account")
}

/// The most that a transaction can take from its sender, wei.
fn cost(unsigned: &Unsigned) -> U256 {
    let gas = U256::from(unsigned.gas_limit()).saturating_mul(U256::from(unsigned.max_fee_per_gas()));
    gas.saturating_add(unsigned.value())
}

/// With instant blocks a fee cap below the next block's base fee is refused, as in Hardhat: the sender
/// would wait for a block that nothing leads to.
async fn check_fee(call: &MethodCall, unsigned: &Unsigned) -> RpcResult<()> {
    if chain::pace(call).await? != Pace::Instant {
        return Ok(());
    }
    let Response::Number(base_fee) = ask(call, DevelopmentRequest::NextBaseFee).await? else {
        return Err(errors::code(Code::Internal));
    };
    let fee = unsigned.max_fee_per_gas();
    if fee >= u128::from(base_fee) {
        return Ok(());
    }
    let name = if unsigned.is_dynamic_fee() { "maxFeePerGas" } else { "gasPrice" };
    Err(errors::server_error(hardhat::fee_too_low(name, fee, base_fee)))
}

/// Signed, or under the name of an account that needs no key.
async fn submission(
    dev: &Dev,
    call: &MethodCall,
    unsigned: Unsigned,
    from: Address,
    unkeyed: Unkeyed,
) -> RpcResult<RequestBody> {
    let answer_at = AnswerAt::CommitIfInstant;
    // An account's key comes first: a signed transaction is worth more than an impersonated one.
    if let Some(account) = dev.accounts.find(&from) {
        let signed = account.sign_transaction(unsigned);
        return Ok(RequestBody::Submit { raw: Bytes::from(signed.encoded_2718()), answer_at });
    }
    if unkeyed == Unkeyed::Impersonated && !dev.impersonates(&from) {
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

/// The revert of an estimate, worded like that of the transaction it stands for.
fn in_hardhats_words(error: ErrorObjectOwned) -> ErrorObjectOwned {
    let output = error.data().and_then(|data| serde_json::from_str::<Bytes>(data.get()).ok());
    match output {
        Some(output) if error.code() == Code::ExecutionReverted.rpc_number() => {
            failed(hardhat::revert_message(&output), &output)
        }
        _ => error,
    }
}

/// A transaction without effect: what a call would answer, in Hardhat's words. Hardhat's plugins look for
/// return data, be it empty.
fn failed(message: String, output: &Bytes) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(Code::ExecutionReverted.rpc_number(), message, Some(output))
}

/// Why a transaction did not enter the pool.
async fn refusal(call: &MethodCall, from: Address, refused: Refused, error: &CoreError) -> ErrorObjectOwned {
    let (CoreError::Rejected(reason) | CoreError::Dropped(reason)) = error else {
        return errors::core(error);
    };
    let known = async {
        let head = call.head().ok()?;
        let account = call.state_at(head.height()).await.ok()?.account(from).ok()?;
        Some(Refused {
            next_nonce: account.nonce,
            balance: account.balance,
            block_gas_limit: head.header().gas_limit,
            ..refused
        })
    };
    let message = known.await.map_or_else(|| reason.to_string(), |known| known.message(reason));
    ErrorObjectOwned::owned::<()>(reason.code().rpc_number(), message, None)
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
        Some(Failure::Reverted(output)) => Err(failed(hardhat::revert_message(&output), &output)),
        Some(Failure::Halted(reason)) => Err(failed(hardhat::halt_message(&reason), &Bytes::new())),
        None => Ok(hash),
    }
}
