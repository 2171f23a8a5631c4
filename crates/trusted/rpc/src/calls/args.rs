//! The transaction object of calls, estimates and unsigned transactions.

use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_execution::CallRequest;
use serde::Deserialize;

use crate::{
    errors::{self, RpcResult},
    params::{Field, Param, object},
};

/// A transaction as clients describe it before it is signed; every field may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionArgs {
    /// Sender.
    pub from: Option<Address>,
    /// Recipient; absent for a creation.
    pub to: Option<Address>,
    /// Gas limit.
    pub gas: Option<u64>,
    /// Gas price, wei.
    pub gas_price: Option<u128>,
    /// EIP-1559 fee cap, wei per gas.
    pub max_fee_per_gas: Option<u128>,
    /// EIP-1559 tip cap, wei per gas.
    pub max_priority_fee_per_gas: Option<u128>,
    /// EIP-4844 blob fee cap, wei per gas.
    pub max_fee_per_blob_gas: Option<u128>,
    /// Value, wei.
    pub value: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Calldata or initcode, from `input` or `data`.
    pub input: Option<Bytes>,
    /// EIP-155 chain id.
    pub chain_id: Option<u64>,
    /// EIP-2930 access list.
    pub access_list: Option<AccessList>,
    /// EIP-7702 authorizations.
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    /// EIP-4844 blob hashes.
    pub blob_versioned_hashes: Option<Vec<B256>>,
}

/// The object as it stands in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    from: Option<Field<Address>>,
    to: Option<Field<Address>>,
    gas: Option<Field<u64>>,
    gas_price: Option<Field<u128>>,
    max_fee_per_gas: Option<Field<u128>>,
    max_priority_fee_per_gas: Option<Field<u128>>,
    max_fee_per_blob_gas: Option<Field<u128>>,
    value: Option<Field<U256>>,
    nonce: Option<Field<u64>>,
    input: Option<Field<Bytes>>,
    data: Option<Field<Bytes>>,
    chain_id: Option<Field<u64>>,
    access_list: Option<AccessList>,
    authorization_list: Option<Vec<SignedAuthorization>>,
    blob_versioned_hashes: Option<Vec<B256>>,
}

impl Param for TransactionArgs {
    fn decode(json: &str) -> Result<Self, String> {
        let object: Object = object(json, "ethapi.TransactionArgs")?;
        let input = match (object.input, object.data) {
            (Some(Field(input)), Some(Field(data))) if input != data => {
                return Err(
                    "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data".to_owned()
                );
            }
            (input, data) => input.or(data),
        };
        Ok(Self {
            from: plain(object.from),
            to: plain(object.to),
            gas: plain(object.gas),
            gas_price: plain(object.gas_price),
            max_fee_per_gas: plain(object.max_fee_per_gas),
            max_priority_fee_per_gas: plain(object.max_priority_fee_per_gas),
            max_fee_per_blob_gas: plain(object.max_fee_per_blob_gas),
            value: plain(object.value),
            nonce: plain(object.nonce),
            input: plain(input),
            chain_id: plain(object.chain_id),
            access_list: object.access_list,
            authorization_list: object.authorization_list,
            blob_versioned_hashes: object.blob_versioned_hashes,
        })
    }
}

fn plain<T>(field: Option<Field<T>>) -> Option<T> {
    field.map(|Field(value)| value)
}

impl TransactionArgs {
    /// Refuses fees of two kinds at once.
    ///
    /// # Errors
    /// geth's text.
    pub fn check_fees(&self) -> RpcResult<()> {
        let dynamic = self.max_fee_per_gas.is_some() || self.max_priority_fee_per_gas.is_some();
        if self.gas_price.is_some() && dynamic {
            return Err(errors::server_error("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
        }
        Ok(())
    }

    /// The call that this describes.
    ///
    /// # Errors
    /// If it names fees of two kinds.
    pub fn into_call_request(self) -> RpcResult<CallRequest> {
        self.check_fees()?;
        Ok(self.call_request())
    }

    /// The call that this describes, whatever fees it names.
    pub(crate) fn call_request(self) -> CallRequest {
        CallRequest {
            from: self.from,
            to: self.to,
            gas: self.gas,
            gas_price: self.gas_price,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            value: self.value,
            input: self.input.unwrap_or_default(),
            nonce: self.nonce,
            chain_id: self.chain_id,
            access_list: self.access_list,
            authorization_list: self.authorization_list.unwrap_or_default(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas,
            blob_versioned_hashes: self.blob_versioned_hashes.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn every_field_is_read_and_unknown_ones_are_ignored() {
        let json = r#"{"from":"0x14e46043e63d0e3cdcf2530519f4cfaf35058cb2","gas":"0xea60",
            "data":"0x333435","maxFeePerGas":"0x1a21398","maxPriorityFeePerGas":"0xb",
            "to":"0x9344b07175800259691961298ca11c824e65032d","value":"0x17","nonce":"0x0",
            "type":"0x2","chainId":"0x1","accessList":[],"gasPrice":null,"custom":{"a":1}}"#;
        let args = TransactionArgs::decode(json).unwrap();
        assert_eq!(args.gas, Some(60_000));
        assert_eq!(args.input, Some(Bytes::from_static(b"345")));
        assert_eq!(args.gas_price, None);
        let request = args.into_call_request().unwrap();
        assert_eq!(request.to, Some(address!("9344b07175800259691961298ca11c824e65032d")));
        assert_eq!(request.max_fee_per_gas, Some(0x1a2_1398));
        assert_eq!(request.value, Some(U256::from(23)));
    }

    #[test]
    fn contradictions_and_bad_fields_are_refused_in_geths_words() {
        let both = TransactionArgs::decode(r#"{"data":"0x01","input":"0x02"}"#).unwrap_err();
        assert!(both.starts_with("both \"data\" and \"input\" are set"), "{both}");
        assert!(TransactionArgs::decode(r#"{"data":"0x01","input":"0x01"}"#).is_ok());
        assert_eq!(
            TransactionArgs::decode(r#"{"value":"12"}"#).unwrap_err(),
            "json: cannot unmarshal hex string without 0x prefix into Go value of type *hexutil.Big"
        );
        assert_eq!(
            TransactionArgs::decode("[]").unwrap_err(),
            "json: cannot unmarshal array into Go value of type ethapi.TransactionArgs"
        );
        let fees = TransactionArgs::decode(r#"{"gasPrice":"0x1","maxFeePerGas":"0x1"}"#).unwrap();
        let error = fees.into_call_request().unwrap_err();
        assert_eq!(error.code(), -32000);
    }
}
