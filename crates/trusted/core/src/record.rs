//! What is inside a block's blob: the one format for write-ahead log, restart and backup.
//!
//! RLP list `[version, header, commitments, transactions, senders, receipts, withdrawals, patches,
//! delta, ommers?]`. Senders stand beside the transactions so that reading a block back costs no signature
//! recovery; receipts leave out their bloom filters, which follow from the logs.

use alloy_consensus::{Eip658Value, Header, ReceiptEnvelope, ReceiptWithBloom, Typed2718 as _, transaction::Recovered};
use alloy_eips::{
    eip2718::{Decodable2718 as _, Encodable2718 as _},
    eip4895::Withdrawals,
};
use alloy_primitives::{Address, B256, Bytes, Log};
use alloy_rlp::{BufMut, Decodable, Encodable, Header as RlpHeader, RlpDecodable, RlpEncodable};
use cloister_keys::SizeClass;
use cloister_primitives::{Block, Commitments, Receipt, RecoveredTransaction, Transaction};
use cloister_state::StateDelta;
use std::sync::Arc;

/// Version of the format below.
const VERSION: u8 = 1;
/// The same with a list of ommers at the end, where a block has any.
const VERSION_WITH_OMMERS: u8 = 2;

/// What one block's blob holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// The block.
    pub block: Arc<Block>,
    /// Changes made to the parent's state outside of blocks (development networks); applied first.
    pub patches: StateDelta,
    /// What the block changed.
    pub delta: Arc<StateDelta>,
}

/// Why bytes are no block record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not RLP of the expected shape.
    #[error("a block record is malformed: {0}")]
    Malformed(#[from] alloy_rlp::Error),
    /// Another program's version.
    #[error("a block record has format version {0}, this program reads {VERSION} and {VERSION_WITH_OMMERS}")]
    Version(u8),
    /// Lists that belong together differ in length, or a part contradicts another.
    #[error("a block record contradicts itself")]
    Inconsistent,
}

#[derive(RlpDecodable)]
struct StoredReceipt {
    kind: u8,
    outcome: Bytes,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

#[derive(RlpDecodable)]
#[rlp(trailing)]
struct Stored {
    version: u8,
    header: Header,
    commitments: Commitments,
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
    receipts: Vec<StoredReceipt>,
    withdrawals: Vec<Withdrawals>,
    patches: StateDelta,
    delta: Arc<StateDelta>,
    ommers: Option<Vec<Header>>,
}

/// What [`Stored`] is read from, written without a copy of anything large.
#[derive(RlpEncodable)]
#[rlp(trailing)]
struct Written<'a> {
    version: u8,
    header: &'a Header,
    commitments: &'a Commitments,
    transactions: Vec<WrittenTransaction<'a>>,
    senders: Vec<Address>,
    receipts: Vec<WrittenReceipt<'a>>,
    withdrawals: Vec<&'a Withdrawals>,
    patches: &'a StateDelta,
    delta: &'a StateDelta,
    ommers: Option<&'a Vec<Header>>,
}

/// A transaction's EIP-2718 encoding, as an RLP string.
struct WrittenTransaction<'a>(&'a Transaction);

impl WrittenTransaction<'_> {
    fn string(&self) -> RlpHeader {
        RlpHeader { list: false, payload_length: self.0.encode_2718_len() }
    }
}

impl Encodable for WrittenTransaction<'_> {
    fn encode(&self, out: &mut dyn BufMut) {
        self.string().encode(out);
        self.0.encode_2718(out);
    }

    fn length(&self) -> usize {
        self.string().length_with_payload()
    }
}

/// What [`StoredReceipt`] is read from.
#[derive(RlpEncodable)]
struct WrittenReceipt<'a> {
    kind: u8,
    outcome: Bytes,
    cumulative_gas_used: u64,
    logs: &'a Vec<Log>,
}

impl<'a> WrittenReceipt<'a> {
    fn of(receipt: &'a Receipt) -> Self {
        const NO_LOGS: &Vec<Log> = &Vec::new();
        let body = receipt.as_receipt();
        let outcome = match body.map(|body| body.status).unwrap_or_default() {
            Eip658Value::Eip658(false) => Bytes::from_static(&[0]),
            Eip658Value::Eip658(true) => Bytes::from_static(&[1]),
            Eip658Value::PostState(root) => Bytes::copy_from_slice(root.as_slice()),
        };
        Self {
            kind: receipt.ty(),
            outcome,
            cumulative_gas_used: body.map_or(0, |body| body.cumulative_gas_used),
            logs: body.map_or(NO_LOGS, |body| &body.logs),
        }
    }
}

