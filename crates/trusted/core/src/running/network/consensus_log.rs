//! The consensus log on the host: each record sealed, numbered, and followed by the blocks that it names.
//!
//! The host stores in order. A record whose blocks did not all become durable was never acknowledged; the next start
//! forgets the entries whose blocks are missing ([`StoredLog::cut`](cloister_ordering::raft::StoredLog::cut)).

use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, Encodable};
use cloister_boundary::{HaltCode, Record};
use cloister_crypto::{EntropySource, draw_nonce};
use cloister_keys::{ConsensusAad, LedgerKeys};
use cloister_ordering::raft::{BlockRef, LogRecord, NodeId, StoredLog};
use cloister_primitives::{Height, Seq};

use super::{Network, Purpose, Running, Sealed};
use crate::{Fatal, machine::Step};

/// Records after which all of them are replaced by one.
const RECORDS_AT_MOST: u64 = 1_000;

/// Reads the log that a host kept. Returns it with the number of the next record.
pub(crate) fn open(
    keys: &LedgerKeys,
    node: NodeId,
    mut log: StoredLog,
    kept: &[Vec<u8>],
) -> Result<(StoredLog, u64), Fatal> {
    let damaged = |detail| Fatal::new(HaltCode::DamagedLog, detail);
    let mut next = None;
    for record in kept {
        let sealed =
            Sealed::from_bytes(record.clone()).map_err(|_| damaged("a stored consensus record is malformed"))?;
        let aad = ConsensusAad { node: node.get(), incarnation: sealed.incarnation() };
        let plaintext =
            keys.open_consensus(&aad, sealed).map_err(|_| damaged("a stored consensus record is not authentic"))?;
        let mut bytes = plaintext.as_slice();
        let number = u64::decode(&mut bytes).map_err(|_| damaged("a stored consensus record cannot be read"))?;
        if next.is_some_and(|next| next != number) {
            return Err(damaged("a stored consensus record is missing"));
        }
        log.absorb(LogRecord::decode(bytes).map_err(|_| damaged("a stored consensus record cannot be read"))?);
        next = Some(number + 1);
    }
    Ok((log, next.unwrap_or(0)))
}

/// Seals a record of the log, with its number.
pub(crate) fn seal(
    keys: &LedgerKeys,
    entropy: &mut dyn EntropySource,
    aad: &ConsensusAad,
    number: u64,
    record: &LogRecord,
) -> Result<Vec<u8>, Fatal> {
    let mut plaintext = Vec::new();
    number.encode(&mut plaintext);
    plaintext.extend(record.encode());
    let sealed = keys.seal_consensus(draw_nonce(entropy), aad, plaintext);
    let unsealed = Fatal::new(HaltCode::Invariant, "a record of the consensus log cannot be sealed");
    Ok(sealed.map_err(|_| unsealed)?.into_bytes())
}

impl Running {
    /// Stores a record of the log, and the blocks it names.
    pub(super) fn persist_consensus(&mut self, seq: Seq, record: LogRecord, step: &mut Step<'_>) -> Result<(), Fatal> {
        let (keys, incarnation, head) = (self.keys.clone(), self.outbox.incarnation(), self.ledger.head());
        let Some(network) = self.engine.network() else { return Ok(()) };
        network.forget_stored(head);
        let stored_upto = network.stored_upto;
        let is_new = |block: &BlockRef| block.height > stored_upto;
        let mut blocks: Vec<_> = record.entries.iter().filter_map(|entry| entry.block()).filter(is_new).collect();
        let begins_anew = !record.bases.is_empty();
        network.stored.absorb(record.clone());
        let goes_on = !blocks.is_empty() && network.catch_up.is_some();
        if blocks.first().is_some_and(|first| !network.is_stored_up_to(*first)) {
            blocks = network.stored.blocks().filter(is_new).collect();
        }
        // To store one again would take from the disk what came after it, and may be all that there is of it.
        let there = blocks.iter().take_while(|block| network.is_stored(**block)).count();
        blocks.drain(..there);
        let number = network.next_record;
        network.next_record += 1;
        let whole = begins_anew || number - network.keep_from >= RECORDS_AT_MOST;
        let written = if whole { network.stored.record() } else { record };
        if whole {
            network.keep_from = number;
        }
        let aad = ConsensusAad { node: network.id.get(), incarnation };
        let sealed = seal(&keys, step.entropy, &aad, number, &written)?;
        let mut records = vec![Record::Consensus { number, keep_from: network.keep_from, sealed }];
        for block in blocks {
            let sealed = network.bodies.get(block).cloned();
            let sealed =
                sealed.ok_or(Fatal::at(HaltCode::Invariant, "a block of the log is not at hand", block.height.0))?;
            records.extend(network.stores(block, sealed));
        }
        self.store_all(records, Purpose::Block(seq), step);
        if goes_on {
            self.give_up_catching_up(step)?;
        }
        Ok(())
    }

    /// Stores a block that is committed elsewhere, ahead of the log that names it. `caught_up` is told once it is durable.
    pub(super) fn store_ahead(
        &mut self,
        block: BlockRef,
        sealed: Bytes,
        caught_up: Option<BlockRef>,
        step: &mut Step<'_>,
    ) {
        let Some(network) = self.engine.network() else { return };
        let records: Vec<_> = network.stores(block, sealed).collect();
        self.store_all(records, caught_up.map_or(Purpose::Upkeep, Purpose::CaughtUp), step);
    }

    /// Stores records in this order; what the last one is for, all of them are.
    fn store_all(&mut self, mut records: Vec<Record>, purpose: Purpose, step: &mut Step<'_>) {
        let last = records.pop();
        for record in records {
            self.store(Purpose::Upkeep, record, step);
        }
        if let Some(last) = last {
            self.store(purpose, last, step);
        }
    }
}

impl Network {
    /// Whether the host has what the log names below this block.
    fn is_stored_up_to(&self, block: BlockRef) -> bool {
        let Some(parent) = block.height.parent().filter(|parent| *parent > self.stored_upto) else { return true };
        self.stored.block_at(parent).is_some_and(|named| self.is_stored(named))
    }

    /// Whether the host has this block, or will have once it has stored what it was given.
    pub(super) fn is_stored(&self, block: BlockRef) -> bool {
        block.height <= self.stored_upto || self.stored_as.get(&block.height) == Some(&block.digest)
    }

    /// What is stored up to the head, without a gap, stays.
    pub(super) fn forget_stored(&mut self, head: Height) {
        while self.stored_upto < head && self.stored_as.remove(&self.stored_upto.next()).is_some() {
            self.stored_upto = self.stored_upto.next();
        }
    }

    /// What the host does to have this block last: it forgets those of its height and above.
    fn stores(&mut self, block: BlockRef, sealed: Bytes) -> impl Iterator<Item = Record> + use<> {
        let BlockRef { height, digest } = block;
        let last = height.parent().filter(|_| self.host_last >= Some(height));
        self.host_last = Some(height);
        self.stored_as.split_off(&height);
        self.stored_as.insert(height, digest);
        let truncate = last.map(|last| Record::Truncate { last });
        truncate.into_iter().chain([Record::Block { height, sealed: Vec::from(sealed).into() }])
    }
}
