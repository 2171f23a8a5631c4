//! Transactions and receipts by hash or position.

use alloy_eips::{BlockNumberOrTag, eip2718::Encodable2718 as _};
use alloy_primitives::{B256, Bytes};
use cloister_access::Visibility;
use cloister_core::{RequestBody, Response, SeenBlock, SeenTransaction};
use cloister_primitives::RecoveredTransaction;
use jsonrpsee::core::RegisterMethodError;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::{ReceiptJson, TransactionJson},
    errors::RpcResult,
};

/// A pending transaction, if the caller may see it.
async fn pooled(call: &MethodCall, hash: B256) -> RpcResult<Option<RecoveredTransaction>> {
    match call.request(RequestBody::PoolTransaction { hash }).await? {
        Response::PoolTransaction(found) => {
            Ok(found.filter(|transaction| call.reader().sees_pool_of(transaction.signer())))
        }
        _ => Ok(None),
    }
}

/// A transaction wherever it is, in a block or in the pool.
pub(crate) async fn find(call: &MethodCall, hash: B256) -> RpcResult<Option<TransactionJson>> {
    if let Some(seen) = call.transaction(hash).await? {
        return Ok(Some(TransactionJson::committed(&seen)));
    }
    if let Some(transaction) = pooled(call, hash).await? {
        return Ok(Some(TransactionJson::pending(transaction)));
    }
    // It may have moved from the pool into a block between the two looks.
    let seen = call.transaction(hash).await?;
    Ok(seen.as_ref().map(TransactionJson::committed))
}

pub(crate) async fn by_hash(call: MethodCall) -> RpcResult<Option<TransactionJson>> {
    let (hash,) = call.params::<(B256,)>()?;
    find(&call, hash).await
}

fn nth(block: Option<SeenBlock>, index: u64) -> Option<SeenTransaction> {
    block?.transaction(u32::try_from(index).ok()?)
}

async fn by_block_number(call: MethodCall) -> RpcResult<Option<TransactionJson>> {
    let (number, index) = call.params::<(BlockNumberOrTag, u64)>()?;
    let seen = nth(call.block(number.into()).await?, index);
    Ok(seen.as_ref().map(TransactionJson::committed))
}

async fn by_block_hash(call: MethodCall) -> RpcResult<Option<TransactionJson>> {
    let (hash, index) = call.params::<(B256, u64)>()?;
    let seen = nth(call.block_by_hash(hash).await?, index);
    Ok(seen.as_ref().map(TransactionJson::committed))
}

/// The bytes of a transaction; none, as geth answers, where there is no such transaction.
fn raw(seen: Option<SeenTransaction>) -> Bytes {
    // The bytes hold what belongs to the sender alone.
    seen.filter(|seen| seen.visibility() == Visibility::Full)
        .map(|seen| seen.transaction().inner().encoded_2718().into())
        .unwrap_or_default()
}

pub(crate) async fn raw_by_hash(call: MethodCall) -> RpcResult<Bytes> {
    let (hash,) = call.params::<(B256,)>()?;
    if let Some(seen) = call.transaction(hash).await? {
        return Ok(raw(Some(seen)));
    }
    let pooled = pooled(&call, hash).await?;
    Ok(pooled.map(|transaction| transaction.inner().encoded_2718().into()).unwrap_or_default())
}

async fn raw_by_block_number(call: MethodCall) -> RpcResult<Bytes> {
    let (number, index) = call.params::<(BlockNumberOrTag, u64)>()?;
    Ok(raw(nth(call.block(number.into()).await?, index)))
}

async fn raw_by_block_hash(call: MethodCall) -> RpcResult<Bytes> {
    let (hash, index) = call.params::<(B256, u64)>()?;
    Ok(raw(nth(call.block_by_hash(hash).await?, index)))
}

pub(crate) async fn receipt(call: MethodCall) -> RpcResult<Option<ReceiptJson>> {
    let (hash,) = call.params::<(B256,)>()?;
    receipt_of(&call, hash).await
}

/// The receipt of a committed transaction, if the caller may see it.
pub(crate) async fn receipt_of(call: &MethodCall, hash: B256) -> RpcResult<Option<ReceiptJson>> {
    let seen = call.transaction(hash).await?;
    Ok(seen.and_then(|seen| ReceiptJson::new(seen, call.context.ledger.spec())))
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(
            info("eth_getTransactionByHash", "hash -> transaction object", "A committed or pending transaction."),
            by_hash,
        )?
        .method(
            info(
                "eth_getTransactionByBlockNumberAndIndex",
                "number, index -> transaction object",
                "A transaction by place.",
            ),
            by_block_number,
        )?
        .method(
            info(
                "eth_getTransactionByBlockHashAndIndex",
                "hash, index -> transaction object",
                "A transaction by place.",
            ),
            by_block_hash,
        )?
        .method(info("eth_getRawTransactionByHash", "hash -> data", "A transaction's bytes (EIP-2718)."), raw_by_hash)?
        .method(
            info(
                "eth_getRawTransactionByBlockNumberAndIndex",
                "number, index -> data",
                "A transaction's bytes (EIP-2718).",
            ),
            raw_by_block_number,
        )?
        .method(
            info(
                "eth_getRawTransactionByBlockHashAndIndex",
                "hash, index -> data",
                "A transaction's bytes (EIP-2718).",
            ),
            raw_by_block_hash,
        )?
        .text(
            info("eth_getTransactionReceipt", "hash -> receipt", "The receipt of a committed transaction."),
            receipt,
        )?;
    Ok(())
}