impl StoredReceipt {
    fn into_receipt(self) -> Result<Receipt, RecordError> {
        let status = match self.outcome.as_ref() as &[u8] {
            [0] => Eip658Value::Eip658(false),
            [1] => Eip658Value::Eip658(true),
            root if root.len() == 32 => Eip658Value::PostState(B256::from_slice(root)),
            _ => return Err(RecordError::Inconsistent),
        };
        let receipt: ReceiptWithBloom<_> =
            alloy_consensus::Receipt { status, cumulative_gas_used: self.cumulative_gas_used, logs: self.logs }.into();
        Ok(match self.kind {
            0 => ReceiptEnvelope::Legacy(receipt),
            1 => ReceiptEnvelope::Eip2930(receipt),
            2 => ReceiptEnvelope::Eip1559(receipt),
            3 => ReceiptEnvelope::Eip4844(receipt),
            4 => ReceiptEnvelope::Eip7702(receipt),
            _ => return Err(RecordError::Inconsistent),
        })
    }
}

impl BlockRecord {
    /// The record as bytes, before padding and sealing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let written = self.written();
        // Sealing pads it in place.
        let mut out = Vec::with_capacity(room_for(written.length()));
        written.encode(&mut out as &mut dyn BufMut);
        out
    }

    /// How long that is, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.written().length()
    }

    fn written(&self) -> Written<'_> {
        let block = &*self.block;
        let ommers = (!block.ommers.is_empty()).then_some(&block.ommers);
        Written {
            version: if ommers.is_some() { VERSION_WITH_OMMERS } else { VERSION },
            header: &block.header,
            commitments: &block.commitments,
            transactions: block.transactions.iter().map(|it| WrittenTransaction(it.inner())).collect(),
            senders: block.transactions.iter().map(|transaction| transaction.signer()).collect(),
            receipts: block.receipts.iter().map(WrittenReceipt::of).collect(),
            withdrawals: block.withdrawals.iter().collect(),
            patches: &self.patches,
            delta: &self.delta,
            ommers,
        }
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// [`RecordError`]; the bytes were authentic, so an error means a fault of the program that wrote
    /// them or a version it does not know.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, RecordError> {
        let stored = Stored::decode(&mut bytes)?;
        match (stored.version, &stored.ommers) {
            (VERSION, None) | (VERSION_WITH_OMMERS, Some(_)) => {}
            (VERSION | VERSION_WITH_OMMERS, _) => return Err(RecordError::Inconsistent),
            (version, _) => return Err(RecordError::Version(version)),
        }
        let count = stored.transactions.len();
        let whole = bytes.is_empty()
            && stored.senders.len() == count
            && stored.receipts.len() == count
            && stored.withdrawals.len() <= 1;
        if !whole {
            return Err(RecordError::Inconsistent);
        }
        let transactions = stored
            .transactions
            .iter()
            .zip(&stored.senders)
            .map(|(raw, sender)| decode_transaction(raw, *sender))
            .collect::<Result<_, _>>()?;
        let receipts = stored.receipts.into_iter().map(StoredReceipt::into_receipt).collect::<Result<_, _>>()?;
        let block = Block {
            hash: stored.header.hash_slow(),
            header: stored.header,
            commitments: stored.commitments,
            transactions,
            receipts,
            ommers: stored.ommers.unwrap_or_default(),
            withdrawals: stored.withdrawals.into_iter().next(),
        };
        Ok(Self { block: Arc::new(block), patches: stored.patches, delta: stored.delta })
    }
}

/// Length of the sealed blob of a record of `len` bytes; `len` where none is that large.
fn room_for(len: usize) -> usize {
    SizeClass::for_record(len).map_or(len, SizeClass::sealed_bytes)
}

fn decode_transaction(raw: &[u8], sender: Address) -> Result<RecoveredTransaction, RecordError> {
    let transaction = Transaction::decode_2718_exact(raw).map_err(|_| RecordError::Inconsistent)?;
    Ok(Arc::new(Recovered::new_unchecked(transaction, sender)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(ommers: Vec<Header>) -> BlockRecord {
        let header = Header { number: 7, ..Header::default() };
        let block = Block {
            hash: header.hash_slow(),
            header,
            commitments: Commitments::open(B256::ZERO, B256::ZERO, B256::ZERO),
            transactions: Vec::new(),
            receipts: Vec::new(),
            ommers,
            withdrawals: None,
        };
        BlockRecord { block: Arc::new(block), patches: StateDelta::default(), delta: Arc::default() }
    }

    #[test]
    fn only_records_with_ommers_have_the_second_version() {
        let (plain, mined) = (record(Vec::new()), record(vec![Header::default()]));
        for (record, version) in [(&plain, VERSION), (&mined, VERSION_WITH_OMMERS)] {
            let bytes = record.encode();
            assert_eq!(bytes.len(), record.encoded_len());
            assert_eq!(BlockRecord::decode(&bytes).unwrap(), *record);
            assert_eq!(record.written().version, version);
        }
    }

    #[test]
    fn versions_and_contents_have_to_agree() {
        let decoded = |change: fn(&mut Written<'_>)| {
            let record = record(vec![Header::default()]);
            let mut written = record.written();
            change(&mut written);
            BlockRecord::decode(&alloy_rlp::encode(&written)).unwrap_err()
        };
        assert_eq!(decoded(|written| written.version = VERSION), RecordError::Inconsistent);
        assert_eq!(decoded(|written| written.ommers = None), RecordError::Inconsistent);
        assert_eq!(decoded(|written| written.version = 3), RecordError::Version(3));
    }
}
