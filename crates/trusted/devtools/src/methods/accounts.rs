//! Accounts whose keys the node holds, and their signatures.

use std::sync::Arc;

use alloy_dyn_abi::TypedData;
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};
use cloister_primitives::Transaction;
use cloister_rpc::{
    MethodCall, MethodInfo,
    calls::TransactionArgs,
    errors::{self, RpcResult},
    params::Param,
};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde_json::Value;

use super::{Dev, Table, send};
use crate::accounts::{DevAccount, personal_hash, typed_data_hash};

/// Typed data, as an object or as the text of one.
struct Typed(TypedData);

impl Param for Typed {
    fn decode(json: &str) -> Result<Self, String> {
        let parse = |json: &str| serde_json::from_str(json).map_err(|error| format!("invalid typed data: {error}"));
        match serde_json::from_str::<Value>(json) {
            Ok(Value::String(text)) => parse(&text).map(Self),
            _ => parse(json).map(Self),
        }
    }
}

impl Dev {
    fn account(&self, address: &Address) -> RpcResult<&DevAccount> {
        self.accounts.find(address).ok_or_else(send::unknown_account)
    }

    fn sign(&self, address: &Address, hash: &B256) -> RpcResult<Bytes> {
        let signature = self.account(address)?.sign_hash(hash);
        Ok(Bytes::from(signature.as_bytes()))
    }
}

async fn list(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Vec<Address>> {
    call.no_params()?;
    Ok(dev.accounts.all().iter().map(DevAccount::address).collect())
}

/// Those that the node has keys of, for the developer; a session has its own.
async fn accounts(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Vec<Address>> {
    if call.reader().sees_development() {
        return list(dev, call).await;
    }
    call.no_params()?;
    Ok(call.caller.accounts().to_vec())
}

async fn eth_sign(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Bytes> {
    let (address, message) = call.params::<(Address, Bytes)>()?;
    dev.sign(&address, &personal_hash(&message))
}

async fn personal_sign(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Bytes> {
    let (message, address, _password) = call.params::<(Bytes, Address, Option<String>)>()?;
    dev.sign(&address, &personal_hash(&message))
}

async fn sign_typed_data(dev: Arc<Dev>, call: MethodCall) -> RpcResult<Bytes> {
    let (address, Typed(data)) = call.params::<(Address, Typed)>()?;
    let hash = typed_data_hash(&data).map_err(|error| errors::invalid_params(error.to_string()))?;
    dev.sign(&address, &hash)
}

/// As geth: the raw transaction, and what it says.
#[derive(Clone, Debug, Serialize)]
struct SignedTransaction {
    raw: Bytes,
    tx: Transaction,
}

async fn sign_transaction(dev: Arc<Dev>, call: MethodCall) -> RpcResult<SignedTransaction> {
    let (args,) = call.params::<(TransactionArgs,)>()?;
    let from = send::sender(&dev, &args)?;
    let account = dev.account(&from)?;
    let unsigned = send::fill(&call, args, from).await?;
    let tx = account.sign_transaction(unsigned);
    Ok(SignedTransaction { raw: Bytes::from(tx.encoded_2718()), tx })
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    let dev = table.dev.clone();
    table.registry.method(info("eth_accounts", "-> addresses", "Accounts of the session."), move |call| {
        accounts(dev.clone(), call)
    })?;
    table.method(info("eth_requestAccounts", "", "Accounts the node signs for."), list)?;
    for name in ["eth_signTypedData", "eth_signTypedData_v3", "eth_signTypedData_v4"] {
        let about = "Signs typed data (EIP-712).";
        table.method(info(name, "address, typed data", about), sign_typed_data)?;
    }
    table
        .method(info("eth_sign", "address, message", "Signs a message (EIP-191)."), eth_sign)?
        .method(info("personal_sign", "message, address, password?", "Signs a message (EIP-191)."), personal_sign)?
        .method(
            info("eth_signTransaction", "transaction", "Signs a transaction and does not send it."),
            sign_transaction,
        )?
        .method(
            info("eth_sendTransaction", "transaction", "Signs a transaction and sends it."),
            send::send_transaction,
        )?
        .method(
            info("eth_sendUnsignedTransaction", "transaction", "Sends a transaction in any account's name."),
            send::send_unsigned,
        )?;
    Ok(())
}
