//! Ideal cryptography: what an ideal cipher and a random function would show in place of ciphertext and salted hashes.
//!
//! A pair of worlds differs in every hash and every ciphertext, and must. Nobody without the keys can tell a ciphertext from
//! random bytes, or the hash of something that has a secret part from a random word; so here, where all keys are at hand, each is
//! replaced by a name of its length, **if** it is what it should be: it opens under the ledger's key, or it is the hash of the true
//! root and the salt that the ledger's key gives for this height. Whatever is not stays as it is.

use std::collections::HashMap;

use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::{B256, keccak256};
use cloister_boundary::Record;
use cloister_core::{Ledger, Lookup};
use cloister_keys::{
    BlockAad, ConsensusAad, Epoch, LedgerKeys, LogSectionAad, MetaAad, PlatformKey, SaltDomain, Sealed, SnapshotAad,
};
use cloister_primitives::{Commitment, Height};

use super::cast::{Who, everybody};

/// Hex digits of a word.
const DIGITS: usize = 64;
/// Bytes in the clear before the ciphertext of a blob.
const CLEAR: usize = cloister_keys::HEADER_LEN;

/// Names for what only those can compute who know what it was made from.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: HashMap<String, String>,
}

/// The keys of the chain under test.
pub(super) struct Oracle {
    keys: LedgerKeys,
    ledger: Ledger,
}

impl Names {
    fn give(&mut self, word: B256, name: &str) {
        self.words.insert(hex::encode(word), format!("{name:_^DIGITS$}"));
    }

    /// The text with names in place of the words that have one, wherever they stand in a run of hex digits.
    pub(super) fn rename(&self, text: &str) -> String {
        let bytes = text.as_bytes();
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut start) = (0, 0);
        while start < bytes.len() {
            if !bytes[start].is_ascii_hexdigit() {
                start += 1;
                continue;
            }
            let run = bytes[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let end = start + run;
            while start + DIGITS <= end {
                match self.words.get(&text[start..start + DIGITS]) {
                    Some(name) => {
                        out.push_str(&text[copied..start]);
                        out.push_str(name);
                        start += DIGITS;
                        copied = start;
                    }
                    // The `0` of `0x` is a hex digit, too, but ends its run.
                    None => start += 2,
                }
            }
            start = end;
        }
        out.push_str(&text[copied..]);
        out
    }
}

impl Oracle {
    /// All keys of a chain, from that of its platform or network.
    pub(super) fn new(platform_key: &[u8], ledger: Ledger) -> Result<Self, String> {
        let platform = PlatformKey::from_bytes(platform_key).map_err(|error| error.to_string())?;
        let genesis = ledger.reader(&everybody()).hash_at(Height::GENESIS).ok_or("a chain without a first block")?;
        let spec = ledger.spec();
        let keys = LedgerKeys::derive(&platform, spec.chain_id(), spec.ledger_binding(genesis), Epoch(0));
        Ok(Self { keys, ledger })
    }

    /// Names for the hashes of all blocks and of all transactions that are not a stranger's.
    pub(super) fn names(&self) -> Result<Names, String> {
        let mut names = Names::default();
        let caller = everybody();
        let reader = self.ledger.reader(&caller);
        let mut count = 0;
        for height in (1..=self.ledger.head().0).map(Height) {
            let Lookup::Found(block) = reader.block(height) else {
                return Err(format!("block {height} is not at hand"));
            };
            let whole = block.whole().ok_or_else(|| format!("block {height} has a transaction of somebody unknown"))?;
            let header = block.header();
            for transaction in &whole.transactions {
                let signer = transaction.signer();
                if signer != Who::Eve.address() && signer != Who::Mallory.address() {
                    // Parties sign with keys that strangers do not have: their hashes have a secret part.
                    names.give(*transaction.tx_hash(), &format!("transaction {count}"));
                    count += 1;
                }
            }
            let raw: Vec<_> = whole.transactions.iter().map(|transaction| transaction.inner()).collect();
            if !raw.is_empty() && calculate_transaction_root(&raw) == header.transactions_root {
                names.give(header.transactions_root, &format!("transactions of {height}"));
            }
            let commitments = block.commitments();
            for (domain, commitment, shown) in [
                (SaltDomain::State, commitments.state, Some(header.state_root)),
                (SaltDomain::Receipts, commitments.receipts, Some(header.receipts_root)),
                (SaltDomain::Requests, commitments.requests, header.requests_hash),
            ] {
                let hidden = Commitment::hiding(commitment.root, self.keys.commitment_salt(height, domain));
                if shown == Some(hidden.public) {
                    names.give(hidden.public, &format!("{domain:?} of {height}"));
                }
            }
            if header.mix_hash == keccak256(header.parent_hash) && height > Height(1) {
                names.give(header.mix_hash, &format!("mix of {height}"));
            }
            if block.hash() == header.hash_slow() {
                names.give(block.hash(), &format!("block {height}"));
            }
        }
        Ok(names)
    }

