//! Transactions.

use alloy_consensus::{Header, Transaction as _, Typed2718 as _};
use alloy_primitives::{B256, U256};
use cloister_access::Visibility;
use cloister_core::{SeenBlock, SeenTransaction};
use cloister_primitives::{RecoveredTransaction, Transaction};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{HexBytes, Quantity};

/// Where a committed transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Hash of the block.
    pub block_hash: B256,
    /// Its height.
    pub block_number: u64,
    /// Its timestamp, seconds since 1970.
    pub block_timestamp: u64,
    /// Its base fee in wei per gas; `None` before London.
    pub base_fee: Option<u64>,
    /// The transaction's index in the block.
    pub index: u32,
}

impl Place {
    /// The place at `index` in `block`.
    #[must_use]
    pub fn new(block: &SeenBlock, index: u32) -> Self {
        Self::in_block(block.header(), block.hash(), index)
    }

    /// The place at `index` in the block with this header.
    pub(crate) fn in_block(header: &Header, block_hash: B256, index: u32) -> Self {
        Self {
            block_hash,
            block_number: header.number,
            block_timestamp: header.timestamp,
            base_fee: header.base_fee_per_gas,
            index,
        }
    }
}

/// A transaction as `eth_getTransactionByHash` answers it.
#[derive(Clone, Debug)]
pub struct TransactionJson {
    transaction: RecoveredTransaction,
    place: Option<Place>,
    visibility: Visibility,
}

impl TransactionJson {
    /// A transaction in a block.
    #[must_use]
    pub fn committed(seen: &SeenTransaction) -> Self {
        Self {
            transaction: seen.transaction().clone(),
            place: Some(Place::new(seen.block(), seen.index())),
            visibility: seen.visibility(),
        }
    }

    /// A transaction in the pool.
    #[must_use]
    pub const fn pending(transaction: RecoveredTransaction) -> Self {
        Self { transaction, place: None, visibility: Visibility::Full }
    }

    /// A transaction at a place that no reader vouches for: in a block that is only supposed.
    #[must_use]
    pub const fn at(transaction: RecoveredTransaction, place: Place) -> Self {
        Self { transaction, place: Some(place), visibility: Visibility::Full }
    }

    /// What belongs to the sender alone reads zero for others.
    fn own(&self, value: impl Into<Quantity>) -> Quantity {
        match self.visibility {
            Visibility::Full => value.into(),
            Visibility::Redacted | Visibility::Absent => Quantity(0),
        }
    }

    fn fees<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        let transaction = &self.transaction;
        let price = match self.place {
            Some(place) => transaction.effective_gas_price(place.base_fee),
            None => transaction.max_fee_per_gas(),
        };
        json.serialize_entry("gasPrice", &self.own(price))?;
        if let Some(tip) = transaction.max_priority_fee_per_gas() {
            json.serialize_entry("maxFeePerGas", &self.own(transaction.max_fee_per_gas()))?;
            json.serialize_entry("maxPriorityFeePerGas", &self.own(tip))?;
        }
        if let Some(fee) = transaction.max_fee_per_blob_gas() {
            json.serialize_entry("maxFeePerBlobGas", &self.own(fee))?;
        }
        Ok(())
    }
}

/// Lists that only some types have, and the chain id.
fn lists<M: SerializeMap>(json: &mut M, transaction: &Transaction) -> Result<(), M::Error> {
    if let Some(list) = transaction.access_list() {
        json.serialize_entry("accessList", list)?;
    }
    if let Some(chain_id) = transaction.chain_id() {
        json.serialize_entry("chainId", &Quantity::from(chain_id))?;
    }
    if let Some(hashes) = transaction.blob_versioned_hashes() {
        json.serialize_entry("blobVersionedHashes", hashes)?;
    }
    if let Some(list) = transaction.authorization_list() {
        json.serialize_entry("authorizationList", list)?;
    }
    Ok(())
}

/// `v`, `r`, `s` and, for typed transactions, `yParity`.
pub(super) fn signature<M: SerializeMap>(json: &mut M, transaction: &Transaction) -> Result<(), M::Error> {
    let signature = transaction.signature();
    let parity = u128::from(signature.v());
    let is_unsigned = signature.r().is_zero() && signature.s().is_zero();
    let v = match (transaction.is_legacy(), transaction.chain_id()) {
        _ if is_unsigned => 0,
        (false, _) => parity,
        (true, None) => 27 + parity,
        // EIP-155
        (true, Some(chain_id)) => 35 + parity + 2 * u128::from(chain_id),
    };
    json.serialize_entry("v", &Quantity(v))?;
    json.serialize_entry::<_, U256>("r", &signature.r())?;
    json.serialize_entry::<_, U256>("s", &signature.s())?;
    if !transaction.is_legacy() {
        json.serialize_entry("yParity", &Quantity(parity))?;
    }
    Ok(())
}

