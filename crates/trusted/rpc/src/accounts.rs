//! Balances, nonces, code and storage.

use std::{collections::BTreeMap, fmt};

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_core::{RequestBody, Response, SeenState};
use cloister_primitives::Code;
use jsonrpsee::{core::RegisterMethodError, types::ErrorObjectOwned};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::Quantity,
    errors::{self, RpcResult},
    params::{Json, Param as _, decode_storage_key},
    pending::is_pending,
};

/// Slots that one `eth_getStorageValues` may ask for, as in geth.
const MAX_STORAGE_VALUES: usize = 1_024;
/// geth's number for asking for more than that.
const CLIENT_LIMIT_EXCEEDED: i32 = -38026;

pub(crate) async fn balance(call: MethodCall) -> RpcResult<U256> {
    let (address, id) = call.params::<(Address, Option<BlockId>)>()?;
    if let Some(balance) = call.pending(id).await?.and_then(|pending| pending.balance(address)) {
        return Ok(balance);
    }
    let state = call.state(id).await?;
    let account = state.account(address).map_err(|error| errors::state(&error))?;
    Ok(account.balance)
}

async fn transaction_count(call: MethodCall) -> RpcResult<Quantity> {
    let (address, id) = call.params::<(Address, Option<BlockId>)>()?;
    if is_pending(id) {
        return pending_nonce(&call, address).await.map(Quantity::from);
    }
    let state = call.state(id).await?;
    let account = state.account(address).map_err(|error| errors::state(&error))?;
    Ok(account.nonce.into())
}

/// The next nonce over the state, blocks in flight and the pool.
pub(crate) async fn pending_nonce(call: &MethodCall, address: Address) -> RpcResult<u64> {
    match call.request(RequestBody::PendingNonce { address }).await? {
        Response::Number(nonce) => Ok(nonce),
        _ => Err(errors::code(Code::Internal)),
    }
}

pub(crate) async fn code(call: MethodCall) -> RpcResult<Bytes> {
    let (address, id) = call.params::<(Address, Option<BlockId>)>()?;
    if let Some(code) = call.pending(id).await?.and_then(|pending| pending.code(address)) {
        return Ok(code);
    }
    let state = call.state(id).await?;
    state.code(address).map_err(|error| errors::state(&error))
}

/// A storage slot; a constant error where the caller may not ask.
fn slot(state: &SeenState, address: Address, slot: U256) -> RpcResult<B256> {
    state
        .storage(address, slot)
        .map_err(|error| errors::state(&error))?
        .map(B256::from)
        .ok_or_else(|| errors::code(Code::ResourceUnavailable))
}

pub(crate) async fn storage_at(call: MethodCall) -> RpcResult<B256> {
    let (address, key, id) = call.params::<(Address, String, Option<BlockId>)>()?;
    let key = decode_storage_key(&key).map_err(errors::invalid_params)?;
    if let Some(value) = call.pending(id).await?.and_then(|pending| pending.storage(address, key.slot)) {
        return Ok(value);
    }
    slot(&call.state(id).await?, address, key.slot)
}

/// Accounts and the storage keys asked of each, in the order given.
#[derive(Debug)]
struct StorageRequests(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for StorageRequests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Requests;

        impl<'de> Visitor<'de> for Requests {
            type Value = StorageRequests;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of storage keys by address")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut requests = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    requests.push(entry);
                }
                Ok(StorageRequests(requests))
            }
        }

        deserializer.deserialize_map(Requests)
    }
}

type StorageValues = BTreeMap<Address, Vec<B256>>;

async fn storage_values(call: MethodCall) -> RpcResult<StorageValues> {
    let (Json(StorageRequests(requests)), id) = call.params::<(Json<StorageRequests>, Option<BlockId>)>()?;
    let slots: usize = requests.iter().map(|(_, keys)| keys.len()).sum();
    if slots > MAX_STORAGE_VALUES {
        let message = format!("too many slots (max {MAX_STORAGE_VALUES})");
        return Err(ErrorObjectOwned::owned::<()>(CLIENT_LIMIT_EXCEEDED, message, None));
    }
    if slots == 0 {
        return Err(errors::invalid_params("empty request"));
    }
    let state = call.state(id).await?;
    let mut values = StorageValues::new();
    for (address, keys) in requests {
        let address = Address::from_text(&address)
            .map_err(|error| errors::invalid_params(format!("invalid argument 0: {error}")))?;
        let of_account = values.entry(address).or_default();
        for key in keys {
            let key = decode_storage_key(&key).map_err(errors::invalid_params)?;
            of_account.push(slot(&state, address, key.slot)?);
        }
    }
    Ok(values)
}

/// Balance, nonce and code in one answer, as reth gives them.
#[derive(Clone, Debug, Serialize)]
struct AccountInfo {
    balance: U256,
    nonce: Quantity,
    code: Bytes,
}

async fn account_info(call: MethodCall) -> RpcResult<AccountInfo> {
    let (address, id) = call.params::<(Address, Option<BlockId>)>()?;
    let state = call.state(id).await?;
    let account = state.account(address).map_err(|error| errors::state(&error))?;
    Ok(AccountInfo {
        balance: account.balance,
        nonce: account.nonce.into(),
        code: state.code(address).map_err(|error| errors::state(&error))?,
    })
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_getBalance", "address, block? -> wei", "Balance in wei."), balance)?
        .method(
            info(
                "eth_getTransactionCount",
                "address, block? -> quantity",
                "Nonce; with `pending`, that of the next transaction to send.",
            ),
            transaction_count,
        )?
        .method(info("eth_getCode", "address, block? -> code", "Code of an account."), code)?
        .method(info("eth_getStorageAt", "address, key, block? -> storage value", "A storage slot."), storage_at)?
        .method(
            info("eth_getStorageValues", "keys by address, block? -> storage values", "Many storage slots."),
            storage_values,
        )?
        .method(info("eth_getAccountInfo", "address, block? -> account", "Balance, nonce and code."), account_info)?;
    Ok(())
}
