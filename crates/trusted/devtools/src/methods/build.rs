//! `testing_buildBlockV1` of the execution-apis specification: a block that is built and not kept.

use alloy_consensus::{Header, Transaction as _};
use alloy_eips::{eip2718::Encodable2718 as _, eip4895::Withdrawal};
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_core::{RequestBody, Response, SeenBlock};
use cloister_execution::{BlockAttributes, Built, Executed, ExecutionError, Parent, recover};
use cloister_primitives::{ChainSpec, Code, Height, RecoveredTransaction};
use cloister_rpc::{
    MethodCall, MethodInfo,
    calls::on_blocking_thread,
    convert::{HexBytes, Quantity},
    errors::{self, RpcResult},
    params::{Field, Json, Param},
};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Table;

/// Gas limit that geth's block builders wish for unless told otherwise.
const WANTED_GAS_LIMIT: u64 = 60_000_000;

/// Attributes of the block to build; unknown ones are left alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    timestamp: Field<u64>,
    prev_randao: Field<B256>,
    suggested_fee_recipient: Field<Address>,
    withdrawals: Option<Vec<Withdrawal>>,
    parent_beacon_block_root: Option<Field<B256>>,
    target_gas_limit: Option<Field<u64>>,
}

/// The transactions to build of; null stands for those of the pool.
struct Transactions(Option<Vec<Bytes>>);

impl Param for Transactions {
    fn decode(json: &str) -> Result<Self, String> {
        Vec::decode(json).map(Some).map(Self)
    }

    fn absent() -> Option<Self> {
        Some(Self(None))
    }
}

async fn build(call: MethodCall) -> RpcResult<Value> {
    let (parent, Json(attributes), Transactions(raw), extra_data) =
        call.params::<(B256, Json<Attributes>, Transactions, Option<Bytes>)>()?;
    let parent = call.block_by_hash(parent).await?.ok_or_else(|| errors::server_error("parent block not found"))?;
    let state = call.state_at(parent.height()).await?;
    let transactions = match raw {
        Some(raw) => given(&call, &raw)?,
        None => pooled(&call, &parent, attributes.timestamp.0).await?,
    };
    let gas_limit = match attributes.target_gas_limit {
        Some(Field(limit)) => limit,
        None => default_gas_limit(call.context.ledger.spec(), parent.header()),
    };
    let attributes = BlockAttributes {
        timestamp: attributes.timestamp.0,
        beneficiary: attributes.suggested_fee_recipient.0,
        prev_randao: attributes.prev_randao.0,
        extra_data: extra_data.unwrap_or_default(),
        parent_beacon_block_root: attributes.parent_beacon_block_root.map(|Field(root)| root),
        withdrawals: attributes.withdrawals.unwrap_or_default(),
        gas_limit,
        base_fee_override: None,
    };
    let context = call.context.clone();
    let caller = call.caller.clone();
    on_blocking_thread(&call.context, move || {
        let view = state.call_view(Address::ZERO, None).ok_or_else(|| errors::code(Code::MethodNotFound))?;
        let hashes = |height| context.ledger.reader(&caller).hash_at(Height(height));
        let on = Parent { header: parent.header(), hash: parent.hash() };
        let built = context.executor.assemble(on, attributes, view, &hashes, transactions);
        let built = built.map_err(|error| match &error {
            // What is wrong with a payload is no matter of how it was written.
            ExecutionError::Rejected(refused) => errors::server_error(refused.to_string()),
            _ => errors::execution(&error),
        })?;
        let root = view.project().apply(&built.delta);
        let root = root.map_err(|error| errors::execution(&ExecutionError::State(error)))?;
        Ok(payload(built, root))
    })
    .await
}

/// Development networks keep their gas limit; on Ethereum's chains a proposer moves it towards its own wish.
fn default_gas_limit(spec: &ChainSpec, parent: &Header) -> u64 {
    if spec.is_imported() { spec.next_gas_limit(parent, WANTED_GAS_LIMIT) } else { parent.gas_limit }
}

fn given(call: &MethodCall, raw: &[Bytes]) -> RpcResult<Vec<RecoveredTransaction>> {
    let limit = call.context.ledger.spec().limits().max_transaction_size_bytes;
    let recovered = raw.iter().map(|bytes| recover(bytes, limit).map_err(|refused| errors::rejected(&refused)));
    recovered.collect()
}

/// Those of the pool that pay the block's base fee. Blobs are not kept, so there are none to put beside a payload.
async fn pooled(call: &MethodCall, parent: &SeenBlock, timestamp: u64) -> RpcResult<Vec<RecoveredTransaction>> {
    let base_fee = call.context.ledger.spec().next_base_fee(parent.header(), timestamp).unwrap_or_default();
    let Response::PoolContent { mut pending, .. } = call.request(RequestBody::PoolContent { sender: None }).await?
    else {
        return Err(errors::code(Code::Internal));
    };
    pending.retain(|transaction| {
        transaction.effective_tip_per_gas(base_fee).is_some() && transaction.blob_versioned_hashes().is_none()
    });
    Ok(pending)
}

/// The answer of `engine_getPayloadV5` for a block.
fn payload(built: Built, root: B256) -> Value {
    let requests: Vec<Bytes> =
        built.requests.as_ref().map_or_else(Vec::new, |requests| requests.iter().cloned().collect());
    let executed = built.seal(root);
    let header = &executed.header;
    let raw = executed.transactions.iter().map(|transaction| Bytes::from(transaction.inner().encoded_2718()));
    let mut payload = json!({
        "parentHash": header.parent_hash,
        "feeRecipient": header.beneficiary,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "prevRandao": header.mix_hash,
        "blockNumber": Quantity::from(header.number),
        "gasLimit": Quantity::from(header.gas_limit),
        "gasUsed": Quantity::from(header.gas_used),
        "timestamp": Quantity::from(header.timestamp),
        "extraData": HexBytes(&header.extra_data),
        "baseFeePerGas": Quantity::from(header.base_fee_per_gas.unwrap_or_default()),
        "blockHash": executed.hash,
        "transactions": raw.collect::<Vec<_>>(),
    });
    if let Some(withdrawals) = &executed.withdrawals {
        payload["withdrawals"] = json!(withdrawals);
    }
    for (name, gas) in [("blobGasUsed", header.blob_gas_used), ("excessBlobGas", header.excess_blob_gas)] {
        if let Some(gas) = gas {
            payload[name] = json!(Quantity::from(gas));
        }
    }
    json!({
        "executionPayload": payload,
        "blockValue": value(&executed),
        "blobsBundle": { "commitments": [], "proofs": [], "blobs": [] },
        "executionRequests": requests,
        "shouldOverrideBuilder": false,
    })
}

/// The tips that the block pays, in wei.
fn value(executed: &Executed) -> U256 {
    let base_fee = executed.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let mut value = U256::ZERO;
    for (transaction, receipt) in executed.transactions.iter().zip(&executed.receipts) {
        let gas_used = receipt.cumulative_gas_used() - before;
        before = receipt.cumulative_gas_used();
        let tip = transaction.effective_tip_per_gas(base_fee).unwrap_or_default();
        value += U256::from(gas_used) * U256::from(tip);
    }
    value
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let line = "hash, attributes, raw transactions?, data? -> payload";
    let about = "Builds a block of given transactions, or of the pool's, and does not keep it.";
    table.method(MethodInfo::new("testing_buildBlockV1", line, about), |_, call| build(call))?;
    Ok(())
}
