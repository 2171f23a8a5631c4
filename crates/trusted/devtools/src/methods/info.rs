//! What development tools ask a node about itself.

use std::sync::Arc;

use alloy_primitives::B256;
use cloister_rpc::{MethodCall, MethodInfo, client_version, convert::Quantity, errors::RpcResult};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Dev, Table};

/// The name under which development tools recognise a node whose clock and state they may change.
///
/// Hardhat's network helpers and OpenZeppelin's upgrade plugins look for `anvil` or `HardhatNetwork`
/// in front of the first slash and refuse to work with anything else.
fn development_version() -> String {
    format!("anvil/{}", client_version())
}

async fn web3_client_version(_: Arc<Dev>, call: MethodCall) -> RpcResult<String> {
    call.no_params()?;
    Ok(development_version())
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    client_version: String,
    chain_id: u64,
    instance_id: B256,
    latest_block_number: u64,
    latest_block_hash: B256,
}

async fn metadata(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Metadata> {
    call.no_params()?;
    let head = call.head()?;
    let instance_id = *dev.instance();
    Ok(Metadata {
        client_version: development_version(),
        chain_id: call.context.ledger.spec().chain_id(),
        instance_id,
        latest_block_number: head.height().0,
        latest_block_hash: head.hash(),
    })
}

async fn node_info(_: Arc<Dev>, call: MethodCall) -> RpcResult<Value> {
    call.no_params()?;
    let head = call.head()?;
    let header = head.header();
    let spec = call.context.ledger.spec();
    let fork = spec.hardfork_at(header.number, header.timestamp);
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    Ok(json!({
        "currentBlockNumber": Quantity::from(header.number),
        "currentBlockTimestamp": header.timestamp,
        "currentBlockHash": head.hash(),
        "hardFork": fork.to_string(),
        "transactionOrder": "fees",
        "environment": {
            "baseFee": base_fee,
            "chainId": spec.chain_id(),
            "gasLimit": header.gas_limit,
            "gasPrice": base_fee,
        },
        "forkConfig": {
            "forkUrl": null,
            "forkBlockNumber": null,
            "forkRetryBackoff": null,
        },
    }))
}

async fn genesis_time(_: Arc<Dev>, call: MethodCall) -> RpcResult<u64> {
    call.no_params()?;
    Ok(call.context.ledger.spec().genesis().timestamp)
}

/// Hardhat's own node would put names of contracts into stack traces; this one says no.
async fn add_compilation_result(_: Arc<Dev>, _: MethodCall) -> RpcResult<bool> {
    Ok(false)
}

async fn stack_trace_failures(_: Arc<Dev>, call: MethodCall) -> RpcResult<u64> {
    call.no_params()?;
    Ok(0)
}

async fn set_logging(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (enabled,) = call.params::<(bool,)>()?;
    dev.set_printing(enabled);
    Ok(())
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    for name in ["hardhat_metadata", "anvil_metadata"] {
        let about = "Which chain this is, and which run of it.";
        table.method(info(name, "", about), metadata)?;
    }
    for name in ["hardhat_nodeInfo", "anvil_nodeInfo"] {
        table.method(info(name, "", "How this node is configured."), node_info)?;
    }
    table.method(info("anvil_getGenesisTime", "", "Timestamp of the genesis block, seconds."), genesis_time)?;
    let about = "Takes a compiler's output for stack traces; answers that it was not used.";
    table
        .method(info("hardhat_addCompilationResult", "version, input, output", about), add_compilation_result)?
        .method(
            info("hardhat_getStackTraceFailuresCount", "", "Zero: no stack traces are made."),
            stack_trace_failures,
        )?;
    table.method(info("web3_clientVersion", "", "Name and version of this client."), web3_client_version)?.setter(
        ["hardhat_setLoggingEnabled", "anvil_setLoggingEnabled"],
        "on",
        "Whether the node prints what it does.",
        set_logging,
    )?;
    Ok(())
}
