//! What a call shall see differently, as clients write it.

use std::collections::BTreeMap;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_execution::{AccountOverride, BlockOverrides, StateOverrides};
use serde::Deserialize;

use crate::params::{Field, Param, StorageKey, object};

/// The third parameter of `eth_call`: accounts by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateOverridesArg(pub StateOverrides);

/// Slots and values; both may be written short.
type Slots = BTreeMap<Field<StorageKey>, Field<StorageKey>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    balance: Option<Field<U256>>,
    nonce: Option<Field<u64>>,
    code: Option<Field<Bytes>>,
    state: Option<Slots>,
    state_diff: Option<Slots>,
    #[serde(alias = "MovePrecompileToAddress")]
    move_precompile_to_address: Option<Field<Address>>,
}

fn slots(slots: Option<Slots>) -> Option<BTreeMap<U256, U256>> {
    let slots = slots?.into_iter();
    Some(slots.map(|(Field(key), Field(value))| (key.slot, value.slot)).collect())
}

impl Param for StateOverridesArg {
    fn decode(json: &str) -> Result<Self, String> {
        let accounts: BTreeMap<Field<Address>, Account> = object(json, "override.StateOverride")?;
        let mut overrides = StateOverrides::new();
        for (Field(address), account) in accounts {
            overrides.insert(
                address,
                AccountOverride {
                    balance: account.balance.map(|Field(balance)| balance),
                    nonce: account.nonce.map(|Field(nonce)| nonce),
                    code: account.code.map(|Field(code)| code),
                    state: slots(account.state),
                    state_diff: slots(account.state_diff),
                    move_precompile_to: account.move_precompile_to_address.map(|Field(to)| to),
                },
            );
        }
        Ok(Self(overrides))
    }
}

/// The fourth parameter of `eth_call`: the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOverridesArg(pub BlockOverrides);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    number: Option<Field<u64>>,
    #[serde(alias = "timestamp")]
    time: Option<Field<u64>>,
    gas_limit: Option<Field<u64>>,
    #[serde(alias = "coinbase")]
    fee_recipient: Option<Field<Address>>,
    #[serde(alias = "random")]
    prev_randao: Option<Field<B256>>,
    difficulty: Option<Field<U256>>,
    #[serde(alias = "baseFee")]
    base_fee_per_gas: Option<Field<u64>>,
    blob_base_fee: Option<Field<u128>>,
    beacon_root: Option<Field<B256>>,
    withdrawals: Option<Vec<Withdrawal>>,
}

/// Reads what a call or a block of a simulation pretends about its block.
///
/// # Errors
/// geth's text.
pub(crate) fn block_overrides(json: &str) -> Result<BlockOverrides, String> {
    let block: Block = object(json, "override.BlockOverrides")?;
    Ok(BlockOverrides {
        number: block.number.map(|Field(number)| number),
        timestamp: block.time.map(|Field(time)| time),
        gas_limit: block.gas_limit.map(|Field(limit)| limit),
        beneficiary: block.fee_recipient.map(|Field(address)| address),
        prev_randao: block.prev_randao.map(|Field(value)| value),
        difficulty: block.difficulty.map(|Field(value)| value),
        base_fee: block.base_fee_per_gas.map(|Field(fee)| fee),
        blob_base_fee: block.blob_base_fee.map(|Field(fee)| fee),
        block_hashes: BTreeMap::new(),
        beacon_root: block.beacon_root.map(|Field(root)| root),
        withdrawals: block.withdrawals,
    })
}

impl Param for BlockOverridesArg {
    fn decode(json: &str) -> Result<Self, String> {
        let block = block_overrides(json)?;
        // A call is in no block that could have them.
        let unsupported = [("beaconRoot", block.beacon_root.is_some()), ("withdrawals", block.withdrawals.is_some())];
        if let Some((name, _)) = unsupported.into_iter().find(|(_, present)| *present) {
            return Err(format!("block override \"{name}\" is not supported for this RPC method"));
        }
        Ok(Self(block))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn accounts_with_short_and_long_slots() {
        let json = r#"{"0x14e46043e63d0e3cdcf2530519f4cfaf35058cb2":{"balance":"0x10","nonce":"0x2",
            "code":"0x6000","stateDiff":{"0x1":"0x2",
            "0x0000000000000000000000000000000000000000000000000000000000000003":
            "0x0000000000000000000000000000000000000000000000000000000000000004"}}}"#;
        let StateOverridesArg(overrides) = StateOverridesArg::decode(json).unwrap();
        let account = &overrides[&address!("14e46043e63d0e3cdcf2530519f4cfaf35058cb2")];
        assert_eq!(account.balance, Some(U256::from(16)));
        assert_eq!(account.nonce, Some(2));
        let slots = account.state_diff.as_ref().unwrap();
        assert_eq!(slots[&U256::from(1)], U256::from(2));
        assert_eq!(slots[&U256::from(3)], U256::from(4));
        assert_eq!(account.state, None);
    }

    #[test]
    fn what_is_not_supported_says_so() {
        let root = format!(r#"{{"beaconRoot":"{}","withdrawals":[]}}"#, B256::repeat_byte(7));
        assert_eq!(
            BlockOverridesArg::decode(&root).unwrap_err(),
            "block override \"beaconRoot\" is not supported for this RPC method"
        );
        // Blocks of a simulation have both.
        let block = block_overrides(&root).unwrap();
        assert_eq!((block.beacon_root, block.withdrawals), (Some(B256::repeat_byte(7)), Some(vec![])));
    }

    #[test]
    fn the_block() {
        let json = r#"{"number":"0x5","time":"0x6","baseFeePerGas":"0x7","feeRecipient":
            "0x14e46043e63d0e3cdcf2530519f4cfaf35058cb2"}"#;
        let BlockOverridesArg(block) = BlockOverridesArg::decode(json).unwrap();
        assert_eq!((block.number, block.timestamp, block.base_fee), (Some(5), Some(6), Some(7)));
    }
}
