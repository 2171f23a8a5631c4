//! Merkle proofs (EIP-1186) and the account as the trie holds it.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_core::SeenState;
use cloister_primitives::Code;
use cloister_state::{AccountProof, StorageProof};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    calls::on_blocking_thread,
    convert::Quantity,
    errors::{self, RpcResult},
    params::{StorageKey, decode_storage_key},
};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProofJson {
    address: Address,
    account_proof: Vec<Bytes>,
    balance: U256,
    code_hash: B256,
    nonce: Quantity,
    storage_hash: B256,
    storage_proof: Vec<SlotProofJson>,
}

#[derive(Clone, Debug, Serialize)]
struct SlotProofJson {
    key: KeyJson,
    value: U256,
    proof: Vec<Bytes>,
}

/// The key in the form it was asked in.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum KeyJson {
    Full(B256),
    Short(U256),
}

impl From<&StorageKey> for KeyJson {
    fn from(key: &StorageKey) -> Self {
        if key.is_full { Self::Full(key.slot.into()) } else { Self::Short(key.slot) }
    }
}

fn slot_proof(key: &StorageKey, proof: StorageProof) -> SlotProofJson {
    SlotProofJson { key: key.into(), value: proof.value, proof: proof.proof }
}

fn proof_json(keys: &[StorageKey], proof: AccountProof) -> ProofJson {
    // An absent account has no code hash; geth shows zero for it.
    let account = proof.account.unwrap_or_default();
    let code_hash = proof.account.map_or(B256::ZERO, |account| account.code_hash);
    ProofJson {
        address: proof.address,
        account_proof: proof.account_proof,
        balance: account.balance,
        code_hash,
        nonce: account.nonce.into(),
        storage_hash: proof.storage_root,
        storage_proof: keys.iter().zip(proof.storage).map(|(key, proof)| slot_proof(key, proof)).collect(),
    }
}

/// Builds a proof away from the threads that serve requests: it walks the trie and, for an older
/// height, everything that changed since.
async fn prove(call: &MethodCall, state: SeenState, address: Address, slots: Vec<U256>) -> RpcResult<AccountProof> {
    on_blocking_thread(&call.context, move || {
        state
            .proof(address, &slots)
            .map_err(|error| errors::state(&error))?
            // Not there for this caller: tools then fall back.
            .ok_or_else(|| errors::code(Code::MethodNotFound))
    })
    .await
}

pub(crate) async fn proof(call: MethodCall) -> RpcResult<ProofJson> {
    let (address, keys, id) = call.params::<(Address, Vec<String>, Option<BlockId>)>()?;
    let limit = call.context.limits.proof_keys;
    if keys.len() > limit {
        return Err(errors::invalid_params(format!(
            "too many storage keys requested (max {limit}, got {})",
            keys.len()
        )));
    }
    let keys = keys
        .iter()
        .map(|key| decode_storage_key(key).map_err(errors::invalid_params))
        .collect::<RpcResult<Vec<_>>>()?;
    let slots = keys.iter().map(|key| key.slot).collect();
    let state = call.state(id).await?;
    let proof = prove(&call, state, address, slots).await?;
    Ok(proof_json(&keys, proof))
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountJson {
    code_hash: B256,
    storage_root: B256,
    balance: U256,
    nonce: Quantity,
}

async fn account(call: MethodCall) -> RpcResult<Option<AccountJson>> {
    let (address, id) = call.params::<(Address, Option<BlockId>)>()?;
    let state = call.state(id).await?;
    let proof = prove(&call, state, address, Vec::new()).await?;
    Ok(proof.account.map(|account| AccountJson {
        code_hash: account.code_hash,
        storage_root: proof.storage_root,
        balance: account.balance,
        nonce: account.nonce.into(),
    }))
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    registry
        .method(info("eth_getProof", "address, keys, block? -> proof", "Merkle proofs (EIP-1186)."), proof)?
        .method(info("eth_getAccount", "address, block? -> account", "An account as the trie holds it."), account)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cloister_state::Account;

    #[test]
    fn keys_come_back_as_they_were_asked_and_absent_accounts_have_no_code_hash() {
        let full = format!("0x{:064x}", 1);
        let keys = [full.as_str(), "0x1"].map(|key| decode_storage_key(key).unwrap());
        let slot = |value: u64| StorageProof {
            slot: U256::from(1),
            value: U256::from(value),
            proof: vec![Bytes::from_static(&[0xc0])],
        };
        let proof = |account| AccountProof {
            address: Address::ZERO,
            account,
            storage_root: B256::repeat_byte(2),
            account_proof: Vec::new(),
            storage: vec![slot(9), slot(9)],
        };
        let json = serde_json::to_value(proof_json(&keys, proof(Some(Account::default())))).unwrap();
        assert_eq!(json["storageProof"][0]["key"], full);
        assert_eq!(json["storageProof"][1]["key"], "0x1");
        assert_eq!(json["storageProof"][0]["value"], "0x9");
        assert_eq!(json["nonce"], "0x0");
        let absent = serde_json::to_value(proof_json(&keys, proof(None))).unwrap();
        assert_eq!(absent["codeHash"], format!("{}", B256::ZERO));
        let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["accountProof", "address", "balance", "codeHash", "nonce", "storageHash", "storageProof"]);
    }
}
