//! Headers and blocks.

use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rlp::Encodable as _;
use cloister_core::SeenBlock;
use cloister_primitives::RecoveredTransaction;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{HexBytes, Quantity, TransactionJson};

/// How a block's transactions are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// By their hashes.
    Hashes,
    /// In full, as far as the caller may see them.
    Full,
}

impl From<bool> for Bodies {
    fn from(full: bool) -> Self {
        if full { Self::Full } else { Self::Hashes }
    }
}

/// A header as `eth_subscribe("newHeads")` and `eth_getHeaderBy*` show it.
#[derive(Clone, Debug)]
pub struct HeaderJson(pub SeenBlock);

impl Serialize for HeaderJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        header_fields(&mut json, self.0.header(), self.0.hash())?;
        json.end()
    }
}

/// A block as `eth_getBlockBy*` answers it.
#[derive(Clone, Debug)]
pub struct BlockJson {
    block: SeenBlock,
    bodies: Bodies,
}

impl BlockJson {
    /// This block, with its transactions shown as `bodies` says.
    #[must_use]
    pub const fn new(block: SeenBlock, bodies: Bodies) -> Self {
        Self { block, bodies }
    }

    /// Encoded length of what the caller may see of the block.
    fn size(&self) -> usize {
        let transactions: &[RecoveredTransaction] = self.block.whole().map_or(&[], |block| &block.transactions);
        let withdrawals = self.block.withdrawals().map(|list| list.length());
        block_length(self.block.header(), transactions, self.block.ommers(), withdrawals)
    }
}

/// Length of the RLP of a block.
pub(crate) fn block_length(
    header: &Header,
    transactions: &[RecoveredTransaction],
    ommers: &[Header],
    withdrawals: Option<usize>,
) -> usize {
    let list = |payload_length| alloy_rlp::Header { list: true, payload_length };
    let transactions = transactions.iter().map(|transaction| transaction.inner().length()).sum();
    let ommers = list(ommers.iter().map(|ommer| ommer.length()).sum()).length_with_payload();
    let payload = header.length() + list(transactions).length_with_payload() + ommers + withdrawals.unwrap_or(0);
    list(payload).length_with_payload()
}

impl Serialize for BlockJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let block = &self.block;
        let mut json = serializer.serialize_map(None)?;
        let fields = HeaderFields { header: block.header(), hash: block.hash() };
        fields.fees(&mut json)?;
        fields.facts(&mut json)?;
        json.serialize_entry("size", &Quantity::count(self.size()))?;
        fields.state(&mut json)?;
        match self.bodies {
            Bodies::Hashes => json.serialize_entry("transactions", &Hashes(block))?,
            Bodies::Full => json.serialize_entry("transactions", &Full(block))?,
        }
        fields.transactions_root(&mut json)?;
        let uncles: Vec<B256> = block.ommers().iter().map(Header::hash_slow).collect();
        json.serialize_entry("uncles", &uncles)?;
        if let Some(withdrawals) = block.withdrawals() {
            json.serialize_entry("withdrawals", withdrawals)?;
        }
        fields.withdrawals_root(&mut json)?;
        json.end()
    }
}

/// An uncle as `eth_getUncleBy*` answers it: its block without what was in it.
#[derive(Clone, Debug)]
pub struct UncleJson(pub Header);

impl Serialize for UncleJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        let fields = HeaderFields { header: &self.0, hash: self.0.hash_slow() };
        fields.fees(&mut json)?;
        fields.facts(&mut json)?;
        json.serialize_entry("size", &Quantity::count(block_length(&self.0, &[], &[], None)))?;
        fields.state(&mut json)?;
        fields.transactions_root(&mut json)?;
        json.serialize_entry::<_, [B256]>("uncles", &[])?;
        json.end()
    }
}

struct Hashes<'a>(&'a SeenBlock);

impl Serialize for Hashes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.transaction_hashes())
    }
}

struct Full<'a>(&'a SeenBlock);

impl Serialize for Full<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let transactions = self.0.transactions();
        serializer.collect_seq(transactions.map(|seen| TransactionJson::committed(&seen)))
    }
}

/// What a header shows; fields of later forks only where the header has them.
pub(crate) fn header_fields<M: SerializeMap>(json: &mut M, header: &Header, hash: B256) -> Result<(), M::Error> {
    let fields = HeaderFields { header, hash };
    fields.fees(json)?;
    fields.facts(json)?;
    fields.state(json)?;
    fields.transactions_root(json)?;
    fields.withdrawals_root(json)
}

/// The fields of a header in the order of their names, as geth writes them, in parts between which a block has
/// others.
pub(crate) struct HeaderFields<'a> {
    pub(crate) header: &'a Header,
    pub(crate) hash: B256,
}

impl HeaderFields<'_> {
    /// Before `calls` of a simulated block.
    pub(crate) fn fees<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        if let Some(fee) = self.header.base_fee_per_gas {
            json.serialize_entry("baseFeePerGas", &Quantity::from(fee))?;
        }
        if let Some(gas) = self.header.blob_gas_used {
            json.serialize_entry("blobGasUsed", &Quantity::from(gas))?;
        }
        Ok(())
    }

    /// Before `size`.
    pub(crate) fn facts<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        let header = self.header;
        json.serialize_entry("difficulty", &header.difficulty)?;
        if let Some(gas) = header.excess_blob_gas {
            json.serialize_entry("excessBlobGas", &Quantity::from(gas))?;
        }
        json.serialize_entry("extraData", &HexBytes(&header.extra_data))?;
        json.serialize_entry("gasLimit", &Quantity::from(header.gas_limit))?;
        json.serialize_entry("gasUsed", &Quantity::from(header.gas_used))?;
        json.serialize_entry("hash", &self.hash)?;
        json.serialize_entry("logsBloom", &header.logs_bloom)?;
        json.serialize_entry("miner", &header.beneficiary)?;
        json.serialize_entry("mixHash", &header.mix_hash)?;
        json.serialize_entry("nonce", &header.nonce)?;
        json.serialize_entry("number", &Quantity::from(header.number))?;
        if let Some(root) = header.parent_beacon_block_root {
            json.serialize_entry("parentBeaconBlockRoot", &root)?;
        }
        json.serialize_entry("parentHash", &header.parent_hash)?;
        json.serialize_entry("receiptsRoot", &header.receipts_root)?;
        if let Some(hash) = header.requests_hash {
            json.serialize_entry("requestsHash", &hash)?;
        }
        json.serialize_entry("sha3Uncles", &header.ommers_hash)
    }

    /// Before `transactions`.
    pub(crate) fn state<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        json.serialize_entry("stateRoot", &self.header.state_root)?;
        json.serialize_entry("timestamp", &Quantity::from(self.header.timestamp))
    }

    /// Before `uncles` and `withdrawals`.
    pub(crate) fn transactions_root<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        json.serialize_entry("transactionsRoot", &self.header.transactions_root)
    }

    /// Last of all.
    pub(crate) fn withdrawals_root<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        match self.header.withdrawals_root {
            Some(root) => json.serialize_entry("withdrawalsRoot", &root),
            None => Ok(()),
        }
    }
}
