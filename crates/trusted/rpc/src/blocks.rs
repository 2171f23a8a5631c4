//! Blocks, headers, counts and receipts of blocks.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use cloister_core::SeenBlock;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde_json::Value;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::{BlockJson, Bodies, HeaderJson, Quantity, ReceiptJson, UncleJson},
    errors::RpcResult,
    pending,
};

async fn block_number(call: MethodCall) -> RpcResult<Quantity> {
    call.no_params()?;
    Ok(call.context.ledger.head().0.into())
}

/// A block that is made, or one that is called pending and has no identity yet.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum AnyBlock {
    Made(BlockJson),
    Pending(Value),
}

pub(crate) async fn by_number(call: MethodCall) -> RpcResult<Option<AnyBlock>> {
    let (number, full) = call.params::<(BlockNumberOrTag, Option<bool>)>()?;
    if let Some(pending) = call.pending(Some(number.into())).await? {
        let bodies = Bodies::from(full.unwrap_or(false));
        return pending.json(bodies).map(|json| Some(AnyBlock::Pending(json)));
    }
    let Some(block) = shown(call.block(number.into()).await?, full) else {
        return Ok(None);
    };
    if number.is_pending() {
        return pending::without_identity(&block).map(|json| Some(AnyBlock::Pending(json)));
    }
    Ok(Some(AnyBlock::Made(block)))
}

pub(crate) async fn by_hash(call: MethodCall) -> RpcResult<Option<BlockJson>> {
    let (hash, full) = call.params::<(B256, Option<bool>)>()?;
    let block = call.block_by_hash(hash).await?;
    Ok(shown(block, full))
}

fn shown(block: Option<SeenBlock>, full: Option<bool>) -> Option<BlockJson> {
    let bodies = Bodies::from(full.unwrap_or(false));
    block.map(|block| BlockJson::new(block, bodies))
}

async fn header_by_number(call: MethodCall) -> RpcResult<Option<HeaderJson>> {
    let (number,) = call.params::<(BlockNumberOrTag,)>()?;
    Ok(call.block(number.into()).await?.map(HeaderJson))
}

async fn header_by_hash(call: MethodCall) -> RpcResult<Option<HeaderJson>> {
    let (hash,) = call.params::<(B256,)>()?;
    Ok(call.block_by_hash(hash).await?.map(HeaderJson))
}

pub(crate) async fn receipts(call: MethodCall) -> RpcResult<Option<Vec<ReceiptJson>>> {
    let (id,) = call.params::<(BlockId,)>()?;
    let spec = call.context.ledger.spec();
    Ok(call
        .block(id)
        .await?
        .map(|block| block.transactions().filter_map(|transaction| ReceiptJson::new(transaction, spec)).collect()))
}

async fn count_by_number(call: MethodCall) -> RpcResult<Option<Quantity>> {
    let (number,) = call.params::<(BlockNumberOrTag,)>()?;
    if let Some(pending) = call.pending(Some(number.into())).await? {
        return Ok(count(Some(pending.block)));
    }
    Ok(count(call.block(number.into()).await?))
}

async fn count_by_hash(call: MethodCall) -> RpcResult<Option<Quantity>> {
    let (hash,) = call.params::<(B256,)>()?;
    Ok(count(call.block_by_hash(hash).await?))
}

fn count(block: Option<SeenBlock>) -> Option<Quantity> {
    block.map(|block| Quantity::count(block.transaction_count()))
}

async fn uncle_count_by_number(call: MethodCall) -> RpcResult<Option<Quantity>> {
    let (number,) = call.params::<(BlockNumberOrTag,)>()?;
    Ok(uncle_count(call.block(number.into()).await?))
}

async fn uncle_count_by_hash(call: MethodCall) -> RpcResult<Option<Quantity>> {
    let (hash,) = call.params::<(B256,)>()?;
    Ok(uncle_count(call.block_by_hash(hash).await?))
}

fn uncle_count(block: Option<SeenBlock>) -> Option<Quantity> {
    block.map(|block| Quantity::count(block.ommers().len()))
}

async fn uncle_by_number(call: MethodCall) -> RpcResult<Option<UncleJson>> {
    let (number, index) = call.params::<(BlockNumberOrTag, u64)>()?;
    Ok(uncle(call.block(number.into()).await?, index))
}

async fn uncle_by_hash(call: MethodCall) -> RpcResult<Option<UncleJson>> {
    let (hash, index) = call.params::<(B256, u64)>()?;
    Ok(uncle(call.block_by_hash(hash).await?, index))
}

fn uncle(block: Option<SeenBlock>, index: u64) -> Option<UncleJson> {
    let ommer = block?.ommers().get(usize::try_from(index).ok()?).cloned();
    ommer.map(UncleJson)
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_blockNumber", "-> quantity", "Height of the newest committed block."), block_number)?
        .method(info("eth_getBlockByNumber", "number, full? -> block object", "A block by height or tag."), by_number)?
        .method(info("eth_getBlockByHash", "hash, full? -> block object", "A block by its hash."), by_hash)?
        .method(info("eth_getHeaderByNumber", "number -> header", "A header by height or tag."), header_by_number)?
        .method(info("eth_getHeaderByHash", "hash -> header", "A header by its block's hash."), header_by_hash)?
        .text(info("eth_getBlockReceipts", "block -> receipts", "All receipts of a block."), receipts)?
        .method(
            info("eth_getBlockTransactionCountByNumber", "number -> quantity or null", "Transactions in a block."),
            count_by_number,
        )?
        .method(
            info("eth_getBlockTransactionCountByHash", "hash -> quantity or null", "Transactions in a block."),
            count_by_hash,
        )?
        .method(
            info(
                "eth_getUncleCountByBlockNumber",
                "number -> quantity or null",
                "Uncles of a block; only imported ones have any.",
            ),
            uncle_count_by_number,
        )?
        .method(
            info(
                "eth_getUncleCountByBlockHash",
                "hash -> quantity or null",
                "Uncles of a block; only imported ones have any.",
            ),
            uncle_count_by_hash,
        )?
        .method(
            info(
                "eth_getUncleByBlockNumberAndIndex",
                "number, index -> block object",
                "An uncle of a block, as a block without transactions.",
            ),
            uncle_by_number,
        )?
        .method(
            info(
                "eth_getUncleByBlockHashAndIndex",
                "hash, index -> block object",
                "An uncle of a block, as a block without transactions.",
            ),
            uncle_by_hash,
        )?;
    Ok(())
}