/// The same fields for who may not see them.
fn no_signature<M: SerializeMap>(json: &mut M, transaction: &Transaction) -> Result<(), M::Error> {
    json.serialize_entry("v", &Quantity(0))?;
    json.serialize_entry("r", &U256::ZERO)?;
    json.serialize_entry("s", &U256::ZERO)?;
    if !transaction.is_legacy() {
        json.serialize_entry("yParity", &Quantity(0))?;
    }
    Ok(())
}

/// A transaction that is not signed yet, as `eth_fillTransaction` answers it: without a sender, and
/// with a signature of zeros.
#[derive(Clone, Debug)]
pub struct UnsignedJson(pub Transaction);

impl Serialize for UnsignedJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let transaction = &self.0;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("type", &Quantity(transaction.ty().into()))?;
        json.serialize_entry("nonce", &Quantity::from(transaction.nonce()))?;
        json.serialize_entry("to", &transaction.to())?;
        json.serialize_entry("gas", &Quantity::from(transaction.gas_limit()))?;
        json.serialize_entry("gasPrice", &transaction.gas_price().map(Quantity::from))?;
        let tip = transaction.max_priority_fee_per_gas();
        json.serialize_entry("maxPriorityFeePerGas", &tip.map(Quantity::from))?;
        let cap = tip.map(|_| Quantity::from(transaction.max_fee_per_gas()));
        json.serialize_entry("maxFeePerGas", &cap)?;
        json.serialize_entry("value", &transaction.value())?;
        json.serialize_entry("input", &HexBytes(transaction.input()))?;
        lists(&mut json, transaction)?;
        signature(&mut json, transaction)?;
        json.serialize_entry("hash", transaction.tx_hash())?;
        json.end()
    }
}

impl Serialize for TransactionJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let transaction = &self.transaction;
        let place = self.place;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("blockHash", &place.map(|place| place.block_hash))?;
        let number = place.map(|place| Quantity::from(place.block_number));
        json.serialize_entry("blockNumber", &number)?;
        let timestamp = place.map(|place| Quantity::from(place.block_timestamp));
        json.serialize_entry("blockTimestamp", &timestamp)?;
        json.serialize_entry("from", &transaction.signer())?;
        json.serialize_entry("gas", &self.own(transaction.gas_limit()))?;
        self.fees(&mut json)?;
        json.serialize_entry("hash", transaction.tx_hash())?;
        json.serialize_entry("input", &HexBytes(transaction.input()))?;
        json.serialize_entry("nonce", &self.own(transaction.nonce()))?;
        json.serialize_entry("to", &transaction.to())?;
        let index = place.map(|place| Quantity::from(u64::from(place.index)));
        json.serialize_entry("transactionIndex", &index)?;
        json.serialize_entry("value", &transaction.value())?;
        json.serialize_entry("type", &Quantity(transaction.ty().into()))?;
        lists(&mut json, transaction.inner())?;
        match self.visibility {
            Visibility::Full => signature(&mut json, transaction.inner())?,
            // Whoever has it finds nonce, gas and fees by trying which of them give the hash.
            Visibility::Redacted | Visibility::Absent => no_signature(&mut json, transaction.inner())?,
        }
        json.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::{SignableTransaction as _, TxEip1559, transaction::Recovered};
    use alloy_primitives::{Address, Signature};

    use super::*;

    #[test]
    fn who_may_not_see_nonce_and_fees_gets_no_signature_to_find_them_with() {
        let signed = TxEip1559 { nonce: 7, gas_limit: 21_000, max_fee_per_gas: 9, ..TxEip1559::default() }
            .into_signed(Signature::new(U256::from(5), U256::from(6), true));
        let transaction: RecoveredTransaction =
            Recovered::new_unchecked(Transaction::from(signed), Address::repeat_byte(1)).into();
        let shown = |visibility| {
            let json = TransactionJson { transaction: transaction.clone(), place: None, visibility };
            serde_json::to_value(json).unwrap()
        };
        let (full, redacted) = (shown(Visibility::Full), shown(Visibility::Redacted));
        for (field, value) in [("nonce", "0x7"), ("gas", "0x5208"), ("r", "0x5"), ("s", "0x6"), ("yParity", "0x1")] {
            assert_eq!(full[field], value, "{field}");
            assert_eq!(redacted[field], "0x0", "{field}");
        }
        assert_eq!(redacted["hash"], full["hash"]);
        assert_eq!(full.as_object().unwrap().len(), redacted.as_object().unwrap().len());
    }
}
