//! Receipts.

use alloy_consensus::{Eip658Value, Transaction as _, TxReceipt as _, Typed2718 as _};
use alloy_primitives::{Address, B256, Bloom, TxKind};
use cloister_core::{SeenLog, SeenTransaction};
use cloister_primitives::{ChainSpec, Receipt, RecoveredTransaction};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{LogJson, Place, Quantity};

/// A receipt as `eth_getTransactionReceipt` answers it.
#[derive(Clone, Debug)]
pub struct ReceiptJson {
    seen: SeenTransaction,
    blob_gas_price: Option<u128>,
}

impl ReceiptJson {
    /// The receipt of `seen`; `None` if the caller may not see it.
    ///
    /// `spec` is asked for the price of blob gas, where there is any.
    #[must_use]
    pub fn new(seen: SeenTransaction, spec: &ChainSpec) -> Option<Self> {
        seen.receipt()?;
        let header = seen.block().header();
        let has_blobs = seen.transaction().blob_versioned_hashes().is_some();
        let blob_gas_price = header
            .excess_blob_gas
            .filter(|_| has_blobs)
            .zip(spec.blob_params_at(header.timestamp))
            .map(|(excess, params)| params.calc_blob_fee(excess));
        Some(Self { seen, blob_gas_price })
    }
}

impl Serialize for ReceiptJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seen = &self.seen;
        let receipt = seen.receipt().ok_or_else(|| serde::ser::Error::custom("no receipt"))?;
        // Most receipts have none: do not walk the block to number them.
        let logs: Vec<SeenLog<'_>> = if receipt.logs().is_empty() { Vec::new() } else { seen.logs().collect() };
        Fields {
            transaction: seen.transaction(),
            place: Place::new(seen.block(), seen.index()),
            receipt,
            gas_used: seen.gas_used(),
            logs: &logs,
            blob_gas_price: self.blob_gas_price,
        }
        .serialize(serializer)
    }
}

/// What a receipt's JSON is made of.
pub(super) struct Fields<'a> {
    pub(super) transaction: &'a RecoveredTransaction,
    pub(super) place: Place,
    pub(super) receipt: &'a Receipt,
    pub(super) gas_used: u64,
    /// Those that the caller may see.
    pub(super) logs: &'a [SeenLog<'a>],
    pub(super) blob_gas_price: Option<u128>,
}

impl Fields<'_> {
    fn contract_address(&self) -> Option<Address> {
        matches!(self.transaction.kind(), TxKind::Create)
            .then(|| self.transaction.signer().create(self.transaction.nonce()))
    }

    /// Over the logs shown: a bit for a log that is not would tell of it.
    fn bloom(&self) -> Bloom {
        if self.logs.len() == self.receipt.logs().len() {
            return self.receipt.bloom();
        }
        self.logs.iter().map(|seen| seen.log).collect()
    }

    fn logs_json(&self, transaction_hash: B256) -> Vec<LogJson<'_>> {
        self.logs
            .iter()
            .map(|seen| LogJson { log: seen.log, log_index: seen.log_index, place: self.place, transaction_hash })
            .collect()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (transaction, place) = (self.transaction, self.place);
        let hash = *transaction.tx_hash();
        let mut json = serializer.serialize_struct("Receipt", 16)?;
        if let Some(blob_gas) = transaction.blob_gas_used() {
            let price = self.blob_gas_price.map(Quantity::from);
            json.serialize_field("blobGasPrice", &price)?;
            json.serialize_field("blobGasUsed", &Quantity::from(blob_gas))?;
        }
        json.serialize_field("blockHash", &place.block_hash)?;
        json.serialize_field("blockNumber", &Quantity::from(place.block_number))?;
        json.serialize_field("contractAddress", &self.contract_address())?;
        let cumulative = Quantity::from(self.receipt.cumulative_gas_used());
        json.serialize_field("cumulativeGasUsed", &cumulative)?;
        let price = transaction.effective_gas_price(place.base_fee);
        json.serialize_field("effectiveGasPrice", &Quantity::from(price))?;
        json.serialize_field("from", &transaction.signer())?;
        json.serialize_field("gasUsed", &Quantity::from(self.gas_used))?;
        json.serialize_field("logs", &self.logs_json(hash))?;
        json.serialize_field("logsBloom", &self.bloom())?;
        match self.receipt.status_or_post_state() {
            Eip658Value::Eip658(success) => {
                json.serialize_field("status", &Quantity(success.into()))?;
            }
            // Before Byzantium.
            Eip658Value::PostState(root) => json.serialize_field("root", &root)?,
        }
        json.serialize_field("to", &transaction.to())?;
        json.serialize_field("transactionHash", &hash)?;
        json.serialize_field("transactionIndex", &Quantity::from(u64::from(place.index)))?;
        json.serialize_field("type", &Quantity(transaction.ty().into()))?;
        json.end()
    }
}
