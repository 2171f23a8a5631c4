//! Blocks, headers and receipts as Ethereum encodes them.

use alloy_eips::{BlockId, eip2718::Encodable2718 as _};
use alloy_primitives::Bytes;
use alloy_rlp::{BufMut, Encodable as _, Header as RlpHeader};
use cloister_core::SeenTransaction;
use cloister_primitives::{Block, Code};

use crate::{
    MethodCall,
    errors::{self, RpcResult},
};

pub(super) async fn header(call: MethodCall) -> RpcResult<Bytes> {
    let (id,) = call.params::<(BlockId,)>()?;
    let block = call.required_block(Some(id)).await?;
    Ok(alloy_rlp::encode(block.header()).into())
}

pub(super) async fn block(call: MethodCall) -> RpcResult<Bytes> {
    let (id,) = call.params::<(BlockId,)>()?;
    let block = call.required_block(Some(id)).await?;
    block.whole().map(encoded).ok_or_else(|| errors::code(Code::ResourceUnavailable))
}

pub(super) async fn receipts(call: MethodCall) -> RpcResult<Vec<Bytes>> {
    let (id,) = call.params::<(BlockId,)>()?;
    let block = call.required_block(Some(id)).await?;
    let count = block.transaction_count();
    let receipts: Option<Vec<Bytes>> = block.transactions().map(|seen| encoded_receipt(&seen)).collect();
    receipts.filter(|receipts| receipts.len() == count).ok_or_else(|| errors::code(Code::ResourceUnavailable))
}

/// A receipt, where the caller may see all of it.
fn encoded_receipt(seen: &SeenTransaction) -> Option<Bytes> {
    let receipt = seen.receipt()?;
    (seen.logs().count() == receipt.logs().len()).then(|| receipt.encoded_2718().into())
}

/// The list of header, transactions, uncles and, from Shanghai on, withdrawals.
fn encoded(block: &Block) -> Bytes {
    let payload_length = block.transactions.iter().map(|transaction| transaction.inner().length()).sum();
    let transactions = RlpHeader { list: true, payload_length };
    let uncles = block.ommers.length();
    let body = transactions.length_with_payload() + uncles;
    let withdrawals = block.withdrawals.as_ref().map_or(0, |withdrawals| withdrawals.length());
    let list = RlpHeader { list: true, payload_length: block.header.length() + body + withdrawals };
    let mut out = Vec::with_capacity(list.length_with_payload());
    list.encode(&mut out);
    block.header.encode(&mut out);
    transactions.encode(&mut out);
    for transaction in &block.transactions {
        transaction.inner().encode(&mut out);
    }
    block.ommers.encode(&mut out as &mut dyn BufMut);
    if let Some(withdrawals) = &block.withdrawals {
        withdrawals.encode(&mut out as &mut dyn BufMut);
    }
    out.into()
}
