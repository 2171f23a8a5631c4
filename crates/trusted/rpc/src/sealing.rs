//! `cloister_sealingKeys`: what clients seal transactions for.

use alloy_primitives::{B256, Bytes};
use cloister_core::{RequestBody, Response, SealingOffer};
use cloister_primitives::Code;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::Quantity,
    errors::{self, RpcResult},
};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct SealingKeysJson {
    chain_id: Quantity,
    genesis_hash: B256,
    epoch: Bytes,
    expires_in_ms: Quantity,
    keys: Vec<SealingKeyJson>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct SealingKeyJson {
    suite: &'static str,
    public_key: Bytes,
}

impl From<SealingOffer> for SealingKeysJson {
    fn from(offer: SealingOffer) -> Self {
        let keys = offer.keys.keys.into_iter();
        Self {
            chain_id: Quantity(offer.chain_id.into()),
            genesis_hash: offer.genesis_hash,
            epoch: Bytes::copy_from_slice(&offer.keys.epoch.0),
            expires_in_ms: Quantity(offer.expires_in_ms.into()),
            keys: keys
                .map(|(suite, public_key)| SealingKeyJson { suite: suite.name(), public_key: public_key.into() })
                .collect(),
        }
    }
}

async fn sealing_keys(call: MethodCall) -> RpcResult<SealingKeysJson> {
    call.no_params()?;
    match call.request(RequestBody::SealingKeys).await? {
        Response::SealingKeys(offer) => Ok(offer.into()),
        _ => Err(errors::code(Code::Internal)),
    }
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.method(
        MethodInfo::new(
            "cloister_sealingKeys",
            "-> sealing keys",
            "Public keys of this node, by suite, that transactions are sealed for (HPKE, RFC 9180).",
        ),
        sealing_keys,
    )?;
    Ok(())
}