    /// A sealed record of a node as an ideal cipher would show it: its clear header and its length, if it is genuine.
    pub(super) fn sealed(&self, record: &Record, node: u64, first_chunk: Option<[u8; 16]>) -> String {
        match record {
            Record::Block { height, sealed } => {
                let caller = everybody();
                let parent = height.parent().and_then(|parent| self.ledger.reader(&caller).hash_at(parent));
                let opens = Sealed::from_bytes(sealed.to_vec()).is_ok_and(|blob| {
                    let incarnation = blob.incarnation();
                    let parent_hash = parent.unwrap_or(self.ledger.spec().genesis().parent_hash);
                    self.keys.open_block(&BlockAad { height: *height, incarnation, parent_hash }, blob).is_ok()
                });
                shown(sealed, opens)
            }
            Record::SnapshotChunk { snapshot, index, sealed } => {
                let opens = Sealed::from_bytes(sealed.clone()).is_ok_and(|blob| {
                    let incarnation = first_chunk.unwrap_or(blob.incarnation());
                    let aad = SnapshotAad { snapshot: *snapshot, index: *index, incarnation };
                    self.keys.open_chunk(&aad, blob).is_ok()
                });
                shown(sealed, opens)
            }
            Record::Consensus { sealed, .. } => {
                let opens = Sealed::from_bytes(sealed.clone()).is_ok_and(|blob| {
                    let incarnation = blob.incarnation();
                    self.keys.open_consensus(&ConsensusAad { node, incarnation }, blob).is_ok()
                });
                shown(sealed, opens)
            }
            Record::Meta { sealed } => {
                let opens = Sealed::from_bytes(sealed.clone()).is_ok_and(|blob| {
                    let incarnation = blob.incarnation();
                    self.keys.open_meta(&MetaAad { incarnation }, blob).is_ok()
                });
                shown(sealed, opens)
            }
            Record::LogSection { last, sealed } => {
                let caller = everybody();
                let last_hash = self.ledger.reader(&caller).hash_at(*last);
                let opens = Sealed::from_bytes(sealed.clone()).is_ok_and(|blob| {
                    let incarnation = blob.incarnation();
                    let aad = last_hash.map(|last_hash| LogSectionAad { last: *last, incarnation, last_hash });
                    aad.is_some_and(|aad| self.keys.open_log_section(&aad, blob).is_ok())
                });
                shown(sealed, opens)
            }
            Record::SnapshotDone { .. } | Record::DropSnapshot { .. } | Record::Truncate { .. } => String::new(),
        }
    }
}

/// Incarnation in the clear header of a blob.
pub(super) fn incarnation(sealed: &[u8]) -> Option<[u8; 16]> {
    sealed.get(8..24)?.try_into().ok()
}

fn shown(sealed: &[u8], opens: bool) -> String {
    let clear = &sealed[..sealed.len().min(CLEAR)];
    let rest = if opens { "sealed".to_owned() } else { hex::encode(&sealed[clear.len()..]) };
    format!("{} bytes {} {rest}", sealed.len(), hex::encode(clear))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_renamed_wherever_they_stand() {
        let (word, other) = (B256::repeat_byte(0xab), B256::repeat_byte(0xcd));
        let mut names = Names::default();
        names.give(word, "it");
        let name = format!("{:_^64}", "it");
        let text = format!("[\"{word}\", \"0x{}{}{}\"]", hex::encode(other), hex::encode(word), hex::encode(other));
        let renamed = names.rename(&text);
        assert_eq!(renamed, text.replace(&hex::encode(word), &name));
        assert_eq!(renamed.len(), text.len());
        assert_eq!(names.rename("0xab, no word: é"), "0xab, no word: é");
    }

    #[test]
    fn what_does_not_open_is_shown_as_it_is() {
        assert!(shown(&[7; 60], false).contains(&"07".repeat(24)));
        assert!(!shown(&[7; 60], true).contains(&"07".repeat(37)));
    }
}
