//! `cloister_signedCall`: a call whose caller signed it, for whoever asks once and needs no session.
//!
//! The signature (EIP-712) covers account, call, a range of heights and an end in block time. Who records such a query can ask it
//! again within that range and gets the same kind of answer, on the connection that he asks on; outside of it nobody can.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use cloister_access::Caller;
use cloister_core::Ledger;
use cloister_execution::CallRequest;
use cloister_primitives::{Code, Height, Rejected};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    calls::call_of,
    errors::{self, RpcResult},
    params::{Field, Param, object},
    signatures,
};

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)";
const QUERY_TYPE: &str = "Query(address account,address to,bytes data,uint256 value,uint64 gas,uint64 fromBlock,uint64 toBlock,uint64 expiry)";

/// A query as it is signed. Every field is part of the signature, so every field is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SignedQuery {
    account: Address,
    to: Address,
    data: Bytes,
    value: U256,
    /// Gas limit; 0 for the node's own.
    gas: u64,
    from_block: Height,
    to_block: Height,
    /// Last time of a block that it is good at, seconds since the Unix epoch.
    expiry_s: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    account: Field<Address>,
    to: Field<Address>,
    data: Field<Bytes>,
    value: Field<U256>,
    gas: Field<u64>,
    from_block: Field<u64>,
    to_block: Field<u64>,
    expiry: Field<u64>,
}

impl Param for SignedQuery {
    fn decode(json: &str) -> Result<Self, String> {
        let object: Object = object(json, "cloister.SignedQuery")?;
        Ok(Self {
            account: object.account.0,
            to: object.to.0,
            data: object.data.0,
            value: object.value.0,
            gas: object.gas.0,
            from_block: Height(object.from_block.0),
            to_block: Height(object.to_block.0),
            expiry_s: object.expiry.0,
        })
    }
}

impl SignedQuery {
    /// What the account signs: EIP-712 with the network as domain.
    fn digest(&self, chain_id: u64, genesis_hash: B256) -> B256 {
        let word = |value: u64| U256::from(value).to_be_bytes::<32>();
        let domain = keccak256(
            [keccak256(DOMAIN_TYPE).0, keccak256("Cloister").0, keccak256("1").0, word(chain_id), genesis_hash.0]
                .concat(),
        );
        let query = keccak256(
            [
                keccak256(QUERY_TYPE).0,
                self.account.into_word().0,
                self.to.into_word().0,
                keccak256(&self.data).0,
                self.value.to_be_bytes::<32>(),
                word(self.gas),
                word(self.from_block.0),
                word(self.to_block.0),
                word(self.expiry_s),
            ]
            .concat(),
        );
        keccak256([&[0x19, 0x01], domain.as_slice(), query.as_slice()].concat())
    }

    /// Whether the chain is where the query may be asked.
    fn check_range(&self, ledger: &Ledger) -> Result<(), &'static str> {
        let head = ledger.head();
        if head < self.from_block || head > self.to_block {
            return Err("the newest block is outside of its range");
        }
        if ledger.head_time_s() > self.expiry_s {
            return Err("it has expired");
        }
        Ok(())
    }

    fn into_call(self) -> CallRequest {
        CallRequest {
            from: Some(self.account),
            to: Some(self.to),
            gas: (self.gas != 0).then_some(self.gas),
            value: Some(self.value),
            input: self.data,
            ..CallRequest::default()
        }
    }
}

fn refused(reason: &'static str) -> jsonrpsee::types::ErrorObjectOwned {
    errors::rejected(&Rejected::with_detail(Code::SignedQueryRefused, reason))
}

async fn signed_call(call: MethodCall) -> RpcResult<Bytes> {
    let (query, signature) = call.params::<(SignedQuery, Bytes)>()?;
    let ledger = &call.context.ledger;
    query.check_range(ledger).map_err(refused)?;
    let digest = query.digest(ledger.spec().chain_id(), ledger.genesis_hash());
    let account = query.account;
    if signatures::check(&call.context, account, digest, signature).await?.is_err() {
        return Err(refused("its account did not sign it"));
    }
    let signed = call.made_by(Caller::Session([account].into()));
    call_of(&signed, query.into_call()).await
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.method(
        MethodInfo::new(
            "cloister_signedCall",
            "signed query, signature -> data",
            "Executes a call on the newest block for the account that signed it (EIP-712), without a session.",
        ),
        signed_call,
    )?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"account":"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266","to":"0x00000000000000000000000000000000000a11ce",
        "data":"0x70a08231","value":"0x0","gas":"0x0","fromBlock":"0x1","toBlock":"0xa","expiry":"0x6f"}"#;

    #[test]
    fn every_field_is_given_and_signed() {
        let query = SignedQuery::decode(JSON).unwrap();
        let digest = |query: &SignedQuery| query.digest(31_337, B256::repeat_byte(1));
        let changed: [fn(&mut SignedQuery); 8] = [
            |query| query.account = Address::ZERO,
            |query| query.to = Address::ZERO,
            |query| query.data = Bytes::new(),
            |query| query.value = U256::from(1),
            |query| query.gas = 1,
            |query| query.from_block = Height(2),
            |query| query.to_block = Height(2),
            |query| query.expiry_s = 2,
        ];
        for change in changed {
            let mut other = query.clone();
            change(&mut other);
            assert_ne!(digest(&other), digest(&query));
        }
        assert_ne!(query.digest(1, B256::repeat_byte(1)), digest(&query));
        assert_ne!(query.digest(31_337, B256::ZERO), digest(&query));
        for field in ["account", "to", "data", "value", "gas", "fromBlock", "toBlock", "expiry"] {
            assert!(SignedQuery::decode(&JSON.replace(field, "another")).is_err(), "without {field}");
        }
    }
}
