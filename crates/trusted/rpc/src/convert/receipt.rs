//! Receipts.

use alloy_consensus::{Eip658Value, Transaction as _, TxReceipt as _, Typed2718 as _};
use alloy_primitives::{Address, B256, Bloom, TxKind};
use cloister_access::Visibility;
use cloister_core::{SeenLog, SeenTransaction};
use cloister_primitives::{ChainSpec, Receipt, RecoveredTransaction};

use super::{
    HexBytes, LogJson, Place, Quantity,
    text::{Object, Text, write_list},
};

/// About what a receipt without logs takes, most of it its bloom filter.
const RECEIPT_BYTES: usize = 1_100;
/// About what a log with little data takes.
const LOG_BYTES: usize = 800;

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
        let blob_gas_price = header.excess_blob_gas.filter(|_| has_blobs).and_then(|excess| {
            let params = spec.blob_params_at(header.timestamp)?;
            Some(params.calc_blob_fee(excess))
        });
        Some(Self { seen, blob_gas_price })
    }
}

impl Text for ReceiptJson {
    fn write(&self, out: &mut Vec<u8>) {
        let seen = &self.seen;
        let Some(receipt) = seen.receipt() else {
            // Nobody makes one of what the caller may not see.
            return Text::write(&None::<Self>, out);
        };
        // Most receipts have none: do not walk the block to number them.
        let logs: Vec<SeenLog<'_>> = if receipt.logs().is_empty() { Vec::new() } else { seen.logs().collect() };
        Fields {
            transaction: seen.transaction(),
            place: Place::new(seen.block(), seen.index()),
            receipt,
            cumulative_gas_used: seen.cumulative_gas_used(),
            gas_used: seen.gas_used(),
            visibility: seen.visibility(),
            logs: &logs,
            blob_gas_price: self.blob_gas_price,
        }
        .write(out);
    }
}

/// What a receipt's JSON is made of.
pub(super) struct Fields<'a> {
    pub(super) transaction: &'a RecoveredTransaction,
    pub(super) place: Place,
    pub(super) receipt: &'a Receipt,
    pub(super) cumulative_gas_used: u64,
    pub(super) gas_used: u64,
    pub(super) visibility: Visibility,
    /// Those that the caller may see.
    pub(super) logs: &'a [SeenLog<'a>],
    pub(super) blob_gas_price: Option<u128>,
}

impl Fields<'_> {
    /// What belongs to the sender alone reads zero for others.
    fn own(&self, value: impl Into<Quantity>) -> Quantity {
        match self.visibility {
            Visibility::Full => value.into(),
            Visibility::Redacted | Visibility::Absent => Quantity(0),
        }
    }

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

    fn logs_json(&self, transaction_hash: B256) -> impl Iterator<Item = LogJson<'_>> {
        let place = self.place;
        self.logs.iter().map(move |seen| LogJson { log: seen.log, log_index: seen.log_index, place, transaction_hash })
    }
}

impl Text for Fields<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let (transaction, place) = (self.transaction, self.place);
        let hash = *transaction.tx_hash();
        out.reserve(RECEIPT_BYTES + LOG_BYTES * self.logs.len());
        let mut json = Object::begin(out);
        if let Some(blob_gas) = transaction.blob_gas_used() {
            json.field("blobGasPrice", self.blob_gas_price.map(Quantity::from));
            json.quantity("blobGasUsed", blob_gas);
        }
        json.bytes("blockHash", place.block_hash);
        json.quantity("blockNumber", place.block_number);
        json.field("contractAddress", self.contract_address().as_ref().map(|address| HexBytes(address.as_slice())));
        json.field("cumulativeGasUsed", self.own(self.cumulative_gas_used));
        json.field("effectiveGasPrice", self.own(transaction.effective_gas_price(place.base_fee)));
        json.bytes("from", transaction.signer());
        json.field("gasUsed", self.own(self.gas_used));
        write_list(json.name("logs"), self.logs_json(hash));
        json.bytes("logsBloom", self.bloom());
        match self.receipt.status_or_post_state() {
            Eip658Value::Eip658(success) => json.field("status", Quantity(success.into())),
            // Before Byzantium.
            Eip658Value::PostState(root) => json.bytes("root", root),
        }
        json.field("to", transaction.to().as_ref().map(|address| HexBytes(address.as_slice())));
        json.bytes("transactionHash", hash);
        json.quantity("transactionIndex", u64::from(place.index));
        json.field("type", Quantity(transaction.ty().into()));
        json.end();
    }
}
