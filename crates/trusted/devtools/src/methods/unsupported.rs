//! Methods of other development nodes that this one does not have, and why: a tool that calls one is told
//! what to do instead.

use cloister_rpc::{MethodCall, MethodInfo, errors};
use jsonrpsee::core::RegisterMethodError;
use serde_json::Value;

use super::Table;

const FORKING: &str = "this node does not fork another chain";
const BLOBS: &str = "this chain takes no blobs";
const DUMPS: &str = "the chain is kept with --datadir; dumps of a state are neither written nor read";

/// Names and the reasons given.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("anvil_setRpcUrl", FORKING),
    ("anvil_getBlobByHash", BLOBS),
    ("anvil_getBlobsByTransactionHash", BLOBS),
    ("anvil_dumpState", DUMPS),
    ("anvil_loadState", DUMPS),
    ("hardhat_dumpState", DUMPS),
    ("hardhat_loadState", DUMPS),
    ("anvil_setChainId", "the genesis block says the chain id: start the node with --chain-id"),
    ("anvil_impersonateSignature", "signatures are always verified; impersonate the account instead"),
    ("anvil_enableTraces", "nothing needs to be enabled: debug_traceTransaction always answers"),
    ("hardhat_setMinGasPrice", "hardhat_setMinGasPrice is not supported when EIP-1559 is active"),
    ("anvil_setMinGasPrice", "anvil_setMinGasPrice is not supported when EIP-1559 is active"),
];

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    for (name, reason) in UNSUPPORTED {
        let refuse = move |_, _: MethodCall| async move { Err::<Value, _>(errors::server_error(*reason)) };
        table.method(MethodInfo::new(name, "options?", "Not supported; says why."), refuse)?;
    }
    Ok(())
}
