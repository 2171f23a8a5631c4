//! `net_*`, `web3_*`, and constants of the chain and the node.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use jsonrpsee::core::RegisterMethodError;

use crate::{MethodCall, MethodInfo, Registry, convert::Quantity, errors::RpcResult};

/// What `web3_clientVersion` answers: name, version, platform and compiler.
#[must_use]
pub fn client_version() -> String {
    format!(
        "Cloister/v{}/{}-{}/rust{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        env!("CARGO_PKG_RUST_VERSION"),
    )
}

async fn chain_id(call: MethodCall) -> RpcResult<Quantity> {
    call.no_params()?;
    Ok(call.context.ledger.spec().chain_id().into())
}

async fn version(call: MethodCall) -> RpcResult<String> {
    call.no_params()?;
    Ok(call.context.ledger.spec().chain_id().to_string())
}

async fn listening(call: MethodCall) -> RpcResult<bool> {
    call.no_params()?;
    Ok(true)
}

async fn zero(call: MethodCall) -> RpcResult<Quantity> {
    call.no_params()?;
    Ok(Quantity(0))
}

async fn no(call: MethodCall) -> RpcResult<bool> {
    call.no_params()?;
    Ok(false)
}

async fn accounts(call: MethodCall) -> RpcResult<Vec<Address>> {
    call.no_params()?;
    Ok(call.caller.accounts().to_vec())
}

async fn coinbase(call: MethodCall) -> RpcResult<Address> {
    call.no_params()?;
    Ok(call.head()?.header().beneficiary)
}

async fn web3_client_version(call: MethodCall) -> RpcResult<String> {
    call.no_params()?;
    Ok(client_version())
}

async fn sha3(call: MethodCall) -> RpcResult<B256> {
    let (data,) = call.params::<(Bytes,)>()?;
    Ok(keccak256(data))
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_chainId", "-> quantity", "Chain id (EIP-155)."), chain_id)?
        .method(info("eth_syncing", "-> flag", "False: an answering node is in step."), no)?
        .method(info("eth_accounts", "-> addresses", "Accounts of the session."), accounts)?
        .method(info("eth_mining", "-> flag", "False: nothing is mined."), no)?
        .method(info("eth_hashrate", "-> quantity", "Zero: nothing is mined."), zero)?
        .method(info("eth_coinbase", "-> address", "Beneficiary of the newest block."), coinbase)?
        .method(info("net_version", "-> text", "Network id, which is the chain id, in decimal."), version)?
        .method(info("net_listening", "-> flag", "True: the node takes requests."), listening)?
        .method(info("net_peerCount", "-> quantity", "Peers of this node."), zero)?
        .method(info("web3_clientVersion", "-> text", "Name and version of this client."), web3_client_version)?
        .method(info("web3_sha3", "data -> hash", "Keccak-256 of bytes."), sha3)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_names_itself() {
        let version = client_version();
        assert_eq!(version.split('/').count(), 4);
        assert!(version.starts_with("Cloister/v0."), "{version}");
    }
}
